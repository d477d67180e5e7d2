"""One phase fitted to another: rigid, affine, then B-spline, by Mattes mutual information (SimpleITK).

Rueckert et al., IEEE Trans Med Imaging 1999;18:712-21 (affine, then free-form deformation, by mutual information),
with the joint histogram of Mattes et al., IEEE Trans Med Imaging 2003;22:120-8. A stage counts only where it raises
mutual information by more than noise and interpolation alone do; otherwise the phase is left as it is.

Equal input and seed give equal bits only where every filter inside runs on one thread: with two, sums are taken in an
order that varies (seen: the last digits of the B-spline's parameters). ``single_thread`` sees to that; several phases
can still be fitted at the same time, each on a thread of its own.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from .background_jobs import Stopped
from .displacement import displacement_field, jacobian_determinant
from .volume_io import geometry_of

STAGES = ("rigid", "affine", "bspline")
# The metric that decides about a stage is taken over this many voxels at most, other ones than those fitted to.
JUDGED_VOXELS = 200_000


@dataclass(frozen=True)
class FitParameters:
    """How a phase is fitted.

    stages: of STAGES, in this order; grid_spacing_mm: wanted distance of the B-spline's control points at its second
    level (the first has twice that); histogram_bins: of Mattes' joint histogram, >= 8; samples: voxels of the mask
    drawn per stage and level; smoothing_mm: Gaussian sigma at the last level; linear_iterations, bspline_iterations:
    most per level; min_metric_gain: a stage is kept only where it raises mutual information by more than this share;
    seed: of the sampling, >= 0.
    """

    stages: tuple[str, ...] = STAGES
    grid_spacing_mm: float = 30.0
    histogram_bins: int = 32
    samples: int = 6_000
    smoothing_mm: float = 1.0
    linear_iterations: int = 60
    bspline_iterations: int = 7
    min_metric_gain: float = 0.02
    seed: int = 0


@dataclass(frozen=True)
class StageFit:
    """One stage: mutual information (nats, higher is better) before and after, and why it was not kept ("" = kept)."""

    name: str
    metric_before: float
    metric_after: float | None
    reason_dropped: str = ""

    @property
    def kept(self) -> bool:
        return not self.reason_dropped


@dataclass(frozen=True)
class Fit:
    """transform: takes a point of the fixed phase to its place in the moving phase, LPS mm; None = left as it is."""

    transform: sitk.Transform | None
    stages: tuple[StageFit, ...]


def fit_phase(
    fixed: sitk.Image,
    moving: sitk.Image,
    metric_mask: sitk.Image,
    parameters: FitParameters,
    tick: Callable[[float], None],
) -> Fit:
    """Fit ``moving`` to ``fixed`` over the non-zero voxels of ``metric_mask``, which lies on the grid of ``fixed``.

    Images are float32 with at least four voxels along every axis (smoothing needs them); the B-spline covers ``fixed``.
    tick(share of the work done) is called at every iteration and may raise ``Stopped``. Where the images cannot be
    compared (for example one is constant) nothing is fitted and the stage says so.
    """
    problem = _Problem(fixed, moving, metric_mask, parameters)
    kept: tuple[sitk.Transform, ...] = ()
    stages: list[StageFit] = []
    best = problem.metric(None)
    if best is None:
        return Fit(None, (StageFit(parameters.stages[0], 0.0, None, "the two phases cannot be compared in the mask"),))
    for index, name in enumerate(parameters.stages):
        share = 1 / len(parameters.stages)
        candidate = problem.fit(name, kept, _StageTick(tick, index * share, share))
        value = problem.metric(candidate) if candidate else None
        reason = _reason_to_drop(problem, name, candidate, best, value, parameters.min_metric_gain)
        stages.append(StageFit(name, best, value, reason))
        if not reason:
            kept, best = candidate, value
        tick((index + 1) * share)
    return Fit(_composite(kept), tuple(stages))


def _reason_to_drop(problem: _Problem, name: str, candidate, before: float, after: float | None, margin: float) -> str:
    if after is None:
        return "the optimizer found no overlap"
    if after - before <= margin * abs(before):
        return "mutual information did not rise by more than the margin"
    if name == "bspline" and problem.folds(candidate):
        return "the deformation folds inside the mask"
    return ""


class _StageTick:
    """Iterations of one stage turned into shares of the whole fit."""

    def __init__(self, tick: Callable[[float], None], start: float, length: float) -> None:
        self._tick, self._start, self._length, self._count = tick, start, length, 0

    def __call__(self, expected: int) -> None:
        self._count += 1
        self._tick(self._start + self._length * min(1.0, self._count / expected))


class _Problem:
    """The two images of a fit with their mask, and the three kinds of stages."""

    def __init__(self, fixed: sitk.Image, moving: sitk.Image, mask: sitk.Image, parameters: FitParameters) -> None:
        self._fixed, self._moving, self._mask, self._p = fixed, moving, mask, parameters
        self._inside = sitk.GetArrayFromImage(mask) != 0
        self._n_inside = int(self._inside.sum())
        middle = np.argwhere(self._inside).mean(axis=0)[::-1]
        self._center = fixed.TransformContinuousIndexToPhysicalPoint([float(v) for v in middle])
        sigma = parameters.smoothing_mm
        # Interpolation smooths noise, and smoother noise alone changes mutual information; smoothing both images
        # first leaves little of that.
        self._smooth = [sitk.SmoothingRecursiveGaussian(image, sigma) for image in (fixed, moving)]

    def metric(self, kept: tuple[sitk.Transform, ...] | None) -> float | None:
        """Mutual information in the mask, None where it cannot be computed."""
        method = self._method()
        if self._n_inside <= JUDGED_VOXELS:
            method.SetMetricSamplingStrategy(method.NONE)
        else:
            method.SetMetricSamplingStrategy(method.RANDOM)
            method.SetMetricSamplingPercentage(JUDGED_VOXELS / self._n_inside, self._p.seed + 2)
        method.SetInitialTransform(_composite(kept) or sitk.TranslationTransform(3))
        try:
            value = -float(method.MetricEvaluate(*self._smooth))
        except RuntimeError:
            return None
        return value if np.isfinite(value) else None

    def fit(self, stage: str, kept: tuple[sitk.Transform, ...], tick: _StageTick) -> tuple[sitk.Transform, ...]:
        """The transforms after this stage; empty where SimpleITK gave up."""
        run = {"rigid": self._rigid, "affine": self._affine, "bspline": self._bspline}[stage]
        try:
            return run(kept, tick)
        except RuntimeError:
            return ()

    def folds(self, kept: tuple[sitk.Transform, ...]) -> bool:
        geometry = geometry_of(self._fixed)
        field = displacement_field(_composite(kept), geometry)
        return bool((jacobian_determinant(field, geometry)[self._inside] <= 0).any())

    def _rigid(self, kept, tick: _StageTick) -> tuple[sitk.Transform, ...]:
        start = sitk.Euler3DTransform()
        start.SetCenter(self._center)
        return (self._linear(start, tick),)

    def _affine(self, kept, tick: _StageTick) -> tuple[sitk.Transform, ...]:
        start = sitk.AffineTransform(3)
        start.SetCenter(self._center)
        if kept:
            start.SetMatrix(kept[0].GetMatrix())
            start.SetTranslation(kept[0].GetTranslation())
        return (self._linear(start, tick),)

    def _bspline(self, kept, tick: _StageTick) -> tuple[sitk.Transform, ...]:
        extent = np.array(self._fixed.GetSize()) * np.array(self._fixed.GetSpacing())
        mesh = [max(1, round(float(side) / (2 * self._p.grid_spacing_mm))) for side in extent]
        spline = sitk.BSplineTransformInitializer(self._fixed, mesh, 3)
        method = self._method()
        if kept:
            method.SetMovingInitialTransform(_composite(kept))
        method.SetInitialTransformAsBSpline(spline, inPlace=True, scaleFactors=[1, 2])
        self._pyramid(method, (2, 1))
        method.SetOptimizerAsLBFGS2(
            numberOfIterations=self._p.bspline_iterations, hessianApproximateAccuracy=8, solutionAccuracy=1e-5
        )
        self._run(method, tick, 2 * self._p.bspline_iterations)
        return (*kept, spline)

    def _linear(self, start: sitk.Transform, tick: _StageTick) -> sitk.Transform:
        method = self._method()
        method.SetInitialTransform(start, inPlace=True)
        self._pyramid(method, (4, 2, 1))
        method.SetOptimizerAsRegularStepGradientDescent(
            learningRate=1.0,
            minStep=1e-3,
            numberOfIterations=self._p.linear_iterations,
            relaxationFactor=0.6,
            gradientMagnitudeTolerance=1e-8,
        )
        method.SetOptimizerScalesFromPhysicalShift()
        self._run(method, tick, 3 * self._p.linear_iterations)
        return start

    def _method(self) -> sitk.ImageRegistrationMethod:
        method = sitk.ImageRegistrationMethod()
        method.SetNumberOfThreads(1)
        method.SetMetricAsMattesMutualInformation(self._p.histogram_bins)
        method.SetMetricFixedMask(self._mask)
        method.SetInterpolator(sitk.sitkLinear)
        return method

    def _pyramid(self, method: sitk.ImageRegistrationMethod, factors: tuple[int, ...]) -> None:
        method.SetShrinkFactorsPerLevel(list(factors))
        method.SetSmoothingSigmasPerLevel([factor * self._p.smoothing_mm for factor in factors])
        method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
        method.SetMetricSamplingStrategy(method.RANDOM)
        # Samples are drawn over the whole grid and kept where they fall into the mask.
        shares = [min(1.0, self._p.samples * factor**3 / self._n_inside) for factor in factors]
        # SimpleITK takes a seed of 0 for "use the clock".
        method.SetMetricSamplingPercentagePerLevel(shares, self._p.seed + 1)

    def _run(self, method: sitk.ImageRegistrationMethod, tick: _StageTick, expected: int) -> None:
        stopped: list[Stopped] = []

        def at_iteration() -> None:
            try:
                tick(expected)
            except Stopped as error:
                # LBFGS can only be stopped by an exception, which SimpleITK turns into a RuntimeError.
                stopped.append(error)
                raise

        method.AddCommand(sitk.sitkIterationEvent, at_iteration)
        try:
            method.Execute(self._fixed, self._moving)
        except RuntimeError:
            if stopped:
                raise stopped[0] from None
            raise


def _composite(kept: tuple[sitk.Transform, ...] | None) -> sitk.Transform | None:
    """One transform that applies the last of ``kept`` first, as SimpleITK does with an initial transform."""
    return sitk.CompositeTransform(list(kept)) if kept else None


@contextlib.contextmanager
def single_thread() -> Iterator[None]:
    """One thread per SimpleITK filter inside, the former number again outside; see the module's first lines."""
    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)


@contextlib.contextmanager
def silent_stop() -> Iterator[None]:
    """SimpleITK prints the traceback of every exception of a callback; not that of ``Stopped``, which is no error."""
    before = sys.excepthook

    def hook(kind, error, traceback) -> None:
        if not issubclass(kind, Stopped):
            before(kind, error, traceback)

    sys.excepthook = hook
    try:
        yield
    finally:
        sys.excepthook = before
