"""Which series form the dynamic exam, and which frames form each of its phases."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from .dicom_frames import ENHANCED_MR, MR_IMAGE, FolderScan, Frame, SeriesHeader
from .errors import InputError
from .geometry import Geometry

# Tags that may tell the phases of one series apart, the surest first.
ORDER_TAGS = ("TemporalPositionIdentifier", "AcquisitionNumber")
CLOCK_TAGS = (
    "FrameAcquisitionDateTime", "ContentTime", "TriggerTime", "AcquisitionTime", "AcquisitionDateTime",
    "FrameReferenceDateTime", "SeriesTime",
)  # fmt: skip
MIN_SLICES = 3
SAME_LEVEL_MM = 0.02
EVEN_SPACING_SHARE = 0.05

_DERIVED_TYPES = {"DERIVED", "SUBTRACT", "SUBTRACTION", "MIP", "PROJECTION IMAGE", "ADC", "LOCALIZER", "SCREEN SAVE"}
_UNLIKELY = re.compile(
    r"\b(sub|subs|subtract\w*|mip|adc|dwi|diff\w*|loc|localizer|scout|survey|t2\w*|stir|wash\w*|pei|pe\d?|ser|tse|fse)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class PhaseFrames:
    """The frames of one phase in order along the slice normal, and which series they belong to."""

    frames: tuple[Frame, ...]
    series_uid: str

    def clock(self, tag: str) -> float | None:
        """Earliest value of a clock tag in seconds, None unless every frame has one."""
        values = [f.clocks.get(tag) for f in self.frames]
        return None if any(v is None for v in values) else min(values)

    def number(self, tag: str) -> float:
        return min((f.order.get(tag, np.inf) for f in self.frames), default=np.inf)


@dataclass(frozen=True)
class DynamicSet:
    """Phases on one grid, from one series or several, not yet in order of time."""

    phases: tuple[PhaseFrames, ...]
    geometry: Geometry
    series_uids: tuple[str, ...]


@dataclass(frozen=True)
class Stack:
    """Frames of one series that share matrix, pixel spacing, orientation and echo time."""

    frames: tuple[Frame, ...]
    series_uid: str

    @property
    def loose_key(self) -> tuple:
        f = self.frames[0]
        return (f.study_uid, _rounded(f.echo_time, 1), _rounded(f.repetition_time, 0), _rounded(f.flip_angle, 0))


def find_dynamic_set(scan: FolderScan, series: str | None = None) -> tuple[DynamicSet, tuple[str, ...]]:
    """The one dynamic exam in a scanned folder, and one sentence per series that was left out.

    series: comma-separated series numbers or UIDs that limit the search. Raises InputError when there is no dynamic
    exam, more than one, or one with missing slices or mixed geometry.
    """
    usable, left_out = _usable_series(scan, series)
    sets, incomplete = _dynamic_sets(scan, usable)
    viable = [s for s in sets if len(s.phases) >= 3]
    if len(viable) > 1:
        raise InputError(_several(viable, scan))
    if not viable:
        raise InputError(_none(sets, incomplete, scan, usable, left_out))
    chosen = viable[0]
    if incomplete:
        _refuse_stray_phases(chosen, incomplete, scan)
    for uid in usable:
        if uid not in chosen.series_uids:
            left_out.append(f"{_label(scan.headers[uid], uid)} left out: it has no repeated phases on the chosen grid.")
    return chosen, tuple(left_out)


def _usable_series(scan: FolderScan, series: str | None) -> tuple[list[str], list[str]]:
    wanted = [w.strip() for w in series.split(",") if w.strip()] if series else []
    hard: dict[str, str] = {}
    soft: dict[str, str] = {}
    for uid, header in scan.headers.items():
        frames = scan.frames.get(uid, [])
        if wanted and uid not in wanted and header.number not in wanted:
            hard[uid] = "not among the series asked for"
            continue
        reason = _not_dynamic(header, frames)
        if reason:
            hard[uid] = reason
        elif not wanted and (reason := _unlikely_dynamic(header, frames)):
            soft[uid] = reason
    if wanted and len(hard) == len(scan.headers):
        raise InputError(f"No MR series with the number or UID {series} was found; the folder holds: {_listing(scan)}.")
    usable = [uid for uid in scan.headers if uid not in hard and uid not in soft]
    if not _has_repeats(scan, usable) and _has_repeats(scan, [*usable, *soft]):
        usable, soft = [*usable, *soft], {}
    derived = [u for u, r in hard.items() if r == "a derived image"]
    if not usable and _has_repeats(scan, derived):
        usable = derived
        hard = {u: r for u, r in hard.items() if u not in derived}
    left_out = [f"{_label(scan.headers[u], u)} left out: {reason}." for u, reason in {**hard, **soft}.items()]
    return usable, left_out


def _has_repeats(scan: FolderScan, uids: list[str]) -> bool:
    """Whether the series could make three phases at some slice position."""
    counts: dict[tuple, int] = defaultdict(int)
    for uid in uids:
        for frame in scan.frames.get(uid, []):
            counts[(*_rounded_all(frame.position, 1), *_rounded_all(frame.row, 3))] += 1
    return max(counts.values(), default=0) >= 3


def _not_dynamic(header: SeriesHeader, frames: list[Frame]) -> str | None:
    if header.modality and header.modality != "MR":
        return f"modality {header.modality}, not MR images"
    if header.sop_class not in (MR_IMAGE, *ENHANCED_MR) or not frames:
        return "not MR images"
    if _DERIVED_TYPES & set(header.image_type):
        return "a localizer" if "LOCALIZER" in header.image_type else "a derived image"
    if any(f.b_value is not None and f.b_value > 0 for f in frames) or re.search(r"\bEP\b", header.scanning_sequence):
        return "diffusion or echo-planar imaging"
    return None


def _unlikely_dynamic(header: SeriesHeader, frames: list[Frame]) -> str | None:
    if len({_rounded_all(f.position, 2) for f in frames}) < MIN_SLICES:
        return f"fewer than {MIN_SLICES} slices"
    match = _UNLIKELY.search(header.description)
    return f"its description says {match.group(0)!r}" if match else None


def _dynamic_sets(scan: FolderScan, usable: list[str]) -> tuple[list[DynamicSet], list[Stack]]:
    """Dynamic sets of two phases or more, and the single-phase stacks that fit none of them."""
    by_protocol: dict[tuple, list[Stack]] = defaultdict(list)
    for uid in usable:
        for stack in _stacks(scan.frames[uid], uid):
            by_protocol[stack.loose_key].append(stack)
    sets, strays = [], []
    for stacks in by_protocol.values():
        groups: list[tuple[Geometry, list[PhaseFrames], list[str], list[Stack]]] = []
        for stack in stacks:
            if len({_rounded_all(f.position, 2) for f in stack.frames}) < MIN_SLICES:
                continue
            phases, geometry = split_phases(stack, scan.headers[stack.series_uid])
            for known, members, uids, own in groups:
                if known.same_grid(geometry):
                    members.extend(phases)
                    uids.append(stack.series_uid)
                    own.append(stack)
                    break
            else:
                groups.append((geometry, list(phases), [stack.series_uid], [stack]))
        for geometry, members, uids, own in groups:
            if len(members) >= 2:
                sets.append(DynamicSet(tuple(members), geometry, tuple(dict.fromkeys(uids))))
            else:
                strays.extend(own)
    return sets, strays


def _stacks(frames: list[Frame], uid: str) -> list[Stack]:
    groups: dict[tuple, list[Frame]] = defaultdict(list)
    for f in frames:
        key = (f.rows, f.columns, _rounded_all(f.spacing_mm, 4), _rounded_all((*f.row, *f.column), 3))
        groups[(*key, _rounded(f.echo_time, 1))].append(f)
    return [Stack(tuple(g), uid) for g in groups.values()]


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
    height = np.array([np.dot(f.position, normal) for f in frames])
    order = np.argsort(height, kind="stable")
    levels: list[list[Frame]] = []
    last = None
    for i in order:
        if last is None or height[i] - last > SAME_LEVEL_MM:
            levels.append([])
        levels[-1].append(frames[i])
        last = height[i]
    return levels


def _phase_key(levels: list[list[Frame]]):
    """A sort key that puts the frames of every slice position into the same order of phases."""
    for tag in ORDER_TAGS:
        values = [sorted(f.order.get(tag, np.nan) for f in group) for group in levels]
        if all(v == values[0] and len(set(v)) == len(v) and np.isfinite(v).all() for v in values):
            return lambda f, tag=tag: f.order[tag]
    for tag in CLOCK_TAGS:
        values = [[f.clocks.get(tag) for f in group] for group in levels]
        if all(None not in v and len(set(v)) == len(v) for v in values):
            ranks = np.array([sorted(v) for v in values])
            if np.all(ranks[:, :-1].max(axis=0) < ranks[:, 1:].min(axis=0)):
                return lambda f, tag=tag: f.clocks[tag]
    return lambda f: (f.order.get("InstanceNumber", 0.0), f.index)


def _geometry(stack: Stack, levels: list[list[Frame]], header: SeriesHeader) -> Geometry:
    first = stack.frames[0]
    row, column = np.array(first.row), np.array(first.column)
    normal = np.cross(row, column)
    if abs(np.linalg.norm(normal) - 1) > 0.01:
        raise InputError(f"The image orientation of {_label(header)} is not a right angle; re-export the series.")
    positions = np.array([group[0].position for group in levels])
    steps = np.diff(positions @ normal)
    spacing = float(np.median(steps))
    uneven = np.flatnonzero(np.abs(steps - spacing) > max(EVEN_SPACING_SHARE * spacing, SAME_LEVEL_MM))
    if uneven.size:
        at = int(uneven[0])
        raise InputError(
            f"{_label(header)} has a slice missing or uneven slice spacing: between slices {at + 1} and {at + 2} the "
            f"distance is {steps[at]:.2f} mm instead of {spacing:.2f} mm. Restore the missing slice."
        )
    drift = positions - positions[0] - np.outer((positions - positions[0]) @ normal, normal)
    if np.abs(drift).max() > 0.5 * min(first.spacing_mm):
        raise InputError(f"The slices of {_label(header)} are not stacked at a right angle; re-export the series.")
    mean_step = float((positions[-1] - positions[0]) @ normal / (len(positions) - 1))
    return Geometry(
        shape=(len(levels), first.rows, first.columns),
        spacing_mm=(first.spacing_mm[1], first.spacing_mm[0], mean_step),
        origin_mm=tuple(float(v) for v in positions[0]),
        direction=tuple(float(v) for v in np.column_stack([row, column, normal]).ravel()),
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
                f"The phases of {_label(header)} lie at different slice positions, so they do not share one geometry; "
                "resample them onto one grid."
            )
        short = min(heights, key=lambda v: len(heights[v]))
        phase = sorted(values).index(short) + 1
        return (
            f"{_label(header)} has slices missing: phase {phase} holds {len(heights[short])} of {len(levels)} slices. "
            "Restore the missing files."
        )
    short = [i for i, g in enumerate(levels) if len(g) < n_phases]
    return (
        f"{_label(header)} has slices missing: {len(short)} of {len(levels)} slice positions (first: slice "
        f"{short[0] + 1}) hold fewer than {n_phases} phases. Restore the missing files."
    )


def _refuse_stray_phases(chosen: DynamicSet, strays: list[Stack], scan: FolderScan) -> None:
    """A single stack by the same protocol but on another grid may be a phase: never drop one silently."""
    first = chosen.phases[0].frames[0]
    key = Stack((first,), first.series_uid).loose_key
    for stack in strays:
        f = stack.frames[0]
        parallel = abs(np.dot(np.cross(f.row, f.column), np.cross(first.row, first.column))) > 0.999
        if stack.loose_key == key and parallel:
            raise InputError(
                f"{_label(scan.headers[stack.series_uid], stack.series_uid)} looks like a phase of the dynamic exam "
                "but has a different geometry (grid or number of slices); remove it, resample it, or choose the series "
                "with --series."
            )


def _several(sets: list[DynamicSet], scan: FolderScan) -> str:
    lines = "; ".join(
        f"{' + '.join(_label(scan.headers[u], u) for u in s.series_uids)} ({len(s.phases)} phases of "
        f"{s.geometry.shape[0]} slices)"
        for s in sets
    )
    return f"The folder holds {len(sets)} possible dynamic exams: {lines}. Choose one with --series NUMBER."


def _none(sets, strays, scan, usable, left_out) -> str:
    if not scan.headers:
        return "No DICOM images were found."
    loose = defaultdict(list)
    for stack in strays:
        loose[stack.loose_key].append(stack)
    largest = max(loose.values(), key=len, default=[])
    if len(largest) + sum(len(s.phases) for s in sets) >= 3 and len(largest) >= 1:
        return (
            "The phases of the dynamic exam have different geometry (matrix, spacing, orientation or position), so "
            f"they do not share one grid: {_listing(scan, usable)}. Resample them onto one grid."
        )
    if sets:
        return (
            "The dynamic exam has one post-contrast phase only; SER and wash-out need at least two. Add the missing "
            f"phase (found: {_listing(scan, usable)})."
        )
    if strays:
        return (
            "Only one phase of a dynamic exam was found; kinetic maps need the pre-contrast and at least two "
            f"post-contrast phases. Add the missing phases (found: {_listing(scan, usable)})."
        )
    return f"No dynamic contrast-enhanced MR series was found; the folder holds: {_listing(scan)}."


def _listing(scan: FolderScan, uids: list[str] | None = None, most: int = 8) -> str:
    chosen = list(scan.headers) if uids is None else uids
    parts = [f"{_label(scan.headers[u], u)}, {len(scan.frames.get(u, []))} images" for u in chosen[:most]]
    return "; ".join(parts) + (f"; and {len(chosen) - most} more" if len(chosen) > most else "")


def _label(header: SeriesHeader, uid: str = "") -> str:
    name = f"series {header.number}" if header.number else f"series ...{uid[-8:]}"
    return f"{name} ({header.description[:60]})" if header.description else name


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits) + 0.0


def _rounded_all(values, digits: int) -> tuple[float, ...]:
    return tuple(round(float(v), digits) + 0.0 for v in values)
