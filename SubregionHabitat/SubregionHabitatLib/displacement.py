"""Displacement fields in mm on a box of the exam's grid, and how far they change volumes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import SimpleITK as sitk

from .geometry import Geometry

Box = tuple[slice, slice, slice]
# Voxels handled at a time; a slab of this size needs about 100 MB for its coordinates.
SLAB_VOXELS = 1 << 20


def displacement_field(transform: sitk.Transform, geometry: Geometry) -> np.ndarray:
    """``T(x) - x`` in LPS mm for every voxel centre of ``geometry``: (Z, Y, X, 3) float32, last axis (L, P, S)."""
    field = sitk.TransformToDisplacementField(
        transform,
        sitk.sitkVectorFloat32,
        geometry.shape[::-1],
        geometry.origin_mm,
        geometry.spacing_mm,
        geometry.direction,
    )
    return sitk.GetArrayFromImage(field)


def jacobian_determinant(field: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Local change of volume of x -> x + field(x): (Z, Y, X) float64; 1 keeps volume, below 0 is folded.

    field: as from ``displacement_field``, at least 2 voxels along every axis. Central differences (one-sided at the
    edges), turned into patient space, so oblique and sheared grids are handled.
    """
    # gradients[..., c, k]: change of component c per step of index axis x, y, z (k = 0, 1, 2).
    gradients = np.stack([np.gradient(field.astype(np.float64), axis=axis) for axis in (2, 1, 0)], axis=-1)
    per_mm = gradients @ np.linalg.inv(geometry.index_to_lps[:3, :3])
    return np.linalg.det(np.eye(3) + per_mm)


def slabs(box: Box) -> Iterator[Box]:
    """The box cut along its first axis into parts of about SLAB_VOXELS voxels."""
    z, y, x = box
    plane = (y.stop - y.start) * (x.stop - x.start)
    thickness = max(1, SLAB_VOXELS // plane)
    for start in range(z.start, z.stop, thickness):
        yield slice(start, min(start + thickness, z.stop)), y, x


def within(inner: Box, outer: Box) -> Box:
    """``inner`` in the indices of ``outer``."""
    return tuple(slice(i.start - o.start, i.stop - o.start) for i, o in zip(inner, outer, strict=True))
