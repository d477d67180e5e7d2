"""Which neighboring voxels of a region share a gray level: the common ground of zones and dependences."""

from __future__ import annotations

import numpy as np

from .gray_levels import GrayLevels
from .region_layout import DIRECTIONS, RegionLayout


def dense_levels(layout: RegionLayout, levels: GrayLevels) -> np.ndarray:
    """The flattened padded box with level index + 1 inside the region and 0 outside, in the smallest type."""
    kind = np.uint8 if levels.n_levels < 255 else np.uint16 if levels.n_levels < 65535 else np.int32
    dense = np.zeros(int(np.prod(layout.padded_shape)), dtype=kind)
    dense[layout.flat] = levels.index + 1
    return dense


def equal_neighbors(layout: RegionLayout, levels: GrayLevels) -> dict[tuple[int, int, int], np.ndarray]:
    """For each direction, over the flattened padded box: the voxel and its neighbor lie inside and share a level."""
    dense = dense_levels(layout, levels)
    found = {}
    for direction in DIRECTIONS:
        shift = layout.shift(direction)
        equal = np.zeros(dense.size, dtype=bool)
        np.equal(dense[:-shift], dense[shift:], out=equal[:-shift])
        # outside the region every element holds 0, so pairs of zeros are equal too
        equal &= layout.inside
        found[direction] = equal
    return found
