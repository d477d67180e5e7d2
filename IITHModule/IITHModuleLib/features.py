"""Radiomic features of every region on every phase and kinetic map, filtered or not, as one long table."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from SubregionHabitatLib.errors import InputError
from SubregionHabitatLib.exam import DceExam
from SubregionHabitatLib.geometry import Geometry
from SubregionHabitatLib.kinetics import KineticMaps
from SubregionHabitatLib.progress import Progress, Silent

from .feature_engine import ENGINES, FeatureEngine, make_engine
from .feature_images import SourceImage, WorkingGrid, prepare_image, working_grid
from .feature_tasks import Found, region_reason, run_tasks, tasks_of, with_reasons
from .feature_units import unit_of
from .native.image_filters import image_type_groups
from .presets import ImageSettings, Preset

COLUMNS = ("region", "image", "feature", "value", "unit", "reason")
# Image column of features that depend on the region alone.
MASK_IMAGE = "mask"


@dataclass(frozen=True)
class FeatureRow:
    """One value; ``value`` is None where it cannot be computed, and ``reason`` then says why."""

    region: str
    image: str
    feature: str
    value: float | None
    unit: str
    reason: str = ""


@dataclass(frozen=True)
class FeatureTable:
    """All features of one case in long form, with what made them."""

    rows: tuple[FeatureRow, ...]
    preset: str
    preset_digest: str
    engine: str
    engine_version: str

    def value(self, region: str, image: str, feature: str) -> float | None:
        """The value, None where it is missing; raises KeyError for what is not in the table."""
        return self._values[region, image, feature]

    @cached_property
    def _values(self) -> dict[tuple[str, str, str], float | None]:
        return {(row.region, row.image, row.feature): row.value for row in self.rows}

    def n_missing(self) -> int:
        return sum(row.value is None for row in self.rows)

    def to_csv(self) -> str:
        """The table as CSV text with the columns of COLUMNS; a missing value is an empty cell."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(COLUMNS)
        for r in self.rows:
            value = "" if r.value is None else repr(r.value)
            writer.writerow([r.region, r.image, r.feature, value, r.unit, r.reason])
        return out.getvalue()

    def write_csv(self, path: Path) -> None:
        path.write_text(self.to_csv(), encoding="utf-8")


def extract_features(
    exam: DceExam,
    maps: KineticMaps,
    regions: Mapping[str, np.ndarray],
    preset: Preset,
    engine: FeatureEngine | str = ENGINES[0],
    reference: np.ndarray | None = None,
    progress: Progress | None = None,
    n_jobs: int = 1,
    images: Collection[str] | None = None,
) -> FeatureTable:
    """Features of each region (name -> mask (Z, Y, X) bool) on each phase ("phase0", ...) and each of the five maps.

    On the image types of the preset, each filtered once for all regions. reference: mask (Z, Y, X) whose mean and SD
    normalise the phases (the whole image when None). n_jobs: processes that share the work; more than 1 must not be
    asked for inside Slicer, and the engine must then be one of ENGINES.
    images: names of the phases and maps that are wanted, None for all.
    A region with fewer than ``preset.min_voxels`` voxels on the working grid, or without spread, yields missing values
    with the reason. Raises InputError for an unknown image, and where the engine or a filter lacks its package;
    Cancelled from ``progress``.
    """
    engine = make_engine(engine) if isinstance(engine, str) else engine
    progress = progress or Silent()
    progress.step(0.0, "shape features")
    rows = shape_rows(exam.geometry, regions, preset.phases, preset.min_voxels, engine)
    sources = _chosen(_sources(exam, maps, preset), images)
    rows += image_rows(sources, exam.geometry, regions, preset.min_voxels, engine, reference, progress, n_jobs)
    return FeatureTable(tuple(rows), preset.name, preset.digest, engine.name, engine.version())


def shape_rows(
    geometry: Geometry,
    regions: Mapping[str, np.ndarray],
    settings: ImageSettings,
    min_voxels: int,
    engine: FeatureEngine,
) -> list[FeatureRow]:
    """Shape features of each region on the working grid of ``settings``."""
    grid = working_grid(geometry, regions, [settings])
    rows = []
    for region, mask in grid.masks.items():
        reason = region_reason(mask, min_voxels)
        if reason:
            found = [(name, None, reason) for name in SHAPE_NAMES]
        else:
            found = with_reasons(engine.shape_features(mask, grid.geometry), SHAPE_NAMES)
        rows += [FeatureRow(region, MASK_IMAGE, name, value, unit_of(name, ""), why) for name, value, why in found]
    return rows


def image_rows(
    sources: Sequence[SourceImage],
    geometry: Geometry,
    regions: Mapping[str, np.ndarray],
    min_voxels: int,
    engine: FeatureEngine,
    reference: np.ndarray | None = None,
    progress: Progress | None = None,
    n_jobs: int = 1,
) -> list[FeatureRow]:
    """First-order and texture features of any images on one grid, in all regions; arguments as ``extract_features``."""
    grids = _grids(geometry, regions, sources)
    found = _found(sources, grids, min_voxels, engine, reference, progress or Silent(), n_jobs)
    return [
        FeatureRow(region, source.name, name, value, unit_of(name, source.unit), reason)
        for source in sources
        for image_type in source.settings.image_types
        for region in regions
        for name, value, reason in found[source.name, image_type, region]
    ]


def _sources(exam: DceExam, maps: KineticMaps, preset: Preset) -> list[SourceImage]:
    phase_unit = f"z x {preset.phases.scale:g}" if preset.phases.normalize else "signal"
    units = maps.units()
    phases = [SourceImage(f"phase{t}", exam.signal[t], phase_unit, preset.phases) for t in range(exam.n_phases)]
    return phases + [SourceImage(name, array, units[name], preset.maps) for name, array in maps.items()]


def _chosen(sources: list[SourceImage], images: Collection[str] | None) -> list[SourceImage]:
    known = [source.name for source in sources]
    unknown = [name for name in images or () if name not in known]
    if unknown:
        raise InputError(f"The exam has no image '{str(unknown[0])[:40]}'; its images are {', '.join(known)}.")
    return sources if images is None else [source for source in sources if source.name in images]


def _grids(geometry: Geometry, regions, sources: Sequence[SourceImage]) -> dict[float | None, WorkingGrid]:
    """Spacing -> grid; images of one spacing share theirs."""
    by_spacing: dict[float | None, list[ImageSettings]] = {}
    for source in sources:
        by_spacing.setdefault(source.settings.resample_mm, []).append(source.settings)
    return {spacing: working_grid(geometry, regions, group) for spacing, group in by_spacing.items()}


def _found(sources, grids, min_voxels, engine, reference, progress, n_jobs) -> dict[tuple[str, str, str], Found]:
    """(image, image type, region) -> features."""
    n_tasks = sum(len(image_type_groups(s.settings.image_types)) for s in sources)
    found: dict[tuple[str, str, str], Found] = {}

    def tasks():
        for source in sources:
            grid = grids[source.settings.resample_mm]
            yield from tasks_of(prepare_image(source, grid, reference), grid.masks, min_voxels)

    with closing(run_tasks(tasks(), engine, IMAGE_NAMES, min(n_jobs, n_tasks))) as results:
        for n_done, (task, values) in enumerate(results, start=1):
            name = task.prepared.name
            found.update({(name, *key): value for key, value in values.items()})
            progress.step(n_done / n_tasks, f"features on {name}")
    return found


def _names(text: str) -> tuple[str, ...]:
    found = []
    for line in text.split("|"):
        family, features = line.split(":")
        found += [f"original_{family.strip()}_{name}" for name in features.split()]
    return tuple(found)


SHAPE_NAMES = _names(
    """shape: Elongation Flatness LeastAxisLength MajorAxisLength Maximum2DDiameterColumn Maximum2DDiameterRow
    Maximum2DDiameterSlice Maximum3DDiameter MeshVolume MinorAxisLength Sphericity SurfaceArea SurfaceVolumeRatio
    VoxelVolume"""
)
IMAGE_NAMES = _names(
    """firstorder: 10Percentile 90Percentile Energy Entropy InterquartileRange Kurtosis Maximum MeanAbsoluteDeviation
    Mean Median Minimum Range RobustMeanAbsoluteDeviation RootMeanSquared Skewness TotalEnergy Uniformity Variance
    |glcm: Autocorrelation ClusterProminence ClusterShade ClusterTendency Contrast Correlation DifferenceAverage
    DifferenceEntropy DifferenceVariance Id Idm Idmn Idn Imc1 Imc2 InverseVariance JointAverage JointEnergy
    JointEntropy MCC MaximumProbability SumAverage SumEntropy SumSquares
    |glrlm: GrayLevelNonUniformity GrayLevelNonUniformityNormalized GrayLevelVariance HighGrayLevelRunEmphasis
    LongRunEmphasis LongRunHighGrayLevelEmphasis LongRunLowGrayLevelEmphasis LowGrayLevelRunEmphasis RunEntropy
    RunLengthNonUniformity RunLengthNonUniformityNormalized RunPercentage RunVariance ShortRunEmphasis
    ShortRunHighGrayLevelEmphasis ShortRunLowGrayLevelEmphasis
    |glszm: GrayLevelNonUniformity GrayLevelNonUniformityNormalized GrayLevelVariance HighGrayLevelZoneEmphasis
    LargeAreaEmphasis LargeAreaHighGrayLevelEmphasis LargeAreaLowGrayLevelEmphasis LowGrayLevelZoneEmphasis
    SizeZoneNonUniformity SizeZoneNonUniformityNormalized SmallAreaEmphasis SmallAreaHighGrayLevelEmphasis
    SmallAreaLowGrayLevelEmphasis ZoneEntropy ZonePercentage ZoneVariance
    |gldm: DependenceEntropy DependenceNonUniformity DependenceNonUniformityNormalized DependenceVariance
    GrayLevelNonUniformity GrayLevelVariance HighGrayLevelEmphasis LargeDependenceEmphasis
    LargeDependenceHighGrayLevelEmphasis LargeDependenceLowGrayLevelEmphasis LowGrayLevelEmphasis
    SmallDependenceEmphasis SmallDependenceHighGrayLevelEmphasis SmallDependenceLowGrayLevelEmphasis
    |ngtdm: Busyness Coarseness Complexity Contrast Strength"""
)
