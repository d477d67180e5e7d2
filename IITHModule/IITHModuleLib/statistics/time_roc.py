"""ROC curve of a marker for an event up to one time, under censoring, and the cut it suggests.

Three estimators of the cumulative/dynamic curve (cases: event up to t; controls: still free of it at t):
"km" and "nne" after Heagerty, Lumley & Pepe, Biometrics 2000;56:337 (R's survivalROC), and "ipcw" after Uno et al.,
JASA 2007;102:527 and Hung & Chiang, Can J Stat 2010;38:8 (R's timeROC). "km" may give a curve that is not monotone
and leaves 0..1 by a little, as survivalROC's does; "nne" repairs that at the price of a smoothing span; "ipcw" needs
censoring that does not depend on the marker.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from SubregionHabitatLib.errors import InputError

from .survival_curve import check_follow_up, survival_above, survival_at, survival_of_groups, uncensored_share

METHODS = ("km", "nne", "ipcw")


@dataclass(frozen=True)
class TimeRoc:
    """Sensitivity and 1 - specificity of ``marker > cut`` at time ``at`` for each of ``cuts`` (ascending).

    auc is the trapezoid area including the corners; cut the one with the largest sensitivity + specificity - 1
    (the lowest of equals) and youden that maximum.
    """

    at: float
    method: str
    cuts: np.ndarray
    sensitivity: np.ndarray
    one_minus_specificity: np.ndarray
    auc: float
    cut: float
    youden: float
    n: int
    n_events_by_then: int
    n_at_risk: int


def time_roc(times, events, marker, at: float, method: str = "km", span: float | None = None) -> TimeRoc:
    """Time-dependent ROC of ``marker`` (N,), higher meaning earlier failure; times (N,) and ``at`` in one unit.

    span: half width of nne's window as a share of the patients, default 0.25 N**-0.2.
    Raises InputError when nobody has had the event by ``at``, or nobody is followed up beyond it.
    """
    times, events, marker = check_follow_up(times, events, marker)
    if method not in METHODS:
        raise InputError(f"'{method}' is no estimator of a time-dependent ROC; use one of {', '.join(METHODS)}.")
    by_then, beyond = int(((times <= at) & (events == 1)).sum()), int((times > at).sum())
    if not by_then or not beyond:
        raise InputError(
            f"At time {at:g} {by_then} patients have had the event and {beyond} are still followed up; "
            "a ROC curve needs some of both, so choose another time."
        )
    cuts = np.unique(marker)
    if method == "km":
        rates = _kaplan_meier(times, events, at, marker, cuts)
    elif method == "nne":
        above = (marker[None, :] > cuts[:, None]).astype(float)
        rates = _nearest_neighbor(times, events, marker, at, above, span)
    else:
        above = (marker[None, :] > cuts[:, None]).astype(float)
        rates = _inverse_weights(times, events, at, above)
    sensitivity, false_positive = rates
    best = int(np.argmax(np.round(sensitivity - false_positive, 12)))
    x, y = np.concatenate([[1.0], false_positive]), np.concatenate([[1.0], sensitivity])
    return TimeRoc(
        at=float(at),
        method=method,
        cuts=cuts,
        sensitivity=sensitivity,
        one_minus_specificity=false_positive,
        auc=float(np.sum((x[:-1] - x[1:]) * (y[:-1] + y[1:]) / 2)),
        cut=float(cuts[best]),
        youden=float(sensitivity[best] - false_positive[best]),
        n=times.size,
        n_events_by_then=by_then,
        n_at_risk=beyond,
    )


def time_auc_interval(
    times, events, marker, at: float, method: str = "km", n_bootstrap: int = 200, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap 95 % interval of the time-dependent AUC, from the resamples with cases and controls."""
    times, events, marker = check_follow_up(times, events, marker)
    rng = np.random.default_rng(seed)
    draws = []
    for _ in range(n_bootstrap):
        rows = rng.integers(0, times.size, times.size)
        try:
            draws.append(time_roc(times[rows], events[rows], marker[rows], at, method).auc)
        except InputError:
            continue
    if len(draws) < n_bootstrap / 2:
        raise InputError(f"Too few events around time {at:g} for an interval; choose another time.")
    low, high = np.percentile(draws, [2.5, 97.5])
    return float(low), float(high)


def _kaplan_meier(times, events, at: float, marker, cuts) -> tuple[np.ndarray, np.ndarray]:
    overall, within = survival_at(times, events, at), np.nan_to_num(survival_above(times, events, at, marker, cuts))
    share = 1 - np.searchsorted(np.sort(marker), cuts, side="right") / times.size
    return (1 - within) * share / (1 - overall), within * share / overall


def _nearest_neighbor(times, events, marker, at: float, above: np.ndarray, span) -> tuple[np.ndarray, np.ndarray]:
    span = 0.25 * times.size**-0.2 if span is None else float(span)
    if not 0 < span <= 1:
        raise InputError(f"The span {span:g} of the time-dependent ROC must lie between 0 and 1.")
    # The share of patients with a marker no larger, so that the window holds equally many patients everywhere.
    place = (marker[None, :] <= marker[:, None]).mean(axis=1)
    near = (np.abs(place[:, None] - place[None, :]) < span).astype(float)
    own = survival_of_groups(times, events, at, near)
    both, overall = above @ own / times.size, own.mean()
    return (above.mean(axis=1) - both) / (1 - overall), both / overall


def _inverse_weights(times, events, at: float, above: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    case, control = (times <= at) & (events == 1), times > at
    weight = np.zeros(times.size)
    weight[case] = 1 / uncensored_share(times, events, times[case], just_before=True)
    return above @ weight / weight.sum(), above[:, control].mean(axis=1)
