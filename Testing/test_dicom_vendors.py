"""How GE, Siemens and Philips tell phases and times, and what stands in when they do not."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from SubregionHabitatLib.dicom_exam import read_dicom_exam
from SubregionHabitatLib.errors import InputError
from SubregionHabitatLib.simulation import DicomOptions, write_dicom
from support.dicom_edits import edit_files, phase_of
from support.reading import CLOCK_TAGS, NUMBER_TAGS, TIMES, assert_same, clock_text, drop, small_exam


@pytest.fixture(scope="module")
def small():
    return small_exam()


def read(small, folder, change, per_phase=False, **arguments):
    write_dicom(small, folder / "exam", DicomOptions(series_per_phase=per_phase))
    edit_files(folder / "exam", change)
    return read_dicom_exam(folder / "exam", **arguments)


def test_ge_all_phases_in_one_series_with_trigger_times_only(small, tmp_path):
    def ge(ds):
        ds.Manufacturer = "GE MEDICAL SYSTEMS"
        ds.TriggerTime = 1000 * TIMES[phase_of(ds) - 1]
        ds.AcquisitionTime = ds.ContentTime = "100000"
        drop(ds, *NUMBER_TAGS, "TemporalResolution")

    found = read(small, tmp_path, ge)
    assert_same(found, small)
    assert found.timing.source == "TriggerTime"
    assert found.timing.temporal_resolution_s is None


def test_ge_trigger_times_that_differ_between_slices(small, tmp_path):
    def ge(ds):
        slice_number = (int(ds.InstanceNumber) - 1) % 10
        ds.TriggerTime = 1000 * TIMES[phase_of(ds) - 1] + 37 * slice_number
        drop(ds, *NUMBER_TAGS, "AcquisitionTime", "ContentTime")

    assert_same(read(small, tmp_path, ge), small)


@pytest.mark.parametrize(
    ("microseconds", "seconds", "words"),
    [
        (88_000_000, 88.0, ""),
        (450_000_000, 90.0, "The header's duration of 450 s is that of all 5 phases together."),
        (900_000_000, None, "The header's phase duration of 900 s exceeds the step between phases; it was not used."),
    ],
)
@pytest.mark.parametrize("known", [True, False])
def test_ge_private_acquisition_duration(small, tmp_path, microseconds, seconds, words, known):
    def ge(ds):
        ds.Manufacturer = "GE MEDICAL SYSTEMS"
        drop(ds, "TemporalResolution")
        block = ds.private_block(0x0019, "GEMS_ACQU_01", create=True)
        if known:
            block.add_new(0x5A, "FL", float(microseconds))
        else:  # an archive without GE's dictionary
            block.add_new(0x5A, "UN", np.float32(microseconds).tobytes())

    found = read(small, tmp_path, ge)
    assert_same(found, small)
    assert found.timing.temporal_resolution_s == (None if seconds is None else pytest.approx(seconds))
    assert [n for n in found.timing.notes if n] == ([words] if words else [])


def test_siemens_one_series_per_phase_with_acquisition_time(small, tmp_path):
    """ContentTime is then the time of reconstruction: the same for all, or in no order."""

    def siemens(ds):
        ds.Manufacturer, ds.ImageType = "SIEMENS", ["ORIGINAL", "PRIMARY", "M", "ND"]
        ds.ContentTime = "103000.125000"
        ds.SeriesNumber = 7 + 2 * phase_of(ds)
        drop(ds, "TemporalPositionIdentifier", "NumberOfTemporalPositions", "AcquisitionNumber", "SeriesTime")

    write_dicom(small, tmp_path / "exam", DicomOptions(series_per_phase=True))
    edit_files(tmp_path / "exam", siemens)
    found = read_dicom_exam(tmp_path / "exam")
    assert_same(found, small)
    assert found.timing.source == "AcquisitionTime"
    assert len(found.source.series_hashes) == 5


def test_philips_temporal_position_and_trigger_time(small, tmp_path):
    """Slices of a position follow each other; ContentTime and AcquisitionTime are those of the series."""

    def philips(ds):
        phase, z = phase_of(ds), (int(ds.InstanceNumber) - 1) % 10
        ds.Manufacturer, ds.ImageType = "Philips Medical Systems", ["ORIGINAL", "PRIMARY", "M_FFE", "M", "FFE"]
        ds.TemporalPositionIdentifier, ds.TriggerTime = phase, 1000 * TIMES[phase - 1]
        ds.InstanceNumber = z * 5 + phase
        ds.AcquisitionNumber = 4
        ds.AcquisitionTime = ds.ContentTime = "100000"

    # phase_of reads the number that is replaced here, so every file is edited once only
    found = read(small, tmp_path, philips)
    assert_same(found, small)
    assert found.timing.source == "TriggerTime"


def test_phase_images_and_derived_images_in_the_series_of_the_exam(small, tmp_path):
    write_dicom(small, tmp_path / "exam")

    def other(image_type, offset):
        def change(ds):
            ds.ImageType = image_type
            ds.SOPInstanceUID += str(offset)
            ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID

        return change

    for k, image_type in enumerate((["ORIGINAL", "PRIMARY", "PHASE MAP", "P"], ["DERIVED", "SECONDARY", "SUB"])):
        write_dicom(small, tmp_path / "exam" / str(k))
        edit_files(tmp_path / "exam" / str(k), other(image_type, k))
    found = read_dicom_exam(tmp_path / "exam")
    assert_same(found, small)
    assert found.source.left_out == (
        "50 phase or complex images of series 1 (Simulated DCE) left out.",
        "50 derived images of series 1 (Simulated DCE) left out.",
    )


def test_dixon_water_is_taken_and_fat_left_out(small, tmp_path):
    for number, part in ((1, "W"), (2, "F")):
        write_dicom(small, tmp_path / "exam" / part)

        def dixon(ds, number=number, part=part):
            ds.ImageType = ["ORIGINAL", "PRIMARY", part, "DIXON"]
            ds.SeriesNumber, ds.SeriesDescription = number, f"dynamic {part}"
            ds.SeriesInstanceUID += str(number)
            ds.SOPInstanceUID += str(number)
            ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
            if part == "F":
                ds.PixelData = bytes(len(ds.PixelData))

        edit_files(tmp_path / "exam" / part, dixon)
    found = read_dicom_exam(tmp_path / "exam")
    assert_same(found, small)
    assert found.source.left_out == (
        "series 2 (dynamic F) left out: the fat images of a Dixon acquisition; the water images were taken.",
    )


def test_a_mosaic_is_refused_with_the_reason(small, tmp_path):
    def mosaic(ds):
        ds.ImageType = ["ORIGINAL", "PRIMARY", "M", "MOSAIC"]

    with pytest.raises(InputError, match=r"the folder holds: series 1 .* a Siemens mosaic \(all slices in one image\)"):
        read(small, tmp_path, mosaic)


def test_several_frames_in_a_single_frame_class_are_refused(small, tmp_path):
    def frames(ds):
        ds.NumberOfFrames = 3

    with pytest.raises(InputError, match=r"50 files cannot be used \(first: IM00001\.dcm is not usable \(several"):
        read(small, tmp_path, frames)


def test_undated_phases_over_midnight_without_any_number(small, tmp_path):
    """One series per phase: nothing but the gap of the day tells the order."""

    def night(ds):
        ds.AcquisitionTime = ds.ContentTime = clock_text(86400 - 200 + TIMES[phase_of(ds) - 1])
        drop(ds, *NUMBER_TAGS, "ContentDate", "AcquisitionDate", "SeriesDate", "StudyDate", "SeriesTime")

    assert_same(read(small, tmp_path, night, per_phase=True), small)


@pytest.mark.parametrize("date", ["StudyDate", "SeriesDate"])
def test_phases_over_midnight_whose_study_or_series_alone_is_dated(small, tmp_path, date):
    """The third phase was acquired after midnight, but its series was begun, and so dated, before it."""

    def night(ds):
        seconds = 86400 - 200 + TIMES[phase_of(ds) - 1]
        drop(ds, *NUMBER_TAGS, "ContentDate", "AcquisitionDate", "SeriesDate", "ContentTime")
        ds.AcquisitionTime, ds.SeriesTime = clock_text(seconds), clock_text(seconds - 25)
        ds.StudyDate = "20260228"
        if date == "SeriesDate":
            ds.SeriesDate = "20260228" if seconds - 25 < 86400 else "20260301"

    found = read(small, tmp_path, night, per_phase=True)
    assert_same(found, small)
    assert found.timing.source == "AcquisitionTime"


def test_midnight_within_one_series_told_apart_by_clocks_alone(small, tmp_path):
    def night(ds):
        ds.ContentTime = clock_text(86400 - 200 + TIMES[phase_of(ds) - 1])
        drop(ds, *NUMBER_TAGS, "AcquisitionTime", "ContentDate", "SeriesDate", "StudyDate", "SeriesTime")

    assert_same(read(small, tmp_path, night), small)


def test_acquisition_times_order_phases_that_were_reconstructed_in_another_order(small, tmp_path):
    def backwards(ds):
        seconds = TIMES[phase_of(ds) - 1]
        ds.AcquisitionTime, ds.ContentTime = clock_text(36000 + seconds), clock_text(39000 - seconds)
        drop(ds, *NUMBER_TAGS, "SeriesTime")

    found = read(small, tmp_path, backwards, per_phase=True)
    assert_same(found, small)
    assert found.timing.source == "AcquisitionTime"
    assert found.timing.notes == (
        "ContentTime puts the phases into another order than AcquisitionTime; AcquisitionTime was used.",
    )


@pytest.mark.parametrize(
    ("keyword", "pre", "post"),
    [("RepetitionTime", 4.498, 4.502), ("EchoTime", 1.749, 1.751), ("FlipAngle", 9.49, 9.51)],
)
def test_no_phase_is_lost_to_the_rounding_of_its_protocol(small, tmp_path, keyword, pre, post):
    def adjusted(ds):
        setattr(ds, keyword, pre if phase_of(ds) == 1 else post)

    assert_same(read(small, tmp_path, adjusted, per_phase=True), small)


def test_two_phases_on_another_grid_are_not_left_out_in_silence(small, tmp_path):
    def shifted(ds):
        if phase_of(ds) > 3:
            ds.ImagePositionPatient = [float(v) + 1.0 for v in ds.ImagePositionPatient]

    with pytest.raises(
        InputError, match=r"series \d+ .* \+ series \d+ .* looks like a phase of the dynamic exam but has"
    ):
        read(small, tmp_path, shifted, per_phase=True)


def test_phases_with_different_clocks(small, tmp_path):
    """The pre-contrast series lost its ContentTime, the others their AcquisitionTime."""

    def lose(ds):
        drop(ds, *NUMBER_TAGS, "SeriesTime", "AcquisitionTime" if phase_of(ds) > 1 else "ContentTime")

    found = read(small, tmp_path, lose, per_phase=True)
    assert_same(found, small)
    assert found.timing.source == "several clocks"
    assert found.timing.phase_sources == ("AcquisitionTime", *["ContentTime"] * 4)
    assert found.timing.confidence == "low"


def test_clocks_that_disagree_are_named(small, tmp_path):
    def late(ds):
        if phase_of(ds) == 3:
            ds.AcquisitionTime = clock_text(36000 + TIMES[2] + 30)

    found = read(small, tmp_path, late)
    assert found.timing.confidence == "medium"
    assert found.timing.confirmed_by == ()
    assert found.timing.notes == (
        "Phase times from ContentTime and AcquisitionTime differ by more than 15 s; ContentTime was used.",
    )


def strip_times(ds):
    drop(ds, *CLOCK_TAGS, "TemporalPositionIdentifier", "NumberOfTemporalPositions", "TemporalResolution")


def test_no_timing_tag_at_all_is_refused_or_read_in_order(small, tmp_path):
    with pytest.raises(InputError, match=r"The 5 phases carry no usable acquisition times .*--times T0,T1,\.\.\."):
        read(small, tmp_path / "a", strip_times)
    found = read(small, tmp_path / "b", strip_times, allow_no_times=True)
    assert np.array_equal(found.signal, small.exam.signal)
    assert found.times_s == (0, 1, 2, 3, 4)
    assert not found.timing.known
    assert (found.timing.source, found.timing.confidence) == ("none", "none")
    assert found.timing.notes == (
        "The phases carry no times; they are ordered by AcquisitionNumber, and slopes are not available.",
    )


def test_no_timing_tag_and_one_series_per_phase_follow_the_series_numbers(small, tmp_path):
    def strip(ds):
        strip_times(ds)
        ds.SeriesNumber = 3 * int(ds.SeriesNumber)

    found = read(small, tmp_path, strip, per_phase=True, allow_no_times=True)
    assert np.array_equal(found.signal, small.exam.signal)
    assert "ordered by SeriesNumber" in found.timing.notes[0]


def test_neither_times_nor_numbers(small, tmp_path):
    def strip(ds):
        strip_times(ds)
        drop(ds, "SeriesNumber")

    with pytest.raises(InputError, match="carry neither times nor numbers that tell their order"):
        read(small, tmp_path, strip, per_phase=True, allow_no_times=True)


def test_coronal_slices_and_slices_stacked_backwards(small, tmp_path):
    """The same voxels named as coronal planes of another patient position."""
    turn = np.array([[1.0, 0, 0], [0, 0, 1.0], [0, -1.0, 0]])  # columns: rows run left, columns inferior

    def coronal(ds):
        z = (int(ds.InstanceNumber) - 1) % 10
        ds.ImageOrientationPatient = [*turn[:, 0], *turn[:, 1] * np.array([1, 1, -1])]
        ds.ImagePositionPatient = [-60.0, 80.0 - 9.0 * z, 70.0]

    write_dicom(small, tmp_path / "exam")
    edit_files(tmp_path / "exam", coronal)
    found = read_dicom_exam(tmp_path / "exam")
    normal = found.geometry.direction_matrix[:, 2]
    assert np.abs(normal[1]) == pytest.approx(1)
    assert np.linalg.det(found.geometry.direction_matrix) == pytest.approx(1)
    first = found.geometry.lps_of(np.array([[0, 0, 0]]))[0]
    expected = small.exam.signal if first[1] == pytest.approx(80) else small.exam.signal[:, ::-1]
    assert np.array_equal(found.signal, expected)
    assert sorted((first[1], found.geometry.lps_of(np.array([[9, 0, 0]]))[0, 1])) == pytest.approx([-1.0, 80.0])


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(flips=st.tuples(st.booleans(), st.booleans()), order=st.randoms(use_true_random=False))
def test_mirrored_images_and_any_file_order_are_the_same_physical_exam(small, tmp_path, flips, order):
    """Rows or columns stored the other way round, with the orientation that says so, and files in any order."""
    folder = Path(tempfile.mkdtemp(dir=tmp_path))
    paths = write_dicom(small, folder / "exam")
    names = list(range(len(paths)))
    order.shuffle(names)
    for path, name in zip(paths, names, strict=True):
        ds = pydicom.dcmread(path)
        pixels = ds.pixel_array
        axes = [np.array(ds.ImageOrientationPatient[k : k + 3], dtype=float) for k in (0, 3)]
        corner = np.array(ds.ImagePositionPatient, dtype=float)
        for k, (flip, spacing) in enumerate(zip(flips, ds.PixelSpacing[::-1], strict=True)):
            if flip:
                corner += axes[k] * float(spacing) * (pixels.shape[1 - k] - 1)
                axes[k] = -axes[k]
                pixels = np.flip(pixels, axis=1 - k)
        ds.ImageOrientationPatient, ds.ImagePositionPatient = [*axes[0], *axes[1]], [*corner]
        ds.InstanceNumber = name + 1
        ds.PixelData = np.ascontiguousarray(pixels).tobytes()
        ds.save_as(folder / "exam" / f"other{name:03d}")
        path.unlink()
    found = read_dicom_exam(folder / "exam")
    index = np.rint(found.geometry.index_of(small.exam.geometry.lps_of(np.argwhere(small.voi)))).astype(int)
    z, y, x = index.T
    assert np.array_equal(found.signal[:, z, y, x], small.exam.signal[:, small.voi])
    assert found.times_s == pytest.approx(TIMES)


def test_decimal_strings_rounded_differently_are_one_stack(small, tmp_path):
    def rounded(ds):
        if phase_of(ds) > 2:
            ds.PixelSpacing = [3.60004, 3.59996]
            ds.ImageOrientationPatient = [float(v) + 4e-4 * (abs(float(v)) < 0.5) for v in ds.ImageOrientationPatient]

    found = read(small, tmp_path, rounded)
    assert found.n_phases == 5
    assert np.array_equal(found.signal, small.exam.signal)


def test_a_malformed_number_is_refused_with_the_file(small, tmp_path):
    write_dicom(small, tmp_path / "exam")
    victim = tmp_path / "exam" / "IM00003.dcm"
    content = victim.read_bytes()
    place = content.index(b"\x28\x00\x30\x00DS") + 8
    victim.write_bytes(content[:place] + b"x" + content[place + 1 :])
    with pytest.raises(InputError, match=r"phase 1 holds 9 of 10 slices\. .*IM00003\.dcm is not usable \(PixelSp"):
        read_dicom_exam(tmp_path / "exam")


def test_reading_reports_progress_and_can_be_cancelled(small, tmp_path):
    from SubregionHabitatLib.errors import Cancelled

    write_dicom(small, tmp_path / "exam")
    seen = []

    class Watch:
        def step(self, fraction, message):
            seen.append(fraction)
            if message == "reading images" and fraction > 0.5:
                raise Cancelled

    with pytest.raises(Cancelled):
        read_dicom_exam(tmp_path / "exam", progress=Watch())
    assert seen == sorted(seen)
    assert 0 <= seen[0] <= seen[-1] <= 1


def test_identity_is_kept_apart(small, tmp_path):
    found = read(small, tmp_path, lambda ds: setattr(ds, "PatientName", "DOE^JANE"))
    assert found.source.identity["PatientName"] == "DOE^JANE"
    assert "DOE" not in repr(found.source)
    assert pydicom.dcmread(tmp_path / "exam" / "IM00001.dcm").StudyInstanceUID not in repr(found.source)
