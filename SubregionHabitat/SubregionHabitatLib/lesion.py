"""The lesion by the functional tumor volume (FTV) rule, or as drawn, and its size.

FTV (UCSF; Newitt, Hylton): within a volume of interest (VOI), a voxel counts when its pre-contrast signal reaches the
background threshold, its early enhancement reaches the PE threshold, enough of its 26 neighbours do so too, and
its SER is not below the SER limit. Implemented from the published formulas (algorithms.md section 2).
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import pdist

from .errors import InputError
from .geometry import Geometry, bounding_box
from .kinetics import KineticMaps
from .masks import RegionMask

# SER classes of the UCSF tool: (low, high] ratios.
SER_BINS = ((0.0, 0.9), (0.9, 1.0), (1.0, 1.3), (1.3, 1.75), (1.75, 3.0))
BACKGROUND_MODES = ("auto", "on", "off")
NEIGHBOURHOOD = np.ones((3, 3, 3), dtype=np.uint8)


@dataclass(frozen=True)
class FtvParameters:
    """pe_threshold_percent: 10..150; background_fraction of P95 of the pre-contrast signal in the VOI: 0.1..1;

    background: "on", "off", or "auto" = off only where the VOI says that it already holds the threshold;
    min_neighbours of 26: 0..26; min_ser: SER limit, and min_ser_inclusive whether the limit itself counts.
    """

    pe_threshold_percent: float = 70.0
    background: str = "auto"
    background_fraction: float = 0.60
    min_neighbours: int = 4
    min_ser: float = 0.0

    def __post_init__(self) -> None:
        if self.background not in BACKGROUND_MODES:
            raise InputError(f"Background mode {self.background!r} is unknown; use one of {BACKGROUND_MODES}.")
        if not (0 < self.background_fraction <= 1) or not (0 <= self.min_neighbours <= 26):
            raise InputError(
                "The background fraction must lie in (0, 1] and the neighbour count in 0..26; "
                f"got {self.background_fraction} and {self.min_neighbours}."
            )
        if not np.isfinite(self.pe_threshold_percent) or not np.isfinite(self.min_ser):
            raise InputError("The PE threshold and the SER limit must be finite numbers.")


@dataclass(frozen=True)
class FtvResult:
    """mask: FTV voxels (Z, Y, X) bool; background_signal: the threshold used, None when off; ser_bins_cc: volume

    per SER class of SER_BINS in cc."""

    mask: np.ndarray
    background_signal: float | None
    ser_bins_cc: tuple[float, ...]


@dataclass(frozen=True)
class Lesion:
    """The lesion mask (Z, Y, X) bool with how it was made ("ftv" or "drawn") and its FTV.

    ftv: the functional tumor volume over the whole VOI (or over the drawn lesion when no VOI was given);
    enhancing_fraction_first_post: share of lesion voxels with PE above the PE threshold at the FIRST post-contrast
    phase (Duke's SER_Total / Volume), None with ``enhancing_fraction_reason`` where it is 1 by construction.
    """

    mask: np.ndarray
    made_by: str
    ftv: FtvResult
    volume_cc: float
    ftv_cc: float
    n_voxels: int
    longest_diameter_mm: float
    n_components: int
    enhancing_fraction_first_post: float | None
    enhancing_fraction_reason: str | None
    notes: tuple[str, ...] = ()


def functional_tumor_volume(
    pre: np.ndarray, maps: KineticMaps, voi: RegionMask, parameters: FtvParameters
) -> FtvResult:
    """FTV voxels inside ``voi``; ``pre`` is the pre-contrast signal (Z, Y, X).

    Neighbours are counted inside the VOI and before the SER test.
    """
    box = bounding_box(voi.mask)
    inside = voi.mask[box]
    signal = pre[box].astype(np.float64)
    threshold = None
    use_background = parameters.background == "on" or (parameters.background == "auto" and not voi.background_applied)
    with np.errstate(invalid="ignore"):
        enhancing = inside & (maps.pe_early[box] >= parameters.pe_threshold_percent)
        if use_background:
            # P95 rather than the maximum: one bright voxel must not empty the mask.
            threshold = float(parameters.background_fraction * np.percentile(signal[inside], 95))
            enhancing &= signal >= threshold
        neighbours = ndimage.convolve(enhancing.astype(np.uint8), NEIGHBOURHOOD, mode="constant") - enhancing
        kept = enhancing & (neighbours >= parameters.min_neighbours) & (maps.ser[box] >= parameters.min_ser)
    mask = np.zeros(pre.shape, dtype=bool)
    mask[box] = kept
    cc = maps.geometry.voxel_volume_mm3 / 1000.0
    ser = maps.ser[box][kept]
    bins = tuple(float(np.count_nonzero((ser > low) & (ser <= high)) * cc) for low, high in SER_BINS)
    return FtvResult(mask, threshold, bins)


def lesion_from_ftv(ftv: FtvResult, geometry: Geometry, voi: RegionMask, parameters: FtvParameters) -> Lesion:
    """The largest 26-connected component of the FTV voxels (Chitalia 2023)."""
    if not ftv.mask.any():
        raise InputError(
            f"No voxel of the VOI ({voi.source}) enhances by {parameters.pe_threshold_percent:g} % or more with "
            f"{parameters.min_neighbours} such neighbours; check the VOI and the early phase, or lower "
            "--pe-threshold."
        )
    box = bounding_box(ftv.mask)
    labels, n_components = ndimage.label(ftv.mask[box], structure=NEIGHBOURHOOD)
    sizes = np.bincount(labels.ravel())[1:]
    mask = np.zeros_like(ftv.mask)
    mask[box] = labels == int(np.argmax(sizes)) + 1
    share = sizes.max() / sizes.sum()
    notes = ()
    if share < 0.8:
        notes = (
            f"The lesion holds {100 * share:.0f} % of the functional tumor volume; the rest lies in "
            f"{n_components - 1} separate parts of the VOI.",
        )
    return _lesion(
        mask,
        "ftv",
        ftv,
        geometry,
        n_components,
        None,
        "the lesion was made by the FTV rule, so its enhancing fraction is 1 by construction",
        notes,
    )


def lesion_as_drawn(
    drawn: RegionMask,
    ftv: FtvResult,
    pe_first_post: np.ndarray,
    geometry: Geometry,
    parameters: FtvParameters,
) -> Lesion:
    """The lesion exactly as drawn; ``pe_first_post``: PE in percent at phase 1, (Z, Y, X)."""
    _, n_components = ndimage.label(drawn.mask, structure=NEIGHBOURHOOD)
    values = pe_first_post[drawn.mask]
    values = values[np.isfinite(values)]
    fraction = float(np.mean(values > parameters.pe_threshold_percent)) if values.size else None
    reason = None if values.size else "no lesion voxel has a defined enhancement"
    return _lesion(drawn.mask, "drawn", ftv, geometry, n_components, fraction, reason, drawn.notes)


def _lesion(mask, made_by, ftv, geometry, n_components, fraction, reason, notes) -> Lesion:
    cc = geometry.voxel_volume_mm3 / 1000.0
    n_voxels = int(mask.sum())
    return Lesion(
        mask=mask,
        made_by=made_by,
        ftv=ftv,
        volume_cc=n_voxels * cc,
        ftv_cc=float(ftv.mask.sum() * cc),
        n_voxels=n_voxels,
        longest_diameter_mm=longest_diameter_mm(mask, geometry),
        n_components=n_components,
        enhancing_fraction_first_post=fraction,
        enhancing_fraction_reason=reason,
        notes=tuple(notes),
    )


def longest_diameter_mm(mask: np.ndarray, geometry: Geometry) -> float:
    """Largest distance in mm between two points of the lesion's surface, in any direction (3-D Feret diameter).

    Surface points are the centres of the voxel faces between lesion and background, where a marching-cubes surface
    of the mask would run.
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
