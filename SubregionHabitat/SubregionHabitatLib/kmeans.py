"""k-means (Lloyd) with k-means++ seeding, in numpy: the clustering behind the habitats.

Written here because Slicer does not bundle scikit-learn; the tests compare it with scikit-learn's.
The result does not depend on the order of the rows.
"""

from __future__ import annotations

import numpy as np

from .progress import Progress, Silent

MAX_ITERATIONS = 300
# Restarts run on at most this many rows; the best of them are then refined on all of them.
START_ROWS = 50_000
# On a sample two optima may swap places: every start within this share of the best is refined, at most MOST_REFINED.
REFINED_SHARE = 0.01
MOST_REFINED = 4
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
    sampled = len(ordered) > START_ROWS
    sample = ordered[np.sort(rng.choice(len(ordered), START_ROWS, replace=False))] if sampled else ordered
    starts = []
    for start in range(n_init):
        progress.step(start / n_init, "k-means")
        starts.append(lloyd(sample, _seed_centres(sample, k, rng)))
    if sampled:
        starts = [lloyd(ordered, centres) for centres in _worth_refining(starts)]
    labels, centres, inertia = min(starts, key=lambda found: found[2])
    back = np.empty(len(rows), dtype=np.intp)
    back[order] = labels
    return back, centres, inertia


def _worth_refining(starts: list[tuple[np.ndarray, np.ndarray, float]]) -> list[np.ndarray]:
    """The centres of the best starts, each optimum once."""
    starts = sorted(starts, key=lambda found: found[2])
    limit = starts[0][2] * (1 + REFINED_SHARE)
    chosen: list[tuple[np.ndarray, float]] = []
    for _, centres, inertia in starts:
        known = any(abs(inertia - other) <= 1e-9 * max(other, 1e-300) for _, other in chosen)
        if inertia <= limit and not known and len(chosen) < MOST_REFINED:
            chosen.append((centres, inertia))
    return [centres for centres, _ in chosen]


def lloyd(
    rows: np.ndarray, centres: np.ndarray, max_iterations: int = MAX_ITERATIONS
) -> tuple[np.ndarray, np.ndarray, float]:
    """Lloyd's iterations from given ``centres`` (k, F) until no row changes its cluster; as ``kmeans`` returns."""
    columns = np.ascontiguousarray(rows.T)
    labels = None
    for _ in range(max_iterations):
        new_labels, squared = _nearest(columns, centres)
        if labels is not None and np.array_equal(new_labels, labels):
            break
        labels = new_labels
        centres = _means(columns, labels, centres, squared)
    inertia = float(((columns - centres.T[:, labels]) ** 2).sum())
    return labels, centres, inertia


def nearest_centre(rows: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Index of the nearest of ``centres`` (k, F) for every row (N, F), and its squared distance, (N,) each."""
    return _nearest(np.ascontiguousarray(rows.T), centres)


def _nearest(columns: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """As ``nearest_centre``, from columns (F, N): sums over a long axis are several times faster than over a short."""
    n = columns.shape[1]
    labels = np.empty(n, dtype=np.intp)
    squared = np.empty(n, dtype=np.float64)
    distances = np.empty((len(centres), min(BLOCK_ROWS, n)))
    for start in range(0, n, BLOCK_ROWS):
        block = columns[:, start : start + BLOCK_ROWS]
        part = distances[:, : block.shape[1]]
        for centre, distance in zip(centres, part, strict=True):
            np.square(block[0] - centre[0], out=distance)
            for column, value in zip(block[1:], centre[1:], strict=True):
                distance += np.square(column - value)
        labels[start : start + BLOCK_ROWS] = part.argmin(axis=0)
        squared[start : start + BLOCK_ROWS] = part.min(axis=0)
    return labels, squared


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


def _means(columns: np.ndarray, labels: np.ndarray, centres: np.ndarray, squared: np.ndarray) -> np.ndarray:
    """Cluster means of columns (F, N); empty clusters move to the rows that lie farthest from their centres."""
    k = len(centres)
    counts = np.bincount(labels, minlength=k)
    sums = np.stack([np.bincount(labels, weights=column, minlength=k) for column in columns], axis=1)
    means = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], centres)
    empty = np.flatnonzero(counts == 0)
    if empty.size:
        farthest = np.argsort(-squared, kind="stable")[: empty.size]
        means[empty] = columns[:, farthest].T
    return means
