"""``iith analyze``: one exam to a result folder."""

from __future__ import annotations

import argparse
import json
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from SubregionHabitatLib.errors import InputError

from .clinical import add_clinical_arguments, clinical_values
from .genomic_arguments import add_case_genomics, case_genomics_plan
from .settings_file import with_settings_file
from .terminal_progress import TerminalProgress

if TYPE_CHECKING:
    from ..case_pipeline import CaseRequest


def add_parser(subparsers: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Add the command to the parser of ``iith``."""
    from SubregionHabitatLib.lesion_points import POINT_SPACES

    parser = subparsers.add_parser(
        "analyze",
        help="analyze one exam into a result folder with maps, habitats, features, scores and a report",
        description="Analyze one breast DCE-MRI exam. EXAM is a DICOM folder, or one NRRD or NIfTI file per phase in "
        "order of time together with --times. Give --voi (a generous region around the lesion, the lesion is then "
        "found by the FTV rule) or --lesion (the lesion itself), or both. Research use only.",
    )
    parser.add_argument(
        "exam", nargs="+", type=Path, metavar="EXAM", help="DICOM folder, one file per phase, or one file with all"
    )
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="result folder, new or empty")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier result in DIR")
    parser.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="processes for the features (default 1; pays with filters)"
    )
    regions = parser.add_argument_group("regions (NRRD, NIfTI or DICOM SEG, on any grid)")
    regions.add_argument("--voi", type=Path, metavar="MASK", help="region in which to look for the lesion")
    regions.add_argument("--lesion", type=Path, metavar="MASK", help="the lesion as drawn")
    regions.add_argument("--box", metavar="X,Y,Z,X,Y,Z", help="VOI as a box between two corners, in mm")
    regions.add_argument("--seed-point", metavar="X,Y,Z", help="a point at the lesion: its enhancing part is taken")
    regions.add_argument(
        "--space", choices=POINT_SPACES, default="lps", help="space of --box and --seed-point (default: lps)"
    )
    regions.add_argument("--omit", type=Path, metavar="MASK", help="never part of the functional tumor volume")
    regions.add_argument("--add", type=Path, metavar="MASK", help="manual edit: added to the lesion that was found")
    regions.add_argument("--remove", type=Path, metavar="MASK", help="manual edit: removed from the lesion")
    regions.add_argument("--other-lesions", type=Path, metavar="MASK", help="kept out of ring and background")
    regions.add_argument("--breast", type=Path, metavar="MASK", help="the breast, in place of the automatic mask")
    add_shared_arguments(parser)
    add_clinical_arguments(parser)
    add_case_genomics(parser)
    return parser


def add_shared_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that can hold for every exam of a cohort as for one: phases, method, models."""
    phases = parser.add_argument_group("phases")
    phases.add_argument(
        "--times", metavar="T0,T1,...", help="phase times in seconds, pre-contrast first, or a file of them"
    )
    phases.add_argument("--injection", type=float, metavar="S", help="start of injection, seconds from pre-contrast")
    phases.add_argument(
        "--no-times", action="store_true", help="accept an exam without times: slopes per minute are then missing"
    )
    phases.add_argument("--series", metavar="NUMBER[,..]", help="DICOM series by number or UID; @left or @right")
    phases.add_argument("--early", type=int, metavar="N", help="phase taken as early (pre-contrast is 0)")
    phases.add_argument("--late", type=int, metavar="N", help="phase taken as late")
    _add_method_arguments(parser)
    parser.add_argument(
        "--model", action="append", metavar="ID", help="score this model only (repeatable; default: all shipped)"
    )
    parser.add_argument(
        "--show-identity", "--identity", action="store_true",
        help="write patient name and ID into report and DICOM objects (default: left out, in DICOM objects replaced)",
    )  # fmt: skip
    add_dicom_arguments(parser)


def add_dicom_arguments(parser: argparse.ArgumentParser) -> None:
    from ..dicom_out.writer import MAP_EXTENTS

    parser.add_argument(
        "--dicom", action=argparse.BooleanOptionalAction, default=None,
        help="write segmentation, kinetic maps and measurement report as DICOM (default: when the exam is DICOM)",
    )  # fmt: skip
    parser.add_argument(
        "--dicom-maps", choices=MAP_EXTENTS, default=MAP_EXTENTS[0],
        help="how much of the kinetic maps goes into DICOM: around lesion and ring, all, or nothing (default: lesion)",
    )  # fmt: skip


def _add_method_arguments(parser: argparse.ArgumentParser) -> None:
    from IITHModuleLib.feature_engine import ENGINES
    from SubregionHabitatLib.analysis import ImagingParameters
    from SubregionHabitatLib.feature_regions import REGION_GROUPS, STANDARD_REGIONS
    from SubregionHabitatLib.habitat_parameters import CHOOSE_K
    from SubregionHabitatLib.interaction import NEIGHBOURHOODS
    from SubregionHabitatLib.kinetics import PEAK_SEARCHES, WOS_MODES
    from SubregionHabitatLib.lesion import BACKGROUND_MODES, LesionParameters
    from SubregionHabitatLib.lesion_parts import KEEP
    from SubregionHabitatLib.registration import MODES
    from SubregionHabitatLib.ring import RING_DISTANCES

    standard = ImagingParameters()
    method = parser.add_argument_group("method (defaults are those of the papers)")
    ftv, habitats = standard.ftv, standard.habitats
    method.add_argument(
        "--settings", type=Path, metavar="FILE",
        help="JSON with any of the settings that case.json lists under parameters, or an earlier case.json; it wins "
        "over the options below",
    )  # fmt: skip
    method.add_argument(
        "--register", choices=tuple(MODES), default="none", help="bring the phases onto the early one (default: none)"
    )
    method.add_argument(
        "--n4", action=argparse.BooleanOptionalAction, default=False,
        help="divide one N4 bias field of the pre-contrast phase out of every phase (default: no)",
    )  # fmt: skip
    method.add_argument(
        "--breast-mask", action=argparse.BooleanOptionalAction, default=standard.preparation.breast.automatic,
        help="find the breast; without it everything but air stands in for it (default: yes)",
    )  # fmt: skip
    method.add_argument(
        "--pe-threshold", type=float, default=ftv.pe_threshold_percent, metavar="PERCENT",
        help="early enhancement that counts for FTV (default %(default)g)",
    )  # fmt: skip
    method.add_argument(
        "--background", choices=BACKGROUND_MODES, default=ftv.background,
        help="FTV background threshold: auto leaves it off where the VOI says it is already applied (default auto)",
    )  # fmt: skip
    method.add_argument(
        "--background-fraction", type=float, default=ftv.background_fraction, metavar="F",
        help="background threshold as a share of P95 of the pre-contrast signal in the VOI (default %(default)g)",
    )  # fmt: skip
    method.add_argument("--min-neighbours", type=int, default=ftv.min_neighbours, metavar="N", help="of 26, for FTV")
    method.add_argument("--min-ser", type=float, default=ftv.min_ser, metavar="SER", help="lowest SER for FTV")
    method.add_argument(
        "--keep", choices=KEEP, default=KEEP[0], help="enhancing parts that are the lesion (default: largest)"
    )
    method.add_argument(
        "--min-part", type=float, default=LesionParameters().min_component_mm3, metavar="MM3",
        help="smallest part kept by --keep all (default %(default)g)",
    )  # fmt: skip
    method.add_argument(
        "--peak-search", choices=PEAK_SEARCHES, default=standard.peak_search, help="phases for the peak"
    )
    method.add_argument("--wos-mode", choices=WOS_MODES, default=standard.wos_mode, help="wash-out slope's unit")
    method.add_argument("--habitats", type=int, default=habitats.k, metavar="K", help="number of habitats")
    method.add_argument(
        "--habitat-mode", choices=("per_tumour", "two_level"), default=habitats.mode, help="voxels or supervoxels"
    )
    method.add_argument(
        "--habitat-model", type=Path, metavar="FILE", help="centres fitted on a cohort by `iith habitats`"
    )
    method.add_argument("--choose-k", choices=CHOOSE_K, default=habitats.choose_k, help="find K in 2..6 instead")
    method.add_argument("--seed", type=int, default=habitats.seed, metavar="N", help="seed of the clustering")
    method.add_argument("--ring", type=float, default=standard.ring_mm, metavar="MM", help="peritumoral ring")
    method.add_argument(
        "--ring-from", choices=RING_DISTANCES, default=standard.ring_distance_from, help="where its distance starts"
    )
    method.add_argument(
        "--no-ring-clip", action="store_true", help="keep the part of the ring that lies outside breast and body"
    )
    method.add_argument(
        "--neighbourhood", choices=NEIGHBOURHOODS, default=standard.neighbourhood, help="of the MSI matrix"
    )
    method.add_argument(
        "--regions", default=",".join(STANDARD_REGIONS), metavar="NAMES",
        help=f"regions that features are drawn from: any of {', '.join(REGION_GROUPS)}, or all (default %(default)s)",
    )  # fmt: skip
    method.add_argument(
        "--preset", default="mr_default", metavar="NAME", help="radiomics preset, shipped or a .json file"
    )
    method.add_argument("--engine", choices=ENGINES, default=ENGINES[0], help="radiomics engine")


def run(args: argparse.Namespace) -> int:
    """Carry the command out. Raises InputError (exit 2) or CaseRefused (exit 3, after the result is written)."""
    from ..case_pipeline import raise_if_refused, run_case

    progress = TerminalProgress()
    try:
        if args.jobs < 1:
            raise InputError(f"--jobs is {args.jobs}; give 1 or more.")
        request = replace(case_request(args), n_jobs=args.jobs, genomics=case_genomics_plan(args))
        outcome = run_case(request, progress)
    finally:
        progress.close()
    _print_summary(outcome, args)
    raise_if_refused(outcome)
    return 0


def case_request(args: argparse.Namespace) -> CaseRequest:
    """What the options ask for; raises InputError for values that cannot be used."""
    from SubregionHabitatLib.lesion_points import parse_point
    from SubregionHabitatLib.times_file import read_times

    from ..case_pipeline import CaseRequest

    return CaseRequest(
        exam=tuple(args.exam),
        out=args.out,
        voi=args.voi,
        lesion=args.lesion,
        box=parse_box(args.box),
        seed_point=parse_point(args.seed_point, "seed point") if args.seed_point else None,
        point_space=args.space,
        omit=args.omit,
        added=args.add,
        removed=args.remove,
        other_lesions=args.other_lesions,
        breast=args.breast,
        times_s=None if args.times is None else read_times(args.times),
        injection_s=args.injection,
        allow_no_times=args.no_times,
        series=args.series,
        preset=args.preset,
        engine=args.engine,
        clinical=clinical_values(args),
        models=tuple(args.model) if args.model else None,
        habitat_model=args.habitat_model,
        imaging=with_settings_file(_imaging_parameters(args), args.settings),
        overwrite=args.overwrite,
        show_identity=args.show_identity,
        dicom=args.dicom,
        dicom_maps=args.dicom_maps,
    )


def parse_box(text: str | None) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Two corners from "x,y,z,x,y,z"; raises InputError for anything else."""
    if text is None:
        return None
    try:
        values = tuple(float(part) for part in text.replace(";", ",").split(","))
    except ValueError:
        values = ()
    if len(values) != 6 or not all(math.isfinite(v) for v in values):
        raise InputError(
            f"--box {text[:80]!r} is not six numbers; write the two corners, for example 10,-20,5,60,30,55."
        )
    return values[:3], values[3:]


def _imaging_parameters(args: argparse.Namespace):
    from SubregionHabitatLib.analysis import ImagingParameters
    from SubregionHabitatLib.breast_mask import BreastParameters
    from SubregionHabitatLib.feature_regions import parse_regions
    from SubregionHabitatLib.habitats import HabitatParameters
    from SubregionHabitatLib.lesion import FtvParameters, LesionParameters
    from SubregionHabitatLib.preparation import PreparationParameters
    from SubregionHabitatLib.registration import RegistrationParameters

    return ImagingParameters(
        preparation=PreparationParameters(
            registration=RegistrationParameters(mode=args.register),
            n4=args.n4,
            breast=BreastParameters(automatic=args.breast_mask),
        ),
        early=args.early,
        late=args.late,
        peak_search=args.peak_search,
        wos_mode=args.wos_mode,
        ftv=FtvParameters(
            pe_threshold_percent=args.pe_threshold,
            background=args.background,
            background_fraction=args.background_fraction,
            min_neighbours=args.min_neighbours,
            min_ser=args.min_ser,
        ),
        lesion=LesionParameters(keep=args.keep, min_component_mm3=args.min_part),
        habitats=HabitatParameters(k=args.habitats, seed=args.seed, mode=args.habitat_mode, choose_k=args.choose_k),
        ring_mm=args.ring,
        ring_distance_from=args.ring_from,
        clip_ring=not args.no_ring_clip,
        neighbourhood=args.neighbourhood,
        feature_regions=parse_regions(args.regions),
    )


def _print_summary(outcome, args: argparse.Namespace) -> None:
    case = outcome.case
    lesion, habitats = case["lesion"], case["habitats"]["volumes_cc"]
    lines = [
        f"{len(case['exam']['phases'])} phases at {_times(case)} s "
        f"({case['exam']['timing']['source']}); early {case['kinetics']['early_phase']}, "
        f"late {case['kinetics']['late_phase']}",
        f"FTV {lesion['ftv_cc']:.2f} cc, lesion {lesion['volume_cc']:.2f} cc, longest diameter "
        f"{lesion['longest_diameter_mm']:.1f} mm",
        "habitats " + ", ".join(f"{name} {cc:.2f} cc" for name, cc in habitats.items())
        + f"; ring {case['ring']['volume_cc']:.2f} cc",
        *(_background_line(side) for side in case["background_enhancement"]),
        *(_score_line(score) for score in case["scores"]),
        *_genomic_lines(case.get("genomics")),
        *_dicom_line(case["dicom"]),
        f"{len(case['warnings'])} notes and warnings in the report; research use only",
        f"report: {outcome.folder / 'report.html'}",
    ]  # fmt: skip
    print("\n".join(lines), file=sys.stderr)
    if args.json:
        print(json.dumps(case))


def _dicom_line(dicom: dict) -> list[str]:
    return [f"{len(dicom['files'])} DICOM objects, patient identity {dicom['identity']}"] if dicom["files"] else []


def _genomic_lines(genomics: dict | None) -> list[str]:
    if genomics is None:
        return []
    known = sum(entry["value"] is not None for entry in genomics["values"])
    rows = f"; {genomics['n_malformed_rows']:,} malformed rows left out" if genomics["n_malformed_rows"] else ""
    return [f"genomics: {known} of {len(genomics['values'])} values{rows}"]


def _score_line(score: dict) -> str:
    if score["value"] is None:
        return f"{score['model_id']}: no score. {score['refusal']}"
    return f"{score['model_id']}: {score['value']:.3g} ({score['unit']}), group {score['group']}"


def _background_line(background: dict) -> str:
    mean, tissue = background["mean_percent"], background["fibroglandular_cc"]
    if mean is None:
        return f"{background['side']} background enhancement missing: {background['missing']['mean_percent']}"
    return f"{background['side']} background enhancement {mean:.0f} % in {tissue:.1f} cc of fibroglandular tissue"


def _times(case: dict) -> str:
    times = [phase["time_s"] for phase in case["exam"]["phases"]]
    return "unknown times" if None in times else ", ".join(f"{t:g}" for t in times)
