"""Kaplan-Meier survival of many weighted groups at one time, in numpy: what ROC curves, net benefit and weights need.

For curves with intervals see ``kaplan_meier`` in calibration.py.
"""

from __future__ import annotations

import numpy as np

from SubregionHabitatLib.errors import InputError


def check_follow_up(times, events, *others) -> tuple[np.ndarray, ...]:
    """times, events and further values (N,) as checked float arrays; InputError when they do not fit."""
    arrays = [np.asarray(values, dtype=float) for values in (times, events, *others)]
    if any(a.ndim != 1 or a.shape != arrays[0].shape for a in arrays) or not arrays[0].size:
        raise InputError("Times, events and scores differ in length; give one of each per patient.")
    if not all(np.isfinite(a).all() for a in arrays):
        raise InputError("Times, events and scores must be finite numbers; leave incomplete patients out.")
    if not np.isin(arrays[1], (0, 1)).all():
        raise InputError("Events must be 0 (censored) or 1; recode the event column.")
    if (arrays[0] < 0).any():
        raise InputError("A follow-up time is negative; correct the time column.")
    return tuple(arrays)


def survival_of_groups(times: np.ndarray, events: np.ndarray, at: float, groups: np.ndarray) -> np.ndarray:
    """Kaplan-Meier S(at) of each group; groups (G, N) are weights of the patients (0/1 for plain groups).

    A group without anybody at risk at an event time keeps its last value; one without any patient is NaN.
    """
    groups = np.atleast_2d(np.asarray(groups, dtype=float))
    moments = np.unique(times[(events == 1) & (times <= at)])
    survival = np.ones(len(groups))
    if moments.size:
        at_risk = groups @ (times[:, None] >= moments).astype(float)
        deaths = groups @ ((times[:, None] == moments) & (events == 1)[:, None]).astype(float)
        share = np.divide(deaths, at_risk, out=np.zeros_like(deaths), where=at_risk > 0)
        survival = np.prod(1 - share, axis=1)
    return np.where(groups.sum(axis=1) > 0, survival, np.nan)


def survival_above(times: np.ndarray, events: np.ndarray, at: float, marker: np.ndarray, cuts) -> np.ndarray:
    """Kaplan-Meier S(at) of the patients with marker > cut, for each of the ascending ``cuts`` (K,); NaN for nobody.

    The same as survival_of_groups with these groups, by running sums instead of one sum per group.
    """
    order = np.argsort(-marker, kind="stable")
    taken = marker.size - np.searchsorted(np.sort(marker), cuts, side="right")
    moments = np.unique(times[(events == 1) & (times <= at)])
    survival = np.ones(len(taken))
    if moments.size:
        at_risk = np.cumsum(times[order][:, None] >= moments, axis=0)
        deaths = np.cumsum((times[order][:, None] == moments) & (events[order] == 1)[:, None], axis=0)
        rows = np.maximum(taken - 1, 0)
        at_risk, deaths = at_risk[rows].astype(float), deaths[rows].astype(float)
        share = np.divide(deaths, at_risk, out=np.zeros_like(deaths), where=at_risk > 0)
        survival = np.prod(1 - share, axis=1)
    return np.where(taken > 0, survival, np.nan)


def survival_at(times: np.ndarray, events: np.ndarray, at: float) -> float:
    """Kaplan-Meier S(at) of all patients."""
    return float(survival_of_groups(times, events, at, np.ones((1, len(times))))[0])


def uncensored_share(times: np.ndarray, events: np.ndarray, at: np.ndarray, just_before: bool = False) -> np.ndarray:
    """G(at): the Kaplan-Meier share of patients not yet censored, at each time of ``at``.

    just_before: the left limit G(at-), with which an event at that very time is weighted.
    """
    moments, counts = np.unique(times[events == 0], return_counts=True)
    if not moments.size:
        return np.ones(np.shape(at))
    # Deaths at a censoring time leave the risk set first.
    at_risk = (times[:, None] >= moments).sum(axis=0) - ((times[:, None] == moments) & (events == 1)[:, None]).sum(
        axis=0
    )
    steps = np.concatenate([[1.0], np.cumprod(1 - counts / at_risk)])
    return steps[np.searchsorted(moments, at, side="left" if just_before else "right")]
