"""The 16 gray level size zone features (PyRadiomics 3.0.1, ``glszm.py``)."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from .equal_neighbors import EqualNeighbors
from .gray_levels import GrayLevels
from .region_layout import RegionLayout
from .size_statistics import size_statistics, table_of

_NAMES = {
    "SmallAreaEmphasis": "small",
    "LargeAreaEmphasis": "large",
    "LowGrayLevelZoneEmphasis": "low",
    "HighGrayLevelZoneEmphasis": "high",
    "SmallAreaLowGrayLevelEmphasis": "small_low",
    "SmallAreaHighGrayLevelEmphasis": "small_high",
    "LargeAreaLowGrayLevelEmphasis": "large_low",
    "LargeAreaHighGrayLevelEmphasis": "large_high",
    "GrayLevelNonUniformity": "level_nonuniformity",
    "GrayLevelNonUniformityNormalized": "level_nonuniformity_normalized",
    "SizeZoneNonUniformity": "size_nonuniformity",
    "SizeZoneNonUniformityNormalized": "size_nonuniformity_normalized",
    "GrayLevelVariance": "level_variance",
    "ZoneVariance": "size_variance",
    "ZoneEntropy": "entropy",
}


def zones(layout: RegionLayout, levels: GrayLevels, equal: EqualNeighbors) -> tuple[np.ndarray, np.ndarray]:
    """Level index and number of voxels of every 26-connected zone of one level.

    The runs along x are the nodes of a graph; two runs are joined where voxels of theirs are equal neighbors.
    """
    starts = np.append(True, ~equal.ahead[0, 0, 1][:-1])
    run = np.cumsum(starts, dtype=np.int32) - np.int32(1)
    lengths = np.bincount(run)
    first, second = _joined_runs(layout, equal, run)
    n = len(lengths)
    graph = coo_matrix((np.ones(len(first), dtype=np.int8), (first, second)), shape=(n, n))
    n_zones, zone = connected_components(graph, directed=False)
    sizes = np.bincount(zone, weights=lengths, minlength=n_zones).astype(np.intp)
    level = np.empty(n_zones, dtype=np.intp)
    level[zone] = levels.index[starts]
    return level, sizes


def _joined_runs(layout: RegionLayout, equal: EqualNeighbors, run: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of runs that touch. Contacts that follow from others are left out, which keeps smooth images quick."""
    ahead = equal.ahead
    along_x = ahead[0, 0, 1]
    first, second = [], []
    for dz, dy in ((1, 1), (1, 0), (1, -1), (0, 1)):
        facing = ahead[dz, dy, 0]
        contacts = {0: facing.copy(), 1: ahead[dz, dy, 1] & ~facing, -1: ahead[dz, dy, -1] & ~facing}
        # the voxel before it along the same run faces the same other run
        contacts[0][1:] &= ~(facing[:-1] & along_x[:-1])
        for dx, joined in contacts.items():
            voxel = np.flatnonzero(joined)
            first.append(run[voxel])
            second.append(run[layout.ordinal[layout.flat[voxel] + layout.shift((dz, dy, dx))]])
    return np.concatenate(first), np.concatenate(second)


def glszm_features(layout: RegionLayout, levels: GrayLevels, equal: EqualNeighbors) -> dict[str, float]:
    """Features of the zones of one level."""
    counts, sizes = table_of(*zones(layout, levels, equal), levels.n_levels)
    numbers = size_statistics(counts, levels.values, sizes)
    found = {name: float(numbers[key]) for name, key in _NAMES.items()}
    return found | {"ZonePercentage": float(counts.sum() / layout.n_voxels)}
