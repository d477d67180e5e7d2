"""The features of one exam for several contours of its lesion: two readers' masks, or one mask redrawn at random."""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from IITHModuleLib.derived_rows import derived_rows
from IITHModuleLib.features import FeatureTable, extract_features
from IITHModuleLib.heterogeneity.feature_matrix import FeatureKey
from IITHModuleLib.heterogeneity.perturbation import PerturbationParameters, perturbed_masks
from IITHModuleLib.presets import load_preset
from SubregionHabitatLib.analysis import ImagingResult, analyze_imaging
from SubregionHabitatLib.errors import InputError
from SubregionHabitatLib.exam_files import read_exam
from SubregionHabitatLib.habitat_file import load_habitat_model
from SubregionHabitatLib.masks import RegionMask, read_region
from SubregionHabitatLib.preparation import PreparationParameters
from SubregionHabitatLib.times_file import with_injection

from .batch_task import DONE, FAILED, TaskOutcome
from .case_pipeline import CaseRequest, read_regions

# Masks of several readings are held together, so that each image is prepared and filtered once for all of them.
MASK_BYTES = 1_000_000_000


@dataclass(frozen=True)
class ContourTask:
    """One exam. masks: one file per reading, or None to redraw the exam's lesion as ``perturbation`` says."""

    name: str
    patient: str
    visit: str
    request: CaseRequest
    masks: tuple[Path, ...] | None
    perturbation: PerturbationParameters | None = None


@dataclass(frozen=True)
class Reading:
    """The features of one contour. values (P,): NaN where missing; volume_cc: of the contour; dice: its overlap with
    the first reading, 0..1 (with the original, where contours were redrawn)."""

    keys: tuple[FeatureKey, ...] = field(repr=False)
    values: np.ndarray = field(repr=False)
    preset: str
    preset_digest: str
    engine: str
    volume_cc: float
    dice: float


@dataclass(frozen=True)
class ContourOutcome(TaskOutcome):
    """readings: one per contour, empty where the exam failed."""

    readings: tuple[Reading, ...] = ()


def run_contour_task(task: ContourTask) -> ContourOutcome:
    """Measure every contour of one exam; never raises but for a wish to stop."""
    start = time.monotonic()
    try:
        readings = tuple(measure_contours(task.request, task.masks, task.perturbation))
        return ContourOutcome(task.name, DONE, seconds=time.monotonic() - start, readings=readings)
    except InputError as error:
        reason, trace = str(error), ""
    except Exception as error:  # a bug: it stays with this exam
        reason, trace = f"internal error ({type(error).__name__}: {error})", traceback.format_exc()
    return ContourOutcome(task.name, FAILED, " ".join(reason.split()), time.monotonic() - start, trace)


def measure_contours(
    request: CaseRequest, masks: Sequence[Path] | None, perturbation: PerturbationParameters | None = None
) -> Iterator[Reading]:
    """Habitats, ring and features of every contour, as `iith analyze` measures them for a drawn lesion.

    Bias field and motion are corrected once, for all contours alike. Raises InputError for whatever cannot be analyzed.
    """
    preset = load_preset(request.preset)
    model = load_habitat_model(request.habitat_model) if request.habitat_model else None
    exam = with_injection(
        read_exam(list(request.exam), request.times_s, request.series, allow_no_times=request.allow_no_times),
        request.injection_s,
    )
    regions = read_regions(request, exam.geometry)
    if masks is not None:
        contours = [read_region(path, exam.geometry, "lesion") for path in masks]
        regions = replace(regions, lesion=contours[0], seed_lps=None, added=None, removed=None)
    first = analyze_imaging(exam, request.imaging, regions=regions, habitat_model=model)
    # What was found is the drawn lesion of every contour; manual edits are in it already.
    regions = replace(regions, seed_lps=None, added=None, removed=None)
    if masks is None:
        drawn = perturbed_masks(first.lesion.mask, exam.geometry, perturbation, first.breast.tissue)
        contours = [RegionMask(each.mask, f"contour {i}") for i, each in enumerate(drawn)]
    parameters = replace(request.imaging, preparation=PreparationParameters())
    original = first.lesion.mask if masks is None else contours[0].mask
    step = max(1, int(MASK_BYTES // (original.size * (len(first.regions()) + 1))))
    for start in range(0, len(contours), step):
        results = [
            analyze_imaging(first.exam, parameters, regions=replace(regions, lesion=contour), habitat_model=model)
            for contour in contours[start : start + step]
        ]
        yield from _readings(results, original, preset, request.engine, first.reference)


def _readings(results: Sequence[ImagingResult], original: np.ndarray, preset, engine: str, body) -> Iterator[Reading]:
    """Readings of several contours of one exam, whose images are prepared once."""
    named = {(i, name): mask for i, result in enumerate(results) for name, mask in result.regions().items()}
    shared = {f"{i} {name}": mask for (i, name), mask in named.items()}
    table = extract_features(results[0].exam, results[0].maps, shared, preset, engine, body)
    for i, result in enumerate(results):
        rows = [replace(r, region=r.region.partition(" ")[2]) for r in table.rows if r.region.startswith(f"{i} ")]
        yield _reading(result, replace(table, rows=(*rows, *derived_rows(result))), original)


def _reading(result: ImagingResult, table: FeatureTable, original: np.ndarray) -> Reading:
    lesion = result.lesion.mask
    both = int((lesion & original).sum())
    return Reading(
        keys=tuple(FeatureKey(r.region, r.image, r.feature) for r in table.rows),
        values=np.array([np.nan if r.value is None else r.value for r in table.rows]),
        preset=table.preset,
        preset_digest=table.preset_digest,
        engine=table.engine,
        volume_cc=float(lesion.sum() * result.exam.geometry.voxel_volume_mm3 / 1000),
        dice=2 * both / int(lesion.sum() + original.sum()),
    )
