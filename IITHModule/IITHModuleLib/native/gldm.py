"""The 14 gray level dependence features (PyRadiomics 3.0.1, ``gldm.py``, alpha 0)."""

from __future__ import annotations

from .equal_neighbors import EqualNeighbors
from .gray_levels import GrayLevels
from .size_statistics import size_statistics, table_of

_NAMES = {
    "SmallDependenceEmphasis": "small",
    "LargeDependenceEmphasis": "large",
    "LowGrayLevelEmphasis": "low",
    "HighGrayLevelEmphasis": "high",
    "SmallDependenceLowGrayLevelEmphasis": "small_low",
    "SmallDependenceHighGrayLevelEmphasis": "small_high",
    "LargeDependenceLowGrayLevelEmphasis": "large_low",
    "LargeDependenceHighGrayLevelEmphasis": "large_high",
    "GrayLevelNonUniformity": "level_nonuniformity",
    "DependenceNonUniformity": "size_nonuniformity",
    "DependenceNonUniformityNormalized": "size_nonuniformity_normalized",
    "GrayLevelVariance": "level_variance",
    "DependenceVariance": "size_variance",
    "DependenceEntropy": "entropy",
}


def gldm_features(levels: GrayLevels, equal: EqualNeighbors) -> dict[str, float]:
    """A voxel's dependence is 1 plus the number of its 26 neighbors in the region that share its level."""
    counts, sizes = table_of(levels.index, equal.n_equal + 1, levels.n_levels)
    numbers = size_statistics(counts, levels.values, sizes)
    return {name: float(numbers[key]) for name, key in _NAMES.items()}
