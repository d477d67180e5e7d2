"""Logistic regression by statsmodels, on standardized features."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from SubregionHabitatLib.errors import InputError


@dataclass(frozen=True)
class LogisticFit:
    """Coefficients per SD. covariance is (P+1, P+1), the intercept first."""

    mean: np.ndarray
    sd: np.ndarray
    intercept: float
    coefficients: np.ndarray
    covariance: np.ndarray
    log_likelihood: float

    def predictor(self, design: np.ndarray) -> np.ndarray:
        """Log odds (N,) of untransformed-scale design rows (N, P)."""
        return self.intercept + ((design - self.mean) / self.sd) @ self.coefficients


def standardize(design: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """z, mean and SD (ddof 0) of the columns; InputError when a column is constant."""
    mean, sd = design.mean(axis=0), design.std(axis=0)
    if not (sd > 1e-12).all():
        raise InputError("A feature has the same value in every patient; leave it out of the protocol.")
    return (design - mean) / sd, mean, sd


def fit_logistic(design: np.ndarray, outcome: np.ndarray) -> LogisticFit:
    """Maximum likelihood by Newton's method to 1e-12; InputError on separation or no convergence."""
    import statsmodels.api as sm
    from statsmodels.tools.sm_exceptions import ConvergenceWarning, PerfectSeparationError, PerfectSeparationWarning

    z, mean, sd = standardize(design)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", ConvergenceWarning)
            warnings.simplefilter("error", PerfectSeparationWarning)
            model = sm.Logit(outcome, np.column_stack([np.ones(len(z)), z]))
            fit = model.fit(disp=0, method="newton", tol=1e-12, maxiter=100)
    except (PerfectSeparationError, PerfectSeparationWarning, ConvergenceWarning, np.linalg.LinAlgError):
        raise InputError(
            "The logistic model cannot be fitted (the features separate the outcome completely, or repeat each "
            "other); use fewer features or more patients."
        ) from None
    return LogisticFit(mean, sd, float(fit.params[0]), fit.params[1:], np.asarray(fit.cov_params()), float(fit.llf))
