"""Groups of features that change alike, and the principal components that stand for each group (Chitalia 2023)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy import stats

from SubregionHabitatLib.errors import InputError

SKEWNESS_RULES = ("signed", "absolute")


@dataclass(frozen=True)
class FeatureGroup:
    """columns: which features; loadings (len(columns), n_components): unit columns with a sum of at least 0, so that a
    higher component means more heterogeneity; explained: share of the group's variance that they hold."""

    columns: np.ndarray = field(repr=False)
    loadings: np.ndarray = field(repr=False)
    explained: float


def well_spread(
    z: np.ndarray, max_skewness: float = 5.0, min_iqr: float = 1.0, skewness_rule: str = "signed"
) -> tuple[np.ndarray, list[str]]:
    """(P,) bool: columns of ``z`` (N, P), z-scored, to keep, and why the others go ("" for kept ones).

    Dropped: skewness (biased moments) above ``max_skewness``, as printed, or beyond it either way with the rule
    "absolute"; interquartile range below ``min_iqr`` (a Gaussian has 1.35).
    """
    if skewness_rule not in SKEWNESS_RULES:
        raise InputError(f"The skewness rule {skewness_rule!r} is unknown; choose one of {', '.join(SKEWNESS_RULES)}.")
    skewness = stats.skew(z, axis=0)
    judged = np.abs(skewness) if skewness_rule == "absolute" else skewness
    iqr = np.subtract(*np.percentile(z, [75, 25], axis=0))
    reasons = []
    for s, j, width in zip(skewness, judged, iqr, strict=True):
        if j > max_skewness:
            reasons.append(f"skewness {s:.2f} is beyond {max_skewness:g}")
        elif width < min_iqr:
            reasons.append(f"interquartile range {width:.2f} is below {min_iqr:g}")
        else:
            reasons.append("")
    return np.array([not r for r in reasons], dtype=bool), reasons


def group_components(z: np.ndarray, labels: np.ndarray, explained: float = 0.85) -> tuple[FeatureGroup, ...]:
    """Per group of columns of ``z`` (N, P; mean 0) the fewest components that hold more than ``explained`` of its
    variance."""
    if not 0 < explained < 1:
        raise InputError(f"The explained share {explained:g} is not between 0 and 1; give for example 0.85.")
    return tuple(_components(z, np.flatnonzero(labels == g), explained) for g in np.unique(labels))


def project(z: np.ndarray, groups: tuple[FeatureGroup, ...]) -> np.ndarray:
    """Component scores (N, C) of patients' z-scores (N, P)."""
    return np.concatenate([z[:, g.columns] @ g.loadings for g in groups], axis=1)


def _components(z: np.ndarray, columns: np.ndarray, explained: float) -> FeatureGroup:
    block = z[:, columns] - z[:, columns].mean(axis=0)
    _, singular, axes = np.linalg.svd(block, full_matrices=False)
    shares = np.cumsum(singular**2) / np.sum(singular**2)
    number = min(int(np.searchsorted(shares, explained, side="right")) + 1, shares.size)
    loadings = axes[:number].T
    sums = loadings.sum(axis=0)
    # Where the sum is nothing but rounding, the largest loading decides.
    largest = loadings[np.argmax(np.abs(loadings), axis=0), np.arange(number)]
    turn = np.where(np.where(np.abs(sums) > 1e-9, sums, largest) < 0, -1.0, 1.0)
    return FeatureGroup(columns, loadings * turn, float(shares[number - 1]))
