"""Features of all regions on one prepared image, here or in other processes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace

import numpy as np

from SubregionHabitatLib.errors import InputError

from .feature_engine import FeatureEngine, make_engine
from .feature_images import PreparedImage
from .native.gray_levels import expected_levels
from .native.image_filters import ORIGINAL, filtered_images, image_type_groups, reach_voxels
from .one_thread import one_thread_each

# More gray levels than this make no texture and co-occurrence tables of gigabytes.
MAX_GRAY_LEVELS = 1000

# (feature, value or None, reason)
Found = list[tuple[str, float | None, str]]


@dataclass(frozen=True)
class ImageTask:
    """Some image types of one prepared image, and the regions by name (masks over the patch's inner part)."""

    prepared: PreparedImage
    image_types: tuple[str, ...]
    masks: Mapping[str, np.ndarray]
    min_voxels: int


def tasks_of(prepared: PreparedImage, masks: Mapping[str, np.ndarray], min_voxels: int) -> list[ImageTask]:
    """The tasks of one image, each with no more of the image than its filters need."""
    found = []
    for group in image_type_groups(prepared.settings.image_types):
        spacing = prepared.patch.spacing_zyx
        margin = tuple(int(n) for n in np.max([reach_voxels(t, spacing) for t in group], axis=0))
        patch = prepared.patch.narrowed(margin)
        found.append(ImageTask(replace(prepared, patch=patch), group, masks, min_voxels))
    return found


def run_task(task: ImageTask, engine: FeatureEngine, names: tuple[str, ...]) -> dict[tuple[str, str], Found]:
    """(image type, region) -> features; ``names`` are those of the original image."""
    regions = {name: _Region.of(mask & task.prepared.defined, task.min_voxels) for name, mask in task.masks.items()}
    found = {}
    for image_type, image in filtered_images(task.prepared.patch, task.image_types):
        image = None if image is None else np.ascontiguousarray(image)
        for name, region in regions.items():
            values = _region_features(task, engine, image_type, image, region, names)
            found[image_type, name] = [(image_type + n[len(ORIGINAL) :], value, reason) for n, value, reason in values]
    return found


@dataclass(frozen=True)
class _Region:
    """A region where the image is defined; places: its voxels in the flattened image; reason: why it has no features.

    The mask is read-only, which lets the engine know it again by identity.
    """

    mask: np.ndarray
    places: np.ndarray
    reason: str

    @staticmethod
    def of(mask: np.ndarray, min_voxels: int) -> _Region:
        mask.flags.writeable = False
        return _Region(mask, np.flatnonzero(mask), region_reason(mask, min_voxels))


def _region_features(task: ImageTask, engine: FeatureEngine, image_type: str, image, region: _Region, names) -> Found:
    settings = task.prepared.settings
    reason = region.reason
    if not reason:
        if image is None:
            reason = f"the image is too small for the filter {image_type}"
        else:
            values = image.reshape(-1).take(region.places)
            reason = _intensity_reason(values, settings.bin_width, settings.bin_count)
    if reason:
        return [(name, None, reason) for name in names]
    geometry, shift = task.prepared.geometry, settings.voxel_array_shift
    found = engine.image_features(image, region.mask, geometry, settings.bin_width, settings.bin_count, shift)
    return with_reasons(found, names)


def with_reasons(found: Mapping[str, float], names: Sequence[str]) -> Found:
    """The values in the order of ``names``; those that are not finite become missing, with the reason."""
    return [
        (name, found[name], "")
        if math.isfinite(found[name])
        else (name, None, "undefined for this region's gray levels")
        for name in names
    ]


def region_reason(mask: np.ndarray, min_voxels: int) -> str:
    """Why a region on the working grid gives no features, or ""."""
    n = int(mask.sum())
    if n == 0:
        return "the region is empty"
    if n < min_voxels:
        return f"the region has {n} voxels, fewer than {min_voxels}"
    wide = sum(np.count_nonzero(mask.any(axis=tuple(b for b in range(3) if b != a))) > 1 for a in range(3))
    return "" if wide > 1 else "the region is one voxel wide in two directions; textures need two that are wider"


def _intensity_reason(values: np.ndarray, bin_width: float | None, bin_count: int | None) -> str:
    low, high = float(values.min()), float(values.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        return "the filtered image is not finite inside the region"
    if high - low <= 1e-9 * max(abs(high), 1e-30):
        return "the image does not vary inside the region"
    n = expected_levels(values, bin_width, bin_count)
    if n > MAX_GRAY_LEVELS:
        return f"a bin width of {bin_width:g} gives {n} gray levels inside the region, more than {MAX_GRAY_LEVELS}"
    return ""


def run_tasks(
    tasks: Iterable[ImageTask], engine: FeatureEngine, names: tuple[str, ...], n_jobs: int
) -> Iterator[tuple[ImageTask, dict[tuple[str, str], Found]]]:
    """Each task with its result, as they are finished; ``tasks`` is drawn from only as fast as they are.

    n_jobs: number of processes, this one among them. Closing the iterator drops what has not begun.
    """
    if n_jobs == 1:
        for task in tasks:
            yield task, run_task(task, engine, names)
        return
    start = (engine.name, names)
    with (
        ProcessPoolExecutor(n_jobs - 1, _spawn_context(), initializer=_start_process, initargs=start) as others,
        # This process works too, and does so while the others are still starting.
        ThreadPoolExecutor(1) as here,
    ):
        try:
            yield from _shared_out(tasks, others, n_jobs - 1, lambda task: here.submit(run_task, task, engine, names))
        except BrokenProcessPool as error:
            raise InputError(
                "A process that computed features was ended from outside, most likely for lack of memory; use fewer "
                "processes or a preset with fewer image types."
            ) from error
        finally:
            others.shutdown(wait=False, cancel_futures=True)
            here.shutdown(wait=False, cancel_futures=True)


def _shared_out(tasks: Iterable[ImageTask], others: ProcessPoolExecutor, n_others: int, submit_here):
    running_here: dict[Future, ImageTask] = {}
    running: dict[Future, ImageTask] = {}
    for task in tasks:
        if not running_here:
            running_here[submit_here(task)] = task
        else:
            with one_thread_each():
                running[others.submit(_run_there, task)] = task
        while running_here and len(running) >= n_others:
            yield from _finished(running_here, running)
    while running_here or running:
        yield from _finished(running_here, running)


def _finished(*running: dict[Future, ImageTask]):
    done, _ = wait([future for some in running for future in some], return_when=FIRST_COMPLETED)
    for future in done:
        yield next(some.pop(future) for some in running if future in some), future.result()


def _spawn_context():
    # A forked process would inherit ITK's and BLAS' threads in whatever state they are.
    import multiprocessing

    return multiprocessing.get_context("spawn")


_ENGINE: FeatureEngine
_NAMES: tuple[str, ...]


def _start_process(engine_name: str, names: tuple[str, ...]) -> None:
    """In a new process: the engine, which keeps the regions' layouts, and one ITK thread, as processes share cores."""
    global _ENGINE, _NAMES
    import SimpleITK as sitk

    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    _ENGINE, _NAMES = make_engine(engine_name), names


def _run_there(task: ImageTask) -> dict[tuple[str, str], Found]:
    return run_task(task, _ENGINE, _NAMES)
