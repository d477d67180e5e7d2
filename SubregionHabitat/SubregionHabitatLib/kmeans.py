"""k-means (Lloyd) with k-means++ seeding, in numpy: the clustering behind the habitats.

Written here because Slicer does not bundle scikit-learn; the tests compare it with scikit-learn's.
The result does not depend on the order of the rows.
"""

from __future__ import annotations

import numpy as np

MAX_ITERATIONS = 300
# Restarts run on at most this many rows; the best start is then refined on all of them.
START_ROWS = 20_000


def kmeans(rows: np.ndarray, k: int, n_init: int, seed: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Cluster ``rows`` (N, F) into ``k`` groups: labels (N,) 0..k-1, centres (k, F), within-cluster sum of squares.

    The best of ``n_init`` starts is kept; N must be at least k.
    """
    if len(rows) < k:
        raise ValueError(f"{len(rows)} rows cannot make {k} clusters")
    order = np.lexsort(rows.T)
    ordered = np.ascontiguousarray(rows[order], dtype=np.float64)
    rng = np.random.default_rng(seed)
    sample = ordered
    if len(ordered) > START_ROWS:
        sample = ordered[np.sort(rng.choice(len(ordered), START_ROWS, replace=False))]
    starts = (_lloyd(sample, _seed_centres(sample, k, rng)) for _ in range(n_init))
    best = min(starts, key=lambda result: result[2])
    labels, centres, inertia = best if sample is ordered else _lloyd(ordered, best[1])
    back = np.empty(len(rows), dtype=np.intp)
    back[order] = labels
    return back, centres, inertia


def _seed_centres(rows: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """k-means++ (Arthur and Vassilvitskii 2007): each further centre drawn with probability ~ squared distance."""
    centres = [rows[rng.integers(len(rows))]]
    closest = ((rows - centres[0]) ** 2).sum(axis=1)
    for _ in range(1, k):
        total = closest.sum()
        pick = rng.integers(len(rows)) if total <= 0 else np.searchsorted(np.cumsum(closest), rng.random() * total)
        centres.append(rows[min(int(pick), len(rows) - 1)])
        closest = np.minimum(closest, ((rows - centres[-1]) ** 2).sum(axis=1))
    return np.array(centres)


def _lloyd(rows: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    labels = None
    for _ in range(MAX_ITERATIONS):
        squared = _squared_distances(rows, centres)
        new_labels = np.argmin(squared, axis=1)
        if labels is not None and np.array_equal(new_labels, labels):
            break
        labels = new_labels
        centres = _means(rows, labels, centres, squared)
    inertia = float(((rows - centres[labels]) ** 2).sum())
    return labels, centres, inertia


def _squared_distances(rows: np.ndarray, centres: np.ndarray) -> np.ndarray:
    return np.stack([((rows - centre) ** 2).sum(axis=1) for centre in centres], axis=1)


def _means(rows: np.ndarray, labels: np.ndarray, centres: np.ndarray, squared: np.ndarray) -> np.ndarray:
    """Cluster means; an empty cluster moves to the row that lies farthest from its centre."""
    k = len(centres)
    counts = np.bincount(labels, minlength=k)
    sums = np.stack([np.bincount(labels, weights=column, minlength=k) for column in rows.T], axis=1)
    means = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], centres)
    for empty in np.flatnonzero(counts == 0):
        far = int(np.argmax(squared[np.arange(len(rows)), labels]))
        means[empty] = rows[far]
    return means
