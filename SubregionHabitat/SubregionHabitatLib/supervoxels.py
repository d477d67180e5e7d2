"""Supervoxels: small compact parts of a lesion with alike kinetics, for two-level habitats.

Simple linear iterative clustering (SLIC, Achanta 2012) in three dimensions: k-means on the maps' z-scores and the
position in mm together. A lesion is small enough to compare every voxel with every supervoxel, so the usual search
windows are not needed.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from .kmeans import lloyd, nearest_centre
from .progress import Progress, Silent

# (below this number of voxels, supervoxels): WuLabMDA's published habitat code.
COUNTS = ((1_000, 30), (10_000, 50), (100_000, 60))
MOST = 80
ITERATIONS = 20
# A separate piece of a supervoxel smaller than this share of the mean size goes to the supervoxels around it.
SMALL_PIECE_SHARE = 0.25
# Grid widths tried, each 4 % smaller than the one before.
N_WIDTHS = 175
# The centres are found on at most this many voxels; every voxel then goes to the nearest centre.
SAMPLED_VOXELS = 50_000
ON_EDGE = 1e-6
# Large pieces, as shares of the number wanted, outside which the grid's cells are taken instead.
LARGE_PIECES = (0.5, 2.0)
NEAREST_LOOKED_AT = 8
SAME_DISTANCE_MM = 1e-6


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
    shape, and large pieces cut off from their supervoxel stand alone. Voxels of small pieces go to the nearest
    supervoxel in mm, an island without one is a supervoxel of its own. Where noise leaves far fewer or more large
    pieces than wanted, the grid's cells are the supervoxels. The result does not depend on the order or the
    orientation in which the voxels are stored.
    """
    progress = progress or Silent()
    # By place in the patient; rounded, because different storage gives positions that differ in their last digits.
    order = np.lexsort(np.round(positions_mm, 3).T)
    z_scores, positions_mm, index = z_scores[order], positions_mm[order], index[order]
    n = min(n, len(z_scores))
    progress.step(0.0, "supervoxels")
    sample = np.arange(len(order))
    if len(sample) > SAMPLED_VOXELS:
        sample = np.sort(np.random.default_rng(0).choice(len(sample), SAMPLED_VOXELS, replace=False))
    cells = _grid_cells(positions_mm, sample, n)
    width_mm = (len(z_scores) * voxel_volume_mm3 / n) ** (1 / 3)
    # Centred, so that origins far from zero cost no digits.
    joint = np.hstack([z_scores, (positions_mm - positions_mm.mean(axis=0)) * (compactness / width_mm)])
    progress.step(0.3, "supervoxels")
    centres = lloyd(joint[sample], _means_of(joint, cells), ITERATIONS)[1]
    progress.step(0.7, "supervoxels")
    labels = _connected(nearest_centre(joint, centres)[0], cells, z_scores, positions_mm, index, n)
    back = np.empty(len(labels), dtype=np.intp)
    back[order] = labels
    return back


def _grid_cells(positions_mm: np.ndarray, sample: np.ndarray, n: int) -> np.ndarray:
    """The cell 0..m-1 of every position in a cubic grid centred on the lesion, with m as close to ``n`` as found.

    ``sample``: the positions by which the cells of a grid are counted.
    """
    low, high = positions_mm.min(axis=0), positions_mm.max(axis=0)
    middle = (low + high) / 2
    counted = positions_mm[sample]

    def cells(points: np.ndarray, width: float, shift: float) -> np.ndarray:
        # The hair's breadth keeps the very middle off an edge, where rounding would decide.
        place = np.floor((points - middle) / width + shift + ON_EDGE).astype(np.int64) + 2000
        return place @ np.array([1, 4096, 4096**2])

    largest = float(max((high - low).max(), 1e-3)) * 1.01
    best = (np.inf, largest, 0.5)
    for width in largest * np.geomspace(1.0, 1e-3, N_WIDTHS):
        # With a cell or with an edge in the middle: odd and even numbers of cells across.
        for shift in (0.5, 0.0):
            found = len(np.unique(cells(counted, width, shift)))
            if abs(found - n) < best[0]:
                best = (abs(found - n), width, shift)
        if found > 2 * n:
            break
    return np.unique(cells(positions_mm, *best[1:]), return_inverse=True)[1].reshape(-1)


def _means_of(rows: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Mean row per label; labels that do not occur are dropped."""
    counts = np.bincount(labels)
    sums = np.stack([np.bincount(labels, weights=column) for column in rows.T], axis=1)
    return sums[counts > 0] / counts[counts > 0, None]


def _connected(
    labels: np.ndarray, cells: np.ndarray, z_scores: np.ndarray, positions_mm: np.ndarray, index: np.ndarray, n: int
) -> np.ndarray:
    """Supervoxels 0..m-1 that hang together; see ``supervoxels``."""
    pieces, sizes = _pieces(labels, index)
    is_large = sizes >= SMALL_PIECE_SHARE * len(labels) / n
    if not LARGE_PIECES[0] * n <= is_large.sum() <= LARGE_PIECES[1] * n:
        return np.unique(cells, return_inverse=True)[1].reshape(-1)
    large = is_large[pieces]
    islands, island_sizes = _pieces(np.zeros_like(labels), index)
    has_large = np.bincount(islands[large], minlength=len(island_sizes)) > 0
    result = np.where(has_large[islands], pieces, len(sizes) + islands)
    stray = ~large & has_large[islands]
    if stray.any():
        result[stray] = _nearest_piece(pieces, z_scores, positions_mm, large, stray)
    return np.unique(result, return_inverse=True)[1].reshape(-1)


def _nearest_piece(pieces, z_scores, positions_mm, large: np.ndarray, stray: np.ndarray) -> np.ndarray:
    """The large piece nearest to every stray voxel; of equally near ones the one most like it.

    Equal distances are the rule on a grid, and the first one found would depend on how the voxels are stored.
    """
    k = min(NEAREST_LOOKED_AT, int(large.sum()))
    distance, at = cKDTree(positions_mm[large]).query(positions_mm[stray], k=k)
    distance, candidates = distance.reshape(-1, k), pieces[large][at].reshape(-1, k)
    known, local = np.unique(pieces[large], return_inverse=True)
    means = _means_of(z_scores[large], local.reshape(-1))
    unlike = ((means[np.searchsorted(known, candidates)] - z_scores[stray][:, None]) ** 2).sum(axis=-1)
    unlike[distance > distance[:, :1] + SAME_DISTANCE_MM] = np.inf
    return candidates[np.arange(len(candidates)), unlike.argmin(axis=1)]


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
