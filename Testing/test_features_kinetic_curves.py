"""Kinetic-curve features: values against scipy, and what is missing and why."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from IITHModuleLib.features import FeatureRow, FeatureTable
from IITHModuleLib.kinetic_curves import CURVE_IMAGE, STATISTICS, kinetic_curve_features

NAME = "original_glcm_Contrast"


def rows_of(values, feature=NAME, region="lesion", unit="1"):
    return [
        FeatureRow(region, f"phase{t}", feature, value, unit, "" if value is not None else "the region is empty")
        for t, value in enumerate(values)
    ]


def by_statistic(rows):
    return {row.feature.rsplit("_", 1)[1]: row for row in kinetic_curve_features(rows)}


@given(st.lists(st.floats(-1e6, 1e6), min_size=4, max_size=8).filter(lambda v: np.ptp(v) > 1e-3))
def test_values_equal_scipy(values):
    found = by_statistic(rows_of(values))
    assert found["mean"].value == pytest.approx(np.mean(values), rel=1e-12, abs=1e-9)
    assert found["variance"].value == pytest.approx(np.var(values), rel=1e-9)
    assert found["skewness"].value == pytest.approx(stats.skew(values), rel=1e-6, abs=1e-7)
    assert found["kurtosis"].value == pytest.approx(stats.kurtosis(values, fisher=False), rel=1e-6)


def test_by_hand():
    found = by_statistic(rows_of([1.0, 2.0, 3.0, 10.0]))
    assert found["mean"].value == 4
    assert found["variance"].value == 12.5
    assert found["skewness"].value == pytest.approx((-27 - 8 - 1 + 216) / 4 / 12.5**1.5)
    assert found["kurtosis"].value == pytest.approx((81 + 16 + 1 + 1296) / 4 / 12.5**2)


def test_three_phases_have_no_kurtosis_because_it_is_always_the_same():
    values = [1.0, 5.0, 2.0]
    assert stats.kurtosis(values, fisher=False) == pytest.approx(1.5)
    found = by_statistic(rows_of(values))
    assert found["kurtosis"].value is None
    assert found["kurtosis"].reason == "the exam has 3 phases, kurtosis needs 4"
    assert found["skewness"].value == pytest.approx(stats.skew(values))


def test_two_phases_have_mean_and_variance_only():
    found = by_statistic(rows_of([1.0, 5.0]))
    assert found["variance"].value == 4
    assert found["skewness"].reason == "the exam has 2 phases, skewness needs 3"


def test_constant_curves_have_no_shape():
    found = by_statistic(rows_of([0.1 + 0.2, 0.3, 0.3, 0.3]))
    assert found["variance"].value == 0
    assert {found[s].value for s in ("skewness", "kurtosis")} == {None}
    assert found["skewness"].reason == "the feature does not change over the phases"


def test_a_missing_phase_leaves_the_curve_missing_with_its_reason():
    found = by_statistic(rows_of([1.0, None, 3.0, 4.0]))
    assert {row.value for row in found.values()} == {None}
    assert found["mean"].reason == "missing in phase1: the region is empty"


def test_phases_are_ordered_by_number_and_other_images_are_left_alone():
    rows = rows_of(np.arange(11.0).tolist())
    rows.append(FeatureRow("lesion", "ser", NAME, 5.0, "1"))
    rows.append(FeatureRow("lesion", "mask", "original_shape_MeshVolume", 5.0, "mm3"))
    table = FeatureTable(tuple(reversed(rows)), "p", "d", "native", "1")
    found = kinetic_curve_features(table)
    assert len(found) == len(STATISTICS)
    assert {row.image for row in found} == {CURVE_IMAGE}
    assert found[0].value == 5


def test_units():
    found = by_statistic(rows_of([1.0, 2.0, 4.0, 3.0], "original_firstorder_Mean", unit="signal"))
    assert [found[s].unit for s in STATISTICS] == ["signal", "(signal)^2", "1", "1"]


def test_very_large_features_stay_finite():
    values = [1e200, 2e200, 5e200, 3e200]
    found = by_statistic(rows_of(values))
    assert found["variance"].value is None
    assert found["kurtosis"].value == pytest.approx(stats.kurtosis(np.array(values) / 1e200, fisher=False))
