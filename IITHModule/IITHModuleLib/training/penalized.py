"""Logistic regression under separation: Firth's penalized likelihood, and ridge."""

from __future__ import annotations

import numpy as np

from SubregionHabitatLib.errors import InputError

from .logistic import LogisticFit, standardize

_MAX_STEPS = 200


def fit_firth(design: np.ndarray, outcome: np.ndarray) -> LogisticFit:
    """Maximum of the likelihood times Jeffreys' prior (Firth, Biometrika 1993;80:27): finite under separation.

    The covariance is the inverse information at the estimate.
    """
    z, mean, sd = standardize(design)
    x = np.column_stack([np.ones(len(z)), z])
    beta = np.zeros(x.shape[1])
    value = _penalized(x, outcome, beta)
    for _ in range(_MAX_STEPS):
        p = _probability(x @ beta)
        weight = p * (1 - p)
        try:
            covariance = np.linalg.inv((x * weight[:, None]).T @ x)
        except np.linalg.LinAlgError:
            raise _unusable() from None
        leverage = weight * np.einsum("ni,ij,nj->n", x, covariance, x)
        step = covariance @ (x.T @ (outcome - p + leverage * (0.5 - p)))
        step *= min(1.0, 5.0 / max(np.abs(step).max(), 1e-300))
        while _penalized(x, outcome, beta + step) < value - 1e-12 and np.abs(step).max() > 1e-12:
            step /= 2
        beta, value = beta + step, _penalized(x, outcome, beta + step)
        if np.abs(step).max() < 1e-10:
            return _result(mean, sd, x, outcome, beta, np.zeros(beta.size))
    raise _unusable()


def fit_ridge(design: np.ndarray, outcome: np.ndarray, penalty: float = 1.0) -> LogisticFit:
    """Maximum of the log likelihood minus penalty / 2 times the sum of squared coefficients per SD (not the intercept).

    The covariance is the inverse of the penalized information.
    """
    z, mean, sd = standardize(design)
    x = np.column_stack([np.ones(len(z)), z])
    ridge = np.concatenate([[0.0], np.full(z.shape[1], float(penalty))])
    beta = np.zeros(x.shape[1])
    for _ in range(_MAX_STEPS):
        p = _probability(x @ beta)
        information = (x * (p * (1 - p))[:, None]).T @ x + np.diag(ridge)
        step = np.linalg.solve(information, x.T @ (outcome - p) - ridge * beta)
        step *= min(1.0, 5.0 / max(np.abs(step).max(), 1e-300))
        beta = beta + step
        if np.abs(step).max() < 1e-10:
            return _result(mean, sd, x, outcome, beta, ridge)
    raise _unusable()


def _probability(predictor: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(predictor, -700, 700)))


def _log_likelihood(x, outcome, beta) -> float:
    predictor = x @ beta
    return float(np.sum(outcome * predictor - np.logaddexp(0, predictor)))


def _penalized(x, outcome, beta) -> float:
    p = _probability(x @ beta)
    sign, logarithm = np.linalg.slogdet((x * (p * (1 - p))[:, None]).T @ x)
    return _log_likelihood(x, outcome, beta) + 0.5 * logarithm if sign > 0 else -np.inf


def _result(mean, sd, x, outcome, beta, ridge) -> LogisticFit:
    p = _probability(x @ beta)
    covariance = np.linalg.inv((x * (p * (1 - p))[:, None]).T @ x + np.diag(ridge))
    return LogisticFit(mean, sd, float(beta[0]), beta[1:], covariance, _log_likelihood(x, outcome, beta))


def _unusable() -> InputError:
    return InputError("The penalized model cannot be fitted (the features repeat each other); use fewer features.")


def separated(design: np.ndarray, outcome: np.ndarray) -> list[int]:
    """Columns of two values, one of which occurs with one outcome only: their odds ratio is 0 or infinite."""
    found = []
    for k, column in enumerate(np.asarray(design).T):
        values = np.unique(column)
        if values.size == 2 and any(np.unique(outcome[column == v]).size == 1 for v in values):
            found.append(k)
    return found
