"""Two-means clustering of many small data sets at once, as SigClust needs it."""

from __future__ import annotations

import numpy as np

MAX_STEPS = 100


def two_means_index(data: np.ndarray, rng: np.random.Generator, n_starts: int) -> np.ndarray:
    """Cluster index (S,) of S data sets, ``data`` (S, N, P): least within-cluster over total sum of squares found.

    Lloyd's algorithm from the split along the first principal axis and from ``n_starts`` random pairs of points.
    0 means two perfect clusters, 1 no cluster structure at all; a data set without spread gives 1.
    """
    data = data - data.mean(axis=1, keepdims=True)
    total = np.einsum("snp,snp->s", data, data)
    best = _descend(data, _axis_split(data), total)
    for _ in range(n_starts):
        best = np.minimum(best, _descend(data, _random_split(data, rng), total))
    return best


def _axis_split(data: np.ndarray) -> np.ndarray:
    """(S, N) bool: which side of the mean along the first principal axis."""
    _, vectors = np.linalg.eigh(np.einsum("snp,snq->spq", data, data))
    return np.einsum("snp,sp->sn", data, vectors[:, :, -1]) > 0


def _random_split(data: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(S, N) bool: nearer to the second than to the first of two random points."""
    s, n, _ = data.shape
    first = rng.integers(0, n, s)
    second = (first + rng.integers(1, n, s)) % n
    index = np.arange(s)
    return _nearer_second(data, data[index, first], data[index, second])


def _nearer_second(data: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(S, N) bool from centres (S, P): |x - second|^2 < |x - first|^2, in one product."""
    middle = ((second**2).sum(axis=1) - (first**2).sum(axis=1)) / 2
    return np.einsum("snp,sp->sn", data, second - first) > middle[:, None]


def _descend(data: np.ndarray, side: np.ndarray, total: np.ndarray) -> np.ndarray:
    """The cluster index (S,) after Lloyd steps; data (S, N, P) are centred, so the two sums are opposite."""
    n = data.shape[1]
    index = np.ones(len(data))
    moving = np.arange(len(data))
    current = data
    for _ in range(MAX_STEPS):
        count = side.sum(axis=1)
        both = (count > 0) & (count < n)
        totals = np.einsum("sn,snp->sp", side.astype(float), current)
        between = np.zeros(len(moving))
        squared = (totals**2).sum(axis=1)
        between[both] = squared[both] * n / (count[both] * (n - count[both]))
        positive = total[moving] > 0
        index[moving[positive]] = 1 - between[positive] / total[moving[positive]]
        again = both & positive
        moving, current, side, totals, count = (a[again] for a in (moving, current, side, totals, count))
        if not moving.size:
            break
        renewed = _nearer_second(current, -totals / (n - count)[:, None], totals / count[:, None])
        changed = (renewed != side).any(axis=1)
        moving, current, side = moving[changed], current[changed], renewed[changed]
        if not moving.size:
            break
    return index
