"""What is measured of a model beside discrimination and calibration: calls at its cut and net benefit."""

from __future__ import annotations

import numpy as np

from ..statistics.calibration import wilson_interval
from ..statistics.confusion import confusion, survival_confusion
from ..statistics.decision_curve import decision_curve, survival_decision_curve

THRESHOLDS = tuple(round(0.05 * k, 2) for k in range(1, 20))


def calls_at_cut(event: np.ndarray, probability: np.ndarray, cut: float) -> dict:
    """Accuracy, sensitivity and specificity of probability >= cut with Wilson 95 % intervals."""
    called = np.asarray(probability) >= cut
    found = confusion(event, called)
    right = int((called == (np.asarray(event) == 1)).sum())
    low, high = wilson_interval(right, called.size)
    result = {"accuracy": right / called.size, "accuracy_low": low, "accuracy_high": high}
    for name in ("sensitivity", "specificity"):
        estimate = getattr(found, name)
        if estimate is not None:
            result |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    return result


def survival_calls_at_cut(times, event, score, cut: float, days: float) -> dict:
    """Sensitivity and specificity of score > cut for an event up to ``days``, under censoring (Kaplan-Meier, Bayes)."""
    found = survival_confusion(times, event, np.asarray(score) > cut, days, n_bootstrap=200)
    result = {}
    for name in ("sensitivity", "specificity"):
        estimate = getattr(found, name)
        if estimate is not None and np.isfinite([estimate.value, estimate.low, estimate.high]).all():
            result |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    return result


def net_benefit(event: np.ndarray, probability: np.ndarray) -> dict:
    """Net benefit per patient of the model and of calling everybody, at each threshold."""
    curve = decision_curve(event, probability, THRESHOLDS)
    return {"thresholds": list(THRESHOLDS), "model": curve.model.tolist(), "everyone": curve.everyone.tolist()}


def survival_net_benefit(times, event, risk, days: float) -> dict | None:
    """The same for an event up to ``days``; thresholds at which nobody was followed up that long are left out."""
    curve = survival_decision_curve(times, event, risk, days, THRESHOLDS)
    known = np.isfinite(curve.model) & np.isfinite(curve.everyone)
    if not known.any():
        return None
    return {
        "thresholds": curve.thresholds[known].tolist(),
        "model": curve.model[known].tolist(),
        "everyone": curve.everyone[known].tolist(),
        "days": float(days),
    }
