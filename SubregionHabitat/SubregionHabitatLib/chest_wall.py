"""The back of the breast: the front of the pectoral muscle and chest wall as one smooth surface.

Seen along the patient's anterior-posterior axis the breast ends at one depth per (superior, left) position. The surface
sought passes from fat into muscle, leaves behind it no fat that belongs to the breast, and is smooth: the least total
cost is approximated by semi-global matching (Hirschmueller 2008), a sum of exact minimisations along eight directions.
Parenchyma inside the breast also borders on fat, but has fat behind it.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from .errors import InputError
from .fat_reference import FatReference
from .geometry import Geometry

DIRECTIONS = ((0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1))

# A wall without an edge, this near to the back of the image (whose rim filters darken), is the back of the image.
END_MM = 8.0
NO_EDGE = 0.2
MAX_STEPS = 14


@dataclass(frozen=True)
class WallParameters:
    """How the chest wall is sought; lengths in mm, costs relative to that of a missing edge (1).

    edge_mm: depth over which signal is compared in front of and behind the wall; lateral_mm: SD of the smoothing along
    the wall; full_contrast: factor between muscle and fat at which an edge counts fully; fat_behind_cost: per mm of
    breast fat left behind the wall, up to fat_behind_mm; chest_fat_mm: a piece of lean tissue with on average up to the
    first much breast fat behind it belongs to the chest, with the second much to the breast; unknown_likeness: of lean
    tissue too thin to tell; lean_depth_mm: lean tissue nearer to the surface is skin; depth_cost: per mm, prefers the
    foremost of equal edges; slope_cost: per mm of step between neighbouring columns; skin_clearance_mm: least distance
    of the wall from the skin; behind_limit_mm: the breast reaches no further back than this behind the foremost part of
    the wall. Raises InputError when one of them is negative or a length across which is compared is 0.
    """

    edge_mm: float = 6.0
    lateral_mm: float = 3.0
    full_contrast: float = 1.8
    fat_behind_cost: float = 0.045
    fat_behind_mm: float = 20.0
    chest_fat_mm: tuple[float, float] = (12.0, 27.0)
    unknown_likeness: float = 0.3
    lean_depth_mm: float = 7.0
    depth_cost: float = 0.003
    slope_cost: float = 0.12
    skin_clearance_mm: float = 4.0
    behind_limit_mm: float = 80.0

    def __post_init__(self) -> None:
        low, high = self.chest_fat_mm
        numbers = (*(v for v in dataclasses.astuple(self) if not isinstance(v, tuple)), low, high)
        if min(numbers) < 0 or self.edge_mm <= 0 or self.full_contrast <= 1 or low >= high:
            raise InputError(
                "The chest wall parameters must be 0 or more, the edge length above 0, the full contrast above 1 and "
                "the two amounts of fat rising; correct them."
            )


@dataclass(frozen=True)
class ChestWall:
    """position_mm: (S, L) posterior coordinate (LPS, mm) of the wall in every column of the patient grid; edge: (S, L)

    strength 0..1 of the fat-to-muscle edge there; at_end: (S, L) True where the breast reaches the back of the image;
    used: (S, L) columns that hold body."""

    position_mm: np.ndarray
    edge: np.ndarray
    at_end: np.ndarray
    used: np.ndarray


def find_wall(
    signal: np.ndarray,
    body: np.ndarray,
    inside: np.ndarray,
    depth_mm: np.ndarray,
    fat: FatReference,
    grid: Geometry,
    parameters: WallParameters,
) -> ChestWall:
    """The wall on the patient grid; ``signal`` has the noise floor removed, ``inside`` is the image."""
    step = grid.spacing_mm[0]
    ratio = signal / fat.signal
    fatty = _breast_fat(ratio, body, depth_mm, fat.suppressed)
    behind_mm = _behind(fatty) * step
    chest = _chest_likeness(ratio, body, depth_mm, fat.suppressed, behind_mm, step, parameters)
    edge = _edges(ratio, body, fat.suppressed, step, parameters) * _ahead(chest, step, parameters)
    cost = _costs(edge, behind_mm, inside, body, depth_mm, step, parameters)
    at = np.argmin(aggregate(cost, parameters.slope_cost * step), axis=2)
    strength = _strength_near(at, edge)
    position = _between_levels(at, np.where(body, np.clip(ratio, 0.2, 5.0), np.nan), strength, step)
    last = _back_of_image(inside)
    used = body.any(axis=1)
    at_end = used & ((last - at) * step <= END_MM) & (strength < NO_EDGE)
    position = _smoothed(np.where(at_end, last, position), strength + 0.05, used, step)
    position = _not_too_far_back(position, strength, used, parameters.behind_limit_mm / step)
    position_mm = grid.origin_mm[1] + (position - 0.5) * step
    return ChestWall(position_mm.astype(np.float32), strength * used, at_end, used)


def no_wall(inside: np.ndarray, body: np.ndarray, grid: Geometry) -> ChestWall:
    """A wall behind the whole image, for images in which none can be sought."""
    used = body.any(axis=1)
    position_mm = grid.origin_mm[1] + (_back_of_image(inside) - 0.5) * grid.spacing_mm[1]
    return ChestWall(position_mm.astype(np.float32), np.zeros(used.shape, dtype=np.float32), used, used)


def _edges(ratio, body, suppressed, step, p: WallParameters) -> np.ndarray:
    """Strength 0..1 of a fat-to-muscle edge between voxel p - 1 and p along P, (S, P + 1, L)."""
    n = max(1, round(p.edge_mm / step))
    sigma = p.lateral_mm / step
    clipped = np.clip(ratio, 0.2, 5.0)
    weight = ndimage.gaussian_filter(body.astype(np.float32), (sigma, 0, sigma))
    mean = ndimage.gaussian_filter(np.where(body, clipped, 0), (sigma, 0, sigma)) / np.maximum(weight, 1e-3)
    mean = np.log(np.where(weight > 0.05, np.maximum(mean, 0.2), 1.0)).astype(np.float32)
    total = np.concatenate([np.zeros_like(mean[:, :1]), np.cumsum(mean, axis=1)], axis=1)
    depth = mean.shape[1]
    at = np.arange(depth + 1)
    low, high = np.maximum(at - n, 0), np.minimum(at + n, depth)
    front = (total[:, at] - total[:, low]) / np.maximum(at - low, 1)[:, None]
    back = (total[:, high] - total[:, at]) / np.maximum(high - at, 1)[:, None]
    rise = (back - front) if suppressed else (front - back)
    strength = np.clip(rise / np.log(p.full_contrast), 0, 1)
    # In front of the wall lies fat: not lung, and not something brighter than what is behind.
    is_fat = np.clip(1.5 - np.abs(front) / np.log(1.6), 0, 1)
    strength *= is_fat
    strength[:, :1] = 0
    strength[:, depth - max(1, n // 2) + 1 :] = 0
    return strength


def _breast_fat(ratio, body, depth_mm, suppressed) -> np.ndarray:
    """Fat that is joined to the fat under the skin through passages wider than about 6 mm."""
    smooth = ndimage.gaussian_filter(ratio, 0.7)
    low, high = (0.55, 1.45) if suppressed else (0.62, 4.0)
    fat = body & (smooth > low) & (smooth < high) & (depth_mm > 2.0)
    core = ndimage.binary_erosion(fat, iterations=1)
    labels, n = ndimage.label(core)
    if n == 0:
        return fat
    near = np.unique(labels[core & (depth_mm < 14)])
    kept = np.isin(labels, near[near > 0])
    return ndimage.binary_dilation(kept, iterations=2) & fat


def _behind(fatty: np.ndarray) -> np.ndarray:
    """Number of voxels of breast fat at or behind every position along P, (S, P + 1, L)."""
    total = np.cumsum(fatty[:, ::-1], axis=1, dtype=np.int32)[:, ::-1]
    return np.concatenate([total, np.zeros_like(total[:, :1])], axis=1)


def _chest_likeness(ratio, body, depth_mm, suppressed, behind_mm, step, p: WallParameters) -> np.ndarray:
    """0..1 for every voxel: whether the connected piece of tissue without fat that it belongs to is the chest's.

    Decided piece by piece, by how much breast fat lies behind it on average: muscle, ribs and heart have hardly any,
    parenchyma that is not joined to them has much.
    """
    smooth = ndimage.gaussian_filter(ratio, 0.5)
    lean = body & (depth_mm > p.lean_depth_mm) & ((smooth > 1.4) if suppressed else (smooth < 0.62))
    labels, n = ndimage.label(ndimage.binary_erosion(lean))
    if n == 0:
        return np.zeros(ratio.shape, dtype=np.float32)
    mean = _mean_behind(labels, n, behind_mm)
    low, high = p.chest_fat_mm
    likeness = np.clip((high - mean) / (high - low), 0, 1)
    likeness[0] = 0
    # The rim lost by the erosion, and sheets too thin to survive it, belong to the nearest piece.
    distance, nearest = ndimage.distance_transform_edt(labels == 0, return_indices=True)
    near = lean & (distance * step <= p.edge_mm)
    found = np.where(near, likeness[labels[tuple(nearest)]], 0)
    return np.where(lean & ~near, p.unknown_likeness, found).astype(np.float32)


def _mean_behind(labels: np.ndarray, n: int, behind_mm: np.ndarray) -> np.ndarray:
    """Mean over its columns of the breast fat in mm behind the rearmost voxel of every label, (n + 1,)."""
    at = np.argwhere(labels > 0)
    label = labels[tuple(at.T)]
    column = (label.astype(np.int64) * labels.shape[0] + at[:, 0]) * labels.shape[2] + at[:, 2]
    order = np.lexsort((at[:, 1], column))
    last = order[np.append(np.diff(column[order]) > 0, True)]
    fat = behind_mm[at[last, 0], at[last, 1] + 1, at[last, 2]]
    count = np.bincount(label[last], minlength=n + 1)
    return np.bincount(label[last], weights=fat, minlength=n + 1) / np.maximum(count, 1)


def _ahead(chest: np.ndarray, step: float, p: WallParameters) -> np.ndarray:
    """Greatest chest likeness in the edge_mm behind every position along P, (S, P + 1, L)."""
    n = max(1, round(p.edge_mm / step))
    best = np.concatenate([chest, np.zeros_like(chest[:, :1])], axis=1)
    for k in range(1, n):
        np.maximum(best[:, : -k - 1], chest[:, k:], out=best[:, : -k - 1])
    return best


def _back_of_image(inside: np.ndarray) -> np.ndarray:
    """First index behind the image along P, (S, L)."""
    depth = inside.shape[1]
    return np.where(inside.any(axis=1), depth - np.argmax(inside[:, ::-1], axis=1), depth)


def _costs(edge, behind_mm, inside, body, depth_mm, step, p: WallParameters) -> np.ndarray:
    """Cost (S, L, P + 1) of a wall in front of voxel p."""
    cost = 1.0 - edge + p.fat_behind_cost * np.minimum(behind_mm, p.fat_behind_mm)
    at = np.arange(cost.shape[1])[None, :, None]
    cost = cost + p.depth_cost * step * at
    last = _back_of_image(inside)
    # A column that begins inside the body, because the image does, may lie wholly behind the wall.
    skin = body & (depth_mm < 2 * step)
    used = body.any(axis=1)
    least = np.where(skin.any(axis=1), np.argmax(skin, axis=1) + p.skin_clearance_mm / step, 0)
    too_near = at < least[:, None, :]
    cost = np.where(too_near, cost + 2.0, cost)
    cost = np.where(at > last[:, None, :], cost + 4.0, cost)
    # Columns without body say nothing; their neighbours decide.
    cost = np.where(used[:, None, :], cost, 0.5)
    return np.ascontiguousarray(cost.transpose(0, 2, 1), dtype=np.float32)


def aggregate(cost: np.ndarray, step_cost: float) -> np.ndarray:
    """``cost`` (A, B, D) summed over the least-cost paths that arrive along eight directions (semi-global matching).

    A path pays ``step_cost`` per step along the last axis between neighbours, for at most MAX_STEPS steps.
    """
    total = np.zeros_like(cost)
    for da, db in DIRECTIONS:
        total += _along(cost, da, db, step_cost)
    return total


def _along(cost: np.ndarray, da: int, db: int, step_cost: float) -> np.ndarray:
    """Least cost of paths that arrive from (-da, -db), the path's own minimum taken off at every step."""
    if da == 0:
        return _along(cost.transpose(1, 0, 2), db, 0, step_cost).transpose(1, 0, 2)
    out = np.empty_like(cost)
    rows = range(cost.shape[0]) if da > 0 else range(cost.shape[0] - 1, -1, -1)
    previous = None
    for row in rows:
        if previous is None:
            out[row] = cost[row]
        else:
            arrived = _moved(previous, db)
            out[row] = cost[row] + _min_plus(arrived - arrived.min(axis=1, keepdims=True), step_cost)
        previous = out[row]
    return out


def _moved(values: np.ndarray, shift: int) -> np.ndarray:
    """``values`` (B, D) moved by ``shift`` along axis 0; columns without a predecessor start at 0."""
    if shift == 0:
        return values
    moved = np.zeros_like(values)
    if shift > 0:
        moved[1:] = values[:-1]
    else:
        moved[:-1] = values[1:]
    return moved


def _min_plus(values: np.ndarray, step_cost: float) -> np.ndarray:
    """min over q of values[q] + step_cost * min(|p - q|, MAX_STEPS), row by row."""
    best = np.minimum(values, step_cost * MAX_STEPS)
    for k in range(1, MAX_STEPS):
        np.minimum(best[:, k:], values[:, :-k] + k * step_cost, out=best[:, k:])
        np.minimum(best[:, :-k], values[:, k:] + k * step_cost, out=best[:, :-k])
    return best


def _strength_near(at: np.ndarray, edge: np.ndarray) -> np.ndarray:
    """Greatest edge strength within two voxels of ``at``, (S, L)."""
    return _window(edge, at, -2, 3).max(axis=2)


def _between_levels(at: np.ndarray, ratio: np.ndarray, strength: np.ndarray, step: float) -> np.ndarray:
    """Sub-voxel position: where the share of fat among the voxels around ``at`` puts the border of two even tissues.

    The levels of both are read 2 to 5 voxels in front of and behind it. Weak edges stay where they are.
    """
    smooth = ndimage.gaussian_filter(np.nan_to_num(ratio), (1.0, 0, 1.0))
    front = np.median(_window(smooth, at, -5, -2), axis=2)
    back = np.median(_window(smooth, at, 2, 5), axis=2)
    middle = _window(smooth, at, -2, 2).mean(axis=2)
    difference = back - front
    clear = (strength > 0.2) & (np.abs(difference) > 0.15)
    share = np.where(clear, (back - middle) / np.where(clear, difference, 1.0), 0.5)
    return at + 4 * (np.clip(share, 0, 1) - 0.5)


def _window(values: np.ndarray, at: np.ndarray, low: int, high: int) -> np.ndarray:
    """(S, L, high - low): ``values`` (S, P, L) at the offsets low .. high - 1 from ``at``, kept inside the array."""
    columns = values.transpose(0, 2, 1)
    index = np.clip(at[..., None] + np.arange(low, high), 0, columns.shape[2] - 1)
    return np.take_along_axis(columns, index, axis=2)


def _not_too_far_back(position: np.ndarray, strength: np.ndarray, used: np.ndarray, limit: float) -> np.ndarray:
    """``position`` cut off ``limit`` voxels behind the foremost part of the wall that was really seen."""
    seen = position[used & (strength > 0.3)]
    if seen.size < 0.02 * used.sum():
        return position
    return np.minimum(position, np.percentile(seen, 2) + limit)


def _smoothed(position, weight, used, step) -> np.ndarray:
    """``position`` with outliers replaced by medians (first wide spikes, then narrow ones) and averaged by edge

    strength; SD 3 mm along the wall."""
    for reach_mm, tolerance_mm in ((12.0, 10.0), (4.0, 3.0)):
        middle = ndimage.median_filter(position, size=2 * max(1, round(reach_mm / step)) + 1, mode="nearest")
        position = np.where(np.abs(position - middle) > tolerance_mm / step, middle, position)
    weight = np.where(used, weight, 1e-4)
    sigma = 3.0 / step
    total = ndimage.gaussian_filter(weight * position, sigma)
    return total / np.maximum(ndimage.gaussian_filter(weight, sigma), 1e-9)
