"""Contours as other readers might have drawn them, made from one mask: a stand-in where there is one reader only.

Each contour is grown or shrunk, moved, and roughened by a smooth random field, as in Zwanenburg et al., Sci Rep
2019;9:614; its volume stays within a given share of the original's, so that features are compared at comparable size.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
from scipy import ndimage

from SubregionHabitatLib.errors import InputError
from SubregionHabitatLib.geometry import Geometry, bounding_box, margin_voxels

# Room around the mask, in SDs of the noise, beyond growth and shift.
_NOISE_REACH_SD = 4.0
# Mean distance from the surface of a ball to its nearest outer (or inner) voxel centres, in voxel lengths along that
# way; measured on balls of 5 to 12 mm on voxels of 0.8 to 2 mm. Half a voxel would be the faces of the voxels, which
# stand out from a smooth surface.
SURFACE_SHARE = 0.4
# Stands for "nowhere": finite, so that moving and adding stay defined.
_FAR_MM = 1e6
_TOUCHING = np.ones((3, 3, 3), dtype=bool)


@dataclass(frozen=True)
class PerturbationParameters:
    """How far contours may differ; lengths in mm.

    n: contours; growth_mm: erosion to dilation, uniform between minus and plus this; shift_mm: length of the largest
    displacement, uniform in that ball; noise_sd_mm: SD of the boundary's displacement; noise_correlation_mm: distance
    over which it is alike; max_volume_change: share of the volume. All [US]; see docs/heterogeneity.md.
    """

    n: int = 20
    growth_mm: float = 1.0
    shift_mm: float = 1.0
    noise_sd_mm: float = 0.5
    noise_correlation_mm: float = 4.0
    max_volume_change: float = 0.15
    seed: int = 0

    def __post_init__(self) -> None:
        lengths = (self.growth_mm, self.shift_mm, self.noise_sd_mm)
        if self.n < 1 or not all(np.isfinite(v) and v >= 0 for v in lengths) or not self.noise_correlation_mm > 0:
            raise InputError(
                "A contour perturbation needs at least one contour, lengths of 0 mm or more and a correlation length "
                "above 0; correct the parameters."
            )
        if not 0 <= self.max_volume_change < 1 or self.seed < 0:
            raise InputError("The volume change must be at least 0 and below 1, the seed 0 or more; correct them.")

    def to_json(self) -> dict:
        return asdict(self)


@dataclass(frozen=True)
class PerturbedMask:
    """mask: (Z, Y, X) bool; what was drawn (growth_mm, shift_mm as x, y, z along the grid's axes) and what came of it:
    volume_ratio to the original and Dice overlap with it, 0..1."""

    mask: np.ndarray
    growth_mm: float
    shift_mm: tuple[float, float, float]
    volume_ratio: float
    dice: float


def perturbed_masks(
    mask: np.ndarray,
    geometry: Geometry,
    parameters: PerturbationParameters | None = None,
    allowed: np.ndarray | None = None,
) -> Iterator[PerturbedMask]:
    """The contours, one at a time; contour i depends on seed and i alone.

    mask, allowed: (Z, Y, X) bool; contours stay inside ``allowed`` (the body). Parts that do not touch the original are
    dropped. Raises InputError for a mask that is empty or of another shape than the grid.
    """
    parameters = parameters or PerturbationParameters()
    if mask.shape != geometry.shape or not mask.any():
        raise InputError("The contour to perturb is empty or not on the exam's grid; give a drawn region.")
    reach = parameters.growth_mm + parameters.shift_mm + _NOISE_REACH_SD * parameters.noise_sd_mm
    box = bounding_box(mask, tuple(m + 1 for m in margin_voxels(reach, geometry)))
    inside = mask[box]
    free = np.ones(inside.shape, dtype=bool) if allowed is None else allowed[box]
    distance = signed_distance(inside, geometry.spacing_zyx)
    for number in range(parameters.n):
        rng = np.random.default_rng([parameters.seed, number])
        yield _perturbed(mask, box, inside, free, distance, geometry, parameters, rng)


def signed_distance(mask: np.ndarray, spacing_zyx: tuple[float, float, float]) -> np.ndarray:
    """Distance in mm of every voxel centre from the surface of ``mask`` (Z, Y, X), negative inside.

    To the nearest voxel of the other kind, less the part of that voxel's length which lies, on average over smooth
    surfaces, beyond the surface. Never 0, so the level 0 gives the mask back.
    """
    return np.where(mask, -_distance_to(~mask, spacing_zyx), _distance_to(mask, spacing_zyx))


def _distance_to(target: np.ndarray, spacing_zyx) -> np.ndarray:
    if not target.any():
        return np.full(target.shape, _FAR_MM)
    distance, nearest = ndimage.distance_transform_edt(~target, sampling=spacing_zyx, return_indices=True)
    length = np.zeros(target.shape)
    for axis, spacing in enumerate(spacing_zyx):
        steps = np.arange(target.shape[axis]).reshape([-1 if a == axis else 1 for a in range(3)])
        length += (spacing**2 * (nearest[axis] - steps)) ** 2
    length = np.sqrt(length) / np.where(target, 1.0, distance)
    return np.where(target, 0.0, distance - SURFACE_SHARE * length)


def _perturbed(mask, box, inside, free, distance, geometry, parameters, rng) -> PerturbedMask:
    growth = float(rng.uniform(-parameters.growth_mm, parameters.growth_mm))
    shift = parameters.shift_mm * _in_unit_ball(rng)
    noise = parameters.noise_sd_mm * _smooth_field(inside.shape, geometry.spacing_zyx, parameters, rng)
    moved = ndimage.shift(distance, shift[::-1] / np.asarray(geometry.spacing_zyx), order=1, mode="nearest")
    surface = np.where(free, moved + noise, np.inf)
    found = _touching_parts(surface < _level(surface, growth, int(inside.sum()), parameters), inside)
    whole = np.zeros(mask.shape, dtype=bool)
    whole[box] = found
    n, n_found, both = int(inside.sum()), int(found.sum()), int((found & inside).sum())
    return PerturbedMask(whole, growth, tuple(float(v) for v in shift), n_found / n, 2 * both / (n + n_found))


def _level(surface: np.ndarray, growth: float, n_voxels: int, parameters) -> float:
    """The level of ``surface`` (mm) nearest to ``growth`` that keeps the number of voxels within the allowed change."""
    change = parameters.max_volume_change
    least = max(1, int(np.ceil(n_voxels * (1 - change))))
    most = max(least, int(np.floor(n_voxels * (1 + change))))
    count = int((surface < growth).sum())
    if least <= count <= most:
        return growth
    wanted = min(least if count < least else most, int(np.isfinite(surface).sum()))
    lowest = np.partition(surface.ravel(), wanted - 1)[wanted - 1]
    return float(np.nextafter(lowest, np.inf))


def _touching_parts(found: np.ndarray, inside: np.ndarray) -> np.ndarray:
    labels, n = ndimage.label(found, _TOUCHING)
    if n <= 1:
        return found
    kept = np.zeros(n + 1, dtype=bool)
    kept[np.unique(labels[inside])] = True
    kept[0] = False
    return kept[labels] if kept.any() else found


def _in_unit_ball(rng: np.random.Generator) -> np.ndarray:
    direction = rng.standard_normal(3)
    return direction / np.linalg.norm(direction) * rng.uniform() ** (1 / 3)


def _smooth_field(shape, spacing_zyx, parameters, rng) -> np.ndarray:
    """A Gaussian random field of SD 1 on the grid, correlated over noise_correlation_mm."""
    sigma = [parameters.noise_correlation_mm / 2 / s for s in spacing_zyx]
    field = ndimage.gaussian_filter(rng.standard_normal(shape), sigma, mode="wrap")
    sd = field.std()
    return (field - field.mean()) / sd if sd > 0 else np.zeros(shape)
