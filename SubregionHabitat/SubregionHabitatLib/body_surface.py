"""Air and body on the coarse patient grid: where the skin's surface lies, robust to fat suppression and to crops.

A patient lies prone in the breast coil, so the air that matters is the one in front: low signal that reaches the
front of the image. Lung, suppressed fat and vessels are low signal too, but do not reach it through air.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from .geometry import Geometry

# How deep into the image, from the front, the level of the air is read.
FRONT_MM = 10.0
# The rim of the image, which filters darken, says nothing about the level of the air.
RIM_MM = 5.0
# The level is taken at this percentile of the columns: that share of them is enough to start in air.
FRONT_PERCENTILE = 25.0
# Air must be darker than this share of the image's bright tissue (P95) ...
AIR_SHARE_OF_P95 = 0.4
# ... and, where it is not exactly 0, must scatter like noise: mean / SD of a Rayleigh distribution is 1.9; filters and
# rounding raise it, tissue with any signal-to-noise ratio lies above ...
AIR_MEAN_OVER_SD = 3.5
# ... or be darker still and even once noise is smoothed away: the sum of squares of many coils gives air a mean / SD
# of 4 to 9, and interpolated images (zero filling, resampling) scatter less than their noise. Dark tissue is not even:
# SD / mean was 0.045 or more over suppressed fat in a breast, 0.040 or more around the mean of its surroundings; over
# air 0.012 to 0.041, and 0.012 to 0.029.
EVEN_SHARE_OF_P95 = 0.25
EVEN_SD_OVER_MEAN = 0.05
EVEN_SD_OVER_SURROUNDINGS = 0.035
EVEN_SURROUNDINGS_MM = 8.0
# Tissue begins this many SD, and at least these shares of air level and bright tissue, above the level of the air.
NOISE_SDS = 4.0
SHARE_ABOVE_AIR = 0.2
SHARE_OF_P95 = 0.03
# SD of the smoothing against noise; it moves the surface outwards, which is put right afterwards.
SMOOTHING_VOXELS = 1.0
# Air passages narrower than this do not count: they would let air leak into dark tissue.
LEAK_MM = 4.0
# The brightest signal this near under the surface is that of the skin, or of unsuppressed fat.
SKIN_SEARCH_MM = 10.0
# Pieces of tissue smaller than this share of the largest are ghosts or pads, not the body.
PIECE_SHARE = 0.1


@dataclass(frozen=True)
class BodySurface:
    """The body on the coarse grid.

    body: (Z, Y, X) bool; depth_mm: distance under the surface, negative in air, float32; air_level: signal of the air
    in scanner units; has_air: False where the image holds no air, so that no surface was found (depth is then large).
    """

    body: np.ndarray
    depth_mm: np.ndarray
    air_level: float
    has_air: bool


def find_body(means: np.ndarray, inside: np.ndarray, grid: Geometry, noise_ratio) -> BodySurface:
    """The body's surface in ``means`` (Z, Y, X) on the patient grid, of which ``inside`` lies in the image.

    noise_ratio: function of a bool array on the grid that returns mean / SD of the exam's own voxels there.
    """
    smooth = _smooth(means, inside)
    level, spread = _front_level(smooth, inside, grid)
    bright = float(np.percentile(smooth[inside], 95))
    if level > AIR_SHARE_OF_P95 * bright:
        return _no_air(inside)
    limit = level + max(NOISE_SDS * spread, SHARE_ABOVE_AIR * level, SHARE_OF_P95 * (bright - level))
    air = _reached_from_front((smooth < limit) & inside, inside, grid)
    if not air.any() or not (
        level <= 0.01 * bright or _even(smooth, air, bright, grid) or noise_ratio(air) <= AIR_MEAN_OVER_SD
    ):
        return _no_air(inside)
    body = _large_pieces(inside & ~air)
    air = inside & ~body
    distance_in = ndimage.distance_transform_edt(~air, sampling=grid.spacing_zyx)
    distance_out = ndimage.distance_transform_edt(air, sampling=grid.spacing_zyx)
    half = grid.spacing_mm[0] / 2
    depth = np.where(air, half - distance_out, distance_in - half).astype(np.float32)
    depth -= _outwards(depth, means - level, inside)
    return BodySurface(body, depth, level, True)


def _even(smooth: np.ndarray, air: np.ndarray, bright: float, grid: Geometry) -> bool:
    """Whether smoothed signal in ``air`` is dark and varies as little as only air does, as a whole and nearby."""
    inner = ndimage.binary_erosion(air, iterations=2)
    inner = inner if inner.any() else air
    values = smooth[inner]
    middle = float(np.median(values))
    if middle >= EVEN_SHARE_OF_P95 * bright or _robust_sd(values) >= EVEN_SD_OVER_MEAN * middle:
        return False
    sigma = EVEN_SURROUNDINGS_MM / grid.spacing_mm[0]
    weight = ndimage.gaussian_filter(inner.astype(np.float32), sigma)[inner]
    around = ndimage.gaussian_filter(np.where(inner, smooth, 0).astype(np.float32), sigma)[inner] / weight
    return _robust_sd(values / np.maximum(around, np.finfo(np.float32).tiny)) < EVEN_SD_OVER_SURROUNDINGS


def _robust_sd(values: np.ndarray) -> float:
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))


def _outwards(depth: np.ndarray, signal: np.ndarray, inside: np.ndarray) -> float:
    """How far in mm the low threshold and the smoothing have moved the surface out into the air, median of columns:

    the depth at which a column first reaches half of its greatest signal near the surface."""
    near = inside & (depth < SKIN_SEARCH_MM)
    highest = np.where(near, signal, 0).max(axis=1, keepdims=True)
    half = near & (signal >= highest / 2) & (highest > 0)
    at = np.argmax(half, axis=1)[:, None]
    found = np.take_along_axis(depth, at, axis=1)[:, 0]
    # Columns that begin inside the body have no surface of their own.
    begins = np.take_along_axis(depth, np.argmax(inside, axis=1)[:, None], axis=1)[:, 0]
    usable = half.any(axis=1) & (begins < 0)
    return float(np.clip(np.median(found[usable]), 0, SKIN_SEARCH_MM / 2)) if usable.any() else 0.0


def _no_air(inside: np.ndarray) -> BodySurface:
    return BodySurface(inside.copy(), np.full(inside.shape, 1e3, dtype=np.float32), 0.0, False)


def _smooth(means: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """``means`` smoothed by a narrow Gaussian without mixing in what lies outside the image."""
    weight = ndimage.gaussian_filter(inside.astype(np.float32), SMOOTHING_VOXELS)
    total = ndimage.gaussian_filter(np.where(inside, means, 0).astype(np.float32), SMOOTHING_VOXELS)
    return np.where(inside, total / np.maximum(weight, 1e-3), 0)


def _front_level(smooth: np.ndarray, inside: np.ndarray, grid: Geometry) -> tuple[float, float]:
    """Level and SD of the signal in the first FRONT_MM of the columns that begin darkest."""
    step = grid.spacing_mm[0]
    n = max(2, round(FRONT_MM / step))
    inner = ndimage.binary_erosion(inside, iterations=max(1, round(RIM_MM / step)))
    inside = inner if inner.any() else inside
    front = inside & (np.cumsum(inside, axis=1) <= n)
    columns = front.sum(axis=1) == n
    if not columns.any():
        return float(smooth[inside].max()), 0.0
    values = np.where(front, smooth, np.nan).transpose(0, 2, 1)[columns]
    values = values[~np.isnan(values)].reshape(-1, n)
    medians = np.median(values, axis=1)
    level = float(np.percentile(medians, FRONT_PERCENTILE))
    dark = values[medians <= 1.5 * level]
    return level, _robust_sd(dark) if dark.size else 0.0


def _reached_from_front(low: np.ndarray, inside: np.ndarray, grid: Geometry) -> np.ndarray:
    """The parts of ``low`` that reach the front of the image through passages wider than LEAK_MM."""
    n = max(1, round(LEAK_MM / 2 / grid.spacing_mm[0]))
    # Beyond the image counts as tissue: its darkened rim must not be a passage around the body.
    wide = ndimage.binary_erosion(low, iterations=n)
    labels, _ = ndimage.label(wide)
    front = inside & (np.cumsum(inside, axis=1) <= 2 * n + 1)
    reached = np.unique(labels[front])
    kept = np.isin(labels, reached[reached > 0])
    return ndimage.binary_dilation(kept, iterations=n + 1) & low


def _large_pieces(mask: np.ndarray) -> np.ndarray:
    labels, n = ndimage.label(mask)
    if n == 0:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return (sizes >= PIECE_SHARE * sizes.max())[labels]
