"""DICOM objects of a case: read back voxel by voxel, their references, codes and identity, checked with dciodvfy."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import warnings

import numpy as np
import pydicom
import pytest

from RadiogenomicReportLib.case_dicom import add_dicom, case_arrays
from RadiogenomicReportLib.dicom_out.writer import write_dicom_objects
from RadiogenomicReportLib.figures_style import HABITAT_COLORS, LESION_COLOR, RING_COLOR
from SubregionHabitatLib.analysis import analyze_imaging
from SubregionHabitatLib.errors import InputError
from SubregionHabitatLib.exam_files import read_exam
from SubregionHabitatLib.geometry import Geometry
from SubregionHabitatLib.masks import RegionMask
from SubregionHabitatLib.simulation import DicomOptions, SimulationParameters, simulate_exam, write_dicom
from support.data import require_data
from support.exams import make_exam
from support.reading import enhanced_mr
from support.report_cases import report_case

hd = pytest.importorskip("highdicom", reason="highdicom is not installed")

SMALL = {"shape": (16, 48, 48), "spacing_mm": (3.4, 3.1, 4.5), "lesion_radii_mm": (14.0, 13.0, 15.0)}
FORMS = {
    "sagittal": {"seed": 6},
    "axial": {"seed": 7, "orientation": "axial"},
    "oblique": {"seed": 8, "oblique_deg": (12.0, -9.0, 15.0)},
    "one series per phase": {"seed": 9},
    "enhanced": {"seed": 10, "oblique_deg": (5.0, 7.0, -11.0)},
}


@dataclasses.dataclass(frozen=True)
class Written:
    """An exam on disk, analyzed, with its objects in ``folder``."""

    exam: object
    imaging: object
    case: dict
    folder: object
    images: object

    def object(self, name: str) -> pydicom.Dataset:
        return pydicom.dcmread(self.folder / f"{name}.dcm")

    @property
    def arrays(self):
        return case_arrays(self.imaging)


def written(base, exam, imaging, images, **options) -> Written:
    case, _ = report_case(exam, imaging)
    write_dicom_objects(base / "objects", exam, case, case_arrays(imaging), **options)
    return Written(exam, imaging, case, base / "objects", images)


def small_exam(form: str, base) -> Written:
    simulated = simulate_exam(SimulationParameters(**{**SMALL, **FORMS[form]}))
    if form == "enhanced":
        enhanced_mr(simulated, base / "images" / "all.dcm")
    else:
        write_dicom(simulated, base / "images", DicomOptions(series_per_phase="per phase" in form))
    exam = read_exam([base / "images"])
    imaging = analyze_imaging(exam, voi=RegionMask(simulated.voi, "VOI"))
    return written(base, exam, imaging, base / "images")


@pytest.fixture(scope="module", params=FORMS)
def every_form(request, tmp_path_factory) -> Written:
    return small_exam(request.param, tmp_path_factory.mktemp("form"))


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Written:
    return small_exam("oblique", tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def ucsf(ucsf_imaging, tmp_path_factory) -> Written:
    exam, imaging = ucsf_imaging
    return written(tmp_path_factory.mktemp("ucsf"), exam, imaging, require_data("ucsf-br-06", "image_dce_3dfgre_orig"))


@pytest.fixture(scope="module")
def simulated_objects(simulated, simulated_imaging, tmp_path_factory) -> Written:
    base = tmp_path_factory.mktemp("simulated")
    write_dicom(simulated, base / "images")
    exam = read_exam([base / "images"])
    assert np.array_equal(exam.signal, simulated.exam.signal)
    return written(base, exam, simulated_imaging, base / "images")


def on_exam_grid(volume, geometry: Geometry) -> np.ndarray:
    """The voxels of a highdicom volume at the exam's voxel that lies at the same place in the patient."""
    values = np.zeros((*geometry.shape, *volume.array.shape[3:]), dtype=volume.array.dtype)
    index = np.stack(np.meshgrid(*(np.arange(n) for n in volume.spatial_shape), indexing="ij"), -1).reshape(-1, 3)
    place = index @ volume.affine[:3, :3].T + volume.affine[:3, 3]
    target = geometry.index_of(place)
    nearest = np.rint(target).astype(int)
    assert np.abs(target - nearest).max() < 0.02  # in voxels: the grids are one
    values[tuple(nearest.T)] = volume.array.reshape(-1, *volume.array.shape[3:])
    return values


def check_segmentation(made: Written) -> None:
    seg = hd.seg.segread(made.folder / "segmentation.dcm")
    arrays = made.arrays
    wanted = {"Lesion": arrays.lesion, "ring": arrays.ring}
    wanted |= {f"Habitat {k}": arrays.habitats == k for k in (1, 2, 3)}
    back = on_exam_grid(seg.get_volume(combine_segments=False), made.exam.geometry)
    labels = [seg.get_segment_description(n).segment_label for n in seg.segment_numbers]
    assert len(labels) == 5
    for name, mask in wanted.items():
        (at,) = [i for i, label in enumerate(labels) if name in label]
        assert np.array_equal(back[..., at] > 0, mask), name


# ---- voxels ------------------------------------------------------------------------------------------------------
def test_segments_are_the_labels_voxel_by_voxel_in_patient_space(every_form):
    check_segmentation(every_form)


def test_segments_of_the_real_exam(ucsf):
    check_segmentation(ucsf)


def test_segments_of_the_default_simulated_exam(simulated_objects):
    check_segmentation(simulated_objects)


def test_maps_are_those_of_the_case_around_the_lesion(every_form):
    wanted = every_form.arrays.lesion | every_form.arrays.ring
    for name, array in every_form.arrays.maps.items():
        image = hd.imread(every_form.folder / f"map_{name}.dcm")
        back = on_exam_grid(
            image.get_volume(apply_real_world_transform=False, dtype=np.float32), every_form.exam.geometry
        )
        assert np.array_equal(back[wanted], array[wanted], equal_nan=True), name
        (mapping,) = image.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence
        assert (mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept) == (1.0, 0.0)


def test_units_of_the_maps_are_ucum(small):
    found = {}
    for name in small.arrays.maps:
        mapping = small.object(f"map_{name}").SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0]
        code = mapping.MeasurementUnitsCodeSequence[0]
        assert code.CodingSchemeDesignator == "UCUM"
        found[name] = code.CodeValue
    expected = {"pe_early": "%", "pe_peak": "%", "ser": "1", "wis": "/min", "wos": "/min", "time_to_peak": "min"}
    assert found == expected


def test_whole_maps_and_no_maps_on_request(small, tmp_path):
    def files(extent):
        write_dicom_objects(tmp_path / extent, small.exam, small.case, small.arrays, map_extent=extent)
        return sorted(p.name for p in (tmp_path / extent).iterdir())

    assert files("none") == ["measurements.dcm", "segmentation.dcm"]
    files("whole")
    back = hd.imread(tmp_path / "whole" / "map_ser.dcm").get_volume(apply_real_world_transform=False, dtype=np.float32)
    assert np.array_equal(on_exam_grid(back, small.exam.geometry), small.arrays.maps["ser"], equal_nan=True)


# ---- references --------------------------------------------------------------------------------------------------
def places(made: Written) -> dict[tuple[str, int], tuple[int, np.ndarray]]:
    """(instance UID, frame number or 0) -> phase and position, straight from the source files."""
    found, times = {}, {}
    for path in sorted(made.images.rglob("*.dcm")):
        ds = pydicom.dcmread(path, stop_before_pixels=True)
        if "NumberOfFrames" not in ds:
            times.setdefault(float(ds.ContentTime), []).append(ds)
            continue
        for i, group in enumerate(ds.PerFrameFunctionalGroupsSequence):
            phase = int(group.FrameContentSequence[0].TemporalPositionIndex)
            place = np.array(group.PlanePositionSequence[0].ImagePositionPatient, float)
            found[(ds.SOPInstanceUID, i + 1)] = (phase, place)
    for phase, moment in enumerate(sorted(times), start=1):
        for ds in times[moment]:
            found[(ds.SOPInstanceUID, 0)] = (phase, np.array(ds.ImagePositionPatient, float))
    return found


def check_references(made: Written) -> None:
    source, header = places(made), pydicom.dcmread(next(made.images.rglob("*.dcm")), stop_before_pixels=True)
    early, late = made.case["kinetics"]["early_phase"] + 1, made.case["kinetics"]["late_phase"] + 1
    every = set(range(1, len(made.case["exam"]["phases"]) + 1))
    wanted = {"segmentation": {early}, "map_pe_early": {1, early}, "map_ser": {1, early, late}, "map_pe_peak": every}
    for name, phases in wanted.items():
        ds = made.object(name)
        assert ds.StudyInstanceUID == header.StudyInstanceUID
        assert ds.FrameOfReferenceUID == header.get("FrameOfReferenceUID", ds.FrameOfReferenceUID)
        normal = np.cross(*np.array(made.exam.geometry.direction_matrix.T[:2]))
        for group in ds.PerFrameFunctionalGroupsSequence:
            items = group.DerivationImageSequence[0].SourceImageSequence
            own = np.array(group.PlanePositionSequence[0].ImagePositionPatient, float)
            keys = [(i.ReferencedSOPInstanceUID, int(i.get("ReferencedFrameNumber", 0))) for i in items]
            assert {source[key][0] for key in keys} == phases
            assert len(keys) == len(phases)
            assert all(abs((source[key][1] - own) @ normal) < 1e-3 for key in keys)  # the same slice
        referenced = {
            i.ReferencedSOPInstanceUID for s in ds.ReferencedSeriesSequence for i in s.ReferencedInstanceSequence
        }
        per_frame = {
            i.ReferencedSOPInstanceUID
            for g in ds.PerFrameFunctionalGroupsSequence
            for i in g.DerivationImageSequence[0].SourceImageSequence
        }
        assert per_frame <= referenced <= {key[0] for key in source}


def test_every_frame_refers_to_its_slice_in_the_phases_it_came_from(every_form):
    check_references(every_form)


def test_references_of_the_real_exam(ucsf):
    check_references(ucsf)


def test_the_report_refers_to_segments_and_to_all_source_images(every_form):
    ds, seg = every_form.object("measurements"), every_form.object("segmentation")
    evidence = {
        i.ReferencedSOPInstanceUID
        for study in ds.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for i in series.ReferencedSOPSequence
    }
    assert evidence == {key[0] for key in places(every_form)} | {seg.SOPInstanceUID}
    report = hd.sr.srread(every_form.folder / "measurements.dcm").content
    groups = report.get_volumetric_roi_measurement_groups()
    assert len(groups) == 5
    for number, group in enumerate(groups, start=1):
        segment = group.referenced_segment
        assert segment.referenced_sop_instance_uid == seg.SOPInstanceUID
        assert [int(n) for n in segment.referenced_segment_numbers] == [number]
        assert group.tracking_uid == seg.SegmentSequence[number - 1].TrackingUID


# ---- numbers, codes, colors --------------------------------------------------------------------------------------
def measured(group) -> dict[str, tuple[float, str]]:
    found = {}
    for m in group.get_measurements():
        name = m.name.meaning if m.derivation is None else f"{m.derivation.meaning} {m.name.meaning}"
        assert m.unit.scheme_designator == "UCUM"
        found[name] = (m.value, m.unit.value)
    return found


def check_numbers(made: Written) -> None:
    report, case = hd.sr.srread(made.folder / "measurements.dcm").content, made.case
    lesion, *habitats, ring = [measured(g) for g in report.get_volumetric_roi_measurement_groups()]
    assert lesion["Volume"] == (pytest.approx(case["lesion"]["volume_cc"]), "cm3")
    assert lesion["Functional tumor volume"] == (pytest.approx(case["lesion"]["ftv_cc"]), "cm3")
    assert lesion["Long axis"] == (pytest.approx(case["lesion"]["longest_diameter_mm"]), "mm")
    ser = case["kinetics"]["lesion_statistics"]["ser"]
    assert lesion["Median Signal enhancement ratio"] == (pytest.approx(ser["p50"]), "1")
    for group, region in zip(habitats, case["habitats"]["regions"], strict=True):
        assert group["Volume"] == (pytest.approx(region["volume_cc"]), "cm3")
        slope = group["Mean Wash-out slope (negative: wash-out)"]
        assert slope == (pytest.approx(-region["centre"]["washout_rate"]), "/min")
    assert ring["Volume"] == (pytest.approx(case["ring"]["volume_cc"]), "cm3")
    scores = report.get_image_measurement_groups()
    assert len(scores) == len(case["scores"]) > 2
    assert sum(score["value"] is not None for score in case["scores"]) >= 2
    for group, score in zip(scores, case["scores"], strict=True):
        if score["value"] is None:
            assert not measured(group)
            continue
        assert next(iter(measured(group).values())) == (pytest.approx(score["value"]), "1")
        answers = {q.name.meaning: q.value.meaning for q in group.get_qualitative_evaluations()}
        inside = "Within" if score["in_range"]["overall"] else "Outside"
        assert answers["Case against the range of the model's training"].startswith(inside)
        assert answers["Group that the model puts the case in"] == score["group"]
        survival = [value for name, value in measured(group).items() if name.startswith("Predicted")]
        assert survival == [(pytest.approx(100 * s["probability"]), "%") for s in score["survival"]]


def test_the_report_holds_the_numbers_of_the_case_with_units(small):
    check_numbers(small)


def test_numbers_of_the_real_exam(ucsf):
    check_numbers(ucsf)
    lesion = measured(hd.sr.srread(ucsf.folder / "measurements.dcm").content.get_volumetric_roi_measurement_groups()[0])
    assert lesion["Functional tumor volume"][0] == pytest.approx(40.6, abs=0.05)  # 41.1 cc by UCSF's own map


def test_a_refused_score_is_a_reason_without_a_value(simulated_objects, tmp_path):
    case, _ = report_case(simulated_objects.exam, simulated_objects.imaging, clinical={})
    write_dicom_objects(tmp_path, simulated_objects.exam, case, simulated_objects.arrays, map_extent="none")
    refused = [s for s in case["scores"] if s["value"] is None]
    assert refused
    groups = hd.sr.srread(tmp_path / "measurements.dcm").content.get_image_measurement_groups()
    for group, score in zip(groups, case["scores"], strict=True):
        comments = [
            i.TextValue for i in group[0].ContentSequence if i.ValueType == "TEXT" and "Research" in i.TextValue
        ]
        assert len(comments) == 1
        assert (group.get_measurements() == []) == (score["value"] is None)
        if score["value"] is None:
            assert comments[0].startswith("Not scored. ")
    check_no_errors([tmp_path / "measurements.dcm"])


def test_segments_carry_codes_and_the_colors_of_the_product(small):
    seg = hd.seg.segread(small.folder / "segmentation.dcm")
    colors = [LESION_COLOR, *HABITAT_COLORS[:3], RING_COLOR]
    for number, color in zip(seg.segment_numbers, colors, strict=True):
        described = seg.get_segment_description(number)
        shown = hd.color.CIELabColor.from_dicom_value(described.RecommendedDisplayCIELabValue).to_rgb(clip=True)
        wanted = tuple(int(color[i : i + 2], 16) for i in (1, 3, 5))
        assert np.abs(np.array(shown) - wanted).max() <= 1
        kind = described.segmented_property_type
        expected = ("85756007", "SCT") if number == 5 else ("108369006", "SCT")
        assert (kind.value, kind.scheme_designator) == expected
        assert described.AnatomicRegionSequence[0].CodeValue == "76752008"  # breast
    lab = hd.color.CIELabColor.from_string(RING_COLOR)
    assert seg.get_segment_description(5).RecommendedDisplayCIELabValue == list(lab.value)


# ---- identity ----------------------------------------------------------------------------------------------------
SECRETS = {
    "PatientName": "M\u00fcller^\u00c4nne", "PatientID": "MRN-4711", "PatientBirthDate": "19610523",
    "AccessionNumber": "ACC77001", "StudyID": "ST-9", "ReferringPhysicianName": "House^G", "StudyDate": "20210314",
    "ContentDate": "20210314",
}  # fmt: skip


@pytest.fixture
def named(small, tmp_path):
    """The exam of ``small`` whose early image names a patient."""
    early = small.case["kinetics"]["early_phase"]
    frame = small.exam.source.frames[early][0]
    ds = pydicom.dcmread(frame.path)
    ds.SpecificCharacterSet = "ISO_IR 100"
    for keyword, value in SECRETS.items():
        setattr(ds, keyword, value)
    with pytest.warns(UserWarning, match="Invalid value for VR CS"):
        ds.PatientSex = "nonsense"
    ds.save_as(tmp_path / "named.dcm")
    changed = dataclasses.replace(frame, path=tmp_path / "named.dcm")
    phases = [list(phase) for phase in small.exam.source.frames]
    phases[early][0] = changed
    source = dataclasses.replace(small.exam.source, frames=tuple(tuple(p) for p in phases))
    return dataclasses.replace(small.exam, source=source)


def test_no_object_names_the_patient_by_default(small, named, tmp_path):
    paths = write_dicom_objects(tmp_path / "out", named, small.case, small.arrays)
    for path in paths:
        content = path.read_bytes()
        for value in SECRETS.values():
            assert value.encode("latin-1") not in content, (path.name, value)
            assert value.encode() not in content, (path.name, value)
        ds = pydicom.dcmread(path)
        assert ds.PatientIdentityRemoved == "YES"
        assert ds.PatientID.startswith("IITH-")
        assert ds.StudyInstanceUID == small.exam.source.frames[0][0].study_uid
    assert len({pydicom.dcmread(p).PatientID for p in paths}) == 1


def test_identity_is_copied_when_asked_for(small, named, tmp_path):
    plain = write_dicom_objects(tmp_path / "plain", named, small.case, small.arrays, map_extent="none")
    paths = write_dicom_objects(tmp_path / "named", named, small.case, small.arrays, identity=True, map_extent="none")
    for path, other in zip(paths, plain, strict=True):
        ds = pydicom.dcmread(path)
        for keyword, value in SECRETS.items():
            assert str(ds.get(keyword)) == value, keyword
        assert ds.PatientSex == ""  # no legal value in the source
        assert "PatientIdentityRemoved" not in ds
        assert ds.SOPInstanceUID != pydicom.dcmread(other).SOPInstanceUID  # another content, another object
    check_no_errors(paths)


def test_odd_headers_give_valid_objects(small, tmp_path):
    """What archives hold: overlong IDs, impossible dates, no frame of reference, attributes of type 2 left out."""
    early = small.case["kinetics"]["early_phase"]
    frame = small.exam.source.frames[early][0]
    ds = pydicom.dcmread(frame.path)
    for keyword in ("FrameOfReferenceUID", "AccessionNumber", "PatientBirthDate", "ReferringPhysicianName", "StudyID"):
        if keyword in ds:
            del ds[keyword]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds.PatientID, ds.StudyDate, ds.StudyTime = "X" * 90 + "\\Y", "20211340", "about noon"
        ds.PatientName = "=\u5c71\u7530^\u592a\u90ce"
        ds.SpecificCharacterSet = "ISO_IR 192"
        ds.save_as(tmp_path / "odd.dcm")
        phases = [list(phase) for phase in small.exam.source.frames]
        phases[early][0] = dataclasses.replace(frame, path=tmp_path / "odd.dcm")
        source = dataclasses.replace(small.exam.source, frames=tuple(tuple(p) for p in phases))
        exam = dataclasses.replace(small.exam, source=source)
        paths = write_dicom_objects(tmp_path / "out", exam, small.case, small.arrays, identity=True, map_extent="none")
    found = [pydicom.dcmread(path) for path in paths]
    assert {d.get("FrameOfReferenceUID", found[0].FrameOfReferenceUID) for d in found} == {found[0].FrameOfReferenceUID}
    assert all(len(d.PatientID) == 64 and d.StudyDate == "" for d in found)
    assert "\u5c71\u7530" in str(found[0].PatientName)
    check_no_errors(paths)


def test_what_breaks_the_rules_of_dicom_is_a_reason_and_no_crash(small, tmp_path, monkeypatch):
    def broken(*_args, **_options):
        raise ValueError("a header that cannot be")

    # Segmentation and report are written by then.
    monkeypatch.setattr("RadiogenomicReportLib.dicom_out.parametric_maps.parametric_maps", broken)
    case = add_dicom(tmp_path, small.exam, small.case, small.arrays)
    assert "cannot be made (ValueError: a header that cannot be)" in case["dicom"]["reason"]
    assert any("No DICOM objects were written" in w for w in case["warnings"])
    assert not any(tmp_path.iterdir())


# ---- the same again ----------------------------------------------------------------------------------------------
def test_a_second_run_writes_the_same_bytes_and_other_labels_other_uids(small, tmp_path):
    again = write_dicom_objects(tmp_path / "again", small.exam, small.case, small.arrays)
    for path in again:
        assert path.read_bytes() == (small.folder / path.name).read_bytes(), path.name
    ring = small.arrays.ring.copy()
    ring[tuple(np.argwhere(ring)[0])] = False
    changed = dataclasses.replace(small.arrays, ring=ring)
    others = write_dicom_objects(tmp_path / "other", small.exam, small.case, changed, map_extent="none")
    for path in others:
        ds, first = pydicom.dcmread(path), small.object(path.stem)
        assert ds.SOPInstanceUID != first.SOPInstanceUID
        assert ds.SeriesInstanceUID != first.SeriesInstanceUID


# ---- dciodvfy ----------------------------------------------------------------------------------------------------
def check_no_errors(paths) -> None:
    tool = shutil.which("dciodvfy")
    if tool is None:
        pytest.skip("dciodvfy is not installed (Debian: dicom3tools)")
    for path in paths:
        found = subprocess.run([tool, "-new", str(path)], capture_output=True, text=True, check=False)
        errors = [line for line in (found.stdout + found.stderr).splitlines() if line.startswith("Error")]
        assert not errors, (path.name, errors)


def test_dciodvfy_finds_no_error_in_the_objects_of_the_real_exam(ucsf):
    paths = sorted(ucsf.folder.iterdir())
    assert len(paths) == 8
    check_no_errors(paths)


def test_dciodvfy_finds_no_error_in_the_objects_of_the_simulated_exam(simulated_objects):
    check_no_errors(sorted(simulated_objects.folder.iterdir()))


def test_dciodvfy_finds_no_error_whatever_the_form_of_the_exam(every_form):
    check_no_errors(sorted(every_form.folder.iterdir()))


# ---- what cannot be written --------------------------------------------------------------------------------------
def test_an_exam_that_is_not_dicom_says_so(small, simulated, tmp_path):
    exam = make_exam(simulated.exam.signal[:, ::4, ::4, ::4], simulated.exam.times_s)
    with pytest.raises(InputError, match="not read from DICOM"):
        write_dicom_objects(tmp_path / "out", exam, small.case, small.arrays)
    with pytest.raises(InputError, match="not read from a DICOM folder"):
        add_dicom(tmp_path, exam, small.case, small.arrays, wanted=True)
    case = add_dicom(tmp_path, exam, small.case, small.arrays)
    assert case["dicom"] == {"files": [], "identity": None, "reason": "the exam was not read from a DICOM folder"}
    assert case["warnings"] == small.case["warnings"]
    assert not any(tmp_path.iterdir())


def test_images_without_valid_uids_cannot_be_referred_to(small, tmp_path):
    frames = [list(phase) for phase in small.exam.source.frames]
    frames[1][2] = dataclasses.replace(frames[1][2], sop_uid="IM0007.dcm")
    source = dataclasses.replace(small.exam.source, frames=tuple(tuple(p) for p in frames))
    exam = dataclasses.replace(small.exam, source=source)
    case = add_dicom(tmp_path, exam, small.case, small.arrays)
    assert case["dicom"]["files"] == []
    assert "no valid study, series and instance UID" in case["dicom"]["reason"]
    assert any("No DICOM objects were written" in w for w in case["warnings"])
    with pytest.raises(InputError, match="no valid study"):
        add_dicom(tmp_path, exam, small.case, small.arrays, wanted=True)
    assert not any(tmp_path.iterdir())


def test_without_highdicom_the_reason_names_the_remedy(small, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "highdicom", None)
    case = add_dicom(tmp_path, small.exam, small.case, small.arrays)
    assert "pip install highdicom" in case["dicom"]["reason"]
    assert not any(tmp_path.iterdir())


def test_a_habitat_without_voxels_has_no_segment_and_volume_0(small, tmp_path):
    case = {**small.case, "habitats": {**small.case["habitats"]}}
    regions = [dict(r) for r in case["habitats"]["regions"]]
    regions[1] |= {"volume_cc": 0.0, "share": 0.0, "centre": dict.fromkeys(regions[1]["centre"])}
    case["habitats"]["regions"] = regions
    habitats = np.where(small.arrays.habitats == 2, 1, small.arrays.habitats)
    arrays = dataclasses.replace(small.arrays, habitats=habitats)
    paths = write_dicom_objects(tmp_path, small.exam, case, arrays, map_extent="none")
    labels = [s.SegmentLabel for s in pydicom.dcmread(tmp_path / "segmentation.dcm").SegmentSequence]
    assert len(labels) == 4
    assert not any("Habitat 2" in label for label in labels)
    report = hd.sr.srread(tmp_path / "measurements.dcm").content
    group = next(g for g in report.get_image_measurement_groups() if "Habitat 2" in g.tracking_identifier)
    assert measured(group) == {"Volume": (0.0, "cm3"), "Share of the lesion's volume": (0.0, "%")}
    assert [g.tracking_identifier for g in report.get_volumetric_roi_measurement_groups()] == labels
    check_no_errors(paths)
