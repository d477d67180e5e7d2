"""One walk along the lines of each direction: pairs of neighboring levels, runs of one level, and equal neighbors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .equal_neighbors import EqualNeighbors
from .gray_levels import GrayLevels
from .region_layout import DIRECTIONS, Lines, RegionLayout

# In a voxel's tally of equal neighbors those behind it count by 16, so that both counts, 0 to 13, fit into one byte.
_BEHIND = np.uint8(16)


@dataclass(frozen=True)
class Runs:
    """Runs of two or more neighboring voxels of one level along the lines of one direction; single voxels left out.

    level: index of the level; length: number of voxels.
    """

    level: np.ndarray
    length: np.ndarray


@dataclass(frozen=True)
class LineCounts:
    """What the lines of all directions hold.

    pairs: for each direction in which some voxels are neighbors, how often level i is followed by level j, (m, m);
    runs: for each direction in which some line holds two voxels; equal: which neighbors share a voxel's level.
    """

    pairs: list[np.ndarray]
    runs: list[Runs]
    equal: EqualNeighbors


def line_counts(layout: RegionLayout, levels: GrayLevels) -> LineCounts:
    """Walk along the lines of the 13 directions."""
    pairs, runs, ahead = [], [], {}
    tally = np.zeros(layout.n_voxels, dtype=np.uint8)
    for direction, lines in zip(DIRECTIONS, layout.lines, strict=True):
        along = levels.index.take(lines.order)
        equal = along[1:] == along[:-1]
        equal &= lines.linked
        if lines.has_pairs:
            pairs.append(_pairs(along, lines, levels.n_levels))
        if lines.has_line:
            runs.append(_runs(along, equal))
        found = _both_sides(equal).take(lines.place)
        tally += found
        ahead[direction] = (found & np.uint8(1)).view(bool)
    return LineCounts(pairs, runs, EqualNeighbors(ahead, (tally & np.uint8(15)) + (tally >> np.uint8(4))))


def _pairs(along: np.ndarray, lines: Lines, m: int) -> np.ndarray:
    code = along[:-1].astype(np.min_scalar_type(m * m))
    code *= code.dtype.type(m)
    code += along[1:]
    # Voxels that follow each other without being neighbors go to the first element and are taken off it again.
    code *= lines.linked
    counts = np.bincount(code, minlength=m * m)
    counts[0] -= lines.n_unlinked
    return counts.reshape(m, m)


def _runs(along: np.ndarray, equal: np.ndarray) -> Runs:
    """``equal``: each voxel but the last continues into the next one."""
    first, last = equal.copy(), equal.copy()
    first[1:] &= ~equal[:-1]
    last[:-1] &= ~equal[1:]
    starts = np.flatnonzero(first)
    return Runs(along.take(starts), np.flatnonzero(last) - starts + 2)


def _both_sides(equal: np.ndarray) -> np.ndarray:
    """For each voxel 1 if the next one is its equal, plus _BEHIND if the one before it is."""
    found = np.zeros(len(equal) + 1, dtype=np.uint8)
    found[:-1] = equal
    found[1:] += equal.view(np.uint8) * _BEHIND
    return found
