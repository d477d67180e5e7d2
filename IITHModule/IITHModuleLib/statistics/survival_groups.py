"""Kaplan-Meier curves of groups with numbers at risk, medians and follow-up, and the log-rank test.

lifelines estimates the curves, with log-log 95 % intervals (R: survfit(conf.type = "log-log")); the medians follow R
where a curve runs along one half.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2

from SubregionHabitatLib.errors import InputError

from .survival_curve import check_follow_up


@dataclass(frozen=True)
class SurvivalCurve:
    """One group's curve. times (K,) start at 0 and are the observed times; survival, low, high hold after each of them;
    at_risk (K,) is the number under observation just before. The median is None where the curve never falls to one
    half, and a bound of its interval is None where the band does not."""

    name: str
    n: int
    n_events: int
    times: np.ndarray
    survival: np.ndarray
    low: np.ndarray
    high: np.ndarray
    at_risk: np.ndarray
    median: float | None
    median_low: float | None
    median_high: float | None

    def at(self, time: float) -> dict | None:
        """Survival, its interval and the number at risk at ``time``; None beyond the last follow-up."""
        if time > self.times[-1]:
            return None
        k = int(np.searchsorted(self.times, time, side="right")) - 1
        return {
            "time": float(time),
            "survival": float(self.survival[k]),
            "low": float(self.low[k]),
            "high": float(self.high[k]),
            "at_risk": self.number_at_risk(time),
        }

    def number_at_risk(self, time: float) -> int:
        """Patients whose follow-up reaches ``time``."""
        k = int(np.searchsorted(self.times, time, side="left"))
        return int(self.at_risk[k]) if k < self.times.size else 0


def survival_curve(times, events, name: str = "all patients") -> SurvivalCurve:
    """Kaplan-Meier curve of times (N,) in any one unit and events (N,) of 0/1."""
    from lifelines import KaplanMeierFitter

    times, events = check_follow_up(times, events)
    fitter = KaplanMeierFitter().fit(times, events)
    survival = fitter.survival_function_.iloc[:, 0].to_numpy(float)
    low, high = fitter.confidence_interval_.to_numpy(float).T
    # Before the first event and after the last patient's event the log-log interval is undefined.
    low, high = (np.where((survival >= 1) | (survival <= 0), survival, bound) for bound in (low, high))
    moments = fitter.survival_function_.index.to_numpy(float)
    ordered = np.sort(times)
    at_risk = times.size - np.searchsorted(ordered, moments, side="left")
    return SurvivalCurve(
        name=name,
        n=int(times.size),
        n_events=int(events.sum()),
        times=moments,
        survival=survival,
        low=low,
        high=high,
        at_risk=at_risk,
        median=_half_time(moments, survival),
        median_low=_half_time(moments, low),
        median_high=_half_time(moments, high),
    )


def _half_time(moments: np.ndarray, survival: np.ndarray) -> float | None:
    """First time at which a curve is at most one half, or the middle of the stretch where it equals one half."""
    below = np.flatnonzero(survival <= 0.5 + 1e-12)
    if not below.size:
        return None
    first = below[0]
    if abs(survival[first] - 0.5) > 1e-9:
        return float(moments[first])
    after = np.flatnonzero(survival < 0.5 - 1e-9)
    return float((moments[first] + moments[after[0]]) / 2) if after.size else float(moments[first])


def median_follow_up(times, events) -> float | None:
    """Median follow-up by the reverse Kaplan-Meier method (Schemper & Smith, Control Clin Trials 1996;17:343)."""
    times, events = check_follow_up(times, events)
    return survival_curve(times, 1 - events).median


@dataclass(frozen=True)
class LogRank:
    """Log-rank test of equal survival: chi-square on ``degrees`` degrees of freedom; observed and expected events."""

    chi_square: float
    degrees: int
    p: float
    observed: tuple[float, ...]
    expected: tuple[float, ...]


def log_rank(times, events, groups) -> LogRank:
    """Log-rank test between the groups (N,) of labels, in the order in which numpy sorts them.

    Raises InputError for fewer than two groups or without an event.
    """
    from lifelines.statistics import multivariate_logrank_test

    times, events = check_follow_up(times, events)
    groups = np.asarray(groups)
    names = np.unique(groups)
    if names.size < 2:
        raise InputError("A log-rank test needs at least two groups with patients; choose another grouping.")
    if not events.any():
        raise InputError("A log-rank test needs at least one event; check the event column.")
    result = multivariate_logrank_test(times, groups, events)
    moments = np.unique(times[events == 1])
    at_risk = (times[:, None] >= moments).astype(float)
    deaths = ((times[:, None] == moments) & (events == 1)[:, None]).sum(axis=0)
    members = groups[None, :] == names[:, None]
    expected = ((members @ at_risk) / at_risk.sum(axis=0) * deaths).sum(axis=1)
    degrees = names.size - 1
    statistic = float(result.test_statistic)
    return LogRank(
        chi_square=statistic,
        degrees=degrees,
        p=float(chi2.sf(statistic, degrees)),
        observed=tuple(float(events[m].sum()) for m in members),
        expected=tuple(float(e) for e in expected),
    )
