"""Where motion is measured, and where phases may be moved: boxes and weights around the breast mask."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from .displacement import Box, within
from .errors import InputError
from .geometry import Geometry, bounding_box, margin_voxels

# Fewer mask voxels than this cannot fill a joint histogram of 32 x 32 bins.
MIN_MASK_VOXELS = 1000
# Recursive Gaussian smoothing needs this many voxels along every axis.
MIN_AXIS_VOXELS = 4


@dataclass(frozen=True)
class MotionRegion:
    """Where to fit and where to move; boxes are in indices of the whole array.

    outer: box of everything that may change; weight: (Z, Y, X) float32 on ``outer``: 1 in the mask and its margin,
    falling smoothly to 0 beyond; mask: bool on ``outer``, the mask itself; inner: box that holds every voxel of weight
    1; metric: bool on ``inner``, where the fit looks.
    """

    outer: Box
    weight: np.ndarray
    mask: np.ndarray
    inner: Box
    metric: np.ndarray


def motion_region(
    mask: np.ndarray,
    lesion: np.ndarray | None,
    geometry: Geometry,
    mask_margin_mm: float,
    lesion_margin_mm: float,
    fade_mm: float,
) -> MotionRegion:
    """The region of a breast mask (Z, Y, X) bool; the lesion belongs to it but is left out of the fit.

    Raises InputError where the mask holds fewer than MIN_MASK_VOXELS voxels.
    """
    whole = mask if lesion is None else mask | lesion
    if whole.sum() < MIN_MASK_VOXELS:
        raise InputError(
            f"The breast mask for registration has {int(whole.sum())} voxels, but {MIN_MASK_VOXELS} are needed; check "
            "the mask or leave registration off."
        )
    margins = margin_voxels(mask_margin_mm + fade_mm, geometry)
    outer = bounding_box(whole, tuple(max(m, MIN_AXIS_VOXELS) for m in margins))
    distance = distance_mm(whole[outer], geometry)
    near = distance <= mask_margin_mm
    fade = np.clip((distance - mask_margin_mm) / fade_mm, 0, 1)
    inner = _in_whole(bounding_box(near), outer)
    if min(s.stop - s.start for s in inner) < MIN_AXIS_VOXELS:
        inner = outer
    metric = near[within(inner, outer)].copy()
    if lesion is not None and lesion[inner].any():
        metric &= distance_mm(lesion[inner], geometry) > lesion_margin_mm
    return MotionRegion(outer, (1 - fade * fade * (3 - 2 * fade)).astype(np.float32), whole[outer], inner, metric)


def grow(box: Box, margin_mm: float, geometry: Geometry) -> Box:
    """The box with ``margin_mm`` more on every side, inside the grid."""
    margins = margin_voxels(margin_mm, geometry)
    return tuple(
        slice(max(0, s.start - m), min(n, s.stop + m)) for s, m, n in zip(box, margins, geometry.shape, strict=True)
    )


def distance_mm(mask: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Distance of every voxel to the mask in mm, float32, 0 inside (along the grid's axes where they are sheared)."""
    return ndimage.distance_transform_edt(~mask, sampling=geometry.spacing_zyx).astype(np.float32)


def _in_whole(box: Box, outer: Box) -> Box:
    return tuple(slice(s.start + o.start, s.stop + o.start) for s, o in zip(box, outer, strict=True))
