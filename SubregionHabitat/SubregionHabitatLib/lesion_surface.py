"""Where the surface of a binary mask lies between its voxel centers, as a cloud of points.

A mask says only which voxel centers lie inside. The surface taken here is the zero level of the signed distance between
the centers inside and outside, lightly smoothed so that the steps of the voxel grid do not count as bumps, and
interpolated by cubic splines. Balls of 4 to 15 mm radius on voxels of 0.5 to 5 mm give 5 mm shells within 3 % of the
analytic volume (docs/validation.md), where distances from voxel centers lose up to 15 %.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np
from scipy import ndimage

# Voxels are split into odd numbers of parts per axis, at most this long; odd, so that one part lies on the center.
PART_MM = 0.4
MIN_PARTS = 3
# Standard deviation of the smoothing, in voxels: the smallest that takes the steps of the grid away from balls.
SMOOTHING_VOXELS = 0.36
# A rim point has the surface within one part; the interpolated distance may change somewhat faster than 1 mm per mm.
STEEPEST = 1.5
# The spline and the smoothing must not feel the edge of the box.
PAD_VOXELS = 4
ON_SURFACE_MM = 1e-6
POINTS_AT_ONCE = 1 << 20


def surface_points(mask: np.ndarray, spacing_zyx: tuple[float, float, float]) -> np.ndarray:
    """Points just inside the surface of ``mask``, (N, 3), in mm from the center of voxel (0, 0, 0) along (z, y, x).

    mask: (Z, Y, X) bool. N is 0 for an empty mask. Beyond the edge of the array the mask counts as outside.
    """
    spacing = np.asarray(spacing_zyx, dtype=float)
    parts = [max(MIN_PARTS, 2 * math.ceil((s / PART_MM - 1) / 2 - 1e-9) + 1) for s in spacing]
    depth = _signed_distance(np.pad(mask, PAD_VOXELS), spacing)
    near = np.argwhere(np.abs(depth) <= np.linalg.norm(spacing))
    coefficients = ndimage.spline_filter(depth, order=3, mode="mirror", output=np.float32)
    deepest = -STEEPEST * float(np.max(spacing / parts))
    found = [
        points[(value <= ON_SURFACE_MM) & (value >= deepest)]
        for points in _parts_of(near, parts)
        for value in [ndimage.map_coordinates(coefficients, points.T, order=3, prefilter=False, mode="mirror")]
    ]
    return (np.concatenate([np.empty((0, 3)), *found]) - PAD_VOXELS) * spacing


def _signed_distance(mask: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Smoothed distance in mm to the nearest voxel center on the other side, negative inside."""
    if not mask.any():
        return np.full(mask.shape, np.inf, dtype=np.float32)
    outward = ndimage.distance_transform_edt(~mask, sampling=spacing)
    outward -= ndimage.distance_transform_edt(mask, sampling=spacing)
    return ndimage.gaussian_filter(outward, SMOOTHING_VOXELS, output=np.float32)


def _parts_of(voxels: np.ndarray, parts: list[int]) -> Iterator[np.ndarray]:
    """Centers of the parts of ``voxels`` (N, 3), as fractional indices, some voxels at a time."""
    offsets = np.array(list(itertools.product(*[(np.arange(n) - n // 2) / n for n in parts])))
    step = max(1, POINTS_AT_ONCE // len(offsets))
    for start in range(0, len(voxels), step):
        yield (voxels[start : start + step, None, :] + offsets).reshape(-1, 3)
