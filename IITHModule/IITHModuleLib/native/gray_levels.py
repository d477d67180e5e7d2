"""Discretisation of the intensities of one region, with PyRadiomics' bin edges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class GrayLevels:
    """The discretised voxels of a region, in C order of the voxels.

    index: for each voxel the position of its level in ``values`` (0..m-1, in the smallest
    type that also holds m); values: the m levels that occur,
    ascending, counted from 1 as in PyRadiomics; counts: voxels per level.
    """

    index: np.ndarray
    values: np.ndarray
    counts: np.ndarray

    @property
    def n_levels(self) -> int:
        return len(self.values)

    @property
    def highest(self) -> int:
        """PyRadiomics' Ng: the highest level that occurs, not the number of levels."""
        return int(self.values[-1])


def bin_edges(values: np.ndarray, bin_width: float | None, bin_count: int | None) -> np.ndarray:
    """PyRadiomics' edges (``getBinEdges``), in the floating-point type of ``values``.

    Fixed width: multiples of the width from the one at or below the minimum, half-open bins. Fixed count: equal bins
    between minimum and maximum, the last edge raised by 1 so that the maximum falls into the last bin.
    """
    if bin_count is not None:
        edges = np.histogram_bin_edges(values, bin_count)
        edges[-1] += 1
        return edges
    low, high = values.min(), values.max()
    edges = np.arange(low - low % bin_width, high + 2 * bin_width, bin_width)
    return edges if len(edges) > 1 else np.array([edges[0] - 0.5, edges[0] + 0.5])


def discretise(values: np.ndarray, bin_width: float | None, bin_count: int | None) -> GrayLevels:
    """Gray levels of the intensities ``values`` (n,) of a region; exactly one kind of binning is given."""
    levels = np.searchsorted(bin_edges(values, bin_width, bin_count), values, side="right")
    counts = np.bincount(levels)
    present = np.flatnonzero(counts)
    position = np.zeros(len(counts), dtype=np.min_scalar_type(len(present)))
    position[present] = np.arange(len(present))
    return GrayLevels(position[levels], present, counts[present])


def expected_levels(values: np.ndarray, bin_width: float | None, bin_count: int | None) -> int:
    """How many gray levels the binning can give at most."""
    if bin_count is not None:
        return bin_count
    return int(min((float(values.max()) - float(values.min())) / bin_width + 1, len(values)))
