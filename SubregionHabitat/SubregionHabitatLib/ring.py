"""The peritumoral ring: everything within a distance of the lesion, without the lesion (Zhou 2024: 5 mm).

Distances are Euclidean, in mm, in three dimensions. "surface" measures from the lesion's surface as it lies between
the voxel centers (lesion_surface.py); "voxel_centres" measures from voxel center to the nearest lesion voxel center, as
image toolkits do. A lesion's outermost centers lie inside its surface, so that ring is thinner than asked for by a
fraction of a voxel: 8 % less volume than the shell around a sphere of 11 mm radius on 1 x 1 x 2 mm voxels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from .errors import InputError
from .geometry import Geometry, bounding_box, margin_voxels
from .lesion_surface import surface_points

KEPT_FRACTION_WARNING = 0.7
RING_DISTANCES = ("surface", "voxel_centres")
ON_RADIUS_MM = 1e-5


@dataclass(frozen=True)
class Ring:
    """The ring and what was cut off it.

    mask: (Z, Y, X) bool; kept_fraction: share of the unclipped ring that is left; clipped_by: reason to share of the
    unclipped ring removed for it, each voxel counted for the first reason that removes it; notes: one sentence per
    oddity.
    """

    mask: np.ndarray
    radius_mm: float
    volume_cc: float
    kept_fraction: float
    clipped_by: dict[str, float]
    notes: tuple[str, ...] = ()


def peritumoral_ring(
    lesion: np.ndarray,
    geometry: Geometry,
    radius_mm: float = 5.0,
    allowed: Sequence[tuple[str, np.ndarray]] = (),
    distance_from: str = "surface",
) -> Ring:
    """The ring around ``lesion`` (Z, Y, X) bool.

    allowed: (reason, mask) pairs; the ring is kept inside every mask, and what lies outside one is counted as clipped
    for its reason ("skin and air", "chest wall"). The part of the ring that falls off the image cannot be counted and
    is named in the notes. Raises InputError for a radius that is not positive or an unknown ``distance_from`` (one of
    RING_DISTANCES).
    """
    if distance_from not in RING_DISTANCES:
        raise InputError(f"The ring distance {distance_from!r} is unknown; choose one of {RING_DISTANCES}.")
    if not np.isfinite(radius_mm) or radius_mm <= 0:
        raise InputError(f"The ring radius must be a positive number of mm; got {radius_mm}.")
    # The surface lies up to half a voxel outside the outermost centers.
    margin = tuple(m + (distance_from == "surface") for m in margin_voxels(radius_mm, geometry))
    box = bounding_box(lesion, margin)
    # A hair's breadth of tolerance: spacings read from different files differ in their last digits, and voxels that
    # lie exactly on the radius must not depend on that.
    full = _within(lesion[box], geometry.spacing_zyx, radius_mm + ON_RADIUS_MM, distance_from)
    kept, clipped, n_full = full, {}, int(full.sum())
    for reason, mask_allowed in allowed:
        inside_allowed = kept & mask_allowed[box]
        lost = int(kept.sum() - inside_allowed.sum())
        if lost:
            clipped[reason] = lost / n_full
        kept = inside_allowed
    mask = np.zeros(lesion.shape, dtype=bool)
    mask[box] = kept
    fraction = float(kept.sum() / n_full) if n_full else 0.0
    return Ring(
        mask=mask,
        radius_mm=float(radius_mm),
        volume_cc=float(kept.sum() * geometry.voxel_volume_mm3 / 1000.0),
        kept_fraction=fraction,
        clipped_by=clipped,
        notes=tuple(_notes(lesion, geometry, radius_mm, distance_from, margin, fraction, clipped)),
    )


def _within(lesion: np.ndarray, spacing_zyx: tuple[float, float, float], reach_mm: float, distance_from: str):
    """Voxels (Z, Y, X) outside ``lesion`` whose center lies at most ``reach_mm`` from it."""
    distance = ndimage.distance_transform_edt(~lesion, sampling=spacing_zyx)
    ring = (distance <= reach_mm) & ~lesion
    if distance_from == "voxel_centres":
        return ring
    # Every center inside lies within the surface, so only voxels a little too far from the centers are in doubt.
    doubtful = np.argwhere((distance > reach_mm) & (distance <= reach_mm + np.linalg.norm(spacing_zyx)))
    surface = surface_points(lesion, spacing_zyx)
    if len(doubtful) and len(surface):
        near, _ = cKDTree(surface).query(doubtful * np.asarray(spacing_zyx), distance_upper_bound=reach_mm)
        ring[tuple(doubtful[np.isfinite(near)].T)] = True
    return ring


def _notes(lesion, geometry, radius_mm, distance_from, margin, fraction, clipped):
    tight = bounding_box(lesion)
    cut = any(s.start < m or s.stop + m > n for s, m, n in zip(tight, margin, lesion.shape, strict=True))
    if cut:
        yield (
            f"The lesion lies closer than {radius_mm:g} mm to the edge of the image; the ring is cut off there and "
            "its kept fraction does not count that part."
        )
    gap = max(geometry.spacing_zyx)
    if gap > radius_mm:
        between = distance_from == "surface" and gap <= 2 * radius_mm
        yield f"Slices are {gap:g} mm apart, more than the ring radius of {radius_mm:g} mm: " + (
            "between slices the ring rests on an interpolated surface."
            if between
            else "the ring lies only within the lesion's own slices."
        )
    if fraction < KEPT_FRACTION_WARNING:
        cut = ", ".join(f"{reason} {100 * share:.0f} %" for reason, share in clipped.items())
        yield f"Only {100 * fraction:.0f} % of the ring is kept (cut off: {cut}); its features describe a part of it."
