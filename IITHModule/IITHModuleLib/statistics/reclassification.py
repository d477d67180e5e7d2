"""What a second model adds to a first: integrated discrimination and net reclassification improvement.

Sources: Pencina et al., Stat Med 2008;27:157 and 2011;30:11 (IDI, continuous and categorical NRI); Uno et al.,
Stat Med 2013;32:2430 (under censoring; R's survIDINRI). Two conventions of the continuous NRI are in use: survIDINRI
reports P(up | case) - P(up | control), which is half of Pencina's "NRI > 0". Both are given.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from SubregionHabitatLib.errors import InputError

from .survival_curve import check_follow_up, uncensored_share


@dataclass(frozen=True)
class Reclassification:
    """idi: mean rise of the risk in cases minus that in controls; nri_half: P(risk rises | case) - P(rises | control);
    nri: Pencina's continuous NRI; case_part and control_part, its two terms (nri = case_part + control_part)."""

    idi: float
    nri_half: float
    nri: float
    case_part: float
    control_part: float


def reclassification(outcome, first, second) -> Reclassification:
    """IDI and continuous NRI of risks ``second`` (N,) over ``first`` (N,) for a 0/1 outcome (N,)."""
    outcome, first, second = check_follow_up(outcome, outcome, first, second)[1:]
    return _improvement(second - first, outcome, 1 - outcome)


def survival_reclassification(times, events, first, second, at: float) -> Reclassification:
    """IDI and continuous NRI of risks of an event before ``at``, under censoring.

    first, second (N,): predicted probability of the event before ``at``. Cases (event before ``at``) are weighted
    by the inverse share of patients uncensored at their time; controls are those followed up to ``at``.
    """
    times, events, first, second = check_follow_up(times, events, first, second)
    case = (times < at) & (events == 1)
    weight = np.zeros(times.size)
    weight[case] = 1 / uncensored_share(times, events, times[case])
    return _improvement(second - first, weight, (times >= at).astype(float))


def _improvement(rise: np.ndarray, case: np.ndarray, control: np.ndarray) -> Reclassification:
    if not case.sum() or not control.sum():
        raise InputError("IDI and NRI need patients with and without the event; choose another time or table.")

    def mean(values: np.ndarray, weight: np.ndarray) -> float:
        return float(np.sum(values * weight) / weight.sum())

    case_part, control_part = mean(np.sign(rise), case), -mean(np.sign(rise), control)
    return Reclassification(
        idi=mean(rise, case) - mean(rise, control),
        nri_half=mean(rise > 0, case) - mean(rise > 0, control),
        nri=case_part + control_part,
        case_part=case_part,
        control_part=control_part,
    )


def categorical_nri(outcome, first, second, cuts) -> Reclassification:
    """NRI of moves between the risk groups that ``cuts`` make (0/1 outcome); idi is that of the plain risks."""
    outcome, first, second = check_follow_up(outcome, outcome, first, second)[1:]
    edges = np.asarray(cuts, dtype=float)
    if edges.ndim != 1 or not edges.size or (np.diff(edges) <= 0).any():
        raise InputError("Risk groups need ascending cuts, for example 0.1, 0.3.")
    moved = np.searchsorted(edges, second, side="right") - np.searchsorted(edges, first, side="right")
    groups = _improvement(moved.astype(float), outcome, 1 - outcome)
    idi = reclassification(outcome, first, second).idi
    return Reclassification(idi, groups.nri_half, groups.nri, groups.case_part, groups.control_part)


def reclassification_intervals(
    times, events, first, second, at: float | None = None, n_bootstrap: int = 500, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """Percentile bootstrap 95 % intervals of idi, nri_half and nri with both models held fixed.

    at None: ``events`` is a 0/1 outcome and ``times`` is not looked at. The models are not fitted again, so on the
    patients they were fitted to these intervals are too narrow and too far from 0.
    """
    times = np.zeros(len(events)) if at is None else times
    times, events, first, second = check_follow_up(times, events, first, second)
    rng, draws = np.random.default_rng(seed), []
    for _ in range(n_bootstrap):
        r = rng.integers(0, times.size, times.size)
        try:
            if at is None:
                draws.append(reclassification(events[r], first[r], second[r]))
            else:
                draws.append(survival_reclassification(times[r], events[r], first[r], second[r], at))
        except InputError:
            continue
    if not draws:
        raise InputError("IDI and NRI need patients with and without the event; choose another time or table.")
    result = {}
    for name in ("idi", "nri_half", "nri"):
        low, high = np.percentile([getattr(d, name) for d in draws], [2.5, 97.5])
        result[name] = (float(low), float(high))
    return result
