"""Radiomic features of every region on every phase and every kinetic map, as one long table."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from SubregionHabitatLib.exam import DceExam
from SubregionHabitatLib.geometry import Geometry, bounding_box, margin_voxels
from SubregionHabitatLib.kinetics import KineticMaps
from SubregionHabitatLib.progress import Progress, Silent
from SubregionHabitatLib.volume_io import geometry_of, to_sitk

from .feature_engine import FeatureEngine, make_engine
from .feature_units import unit_of
from .presets import ImageSettings, Preset

COLUMNS = ("region", "image", "feature", "value", "unit", "reason")
# Image column of features that depend on the region alone.
MASK_IMAGE = "mask"
# Room around the regions that the B-spline interpolation needs to be free of edge effects.
MARGIN_MM = 10.0
_INTERPOLATORS = {"linear": sitk.sitkLinear, "bspline": sitk.sitkBSpline, "nearest": sitk.sitkNearestNeighbor}


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
        for row in self.rows:
            if (row.region, row.image, row.feature) == (region, image, feature):
                return row.value
        raise KeyError((region, image, feature))

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


@dataclass(frozen=True)
class PreparedImage:
    """An image and the region masks on the grid on which features are computed."""

    name: str
    image: np.ndarray
    defined: np.ndarray
    geometry: Geometry
    settings: ImageSettings


def extract_features(
    exam: DceExam,
    maps: KineticMaps,
    regions: Mapping[str, np.ndarray],
    preset: Preset,
    engine: FeatureEngine | str = "pyradiomics",
    reference: np.ndarray | None = None,
    progress: Progress | None = None,
) -> FeatureTable:
    """Features of each region (name -> mask (Z, Y, X) bool) on each phase ("phase0", ...) and each of the five maps.

    reference: mask (Z, Y, X) whose mean and SD normalise the phases (the whole image when None).
    A region with fewer than ``preset.min_voxels`` voxels on the working grid, or without spread, yields missing values
    with the reason.
    """
    engine = make_engine(engine) if isinstance(engine, str) else engine
    progress = progress or Silent()
    union = np.logical_or.reduce(list(regions.values()))
    box = bounding_box(union, margin_voxels(MARGIN_MM, exam.geometry))
    crop = exam.geometry.crop(box)
    sources = [(f"phase{t}", exam.signal[t], preset.phases) for t in range(exam.n_phases)]
    sources += [(name, array, preset.maps) for name, array in maps.items()]
    masks: dict[float | None, dict[str, np.ndarray]] = {}
    rows: list[FeatureRow] = []
    phase_unit = f"z x {preset.phases.scale:g}" if preset.phases.normalize else "signal"
    units = dict.fromkeys((f"phase{t}" for t in range(exam.n_phases)), phase_unit) | maps.units()
    for settings in (preset.phases, preset.maps):
        if settings.resample_mm not in masks:
            grid = _grid(crop, settings.resample_mm)
            masks[settings.resample_mm] = {
                name: _resample_mask(mask[box], crop, grid) for name, mask in regions.items()
            }
    shape_spacing = preset.phases.resample_mm
    progress.step(0.0, "shape features")
    for region, mask in masks[shape_spacing].items():
        rows += _shape_rows(engine, region, mask, _grid(crop, shape_spacing), preset)
    for index, (name, array, settings) in enumerate(sources):
        progress.step((index + 1) / (len(sources) + 1), f"features on {name}")
        prepared = _prepare(name, array, box, crop, settings, reference)
        for region, mask in masks[settings.resample_mm].items():
            rows += _image_rows(engine, region, mask & prepared.defined, prepared, preset, units[name])
    return FeatureTable(tuple(rows), preset.name, preset.digest, engine.name, engine.version())


def _shape_rows(engine, region, mask, geometry, preset) -> list[FeatureRow]:
    reason = _too_small(mask, preset.min_voxels)
    if reason:
        return [FeatureRow(region, MASK_IMAGE, name, None, unit_of(name, ""), reason) for name in SHAPE_NAMES]
    return _rows(region, MASK_IMAGE, engine.shape_features(mask, geometry), "")


def _image_rows(engine, region, mask, prepared, preset, unit) -> list[FeatureRow]:
    reason = _too_small(mask, preset.min_voxels)
    if not reason:
        values = prepared.image[mask]
        if values.max() - values.min() <= 1e-9 * max(abs(float(values.max())), 1e-30):
            reason = "the image does not vary inside the region"
    if reason:
        return [FeatureRow(region, prepared.name, name, None, unit_of(name, unit), reason) for name in IMAGE_NAMES]
    s = prepared.settings
    found = engine.image_features(
        prepared.image, mask, prepared.geometry, s.bin_width, s.bin_count, s.voxel_array_shift
    )
    return _rows(region, prepared.name, found, unit)


def _rows(region: str, image: str, found: Mapping[str, float], unit: str) -> list[FeatureRow]:
    rows = []
    for name, value in found.items():
        finite = math.isfinite(value)
        reason = "" if finite else "undefined for this region's gray levels"
        rows.append(FeatureRow(region, image, name, value if finite else None, unit_of(name, unit), reason))
    return rows


def _too_small(mask: np.ndarray, min_voxels: int) -> str:
    n = int(mask.sum())
    if n == 0:
        return "the region is empty"
    return f"the region has {n} voxels, fewer than {min_voxels}" if n < min_voxels else ""


def _prepare(name, array, box, crop, settings: ImageSettings, reference) -> PreparedImage:
    """Normalise, fill undefined voxels from their nearest neighbour, crop and resample one image."""
    patch = array[box].astype(np.float64)
    defined = np.isfinite(patch)
    if name in settings.clip_range:
        patch = np.clip(patch, *settings.clip_range[name])
    if settings.normalize:
        inside = array[reference] if reference is not None and reference.any() else array.ravel()
        mean, sd = float(np.mean(inside, dtype=np.float64)), float(np.std(inside, dtype=np.float64))
        patch = (patch - mean) / (sd or 1.0)
        if settings.clip_sd is not None:
            patch = np.clip(patch, -settings.clip_sd, settings.clip_sd)
        patch *= settings.scale
    if not defined.all() and defined.any():
        nearest = ndimage.distance_transform_edt(
            ~defined, sampling=crop.spacing_zyx, return_distances=False, return_indices=True
        )
        patch = patch[tuple(nearest)]
    grid = _grid(crop, settings.resample_mm)
    if settings.resample_mm is None:
        return PreparedImage(name, patch, defined, crop, settings)
    image = sitk.Resample(
        to_sitk(patch, crop),
        _blank(grid),
        sitk.Transform(),
        _INTERPOLATORS[settings.interpolator],
        0.0,
        sitk.sitkFloat64,
    )
    return PreparedImage(name, sitk.GetArrayFromImage(image), _resample_mask(defined, crop, grid), grid, settings)


def _grid(crop: Geometry, spacing_mm: float | None) -> Geometry:
    """The isotropic grid that covers the outer faces of ``crop``, or ``crop`` itself for None."""
    if spacing_mm is None:
        return crop
    old = np.asarray(crop.spacing_mm)
    size = np.maximum(1, np.ceil(np.asarray(crop.shape[::-1]) * old / spacing_mm - 1e-6)).astype(int)
    first = (spacing_mm / old - 1.0) / 2.0  # index, in old voxels, of the new first voxel's centre
    origin = crop.lps_of(first[::-1][None])[0]
    return Geometry(
        shape=tuple(int(n) for n in size[::-1]),
        spacing_mm=(spacing_mm,) * 3,
        origin_mm=tuple(float(v) for v in origin),
        direction=crop.direction,
    )


def _blank(geometry: Geometry) -> sitk.Image:
    image = sitk.Image([int(n) for n in geometry.shape[::-1]], sitk.sitkUInt8)
    image.SetSpacing(geometry.spacing_mm)
    image.SetOrigin(geometry.origin_mm)
    image.SetDirection(geometry.direction)
    return image


def _resample_mask(mask: np.ndarray, crop: Geometry, grid: Geometry) -> np.ndarray:
    if grid is crop or grid == crop:
        return mask
    moved = sitk.Resample(
        to_sitk(mask, crop), _blank(grid), sitk.Transform(), sitk.sitkNearestNeighbor, 0, sitk.sitkUInt8
    )
    assert geometry_of(moved).shape == grid.shape
    return sitk.GetArrayFromImage(moved) > 0


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
