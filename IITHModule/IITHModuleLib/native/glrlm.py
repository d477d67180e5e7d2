"""The 16 gray level run length features (PyRadiomics 3.0.1, ``glrlm.py``)."""

from __future__ import annotations

import numpy as np

from .gray_levels import GrayLevels
from .region_layout import Lines, RegionLayout
from .size_statistics import size_statistics, table_of

_NAMES = {
    "ShortRunEmphasis": "small",
    "LongRunEmphasis": "large",
    "LowGrayLevelRunEmphasis": "low",
    "HighGrayLevelRunEmphasis": "high",
    "ShortRunLowGrayLevelEmphasis": "small_low",
    "ShortRunHighGrayLevelEmphasis": "small_high",
    "LongRunLowGrayLevelEmphasis": "large_low",
    "LongRunHighGrayLevelEmphasis": "large_high",
    "GrayLevelNonUniformity": "level_nonuniformity",
    "GrayLevelNonUniformityNormalized": "level_nonuniformity_normalized",
    "RunLengthNonUniformity": "size_nonuniformity",
    "RunLengthNonUniformityNormalized": "size_nonuniformity_normalized",
    "GrayLevelVariance": "level_variance",
    "RunVariance": "size_variance",
    "RunEntropy": "entropy",
}


def runs(lines: Lines, levels: GrayLevels) -> tuple[np.ndarray, np.ndarray]:
    """Level index and length of every run of neighboring voxels of one level along the lines."""
    along = levels.index.take(lines.order)
    ends = along[1:] != along[:-1]
    ends[lines.breaks] = True
    last = np.append(np.flatnonzero(ends), len(along) - 1)
    return along[last], np.diff(last, prepend=-1)


def glrlm_features(layout: RegionLayout, levels: GrayLevels) -> dict[str, float]:
    """Averaged over the directions; one in which no line holds two voxels of the region does not count.

    NaN when no direction is left.
    """
    found = []
    for lines in layout.lines:
        if lines.has_line:
            counts, lengths = table_of(*runs(lines, levels), levels.n_levels)
            numbers = size_statistics(counts, levels.values, lengths)
            found.append([numbers[_NAMES[name]] for name in _NAMES] + [counts.sum() / layout.n_voxels])
    names = [*_NAMES, "RunPercentage"]
    if not found:
        return dict.fromkeys(names, float("nan"))
    return dict(zip(names, np.mean(found, axis=0).tolist(), strict=True))
