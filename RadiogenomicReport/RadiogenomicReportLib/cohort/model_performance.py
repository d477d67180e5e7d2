"""How well models predict: discrimination, calibration, net benefit, and what one adds to another.

Everything is measured on out-of-fold predictions, so that no patient is judged by a model that saw him or her: the
C-index over all repeats of the cross-validation, the rest on the first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from IITHModuleLib.statistics.calibration import survival_calibration
from IITHModuleLib.statistics.concordance import ConcordancePairs
from IITHModuleLib.statistics.confusion import survival_confusion
from IITHModuleLib.statistics.cox_table import CoxTable, nested_test
from IITHModuleLib.statistics.decision_curve import survival_decision_curve
from IITHModuleLib.statistics.reclassification import reclassification_intervals, survival_reclassification
from IITHModuleLib.statistics.smooth_calibration import smooth_calibration
from IITHModuleLib.statistics.time_roc import time_auc_interval, time_roc
from IITHModuleLib.training.cox import calibration_slope
from SubregionHabitatLib.errors import InputError

from .cross_fit import CrossFit
from .risk_groups import DAYS_PER_YEAR

HALF_WIDTH = 1.959963984540054
THRESHOLDS = np.arange(1, 61) / 100


@dataclass(frozen=True)
class FittedModel:
    """A model of the comparison: its fit to all patients, its out-of-fold predictions, and the score to rank by."""

    name: str
    terms: tuple[str, ...]
    table: CoxTable
    crossed: CrossFit
    ranking: np.ndarray
    fixed_score: bool


def discrimination(model: FittedModel, times, events, bootstrap: int, seed: int) -> dict:
    """C-index on the patients the model was fitted to (apparent) and out of fold (mean over the repeats, interval by
    the bootstrap standard error of the first)."""
    pairs = ConcordancePairs(times, events, model.ranking)
    draws = pairs.bootstrap(bootstrap, seed)
    value = pairs.value() if model.fixed_score else _mean_c(model, times, events)
    low, high = (value + sign * HALF_WIDTH * draws.std(ddof=1) for sign in (-1, 1))
    return {
        "model": model.name,
        "terms": list(model.terms),
        "n_coefficients": model.table.degrees,
        "c_apparent": model.table.concordance,
        "c": value,
        "low": float(max(0.0, low)),
        "high": float(min(1.0, high)),
        "predictions": "the score as given" if model.fixed_score else "out of fold",
        "likelihood_ratio": model.table.likelihood_ratio,
        "degrees": model.table.degrees,
        "p": model.table.p,
        "aic": 2 * model.table.degrees - 2 * model.table.log_likelihood,
    }


def _mean_c(model: FittedModel, times, events) -> float:
    return float(np.mean([ConcordancePairs(times, events, p).value() for p in model.crossed.predictors]))


def roc_at(model: FittedModel, times, events, years: float, bootstrap: int, seed: int) -> dict:
    """Time-dependent ROC (Kaplan-Meier estimator) at ``years``; a reason instead where it cannot be had."""
    days = years * DAYS_PER_YEAR
    try:
        roc = time_roc(times, events, model.ranking, days)
        low, high = time_auc_interval(times, events, model.ranking, days, n_bootstrap=bootstrap, seed=seed)
    except InputError as error:
        return {"model": model.name, "years": years, "auc": None, "reason": str(error)}
    return {
        "model": model.name, "years": years, "auc": roc.auc, "low": low, "high": high, "cut": roc.cut,
        "youden": roc.youden, "n_events_by_then": roc.n_events_by_then, "n_at_risk": roc.n_at_risk,
        "sensitivity": [1.0, *map(float, roc.sensitivity)],
        "one_minus_specificity": [1.0, *map(float, roc.one_minus_specificity)],
    }  # fmt: skip


def calibration_at(model: FittedModel, times, events, years: float) -> dict:
    """Predicted and observed survival at ``years``: five groups with Kaplan-Meier, and a smooth curve."""
    days = years * DAYS_PER_YEAR
    predicted = model.crossed.survival[days]
    content = {"model": model.name, "years": years, "predicted_mean": float(predicted.mean())}
    if times.max() < days:
        return content | {"groups": [], "smooth": None, "reason": "nobody was followed that long"}
    content["groups"] = survival_calibration(times, events, predicted, days, 5)
    try:
        smooth = smooth_calibration(times, events, predicted, days)
    except InputError as error:
        return content | {"smooth": None, "reason": str(error)}
    return content | {
        "smooth": {
            "predicted": [float(v) for v in smooth.predicted], "observed": [float(v) for v in smooth.observed],
            "ici": smooth.ici, "e50": smooth.e50, "e90": smooth.e90,
        }
    }  # fmt: skip


def slope_of(model: FittedModel, times, events) -> dict:
    """Calibration slope of the out-of-fold predictor; 1 is ideal, below 1 the predictions are too extreme."""
    value, error = calibration_slope(model.crossed.predictor, times, events)
    return {"model": model.name, "slope": value, "low": value - HALF_WIDTH * error, "high": value + HALF_WIDTH * error}


def decision_at(model: FittedModel, times, events, years: float) -> dict:
    """Net benefit of acting on the predicted risk of an event within ``years``."""
    days = years * DAYS_PER_YEAR
    curve = survival_decision_curve(times, events, 1 - model.crossed.survival[days], days, THRESHOLDS)
    return {
        "model": model.name,
        "years": years,
        "thresholds": [float(v) for v in curve.thresholds],
        "net_benefit": [_or_none(v) for v in curve.model],
        "everyone": [_or_none(v) for v in curve.everyone],
    }


def added_value(first: FittedModel, second: FittedModel, times, events, horizons, bootstrap: int, seed: int) -> dict:
    """What the second model adds to the first, whose terms are among its own."""
    nested = nested_test(first.table, second.table)
    one, two = (ConcordancePairs(times, events, m.crossed.predictor) for m in (first, second))
    # The same seed draws the same resamples for both, so that the difference is a paired one.
    draws = two.bootstrap(bootstrap, seed) - one.bootstrap(bootstrap, seed)
    gain, half = _mean_c(second, times, events) - _mean_c(first, times, events), HALF_WIDTH * float(draws.std(ddof=1))
    content = {
        "first": first.name, "second": second.name,
        "likelihood_ratio": nested.chi_square, "degrees": nested.degrees, "p": nested.p,
        "c_difference": {"value": gain, "low": gain - half, "high": gain + half},
        "reclassification": [],
    }  # fmt: skip
    for years in horizons:
        days = years * DAYS_PER_YEAR
        risks = [1 - m.crossed.survival[days] for m in (first, second)]
        try:
            found = survival_reclassification(times, events, *risks, days)
            bounds = reclassification_intervals(times, events, *risks, at=days, n_bootstrap=bootstrap, seed=seed)
        except InputError as error:
            content["reclassification"].append({"years": years, "idi": None, "reason": str(error)})
            continue
        row = {"years": years}
        for name in ("idi", "nri_half", "nri"):
            row[name] = {"value": getattr(found, name), "low": bounds[name][0], "high": bounds[name][1]}
        content["reclassification"].append(row)
    return content


def confusion_at(labels, high: str, times, events, years: float, bootstrap: int, seed: int) -> dict:
    """What calling the group ``high`` positive would mean for events within ``years``."""
    found = survival_confusion(times, events, labels == high, years * DAYS_PER_YEAR, bootstrap, seed)
    content = {"years": years, "positive": high, "unknown": found.unknown}
    for name in ("true_positive", "false_positive", "true_negative", "false_negative"):
        content[name] = getattr(found, name)
    for name in ("sensitivity", "specificity", "ppv", "npv"):
        e = getattr(found, name)
        content[name] = None if e is None else {"value": e.value, "low": e.low, "high": e.high}
    return content


def _or_none(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
