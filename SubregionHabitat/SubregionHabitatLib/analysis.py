"""The imaging half of a case in one call: exam and region in, maps, lesion, habitats, ring and curves out."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .body import AIR_SHARE_OF_P99, body_mask
from .curves import EnhancementCurve, enhancement_curves
from .errors import InputError
from .exam import DceExam
from .habitats import MIN_VOXELS_PER_HABITAT, HabitatParameters, Habitats, habitats_per_tumour
from .interaction import Interaction, spatial_interaction
from .kinetics import KineticMaps, compute_maps
from .lesion import (
    FtvParameters,
    Lesion,
    functional_tumor_volume,
    lesion_as_drawn,
    lesion_from_ftv,
)
from .masks import RegionMask
from .progress import Progress, Silent
from .ring import Ring, peritumoral_ring
from .timing import PhaseChoice, choose_early_late, choose_without_times

# Above this share of lesion voxels without a positive pre-contrast signal, maps and habitats would rest on too little.
MAX_UNDEFINED_SHARE = 0.10


@dataclass(frozen=True)
class ImagingParameters:
    """Every choice of the imaging half; algorithms.md names the source of each default.

    early, late: phase indices that override the timing rule; peak_search, wos_mode: see kinetics; ring_mm: radius;
    clip_ring_to_body: leave out air; neighbourhood: of the MSI matrix.
    """

    early: int | None = None
    late: int | None = None
    peak_search: str = "all_post"
    wos_mode: str = "normalised"
    ftv: FtvParameters = field(default_factory=FtvParameters)
    habitats: HabitatParameters = field(default_factory=HabitatParameters)
    ring_mm: float = 5.0
    ring_distance_from: str = "voxel_centres"
    clip_ring_to_body: bool = True
    air_share_of_p99: float = AIR_SHARE_OF_P99
    neighbourhood: str = "in_plane_8"


@dataclass(frozen=True)
class ImagingResult:
    """What the imaging half found; every array lies on the exam's grid."""

    maps: KineticMaps
    lesion: Lesion
    habitats: Habitats
    ring: Ring
    interaction: Interaction
    curves: tuple[EnhancementCurve, ...]
    body: np.ndarray
    nan_fractions: dict[str, float]
    parameters: ImagingParameters
    warnings: tuple[str, ...]

    def regions(self) -> dict[str, np.ndarray]:
        """Region name to mask (Z, Y, X) bool, in the order of the feature table."""
        named = {"lesion": self.lesion.mask}
        for index in range(1, self.habitats.parameters.k + 1):
            named[f"habitat{index}"] = self.habitats.labels == index
        named["ring"] = self.ring.mask
        return named


def analyze_imaging(
    exam: DceExam,
    parameters: ImagingParameters | None = None,
    voi: RegionMask | None = None,
    lesion: RegionMask | None = None,
    progress: Progress | None = None,
) -> ImagingResult:
    """Maps, lesion, habitats, ring, interaction and curves of one exam.

    The lesion is ``lesion`` as drawn, or else the largest component of the FTV voxels inside ``voi``; one of the two
    is needed. FTV is taken over ``voi``, or over the drawn lesion where there is no VOI.
    Raises InputError for whatever cannot be analyzed.
    """
    parameters = parameters or ImagingParameters()
    progress = progress or Silent()
    if voi is None and lesion is None:
        raise InputError(
            "Neither a VOI nor a lesion was given; draw a region around the lesion (--voi) or the lesion itself "
            "(--lesion)."
        )
    progress.step(0.0, "kinetic maps")
    choice = _choose_phases(exam, parameters)
    maps = compute_maps(exam, choice, parameters.peak_search, parameters.wos_mode)
    progress.step(0.4, "lesion")
    found = _find_lesion(exam, maps, voi, lesion, parameters)
    nan_fractions = _nan_fractions(maps, found.mask)
    _check_signal(exam, found)
    progress.step(0.5, "habitats")
    habitats = habitats_per_tumour(maps, found.mask, parameters.habitats)
    progress.step(0.8, "ring")
    body = body_mask(exam.signal[0], parameters.air_share_of_p99)
    ring = peritumoral_ring(
        found.mask,
        exam.geometry,
        parameters.ring_mm,
        [("air outside the body", body)] if parameters.clip_ring_to_body else [],
        distance_from=parameters.ring_distance_from,
    )
    interaction = spatial_interaction(
        habitats.labels,
        parameters.habitats.k,
        exam.geometry.voxel_volume_mm3,
        exam.slice_axis,
        parameters.neighbourhood,
    )
    named = {name: habitats.labels == i + 1 for i, name in enumerate(habitats.names)}
    curves = enhancement_curves(exam, {**named, "lesion": found.mask, "ring": ring.mask})
    progress.step(1.0, "imaging done")
    return ImagingResult(
        maps=maps,
        lesion=found,
        habitats=habitats,
        ring=ring,
        interaction=interaction,
        curves=curves,
        body=body,
        nan_fractions=nan_fractions,
        parameters=parameters,
        warnings=tuple(_warnings(exam, voi, found, habitats, ring, nan_fractions)),
    )


def _choose_phases(exam: DceExam, parameters: ImagingParameters) -> PhaseChoice:
    if not exam.timing.known:
        return choose_without_times(exam.n_phases, parameters.early, parameters.late)
    return choose_early_late(exam.times_s, exam.timing.temporal_resolution_s, parameters.early, parameters.late)


def _find_lesion(exam, maps, voi, drawn, parameters) -> Lesion:
    for region, role in ((voi, "VOI"), (drawn, "lesion")):
        if region is not None and region.mask.shape != exam.geometry.shape:
            raise InputError(
                f"The {role} {region.source} has the array shape {region.mask.shape}, the exam {exam.geometry.shape}; "
                "bring it onto the exam's grid."
            )
        if region is not None and not region.mask.any():
            raise InputError(f"The {role} {region.source} is empty; draw the region and save it again.")
    if drawn is not None:
        _check_size(int(drawn.mask.sum()), drawn.source, parameters)
    ftv = functional_tumor_volume(exam.signal[0], maps, voi or drawn, parameters.ftv)
    if drawn is None:
        found = lesion_from_ftv(ftv, exam.geometry, voi, parameters.ftv)
        _check_size(found.n_voxels, "found by the FTV rule", parameters)
        return found
    with np.errstate(divide="ignore", invalid="ignore"):
        pre = exam.signal[0].astype(np.float64)
        first_post = np.where(pre > 0, 100.0 * (exam.signal[1] - pre) / pre, np.nan)
    return lesion_as_drawn(drawn, ftv, first_post, exam.geometry, parameters.ftv)


def _check_size(n_voxels: int, source: str, parameters: ImagingParameters) -> None:
    needed = MIN_VOXELS_PER_HABITAT * parameters.habitats.k
    if n_voxels < needed:
        raise InputError(
            f"The lesion {source} has {n_voxels} voxels; {parameters.habitats.k} habitats need at least {needed}. "
            "Draw the lesion larger or check the VOI."
        )


def _check_signal(exam: DceExam, lesion: Lesion) -> None:
    bad = ~(exam.signal[0][lesion.mask] > 0)
    share = float(bad.mean())
    if share > MAX_UNDEFINED_SHARE:
        raise InputError(
            f"The pre-contrast signal is zero or negative in {100 * share:.0f} % of the lesion; enhancement is not "
            "defined there. Check the pre-contrast phase and the lesion's position."
        )


def _nan_fractions(maps: KineticMaps, lesion: np.ndarray) -> dict[str, float]:
    return {name: float(np.mean(~np.isfinite(array[lesion]))) for name, array in maps.items()}


def _warnings(exam, voi, lesion, habitats, ring, nan_fractions):
    yield from exam.timing.notes
    if voi is not None:
        yield from voi.notes
    yield from lesion.notes
    yield (
        "Habitats were found within this lesion alone (per_tumour): three labels always result, and their volumes "
        "are not comparable between patients."
    )
    if not habitats.monotone:
        yield (
            "Not all four kinetic maps rise from the poor to the high habitat; the order follows their mean z-score."
        )
    if habitats.n_filled:
        yield f"{habitats.n_filled} lesion voxels with an undefined map took the habitat of their nearest neighbor."
    undefined = {name: share for name, share in nan_fractions.items() if share > 0}
    if undefined:
        worst = max(undefined, key=undefined.get)
        yield f"{worst.upper()} is undefined in {100 * undefined[worst]:.2g} % of the lesion."
    yield from ring.notes
