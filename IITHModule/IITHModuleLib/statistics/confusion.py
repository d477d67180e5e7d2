"""What a yes/no call does: counts, sensitivity, specificity, predictive values; with and without censoring."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from SubregionHabitatLib.errors import InputError

from .calibration import Estimate, wilson_interval
from .survival_curve import check_follow_up, survival_at
from .survival_groups import survival_curve


@dataclass(frozen=True)
class Confusion:
    """Counts of calls (first letter: was the call right) and what follows from them; an estimate whose denominator is
    0 is None. ``unknown``: patients censored before the time asked for, in no count."""

    true_positive: int
    false_positive: int
    true_negative: int
    false_negative: int
    unknown: int
    sensitivity: Estimate | None
    specificity: Estimate | None
    ppv: Estimate | None
    npv: Estimate | None


def confusion(outcome, called) -> Confusion:
    """2 x 2 table of a 0/1 outcome (N,) and calls (N,) with Wilson 95 % intervals."""
    outcome, called = check_follow_up(outcome, outcome, np.asarray(called, float))[1:]
    if not np.isin(called, (0, 1)).all():
        raise InputError("Calls must be 0 or 1; compare the score with a cut first.")
    tp, fp, tn, fn = _counts(outcome == 1, outcome == 0, called == 1)
    return Confusion(
        tp, fp, tn, fn, 0, _share(tp, tp + fn), _share(tn, tn + fp), _share(tp, tp + fp), _share(tn, tn + fn)
    )


def survival_confusion(times, events, called, at: float, n_bootstrap: int = 500, seed: int = 0) -> Confusion:
    """The same for "event by ``at``" under censoring.

    The counts hold the patients whose status at ``at`` is known. The estimates use everybody: the predictive values
    are Kaplan-Meier shares of the called and not called patients (log-log intervals), and Bayes' rule turns them into
    sensitivity and specificity (bootstrap intervals).
    """
    times, events, called = check_follow_up(times, events, np.asarray(called, float))
    if not np.isin(called, (0, 1)).all():
        raise InputError("Calls must be 0 or 1; compare the score with a cut first.")
    case, control = (times <= at) & (events == 1), (times > at) | ((times == at) & (events == 0))
    tp, fp, tn, fn = _counts(case, control, called == 1)
    positive, negative = (
        survival_curve(times[called == k], events[called == k]).at(at) if (called == k).any() else None for k in (1, 0)
    )
    ppv = None if positive is None else Estimate(*(1 - positive[k] for k in ("survival", "high", "low")))
    npv = None if negative is None else Estimate(*(negative[k] for k in ("survival", "low", "high")))
    sensitivity = specificity = None
    if ppv is not None and npv is not None:
        values = _by_bayes(times, events, called, at)
        rng, draws = np.random.default_rng(seed), []
        for _ in range(n_bootstrap):
            r = rng.integers(0, times.size, times.size)
            draws.append(_by_bayes(times[r], events[r], called[r], at))
        low, high = np.nanpercentile(draws, [2.5, 97.5], axis=0)
        sensitivity, specificity = (
            Estimate(float(values[k]), float(low[k]), float(high[k])) if np.isfinite(values[k]) else None
            for k in (0, 1)
        )
    return Confusion(tp, fp, tn, fn, int(times.size - tp - fp - tn - fn), sensitivity, specificity, ppv, npv)


def _by_bayes(times, events, called, at: float) -> tuple[float, float]:
    share = called.mean()
    failed = [
        1 - survival_at(times[called == k], events[called == k], at) if (called == k).any() else 0.0 for k in (1, 0)
    ]
    case = failed[0] * share + failed[1] * (1 - share)
    if not 0 < case < 1:
        return float("nan"), float("nan")
    return failed[0] * share / case, (1 - failed[1]) * (1 - share) / (1 - case)


def _counts(case, control, called) -> tuple[int, int, int, int]:
    return tuple(int(v.sum()) for v in (case & called, control & called, control & ~called, case & ~called))


def _share(part: int, whole: int) -> Estimate | None:
    return Estimate(part / whole, *wilson_interval(part, whole)) if whole else None
