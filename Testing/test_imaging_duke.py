"""A real Duke exam, cropped around its lesion, against the row that Duke's own code computed for it."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage
from scipy.stats import kurtosis

from SubregionHabitatLib.exam_files import read_exam
from SubregionHabitatLib.kinetics import compute_maps
from SubregionHabitatLib.lesion import first_post_enhancement
from SubregionHabitatLib.timing import choose_early_late, seconds_of_day
from support.data import require_data


@pytest.fixture(scope="module")
def exam():
    folder = require_data("duke-153-crop")
    phases = json.loads((folder / "exam.json").read_text())["phases"]
    clock = [seconds_of_day(p["acquisition_time"]) for p in phases]
    times = tuple(c - clock[0] for c in clock)
    return read_exam([folder / p["file"] for p in phases], times_s=times)


@pytest.fixture(scope="module")
def lesion(exam):
    """Duke's lesion as it was reconstructed: largest part of first post-contrast signal >= 282 in the annotated box."""
    box = json.loads(require_data("duke-153-crop", "exam.json").read_text())["lesion_box_ijk_in_crop"]
    inside = np.zeros(exam.geometry.shape, dtype=bool)
    inside[tuple(slice(box[a][0], box[a][1] + 1) for a in "kji")] = True
    labels, _ = ndimage.label((exam.signal[1] >= 282) & inside)
    largest = labels == np.bincount(labels.ravel())[1:].argmax() + 1
    return ndimage.binary_fill_holes(largest)


@pytest.fixture(scope="module")
def duke():
    table = pd.read_csv(require_data("duke", "imaging_features.csv.gz"), index_col="patient_id")
    return table.loc["Breast_MRI_153"]


@pytest.fixture(scope="module")
def maps(exam):
    """Duke's phases: first post-contrast as early, third as late."""
    choice = choose_early_late(exam.times_s, None, early=1, late=3)
    return compute_maps(exam, choice)


def test_the_pre_contrast_series_is_23_minutes_before_the_first_post_contrast_one(exam):
    assert exam.times_s[1] / 60 == pytest.approx(22.85, abs=0.01)
    assert np.diff(exam.times_s)[1:] == pytest.approx([121.4, 122.7, 121.5], abs=0.1)


def test_lesion_volume(exam, lesion, duke):
    volume = lesion.sum() * exam.geometry.voxel_volume_mm3
    assert volume == pytest.approx(3856, abs=1)
    assert volume == pytest.approx(duke.Volume_cu_mm_Tumor, rel=0.01)


def test_percent_enhancement_is_dukes_pe_map(exam, lesion, maps, duke):
    pe = maps.pe_early[lesion].astype(float)
    assert (pe.mean(), pe.std()) == pytest.approx((205.9, 108.5), abs=0.1)
    assert pe.mean() == pytest.approx(duke.PE_map_mean_tumor, rel=0.01)
    assert np.allclose(maps.pe_early[lesion], first_post_enhancement(exam.signal)[lesion], rtol=1e-6)


def test_ser_is_dukes_ser_map(lesion, maps, duke):
    ser = maps.ser[lesion].astype(float)
    assert (np.nanmean(ser), np.nanstd(ser)) == pytest.approx((1.349, 0.390), abs=0.001)
    assert np.nanmean(ser) == pytest.approx(duke.SER_map_mean_tumor, rel=0.015)


def test_first_pass_enhancement_is_dukes_wash_in(exam, lesion, duke):
    rise = (exam.signal[1] - exam.signal[0])[lesion].astype(float)
    assert (rise.mean(), rise.std(), kurtosis(rise, fisher=False)) == pytest.approx((253.8, 57.5, 3.54), abs=0.05)
    assert rise.mean() == pytest.approx(duke["WashinRate_map_mean_tumor"], rel=0.02)


@pytest.mark.parametrize(
    ("name", "column", "expected"),
    [("pe", "SER_Total_tumor_vol_cu_mm", 0.989), ("0.9", "SER_Partial_tumor_vol_cu_mm", 0.909),
     ("1.3", "SER_Washout_tumor_vol_cu_mm", 0.532)],
)  # fmt: skip
def test_shares_by_enhancement_and_ser(lesion, maps, duke, name, column, expected):
    with np.errstate(invalid="ignore"):
        found = maps.pe_early[lesion] > 70 if name == "pe" else maps.ser[lesion] > float(name)
    assert found.mean() == pytest.approx(expected, abs=0.001)
    assert found.mean() == pytest.approx(duke[column] / duke.Volume_cu_mm_Tumor, abs=0.03)


def test_time_to_peak_composition(exam, lesion, maps, duke):
    minutes = np.array(exam.times_s) / 60
    peak = np.abs(maps.time_to_peak[lesion][:, None] - (minutes - minutes[0])[None]).argmin(axis=1)
    found = [np.mean(peak == 1), np.mean((peak > 1) & (peak < 4)), np.mean(peak == 4)]
    assert found == pytest.approx([0.776, 0.185, 0.039], abs=0.001)
    columns = [f"Grouping_based_proportion_of_tumor_voxels_3D_tumor_Group_{k}" for k in (1, 2, 3)]
    assert found == pytest.approx(list(duke[columns]), abs=0.03)
