"""Net benefit of acting on a predicted risk (Vickers & Elkin, Med Decis Making 2006;26:565; survival: 2008;8:53).

net benefit = share of true positives - share of false positives * pt / (1 - pt), where everyone with a risk of at
least the threshold pt is called positive, as in the package dcurves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from SubregionHabitatLib.errors import InputError

from .survival_curve import check_follow_up, survival_at, survival_of_groups


@dataclass(frozen=True)
class DecisionCurve:
    """Net benefit per patient of the model and of calling everybody positive, at each threshold; calling nobody
    positive is 0. NaN where the patients called positive were not followed up long enough."""

    thresholds: np.ndarray
    model: np.ndarray
    everyone: np.ndarray


def decision_curve(outcome, risk, thresholds=None) -> DecisionCurve:
    """Net benefit for a 0/1 outcome (N,) and predicted probabilities (N,)."""
    outcome, risk = check_follow_up(outcome, outcome, risk)[1:]
    thresholds = _thresholds(thresholds)
    called = risk[None, :] >= thresholds[:, None]
    true, false = (called & (outcome == 1)).mean(axis=1), (called & (outcome == 0)).mean(axis=1)
    odds = thresholds / (1 - thresholds)
    return DecisionCurve(thresholds, true - false * odds, outcome.mean() - (1 - outcome.mean()) * odds)


def survival_decision_curve(times, events, risk, at: float, thresholds=None) -> DecisionCurve:
    """Net benefit for an event up to ``at`` under censoring; risk (N,) is the predicted probability of that event.

    Among the patients called positive the share with the event is 1 - S(at) by Kaplan-Meier; it is unknown (NaN)
    when none of them was followed up that long.
    """
    times, events, risk = check_follow_up(times, events, risk)
    thresholds = _thresholds(thresholds)
    called = (risk[None, :] >= thresholds[:, None]).astype(float)
    share = called.mean(axis=1)
    odds = thresholds / (1 - thresholds)
    failed = 1 - np.nan_to_num(survival_of_groups(times, events, at, called), nan=1.0)
    followed = np.array([times[c > 0].max(initial=-np.inf) >= at for c in called])
    failed[(share > 0) & ~followed] = np.nan
    overall = 1 - survival_at(times, events, at) if times.max() >= at else np.nan
    return DecisionCurve(thresholds, failed * share - (1 - failed) * share * odds, overall - (1 - overall) * odds)


def _thresholds(thresholds) -> np.ndarray:
    values = np.arange(1, 100) / 100 if thresholds is None else np.atleast_1d(np.asarray(thresholds, dtype=float))
    if not ((values > 0) & (values < 1)).all():
        raise InputError("Decision thresholds must lie strictly between 0 and 1.")
    return values
