"""The reader on the layouts that archives really hold, made from the simulated exam."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest

from SubregionHabitatLib.dicom_exam import read_dicom_exam
from SubregionHabitatLib.errors import InputError
from SubregionHabitatLib.exam_files import read_exam, read_phase_files
from SubregionHabitatLib.masks import read_region
from SubregionHabitatLib.simulation import DicomOptions, SimulationParameters, simulate_exam, write_dicom
from SubregionHabitatLib.simulation.dicom_writer import TIMING_TAGS
from SubregionHabitatLib.volume_io import write_volume
from support.dicom_edits import edit_files, phase_of

TIMES = (0.0, 130.0, 220.0, 310.0, 400.0)


@pytest.fixture(scope="module")
def small():
    return simulate_exam(
        SimulationParameters(seed=4, shape=(24, 60, 60), spacing_mm=(2.4, 2.4, 5.0), lesion_radii_mm=(9.0, 9.0, 9.0))
    )


def read(small, folder, options=None, change=None, **arguments):
    write_dicom(small, folder / "exam", options)
    if change:
        edit_files(folder / "exam", change)
    return read_dicom_exam(folder / "exam", **arguments)


def assert_same(found, small, times=TIMES):
    assert found.times_s == pytest.approx(times, abs=0.01)
    assert found.geometry.same_grid(small.exam.geometry)
    assert np.array_equal(found.signal, small.exam.signal)


def _set(dataset, **values):
    for keyword, value in values.items():
        setattr(dataset, keyword, value)


def test_one_series_with_all_phases(small, tmp_path):
    found = read(small, tmp_path)
    assert_same(found, small)
    assert found.timing.source == "ContentTime"
    assert found.timing.confidence == "high"
    assert found.source.study_hash
    assert "SIM" not in repr(found.source)


def test_one_series_per_phase(small, tmp_path):
    found = read(small, tmp_path, DicomOptions(series_per_phase=True))
    assert_same(found, small)
    assert len(found.source.series_hashes) == 5


def test_pre_contrast_series_long_before_the_first_post_contrast_one(small, tmp_path):
    def earlier(ds):
        if phase_of(ds) == 1:
            _set(ds, ContentTime="093700.000000", AcquisitionTime="093700.000000")

    found = read(small, tmp_path, DicomOptions(series_per_phase=True), earlier)
    assert_same(found, small, (0.0, *(t + 1380.0 for t in TIMES[1:])))


@pytest.mark.parametrize("tag", ["ContentTime", "AcquisitionTime", "TriggerTime", "AcquisitionDateTime"])
def test_each_clock_alone(small, tmp_path, tag):
    if tag == "AcquisitionDateTime":
        options = DicomOptions(timing_tags=("AcquisitionTime",))

        def change(ds):
            ds.AcquisitionDateTime = f"20200101{ds.AcquisitionTime}"
            del ds.AcquisitionTime
    else:
        options, change = DicomOptions(timing_tags=(tag,)), None
    found = read(small, tmp_path, options, change)
    assert_same(found, small)
    assert found.timing.source == tag
    assert found.timing.confidence == "medium"


def test_content_time_that_is_the_same_in_every_phase_is_passed_over(small, tmp_path):
    found = read(small, tmp_path, DicomOptions(timing_tags=TIMING_TAGS, frozen_tags=("ContentTime",)))
    assert_same(found, small)
    assert found.timing.source == "TriggerTime"


def test_content_times_of_reconstruction_within_a_minute_are_passed_over(small, tmp_path):
    found = read(small, tmp_path, change=lambda ds: _set(ds, ContentTime=f"1100{10 * phase_of(ds):02d}.000000"))
    assert_same(found, small)
    assert found.timing.source == "AcquisitionTime"


def test_a_phase_whose_content_time_is_split_over_two_seconds(small, tmp_path):
    def split(ds):
        for tag in ("AcquisitionNumber", "TemporalPositionIdentifier", "AcquisitionTime"):
            if tag in ds:
                del ds[tag]
        if int(ds.InstanceNumber) % 2:
            clock = float(ds.ContentTime)
            ds.ContentTime = f"{clock + 1:013.6f}"

    found = read(small, tmp_path, change=split)
    assert_same(found, small)


def test_phases_that_cross_midnight(small, tmp_path):
    def late(ds):
        clock = 86400 - 200 + TIMES[phase_of(ds) - 1]
        day, seconds = divmod(clock, 86400)
        text = f"{int(seconds // 3600):02d}{int(seconds % 3600 // 60):02d}{seconds % 60:09.6f}"
        _set(ds, ContentTime=text, AcquisitionTime=text)
        if with_dates:
            date = f"2020010{1 + int(day)}"
            _set(ds, ContentDate=date, AcquisitionDate=date)

    for with_dates in (True, False):
        found = read(small, tmp_path / str(with_dates), change=late)
        assert_same(found, small)


def test_phases_told_apart_by_acquisition_number_with_times_from_the_user(small, tmp_path):
    def strip(ds):
        for tag in (
            "ContentTime",
            "AcquisitionTime",
            "TriggerTime",
            "SeriesTime",
            "TemporalPositionIdentifier",
            "NumberOfTemporalPositions",
        ):
            if tag in ds:
                del ds[tag]

    found = read(small, tmp_path, change=strip, times_s=(0, 100, 200, 300, 400))
    assert_same(found, small, (0, 100, 200, 300, 400))
    assert found.timing.source == "user"


def test_file_names_and_instance_numbers_in_any_order(small, tmp_path):
    write_dicom(small, tmp_path / "exam")
    rng = np.random.default_rng(0)
    paths = sorted((tmp_path / "exam").glob("*.dcm"))
    for path, place in zip(paths, rng.permutation(len(paths)), strict=True):
        dataset = pydicom.dcmread(path)
        dataset.InstanceNumber = int(place) + 1
        (tmp_path / "exam" / f"sub{place % 3}").mkdir(exist_ok=True)
        dataset.save_as(tmp_path / "exam" / f"sub{place % 3}" / f"x{place:05d}")
        path.unlink()
    assert_same(read_dicom_exam(tmp_path / "exam"), small)


def test_duplicate_files_are_ignored_with_a_word(small, tmp_path):
    write_dicom(small, tmp_path / "exam")
    for path in sorted((tmp_path / "exam").glob("*.dcm"))[:7]:
        (tmp_path / "exam" / f"copy-{path.name}").write_bytes(path.read_bytes())
    found = read_dicom_exam(tmp_path / "exam")
    assert_same(found, small)
    assert "7 duplicate images were ignored." in found.timing.notes


def test_rescale_slope_per_slice(small, tmp_path):
    def scale(ds):
        slope = 1 + (int(ds.InstanceNumber) % 4)
        _set(ds, RescaleSlope=slope, RescaleIntercept=-5, RescaleType="US")

    found = read(small, tmp_path, change=scale)
    slopes = 1 + (np.arange(1, 121) % 4).reshape(5, 24)
    assert np.array_equal(found.signal, small.exam.signal * slopes[:, :, None, None] - 5)


@pytest.mark.parametrize(
    "changes",
    [{"orientation": "axial"}, {"oblique_deg": (12, -20, 33)}, {"orientation": "axial", "laterality": "R"}],
)
def test_orientations(tmp_path, changes):
    exam = simulate_exam(
        SimulationParameters(
            seed=5, shape=(24, 60, 60), spacing_mm=(2.4, 2.4, 5.0), lesion_radii_mm=(9.0, 9.0, 9.0), **changes
        )
    )
    assert_same(read(exam, tmp_path), exam)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ImageType": ["DERIVED", "PRIMARY", "SUB"]}, "a derived image"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "a localizer"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "M"], "DiffusionBValue": 800.0}, "diffusion"),
        ({"SeriesDescription": "Ax T2 FSE"}, "its description says 'T2'"),
        ({"SeriesDescription": "subtraction 1-0"}, "its description says 'subtraction'"),
    ],
)
def test_other_series_of_the_study_are_left_out_with_a_word(small, tmp_path, change, words):
    write_dicom(small, tmp_path / "exam")
    write_dicom(small, tmp_path / "exam" / "other")

    def other(ds):
        _set(ds, SeriesInstanceUID=ds.SeriesInstanceUID + ".9", SOPInstanceUID=ds.SOPInstanceUID + ".9")
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
        _set(ds, SeriesNumber=77, **change)

    edit_files(tmp_path / "exam" / "other", other)
    found = read_dicom_exam(tmp_path / "exam")
    assert_same(found, small)
    (sentence,) = found.source.left_out
    assert sentence.startswith("series 77 (")
    assert words in sentence


def test_two_dynamic_exams_give_a_list_to_choose_from(small, tmp_path):
    write_dicom(small, tmp_path / "exam" / "left")
    write_dicom(small, tmp_path / "exam" / "right")

    def other(ds):
        _set(ds, SeriesInstanceUID=ds.SeriesInstanceUID + ".9", SOPInstanceUID=ds.SOPInstanceUID + ".9")
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
        _set(ds, SeriesNumber=9, SeriesDescription="right breast")
        ds.ImagePositionPatient = [float(ds.ImagePositionPatient[0]) - 150, *ds.ImagePositionPatient[1:]]

    edit_files(tmp_path / "exam" / "right", other)
    with pytest.raises(InputError, match=r"2 possible dynamic exams: series 1 .*\(5 phases of 24 slices\); series 9"):
        read_dicom_exam(tmp_path / "exam")
    found = read_dicom_exam(tmp_path / "exam", series="9")
    assert found.geometry.origin_mm[0] == pytest.approx(small.exam.geometry.origin_mm[0] - 150, abs=1e-3)
    with pytest.raises(InputError, match="No MR series with the number or UID 4 was found"):
        read_dicom_exam(tmp_path / "exam", series="4")


def test_field_strength_in_gauss_and_age(small, tmp_path):
    found = read(small, tmp_path, change=lambda ds: _set(ds, MagneticFieldStrength="15000", PatientAge="071Y"))
    assert found.source.field_strength_t == 1.5
    assert found.source.patient_age_years == 71


def test_phase_files_with_times(small, tmp_path):
    paths = []
    for t in range(5):
        paths.append(tmp_path / f"phase{t}.nii.gz" if t % 2 else tmp_path / f"phase{t}.nrrd")
        write_volume(paths[-1], small.exam.signal[t], small.exam.geometry)
    found = read_exam(paths, times_s=TIMES)
    assert found.times_s == TIMES
    assert found.geometry.same_grid(small.exam.geometry)
    assert np.array_equal(found.signal, small.exam.signal)
    assert found.timing.source == "user"
    with pytest.raises(InputError, match="give them with --times"):
        read_exam(paths)
    with pytest.raises(InputError, match="holds one phase"):
        read_phase_files(paths[:1], (0.0,))


def test_phase_files_on_different_grids(small, tmp_path):
    from dataclasses import replace

    write_volume(tmp_path / "a.nrrd", small.exam.signal[0], small.exam.geometry)
    shifted = replace(small.exam.geometry, origin_mm=tuple(v + 3 for v in small.exam.geometry.origin_mm))
    write_volume(tmp_path / "b.nrrd", small.exam.signal[1], shifted)
    write_volume(tmp_path / "c.nrrd", small.exam.signal[2], small.exam.geometry)
    with pytest.raises(InputError, match=r"b\.nrrd has a different geometry than a\.nrrd"):
        read_exam([tmp_path / "a.nrrd", tmp_path / "b.nrrd", tmp_path / "c.nrrd"], times_s=(0, 60, 120))


def test_paths_that_are_no_exam(tmp_path):
    (tmp_path / "x.txt").write_text("no image")
    with pytest.raises(InputError, match="must be one DICOM folder"):
        read_exam([tmp_path / "x.txt"])
    (tmp_path / "y.nrrd").write_text("NRRD0004\nbroken")
    with pytest.raises(InputError, match=r"y\.nrrd cannot be read as an image"):
        read_exam([tmp_path / "y.nrrd", tmp_path / "y.nrrd"], times_s=(0, 60))


# ---- regions -----------------------------------------------------------------------------------------------------
def test_a_region_on_another_grid_is_resampled_with_a_word(small, tmp_path):
    from support.exams import make_geometry

    exam_box = small.exam.geometry
    fine = make_geometry((30, 40, 40), (1.0, 1.0, 1.0), exam_box.lps_of(np.array([[6.0, 15.0, 15.0]]))[0])
    write_volume(tmp_path / "fine.nrrd", np.ones(fine.shape, dtype=np.uint8), fine)
    region = read_region(tmp_path / "fine.nrrd", exam_box, "VOI")
    assert region.mask.sum() * exam_box.voxel_volume_mm3 == pytest.approx(30 * 40 * 40, rel=0.1)
    assert any("resampled" in note for note in region.notes)


def test_labels_above_one_are_taken_together_with_a_word(small, tmp_path):
    write_volume(tmp_path / "zones.nrrd", small.truth_zones, small.exam.geometry)
    region = read_region(tmp_path / "zones.nrrd", small.exam.geometry, "lesion")
    assert np.array_equal(region.mask, small.truth_lesion)
    assert region.notes == ("The lesion zones.nrrd holds 3 labels; all of them were taken together.",)


def test_a_folder_with_several_masks_is_refused(small, tmp_path):
    for name in ("a.nrrd", "b.nrrd"):
        write_volume(tmp_path / name, small.voi, small.exam.geometry)
    with pytest.raises(InputError, match=r"holds 2 masks \(a\.nrrd, b\.nrrd\); name the one to use"):
        read_region(tmp_path, small.exam.geometry, "VOI")


def test_the_real_seg_lies_where_its_frames_say(ucsf_exam):
    from support.data import require_data

    region = read_region(require_data("ucsf-br-06", "mask"), ucsf_exam.geometry, "VOI")
    seg = pydicom.dcmread(require_data("ucsf-br-06", "mask", "1-1.dcm"))
    assert region.mask.sum() == int((seg.pixel_array > 0).sum())
    assert region.background_applied
    slices = np.flatnonzero(region.mask.any(axis=(1, 2)))
    heights = [float(g.PlanePositionSequence[0].ImagePositionPatient[0]) for g in seg.PerFrameFunctionalGroupsSequence]
    used = [h for h, frame in zip(heights, seg.pixel_array, strict=True) if frame.any()]
    found = ucsf_exam.geometry.lps_of(np.array([[z, 0, 0] for z in slices]))[:, 0]
    assert sorted(found) == pytest.approx(sorted(used), abs=0.01)
