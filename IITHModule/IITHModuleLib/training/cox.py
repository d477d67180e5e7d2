"""Cox regression by lifelines (Efron ties), on standardized features, with what predictions need."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from SubregionHabitatLib.errors import InputError

from .logistic import standardize


@dataclass(frozen=True)
class CoxFit:
    """Coefficients per SD with covariance (P, P); the baseline is at the training mean (all z = 0)."""

    mean: np.ndarray
    sd: np.ndarray
    coefficients: np.ndarray
    covariance: np.ndarray
    log_likelihood: float

    def predictor(self, design: np.ndarray) -> np.ndarray:
        """Log relative hazard (N,) of design rows (N, P); 0 at the training mean."""
        return ((design - self.mean) / self.sd) @ self.coefficients


@dataclass(frozen=True)
class Baseline:
    """Breslow's estimator at each event time: cumulative hazard, its variance part and drift (times, P)."""

    time_days: np.ndarray
    cumulative_hazard: np.ndarray
    hazard_variance: np.ndarray
    drift: np.ndarray

    def at(self, days: float) -> tuple[float, float, np.ndarray]:
        """Cumulative hazard, variance part and drift at ``days``."""
        k = int(np.searchsorted(self.time_days, days, side="right")) - 1
        if k < 0:
            return 0.0, 0.0, np.zeros(self.drift.shape[1])
        return float(self.cumulative_hazard[k]), float(self.hazard_variance[k]), self.drift[k]


def fit_cox(design: np.ndarray, time_days: np.ndarray, event: np.ndarray, ridge: float = 0.0) -> CoxFit:
    """Partial likelihood with Efron's ties to a precision of 1e-11; InputError when it does not converge.

    ridge: the log likelihood is maximized less ridge / 2 times the sum of squared coefficients per SD.
    """
    z, mean, sd = standardize(design)
    fitter = _lifelines(z, time_days, event, ridge / len(z))
    return CoxFit(
        mean,
        sd,
        fitter.params_.to_numpy(),
        np.atleast_2d(fitter.variance_matrix_.to_numpy()),
        float(fitter.log_likelihood_),
    )


def _lifelines(z: np.ndarray, time_days: np.ndarray, event: np.ndarray, penalizer: float = 0.0):
    import pandas as pd
    from lifelines import CoxPHFitter
    from lifelines.exceptions import ConvergenceError, ConvergenceWarning

    frame = pd.DataFrame(z, columns=[f"z{i}" for i in range(z.shape[1])])
    frame["time"], frame["event"] = time_days, event
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", ConvergenceWarning)
            return CoxPHFitter(penalizer=penalizer).fit(frame, "time", "event", fit_options={"precision": 1e-11})
    except (ConvergenceError, ConvergenceWarning, np.linalg.LinAlgError):
        raise InputError(
            "The Cox model cannot be fitted (the features separate the outcome completely, or repeat each other); "
            "use fewer features or more patients."
        ) from None


def breslow_baseline(fit: CoxFit, design: np.ndarray, time_days: np.ndarray, event: np.ndarray) -> Baseline:
    """Baseline cumulative hazard with the two quantities that give survival predictions their interval."""
    z = (design - fit.mean) / fit.sd
    order = np.argsort(time_days, kind="stable")
    z, time, event = z[order], time_days[order], event[order].astype(bool)
    weight = np.exp(z @ fit.coefficients)
    risk = np.cumsum(weight[::-1])[::-1]
    weighted_z = np.cumsum((weight[:, None] * z)[::-1], axis=0)[::-1]
    times, deaths = np.unique(time[event], return_counts=True)
    first = np.searchsorted(time, times, side="left")
    step = deaths / risk[first]
    return Baseline(
        times,
        np.cumsum(step),
        np.cumsum(deaths / risk[first] ** 2),
        np.cumsum(step[:, None] * weighted_z[first] / risk[first][:, None], axis=0),
    )


def proportional_hazards_p(design: np.ndarray, time_days: np.ndarray, event: np.ndarray) -> list[float]:
    """P value per feature of the scaled Schoenfeld residuals against the rank of time."""
    import pandas as pd
    from lifelines.statistics import proportional_hazard_test

    z, _, _ = standardize(design)
    frame = pd.DataFrame(z, columns=[f"z{i}" for i in range(z.shape[1])])
    frame["time"], frame["event"] = time_days, event
    result = proportional_hazard_test(_lifelines(z, time_days, event), frame, time_transform="rank")
    return [float(p) for p in np.atleast_1d(result.p_value)]


def calibration_slope(predictor: np.ndarray, time_days: np.ndarray, event: np.ndarray) -> tuple[float, float]:
    """Cox coefficient of a linear predictor in other patients and its standard error; 1 is ideal."""
    fit = fit_cox(predictor[:, None], time_days, event)
    return float(fit.coefficients[0] / fit.sd[0]), float(np.sqrt(fit.covariance[0, 0]) / fit.sd[0])
