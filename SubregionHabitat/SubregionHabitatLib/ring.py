"""The peritumoral ring: everything within a distance of the lesion, without the lesion (Zhou 2024: 5 mm).

Distances are Euclidean, in mm, in three dimensions, from voxel centre to the nearest lesion voxel centre
(algorithms.md section 5).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from .errors import InputError
from .geometry import Geometry, bounding_box, margin_voxels

KEPT_FRACTION_WARNING = 0.7


@dataclass(frozen=True)
class Ring:
    """mask: (Z, Y, X) bool; kept_fraction: share of the unclipped ring that is left; clipped_by: reason to share

    of the unclipped ring removed for it; notes: one sentence per oddity."""

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
    allowed: np.ndarray | None = None,
    allowed_name: str = "air outside the body",
) -> Ring:
    """The ring around ``lesion`` (Z, Y, X) bool, kept inside ``allowed`` where that is given.

    The part of the ring that falls off the image cannot be counted and is named in the notes. Raises InputError for
    a radius that is not positive.
    """
    if not np.isfinite(radius_mm) or radius_mm <= 0:
        raise InputError(f"The ring radius must be a positive number of mm; got {radius_mm}.")
    margin = margin_voxels(radius_mm, geometry)
    box = bounding_box(lesion, margin)
    inside = lesion[box]
    distance = ndimage.distance_transform_edt(~inside, sampling=geometry.spacing_zyx)
    full = (distance <= radius_mm) & ~inside
    kept = full if allowed is None else full & allowed[box]
    mask = np.zeros(lesion.shape, dtype=bool)
    mask[box] = kept
    n_full = int(full.sum())
    fraction = float(kept.sum() / n_full) if n_full else 0.0
    clipped = {allowed_name: 1.0 - fraction} if n_full and fraction < 1 else {}
    return Ring(
        mask=mask,
        radius_mm=float(radius_mm),
        volume_cc=float(kept.sum() * geometry.voxel_volume_mm3 / 1000.0),
        kept_fraction=fraction,
        clipped_by=clipped,
        notes=tuple(_notes(lesion, geometry, radius_mm, margin, fraction)),
    )


def _notes(lesion, geometry, radius_mm, margin, fraction):
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
        yield f"Only {100 * fraction:.0f} % of the ring lies inside the body; its features describe a part of it."
