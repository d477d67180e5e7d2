"""Kinetic-curve features: how each feature of a region moves over the phases of the exam (Zhou 2024)."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

import numpy as np

from .features import FeatureRow, FeatureTable

STATISTICS = ("mean", "variance", "skewness", "kurtosis")
# The image column of these features: they belong to the curve over all phases, not to one image.
CURVE_IMAGE = "phases"
# With fewer phases a statistic is undefined or says nothing: three values have a kurtosis of 1.5, whatever they are.
_LEAST_PHASES = {"mean": 1, "variance": 2, "skewness": 3, "kurtosis": 4}
# A curve whose spread is below this share of its largest value is rounding noise about a constant.
_CONSTANT = 1e-12
_PHASE = re.compile(r"phase(\d+)")


def kinetic_curve_features(table: FeatureTable | Iterable[FeatureRow]) -> list[FeatureRow]:
    """Mean, variance, skewness and kurtosis over the phases of every feature of every region.

    Moments are biased (divided by n), kurtosis is not excess. Rows have the image "phases" and the feature's name with
    ``_curve_<statistic>`` at its end. Phases count alike, whatever their spacing in time, so exams of different
    numbers of phases are not comparable. Missing with a reason: every statistic when a phase lacks the feature,
    variance below 2, skewness below 3 and kurtosis below 4 phases, and the last two for a constant curve.
    """
    rows = table.rows if isinstance(table, FeatureTable) else tuple(table)
    curves: dict[tuple[str, str], dict[int, FeatureRow]] = {}
    for row in rows:
        if match := _PHASE.fullmatch(row.image):
            curves.setdefault((row.region, row.feature), {})[int(match[1])] = row
    return [row for curve in curves.values() for row in _curve_rows([curve[t] for t in sorted(curve)])]


def _curve_rows(phases: list[FeatureRow]) -> list[FeatureRow]:
    first = phases[0]
    lacking = next((row for row in phases if row.value is None), None)
    found = []
    for statistic in STATISTICS:
        value, reason = None, ""
        if lacking is not None:
            reason = f"missing in {lacking.image}: {lacking.reason}"
        elif len(phases) < _LEAST_PHASES[statistic]:
            reason = f"the exam has {len(phases)} phases, {statistic} needs {_LEAST_PHASES[statistic]}"
        else:
            value, reason = _statistic(statistic, np.array([row.value for row in phases], dtype=np.float64))
        name = f"{first.feature}_curve_{statistic}"
        found.append(FeatureRow(first.region, CURVE_IMAGE, name, value, _unit(statistic, first.unit), reason))
    return found


def _statistic(statistic: str, values: np.ndarray) -> tuple[float | None, str]:
    """The value or, with None, why there is none."""
    centred = values - values.mean()
    constant = np.abs(centred).max() <= _CONSTANT * np.abs(values).max()
    if statistic == "mean":
        found = values.mean()
    elif statistic == "variance":
        with np.errstate(over="ignore"):
            found = 0.0 if constant else (centred**2).mean()
    elif constant:
        return None, "the feature does not change over the phases"
    else:
        # scaled first, so that the powers of very large or small features stay finite
        unit = centred / np.abs(centred).max()
        order = 3 if statistic == "skewness" else 4
        found = (unit**order).mean() / (unit**2).mean() ** (order / 2)
    return (float(found), "") if math.isfinite(found) else (None, "too large for a floating-point number")


def _unit(statistic: str, unit: str) -> str:
    if statistic == "mean" or unit == "1":
        return unit
    return f"({unit})^2" if statistic == "variance" else "1"
