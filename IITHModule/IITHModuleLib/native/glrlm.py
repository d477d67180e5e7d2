"""The 16 gray level run length features (PyRadiomics 3.0.1, ``glrlm.py``)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .gray_levels import GrayLevels
from .line_counts import LineCounts, Runs
from .region_layout import RegionLayout
from .size_statistics import size_statistics

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
# Elements of the tables made at once; a large region with many levels is done in several parts.
_TABLE = 1 << 19


def run_tables(runs: Sequence[Runs], levels: GrayLevels) -> tuple[np.ndarray, np.ndarray]:
    """Counts (directions, m levels, s lengths) of the runs of each direction, and the s lengths, the first being 1."""
    m = levels.n_levels
    occurs = np.bincount(np.concatenate([r.length for r in runs]), minlength=2) > 0
    occurs[1] = True
    lengths = np.flatnonzero(occurs)
    column = np.cumsum(occurs) - 1
    s = len(lengths)
    tables = np.stack(
        [np.bincount(r.level.astype(np.intp) * s + column[r.length], minlength=m * s).reshape(m, s) for r in runs]
    )
    # Voxels that no longer run holds are runs of one voxel.
    tables[:, :, 0] = levels.counts - tables @ lengths
    return tables.astype(np.float64), lengths


def glrlm_features(layout: RegionLayout, levels: GrayLevels, counts: LineCounts) -> dict[str, float]:
    """Averaged over the directions; one in which no line holds two voxels of the region does not count.

    NaN when no direction is left.
    """
    names = [*_NAMES, "RunPercentage"]
    if not counts.runs:
        return dict.fromkeys(names, float("nan"))
    longest = max(int(r.length.max(initial=1)) for r in counts.runs)
    at_once = max(1, _TABLE // (levels.n_levels * longest))
    found = []
    for start in range(0, len(counts.runs), at_once):
        tables, lengths = run_tables(counts.runs[start : start + at_once], levels)
        numbers = size_statistics(tables, levels.values, lengths)
        share = tables.sum((-2, -1)) / layout.n_voxels
        found.append(np.stack([*(numbers[key] for key in _NAMES.values()), share], axis=1))
    return dict(zip(names, np.mean(np.concatenate(found), axis=0).tolist(), strict=True))
