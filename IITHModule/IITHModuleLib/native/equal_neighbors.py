"""Which neighboring voxels of a region share a gray level: the common ground of zones and dependences."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .gray_levels import GrayLevels
from .region_layout import DIRECTIONS, RegionLayout


@dataclass(frozen=True)
class EqualNeighbors:
    """For each direction and each voxel (n,): its neighbor lies in the region and shares its level.

    ahead: in the direction itself; n_equal: how many of all 26 neighbors do.
    """

    ahead: dict[tuple[int, int, int], np.ndarray]
    n_equal: np.ndarray


def equal_neighbors(layout: RegionLayout, levels: GrayLevels) -> EqualNeighbors:
    """Compare every voxel with its 26 neighbors."""
    # outside the region 0, inside 1 and more
    own = levels.index + levels.index.dtype.type(1)
    dense = layout.dense(own)
    ahead = {}
    n_equal = np.zeros(layout.n_voxels, dtype=np.uint8)
    for direction in DIRECTIONS:
        shift = layout.shift(direction)
        ahead[direction] = dense.take(layout.flat + shift) == own
        n_equal += ahead[direction]
        n_equal += dense.take(layout.flat - shift) == own
    return EqualNeighbors(ahead, n_equal)
