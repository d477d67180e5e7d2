"""The peritumoral ring: everything within a distance of the lesion, without the lesion (Zhou 2024: 5 mm).

Distances are Euclidean, in mm, in three dimensions. "voxel_centres" measures from voxel centre to the nearest lesion
voxel centre, as image toolkits do; a lesion's outermost centres lie inside its surface, so that ring is thinner than
asked for by a fraction of a voxel (a sphere of 11 mm radius on 1 x 1 x 2 mm voxels: 6 to 8 % less volume than the
shell).
"surface" measures from the surface that linear interpolation of the mask between voxel centres gives (level one half).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from .errors import InputError
from .geometry import Geometry, bounding_box, margin_voxels

KEPT_FRACTION_WARNING = 0.7
RING_DISTANCES = ("voxel_centres", "surface")
# Voxels are split into odd numbers of parts per axis, at most this long, to place the surface between their centres;
# odd, so that one part is centred on the voxel's centre.
SURFACE_PART_MM = 0.4
MIN_SURFACE_PARTS = 3
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
    distance_from: str = "voxel_centres",
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
    # Half a voxel more than the radius: the surface lies up to that far outside the outermost centres.
    margin = tuple(m + 1 for m in margin_voxels(radius_mm, geometry))
    box = bounding_box(lesion, margin)
    inside = lesion[box]
    measure = _distance_from_surface if distance_from == "surface" else _distance_from_centres
    distance = measure(inside, geometry.spacing_zyx)
    # A hair's breadth of tolerance: spacings read from different files differ in their last digits, and voxels that
    # lie exactly on the radius must not depend on that.
    full = (distance <= radius_mm + ON_RADIUS_MM) & ~inside
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
        notes=tuple(_notes(lesion, geometry, radius_mm, margin, fraction, clipped)),
    )


def _distance_from_centres(lesion: np.ndarray, spacing_zyx: tuple[float, float, float]) -> np.ndarray:
    return ndimage.distance_transform_edt(~lesion, sampling=spacing_zyx)


def _distance_from_surface(lesion: np.ndarray, spacing_zyx: tuple[float, float, float]) -> np.ndarray:
    """Distance in mm of every voxel centre from the interpolated surface of ``lesion``."""
    parts = [max(MIN_SURFACE_PARTS, 2 * math.ceil((s / SURFACE_PART_MM - 1) / 2 - 1e-9) + 1) for s in spacing_zyx]
    fine = ndimage.zoom(lesion.astype(np.float32), parts, order=1, grid_mode=True, mode="nearest") >= 0.5
    distance = ndimage.distance_transform_edt(~fine, sampling=np.asarray(spacing_zyx) / parts)
    return distance[tuple(slice(n // 2, None, n) for n in parts)]


def _notes(lesion, geometry, radius_mm, margin, fraction, clipped):
    tight = bounding_box(lesion)
    cut = any(s.start < m or s.stop + m > n for s, m, n in zip(tight, margin, lesion.shape, strict=True))
    if cut:
        yield (
            f"The lesion lies closer than {radius_mm:g} mm to the edge of the image; the ring is cut off there and "
            "its kept fraction does not count that part."
        )
    gaps = [s for s in geometry.spacing_zyx if s > radius_mm]
    if gaps:
        yield (
            f"Slices are {max(gaps):g} mm apart, more than the ring radius of {radius_mm:g} mm: the ring lies only "
            "within the lesion's own slices."
        )
    if fraction < KEPT_FRACTION_WARNING:
        cut = ", ".join(f"{reason} {100 * share:.0f} %" for reason, share in clipped.items())
        yield f"Only {100 * fraction:.0f} % of the ring is kept (cut off: {cut}); its features describe a part of it."
