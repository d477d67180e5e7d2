"""From a phase or a map to the piece of it on which features of the regions are computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from SubregionHabitatLib.geometry import Geometry, bounding_box
from SubregionHabitatLib.volume_io import to_sitk

from .native.image_filters import POINTWISE, reach_voxels
from .native.image_patch import Box, ImagePatch, cut_patch
from .presets import ImageSettings

# Voxels around a piece after which cutting it no longer shows in B-spline interpolation: 0.268 ** 20 is 4e-12.
_SPLINE_REACH = 20
_INTERPOLATORS = {"linear": sitk.sitkLinear, "bspline": sitk.sitkBSpline, "nearest": sitk.sitkNearestNeighbor}


@dataclass(frozen=True)
class SourceImage:
    """A phase or map as it comes: array (Z, Y, X) on the exam's grid, NaN where it is undefined."""

    name: str
    array: np.ndarray
    unit: str
    settings: ImageSettings


@dataclass(frozen=True)
class WorkingGrid:
    """The grid on which features are computed, and the regions on it.

    native: the voxels of the exam that are needed, and ``native_geometry`` where they lie; grid: what they are
    resampled to (None for the exam's own grid); inner: the voxels of ``grid``, or of the exam, around all regions, and
    ``geometry`` where they lie; masks: the regions over ``inner``.
    """

    native: Box
    native_geometry: Geometry
    grid: Geometry | None
    inner: Box
    geometry: Geometry
    masks: dict[str, np.ndarray]


@dataclass(frozen=True)
class PreparedImage:
    """An image ready for features: the patch, and where in ``patch.inner`` the image is defined."""

    name: str
    unit: str
    patch: ImagePatch
    defined: np.ndarray
    geometry: Geometry
    settings: ImageSettings


def working_grid(
    geometry: Geometry, regions: Mapping[str, np.ndarray], settings: Sequence[ImageSettings]
) -> WorkingGrid:
    """The grid for ``regions`` (name -> (Z, Y, X) bool, together at least one voxel).

    settings: those of the images that share its spacing; they decide how much is needed around the regions.
    """
    spacing = settings[0].resample_mm
    box = bounding_box(np.logical_or.reduce(list(regions.values())))
    if spacing is None:
        crop = geometry.crop(box)
        return WorkingGrid(box, crop, None, box, crop, {name: mask[box] for name, mask in regions.items()})
    reach = np.max([_reach(s, (spacing,) * 3) for s in settings], axis=0) + 2
    grid, native = _needed_part(geometry, spacing, box, reach)
    crop = geometry.crop(native)
    moved = {name: _nearest(mask[native], crop, grid) for name, mask in regions.items()}
    union = np.logical_or.reduce(list(moved.values()))
    # Regions of a voxel or two can fall between the points of a coarse grid and then have no voxel on it.
    inner = bounding_box(union) if union.any() else (slice(0, 1),) * 3
    return WorkingGrid(native, crop, grid, inner, grid.crop(inner), {name: mask[inner] for name, mask in moved.items()})


def prepare_image(source: SourceImage, grid: WorkingGrid, reference: np.ndarray | None) -> PreparedImage:
    """Normalise, fill undefined voxels from their nearest neighbor, cut and resample one image.

    reference: mask (Z, Y, X) whose mean and SD normalise (the whole image when None or empty). The patch is float32.
    """
    s = source.settings
    intensity = Intensity.of(source, reference)
    if grid.grid is None:
        spacing = grid.geometry.spacing_zyx
        patch = cut_patch(source.array, grid.inner, _reach(s, spacing), spacing, intensity.peak)
        defined = np.isfinite(patch.image[patch.inner])
        wrapped = None if patch.wrapped is None else intensity.apply(patch.wrapped, spacing)
        patch = replace(patch, image=intensity.apply(patch.image, spacing), wrapped=wrapped)
    else:
        piece = source.array[grid.native]
        whole = _resampled(intensity.apply(piece, grid.native_geometry.spacing_zyx), grid, s.interpolator)
        patch = cut_patch(whole, grid.inner, whole.shape, grid.grid.spacing_zyx, intensity.peak)
        defined = _nearest(np.isfinite(piece), grid.native_geometry, grid.grid)[grid.inner]
    return PreparedImage(source.name, source.unit, patch, defined, grid.geometry, s)


@dataclass(frozen=True)
class Intensity:
    """The change of intensities that a preset asks for: pulled into ``bounds``, less ``mean``, over ``sd``, pulled
    within ``clip_sd``, times ``scale``. peak: the largest absolute value of the whole image after it (0 if no image
    type needs it)."""

    bounds: tuple[float, float] | None
    mean: float
    sd: float
    clip_sd: float | None
    scale: float
    peak: float = 0.0

    @staticmethod
    def of(source: SourceImage, reference: np.ndarray | None) -> Intensity:
        s = source.settings
        bounds = s.clip_range.get(source.name)
        change = Intensity(bounds, 0.0, 1.0, None, 1.0)
        if s.normalize:
            inside = source.array[reference] if reference is not None and reference.any() else source.array.ravel()
            mean, sd = float(np.mean(inside, dtype=np.float64)), float(np.std(inside, dtype=np.float64))
            change = Intensity(bounds, mean, sd or 1.0, s.clip_sd, s.scale)
        if not set(POINTWISE) & set(s.image_types):
            return change
        # Every step keeps the order of values, so the extremes stay the extremes.
        extremes = change._changed(np.array([np.nanmin(source.array), np.nanmax(source.array)]))
        return replace(change, peak=float(np.abs(extremes.astype(np.float32)).max()))

    def apply(self, piece: np.ndarray, spacing_zyx: Sequence[float]) -> np.ndarray:
        """``piece`` changed, as float32, with undefined voxels filled from the nearest defined one (0 if none is)."""
        defined = np.isfinite(piece)
        changed = self._changed(piece)
        if not defined.any():
            return np.zeros(piece.shape, dtype=np.float32)
        if not defined.all():
            nearest = ndimage.distance_transform_edt(
                ~defined, sampling=spacing_zyx, return_distances=False, return_indices=True
            )
            changed = changed[tuple(nearest)]
        return changed.astype(np.float32)

    def _changed(self, values: np.ndarray) -> np.ndarray:
        changed = values.astype(np.float64)
        if self.bounds is not None:
            changed = np.clip(changed, *self.bounds)
        changed = (changed - self.mean) / self.sd
        if self.clip_sd is not None:
            changed = np.clip(changed, -self.clip_sd, self.clip_sd)
        return changed * self.scale


def isotropic_lattice(geometry: Geometry, spacing_mm: float) -> Geometry:
    """The isotropic grid over the outer faces of ``geometry``, starting at its first corner, as PyRadiomics' is."""
    old = np.asarray(geometry.spacing_mm)
    size = np.maximum(1, np.ceil(np.asarray(geometry.shape[::-1]) * old / spacing_mm - 1e-6)).astype(int)
    first = (spacing_mm / old - 1.0) / 2.0  # index, in old voxels, of the new first voxel's centre
    return Geometry(
        shape=tuple(int(n) for n in size[::-1]),
        spacing_mm=(spacing_mm,) * 3,
        origin_mm=tuple(float(v) for v in geometry.lps_of(first[::-1][None])[0]),
        direction=geometry.direction,
    )


def _needed_part(geometry: Geometry, spacing_mm: float, box: Box, reach: Sequence[int]) -> tuple[Geometry, Box]:
    """The part of the lattice within ``reach`` of the exam's voxels in ``box``, and the exam's voxels it needs.

    The lattice belongs to the whole exam, so that results do not depend on how much of it is cut out.
    """
    lattice = isotropic_lattice(geometry, spacing_mm)
    wanted, native = [], []
    for axis, s in enumerate(box):
        ratio = geometry.spacing_zyx[axis] / spacing_mm
        start = max(0, int(np.floor(s.start * ratio)) - int(reach[axis]))
        stop = min(lattice.shape[axis], int(np.ceil(s.stop * ratio)) + int(reach[axis]))
        wanted.append(slice(start, stop))
        native.append(
            slice(
                max(0, int(np.floor(start / ratio)) - _SPLINE_REACH),
                min(geometry.shape[axis], int(np.ceil(stop / ratio)) + _SPLINE_REACH),
            )
        )
    return lattice.crop(tuple(wanted)), tuple(native)


def _reach(settings: ImageSettings, spacing_zyx: Sequence[float]) -> tuple[int, int, int]:
    reaches = [reach_voxels(t, spacing_zyx) for t in settings.image_types]
    return tuple(int(n) for n in np.max(reaches, axis=0))


def _resampled(image: np.ndarray, grid: WorkingGrid, interpolator: str) -> np.ndarray:
    moved = sitk.Resample(
        to_sitk(image, grid.native_geometry),
        _blank(grid.grid),
        sitk.Transform(),
        _INTERPOLATORS[interpolator],
        0.0,
        sitk.sitkFloat32,
    )
    return sitk.GetArrayFromImage(moved)


def _nearest(mask: np.ndarray, crop: Geometry, grid: Geometry) -> np.ndarray:
    if mask.all():
        return np.ones(grid.shape, dtype=bool)
    moved = sitk.Resample(
        to_sitk(mask, crop), _blank(grid), sitk.Transform(), sitk.sitkNearestNeighbor, 0, sitk.sitkUInt8
    )
    return sitk.GetArrayFromImage(moved) > 0


def _blank(geometry: Geometry) -> sitk.Image:
    image = sitk.Image([int(n) for n in geometry.shape[::-1]], sitk.sitkUInt8)
    image.SetSpacing(geometry.spacing_mm)
    image.SetOrigin(geometry.origin_mm)
    image.SetDirection(geometry.direction)
    return image
