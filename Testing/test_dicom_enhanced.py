"""Enhanced multi-frame MR, and classic images converted to it."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest

from SubregionHabitatLib.dicom_exam import read_dicom_exam
from SubregionHabitatLib.errors import InputError
from SubregionHabitatLib.simulation import DicomOptions, write_dicom
from support.reading import TIMES, assert_same, enhanced_mr, small_exam


@pytest.fixture(scope="module")
def small():
    return small_exam()


def test_one_file_with_all_phases(small, tmp_path):
    enhanced_mr(small, tmp_path / "exam" / "all")
    found = read_dicom_exam(tmp_path / "exam")
    assert_same(found, small)
    assert found.timing.source == "FrameAcquisitionDateTime"
    assert found.timing.phase_sources == ("FrameAcquisitionDateTime",) * 5
    assert found.source.n_files == 1


def test_one_file_per_phase_named_in_any_order(small, tmp_path):
    for t, name in enumerate("dbeac"):
        enhanced_mr(small, tmp_path / "exam" / name, phases=(t,), index=False, instance=9 - t)
    found = read_dicom_exam(tmp_path / "exam")
    assert_same(found, small)
    assert found.source.n_files == 5


@pytest.mark.parametrize("clock", ["FrameReferenceDateTime", "TemporalPositionTimeOffset", "TriggerTime"])
def test_each_clock_alone(small, tmp_path, clock):
    enhanced_mr(small, tmp_path / "exam" / "all.dcm", clocks=(clock,))
    found = read_dicom_exam(tmp_path / "exam")
    assert_same(found, small)
    assert found.timing.source == clock
    assert found.timing.confidence == "medium"


def test_two_clocks_that_agree_confirm_each_other(small, tmp_path):
    enhanced_mr(small, tmp_path / "exam" / "all", clocks=("FrameAcquisitionDateTime", "TriggerTime"))
    timing = read_dicom_exam(tmp_path / "exam").timing
    assert (timing.confidence, timing.confirmed_by) == ("high", ("TriggerTime",))


def test_phases_told_apart_by_temporal_position_index_alone(small, tmp_path):
    enhanced_mr(small, tmp_path / "exam" / "all", clocks=())
    with pytest.raises(InputError, match=r"The 5 phases carry no usable acquisition times .* give them with --times"):
        read_dicom_exam(tmp_path / "exam")
    assert_same(read_dicom_exam(tmp_path / "exam", times_s=TIMES), small)


def test_rescale_slope_per_frame(small, tmp_path):
    enhanced_mr(small, tmp_path / "exam" / "all", slopes=True)
    found = read_dicom_exam(tmp_path / "exam")
    slopes = (np.arange(10 * 5).reshape(10, 5) % 3 + 1).T[:, :, None, None]
    assert np.array_equal(found.signal, small.exam.signal * slopes - 2)


def test_compressed_multi_frame(small, tmp_path):
    ds = enhanced_mr(small, tmp_path / "exam" / "all")
    ds.compress(pydicom.uid.RLELossless, generate_instance_uid=False)
    ds.save_as(tmp_path / "exam" / "all", enforce_file_format=True)
    assert_same(read_dicom_exam(tmp_path / "exam"), small)


@pytest.mark.parametrize("compress", [False, True])
def test_multi_frame_without_preamble(small, tmp_path, compress):
    ds = enhanced_mr(small, tmp_path / "exam" / "all")
    if compress:
        ds.compress(pydicom.uid.RLELossless, generate_instance_uid=False)
    pydicom.dcmwrite(tmp_path / "exam" / "all", ds, enforce_file_format=False)
    assert (tmp_path / "exam" / "all").read_bytes()[128:132] != b"DICM"
    assert_same(read_dicom_exam(tmp_path / "exam"), small)


def test_legacy_converted_enhanced_mr(small, tmp_path):
    legacy = pytest.importorskip("highdicom.legacy")
    options = DicomOptions(timing_tags=("AcquisitionTime", "AcquisitionNumber", "ContentTime"))
    files = [pydicom.dcmread(p) for p in write_dicom(small, tmp_path / "classic", options)]
    converted = legacy.LegacyConvertedEnhancedMRImage(files, "2.25.31", 3, "2.25.32", 1)
    (tmp_path / "exam").mkdir()
    converted.save_as(tmp_path / "exam" / "converted.dcm")
    found = read_dicom_exam(tmp_path / "exam")
    assert_same(found, small)


def test_enhanced_with_pixels_cut_off_is_refused(small, tmp_path):
    path = tmp_path / "exam" / "all.dcm"
    enhanced_mr(small, path)
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(InputError, match=r"The pixels of all\.dcm cannot be read \(it ends \d+ bytes early\)"):
        read_dicom_exam(tmp_path / "exam")


def test_enhanced_with_fewer_pixels_than_frames_is_refused(small, tmp_path):
    ds = enhanced_mr(small, tmp_path / "exam" / "all.dcm")
    ds.PixelData = ds.PixelData[: 40 * 40 * 2 * 30]
    ds.save_as(tmp_path / "exam" / "all.dcm", enforce_file_format=True)
    with pytest.raises(InputError, match=r"all\.dcm holds fewer pixels than its header says; restore the file"):
        read_dicom_exam(tmp_path / "exam")
