"""C-index, Cox fits, baseline hazard and survival calibration against R values, lifelines and statsmodels."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from lifelines import CoxPHFitter, KaplanMeierFitter
from lifelines.utils import concordance_index
from scipy.optimize import minimize

from IITHModuleLib.statistics.calibration import kaplan_meier, survival_calibration
from IITHModuleLib.statistics.concordance import ConcordancePairs, harrell_c, harrell_c_interval
from IITHModuleLib.training.cox import breslow_baseline, calibration_slope, fit_cox, proportional_hazards_p
from SubregionHabitatLib.errors import InputError
from support.data import require_data


@pytest.fixture(scope="module")
def r_cohort() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times, events and the first three features of glmnet's Cox example."""
    table = np.loadtxt(require_data("reference", "cox.csv"), delimiter=",", skiprows=1)
    return table[:, 0], table[:, 1], table[:, 2:5]


@pytest.fixture(scope="module")
def tied_cohort() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Simulated patients with many tied times and tied scores."""
    rng = np.random.default_rng(8)
    risk = rng.integers(0, 5, 200).astype(float)
    times = np.ceil(rng.exponential(6 / np.exp(0.3 * risk)))
    return times, rng.integers(0, 2, 200), risk


def test_cox_coefficients_agree_with_r(r_cohort):
    times, events, x = r_cohort
    fit = fit_cox(x, times, events)
    assert fit.coefficients / fit.sd == pytest.approx([0.24863, -0.45424, 0.07072], abs=5e-6)
    assert fit.log_likelihood == pytest.approx(-389.4615, abs=5e-5)
    assert harrell_c(times, events, fit.predictor(x)) == pytest.approx(0.7355466, abs=5e-8)


def test_cox_coefficients_maximize_the_efron_likelihood_written_out(tied_cohort):
    times, events, risk = tied_cohort
    x = np.column_stack([risk, np.random.default_rng(1).normal(size=risk.size)])

    def negative(beta: np.ndarray) -> float:
        total, weight = 0.0, np.exp(x @ beta)
        for t in np.unique(times[events == 1]):
            dead, at_risk = (times == t) & (events == 1), times >= t
            d = dead.sum()
            total += (x[dead] @ beta).sum()
            total -= sum(np.log(weight[at_risk].sum() - k / d * weight[dead].sum()) for k in range(d))
        return -total

    found = minimize(negative, np.zeros(2), method="BFGS", options={"gtol": 1e-7}).x
    fit = fit_cox(x, times, events)
    assert fit.coefficients / fit.sd == pytest.approx(found, abs=1e-5)


def test_c_index_agrees_with_lifelines_on_ties(tied_cohort):
    times, events, risk = tied_cohort
    assert harrell_c(times, events, risk) == pytest.approx(concordance_index(times, -risk, events), abs=1e-7)


def test_c_index_of_a_weighted_sample_is_that_of_the_repeated_sample(tied_cohort):
    times, events, risk = tied_cohort
    rows = np.random.default_rng(0).integers(0, times.size, times.size)
    pairs = ConcordancePairs(times, events, risk)
    repeated = concordance_index(times[rows], -risk[rows], events[rows])
    assert pairs.value(np.bincount(rows, minlength=times.size)) == pytest.approx(repeated, abs=1e-6)


def test_bootstrap_interval_has_the_width_of_literal_resampling(tied_cohort):
    times, events, risk = tied_cohort
    result = harrell_c_interval(times, events, risk, n_bootstrap=500, seed=1)
    rng = np.random.default_rng(99)
    literal = []
    for _ in range(500):
        rows = rng.integers(0, times.size, times.size)
        literal.append(concordance_index(times[rows], -risk[rows], events[rows]))
    assert result.low < result.value < result.high
    assert result.standard_error == pytest.approx(np.std(literal, ddof=1), rel=0.12)
    assert harrell_c_interval(times, events, risk, n_bootstrap=500, seed=1) == result


def test_c_index_without_a_comparable_pair_is_refused():
    with pytest.raises(InputError, match="No two patients"):
        harrell_c(np.array([1.0, 2.0, 3.0]), np.zeros(3), np.arange(3.0))


def test_baseline_hazard_is_that_of_lifelines(r_cohort):
    times, events, x = r_cohort
    fit = fit_cox(x, times, events)
    baseline = breslow_baseline(fit, x, times, events)
    frame = pd.DataFrame((x - fit.mean) / fit.sd).rename(columns=str).assign(time=times, event=events)
    other = CoxPHFitter().fit(frame, "time", "event").baseline_cumulative_hazard_["baseline cumulative hazard"]
    for t, hazard in other.items():
        assert baseline.at(t)[0] == pytest.approx(hazard, abs=1e-5)
    assert baseline.at(0.0)[0] == 0.0


def test_standard_error_of_predicted_survival_agrees_with_a_bootstrap():
    """The formula in scoring.py against refitting 150 resamples of a simulated cohort."""
    rng = np.random.default_rng(11)
    x = rng.normal(size=(300, 2))
    event_time = rng.exponential(5 / np.exp(0.7 * x[:, 0]))
    censoring = rng.uniform(1, 8, 300)
    times, events = np.minimum(event_time, censoring), (event_time <= censoring).astype(float)
    case, horizon = np.array([0.8, -0.5]), 3.0

    def log_hazard(rows) -> tuple[float, float]:
        fit = fit_cox(x[rows], times[rows], events[rows])
        hazard, variance, drift = breslow_baseline(fit, x[rows], times[rows], events[rows]).at(horizon)
        z = (case - fit.mean) / fit.sd
        lever = z * hazard - drift
        error = np.sqrt(variance + lever @ fit.covariance @ lever) / hazard
        return float(np.log(hazard) + z @ fit.coefficients), float(error)

    draws = [log_hazard(rng.integers(0, 300, 300))[0] for _ in range(150)]
    assert log_hazard(np.arange(300))[1] == pytest.approx(np.std(draws, ddof=1), rel=0.2)


def test_proportional_hazards_test_sees_an_effect_that_fades():
    rng = np.random.default_rng(5)
    group = rng.integers(0, 2, 800).astype(float)
    steady = rng.exponential(1 / np.exp(0.9 * group))
    early = rng.exponential(1 / 3, 800)
    # Group 1 has three times the hazard of group 0 up to time 0.3 and the same afterwards.
    fading = np.where(group == 1, np.where(early < 0.3, early, 0.3 + rng.exponential(1, 800)), rng.exponential(1, 800))
    everyone = np.ones(800)
    assert proportional_hazards_p(group[:, None], steady, everyone)[0] > 0.05
    assert proportional_hazards_p(group[:, None], fading, everyone)[0] < 0.001


def test_calibration_slope_is_one_for_the_models_own_patients(r_cohort):
    times, events, x = r_cohort
    predictor = fit_cox(x, times, events).predictor(x)
    assert calibration_slope(predictor, times, events)[0] == pytest.approx(1.0, abs=1e-6)
    assert calibration_slope(2 * predictor, times, events)[0] == pytest.approx(0.5, abs=1e-6)


def test_kaplan_meier_by_hand():
    # 6 patients: events at 1, 3 and 4, censored at 2, 5 and 5: 5/6, then 5/6*3/4, then 5/6*3/4*2/3.
    rows = kaplan_meier(np.array([1, 2, 3, 4, 5, 5.0]), np.array([1, 0, 1, 1, 0, 0]), np.array([0, 1, 2.5, 4, 5, 6.0]))
    assert [r["survival"] for r in rows] == pytest.approx([1, 5 / 6, 5 / 6, 5 / 12, 5 / 12])
    assert [r["at_risk"] for r in rows] == [6, 6, 4, 3, 2]
    assert all(r["low"] <= r["survival"] <= r["high"] for r in rows)


def test_survival_calibration_groups_are_kaplan_meier_of_the_groups():
    rng = np.random.default_rng(2)
    times, events, predicted = rng.exponential(4, 300), rng.integers(0, 2, 300), rng.uniform(size=300)
    rows = survival_calibration(times, events, predicted, 2.0, 3)
    assert sum(r["n"] for r in rows) == 300
    lowest = np.argsort(predicted)[:100]
    fitter = KaplanMeierFitter().fit(times[lowest], events[lowest])
    assert rows[0]["observed"] == pytest.approx(float(fitter.predict(2.0)))
    assert rows[0]["predicted"] == pytest.approx(predicted[lowest].mean())


def test_a_group_not_followed_up_has_no_observed_value():
    rows = survival_calibration(
        np.array([1.0, 1, 9, 9]), np.array([1, 0, 1, 0]), np.array([0.1, 0.2, 0.8, 0.9]), 5.0, 2
    )
    assert rows[0]["observed"] is None
    assert "followed up" in rows[0]["reason"]
    assert rows[1]["observed"] == 1.0


def test_features_that_repeat_each_other_are_refused(r_cohort):
    times, events, x = r_cohort
    with pytest.raises(InputError, match="repeat each other"):
        fit_cox(np.column_stack([x[:, 0], x[:, 0]]), times, events)
    with pytest.raises(InputError, match="same value in every patient"):
        fit_cox(np.ones((times.size, 1)), times, events)
