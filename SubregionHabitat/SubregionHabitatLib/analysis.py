"""The imaging half of a case in one call: exam and regions in, maps, lesion, habitats, ring and curves out."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .background_enhancement import BackgroundEnhancement, background_enhancement
from .breast_mask import BreastMask, ring_allowed
from .breast_region import share_inside
from .curves import EnhancementCurve, enhancement_curves
from .errors import InputError
from .exam import DceExam
from .feature_regions import STANDARD_REGIONS, check_regions, feature_regions
from .fibroglandular import FibroglandularParameters, FibroglandularTissue, fibroglandular_tissue
from .habitat_model import HabitatModel
from .habitats import MIN_VOXELS_PER_HABITAT, HabitatParameters, Habitats, find_habitats
from .interaction import Interaction, spatial_interaction
from .kinetics import TIME_MAPS, KineticMaps, compute_maps
from .lesion import (
    FtvParameters,
    Lesion,
    LesionParameters,
    first_post_enhancement,
    functional_tumor_volume,
    lesion_as_drawn,
    lesion_from_ftv,
)
from .lesion_edits import lesion_with_edits
from .lesion_seed import lesion_from_seed
from .masks import RegionMask
from .preparation import PreparationParameters, PreparedExam, prepare_exam
from .progress import Part, Progress, Silent
from .ring import Ring, peritumoral_ring
from .timing import PhaseChoice, choose_early_late

# Above this share of lesion voxels without a positive pre-contrast signal, maps and habitats would rest on too little.
MAX_UNDEFINED_SHARE = 0.10
# A ring is clipped at skin and chest wall where at least this share of the lesion lies in the breast mask.
LESION_IN_BREAST = 0.5


@dataclass(frozen=True)
class ImagingParameters:
    """Every choice of the imaging half; algorithms.md names the source of each default.

    preparation: breast mask, bias field and motion; early, late: phase indices that override the timing rule;
    peak_search, wos_mode: see kinetics; ftv, lesion: the FTV rule and which of its parts to keep; habitats: the
    clustering; ring_mm: radius, ring_distance_from: see ring; clip_ring: leave out what lies outside the breast or
    body; neighbourhood: of the MSI matrix; fibroglandular: how parenchyma is told from fat; feature_regions: where
    features are drawn from, see there.
    """

    preparation: PreparationParameters = field(default_factory=PreparationParameters)
    early: int | None = None
    late: int | None = None
    peak_search: str = "all_post"
    wos_mode: str = "normalised"
    ftv: FtvParameters = field(default_factory=FtvParameters)
    lesion: LesionParameters = field(default_factory=LesionParameters)
    habitats: HabitatParameters = field(default_factory=HabitatParameters)
    ring_mm: float = 5.0
    ring_distance_from: str = "surface"
    clip_ring: bool = True
    neighbourhood: str = "in_plane_8"
    fibroglandular: FibroglandularParameters = field(default_factory=FibroglandularParameters)
    feature_regions: tuple[str, ...] = STANDARD_REGIONS

    def __post_init__(self) -> None:
        check_regions(self.feature_regions)


@dataclass(frozen=True)
class DrawnRegions:
    """What the user drew or pointed at, on the exam's grid.

    voi: where to look for the lesion; lesion: the lesion itself; seed_lps: a point (LPS mm) at the lesion; omit: never
    part of the FTV; added, removed: manual edits of a lesion that was found; other_lesions: kept out of the ring and of
    the background; breast: the breast, in place of the automatic mask.
    """

    voi: RegionMask | None = None
    lesion: RegionMask | None = None
    seed_lps: tuple[float, float, float] | None = None
    omit: RegionMask | None = None
    added: RegionMask | None = None
    removed: RegionMask | None = None
    other_lesions: RegionMask | None = None
    breast: RegionMask | None = None

    def named(self) -> list[tuple[str, RegionMask]]:
        """(role, region) of everything drawn."""
        names = {"voi": "VOI", "lesion": "lesion", "omit": "omit region", "added": "added region"}
        names |= {"removed": "removed region", "other_lesions": "other lesions", "breast": "breast mask"}
        return [(role, getattr(self, name)) for name, role in names.items() if getattr(self, name) is not None]


@dataclass(frozen=True)
class ImagingResult:
    """What the imaging half found; every array lies on the exam's grid. prepared: the exam that was measured;

    tissue: fibroglandular tissue without lesions and ring; background: its enhancement, the lesion's side first."""

    prepared: PreparedExam
    maps: KineticMaps
    lesion: Lesion
    habitats: Habitats
    ring: Ring
    interaction: Interaction
    curves: tuple[EnhancementCurve, ...]
    tissue: FibroglandularTissue
    background: tuple[BackgroundEnhancement, ...]
    nan_fractions: dict[str, float]
    parameters: ImagingParameters
    warnings: tuple[str, ...]

    @property
    def exam(self) -> DceExam:
        """The exam as measured: after bias field and motion correction, where they were asked for."""
        return self.prepared.exam

    @property
    def breast(self) -> BreastMask:
        """The breast, or what stands in for it."""
        return self.prepared.breast

    @property
    def reference(self) -> np.ndarray:
        """Where the signals that scale a phase are read: the breast or what stands in for it, (Z, Y, X) bool."""
        return self.prepared.breast.breast

    def regions(self) -> dict[str, np.ndarray]:
        """Region name to mask (Z, Y, X) bool of the regions asked for, in the order of the feature table."""
        habitats = {f"habitat{i}": self.habitats.labels == i for i in range(1, self.habitats.parameters.k + 1)}
        return feature_regions(
            self.parameters.feature_regions,
            self.lesion.mask,
            habitats,
            self.ring.mask,
            self.tissue,
            self.exam.geometry,
            self.breast,
        )


def analyze_imaging(
    exam: DceExam,
    parameters: ImagingParameters | None = None,
    voi: RegionMask | None = None,
    lesion: RegionMask | None = None,
    progress: Progress | None = None,
    regions: DrawnRegions | None = None,
    habitat_model: HabitatModel | None = None,
) -> ImagingResult:
    """Maps, lesion, habitats, ring, interaction and curves of one exam.

    The lesion is ``lesion`` as drawn, or the FTV part at a seed, or FTV parts inside ``voi``; one of them is needed.
    ``regions`` holds these and further regions together (``voi`` and ``lesion`` are short for the common ones). FTV is
    taken over the VOI, over the drawn lesion where there is no VOI, or over the part at the seed. habitat_model:
    centres fitted on a cohort. Raises InputError for whatever cannot be analyzed.
    """
    parameters = parameters or ImagingParameters()
    progress = progress or Silent()
    regions = regions or DrawnRegions(voi=voi, lesion=lesion)
    _check_regions(exam, regions)
    progress.step(0.0, "preparing the exam")
    prepared = prepare_exam(
        exam,
        parameters.preparation,
        regions.lesion,
        regions.voi,
        Part(progress, 0.0, 0.2),
        parameters.early,
        regions.breast,
        regions.seed_lps,
    )
    exam = prepared.exam
    progress.step(0.2, "kinetic maps")
    maps = compute_maps(exam, _choose_phases(exam, parameters), parameters.peak_search, parameters.wos_mode)
    progress.step(0.3, "lesion")
    found = _find_lesion(exam, maps, regions, parameters, Part(progress, 0.3, 0.4))
    _check_signal(exam, found)
    habitats = find_habitats(maps, found.mask, parameters.habitats, habitat_model, Part(progress, 0.4, 0.8))
    progress.step(0.8, "ring")
    ring = peritumoral_ring(
        found.mask,
        exam.geometry,
        parameters.ring_mm,
        _ring_limits(regions, prepared, found, parameters),
        distance_from=parameters.ring_distance_from,
    )
    interaction = spatial_interaction(
        habitats.labels,
        habitats.parameters.k,
        exam.geometry.voxel_volume_mm3,
        exam.slice_axis,
        parameters.neighbourhood,
    )
    tissue, background = _background(prepared, maps, found, ring, regions, parameters, Part(progress, 0.85, 0.95))
    named = {name: habitats.labels == i + 1 for i, name in enumerate(habitats.names)}
    curves = enhancement_curves(exam, {**named, "lesion": found.mask, "ring": ring.mask})
    nan_fractions = _nan_fractions(maps, found.mask)
    progress.step(1.0, "imaging done")
    return ImagingResult(
        prepared=prepared,
        maps=maps,
        lesion=found,
        habitats=habitats,
        ring=ring,
        interaction=interaction,
        curves=curves,
        tissue=tissue,
        background=background,
        nan_fractions=nan_fractions,
        parameters=parameters,
        warnings=tuple(_warnings(prepared, regions, found, habitats, ring, tissue, nan_fractions)),
    )


def find_lesion(
    exam: DceExam,
    regions: DrawnRegions,
    parameters: ImagingParameters | None = None,
    progress: Progress | None = None,
) -> Lesion:
    """The lesion alone, as ``analyze_imaging`` finds it, for a user to look at and correct first."""
    parameters, progress = parameters or ImagingParameters(), progress or Silent()
    _check_regions(exam, regions)
    progress.step(0.0, "preparing the exam")
    prepared = prepare_exam(
        exam,
        parameters.preparation,
        regions.lesion,
        regions.voi,
        Part(progress, 0.0, 0.5),
        parameters.early,
        regions.breast,
        regions.seed_lps,
    )
    progress.step(0.5, "kinetic maps")
    choice = _choose_phases(prepared.exam, parameters)
    maps = compute_maps(prepared.exam, choice, parameters.peak_search, parameters.wos_mode)
    progress.step(0.7, "lesion")
    found = _find_lesion(prepared.exam, maps, regions, parameters, Part(progress, 0.7, 1.0))
    progress.step(1.0, "lesion found")
    return found


def _check_regions(exam: DceExam, regions: DrawnRegions) -> None:
    if regions.voi is None and regions.lesion is None and regions.seed_lps is None:
        raise InputError(
            "Neither a VOI nor a lesion was given; draw a region around the lesion (--voi) or the lesion itself "
            "(--lesion), or point at it (--seed-point)."
        )
    if regions.lesion is not None and regions.seed_lps is not None:
        raise InputError("A drawn lesion and a seed point were given; leave one of them out.")
    for role, region in regions.named():
        if region.mask.shape != exam.geometry.shape:
            raise InputError(
                f"The {role} {region.source} has the array shape {region.mask.shape}, the exam {exam.geometry.shape}; "
                "bring it onto the exam's grid."
            )
        if not region.mask.any():
            raise InputError(f"The {role} {region.source} is empty; draw the region and save it again.")


def _choose_phases(exam: DceExam, parameters: ImagingParameters) -> PhaseChoice:
    return choose_early_late(
        exam.times_s,
        exam.timing.temporal_resolution_s,
        parameters.early,
        parameters.late,
        known=exam.timing.known,
    )


def _find_lesion(exam, maps, regions: DrawnRegions, parameters: ImagingParameters, progress: Progress) -> Lesion:
    pre = exam.signal[0]
    if regions.lesion is not None:
        _check_size(int(regions.lesion.mask.sum()), regions.lesion.source, parameters)
        ftv = functional_tumor_volume(pre, maps, regions.voi or regions.lesion, parameters.ftv, regions.omit)
        pe_first_post = first_post_enhancement(exam.signal)
        found = lesion_as_drawn(regions.lesion, ftv, pe_first_post, exam.geometry, parameters.ftv)
    elif regions.seed_lps is not None and regions.voi is None:
        found, _ = lesion_from_seed(
            pre, maps, regions.seed_lps, parameters.ftv, parameters.lesion, regions.omit, progress=progress
        )
    else:
        ftv = functional_tumor_volume(pre, maps, regions.voi, parameters.ftv, regions.omit)
        found = lesion_from_ftv(ftv, exam.geometry, regions.voi, parameters.ftv, parameters.lesion, regions.seed_lps)
    if regions.added is not None or regions.removed is not None:
        pe_first_post = first_post_enhancement(exam.signal)
        found = lesion_with_edits(found, exam.geometry, pe_first_post, parameters.ftv, regions.added, regions.removed)
    _check_size(found.n_voxels, "found by the FTV rule", parameters)
    return found


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


def _ring_limits(regions: DrawnRegions, prepared: PreparedExam, lesion: Lesion, parameters: ImagingParameters):
    limits = []
    if parameters.clip_ring and share_inside(prepared.breast, lesion.mask) >= LESION_IN_BREAST:
        limits = ring_allowed(prepared.breast)
    if regions.other_lesions is not None:
        limits.append(("other lesions", ~regions.other_lesions.mask))
    return limits


def _background(prepared: PreparedExam, maps, lesion: Lesion, ring: Ring, regions, parameters, progress: Progress):
    """Fibroglandular tissue without lesions and ring, and how it enhances at the early phase."""
    exam, breast = prepared.exam, prepared.breast
    exclude = lesion.mask | ring.mask
    if regions.other_lesions is not None:
        exclude |= regions.other_lesions.mask
    tissue = fibroglandular_tissue(exam.signal[0], exam.geometry, breast, exclude, parameters.fibroglandular, progress)
    return tissue, background_enhancement(maps.pe_early, tissue, lesion.mask, exam.geometry, breast, ring.mask)


def _nan_fractions(maps: KineticMaps, lesion: np.ndarray) -> dict[str, float]:
    return {name: float(np.mean(~np.isfinite(array[lesion]))) for name, array in maps.items()}


def _warnings(prepared: PreparedExam, regions: DrawnRegions, lesion, habitats, ring, tissue, nan_fractions):
    exam = prepared.exam
    yield from exam.timing.notes
    yield from prepared.warnings
    if not exam.timing.known:
        yield (
            "The times of the phases are not known: slopes per minute are missing, early and late are the first and "
            "last post-contrast phase unless chosen."
        )
    for name, region in regions.named():
        if name != "lesion":  # its notes are the lesion's own
            yield from region.notes
    yield from lesion.notes
    outside = 1 - share_inside(prepared.breast, lesion.mask)
    if outside > 1 - LESION_IN_BREAST:
        yield (
            f"{100 * outside:.0f} % of the lesion lie outside the breast mask; the ring is therefore not clipped at "
            "skin and chest wall. Check the breast mask by eye."
        )
    if not habitats.comparable:
        yield (
            f"Habitats were found within this lesion alone ({habitats.mode}): all labels always result, and their "
            "volumes are not comparable between patients."
        )
    if not habitats.monotone:
        yield ("Not all kinetic maps rise from the poor to the high habitat; the order follows their mean z-score.")
    yield from habitats.notes
    if habitats.n_filled:
        yield f"{habitats.n_filled} lesion voxels with an undefined map took the habitat of their nearest neighbor."
    undefined = {
        n: share for n, share in nan_fractions.items() if share > 0 and (exam.timing.known or n not in TIME_MAPS)
    }
    if undefined:
        worst = max(undefined, key=undefined.get)
        yield f"{worst.upper()} is undefined in {100 * undefined[worst]:.2g} % of the lesion."
    yield from ring.notes
    if tissue.reason is not None and prepared.breast.made_by != "body":
        yield f"Background enhancement is missing: {tissue.reason}."
    yield from tissue.notes
