"""The lesion by the functional tumor volume (FTV) rule, or as drawn, and its size.

FTV (UCSF; Newitt, Hylton): within a volume of interest (VOI), a voxel counts when its pre-contrast signal reaches the
background threshold, its early enhancement reaches the PE threshold, enough of its 26 neighbours do so too, and
its SER is not below the SER limit. Implemented from the published formulas (algorithms.md section 2).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from .errors import InputError
from .geometry import Geometry, bounding_box
from .kinetics import KineticMaps
from .lesion_parts import LesionParameters, LesionPart, keep_parts, lesion_parts, longest_diameter_mm
from .masks import RegionMask

__all__ = [
    "BACKGROUND_MODES",
    "NEIGHBOURS_WITHIN",
    "OMITTED",
    "SER_BINS",
    "FtvParameters",
    "FtvResult",
    "Lesion",
    "LesionParameters",
    "LesionPart",
    "first_post_enhancement",
    "functional_tumor_volume",
    "lesion_as_drawn",
    "lesion_from_ftv",
    "longest_diameter_mm",
]

# SER classes of the UCSF tool: (low, high] ratios.
SER_BINS = ((0.0, 0.9), (0.9, 1.0), (1.0, 1.3), (1.3, 1.75), (1.75, 3.0))
BACKGROUND_MODES = ("auto", "on", "off")
# How omitted voxels enter the background percentile: as zeros (UCSF's tool), or not at all.
OMITTED = ("zero", "left_out")
# Where the enhancing neighbours are counted: within the VOI, or in the whole image (UCSF's tool).
NEIGHBOURS_WITHIN = ("voi", "image")


@dataclass(frozen=True)
class FtvParameters:
    """The FTV rule (UCSF's defaults).

    pe_threshold_percent: usually 10..150; background: "on", "off", or "auto" = off only where the VOI says that it
    already holds the threshold; the threshold is background_fraction (0..1] of the background_percentile (0..100] of
    the pre-contrast signal in the VOI; omitted: one of OMITTED; min_neighbours of 26: 0..26, counted within one of
    NEIGHBOURS_WITHIN; min_ser: SER limit, min_ser_inclusive: whether a SER equal to it counts.
    Raises InputError for values outside these ranges.
    """

    pe_threshold_percent: float = 70.0
    background: str = "auto"
    background_fraction: float = 0.60
    min_neighbours: int = 4
    min_ser: float = 0.0
    background_percentile: float = 95.0
    omitted: str = "zero"
    neighbours_within: str = "voi"
    min_ser_inclusive: bool = True

    def __post_init__(self) -> None:
        if self.background not in BACKGROUND_MODES:
            raise InputError(f"Background mode {self.background!r} is unknown; use one of {BACKGROUND_MODES}.")
        if not (0 < self.background_fraction <= 1) or not (0 <= self.min_neighbours <= 26):
            raise InputError(
                "The background fraction must lie in (0, 1] and the neighbour count in 0..26; "
                f"got {self.background_fraction} and {self.min_neighbours}."
            )
        if not 0 < self.background_percentile <= 100:
            raise InputError(f"The background percentile must lie in (0, 100]; got {self.background_percentile}.")
        if self.omitted not in OMITTED or self.neighbours_within not in NEIGHBOURS_WITHIN:
            raise InputError(
                f"Omitted voxels count as one of {OMITTED} and neighbours within one of {NEIGHBOURS_WITHIN}; got "
                f"{self.omitted!r} and {self.neighbours_within!r}."
            )
        if not np.isfinite(self.pe_threshold_percent) or not np.isfinite(self.min_ser):
            raise InputError("The PE threshold and the SER limit must be finite numbers.")


@dataclass(frozen=True)
class FtvResult:
    """mask: FTV voxels (Z, Y, X) bool; background_signal: the threshold used, None when off; ser_bins_cc: volume

    per SER class of SER_BINS in cc; ser_outside_bins_cc: volume with a SER of 0 or less, or above 3; omitted_cc: volume
    of the VOI that omit regions took away."""

    mask: np.ndarray
    background_signal: float | None
    ser_bins_cc: tuple[float, ...]
    ser_outside_bins_cc: float = 0.0
    omitted_cc: float = 0.0


@dataclass(frozen=True)
class Lesion:
    """The lesion mask (Z, Y, X) bool, how it was made and its FTV.

    made_by: "ftv" (VOI), "ftv_seed" (seed point), "drawn", or these with "_edited" where the user added or removed
    voxels. ftv: the functional tumor volume over the whole VOI, over the drawn lesion when no VOI was given, or over
    the part at the seed; n_components: connected parts of the FTV voxels or of the drawn lesion; longest_diameter_mm:
    of all kept parts together; parts: each part, see LesionPart.
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
    parts: tuple[LesionPart, ...] = ()


def functional_tumor_volume(
    pre: np.ndarray,
    maps: KineticMaps,
    voi: RegionMask,
    parameters: FtvParameters,
    omit: RegionMask | None = None,
) -> FtvResult:
    """FTV voxels inside ``voi`` and outside ``omit``; ``pre`` is the pre-contrast signal (Z, Y, X).

    Omitted voxels are taken away before the background percentile, neighbours are counted before the SER test.
    Raises InputError when the omit region covers the whole VOI or lies on another grid.
    """
    if not voi.mask.any():
        raise InputError(f"The VOI {voi.source} is empty; draw the region and save it again.")
    box = bounding_box(voi.mask)
    # One voxel more: where neighbours outside the VOI count, they are looked for there.
    wide = tuple(slice(max(0, s.start - 1), min(n, s.stop + 1)) for s, n in zip(box, pre.shape, strict=True))
    inside = voi.mask[wide]
    counted = inside if omit is None else inside & ~_omitted(omit, pre.shape)[wide]
    if not counted.any():
        raise InputError(f"The omit regions ({omit.source}) cover the whole VOI ({voi.source}); make them smaller.")
    signal = pre[wide].astype(np.float64)
    threshold = None
    use_background = parameters.background == "on" or (parameters.background == "auto" and not voi.background_applied)
    with np.errstate(invalid="ignore"):
        enhancing = maps.pe_early[wide] >= parameters.pe_threshold_percent
        if use_background:
            # A percentile rather than the maximum: one bright voxel must not empty the mask.
            values = np.where(counted, signal, 0.0)[inside] if parameters.omitted == "zero" else signal[counted]
            threshold = float(parameters.background_fraction * np.percentile(values, parameters.background_percentile))
            enhancing &= signal >= threshold
        if parameters.neighbours_within == "voi":
            enhancing &= counted
        ser = maps.ser[wide]
        ser_passes = ser >= parameters.min_ser if parameters.min_ser_inclusive else ser > parameters.min_ser
        kept = counted & enhancing & (_neighbour_count(enhancing) >= parameters.min_neighbours) & ser_passes
    mask = np.zeros(pre.shape, dtype=bool)
    mask[wide] = kept
    return ftv_result(mask, maps, threshold, int(inside.sum() - counted.sum()))


def ftv_result(mask: np.ndarray, maps: KineticMaps, background_signal: float | None, n_omitted: int = 0) -> FtvResult:
    """Volumes by SER class of the FTV voxels ``mask`` (Z, Y, X) bool."""
    cc = maps.geometry.voxel_volume_mm3 / 1000.0
    ser = maps.ser[mask]
    bins = tuple(float(np.count_nonzero((ser > low) & (ser <= high)) * cc) for low, high in SER_BINS)
    outside = float(np.count_nonzero((ser <= SER_BINS[0][0]) | (ser > SER_BINS[-1][1])) * cc)
    return FtvResult(mask, background_signal, bins, outside, n_omitted * cc)


def _omitted(omit: RegionMask, shape: tuple[int, ...]) -> np.ndarray:
    if omit.mask.shape != shape:
        raise InputError(
            f"The omit region {omit.source} has the array shape {omit.mask.shape}, the exam {shape}; bring it onto the "
            "exam's grid."
        )
    return omit.mask


def _neighbour_count(mask: np.ndarray) -> np.ndarray:
    """How many of the 26 neighbours of every voxel are True; outside the array none is."""
    count = mask.astype(np.uint8)
    for axis in range(3):
        count = ndimage.correlate1d(count, np.ones(3), axis=axis, mode="constant")
    return count - mask


def lesion_from_ftv(
    ftv: FtvResult,
    geometry: Geometry,
    voi: RegionMask,
    parameters: FtvParameters,
    parts: LesionParameters | None = None,
    seed_lps=None,
) -> Lesion:
    """The lesion among the FTV voxels: the largest 26-connected part (Chitalia 2023), all large parts, or the seed's.

    Raises InputError when there are no FTV voxels or no part that ``parts`` would keep.
    """
    parts = parts or LesionParameters()
    if not ftv.mask.any():
        raise InputError(
            f"No voxel of the VOI ({voi.source}) enhances by {parameters.pe_threshold_percent:g} % or more with "
            f"{parameters.min_neighbours} such neighbours; check the VOI and the early phase, or lower "
            "--pe-threshold."
        )
    kept = keep_parts(ftv.mask, geometry, parts, seed_lps)
    notes = ()
    if kept.kept_share < 0.8:
        notes = (
            f"The lesion holds {100 * kept.kept_share:.0f} % of the functional tumor volume; the rest lies in "
            f"{kept.n_components - kept.n_kept} separate parts of the VOI.",
        )
    return make_lesion(
        kept.mask,
        "ftv",
        ftv,
        geometry,
        kept.n_components,
        None,
        "the lesion was made by the FTV rule, so its enhancing fraction is 1 by construction",
        notes,
        kept.parts,
    )


def lesion_as_drawn(
    drawn: RegionMask,
    ftv: FtvResult,
    pe_first_post: np.ndarray,
    geometry: Geometry,
    parameters: FtvParameters,
) -> Lesion:
    """The lesion exactly as drawn; ``pe_first_post``: PE in percent at phase 1, (Z, Y, X)."""
    fraction, reason = enhancing_fraction(drawn.mask, pe_first_post, parameters)
    parts, n_parts = lesion_parts(drawn.mask, geometry)
    return make_lesion(drawn.mask, "drawn", ftv, geometry, n_parts, fraction, reason, drawn.notes, parts)


def first_post_enhancement(signal: np.ndarray) -> np.ndarray:
    """PE in percent at the first post-contrast phase of a signal (T, Z, Y, X); NaN where the first phase is not > 0."""
    pre = signal[0].astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(pre > 0, 100.0 * (signal[1] - pre) / pre, np.nan)


def enhancing_fraction(
    mask: np.ndarray, pe_first_post: np.ndarray, parameters: FtvParameters
) -> tuple[float | None, str | None]:
    """Share of the voxels of ``mask`` above the PE threshold at the first post-contrast phase, or None and why."""
    values = pe_first_post[mask]
    values = values[np.isfinite(values)]
    if not values.size:
        return None, "no lesion voxel has a defined enhancement"
    return float(np.mean(values > parameters.pe_threshold_percent)), None


def make_lesion(mask, made_by, ftv, geometry, n_components, fraction, reason, notes, parts) -> Lesion:
    """A Lesion with its sizes measured."""
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
        parts=tuple(parts),
    )
