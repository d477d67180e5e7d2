"""Test of proportional hazards: does a coefficient drift with time?

The score test of R's survival 3 (cox.zph): each term x is joined by x g(t), where g is a function of time, and the
hypothesis that the joined terms are 0 is tested at the fitted coefficients (Grambsch & Therneau, Biometrika
1994;81:515, in its exact form). lifelines has only the older approximation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2, rankdata

from SubregionHabitatLib.errors import InputError

from .survival_curve import check_follow_up

TIME_SCALES = ("km", "rank", "identity")


@dataclass(frozen=True)
class ProportionalHazards:
    """chi_square (P,) and p (P,), one per term with one degree of freedom; the global test has P."""

    chi_square: np.ndarray
    p: np.ndarray
    global_chi_square: float
    global_p: float


def proportional_hazards(design, times, events, coefficients, scale: str = "km") -> ProportionalHazards:
    """Score test for a fitted Cox model (Efron ties): design (N, P), coefficients (P,) per unit of the design.

    scale: g(t) as one minus the Kaplan-Meier estimate just before t ("km", R's default), the rank among all times, or
    the time itself. Raises InputError for another scale or a design that does not fit.
    """
    times, events = check_follow_up(times, events)
    design, coefficients = np.asarray(design, float), np.asarray(coefficients, float)
    if design.shape != (times.size, coefficients.size):
        raise InputError("The design has not one row per patient and one column per coefficient.")
    if scale not in TIME_SCALES:
        raise InputError(f"'{scale}' is no time scale of the test; use one of {', '.join(TIME_SCALES)}.")
    weight = np.exp((design - design.mean(axis=0)) @ coefficients)
    moments = np.unique(times[events == 1])
    clock = _clock(times, events, moments, scale)
    score, plain, mixed, drifting = 0.0, 0.0, 0.0, 0.0
    for moment, g in zip(moments, clock, strict=True):
        residual, variance = _efron_step(design, weight, times >= moment, (times == moment) & (events == 1))
        score = score + g * residual
        plain, mixed, drifting = plain + variance, mixed + g * variance, drifting + g * g * variance
    return _tests(score, plain, mixed, drifting)


def _clock(times, events, moments, scale: str) -> np.ndarray:
    if scale == "identity":
        values = moments
    elif scale == "rank":
        order = np.argsort(times)
        values = rankdata(times)[order][np.searchsorted(times[order], moments)]
    else:
        at_risk = (times[:, None] >= moments).sum(axis=0)
        dead = ((times[:, None] == moments) & (events == 1)[:, None]).sum(axis=0)
        values = 1 - np.concatenate([[1.0], np.cumprod(1 - dead / at_risk)[:-1]])
    counts = ((times[:, None] == moments) & (events == 1)[:, None]).sum(axis=0)
    return values - np.average(values, weights=counts)


def _efron_step(design, weight, at_risk, dead) -> tuple[np.ndarray, np.ndarray]:
    """Sum of the Schoenfeld residuals (P,) and information (P, P) of one event time."""
    n_dead = int(dead.sum())
    residual, variance = design[dead].sum(axis=0), np.zeros((design.shape[1],) * 2)
    for k in range(n_dead):
        w = np.where(at_risk, weight, 0.0) - k / n_dead * np.where(dead, weight, 0.0)
        mean = w @ design / w.sum()
        centered = design - mean
        residual = residual - mean
        variance += (w[:, None] * centered).T @ centered / w.sum()
    return residual, variance


def _tests(score, plain, mixed, drifting) -> ProportionalHazards:
    n = len(score)
    single = np.full(n, np.nan)
    try:
        solved = np.linalg.solve(plain, mixed)
        adjusted = drifting - mixed @ solved
        variance = np.diag(adjusted)
        single = np.divide(score**2, variance, out=np.full(n, np.nan), where=variance > 1e-12)
        total = float(score @ np.linalg.solve(adjusted, score))
    except np.linalg.LinAlgError:
        total = float("nan")
    return ProportionalHazards(single, chi2.sf(single, 1), total, float(chi2.sf(total, n)))
