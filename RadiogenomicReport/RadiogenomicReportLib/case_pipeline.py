"""One exam to one result folder: read, analyze, extract, score, report. Every step is callable alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from IITHModuleLib.any_model import open_model, score_all
from IITHModuleLib.case_values import user_value
from IITHModuleLib.derived_rows import with_derived_rows
from IITHModuleLib.feature_engine import ENGINES, make_engine
from IITHModuleLib.features import extract_features
from IITHModuleLib.measured_values import case_values
from IITHModuleLib.model_file import shipped_models
from IITHModuleLib.presets import load_preset
from IITHModuleLib.scoring import Score
from SubregionHabitatLib.analysis import DrawnRegions, ImagingParameters, ImagingResult, analyze_imaging
from SubregionHabitatLib.errors import CaseRefused, InputError
from SubregionHabitatLib.exam_files import read_exam
from SubregionHabitatLib.geometry import Geometry
from SubregionHabitatLib.habitat_file import load_habitat_model
from SubregionHabitatLib.lesion_points import point_lps
from SubregionHabitatLib.lesion_voi import voi_from_box
from SubregionHabitatLib.masks import RegionMask, read_region
from SubregionHabitatLib.progress import Part, Progress, Silent
from SubregionHabitatLib.times_file import with_injection
from SubregionHabitatLib.tissue_labels import TISSUES, tissue_labels
from SubregionHabitatLib.volume_io import write_volume

from .case_dicom import add_dicom, case_arrays, check_dicom_wanted
from .case_file import CASE_SCHEMA, build_case, provenance_of, write_case
from .case_genomic_data import genomic_values, read_genomics, with_genomics
from .case_report import CasePictures, case_report_html
from .report_images import write_report_image
from .result_folder import CASE_FILE, complete_or_absent
from .stage_clock import StageClock

if TYPE_CHECKING:
    from .genomics.case_genomics import CaseGenomicsPlan

__all__ = ["CASE_SCHEMA", "CaseOutcome", "CaseRequest", "run_case"]


@dataclass(frozen=True)
class CaseRequest:
    """What to analyze and how.

    ``models`` None scores every shipped model; clinical: standard name -> value; n_jobs: processes for the features (1
    inside Slicer, where processes cannot be started); genomics: genomic files or table of the patient; show_identity:
    patient name and ID in report and DICOM objects; dicom: write DICOM objects (None: where the exam is DICOM);
    dicom_maps: how much of the kinetic maps they hold, one of ``dicom_out.writer.MAP_EXTENTS``.
    """

    exam: tuple[Path, ...]
    out: Path
    voi: Path | None = None
    lesion: Path | None = None
    box: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    seed_point: tuple[float, float, float] | None = None
    point_space: str = "lps"
    omit: Path | None = None
    added: Path | None = None
    removed: Path | None = None
    other_lesions: Path | None = None
    breast: Path | None = None
    habitat_model: Path | None = None
    injection_s: float | None = None
    allow_no_times: bool = False
    times_s: tuple[float, ...] | None = None
    series: str | None = None
    preset: str = "mr_default"
    engine: str = ENGINES[0]
    n_jobs: int = 1
    clinical: Mapping[str, float] = field(default_factory=dict)
    genomics: CaseGenomicsPlan | None = None
    models: tuple[str, ...] | None = None
    imaging: ImagingParameters = field(default_factory=ImagingParameters)
    overwrite: bool = False
    show_identity: bool = False
    dicom: bool | None = None
    dicom_maps: str = "lesion"


@dataclass(frozen=True)
class CaseOutcome:
    """folder: the complete result; case: the content of its case.json; refused: models that refused the case."""

    folder: Path
    case: dict
    refused: tuple[Score, ...]


def run_case(request: CaseRequest, progress: Progress | None = None) -> CaseOutcome:
    """Analyze one exam into ``request.out``; the folder appears only when everything is done.

    Raises InputError for bad input. A model that was asked for by name and refuses the case is returned in
    ``refused``; its refusal is also part of the case.
    """
    progress = progress or Silent()
    clock = StageClock()
    # Everything that can be found wrong without reading the exam is found first.
    preset = load_preset(request.preset)
    engine = make_engine(request.engine)
    models = [open_model(m) for m in (request.models if request.models is not None else shipped_models())]
    clinical = {name: user_value(name, value) for name, value in request.clinical.items()}
    habitat_model = load_habitat_model(request.habitat_model) if request.habitat_model else None
    check_dicom_wanted(request.dicom)
    genomics = read_genomics(request.genomics)
    with complete_or_absent(request.out, request.overwrite) as folder:
        with clock.stage("read"):
            exam = read_exam(
                list(request.exam),
                request.times_s,
                request.series,
                Part(progress, 0.0, 0.1),
                allow_no_times=request.allow_no_times,
            )
            check_dicom_wanted(request.dicom, exam)
            exam = with_injection(exam, request.injection_s)
            regions = read_regions(request, exam.geometry)
        with clock.stage("imaging"):
            imaging = analyze_imaging(
                exam,
                request.imaging,
                regions=regions,
                habitat_model=habitat_model,
                progress=Part(progress, 0.1, 0.25),
            )
        with clock.stage("radiomics"):
            features = extract_features(
                imaging.exam,
                imaging.maps,
                imaging.regions(),
                preset,
                engine,
                imaging.reference,
                Part(progress, 0.25, 0.85),
                n_jobs=request.n_jobs,
            )
            features = with_derived_rows(features, imaging)
        with clock.stage("scores"):
            values = case_values(exam, imaging, clinical | genomic_values(genomics, models))
            scores = score_all(models, values, features)
        progress.step(0.86, "writing maps and labels")
        with clock.stage("write"):
            write_images(folder, imaging)
            features.write_csv(folder / "features.csv")
            pictures = CasePictures.from_result(imaging.exam, imaging)
            write_report_image(folder, pictures)
        identity = exam.source.identity if request.show_identity else None
        case = with_genomics(
            build_case(exam, imaging, features, values, scores, clock, identity), genomics, request.show_identity
        )
        progress.step(0.9, "DICOM objects")
        with clock.stage("dicom"):
            case = add_dicom(
                folder,
                exam,
                case,
                case_arrays(imaging),
                request.dicom,
                request.show_identity,
                request.dicom_maps,
            )
        progress.step(0.94, "report")
        with clock.stage("report"):
            case["provenance"] = provenance_of(imaging, scores, clock)
            (folder / "report.html").write_text(case_report_html(case, pictures), encoding="utf-8")
        case["provenance"] = provenance_of(imaging, scores, clock)
        write_case(folder / CASE_FILE, case)
    progress.step(1.0, "done")
    asked = {m.id for m in models} if request.models is not None else set()
    return CaseOutcome(
        Path(request.out), case, tuple(s for s in scores if s.refusal is not None and s.model_id in asked)
    )


def read_regions(request: CaseRequest, geometry: Geometry) -> DrawnRegions:
    """Every region of the request on the exam's grid. A box is a VOI; raises InputError when both are given."""
    if request.box is not None and request.voi is not None:
        raise InputError("A VOI and a box were given; leave one of --voi and --box out.")

    def read(path: Path | None, role: str) -> RegionMask | None:
        return read_region(path, geometry, role) if path else None

    voi, seed = read(request.voi, "VOI"), request.seed_point
    if request.box is not None:
        corners = [point_lps(c, request.point_space, geometry, "corner of the box") for c in request.box]
        voi = voi_from_box(geometry, *corners)
    return DrawnRegions(
        voi=voi,
        lesion=read(request.lesion, "lesion"),
        seed_lps=None if seed is None else point_lps(seed, request.point_space, geometry, "seed point"),
        omit=read(request.omit, "omit region"),
        added=read(request.added, "added region"),
        removed=read(request.removed, "removed region"),
        other_lesions=read(request.other_lesions, "other lesions"),
        breast=read(request.breast, "breast mask"),
    )


def write_images(folder: Path, imaging: ImagingResult) -> None:
    """maps/*.nrrd (float32, NaN where undefined) and labels/*.nrrd (uint8) on the exam's grid."""
    maps = imaging.maps
    (folder / "maps").mkdir()
    (folder / "labels").mkdir()
    units = {**maps.units(), "time_to_peak": "min"}
    for name, unit in units.items():
        write_volume(folder / "maps" / f"{name}.nrrd", getattr(maps, name), maps.geometry, {"unit": unit})
    labels = {
        "lesion": imaging.lesion.mask,
        "habitats": imaging.habitats.labels,
        "ring": imaging.ring.mask,
        "ftv": imaging.lesion.ftv.mask,
        "breast": imaging.reference,
    }
    for name, array in labels.items():
        write_volume(folder / "labels" / f"{name}.nrrd", array, maps.geometry)
    meaning = {f"label{number}": name for number, name in enumerate(TISSUES)}
    tissue = tissue_labels(imaging.breast, imaging.tissue)
    write_volume(folder / "labels" / "tissue.nrrd", tissue, maps.geometry, meaning)


def raise_if_refused(outcome: CaseOutcome) -> None:
    """Raise CaseRefused when a model that was asked for by name refused the case."""
    if outcome.refused:
        raise CaseRefused(" ".join(s.refusal for s in outcome.refused))
