"""Area under the ROC curve with DeLong's variance, the paired comparison, and the Youden cut.

Source: DeLong, DeLong & Clarke-Pearson, Biometrics 1988;44:837, computed by midranks after Sun & Xu,
IEEE Signal Processing Letters 2014;21:1389. Agrees with R's pROC (see Testing/test_statistics_auc.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm, rankdata

from SubregionHabitatLib.errors import InputError


@dataclass(frozen=True)
class Auc:
    """AUC in 0..1 with its DeLong variance and a Wald 95 % interval clipped to 0..1."""

    value: float
    variance: float
    low: float
    high: float
    n: int
    n_events: int


@dataclass(frozen=True)
class AucDifference:
    """First minus second AUC of the same patients: difference, 95 % interval, z and two-sided p."""

    value: float
    low: float
    high: float
    z: float
    p: float


def auc_delong(outcome: np.ndarray, score: np.ndarray) -> Auc:
    """AUC of ``score`` (N,) for ``outcome`` (N,) of 0 and 1; higher scores should mean outcome 1.

    Raises InputError when there are fewer than two patients with or without the outcome.
    """
    outcome, scores = _checked(outcome, score)
    value, covariance = _delong(outcome, scores)
    half = norm.ppf(0.975) * np.sqrt(covariance[0, 0])
    return Auc(
        value=float(value[0]),
        variance=float(covariance[0, 0]),
        low=float(max(0.0, value[0] - half)),
        high=float(min(1.0, value[0] + half)),
        n=outcome.size,
        n_events=int(outcome.sum()),
    )


def compare_auc(outcome: np.ndarray, first: np.ndarray, second: np.ndarray) -> AucDifference:
    """DeLong's paired test of two scores (N,) of the same patients.

    When both scores rank the patients alike the variance of the difference is 0: then z is 0 and p is 1.
    """
    outcome, scores = _checked(outcome, first, second)
    value, covariance = _delong(outcome, scores)
    difference = float(value[0] - value[1])
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    if variance <= 1e-15:
        z = 0.0 if abs(difference) < 1e-12 else float(np.copysign(np.inf, difference))
    else:
        z = difference / np.sqrt(variance)
    half = norm.ppf(0.975) * np.sqrt(max(variance, 0.0))
    return AucDifference(difference, difference - half, difference + half, float(z), float(2 * norm.sf(abs(z))))


@dataclass(frozen=True)
class Cut:
    """A threshold on a score and what it does: patients at or above ``value`` are called positive."""

    value: float
    sensitivity: float
    specificity: float


def youden_cut(outcome: np.ndarray, score: np.ndarray) -> Cut:
    """The cut with the largest sensitivity + specificity - 1, midway between two observed scores.

    Ties go to the lowest such cut.
    """
    outcome, scores = _checked(outcome, score)
    values = np.unique(scores[0])
    if values.size < 2:
        raise InputError("Every patient has the same score; a cut needs at least two different scores.")
    cuts = (values[:-1] + values[1:]) / 2
    positive, negative = np.sort(scores[0][outcome == 1]), np.sort(scores[0][outcome == 0])
    sensitivity = 1 - np.searchsorted(positive, cuts) / positive.size
    specificity = np.searchsorted(negative, cuts) / negative.size
    best = int(np.argmax(np.round(sensitivity + specificity, 12)))
    return Cut(float(cuts[best]), float(sensitivity[best]), float(specificity[best]))


def at_cut(outcome: np.ndarray, score: np.ndarray, cut: float) -> Cut:
    """Sensitivity and specificity of ``score >= cut``."""
    outcome, scores = _checked(outcome, score)
    called = scores[0] >= cut
    return Cut(float(cut), float(called[outcome == 1].mean()), float((~called)[outcome == 0].mean()))


def _checked(outcome, *scores) -> tuple[np.ndarray, np.ndarray]:
    outcome = np.asarray(outcome, dtype=float)
    stacked = np.stack([np.asarray(s, dtype=float) for s in scores])
    if outcome.shape != stacked.shape[1:] or outcome.ndim != 1:
        raise InputError("Outcomes and scores differ in length; give one score per patient.")
    if not np.isfinite(stacked).all() or not np.isin(outcome, (0, 1)).all():
        raise InputError("Outcomes must be 0 or 1 and scores finite numbers; leave incomplete patients out.")
    if min(outcome.sum(), (1 - outcome).sum()) < 2:
        raise InputError("An AUC needs at least two patients with and two without the outcome.")
    return outcome.astype(int), stacked


def _delong(outcome: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """AUCs (K,) of scores (K, N) and their covariance (K, K)."""
    positive, negative = scores[:, outcome == 1], scores[:, outcome == 0]
    m, n = positive.shape[1], negative.shape[1]
    rank_all = rankdata(np.concatenate([positive, negative], axis=1), axis=1)
    rank_positive, rank_negative = rankdata(positive, axis=1), rankdata(negative, axis=1)
    value = (rank_all[:, :m].sum(axis=1) / m - (m + 1) / 2) / n
    v10 = (rank_all[:, :m] - rank_positive) / n
    v01 = 1 - (rank_all[:, m:] - rank_negative) / m
    covariance = np.atleast_2d(np.cov(v10)) / m + np.atleast_2d(np.cov(v01)) / n
    return value, covariance
