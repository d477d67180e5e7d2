"""Calibration of probabilities, cross-validation folds and the optimism bootstrap."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit

from IITHModuleLib.statistics.auc import auc_delong
from IITHModuleLib.statistics.calibration import (
    brier_score,
    calibration_groups,
    logistic_calibration,
    shift_log_odds,
    wilson_interval,
)
from IITHModuleLib.statistics.resampling import optimism_bootstrap, out_of_fold, stratified_folds
from IITHModuleLib.training.logistic import fit_logistic
from SubregionHabitatLib.errors import InputError


@pytest.fixture(scope="module")
def simulated() -> tuple[np.ndarray, np.ndarray]:
    """5000 simulated patients whose outcome follows the stated probability."""
    rng = np.random.default_rng(12)
    probability = expit(rng.normal(-0.5, 1.2, 5000))
    return rng.binomial(1, probability), probability


def test_true_probabilities_are_calibrated(simulated):
    result = logistic_calibration(*simulated)
    assert result.slope.low < 1 < result.slope.high
    assert result.intercept.low < 0 < result.intercept.high
    assert result.slope.high - result.slope.low < 0.2


def test_stretched_and_shifted_probabilities_are_found_out(simulated):
    outcome, probability = simulated
    base = logistic_calibration(outcome, probability)
    stretched = logistic_calibration(outcome, expit(2 * logit(probability)))
    assert stretched.slope.value == pytest.approx(base.slope.value / 2, rel=1e-6)
    shifted = logistic_calibration(outcome, shift_log_odds(probability, 0.7))
    assert shifted.intercept.value == pytest.approx(base.intercept.value - 0.7, abs=1e-6)


def test_refitting_the_intercept_makes_the_mean_right(simulated):
    outcome, probability = simulated
    wrong = shift_log_odds(probability, -1.0)
    right = shift_log_odds(wrong, logistic_calibration(outcome, wrong).intercept.value)
    assert right.mean() == pytest.approx(outcome.mean(), abs=1e-9)


def test_brier_score_by_hand():
    assert brier_score([1, 0, 1], [0.8, 0.4, 0.5]) == pytest.approx((0.04 + 0.16 + 0.25) / 3)


def test_wilson_interval_of_a_published_example():
    # Newcombe, Stat Med 1998;17:857, table I: 81 of 263 gives 0.2553 to 0.3662.
    assert wilson_interval(81, 263) == (pytest.approx(0.2553, abs=5e-5), pytest.approx(0.3662, abs=5e-5))


def test_calibration_groups_hold_every_patient_once(simulated):
    outcome, probability = simulated
    groups = calibration_groups(outcome, probability, 10)
    assert [g["n"] for g in groups] == [500] * 10
    assert np.mean([g["observed"] for g in groups]) == pytest.approx(outcome.mean())
    assert [g["predicted"] for g in groups] == sorted(g["predicted"] for g in groups)


def test_probabilities_of_0_or_1_are_refused():
    with pytest.raises(InputError, match="strictly between"):
        logistic_calibration(np.array([0, 1, 1]), np.array([0.0, 0.5, 1.0]))


def test_folds_split_everyone_once_and_keep_the_share():
    outcome = np.r_[np.ones(33), np.zeros(120)]
    folds = stratified_folds(outcome, 10, np.random.default_rng(0))
    assert sorted(np.concatenate(folds)) == list(range(153))
    assert {int(outcome[f].sum()) for f in folds} == {3, 4}
    with pytest.raises(InputError, match="33 and 120"):
        stratified_folds(outcome, 40, np.random.default_rng(0))


def test_out_of_fold_scores_never_see_their_own_patient():
    outcome = np.tile([0, 1], 30)

    def remember(train: np.ndarray, test: np.ndarray) -> np.ndarray:
        assert not set(train) & set(test)
        assert len(train) + len(test) == 60
        return test.astype(float)

    scores = out_of_fold(outcome, remember, 5, 3, seed=1)
    assert np.array_equal(scores, np.tile(np.arange(60.0), (3, 1)))


def test_cross_validation_and_optimism_correction_unmask_noise():
    """20 features of pure noise look good on their own patients and are worthless on others."""
    rng = np.random.default_rng(21)
    design, outcome = rng.normal(size=(150, 20)), np.tile([0.0, 1.0], 75)

    def fit_score(rows: np.ndarray):
        fit = fit_logistic(design[rows], outcome[rows])
        return lambda other: fit.predictor(design[other])

    result = optimism_bootstrap(
        150, fit_score, {"auc": lambda rows, s: auc_delong(outcome[rows], s).value}, n_bootstrap=60, seed=3
    )["auc"]
    scores = out_of_fold(outcome, lambda a, b: fit_logistic(design[a], outcome[a]).predictor(design[b]), 10, 5, seed=4)
    assert result.apparent > 0.68
    assert abs(np.mean([auc_delong(outcome, s).value for s in scores]) - 0.5) < 0.1
    assert abs(result.corrected - 0.5) < 0.1
    assert result.corrected == pytest.approx(result.apparent - result.optimism)


def test_separation_is_refused_and_named():
    x = np.linspace(-1, 1, 40)[:, None]
    with pytest.raises(InputError, match="separate the outcome"):
        fit_logistic(x, (x[:, 0] > 0).astype(float))


def test_logistic_fit_agrees_with_scikit_learn():
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(6)
    x = rng.normal(3, 2, size=(400, 3))
    y = rng.binomial(1, expit(x @ [0.5, -0.3, 0.0] - 0.6))
    other = LogisticRegression(C=np.inf, tol=1e-10, max_iter=2000, solver="newton-cholesky").fit(x, y)
    fit = fit_logistic(x, y)
    assert fit.coefficients / fit.sd == pytest.approx(other.coef_[0], abs=1e-6)
    assert fit.predictor(x) == pytest.approx(other.decision_function(x), abs=1e-6)
