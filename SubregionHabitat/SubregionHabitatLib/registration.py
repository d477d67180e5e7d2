"""Motion between the phases of an exam, undone: every phase is brought onto the one the lesion was drawn on.

What is measured is measured in the breast mask only, the lesion left out: where tissue truly enhances, brightness says
little about motion, and letting it count lets a deformation shrink or swell the lesion (Rohlfing et al., IEEE Trans Med
Imaging 2003;22:730-41). The lesion moves with its surroundings. Beyond the mask the displacement fades to none.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from .background_jobs import Tick, run_jobs
from .body import body_mask
from .errors import InputError
from .exam import DceExam
from .geometry import Geometry, bounding_box
from .progress import Part, Progress, Silent
from .registration_apply import INTERPOLATION_ORDER, apply_transform, jacobian_range, length_statistics
from .registration_fit import (
    STAGES,
    Fit,
    FitParameters,
    StageFit,
    fit_phase,
    silent_stop,
    single_thread,
)
from .registration_region import MIN_AXIS_VOXELS, MIN_MASK_VOXELS, MotionRegion, grow, motion_region
from .timing import choose_early_late
from .volume_io import to_sitk

MODES = {"none": (), "rigid": STAGES[:1], "bspline": STAGES}
# How the work is shared between fitting and resampling in the progress shown.
_FIT_SHARE = 0.85


@dataclass(frozen=True)
class RegistrationParameters:
    """Every choice of the registration; all inferred ones are recorded with the result.

    mode: "none", "rigid" (rigid alone) or "bspline" (rigid, affine, B-spline); fixed_phase: index of the phase the
    others are brought onto, None = the early post-contrast phase.
    grid_spacing_mm: of the B-spline's control points, > 0; histogram_bins: >= 8; samples: mask voxels drawn per level,
    >= 1000; linear_iterations, bspline_iterations: most per level, >= 1; smoothing_mm: of both images at the finest
    level, > 0; working_voxel_mm: images with smaller voxels are averaged up to this size for the fit (not for the
    result), > 0; min_metric_gain: share by which a stage must raise mutual information to be kept, >= 0.
    mask_margin_mm: the fit looks this far beyond the mask, so that it sees the skin, >= 0; lesion_margin_mm: left out
    around the lesion, >= 0; fade_mm: beyond the margin the displacement falls to 0 over this distance, > 0.
    interpolation: "bspline" (cubic) or "linear", of the result; jacobian_range: of the change of volume in the lesion
    outside of which a warning is given; doubtful_mm: a displacement in the mask above which a warning is given.
    seed: of the sampling, >= 0; workers: phases fitted at a time, >= 1, without influence on the result.
    Raises InputError for values outside these ranges.
    """

    mode: str = "none"
    fixed_phase: int | None = None
    grid_spacing_mm: float = 30.0
    histogram_bins: int = 32
    samples: int = 6_000
    linear_iterations: int = 60
    bspline_iterations: int = 7
    smoothing_mm: float = 1.0
    working_voxel_mm: float = 1.5
    min_metric_gain: float = 0.02
    mask_margin_mm: float = 5.0
    lesion_margin_mm: float = 2.0
    fade_mm: float = 20.0
    interpolation: str = "bspline"
    jacobian_range: tuple[float, float] = (0.8, 1.25)
    doubtful_mm: float = 20.0
    seed: int = 0
    workers: int = 2

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise InputError(f"The registration mode {self.mode!r} is unknown; choose one of {', '.join(MODES)}.")
        if self.interpolation not in INTERPOLATION_ORDER:
            raise InputError(
                f"The interpolation {self.interpolation!r} is unknown; choose one of {', '.join(INTERPOLATION_ORDER)}."
            )
        at_least = {
            "histogram_bins": 8,
            "samples": 1000,
            "linear_iterations": 1,
            "bspline_iterations": 1,
            "min_metric_gain": 0,
            "mask_margin_mm": 0,
            "lesion_margin_mm": 0,
            "seed": 0,
            "workers": 1,
        }
        for name, low in at_least.items():
            _check(name, getattr(self, name), getattr(self, name) >= low, f"{low} or more")
        for name in ("grid_spacing_mm", "smoothing_mm", "working_voxel_mm", "fade_mm", "doubtful_mm"):
            _check(name, getattr(self, name), getattr(self, name) > 0, "above 0")
        low, high = self.jacobian_range
        _check("jacobian_range", self.jacobian_range, 0 < low <= 1 <= high, "a range around 1")

    def fit_parameters(self) -> FitParameters:
        shared = {f.name for f in dataclasses.fields(FitParameters)} - {"stages"}
        return FitParameters(stages=MODES[self.mode], **{name: getattr(self, name) for name in shared})


@dataclass(frozen=True)
class PhaseMotion:
    """What was found for one phase.

    transform: takes a point of the fixed phase to its place in this phase (LPS mm, valid in the mask), None where the
    phase was left as it is; stages: what each stage gained; displacement_mm: mean, median, 95th percentile and largest
    displacement in the mask; jacobian_lesion: smallest and largest change of volume in the lesion, None without one;
    outside_fraction: share of mask voxels whose place in this phase lies outside the image and which keep their
    signal.
    """

    phase: int
    transform: sitk.Transform | None = dataclasses.field(compare=False)
    stages: tuple[StageFit, ...]
    displacement_mm: dict[str, float]
    jacobian_lesion: tuple[float, float] | None
    outside_fraction: float

    @property
    def moved(self) -> bool:
        return self.transform is not None

    def to_json(self) -> dict:
        jacobian = self.jacobian_lesion
        return {
            "phase": self.phase,
            "moved": self.moved,
            "stages": [
                {
                    "name": stage.name,
                    "mutual_information_before": round(stage.metric_before, 4),
                    "mutual_information_after": None if stage.metric_after is None else round(stage.metric_after, 4),
                    "kept": stage.kept,
                    "reason_dropped": stage.reason_dropped or None,
                }
                for stage in self.stages
            ],
            "displacement_mm": {name: round(value, 3) for name, value in self.displacement_mm.items()},
            "jacobian_lesion": None if jacobian is None else [round(v, 4) for v in jacobian],
            "outside_fraction": round(self.outside_fraction, 5),
        }


@dataclass(frozen=True)
class RegistrationResult:
    """exam: all phases on the fixed phase's anatomy, on the same grid; phases: every phase but the fixed one, none in

    mode "none"; mask_source: "given", "body" or "none" (not looked at)."""

    exam: DceExam
    fixed_phase: int
    mode: str
    phases: tuple[PhaseMotion, ...]
    mask_source: str
    parameters: RegistrationParameters
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict:
        parameters = dataclasses.asdict(self.parameters)
        for name in ("mode", "fixed_phase", "workers"):
            parameters.pop(name)
        return {
            "mode": self.mode,
            "fixed_phase": self.fixed_phase,
            "mask": self.mask_source,
            "phases": [phase.to_json() for phase in self.phases],
            "parameters": parameters,
        }


def register_phases(
    exam: DceExam,
    parameters: RegistrationParameters | None = None,
    mask: np.ndarray | None = None,
    lesion: np.ndarray | None = None,
    progress: Progress | None = None,
) -> RegistrationResult:
    """Bring every phase onto the fixed one.

    mask: the breast (Z, Y, X) bool in which motion is measured, None = the body in the fixed phase; lesion: (Z, Y, X)
    bool, enhancing tissue that is not to drive the fit (a drawn lesion, or ``enhancing_voxels`` of a VOI).
    A phase that does not fit better by ``min_metric_gain`` after a stage is left as it is to the last bit, and so are
    all voxels beyond the fade and those whose place lies outside the image. Equal input gives equal bits whatever the
    number of threads.
    Raises InputError when masks do not fit the exam or there is too little to register, and whatever
    ``progress.step`` raises, within about a second.
    """
    parameters = parameters or RegistrationParameters()
    progress = progress or Silent()
    fixed = _fixed_phase(exam, parameters.fixed_phase)
    if parameters.mode == "none":
        return RegistrationResult(exam, fixed, "none", (), "none", parameters)
    mask, lesion = _checked(exam, mask, "breast mask"), _checked(exam, lesion, "lesion")
    _check_size(exam)
    progress.step(0.0, "region for registration")
    region = _region(exam, fixed, mask, lesion, parameters)
    moving = [phase for phase in range(exam.n_phases) if phase != fixed]
    fits = _fit_all(exam, fixed, moving, region, parameters, Part(progress, 0.02, _FIT_SHARE))
    signal = np.array(exam.signal)
    found = []
    for index, (phase, fit) in enumerate(zip(moving, fits, strict=True)):
        start, stop = (_FIT_SHARE + (1 - _FIT_SHARE) * (index + k) / len(moving) for k in (0, 1))
        found.append(_move(exam, phase, fit, region, lesion, signal[phase], parameters, Part(progress, start, stop)))
    progress.step(1.0, "phases registered")
    return RegistrationResult(
        exam=dataclasses.replace(exam, signal=signal),
        fixed_phase=fixed,
        mode=parameters.mode,
        phases=tuple(found),
        mask_source="body" if mask is None else "given",
        parameters=parameters,
        warnings=tuple(_warnings(found, mask, lesion, parameters)),
    )


def enhancing_voxels(
    exam: DceExam, region: np.ndarray, fixed_phase: int | None = None, threshold_percent: float = 50.0
) -> np.ndarray:
    """The voxels of ``region`` (Z, Y, X) that enhance by ``threshold_percent`` or more between the pre-contrast and the

    fixed phase (None = early), both smoothed by one voxel: what to pass as ``lesion`` where only a VOI is drawn.
    """
    fixed = _fixed_phase(exam, fixed_phase)
    found = np.zeros(region.shape, dtype=bool)
    if region.any():
        box = bounding_box(region)
        pre, post = (ndimage.gaussian_filter(exam.signal[t][box].astype(np.float32), 1.0) for t in (0, fixed))
        found[box] = region[box] & (pre > 0) & (post - pre >= threshold_percent / 100 * pre)
    return found


def _fixed_phase(exam: DceExam, wanted: int | None) -> int:
    if wanted is None:
        resolution = exam.timing.temporal_resolution_s
        return choose_early_late(exam.times_s, resolution).early if exam.n_phases > 2 else 1
    if not 0 <= wanted < exam.n_phases:
        raise InputError(f"The fixed phase {wanted} does not exist; choose a phase from 0 to {exam.n_phases - 1}.")
    return wanted


def _checked(exam: DceExam, region: np.ndarray | None, name: str) -> np.ndarray | None:
    """The region as bool, None where it is absent or empty."""
    if region is None:
        return None
    if region.shape != exam.geometry.shape:
        raise InputError(
            f"The {name} for registration has the array shape {region.shape}, the exam {exam.geometry.shape}; bring it "
            "onto the exam's grid."
        )
    if not region.any() and name == "lesion":
        return None
    return np.asarray(region, dtype=bool)


def _check_size(exam: DceExam) -> None:
    if min(exam.geometry.shape) < MIN_AXIS_VOXELS:
        raise InputError(
            f"The exam has {min(exam.geometry.shape)} voxels along one axis; registration needs at least "
            f"{MIN_AXIS_VOXELS}. Leave registration off."
        )


def _region(exam, fixed, mask, lesion, parameters) -> MotionRegion:
    whole = body_mask(exam.signal[fixed]) if mask is None else mask
    region = motion_region(
        whole, lesion, exam.geometry, parameters.mask_margin_mm, parameters.lesion_margin_mm, parameters.fade_mm
    )
    if not np.isfinite(exam.signal[(slice(None), *region.outer)]).all():
        raise InputError("The phases hold values that are not numbers; export them again before registration.")
    return region


def _fit_all(exam, fixed, moving, region, parameters, progress: Progress) -> list[Fit]:
    geometry = exam.geometry
    source = grow(region.inner, parameters.doubtful_mm, geometry)
    factors = [max(1, int(parameters.working_voxel_mm / s + 1e-6)) for s in geometry.spacing_mm]
    mask = _working(region.metric.astype(np.float32), geometry.crop(region.inner), factors) >= 0.5
    if sitk.GetArrayViewFromImage(mask).sum() < MIN_MASK_VOXELS:
        raise InputError(
            "Too little of the breast lies outside the lesion to register the phases; check both masks or leave "
            "registration off."
        )
    fixed_image = _working(exam.signal[fixed][region.inner], geometry.crop(region.inner), factors)
    wanted = parameters.fit_parameters()

    def job_of(phase: int):
        def job(tick: Tick) -> Fit:
            tick(0.0)
            moving_image = _working(exam.signal[phase][source], geometry.crop(source), factors)
            return fit_phase(fixed_image, moving_image, mask, wanted, tick)

        return job

    with single_thread(), silent_stop():
        return run_jobs([job_of(phase) for phase in moving], parameters.workers, progress, "registering phases")


def _working(array: np.ndarray, geometry: Geometry, factors: list[int]) -> sitk.Image:
    """The image averaged over blocks of ``factors`` (x, y, z) voxels, but never to fewer than MIN_AXIS_VOXELS."""
    image = to_sitk(array.astype(np.float32), geometry)
    usable = [min(f, n // MIN_AXIS_VOXELS) for f, n in zip(factors, image.GetSize(), strict=True)]
    return sitk.BinShrink(image, usable) if max(usable) > 1 else image


def _move(exam, phase, fit: Fit, region, lesion, out, parameters, progress: Progress) -> PhaseMotion:
    """Resample one phase into ``out`` (changed in place) and measure what that did."""
    if fit.transform is None:
        still = length_statistics(np.zeros(1))
        return PhaseMotion(phase, None, fit.stages, still, None if lesion is None else (1.0, 1.0), 0.0)
    applied = apply_transform(
        exam.signal[phase],
        fit.transform,
        exam.geometry,
        region,
        parameters.interpolation,
        parameters.doubtful_mm,
        out,
        progress,
    )
    jacobian = None if lesion is None else jacobian_range(fit.transform, exam.geometry, lesion, region.inner)
    return PhaseMotion(phase, fit.transform, fit.stages, applied.displacement_mm, jacobian, applied.outside_fraction)


def _warnings(found: list[PhaseMotion], mask, lesion, parameters: RegistrationParameters) -> Iterator[str]:
    if mask is None:
        yield "Phases were registered over the whole body because no breast mask was given; breathing may count."
    if lesion is None:
        yield (
            "Phases were registered without a lesion to leave out, so its enhancement may have pulled on the "
            "deformation, and the change of volume in it is not known."
        )
    low, high = parameters.jacobian_range
    for motion in found:
        if motion.jacobian_lesion and not (low <= motion.jacobian_lesion[0] and motion.jacobian_lesion[1] <= high):
            smallest, largest = motion.jacobian_lesion
            yield (
                f"Registration changes volumes in the lesion by factors of {smallest:.2f} to {largest:.2f} in phase "
                f"{motion.phase} (accepted: {low:g} to {high:g}); compare with the unregistered result."
            )
        if motion.displacement_mm["max"] > parameters.doubtful_mm:
            yield (
                f"Registration moves phase {motion.phase} by up to {motion.displacement_mm['max']:.0f} mm, more than a "
                "breast is likely to move; check it by eye."
            )
        if motion.outside_fraction > 0:
            yield (
                f"{100 * motion.outside_fraction:.2g} % of the breast has moved out of the image in phase "
                f"{motion.phase} and keeps its unregistered signal."
            )
        if any(stage.metric_after is None for stage in motion.stages):
            yield f"Phase {motion.phase} could not be registered in full: {_first_failure(motion)}."


def _first_failure(motion: PhaseMotion) -> str:
    return next(f"{s.name}, {s.reason_dropped}" for s in motion.stages if s.metric_after is None)


def _check(name: str, value: object, good: bool, wanted: str) -> None:
    if not (good and np.all(np.isfinite(value))):
        raise InputError(f"The registration parameter {name} is {value}; give {wanted}.")
