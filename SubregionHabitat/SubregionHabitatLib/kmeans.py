"""k-means (Lloyd) with k-means++ seeding, in numpy: the clustering behind the habitats.

Written here because Slicer does not bundle scikit-learn; the tests compare it with scikit-learn's.
The result does not depend on the order of the rows.
"""

from __future__ import annotations

import numpy as np

from .progress import Progress, Silent

MAX_ITERATIONS = 300
# Restarts run on at most this many rows; the best start is then refined on all of them.
START_ROWS = 20_000
# Rows handled at a time: few enough to stay in the processor's cache and to bound the working memory.
BLOCK_ROWS = 1 << 14


def kmeans(
    rows: np.ndarray, k: int, n_init: int, seed: int, progress: Progress | None = None
) -> tuple[np.ndarray, np.ndarray, float]:
    """Cluster ``rows`` (N, F) into ``k`` groups: labels (N,) 0..k-1, centres (k, F), within-cluster sum of squares.

    The best of ``n_init`` starts is kept; N must be at least k. ``progress`` is told before every start.
    """
    if len(rows) < k:
        raise ValueError(f"{len(rows)} rows cannot make {k} clusters")
    progress = progress or Silent()
    order = np.lexsort(rows.T)
    ordered = np.ascontiguousarray(rows[order], dtype=np.float64)
    rng = np.random.default_rng(seed)
    sample = ordered
    if len(ordered) > START_ROWS:
        sample = ordered[np.sort(rng.choice(len(ordered), START_ROWS, replace=False))]
    best = None
    for start in range(n_init):
        progress.step(start / n_init, "k-means")
        found = lloyd(sample, _seed_centres(sample, k, rng))
        if best is None or found[2] < best[2]:
            best = found
    labels, centres, inertia = best if sample is ordered else lloyd(ordered, best[1])
    back = np.empty(len(rows), dtype=np.intp)
    back[order] = labels
    return back, centres, inertia


def lloyd(
    rows: np.ndarray, centres: np.ndarray, max_iterations: int = MAX_ITERATIONS
) -> tuple[np.ndarray, np.ndarray, float]:
    """Lloyd's iterations from given ``centres`` (k, F) until no row changes its cluster; as ``kmeans`` returns."""
    labels = None
    for _ in range(max_iterations):
        new_labels, squared = nearest_centre(rows, centres)
        if labels is not None and np.array_equal(new_labels, labels):
            break
        labels = new_labels
        centres = _means(rows, labels, centres, squared)
    inertia = float(sum(((rows[b] - centres[labels[b]]) ** 2).sum() for b in _blocks(len(rows))))
    return labels, centres, inertia


def nearest_centre(rows: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Index of the nearest of ``centres`` (k, F) for every row (N, F), and its squared distance, (N,) each."""
    labels = np.empty(len(rows), dtype=np.intp)
    squared = np.empty(len(rows), dtype=np.float64)
    for block in _blocks(len(rows)):
        part = rows[block]
        distances = np.stack([((part - centre) ** 2).sum(axis=1) for centre in centres], axis=1)
        labels[block] = distances.argmin(axis=1)
        squared[block] = distances.min(axis=1)
    return labels, squared


def _blocks(n: int):
    return (slice(start, min(start + BLOCK_ROWS, n)) for start in range(0, n, BLOCK_ROWS))


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


def _means(rows: np.ndarray, labels: np.ndarray, centres: np.ndarray, squared: np.ndarray) -> np.ndarray:
    """Cluster means; empty clusters move to the rows that lie farthest from their centres."""
    k = len(centres)
    counts = np.bincount(labels, minlength=k)
    sums = np.stack([np.bincount(labels, weights=column, minlength=k) for column in rows.T], axis=1)
    means = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], centres)
    empty = np.flatnonzero(counts == 0)
    if empty.size:
        farthest = np.argsort(-squared, kind="stable")[: empty.size]
        means[empty] = rows[farthest]
    return means
