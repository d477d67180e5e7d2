"""The slow drift of signal over the coil's reach (bias field): estimated once, taken out of every phase alike.

N4 (Tustison et al., IEEE Trans Med Imaging 2010;29:1310-20, SimpleITK) on the pre-contrast image. One field for all
phases leaves percent enhancement, SER and normalised slopes as they are; a field of its own for every phase would take
part of the enhancement for coil drift and is refused. The field stays with the scanner, not with the tissue: correct
first, then register.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from .background_jobs import Stopped, Tick, run_jobs
from .body import body_mask
from .errors import InputError
from .exam import DceExam
from .geometry import Geometry
from .progress import Progress, Silent
from .registration_fit import silent_stop, single_thread
from .volume_io import to_sitk

# N4 takes logarithms: signals below this share of the mask's median are raised to it.
LOWEST_SHARE_OF_MEDIAN = 1e-3
# Along an axis the image is never shrunk to fewer voxels than this.
MIN_AXIS_VOXELS = 8
MIN_MASK_VOXELS = 100


@dataclass(frozen=True)
class BiasFieldParameters:
    """How the bias field is estimated.

    shrink: factor by which the image is thinned in-plane, >= 1; along a coarser axis the factor is smaller, so that the
    thinned voxels are about cubic; levels: number of fitting levels, 1..6, each with twice the former's control points;
    iterations: most per level, >= 1; control_points: along every axis at the first level, >= 4; convergence: change of
    the field below which a level ends, > 0; histogram_bins: >= 16; fwhm: assumed width of the field's histogram in log
    signal, > 0; noise: of the Wiener filter, > 0.
    Raises InputError for values outside these ranges.
    """

    shrink: int = 4
    levels: int = 4
    iterations: int = 50
    control_points: int = 4
    convergence: float = 1e-3
    histogram_bins: int = 200
    fwhm: float = 0.15
    noise: float = 0.01

    def __post_init__(self) -> None:
        least = {"shrink": 1, "levels": 1, "iterations": 1, "control_points": 4, "histogram_bins": 16}
        for name, low in least.items():
            _check(name, getattr(self, name), getattr(self, name) >= low, f"{low} or more")
        _check("levels", self.levels, self.levels <= 6, "6 or less")
        for name in ("convergence", "fwhm", "noise"):
            _check(name, getattr(self, name), getattr(self, name) > 0, "above 0")


def estimate_bias_field(
    pre: np.ndarray,
    geometry: Geometry,
    mask: np.ndarray | None = None,
    parameters: BiasFieldParameters | None = None,
    progress: Progress | None = None,
) -> np.ndarray:
    """The bias field (Z, Y, X) float32 of the pre-contrast image ``pre``: dimensionless, > 0, mean 1 in the mask.

    mask: where tissue is compared (the breast), bool, None = the body; voxels without positive signal do not count.
    Away from the mask the field is an extrapolation. Equal input gives equal bits whatever the number of threads.
    Raises InputError where image and mask do not fit or hold too little, and whatever ``progress.step`` raises.
    """
    parameters = parameters or BiasFieldParameters()
    progress = progress or Silent()
    inside = _usable_mask(pre, geometry, mask)
    median = float(np.median(pre[inside]))
    if np.ptp(pre[inside]) <= 1e-6 * median:
        return np.ones(geometry.shape, dtype=np.float32)
    image = to_sitk(np.maximum(pre, LOWEST_SHARE_OF_MEDIAN * median).astype(np.float32), geometry)
    with single_thread(), silent_stop():
        [field] = run_jobs(
            [lambda tick: _n4(image, to_sitk(inside, geometry), parameters, tick)], 1, progress, "bias field"
        )
    field /= field[inside].mean(dtype=np.float64)
    if not np.isfinite(field).all() or field.min() <= 0:
        raise InputError("The bias field could not be computed in this image; leave the bias field correction off.")
    progress.step(1.0, "bias field")
    return field


def correct_bias(exam: DceExam, field: np.ndarray) -> DceExam:
    """The exam with every phase divided by one ``field`` (Z, Y, X), as from ``estimate_bias_field``.

    The signal keeps its precision: in float32 every value is rounded once more, which changes a ratio of two signals
    by at most 1.2e-7 of it.
    Raises InputError for a field of another shape (one per phase included) and for values that are not above 0.
    """
    if field.ndim == 4:
        raise InputError(
            "A bias field per phase was given; it would change the enhancement curves. Give the one field of the "
            "pre-contrast image."
        )
    if field.shape != exam.geometry.shape:
        raise InputError(
            f"The bias field has the array shape {field.shape}, the exam {exam.geometry.shape}; estimate it here."
        )
    if not (np.isfinite(field).all() and field.min() > 0):
        raise InputError("The bias field holds values that are not above 0; estimate it again.")
    signal = np.empty_like(exam.signal)
    for phase in range(exam.n_phases):
        np.divide(exam.signal[phase], field, out=signal[phase], casting="same_kind")
    return dataclasses.replace(exam, signal=signal)


def bias_field_summary(field: np.ndarray, mask: np.ndarray, parameters: BiasFieldParameters) -> dict:
    """What a result records of the correction: the field's spread in the mask and every parameter."""
    values = field[mask]
    low, high = np.percentile(values, (1, 99))
    return {
        "method": "N4 on the pre-contrast phase, one field for all phases",
        "field_p1": round(float(low), 4),
        "field_p99": round(float(high), 4),
        "field_coefficient_of_variation": round(float(values.std() / values.mean()), 4),
        "parameters": dataclasses.asdict(parameters),
    }


def _usable_mask(pre: np.ndarray, geometry: Geometry, mask: np.ndarray | None) -> np.ndarray:
    for array, name in ((pre, "pre-contrast image"), (mask, "mask")):
        if array is not None and array.shape != geometry.shape:
            raise InputError(
                f"The {name} for the bias field has the array shape {array.shape}, the exam {geometry.shape}; bring it "
                "onto the exam's grid."
            )
    if not np.isfinite(pre).all():
        raise InputError("The pre-contrast image holds values that are not numbers; export it again.")
    inside = (body_mask(pre) if mask is None else np.asarray(mask, dtype=bool)) & (pre > 0)
    if inside.sum() < MIN_MASK_VOXELS:
        raise InputError(
            f"The mask for the bias field has {int(inside.sum())} voxels with signal, {MIN_MASK_VOXELS} are needed; "
            "check the mask or leave the bias field correction off."
        )
    return inside


def _n4(image: sitk.Image, mask: sitk.Image, parameters: BiasFieldParameters, tick: Tick) -> np.ndarray:
    """exp of N4's log field, on the whole grid of ``image``."""
    tick(0.0)
    factors = _shrink_factors(image, mask, parameters.shrink)
    filter_ = sitk.N4BiasFieldCorrectionImageFilter()
    filter_.SetMaximumNumberOfIterations([parameters.iterations] * parameters.levels)
    filter_.SetNumberOfControlPoints([parameters.control_points] * 3)
    filter_.SetConvergenceThreshold(parameters.convergence)
    filter_.SetNumberOfHistogramBins(parameters.histogram_bins)
    filter_.SetBiasFieldFullWidthAtHalfMaximum(parameters.fwhm)
    filter_.SetWienerFilterNoise(parameters.noise)
    filter_.SetMaskLabel(1)
    seen, stopped = [0], []

    def at_iteration() -> None:
        seen[0] += 1
        try:
            tick(min(1.0, seen[0] / (parameters.iterations * parameters.levels)))
        except Stopped as error:
            stopped.append(error)
            raise

    filter_.AddCommand(sitk.sitkIterationEvent, at_iteration)
    try:
        filter_.Execute(sitk.Shrink(image, factors), sitk.Shrink(mask, factors))
    except RuntimeError:
        if stopped:
            raise stopped[0] from None
        raise
    tick(1.0)
    return np.exp(sitk.GetArrayFromImage(filter_.GetLogBiasFieldAsImage(image)), dtype=np.float32)


def _shrink_factors(image: sitk.Image, mask: sitk.Image, shrink: int) -> list[int]:
    """(x, y, z) factors that make about cubic voxels and leave both axes and mask enough of them."""
    spacing = np.array(image.GetSpacing())
    factors = np.maximum(1, np.round(shrink * spacing.min() / spacing)).astype(int)
    factors = np.minimum(factors, np.maximum(1, np.array(image.GetSize()) // MIN_AXIS_VOXELS))
    while max(factors) > 1:
        thinned = sitk.GetArrayViewFromImage(sitk.Shrink(mask, [int(f) for f in factors]))
        if np.count_nonzero(thinned) >= MIN_MASK_VOXELS:
            break
        factors = np.maximum(1, factors - 1)
    return [int(f) for f in factors]


def _check(name: str, value: float, good: bool, wanted: str) -> None:
    if not (good and np.isfinite(value)):
        raise InputError(f"The bias field parameter {name} is {value}; give {wanted}.")
