"""The 5 neighboring gray tone difference features (PyRadiomics 3.0.1, ``ngtdm.py``)."""

from __future__ import annotations

import numpy as np

from .gray_levels import GrayLevels
from .region_layout import RegionLayout

# PyRadiomics' value where no voxel differs from its neighbors.
COARSENESS_OF_FLAT = 1e6


def level_differences(layout: RegionLayout, levels: GrayLevels) -> np.ndarray:
    """For each level the sum over its voxels of |level - mean level of the neighbors inside the region|.

    A voxel without neighbors adds 0 but counts as a voxel, as in PyRadiomics.
    """
    own = levels.values[levels.index]
    small = 27 * levels.highest < np.iinfo(np.int16).max
    around = layout.sum_around(own.astype(np.int16 if small else np.int64)) - own
    n = layout.n_neighbors
    difference = np.abs(own - around / np.maximum(n, 1))
    difference[n == 0] = 0
    return np.bincount(levels.index, weights=difference, minlength=levels.n_levels)


def ngtdm_features(layout: RegionLayout, levels: GrayLevels) -> dict[str, float]:
    """Busyness, coarseness, complexity, contrast and strength."""
    s = level_differences(layout, levels)
    i = levels.values.astype(np.float64)
    n = float(layout.n_voxels)
    p = levels.counts / n
    m = levels.n_levels
    weighted = p * s
    apart = i[:, None] - i[None, :]
    both = p[:, None] + p[None, :]
    contrast = (p[:, None] * p[None, :] * apart**2).sum() * s.sum() / n
    spread = np.abs((i * p)[:, None] - (i * p)[None, :]).sum()
    total = s.sum()
    return {
        "Busyness": float(weighted.sum() / spread) if spread != 0 else 0.0,
        "Coarseness": float(1 / weighted.sum()) if weighted.sum() != 0 else COARSENESS_OF_FLAT,
        "Complexity": float((np.abs(apart) * (weighted[:, None] + weighted[None, :]) / both).sum() / n),
        "Contrast": float(contrast / (m * (m - 1))) if m > 1 else 0.0,
        "Strength": float((both * apart**2).sum() / total) if total != 0 else 0.0,
    }
