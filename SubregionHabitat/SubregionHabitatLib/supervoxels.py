"""Supervoxels: small compact parts of a lesion with alike kinetics, for two-level habitats.

Simple linear iterative clustering (SLIC, Achanta 2012) in three dimensions: k-means on the maps' z-scores and the
position in mm together. A lesion is small enough to compare every voxel with every supervoxel, so the usual search
windows are not needed.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from .kmeans import lloyd
from .progress import Progress, Silent

# (below this number of voxels, supervoxels): WuLabMDA's published habitat code.
COUNTS = ((1_000, 30), (10_000, 50), (100_000, 60))
MOST = 80
ITERATIONS = 20
# A separate piece of a supervoxel smaller than this share of the mean size joins a neighbour.
SMALL_PIECE_SHARE = 0.25
# Grid widths tried, each 2 % smaller than the one before; positions at most looked at to count a grid's cells.
N_WIDTHS = 350
MOST_COUNTED = 20_000
ON_EDGE = 1e-6


def supervoxel_count(n_voxels: int) -> int:
    """How many supervoxels a lesion of ``n_voxels`` gets: 30, 50, 60 or 80."""
    return next((count for limit, count in COUNTS if n_voxels < limit), MOST)


def supervoxels(
    z_scores: np.ndarray,
    positions_mm: np.ndarray,
    index: np.ndarray,
    n: int,
    voxel_volume_mm3: float,
    compactness: float,
    progress: Progress | None = None,
) -> np.ndarray:
    """The supervoxel 0..m-1 of each of N voxels.

    z_scores: (N, F); positions_mm: (N, 3); index: (N, 3) their array indices (z, y, x), for what touches what; n: how
    many are wanted; compactness: how many SDs of one map the width of a supervoxel counts.
    The start is a regular grid along the patient's axes. m may differ from n a little: the grid does not fit every
    shape, and pieces cut off from their supervoxel join the neighbour most like them, or stand alone when they are
    large or have no neighbour. Nothing is random, and the result does not depend on the order of the voxels.
    """
    progress = progress or Silent()
    order = np.lexsort(index.T)
    z_scores, positions_mm, index = z_scores[order], positions_mm[order], index[order]
    n = min(n, len(z_scores))
    progress.step(0.0, "supervoxels")
    start = _grid_cells(positions_mm, n)
    width_mm = (len(z_scores) * voxel_volume_mm3 / n) ** (1 / 3)
    # Centred, so that origins far from zero cost no digits.
    joint = np.hstack([z_scores, (positions_mm - positions_mm.mean(axis=0)) * (compactness / width_mm)])
    progress.step(0.5, "supervoxels")
    labels = lloyd(joint, _means_of(joint, start), ITERATIONS)[0]
    labels = _connected(labels, z_scores, index, n)
    back = np.empty(len(labels), dtype=np.intp)
    back[order] = labels
    return back


def _grid_cells(positions_mm: np.ndarray, n: int) -> np.ndarray:
    """The cell 0..m-1 of every position in a cubic grid, centred on the lesion, with m as close to ``n`` as found."""
    low, high = positions_mm.min(axis=0), positions_mm.max(axis=0)
    middle = (low + high) / 2
    counted = positions_mm[:: max(1, len(positions_mm) // MOST_COUNTED)]

    def cells(points: np.ndarray, width: float) -> np.ndarray:
        # An edge between cells at the very middle: rounding there must not depend on the last digits.
        index = np.floor((points - middle) / width + 0.5 + ON_EDGE).astype(np.int64) + 2000
        return index @ np.array([1, 4096, 4096**2])

    largest = float(max((high - low).max(), 1e-3)) * 1.01
    widths = largest * np.geomspace(1.0, 1e-3, N_WIDTHS)
    best = None
    for width in widths:
        found = len(np.unique(cells(counted, width)))
        if best is None or abs(found - n) < best[0]:
            best = (abs(found - n), width)
        if found > 2 * n:
            break
    return np.unique(cells(positions_mm, best[1]), return_inverse=True)[1].reshape(-1)


def _means_of(rows: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Mean row per label; labels that do not occur are dropped."""
    counts = np.bincount(labels)
    sums = np.stack([np.bincount(labels, weights=column) for column in rows.T], axis=1)
    return sums[counts > 0] / counts[counts > 0, None]


def _connected(labels: np.ndarray, z_scores: np.ndarray, index: np.ndarray, n: int) -> np.ndarray:
    """Split supervoxels into connected pieces, give small ones to the neighbour most like them, number from 0."""
    pieces, sizes = _pieces(labels, index)
    smallest = SMALL_PIECE_SHARE * len(labels) / n
    neighbours = _touching(pieces, index)
    means = _means_of(z_scores, pieces)
    owner = np.arange(len(sizes))
    for piece in np.argsort(sizes, kind="stable"):
        if sizes[piece] >= smallest:
            break
        around = {_root(owner, other) for other in neighbours[piece]} - {_root(owner, piece)}
        if not around:
            continue
        target = min(around, key=lambda other: (float(((means[other] - means[piece]) ** 2).sum()), other))
        neighbours[target] |= neighbours[piece]
        owner[piece] = target
    roots = np.array([_root(owner, piece) for piece in range(len(sizes))])
    return np.unique(roots[pieces], return_inverse=True)[1].reshape(-1)


def _root(owner: np.ndarray, piece: int) -> int:
    while owner[piece] != piece:
        piece = owner[piece]
    return int(piece)


def _pieces(labels: np.ndarray, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The 26-connected piece 0..p-1 of every voxel and the pieces' sizes."""
    low = index.min(axis=0)
    grid = np.zeros(index.max(axis=0) - low + 1, dtype=np.int32)
    at = tuple((index - low).T)
    grid[at] = labels + 1
    pieces = np.empty(len(labels), dtype=np.intp)
    found = 0
    for label, box in enumerate(ndimage.find_objects(grid), start=1):
        if box is None:
            continue
        local, count = ndimage.label(grid[box] == label, structure=np.ones((3, 3, 3)))
        mine = labels == label - 1
        local_at = tuple(a[mine] - s.start for a, s in zip(at, box, strict=True))
        pieces[mine] = local[local_at] - 1 + found
        found += count
    return pieces, np.bincount(pieces)


def _touching(pieces: np.ndarray, index: np.ndarray) -> list[set[int]]:
    """For every piece the pieces that share an edge, face or corner with it."""
    low = index.min(axis=0) - 1
    grid = np.full(index.max(axis=0) - low + 2, -1, dtype=np.intp)
    at = index - low
    grid[tuple(at.T)] = pieces
    neighbours: list[set[int]] = [set() for _ in range(int(pieces.max()) + 1)]
    half = [(dz, dy, dx) for dz in (-1, 0, 1) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dz, dy, dx) > (0, 0, 0)]
    for step in half:
        other = grid[tuple((at + step).T)]
        across = (other >= 0) & (other != pieces)
        for a, b in np.unique(np.stack([pieces[across], other[across]], axis=1), axis=0):
            neighbours[a].add(int(b))
            neighbours[b].add(int(a))
    return neighbours
