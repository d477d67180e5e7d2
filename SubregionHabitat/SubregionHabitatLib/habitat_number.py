"""How many habitats: k in 2..6 by the mean silhouette or by the gap statistic.

Silhouette: Rousseeuw 1987. Gap: Tibshirani, Walther and Hastie 2001, reference data uniform over the box of the
principal components; the smallest k with gap(k) >= gap(k + 1) - s(k + 1).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist

from .errors import InputError
from .habitat_parameters import K_RANGE, HabitatParameters
from .progress import Progress, Silent

GAP_REFERENCES = 20

# Rows (N, F) and k to labels (N,) 0..k-1.
Clusterer = Callable[[np.ndarray, int], np.ndarray]


@dataclass(frozen=True)
class KChoice:
    """How k was chosen. candidates: the k tried; values: mean silhouette or gap of each; errors: s(k) of the gap,

    else empty; k: the chosen one; n_rows: rows looked at; notes: what speaks against it."""

    method: str
    candidates: tuple[int, ...]
    values: tuple[float, ...]
    errors: tuple[float, ...]
    k: int
    n_rows: int
    seed: int
    notes: tuple[str, ...] = ()


def choose_k(
    rows: np.ndarray,
    parameters: HabitatParameters,
    cluster: Clusterer,
    smallest_group: int = 1,
    progress: Progress | None = None,
) -> KChoice:
    """Choose k for ``rows`` (N, F) of z-scores by ``parameters.choose_k`` on a seeded sample.

    smallest_group: k is tried only where N >= smallest_group * k. The choice does not depend on the order of the rows.
    Raises InputError when fewer than two values of k can be tried or all rows are alike.
    """
    progress = progress or Silent()
    candidates = tuple(k for k in K_RANGE if k * smallest_group <= len(rows))
    sample = _sample(rows, parameters.choose_k_rows, parameters.seed)
    candidates = tuple(k for k in candidates if k < len(np.unique(sample, axis=0)))
    if len(candidates) < 2:
        raise InputError(
            f"The number of habitats cannot be chosen from {len(rows)} voxels or supervoxels; set k yourself or take "
            "a larger lesion."
        )
    if parameters.choose_k == "silhouette":
        values, errors, k, notes = _by_silhouette(sample, candidates, cluster, progress)
    elif parameters.choose_k == "gap":
        values, errors, k, notes = _by_gap(sample, candidates, cluster, parameters.seed, progress)
    else:
        raise InputError("To choose the number of habitats, set choose_k to 'silhouette' or 'gap'.")
    return KChoice(parameters.choose_k, candidates, values, errors, k, len(sample), parameters.seed, notes)


def _sample(rows: np.ndarray, most: int, seed: int) -> np.ndarray:
    ordered = rows[np.lexsort(rows.T)]
    if len(ordered) <= most:
        return ordered
    return ordered[np.sort(np.random.default_rng(seed).choice(len(ordered), most, replace=False))]


def _by_silhouette(rows, candidates, cluster, progress):
    distances = cdist(rows, rows)
    values = []
    for done, k in enumerate(candidates):
        progress.step(done / len(candidates), f"silhouette of {k} habitats")
        values.append(mean_silhouette(distances, cluster(rows, k)))
    return tuple(values), (), candidates[int(np.argmax(values))], ()


def mean_silhouette(distances: np.ndarray, labels: np.ndarray) -> float:
    """Mean silhouette width of a clustering, from the distance matrix (N, N) and labels (N,) 0..k-1."""
    counts = np.bincount(labels)
    present = np.flatnonzero(counts)
    members = (labels[:, None] == present).astype(np.float64)
    sums = distances @ members
    own = members.astype(bool)
    size = counts[labels]
    within = sums[own] / np.maximum(size - 1, 1)
    other = np.where(own, np.inf, sums / counts[present])
    between = other.min(axis=1)
    largest = np.maximum(within, between)
    # A lone member has the silhouette 0 by definition; rows that coincide with both clusters too.
    width = np.where((size > 1) & (largest > 0), (between - within) / np.where(largest > 0, largest, 1.0), 0.0)
    return float(width.mean())


def _by_gap(rows, candidates, cluster, seed, progress):
    rng = np.random.default_rng(seed)
    tried = (1, *candidates)
    log_within = np.array([_log_within(rows, cluster, k) for k in tried])
    centre = rows.mean(axis=0)
    axes = np.linalg.svd(rows - centre, full_matrices=False)[2]
    turned = (rows - centre) @ axes.T
    low, high = turned.min(axis=0), turned.max(axis=0)
    reference = np.empty((GAP_REFERENCES, len(tried)))
    for b in range(GAP_REFERENCES):
        progress.step(b / GAP_REFERENCES, "gap statistic")
        uniform = rng.uniform(low, high, size=turned.shape) @ axes
        reference[b] = [_log_within(uniform, cluster, k) for k in tried]
    gap = reference.mean(axis=0) - log_within
    error = reference.std(axis=0) * np.sqrt(1 + 1 / GAP_REFERENCES)
    enough = gap[:-1] >= gap[1:] - error[1:]
    # k = 1 is measured only to say so when it is the better answer; habitats need two or more.
    within_range = np.flatnonzero(enough[1:])
    k = candidates[int(within_range[0])] if within_range.size else candidates[int(np.argmax(gap[1:]))]
    notes = ()
    if enough[0]:
        notes = ("By the gap statistic the kinetic maps do not form separate clusters (k = 1 would do).",)
    return tuple(gap[1:].tolist()), tuple(error[1:].tolist()), k, notes


def _log_within(rows: np.ndarray, cluster: Clusterer, k: int) -> float:
    labels = np.zeros(len(rows), dtype=np.intp) if k == 1 else cluster(rows, k)
    total = sum(
        float(((part - part.mean(axis=0)) ** 2).sum()) for part in (rows[labels == i] for i in range(k)) if len(part)
    )
    return float(np.log(max(total, np.finfo(float).tiny)))
