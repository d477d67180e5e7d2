"""A smooth calibration curve of predicted survival under censoring.

Source: Austin, Harrell & van Klaveren, Stat Med 2020;39:2714.

A Cox model of restricted cubic splines of log(-log(predicted survival)) says what really happened at each predicted
value; the mean distance to the prediction is the integrated calibration index.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from SubregionHabitatLib.errors import InputError

from ..training.cox import breslow_baseline, fit_cox
from .survival_curve import check_follow_up


@dataclass(frozen=True)
class SmoothCalibration:
    """predicted (K,) ascending and observed (K,) survival; ici: mean absolute difference over the patients; e50 and
    e90: its median and 90th percentile."""

    predicted: np.ndarray
    observed: np.ndarray
    ici: float
    e50: float
    e90: float


def smooth_calibration(times, events, predicted, horizon: float, n_grid: int = 60) -> SmoothCalibration:
    """Calibration curve of predicted survival (N,) at ``horizon``, over the middle 98 % of the predictions.

    Raises InputError when the predictions are equal or the spline model cannot be fitted.
    """
    times, events, predicted = check_follow_up(times, events, predicted)
    x = np.log(-np.log(np.clip(predicted, 1e-9, 1 - 1e-9)))
    knots = np.unique(np.quantile(x, [0.1, 0.5, 0.9]))
    if not np.ptp(x) > 0:
        raise InputError("All predictions are equal; calibration needs different ones.")
    basis = restricted_spline(x, knots) if knots.size == 3 else x[:, None]
    fit = fit_cox(basis, times, events)
    hazard = breslow_baseline(fit, basis, times, events).at(horizon)[0]

    def observed(values: np.ndarray) -> np.ndarray:
        columns = restricted_spline(values, knots) if knots.size == 3 else values[:, None]
        return np.exp(-hazard * np.exp(fit.predictor(columns)))

    distance = np.abs(observed(x) - predicted)
    grid = np.linspace(*np.quantile(predicted, [0.01, 0.99]), n_grid)
    return SmoothCalibration(
        grid,
        observed(np.log(-np.log(np.clip(grid, 1e-9, 1 - 1e-9)))),
        float(distance.mean()),
        float(np.median(distance)),
        float(np.quantile(distance, 0.9)),
    )


def restricted_spline(x: np.ndarray, knots: np.ndarray) -> np.ndarray:
    """Restricted cubic spline basis (N, K - 1) with K knots, linear beyond the outer ones (Harrell's rcspline.eval)."""
    last, before = knots[-1], knots[-2]

    def cube(v: np.ndarray) -> np.ndarray:
        return np.maximum(v, 0.0) ** 3

    columns = [x]
    for knot in knots[:-2]:
        bent = cube(x - knot) - cube(x - before) * (last - knot) / (last - before)
        bent += cube(x - last) * (before - knot) / (last - before)
        columns.append(bent / (last - knots[0]) ** 2)
    return np.column_stack(columns)
