"""The connected parts of a lesion: which to keep in multifocal disease, how large each is and where it lies."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import pdist

from .errors import InputError
from .geometry import Geometry, bounding_box
from .lesion_points import format_mm, nearest_voxel

KEEP = ("largest", "all", "seed")
NEIGHBOURHOOD = np.ones((3, 3, 3), dtype=np.uint8)
# The table lists at most this many kept parts and as many that are left out, the largest; further ones are counted.
MAX_LISTED = 50


@dataclass(frozen=True)
class LesionParameters:
    """Which parts of the FTV voxels are the lesion.

    keep: "largest" 26-connected part (Chitalia 2023), "all" parts of at least min_component_mm3 (multifocal disease),
    or the part at the "seed". min_component_mm3: the default is a ball of 5 mm, below which BI-RADS speaks of a focus,
    not a mass. seed_search_mm: how far from the seed its part may lie; seed_radius_mm, seed_step_mm,
    seed_max_radius_mm: the ball in which the part is sought grows by steps until the part no longer reaches its rim.
    Raises InputError for values that are not possible.
    """

    keep: str = "largest"
    min_component_mm3: float = 65.0
    seed_search_mm: float = 5.0
    seed_radius_mm: float = 20.0
    seed_step_mm: float = 10.0
    seed_max_radius_mm: float = 60.0

    def __post_init__(self) -> None:
        if self.keep not in KEEP:
            raise InputError(f"Which lesion parts to keep, {self.keep!r}, is unknown; choose one of {KEEP}.")
        sizes = (self.min_component_mm3, self.seed_search_mm, self.seed_radius_mm, self.seed_step_mm)
        if not all(np.isfinite(v) for v in (*sizes, self.seed_max_radius_mm)) or min(sizes[:2]) < 0:
            raise InputError(
                "The smallest lesion part and the search distance around the seed must be numbers >= 0; got "
                f"{self.min_component_mm3} mm3 and {self.seed_search_mm} mm."
            )
        if min(sizes[2:]) <= 0 or self.seed_max_radius_mm < self.seed_radius_mm:
            raise InputError(
                "The radius around the seed and its step must be positive and the largest radius not below the first; "
                f"got {self.seed_radius_mm}, {self.seed_step_mm} and {self.seed_max_radius_mm} mm."
            )


@dataclass(frozen=True)
class LesionPart:
    """One connected part: volume_cc; centroid_lps_mm: mean of its voxel centres; longest_diameter_mm; kept: whether

    it belongs to the lesion."""

    n_voxels: int
    volume_cc: float
    centroid_lps_mm: tuple[float, float, float]
    longest_diameter_mm: float
    kept: bool


@dataclass(frozen=True)
class KeptParts:
    """mask: (Z, Y, X) bool; parts: kept ones first, then those left out of at least min_component_mm3, at most

    MAX_LISTED of each, by falling volume; n_components: parts in all; n_kept; kept_share: of the voxels."""

    mask: np.ndarray
    parts: tuple[LesionPart, ...]
    n_components: int
    n_kept: int
    kept_share: float


def keep_parts(candidates: np.ndarray, geometry: Geometry, parameters: LesionParameters, seed_lps=None) -> KeptParts:
    """Choose among the 26-connected parts of ``candidates`` (Z, Y, X) bool, which must not be empty.

    Equal volumes: the part that comes first in the array. Raises InputError when "seed" has no seed or finds no part
    within seed_search_mm, or "all" finds none that is large enough.
    """
    box = bounding_box(candidates)
    labels, n = ndimage.label(candidates[box], structure=NEIGHBOURHOOD)
    sizes = np.bincount(labels.ravel(), minlength=n + 1)
    sizes[0] = 0
    # Half a voxel of tolerance in the comparison would admit smaller parts; a rounding error must not.
    large = sizes * geometry.voxel_volume_mm3 >= parameters.min_component_mm3 * (1 - 1e-9)
    large[0] = False
    if parameters.keep == "largest":
        kept = np.array([int(np.argmax(sizes))])
    elif parameters.keep == "all":
        kept = np.flatnonzero(large)
        if not kept.size:
            raise InputError(
                f"None of the {n} enhancing parts reaches {parameters.min_component_mm3:g} mm3 (the largest has "
                f"{sizes.max() * geometry.voxel_volume_mm3:.0f} mm3); lower the smallest part that counts."
            )
    else:
        kept = np.array([_part_at_seed(labels, sizes, box, geometry, parameters, seed_lps)])
    is_kept = np.zeros(n + 1, dtype=bool)
    is_kept[kept] = True
    mask = np.zeros(candidates.shape, dtype=bool)
    mask[box] = is_kept[labels]
    listed = [*_by_size(kept, sizes)[:MAX_LISTED], *_by_size(np.flatnonzero(large & ~is_kept), sizes)[:MAX_LISTED]]
    return KeptParts(
        mask=mask,
        parts=_measure(labels, box, listed, is_kept, geometry),
        n_components=int(n),
        n_kept=len(kept),
        kept_share=float(sizes[kept].sum() / sizes.sum()),
    )


def lesion_parts(mask: np.ndarray, geometry: Geometry) -> tuple[tuple[LesionPart, ...], int]:
    """The 26-connected parts of a lesion (Z, Y, X) bool, the MAX_LISTED largest, and how many there are in all."""
    box = bounding_box(mask)
    labels, n = ndimage.label(mask[box], structure=NEIGHBOURHOOD)
    sizes = np.bincount(labels.ravel(), minlength=n + 1)
    listed = _by_size(np.arange(1, n + 1), sizes)[:MAX_LISTED]
    return _measure(labels, box, listed, np.ones(n + 1, dtype=bool), geometry), int(n)


def _by_size(chosen: np.ndarray, sizes: np.ndarray) -> list[int]:
    return [int(i) for i in chosen[np.argsort(-sizes[chosen], kind="stable")]]


def _part_at_seed(labels, sizes, box, geometry: Geometry, parameters: LesionParameters, seed_lps) -> int:
    """The label of the part that holds the seed's voxel, or else has the nearest voxel centre within reach."""
    if seed_lps is None:
        raise InputError("To keep the lesion part at the seed, give a seed point.")
    at = nearest_voxel(seed_lps, geometry)
    start = np.array([s.start for s in box])
    local = tuple(np.array(at) - start)
    if all(0 <= i < n for i, n in zip(local, labels.shape, strict=True)) and labels[local]:
        return int(labels[local])
    index = np.argwhere(labels)
    distance = np.linalg.norm(geometry.lps_of(index + start) - np.asarray(seed_lps, dtype=float), axis=1)
    if distance.min() > parameters.seed_search_mm:
        raise InputError(
            f"No enhancing part lies within {parameters.seed_search_mm:g} mm of the seed {format_mm(seed_lps)}; the "
            f"nearest is {distance.min():.0f} mm away. Move the seed into the lesion or lower --pe-threshold."
        )
    near = labels[tuple(index[distance <= distance.min() + 1e-9].T)]
    return int(near[np.argmax(sizes[near])])


def _measure(labels, box, listed: list[int], is_kept: np.ndarray, geometry: Geometry) -> tuple[LesionPart, ...]:
    start = np.array([s.start for s in box])
    where = ndimage.find_objects(labels)
    parts = []
    for label in listed:
        local = where[label - 1]
        own = labels[local] == label
        index = np.argwhere(own)
        centroid = geometry.lps_of((index.mean(axis=0) + [s.start for s in local] + start)[None])[0]
        parts.append(
            LesionPart(
                n_voxels=len(index),
                volume_cc=float(len(index) * geometry.voxel_volume_mm3 / 1000.0),
                centroid_lps_mm=tuple(float(v) for v in centroid),
                longest_diameter_mm=longest_diameter_mm(own, geometry),
                kept=bool(is_kept[label]),
            )
        )
    return tuple(parts)


def longest_diameter_mm(mask: np.ndarray, geometry: Geometry) -> float:
    """Largest distance in mm between two points of the lesion's surface, in any direction (3-D Feret diameter).

    Surface points are the centres of the voxel faces between lesion and background, where a marching-cubes surface
    of the mask would run. Only spacing and direction of ``geometry`` count, so ``mask`` may be a part of its grid.
    """
    padded = np.pad(mask[bounding_box(mask)], 1)
    points = []
    for axis in range(3):
        for shift in (-1, 1):
            faces = np.argwhere(padded & ~np.roll(padded, -shift, axis=axis)).astype(float)
            faces[:, axis] += shift / 2
            points.append(faces)
    index = np.unique(np.concatenate(points), axis=0)
    lps = geometry.lps_of(index)
    # Flat point sets have no hull; their points are then few enough to compare as they are.
    with suppress(QhullError):
        lps = lps[ConvexHull(lps).vertices]
    return float(pdist(lps).max())
