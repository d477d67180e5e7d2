"""A coarse copy of an image on axes along the patient's: left, posterior and superior.

Sagittal, axial, coronal and oblique exams look alike on it, so that anatomy ("in front of", "under the skin") can be
sought along array axes. Coarse results come back to the exam's grid slab by slab, which bounds the memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import SimpleITK as sitk

from .geometry import Geometry
from .volume_io import to_sitk

IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
# Working arrays of a slab hold about this many voxels.
SLAB_VOXELS = 4_000_000


def patient_grid(geometry: Geometry, step_mm: float) -> Geometry:
    """The grid of ``step_mm`` cubes that covers ``geometry``; its array axes (Z, Y, X) run to S, P and L."""
    last = np.array(geometry.shape) - 0.5
    corners = np.array([[z, y, x] for z in (-0.5, last[0]) for y in (-0.5, last[1]) for x in (-0.5, last[2])])
    positions = geometry.lps_of(corners)
    low, high = positions.min(axis=0), positions.max(axis=0)
    size = np.maximum(np.ceil((high - low) / step_mm - 1e-6), 1).astype(int)
    origin = (low + high) / 2 - (size - 1) / 2 * step_mm
    return Geometry(tuple(int(n) for n in size[::-1]), (step_mm,) * 3, tuple(float(v) for v in origin), IDENTITY)


def to_patient_grid(image: np.ndarray, geometry: Geometry, grid: Geometry) -> tuple[np.ndarray, np.ndarray]:
    """(means, inside): ``image`` (Z, Y, X) averaged onto ``grid``, float32, and where ``grid`` lies in the image.

    Voxels smaller than the grid's are averaged first, which also lowers the noise. Negative values count as 0.
    """
    step = grid.spacing_mm[0]
    fine = to_sitk(np.maximum(image, 0).astype(np.float32, copy=False), geometry)
    factors = [max(1, math.floor(step / s + 0.25)) for s in geometry.spacing_mm]
    factors = [min(f, n) for f, n in zip(factors, geometry.shape[::-1], strict=True)]
    if max(factors) > 1:
        fine = sitk.BinShrink(fine, factors)
    means = sitk.GetArrayFromImage(_resample(fine, grid, -1.0))
    inside = means >= 0
    means[~inside] = 0
    return means, inside


def slabs(geometry: Geometry, halo_mm: float) -> Iterator[tuple[slice, slice]]:
    """(outer, inner) slices of array axis 0 that together cover the grid: ``inner`` is the part of ``outer`` (as an

    index into it) that is at least ``halo_mm`` away from the cut."""
    n = geometry.shape[0]
    thickness = max(1, SLAB_VOXELS // (geometry.shape[1] * geometry.shape[2]))
    halo = math.ceil(halo_mm / geometry.spacing_zyx[0])
    for start in range(0, n, thickness):
        stop = min(start + thickness, n)
        outer = slice(max(0, start - halo), min(n, stop + halo))
        yield outer, slice(start - outer.start, stop - outer.start)


def slab_geometry(geometry: Geometry, rows: slice) -> Geometry:
    return geometry.crop((rows, slice(0, geometry.shape[1]), slice(0, geometry.shape[2])))


def onto(values: np.ndarray, grid: Geometry, target: Geometry) -> np.ndarray:
    """``values`` on ``grid``, linearly interpolated at the voxels of ``target``, float32.

    Beyond the outermost centres of ``grid`` the nearest value counts.
    """
    edged = np.pad(values.astype(np.float32, copy=False), 1, mode="edge")
    step = np.array(grid.spacing_mm)
    wider = Geometry(edged.shape, grid.spacing_mm, tuple(np.array(grid.origin_mm) - step), grid.direction)
    return sitk.GetArrayFromImage(_resample(to_sitk(edged, wider), target, 0.0))


def _resample(image: sitk.Image, target: Geometry, outside: float) -> sitk.Image:
    resampler = sitk.ResampleImageFilter()
    resampler.SetSize([int(n) for n in target.shape[::-1]])
    resampler.SetOutputSpacing(target.spacing_mm)
    resampler.SetOutputOrigin(target.origin_mm)
    resampler.SetOutputDirection(target.direction)
    resampler.SetInterpolator(sitk.sitkLinear)
    resampler.SetDefaultPixelValue(outside)
    resampler.SetOutputPixelType(sitk.sitkFloat32)
    return resampler.Execute(image)
