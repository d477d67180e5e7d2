"""Which neighboring voxels of a region share a gray level: the common ground of zones and dependences."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class EqualNeighbors:
    """For each direction and each voxel (n,): its neighbor lies in the region and shares its level.

    ahead: in the direction itself; n_equal: how many of all 26 neighbors do (uint8).
    """

    ahead: dict[tuple[int, int, int], np.ndarray]
    n_equal: np.ndarray
