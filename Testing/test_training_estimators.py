"""Lasso paths, tests of one feature and penalized logistic models against glmnet's numbers and independent software."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm, ttest_ind

from IITHModuleLib.training.cox import fit_cox
from IITHModuleLib.training.lasso import (
    CoxLoss,
    LogisticLoss,
    choose_penalty,
    cox_deviance,
    largest_penalty,
    lasso_path,
    penalty_grid,
)
from IITHModuleLib.training.logistic import fit_logistic
from IITHModuleLib.training.penalized import fit_firth, fit_ridge, separated
from IITHModuleLib.training.univariate import cox_p, welch_p
from SubregionHabitatLib.errors import InputError
from support.data import require_data


@pytest.fixture(scope="module")
def glmnet_cohort():
    """Times, events and features of glmnet's Cox example."""
    table = np.loadtxt(require_data("reference", "cox.csv"), delimiter=",", skiprows=1)
    return table[:, 0], table[:, 1], table[:, 2:]


def z_of(values, by=None):
    by = values if by is None else by
    return (values - by.mean(axis=0)) / by.std(axis=0)


def test_a6_lasso_cox_path_and_choice_are_glmnets(glmnet_cohort):
    times, events, x = glmnet_cohort
    loss, z = CoxLoss(times, events), z_of(x)
    assert largest_penalty(loss, z) == pytest.approx(0.3918788916, abs=2e-10)
    coefficients = lasso_path(loss, z, [0.1, 0.05]).coefficients
    assert (coefficients != 0).sum(axis=1).tolist() == [3, 14]
    grid = lasso_path(loss, z, penalty_grid(loss, z), stop_early=True).penalties
    folds = [np.flatnonzero(np.arange(1, times.size + 1) % 10 == k) for k in range(10)]

    def deviance(train, test):
        rows = z_of(x, x[train])
        path = lasso_path(CoxLoss(times[train], events[train]), rows[train], grid)
        return cox_deviance(times, events, path.predictors(rows), train), events[test].sum()

    choice = choose_penalty(grid, folds, deviance)
    assert grid[choice.at_minimum] == pytest.approx(0.1065357, abs=1e-7)
    assert grid[choice.one_se] == pytest.approx(0.1861742, abs=1e-7)
    assert choice.deviance.min() == pytest.approx(7.8837, abs=2e-4)


@pytest.mark.parametrize("kind", ["logistic", "cox"])
def test_lasso_meets_the_optimality_conditions_where_features_outnumber_patients(kind):
    rng = np.random.default_rng(4)
    x = z_of(rng.normal(size=(60, 150)))
    event = rng.permutation(np.repeat([0.0, 1.0], 30))
    loss = LogisticLoss(event) if kind == "logistic" else CoxLoss(np.ceil(rng.exponential(9, 60)), event)
    grid = penalty_grid(loss, x, 20, 0.05)
    path = lasso_path(loss, x, grid)
    assert not path.coefficients[0].any()
    for penalty, coefficients, predictor in zip(grid, path.coefficients, path.predictors(x), strict=True):
        gradient = x.T @ loss.gradient(predictor)
        inside = coefficients != 0
        assert gradient[inside] == pytest.approx(-penalty * np.sign(coefficients[inside]), abs=1e-7)
        assert (np.abs(gradient[~inside]) <= penalty + 1e-7).all()
        if kind == "logistic":
            assert loss.gradient(predictor).sum() == pytest.approx(0, abs=1e-7)


def test_lasso_logistic_agrees_with_scikit_learn():
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(3)
    x = z_of(rng.normal(size=(120, 12)))
    outcome = (rng.random(120) < 1 / (1 + np.exp(-x[:, 0] + x[:, 1]))).astype(float)
    path = lasso_path(LogisticLoss(outcome), x, [0.1, 0.03])
    for penalty, coefficients, intercept in zip(path.penalties, path.coefficients, path.intercepts, strict=True):
        # saga: liblinear would penalize the intercept
        model = LogisticRegression(
            l1_ratio=1, C=1 / (120 * penalty), solver="saga", tol=1e-10, max_iter=100_000, random_state=0
        ).fit(x, outcome)
        assert coefficients == pytest.approx(model.coef_[0], abs=1e-6)
        assert intercept == pytest.approx(model.intercept_[0], abs=1e-6)


def test_one_feature_tests_are_those_of_scipy_and_lifelines():
    rng = np.random.default_rng(0)
    x, times = rng.normal(size=(90, 40)), np.ceil(rng.exponential(size=90) * 15)
    event = (rng.random(90) < 0.5).astype(float)
    expected = [ttest_ind(c[event == 1], c[event == 0], equal_var=False).pvalue for c in x.T]
    assert welch_p(x, event) == pytest.approx(expected, rel=1e-10)
    wald = cox_p(x, times, event)
    for k in (0, 7, 23):
        fit = fit_cox(x[:, [k]], times, event)
        assert wald[k] == pytest.approx(2 * norm.sf(abs(fit.coefficients[0]) / fit.covariance[0, 0] ** 0.5), rel=1e-5)
    quick = cox_p(x, times, event, exact_below=0.25)
    assert ((quick < 0.05) == (wald < 0.05)).all()
    assert quick[quick < 0.2] == pytest.approx(wald[quick < 0.2], rel=1e-9)
    assert welch_p(np.ones((90, 1)), event) == 1


def test_firth_of_a_two_by_two_table_adds_one_half_to_every_cell():
    group, outcome = np.repeat([0.0, 0, 1, 1], [10, 5, 0, 8]), np.repeat([0.0, 1, 0, 1], [10, 5, 0, 8])
    with pytest.raises(InputError, match="separate"):
        fit_logistic(group[:, None], outcome)
    assert separated(group[:, None], outcome) == [0]
    fit = fit_firth(group[:, None], outcome)
    assert fit.coefficients[0] / fit.sd[0] == pytest.approx(np.log((8.5 / 0.5) / (5.5 / 10.5)), abs=1e-9)
    probability = 1 / (1 + np.exp(-fit.predictor(np.array([[0.0], [1.0]]))))
    assert probability == pytest.approx([5.5 / 16, 8.5 / 9], abs=1e-9)


def test_ridge_agrees_with_scikit_learn():
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(5)
    x, outcome = rng.normal(size=(80, 3)), (rng.random(80) < 0.4).astype(float)
    fit = fit_ridge(x, outcome, 2.0)
    model = LogisticRegression(C=0.5, tol=1e-12, max_iter=1000).fit(z_of(x), outcome)
    assert fit.coefficients == pytest.approx(model.coef_[0], abs=1e-5)
    assert fit.intercept == pytest.approx(model.intercept_[0], abs=1e-5)
