"""Whole studies: the dynamic exam is found among everything else, two breasts are told apart, and a volume that is
not whole is never taken for a phase nor dropped in silence."""

from __future__ import annotations

import time

import numpy as np
import pydicom
import pytest

from SubregionHabitatLib.dicom_exam import read_dicom_exam
from SubregionHabitatLib.errors import InputError
from SubregionHabitatLib.simulation import DicomOptions, write_dicom
from support.dicom_edits import edit_files, phase_of
from support.reading import TIMES, assert_same, clock_text, renumber, small_exam, write_series

# What Siemens, GE and Philips write beside a dynamic breast exam: (description, ImageType, further attributes).
M = ["ORIGINAL", "PRIMARY", "M", "ND"]
STUDY = {
    101: ("localizer", ["ORIGINAL", "PRIMARY", "LOCALIZER"], {}),
    102: ("3-plane scout", M, {}),
    103: ("t2_tse_tra_fs", M, {"RepetitionTime": 4000, "EchoTime": 90}),
    104: ("ep2d_diff_tra", ["ORIGINAL", "PRIMARY", "DIFFUSION", "NONE"], {"ScanningSequence": "EP"}),
    105: ("ep2d_diff_tra_ADC", ["DERIVED", "PRIMARY", "DIFFUSION", "ADC"], {"ScanningSequence": "EP"}),
    106: ("Ax DWI b=800", M, {"DiffusionBValue": 800.0}),
    107: ("t1_fl3d_dyn_SUB", M, {}),
    108: ("t1_fl3d_dyn_Sub_2-1", ["DERIVED", "PRIMARY", "M", "SUB"], {}),
    109: ("t1_fl3d_dyn_WI", M, {}),
    110: ("t1_fl3d_dyn_WO", ["DERIVED", "PRIMARY", "MIXED"], {}),
    111: ("t1_fl3d_dyn_PEI", M, {}),
    112: ("t1_fl3d_dyn_TTP", M, {}),
    113: ("MIP_COR", M, {}),
    114: ("t1_fl3d_dyn_MIP_TRA", ["DERIVED", "SECONDARY", "MIP"], {}),
    115: ("T1 high resolution", M, {"RepetitionTime": 12, "FlipAngle": 20}),
}


@pytest.fixture(scope="module")
def small():
    return small_exam()


def write_study(small, folder):
    """The exam as one series per phase among 15 other series, each with the images of all 5 phases but one T1."""
    write_series(small, folder / "dynamic", 21, per_phase=True)
    for number, (description, image_type, values) in STUDY.items():
        paths = write_series(small, folder / str(number), number)
        for path in paths:
            dataset = pydicom.dcmread(path)
            if number == 115 and phase_of(dataset) > 1:
                path.unlink()
                continue
            dataset.SeriesDescription, dataset.ImageType = description, image_type
            for keyword, value in values.items():
                setattr(dataset, keyword, value)
            dataset.save_as(path)


def test_the_dynamic_exam_is_found_in_a_complete_study(small, tmp_path):
    write_study(small, tmp_path)
    found = read_dicom_exam(tmp_path)
    assert_same(found, small)
    assert found.source.n_files == 50
    left_out = "\n".join(found.source.left_out)
    for number, (description, _, _) in STUDY.items():
        assert f"series {number} ({description}) left out: " in left_out
    assert len(found.source.left_out) == len(STUDY)
    assert "series 104 (ep2d_diff_tra) left out: diffusion or echo-planar imaging." in left_out
    assert "series 107 (t1_fl3d_dyn_SUB) left out: its description says 'SUB'." in left_out
    assert "series 110 (t1_fl3d_dyn_WO) left out: a derived image." in left_out


def test_a_study_of_2800_files_is_scanned_in_seconds(small, tmp_path):
    """Everything but the dynamic exam is left after its header."""
    write_series(small, tmp_path / "dynamic", 1)
    template = pydicom.dcmread(sorted((tmp_path / "dynamic").iterdir())[0])
    content = (tmp_path / "dynamic" / "IM00001.dcm").read_bytes()
    old = template.SeriesInstanceUID.encode(), template.SOPInstanceUID.encode()
    (tmp_path / "other").mkdir()
    for k in range(2750):
        series = f"2.25.9{k // 50:0{len(old[0]) - 6}d}".encode()
        instance = f"2.25.8{k:0{len(old[1]) - 6}d}".encode()
        written = content.replace(old[1], instance).replace(old[0], series)
        written = written.replace(b"ORIGINAL\\PRIMARY\\OTHER", b"DERIVED\\SECONDARY\\XXXX")
        (tmp_path / "other" / f"{k}").write_bytes(written)
    start = time.perf_counter()
    found = read_dicom_exam(tmp_path)
    seconds = time.perf_counter() - start
    assert_same(found, small)
    assert len(found.source.left_out) == 55
    assert seconds < 20


def test_derived_images_are_used_only_when_nothing_else_is_there(small, tmp_path):
    """Motion-corrected phases are DERIVED too."""
    write_dicom(small, tmp_path / "exam")
    edit_files(tmp_path / "exam", lambda ds: setattr(ds, "ImageType", ["DERIVED", "PRIMARY", "M", "MOCO"]))
    assert_same(read_dicom_exam(tmp_path / "exam"), small)


# ---- left and right ----------------------------------------------------------------------------------------------
def shift_left_right(mm):
    def change(ds):
        ds.ImagePositionPatient = [float(ds.ImagePositionPatient[0]) + mm, *ds.ImagePositionPatient[1:]]

    return change


@pytest.mark.parametrize("orientation", ["sagittal", "axial"])
def test_left_and_right_breast_in_one_series(tmp_path, orientation):
    """As GE writes a bilateral sagittal exam; in axial slices the two volumes lie side by side."""
    left = small_exam(orientation=orientation)
    write_series(left, tmp_path / "a", 3)
    write_series(left, tmp_path / "b", 3)
    middle = left.exam.geometry.lps_of((np.array([left.exam.geometry.shape]) - 1) / 2)[0, 0]

    def right(ds):
        shift_left_right(-2 * middle - 100)(ds)
        ds.SOPInstanceUID += "7"
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
        ds.PixelData = (ds.pixel_array // 2).astype("<u2").tobytes()

    edit_files(tmp_path / "b", right)
    with pytest.raises(
        InputError,
        match=r"2 possible dynamic exams: series 3 \(Simulated DCE\), (left|right) side \(5 phases of 10 slices\); .*"
        r"Choose one with --series 3@(left|right) or --series 3@(left|right)\.",
    ):
        read_dicom_exam(tmp_path)
    assert_same(read_dicom_exam(tmp_path, series="3@left"), left)
    assert_same(read_dicom_exam(tmp_path, series="@L"), left)
    other = read_dicom_exam(tmp_path, series="3@right")
    assert np.array_equal(other.signal, left.exam.signal // 2)
    assert other.geometry.origin_mm[0] == pytest.approx(left.exam.geometry.origin_mm[0] - 2 * middle - 100, abs=1e-3)
    both = [read_dicom_exam(tmp_path, series=f"@{k}") for k in (1, 2)]
    assert sorted(e.geometry.origin_mm[0] for e in both) == pytest.approx(
        sorted((other.geometry.origin_mm[0], left.exam.geometry.origin_mm[0])), abs=1e-3
    )


def test_left_and_right_breast_in_series_of_their_own(small, tmp_path):
    write_series(small, tmp_path / "a", 5)
    write_series(small, tmp_path / "b", 6)
    edit_files(tmp_path / "b", shift_left_right(-200))
    with pytest.raises(InputError, match=r"left side .*right side .*Choose one with --series 5 or --series 6\."):
        read_dicom_exam(tmp_path)
    assert_same(read_dicom_exam(tmp_path, series="5"), small)
    assert read_dicom_exam(tmp_path, series="@right").source.left_out == (
        "series 5 (Simulated DCE), left side left out: another dynamic exam was asked for.",
    )


@pytest.mark.parametrize(
    ("series", "message"),
    [
        ("@top", r"--series \.\.\.@top does not name one of 2 exams\. Choose one with --series 5 or --series 6\."),
        ("@3", r"--series \.\.\.@3 does not name one of 2 exams"),
        ("@left", r"--series \.\.\.@left does not name one exam: 0 of 2 lie on that side"),
        ("5@@2", r"--series '5@@2' is not understood; write for example 5, 5,6,7 or 5@left"),
    ],
)
def test_a_choice_that_names_no_exam(small, tmp_path, series, message):
    write_series(small, tmp_path / "a", 5)
    write_series(small, tmp_path / "b", 6)
    edit_files(tmp_path / "b", lambda ds: setattr(ds, "FlipAngle", 30))
    with pytest.raises(InputError, match=message):
        read_dicom_exam(tmp_path, series=series)


def test_the_same_exam_at_two_visits_gives_a_list(small, tmp_path):
    write_series(small, tmp_path / "a", 5)
    write_series(small, tmp_path / "b", 5)

    def later(ds):
        renumber(ds, 55)
        ds.SeriesNumber, ds.StudyInstanceUID = 5, "2.25.99"

    edit_files(tmp_path / "b", later)
    with pytest.raises(InputError, match=r"2 possible dynamic exams.*Choose one with --series 5@1 or --series 5@2\."):
        read_dicom_exam(tmp_path)
    assert_same(read_dicom_exam(tmp_path, series="5@2"), small)


# ---- volumes that are not whole ----------------------------------------------------------------------------------
def with_part_of_a_phase(small, folder, start_s, slices=4, phase=1, **values):
    """The exam as series 1..5 and series 9: some slices of one phase that began ``start_s`` after the first."""
    write_series(small, folder / "exam", 1, per_phase=True)
    write_series(small, folder / "part", 1, per_phase=True)

    def part(ds):
        if phase_of(ds) != phase or (int(ds.InstanceNumber) - 1) % 10 >= slices:
            return False
        renumber(ds, 9)
        ds.ContentTime = ds.AcquisitionTime = ds.SeriesTime = clock_text(36000 + start_s)
        for keyword, value in values.items():
            setattr(ds, keyword, value)
        return True

    edit_files(folder / "part", part)


def test_an_aborted_first_try_is_left_out_with_a_word(small, tmp_path):
    with_part_of_a_phase(small, tmp_path, start_s=-50)
    found = read_dicom_exam(tmp_path)
    assert_same(found, small)
    assert found.source.left_out == (
        "series 9 (Simulated DCE phase 1) left out: 4 of 10 slices, broken off and repeated: the next complete phase "
        "began 50 s later, a whole phase takes 90 s.",
    )


def test_slices_of_a_complete_phase_are_left_out_with_a_word(small, tmp_path):
    with_part_of_a_phase(small, tmp_path, start_s=TIMES[2])
    found = read_dicom_exam(tmp_path)
    assert_same(found, small)
    assert "4 of 10 slices, acquired at the same ContentTime as a complete phase" in found.source.left_out[0]


@pytest.mark.parametrize("start_s", [-400, 490])
def test_a_part_that_may_be_a_phase_is_refused(small, tmp_path, start_s):
    with_part_of_a_phase(small, tmp_path, start_s=start_s)
    message = (
        r"series 9 \(Simulated DCE phase 1\) holds 4 of the 10 slices of the dynamic exam and may be one of its "
        r"phases; restore its missing files, or leave it out with --series 1,2,3,4,5\."
    )
    with pytest.raises(InputError, match=message):
        read_dicom_exam(tmp_path)
    assert_same(read_dicom_exam(tmp_path, series="1,2,3,4,5"), small)


def test_a_phase_with_missing_slices_among_series_is_refused(small, tmp_path):
    write_series(small, tmp_path, 1, per_phase=True)
    edit_files(tmp_path, lambda ds: not (phase_of(ds) == 3 and (int(ds.InstanceNumber) - 1) % 10 > 3))
    with pytest.raises(InputError, match=r"series 3 .* holds 4 of the 10 slices of the dynamic exam and may be one of"):
        read_dicom_exam(tmp_path)


def test_a_broken_series_of_another_protocol_does_not_stop_the_run(small, tmp_path):
    with_part_of_a_phase(small, tmp_path, start_s=900, slices=9, RepetitionTime=700)
    for path in (tmp_path / "part").glob("*.dcm"):
        if int(pydicom.dcmread(path).InstanceNumber) % 10 == 4:
            path.unlink()
    found = read_dicom_exam(tmp_path)
    assert_same(found, small)
    assert found.source.left_out == ("series 9 (Simulated DCE phase 1) left out: its slices are incomplete.",)


def test_a_bilateral_exam_with_its_pre_contrast_series_23_minutes_earlier(tmp_path):
    exam = small_exam(orientation="axial", bilateral=True, shape=(14, 40, 72), spacing_mm=(4.6, 4.6, 9.0))
    write_series(exam, tmp_path, 1, per_phase=True)

    def early(ds):
        if phase_of(ds) == 1:
            ds.ContentTime = ds.AcquisitionTime = clock_text(36000 - 1380)

    edit_files(tmp_path, early)
    assert_same(read_dicom_exam(tmp_path), exam, (0.0, *(t + 1380 for t in TIMES[1:])))


def test_slices_that_are_sheared_or_uneven_are_refused(small, tmp_path):
    def shear(ds):
        z = (int(ds.InstanceNumber) - 1) % 10
        ds.ImagePositionPatient = [*ds.ImagePositionPatient[:2], float(ds.ImagePositionPatient[2]) + 1.5 * z]

    write_dicom(small, tmp_path / "a")
    edit_files(tmp_path / "a", shear)
    with pytest.raises(InputError, match="are not stacked at a right angle"):
        read_dicom_exam(tmp_path / "a")

    def skew(ds):
        ds.ImageOrientationPatient = [1, 0, 0, 0.2, 0.9797959, 0]

    write_dicom(small, tmp_path / "b")
    edit_files(tmp_path / "b", skew)
    with pytest.raises(InputError, match=r"is not a right angle; re-export the series"):
        read_dicom_exam(tmp_path / "b")


def test_a_phase_moved_far_away_is_refused(small, tmp_path):
    """The table moved between phases: their volumes do not share one grid."""
    write_dicom(small, tmp_path, DicomOptions())

    def move(ds):
        if phase_of(ds) == 3:
            ds.ImagePositionPatient = [*ds.ImagePositionPatient[:2], float(ds.ImagePositionPatient[2]) + 40]

    edit_files(tmp_path, move)
    with pytest.raises(InputError, match=r"looks like a phase of the dynamic exam but has a different geometry"):
        read_dicom_exam(tmp_path)
