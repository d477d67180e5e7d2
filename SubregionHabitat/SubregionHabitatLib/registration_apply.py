"""One phase resampled by a fitted transform, faded beyond the mask, with what the displacement amounts to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from .displacement import Box, displacement_field, jacobian_determinant, slabs, within
from .geometry import Geometry, bounding_box
from .progress import Progress
from .registration_region import MotionRegion, grow

INTERPOLATION_ORDER = {"linear": 1, "bspline": 3}


@dataclass(frozen=True)
class AppliedDisplacement:
    """displacement_mm: mean, median, 95th percentile and largest length in the mask; outside_fraction: share of mask

    voxels whose place lies outside the image, which keep their signal."""

    displacement_mm: dict[str, float]
    outside_fraction: float


def apply_transform(
    signal: np.ndarray,
    transform: sitk.Transform,
    geometry: Geometry,
    region: MotionRegion,
    interpolation: str,
    reach_mm: float,
    out: np.ndarray,
    progress: Progress,
) -> AppliedDisplacement:
    """Write ``signal`` (Z, Y, X) resampled at the displaced places into ``out`` (changed in place).

    out: holds the same values as ``signal`` beforehand; voxels of weight 0, those whose place lies outside the image
    and those displaced by more than about ``reach_mm`` beyond the outer box keep them. Values stay between the
    smallest and the largest signal nearby. Works slab by slab.
    """
    order = INTERPOLATION_ORDER[interpolation]
    source_box = grow(region.outer, reach_mm, geometry)
    source = signal[source_box].astype(np.float32)
    low, high = source.min(), source.max()
    coefficients = ndimage.spline_filter(source, order, output=np.float32, mode="mirror") if order > 1 else source
    lengths, n_outside = [], 0
    n_slabs = len(list(slabs(region.outer)))
    for number, (box, field) in enumerate(faded_field(transform, geometry, region)):
        progress.step(number / n_slabs, "resampling phases")
        here = within(box, region.outer)
        moves = region.weight[here] > 0
        index = _source_index(field[moves], np.argwhere(moves), box, source_box, geometry)
        inside = _inside(index, source.shape)
        values = ndimage.map_coordinates(coefficients, index[inside].T, order=order, mode="mirror", prefilter=False)
        changed = moves.copy()
        changed[moves] = inside
        # Cubic interpolation overshoots at edges; no signal that was not there before.
        out[box][changed] = np.clip(values, low, high)
        in_mask = region.mask[here]
        lengths.append(np.linalg.norm(field[in_mask], axis=1))
        n_outside += int((in_mask & ~changed).sum())
    lengths = np.concatenate(lengths)
    return AppliedDisplacement(length_statistics(lengths), n_outside / lengths.size)


def faded_field(
    transform: sitk.Transform, geometry: Geometry, region: MotionRegion
) -> Iterator[tuple[Box, np.ndarray]]:
    """(slab of the outer box, displacement there in LPS mm (Z, Y, X, 3) float32), faded beyond the mask.

    Outside its domain a B-spline is zero at once; there the displacement of the domain's edge is carried on, so that
    nothing tears.
    """
    for box in slabs(region.outer):
        clamped = [
            np.clip(np.arange(s.start, s.stop), d.start, d.stop - 1) for s, d in zip(box, region.inner, strict=True)
        ]
        part = tuple(slice(int(c[0]), int(c[-1]) + 1) for c in clamped)
        field = displacement_field(transform, geometry.crop(part))
        field = field[np.ix_(*(c - p.start for c, p in zip(clamped, part, strict=True)))]
        yield box, field * region.weight[within(box, region.outer)][..., None]


def jacobian_range(
    transform: sitk.Transform, geometry: Geometry, lesion: np.ndarray, domain: Box
) -> tuple[float, float]:
    """Smallest and largest change of volume over the lesion (Z, Y, X) bool, which lies in the box ``domain``."""
    box = tuple(
        slice(max(b.start, d.start), min(b.stop, d.stop))
        for b, d in zip(bounding_box(lesion, (2, 2, 2)), domain, strict=True)
    )
    local = geometry.crop(box)
    values = jacobian_determinant(displacement_field(transform, local), local)[lesion[box]]
    return float(values.min()), float(values.max())


def length_statistics(lengths_mm: np.ndarray) -> dict[str, float]:
    return {
        "mean": float(lengths_mm.mean(dtype=np.float64)),
        "median": float(np.median(lengths_mm)),
        "p95": float(np.percentile(lengths_mm, 95)),
        "max": float(lengths_mm.max()),
    }


def _source_index(field: np.ndarray, at: np.ndarray, box: Box, source: Box, geometry: Geometry) -> np.ndarray:
    """(N, 3) fractional indices in ``source`` of the voxels ``at`` of ``box``, displaced by ``field`` (N, 3) mm."""
    to_index = np.linalg.inv(geometry.index_to_lps[:3, :3])
    shift = np.array([b.start - s.start for b, s in zip(box, source, strict=True)])
    return at + shift + (field @ to_index.T)[:, ::-1]


def _inside(index: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return ((index >= -0.5) & (index <= np.array(shape) - 0.5)).all(axis=1)
