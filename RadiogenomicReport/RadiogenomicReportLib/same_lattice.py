"""Arrays of one exam on two grids that hold the same voxels in another order: axes swapped or turned over.

Slicer, for one, keeps some exams as a left-handed volume whose slices run the other way than the scanner's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from SubregionHabitatLib.geometry import SAME_POSITION_VOXELS, Geometry


@dataclass(frozen=True)
class Reordering:
    """axes: for each axis of the result the axis of the source; flipped: whether it is turned over."""

    axes: tuple[int, int, int]
    flipped: tuple[bool, bool, bool]

    def apply(self, array: np.ndarray) -> np.ndarray:
        """The array, whose last three axes are (z, y, x), in the target's order."""
        lead = array.ndim - 3
        turned = array.transpose(*range(lead), *(lead + axis for axis in self.axes))
        steps = (slice(None),) * lead + tuple(slice(None, None, -1 if f else 1) for f in self.flipped)
        return np.ascontiguousarray(turned[steps])


def reordering(source: Geometry, target: Geometry) -> Reordering | None:
    """How to bring arrays on ``source`` onto ``target``; None where the two do not hold the same voxels."""
    last = np.array(target.shape) - 1
    ends = source.index_of(target.lps_of(np.vstack([np.zeros(3), np.diag(last)])))
    # Rows: where the end of each of the target's axes lies in the source, from the first voxel.
    steps = ends[1:] - ends[0]
    axes = tuple(int(np.abs(step).argmax()) for step in steps)
    if sorted(axes) != [0, 1, 2] or tuple(source.shape[axis] for axis in axes) != target.shape:
        return None
    flipped = tuple(bool(step[axis] < 0) for step, axis in zip(steps, axes, strict=True))
    wanted = np.zeros((4, 3))
    for row, (axis, turned) in enumerate(zip(axes, flipped, strict=True)):
        wanted[:, axis] = last[row] if turned else 0
        wanted[row + 1, axis] = 0 if turned else last[row]
    if np.abs(ends - wanted).max() > SAME_POSITION_VOXELS:
        return None
    return Reordering(axes, flipped)
