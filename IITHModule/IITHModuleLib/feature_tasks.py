"""Features of all regions on one prepared image, here or in other processes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace

import numpy as np

from SubregionHabitatLib.errors import InputError

from .feature_engine import FeatureEngine, make_engine
from .feature_images import PreparedImage
from .native.gray_levels import expected_levels
from .native.image_filters import ORIGINAL, filtered_images, image_type_groups, reach_voxels

# More gray levels than this make no texture and co-occurrence tables of gigabytes.
MAX_GRAY_LEVELS = 1000
# Prepared images that wait for a process, beyond one for each process.
_WAITING = 1

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
    found = {}
    for image_type, image in filtered_images(task.prepared.patch, task.image_types):
        for region, mask in task.masks.items():
            values = _region(task, engine, image_type, image, mask & task.prepared.defined, names)
            found[image_type, region] = [
                (image_type + name[len(ORIGINAL) :], value, reason) for name, value, reason in values
            ]
    return found


def _region(task, engine, image_type, image, mask, names) -> Found:
    settings = task.prepared.settings
    reason = region_reason(mask, task.min_voxels)
    if not reason:
        if image is None:
            reason = f"the image is too small for the filter {image_type}"
        else:
            reason = _intensity_reason(image[mask], settings.bin_width, settings.bin_count)
    if reason:
        return [(name, None, reason) for name in names]
    geometry, shift = task.prepared.geometry, settings.voxel_array_shift
    found = engine.image_features(image, mask, geometry, settings.bin_width, settings.bin_count, shift)
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

    n_jobs: number of processes; 1 works in this one. Closing the iterator drops what has not begun.
    """
    if n_jobs == 1:
        for task in tasks:
            yield task, run_task(task, engine, names)
        return
    pool = ProcessPoolExecutor(n_jobs, _spawn_context(), initializer=_start_process, initargs=(engine.name, names))
    try:
        yield from _in_processes(tasks, pool, n_jobs + _WAITING)
    except BrokenProcessPool as error:
        raise InputError(
            "A process that computed features was ended from outside, most likely for lack of memory; use fewer "
            "processes or a preset with fewer image types."
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _in_processes(tasks: Iterable[ImageTask], pool: ProcessPoolExecutor, at_once: int):
    running: dict[Future, ImageTask] = {}
    for task in tasks:
        running[pool.submit(_run_here, task)] = task
        while len(running) >= at_once:
            yield from _finished(running)
    while running:
        yield from _finished(running)


def _finished(running: dict[Future, ImageTask]):
    done, _ = wait(running, return_when=FIRST_COMPLETED)
    for future in done:
        yield running.pop(future), future.result()


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


def _run_here(task: ImageTask) -> dict[tuple[str, str], Found]:
    return run_task(task, _ENGINE, _NAMES)
