"""Frames of one series into phases: one frame per slice position and phase, on one regular grid."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .dicom_frames import Frame, SeriesHeader
from .dicom_series import MIN_SLICES, dixon_part, label
from .errors import InputError
from .geometry import Geometry
from .timing import unroll_day

# Tags that may tell the phases of one series apart, the surest first.
ORDER_TAGS = ("TemporalPositionIdentifier", "AcquisitionNumber")
CLOCK_TAGS = (
    "FrameAcquisitionDateTime", "ContentTime", "TriggerTime", "TemporalPositionTimeOffset", "AcquisitionTime",
    "AcquisitionDateTime", "FrameReferenceDateTime", "SeriesTime",
)  # fmt: skip
SAME_LEVEL_MM = 0.02
SAME_ECHO_MS, SAME_REPETITION_MS, SAME_FLIP_DEG = 0.1, 1.0, 1.0
EVEN_SPACING_SHARE = 0.05
# Two breasts in one series: a gap this wide between their slices, or between the corners of their images.
SLAB_GAP_MM = 15.0
_MOST_PLANES_COMPARED = 40


@dataclass(frozen=True)
class PhaseFrames:
    """The frames of one phase in order along the slice normal, and which series they belong to."""

    frames: tuple[Frame, ...]
    series_uid: str

    def clock(self, tag: str) -> float | None:
        """Earliest value of a clock tag in seconds, None unless every frame has one."""
        values = [f.clocks.get(tag) for f in self.frames]
        return None if any(v is None for v in values) else min(unroll_day(values))

    def number(self, tag: str) -> float:
        return min((f.order.get(tag, np.inf) for f in self.frames), default=np.inf)


@dataclass(frozen=True)
class Stack:
    """Frames of one series that share matrix, pixel spacing, orientation, echo time and kind of image."""

    frames: tuple[Frame, ...]
    series_uid: str

    def same_protocol(self, other: Stack) -> bool:
        """Whether both may be phases of one exam, even as series of their own.

        Scanners adjust and round their times from series to series, so these are compared with a tolerance.
        """
        a, b = self.frames[0], other.frames[0]
        return (a.study_uid, dixon_part(a)) == (b.study_uid, dixon_part(b)) and (
            _near(a.echo_time, b.echo_time, SAME_ECHO_MS)
            and _near(a.repetition_time, b.repetition_time, SAME_REPETITION_MS)
            and _near(a.flip_angle, b.flip_angle, SAME_FLIP_DEG)
        )

    @property
    def n_levels(self) -> int:
        return len({_rounded_all(f.position, 2) for f in self.frames})

    @property
    def normal(self) -> np.ndarray:
        return np.cross(self.frames[0].row, self.frames[0].column)


def stacks_of(frames: list[Frame], uid: str) -> list[Stack]:
    """The stacks of one series; left and right breast in one series become two stacks."""
    groups: dict[tuple, list[Frame]] = defaultdict(list)
    for f in frames:
        key = (f.rows, f.columns, _rounded_all(f.spacing_mm, 4), _rounded_all((*f.row, *f.column), 3))
        groups[(*key, _rounded(f.echo_time, 1), dixon_part(f))].append(f)
    merged = list(groups.values())
    if 1 < len(merged) <= _MOST_PLANES_COMPARED:
        merged = _merge_alike(merged)
    return [Stack(tuple(part), uid) for group in merged for part in _slabs(group)]


def _merge_alike(groups: list[list[Frame]]) -> list[list[Frame]]:
    """Join groups that differ by nothing but the rounding of their decimal strings."""
    merged: list[list[Frame]] = []
    for group in groups:
        home = next((m for m in merged if _alike(m[0], group[0])), None)
        if home is None:
            merged.append(list(group))
        else:
            home.extend(group)
    return merged


def _alike(a: Frame, b: Frame) -> bool:
    numbers = [(*f.spacing_mm, *f.row, *f.column) for f in (a, b)]
    same_echo = a.echo_time == b.echo_time or (
        a.echo_time is not None and b.echo_time is not None and abs(a.echo_time - b.echo_time) < 0.1
    )
    same_matrix = (a.rows, a.columns, dixon_part(a)) == (b.rows, b.columns, dixon_part(b))
    return same_matrix and same_echo and bool(np.allclose(*numbers, rtol=0, atol=1e-3))


def _slabs(frames: list[Frame]) -> list[list[Frame]]:
    """Volumes that lie apart (left and right breast): by the corners of their images, then by gaps between slices."""
    first = frames[0]
    row, column = np.array(first.row), np.array(first.column)
    positions = np.array([f.position for f in frames])
    parts = [np.arange(len(frames))]
    for axis in (row, column, np.cross(row, column)):
        parts = [piece for part in parts for piece in _split_at_gap(part, positions[part] @ axis, positions, axis)]
    return [[frames[i] for i in part] for part in parts]


def _split_at_gap(part: np.ndarray, height: np.ndarray, positions: np.ndarray, axis: np.ndarray) -> list[np.ndarray]:
    """Cut where neighbors along ``axis`` lie SLAB_GAP_MM and three usual steps apart, if every piece is a volume."""
    order = np.argsort(height, kind="stable")
    steps = np.diff(height[order])
    usual = steps[steps > SAME_LEVEL_MM]
    limit = max(SLAB_GAP_MM, 3.0 * float(np.median(usual))) if usual.size > 1 else SLAB_GAP_MM
    cuts = np.flatnonzero(steps > limit) + 1
    pieces = [part[p] for p in np.split(order, cuts)]
    volumes = all(len(np.unique(np.round(positions[p], 2), axis=0)) >= MIN_SLICES for p in pieces)
    return pieces if volumes else [part]


def split_phases(stack: Stack, header: SeriesHeader) -> tuple[list[PhaseFrames], Geometry]:
    """The phases of one stack, each with one frame per slice position, and their common grid.

    Raises InputError when slices are missing, unevenly spaced, or phases lie at different positions.
    """
    levels = _levels(stack.frames)
    counts = {len(group) for group in levels}
    if len(counts) > 1:
        raise InputError(_uneven(stack, levels, header))
    n_phases = counts.pop()
    geometry = _geometry(stack, levels, header)
    if n_phases == 1:
        return [PhaseFrames(tuple(g[0] for g in levels), stack.series_uid)], geometry
    key = _phase_key(levels)
    ordered = [sorted(group, key=key) for group in levels]
    phases = [PhaseFrames(tuple(g[k] for g in ordered), stack.series_uid) for k in range(n_phases)]
    return phases, geometry


def _levels(frames: tuple[Frame, ...]) -> list[list[Frame]]:
    """Frames grouped by slice position, in order along the normal."""
    normal = np.cross(frames[0].row, frames[0].column)
    height = np.array([f.position for f in frames]) @ normal
    order = np.argsort(height, kind="stable")
    levels: list[list[Frame]] = []
    last = None
    for i in order:
        if last is None or height[i] - last > SAME_LEVEL_MM:
            levels.append([])
        levels[-1].append(frames[i])
        last = height[i]
    return levels


def _phase_key(levels: list[list[Frame]]) -> Callable[[Frame], object]:
    """A sort key that puts the frames of every slice position into the same order of phases."""
    for tag in ORDER_TAGS:
        values = [sorted(f.order.get(tag, np.nan) for f in group) for group in levels]
        if all(v == values[0] and len(set(v)) == len(v) and np.isfinite(v).all() for v in values):
            return lambda f, tag=tag: f.order[tag]
    for tag in CLOCK_TAGS:
        values = [f.clocks.get(tag) for group in levels for f in group]
        if None in values:
            continue
        unrolled = dict(zip(values, unroll_day(values), strict=True))
        ranks = [sorted(unrolled[f.clocks[tag]] for f in group) for group in levels]
        if any(len(set(r)) < len(r) for r in ranks):
            continue
        ranks = np.array(ranks)
        if np.all(ranks[:, :-1].max(axis=0) < ranks[:, 1:].min(axis=0)):
            return lambda f, tag=tag, unrolled=unrolled: unrolled[f.clocks[tag]]
    return lambda f: (f.order.get("InstanceNumber", 0.0), f.index)


def _geometry(stack: Stack, levels: list[list[Frame]], header: SeriesHeader) -> Geometry:
    first = stack.frames[0]
    row, column = np.array(first.row), np.array(first.column)
    normal = np.cross(row, column)
    if abs(np.linalg.norm(normal) - 1) > 0.01:
        raise InputError(f"The image orientation of {label(header)} is not a right angle; re-export the series.")
    positions = np.array([group[0].position for group in levels])
    _check_even(positions @ normal, header)
    in_plane = np.array([f.position for f in stack.frames]) @ np.column_stack([row, column])
    if np.ptp(in_plane, axis=0).max() > 0.5 * min(first.spacing_mm):
        raise InputError(
            f"The slices of {label(header)} are not stacked at a right angle, or its phases lie at different "
            "positions, so they do not share one geometry; resample them onto one grid."
        )
    mean_step = float((positions[-1] - positions[0]) @ normal / (len(positions) - 1))
    return Geometry(
        shape=(len(levels), first.rows, first.columns),
        spacing_mm=(first.spacing_mm[1], first.spacing_mm[0], mean_step),
        origin_mm=tuple(float(v) for v in positions[0]),
        direction=tuple(float(v) for v in np.column_stack([row, column, normal]).ravel()),
    )


def _check_even(heights: np.ndarray, header: SeriesHeader) -> None:
    steps = np.diff(heights)
    spacing = float(np.median(steps))
    uneven = np.flatnonzero(np.abs(steps - spacing) > max(EVEN_SPACING_SHARE * spacing, SAME_LEVEL_MM))
    if uneven.size:
        at = int(uneven[0])
        raise InputError(
            f"{label(header)} has a slice missing or uneven slice spacing: between slices {at + 1} and {at + 2} the "
            f"distance is {steps[at]:.2f} mm instead of {spacing:.2f} mm. Restore the missing slice."
        )


def _uneven(stack: Stack, levels: list[list[Frame]], header: SeriesHeader) -> str:
    """Why slice positions hold different numbers of frames, in one sentence."""
    n_phases = max(len(group) for group in levels)
    for tag in ORDER_TAGS:
        values = {f.order.get(tag) for f in stack.frames}
        told_apart = all(len({f.order.get(tag) for f in group}) == len(group) for group in levels)
        if None in values or not told_apart or not 2 <= len(values) <= len(stack.frames) / MIN_SLICES:
            continue
        heights = {v: {i for i, g in enumerate(levels) if any(f.order[tag] == v for f in g)} for v in values}
        sizes = {len(h) for h in heights.values()}
        if len(sizes) == 1:
            return (
                f"The phases of {label(header)} lie at different slice positions, so they do not share one geometry; "
                "resample them onto one grid."
            )
        short = min(heights, key=lambda v: len(heights[v]))
        phase = sorted(values).index(short) + 1
        return (
            f"{label(header)} has slices missing: phase {phase} holds {len(heights[short])} of {len(levels)} slices. "
            "Restore the missing files."
        )
    short = [i for i, g in enumerate(levels) if len(g) < n_phases]
    return (
        f"{label(header)} has slices missing: {len(short)} of {len(levels)} slice positions (first: slice "
        f"{short[0] + 1}) hold fewer than {n_phases} phases. Restore the missing files."
    )


def _near(a: float | None, b: float | None, tolerance: float) -> bool:
    return a == b or (a is not None and b is not None and abs(a - b) <= tolerance)


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits) + 0.0


def _rounded_all(values, digits: int) -> tuple[float, ...]:
    return tuple(round(float(v), digits) + 0.0 for v in values)
