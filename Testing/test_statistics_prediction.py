"""Time-dependent ROC, IDI and NRI, net benefit and variance inflation against R values, dcurves and definitions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from lifelines import KaplanMeierFitter

from IITHModuleLib.statistics.auc import auc_delong
from IITHModuleLib.statistics.collinearity import strong_pairs, variance_inflation
from IITHModuleLib.statistics.decision_curve import decision_curve, survival_decision_curve
from IITHModuleLib.statistics.reclassification import (
    categorical_nri,
    reclassification,
    reclassification_intervals,
    survival_reclassification,
)
from IITHModuleLib.statistics.survival_curve import survival_at, survival_of_groups, uncensored_share
from IITHModuleLib.statistics.time_roc import time_auc_interval, time_roc
from SubregionHabitatLib.errors import InputError
from support.data import require_data


def reference(name: str) -> np.ndarray:
    return np.loadtxt(require_data("reference", name), delimiter=",", skiprows=1)


@pytest.fixture(scope="module")
def r_cohort() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times, events and features of glmnet's Cox example."""
    table = reference("cox.csv")
    return table[:, 0], table[:, 1], table[:, 2:]


@pytest.fixture(scope="module")
def simulated() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """800 simulated patients: times, events, marker (with ties), true probability of an event before time 2."""
    rng = np.random.default_rng(5)
    marker = rng.integers(-8, 9, 800) / 4
    rate = 0.2 * np.exp(0.8 * marker)
    event_time, censored = rng.exponential(1 / rate), rng.uniform(0.5, 8, 800)
    times, events = np.minimum(event_time, censored), (event_time <= censored).astype(float)
    return np.ceil(times * 20) / 20, events, marker, 1 - np.exp(-2 * rate)


def test_km_roc_agrees_with_survivalroc(r_cohort):
    times, events, _ = r_cohort
    roc = time_roc(times, events, reference("lp.csv"), 0.5)
    assert roc.auc == pytest.approx(0.8361745, abs=5e-8)
    assert roc.cut == pytest.approx(0.3606151, abs=5e-8)
    assert roc.youden == pytest.approx(0.5888837, abs=5e-8)


def test_survival_of_groups_is_that_of_lifelines(simulated):
    times, events, marker, _ = simulated
    groups = np.array([marker > 1, marker <= -1, np.ones(marker.size)])
    for at in (0.3, 2.0, 6.0):
        for group, found in zip(groups, survival_of_groups(times, events, at, groups), strict=True):
            rows = group > 0
            expected = float(KaplanMeierFitter().fit(times[rows], events[rows]).predict(at))
            assert found == pytest.approx(expected, abs=1e-12)
    assert np.isnan(survival_of_groups(times, events, 2.0, np.zeros((1, marker.size))))[0]


def test_uncensored_share_by_hand():
    # Event at 1, censored at 2, event and censored at 3, censored at 4: G falls at 2 (1/4), 3 (the event left first:
    # 1/2) and 4 (1).
    times, events = np.array([1.0, 2, 3, 3, 4]), np.array([1.0, 0, 1, 0, 0])
    at = np.array([1.0, 2, 3, 4])
    assert uncensored_share(times, events, at) == pytest.approx([1, 0.75, 0.375, 0])
    assert uncensored_share(times, events, at, just_before=True) == pytest.approx([1, 1, 0.75, 0.375])


@pytest.mark.parametrize("method", ["km", "nne", "ipcw"])
def test_without_censoring_every_estimator_is_the_plain_roc(simulated, method):
    times, _, marker, _ = simulated
    everyone = np.ones(times.size)
    span = 1e-6 if method == "nne" else None
    roc = time_roc(times, everyone, marker, 2.0, method, span=span)
    assert roc.auc == pytest.approx(auc_delong((times <= 2).astype(int), marker).value, abs=1e-12)
    case = times <= 2
    assert roc.sensitivity[5] == pytest.approx((marker[case] > roc.cuts[5]).mean())
    assert roc.one_minus_specificity[5] == pytest.approx((marker[~case] > roc.cuts[5]).mean())


@pytest.mark.parametrize("method", ["km", "nne", "ipcw"])
def test_censoring_does_not_move_the_curve_of_a_large_cohort(method):
    """4,000 exponential times: the estimate under censoring is that of the uncensored patients."""
    rng = np.random.default_rng(9)
    n = 4000
    marker = rng.normal(size=n)
    event_time, censored = rng.exponential(1 / (0.3 * np.exp(marker))), rng.uniform(0, 6, n)
    times, events = np.minimum(event_time, censored), (event_time <= censored).astype(float)
    truth = auc_delong((event_time <= 2).astype(int), marker).value
    assert time_roc(times, events, marker, 2.0, method).auc == pytest.approx(truth, abs=0.012)


def test_bootstrap_interval_of_the_time_dependent_auc_holds_the_estimate(simulated):
    times, events, marker, _ = simulated
    low, high = time_auc_interval(times, events, marker, 2.0, n_bootstrap=60, seed=1)
    assert low < time_roc(times, events, marker, 2.0).auc < high
    assert 0.04 < high - low < 0.13
    assert (low, high) == time_auc_interval(times, events, marker, 2.0, n_bootstrap=60, seed=1)


def test_a_time_without_cases_or_controls_is_refused(simulated):
    times, events, marker, _ = simulated
    with pytest.raises(InputError, match="choose another time"):
        time_roc(times, events, marker, 0.001)
    with pytest.raises(InputError, match="choose another time"):
        time_roc(times, events, marker, 100.0)
    with pytest.raises(InputError, match="no estimator"):
        time_roc(times, events, marker, 2.0, "magic")


def test_idi_and_nri_under_censoring_agree_with_survidinri(r_cohort):
    times, events, _ = r_cohort
    risk = reference("risk.csv")
    found = survival_reclassification(times, events, risk[:, 0], risk[:, 1], 0.5)
    assert found.idi == pytest.approx(0.0988, abs=1e-4)
    assert found.nri_half == pytest.approx(0.3603, abs=1e-4)
    assert found.nri == pytest.approx(0.7205, abs=1e-4)
    assert found.nri == pytest.approx(found.case_part + found.control_part)


def test_idi_and_nri_of_a_yes_no_outcome_by_hand():
    outcome = [1, 1, 1, 0, 0]
    first, second = [0.5, 0.4, 0.6, 0.3, 0.5], [0.7, 0.6, 0.5, 0.2, 0.5]
    found = reclassification(outcome, first, second)
    assert found.idi == pytest.approx((0.2 + 0.2 - 0.1) / 3 - (-0.1 + 0) / 2)
    assert (found.case_part, found.control_part) == (pytest.approx(1 / 3), pytest.approx(1 / 2))
    assert found.nri_half == pytest.approx(2 / 3)
    groups = categorical_nri(outcome, first, second, [0.55])
    # Cases: up, up, down; controls: none crosses.
    assert (groups.case_part, groups.control_part) == (pytest.approx(1 / 3), 0)
    assert groups.idi == found.idi


def test_reclassification_intervals_hold_the_estimate(simulated):
    times, events, _, risk = simulated
    blunt = np.full(risk.size, risk.mean())
    found = survival_reclassification(times, events, blunt, risk, 2.0)
    for name, (low, high) in reclassification_intervals(times, events, blunt, risk, 2.0, 80, seed=2).items():
        assert low < getattr(found, name) < high
    assert reclassification_intervals(None, events, blunt, risk, None, 20)["idi"][0] > 0


def test_net_benefit_by_its_definition():
    outcome, risk = np.array([1, 0, 1, 0, 0]), np.array([0.9, 0.8, 0.4, 0.3, 0.2])
    curve = decision_curve(outcome, risk, [0.25, 0.4, 0.95])
    assert curve.model == pytest.approx([2 / 5 - 2 / 5 / 3, 2 / 5 - 1 / 5 * 0.4 / 0.6, 0])
    assert curve.everyone[0] == pytest.approx(2 / 5 - 3 / 5 / 3)


def test_net_benefit_agrees_with_dcurves(simulated):
    dcurves = pytest.importorskip("dcurves", reason="dcurves is not installed")
    times, events, _, risk = simulated
    thresholds = np.array([0.01, 0.1, 0.25, 0.5, 0.8, 0.97])
    frame = pd.DataFrame({"risk": risk, "event": events.astype(int), "time": times})
    for curve, extra in (
        (decision_curve(events, risk, thresholds), {}),
        (survival_decision_curve(times, events, risk, 2.0, thresholds), {"time": 2.0, "time_to_outcome_col": "time"}),
    ):
        other = dcurves.dca(data=frame, outcome="event", modelnames=["risk"], thresholds=thresholds, **extra)
        for model, found in (("risk", curve.model), ("all", curve.everyone)):
            expected = other[other.model == model].net_benefit.to_numpy(float)
            assert found == pytest.approx(expected, abs=1e-9, nan_ok=True)


def test_net_benefit_under_censoring_by_its_definition(simulated):
    times, events, _, risk = simulated
    curve = survival_decision_curve(times, events, risk, 2.0, [0.5])
    called = risk >= 0.5
    failed = 1 - survival_at(times[called], events[called], 2.0)
    assert curve.model[0] == pytest.approx(failed * called.mean() - (1 - failed) * called.mean())
    short = survival_decision_curve(np.minimum(times, 1.0), events, risk, 2.0, [0.5])
    assert np.isnan(short.model).all()
    assert np.isnan(short.everyone).all()


def test_variance_inflation_agrees_with_statsmodels():
    from statsmodels.stats.outliers_influence import variance_inflation_factor

    rng = np.random.default_rng(1)
    x = rng.normal(size=(90, 4))
    x[:, 3] = x[:, 0] + 0.2 * x[:, 3]
    expected = [variance_inflation_factor(np.column_stack([np.ones(90), x]), k + 1) for k in range(4)]
    assert variance_inflation(x) == pytest.approx(expected, rel=1e-9)
    assert strong_pairs(x)[0][:2] == (0, 3)
    repeated = np.column_stack([x[:, :3], x[:, 1] * 2])
    assert np.isinf(variance_inflation(repeated)[[1, 3]]).all()
    assert np.isfinite(variance_inflation(repeated)[[0, 2]]).all()
    with pytest.raises(InputError, match="same value"):
        variance_inflation(np.ones((5, 2)))
