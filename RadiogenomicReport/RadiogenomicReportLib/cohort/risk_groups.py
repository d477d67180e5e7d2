"""Groups of patients, given or cut from a score, with their survival curves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from IITHModuleLib.statistics.survival_groups import LogRank, SurvivalCurve, log_rank, survival_curve
from IITHModuleLib.statistics.time_roc import time_roc
from SubregionHabitatLib.errors import InputError

DAYS_PER_YEAR = 365.25
_NAMES = {2: ("low", "high"), 3: ("low", "intermediate", "high")}


@dataclass(frozen=True)
class RiskGroups:
    """labels (N,) of str; names in ascending order of risk (or of levels); cuts on the score; rule: where they are
    from."""

    labels: np.ndarray
    names: tuple[str, ...]
    cuts: tuple[float, ...]
    rule: str


def cut_score(score: np.ndarray, cut: str, times: np.ndarray, events: np.ndarray, horizon_days: float) -> RiskGroups:
    """Groups of a score (N,): a patient is in the higher group when the score is above the cut.

    Raises InputError when a group would be empty.
    """
    if cut == "median":
        cuts, rule = (float(np.median(score)),), "median of the score"
    elif cut == "tertiles":
        cuts, rule = tuple(float(v) for v in np.quantile(score, [1 / 3, 2 / 3])), "tertiles of the score"
    elif cut == "youden":
        roc = time_roc(times, events, score, horizon_days)
        cuts, rule = (roc.cut,), f"Youden's cut at {horizon_days / DAYS_PER_YEAR:g} years, chosen on these patients"
    else:
        cuts, rule = (float(cut),), f"given cut {float(cut):g}"
    names = _NAMES[len(cuts) + 1]
    place = np.searchsorted(np.array(cuts), score, side="left")
    empty = [name for k, name in enumerate(names) if not (place == k).any()]
    if empty:
        raise InputError(f"No patient falls into the group '{empty[0]}' of the cut {cut}; choose another --cut.")
    return RiskGroups(np.array(names)[place], names, cuts, rule)


def curves_of(groups: RiskGroups, times: np.ndarray, events: np.ndarray) -> tuple[tuple[SurvivalCurve, ...], LogRank]:
    """One Kaplan-Meier curve per group (times in days) and the log-rank test between them."""
    curves = tuple(survival_curve(times[groups.labels == n], events[groups.labels == n], n) for n in groups.names)
    # numpy sorts labels by name; numbers keep the order of risk.
    codes = np.array([groups.names.index(v) for v in groups.labels])
    return curves, log_rank(times, events, codes)


def curve_content(curve: SurvivalCurve, horizons_days: list[float]) -> dict:
    """A curve as data: steps in years, medians, survival at the horizons."""
    years = DAYS_PER_YEAR
    return {
        "group": curve.name,
        "n": curve.n,
        "n_events": curve.n_events,
        "median_years": _years(curve.median),
        "median_low_years": _years(curve.median_low),
        "median_high_years": _years(curve.median_high),
        "years": [float(t) / years for t in curve.times],
        "survival": [float(v) for v in curve.survival],
        "low": [float(v) for v in curve.low],
        "high": [float(v) for v in curve.high],
        "at_risk": [int(v) for v in curve.at_risk],
        "at": [_at(curve, days) for days in horizons_days],
    }


def _at(curve: SurvivalCurve, days: float) -> dict:
    found = curve.at(days)
    if found is None:
        return {
            "years": days / DAYS_PER_YEAR,
            "survival": None,
            "reason": "nobody of this group was followed that long",
        }
    return {"years": days / DAYS_PER_YEAR, **{k: found[k] for k in ("survival", "low", "high", "at_risk")}}


def _years(days: float | None) -> float | None:
    return None if days is None else days / DAYS_PER_YEAR
