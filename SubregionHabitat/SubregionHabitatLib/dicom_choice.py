"""The one dynamic exam of a scanned folder: phases from one series or several, on one grid."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from .dicom_frames import FolderScan
from .dicom_phases import CLOCK_TAGS, PhaseFrames, Stack, split_phases, stacks_of
from .dicom_series import MIN_PHASES, MIN_SLICES, UsableSeries, dixon_part, label, listing, usable_series
from .errors import InputError
from .geometry import Geometry

# An acquisition that was followed by the next one after less than this share of a whole phase was broken off.
ABORTED_SHARE = 0.9
SAME_TIME_S = 1.5
# Volumes whose centres lie this far to either side of the midline are called left and right.
SIDE_MM = 20.0

_CHOICE = re.compile(r"^(?P<series>[^@]*)(?:@(?P<pick>\w+))?$")


@dataclass(frozen=True)
class DynamicSet:
    """Phases on one grid, from one series or several, not yet in order of time."""

    phases: tuple[PhaseFrames, ...]
    geometry: Geometry
    series_uids: tuple[str, ...]

    @property
    def first_stack(self) -> Stack:
        return Stack(self.phases[0].frames, self.phases[0].series_uid)

    @property
    def center_x_mm(self) -> float:
        """LPS x of the volume's centre: positive on the patient's left."""
        return float(self.geometry.lps_of((np.array([self.geometry.shape]) - 1) / 2)[0, 0])

    def numbers(self, scan: FolderScan) -> str:
        """The series as ``--series`` takes them."""
        return ",".join(scan.headers[u].number or u for u in self.series_uids)


@dataclass(frozen=True)
class _Candidates:
    """sets: of two phases or more; singles: stacks of one phase that fit no set; broken: why a stack is no volume."""

    sets: list[DynamicSet]
    singles: list[Stack]
    broken: list[tuple[Stack, InputError]]


def find_dynamic_set(scan: FolderScan, series: str | None = None) -> tuple[DynamicSet, tuple[str, ...]]:
    """The one dynamic exam in a scanned folder, and one sentence per series that was left out.

    series: comma-separated series numbers or UIDs that limit the search; behind an @ comes which of several exams in
    them is meant: "left", "right" or its place in the list that the refusal gave ("5@left", "@2"). Raises InputError
    when there is no dynamic exam, more than one, or one with missing slices or mixed geometry.
    """
    wanted, pick = _parse_choice(series)
    usable = usable_series(scan, wanted)
    found = _candidates(scan, usable)
    viable = [s for s in found.sets if len(s.phases) >= MIN_PHASES]
    if not viable and found.broken:
        raise found.broken[0][1]
    if not viable:
        raise InputError(_none(found, scan, usable))
    chosen, notes = _pick(viable, pick, scan)
    notes += _part_volumes(chosen, found, scan)
    for uid in usable.frames:
        mentioned = any(label(scan.headers[uid], uid) in note for note in notes)
        if uid not in chosen.series_uids and not mentioned:
            notes.append(f"{label(scan.headers[uid], uid)} left out: it has no repeated phases on the chosen grid.")
    return chosen, (*usable.left_out, *notes)


def _parse_choice(series: str | None) -> tuple[tuple[str, ...], str]:
    if series is None:
        return (), ""
    match = _CHOICE.match(series.strip())
    if not match:
        raise InputError(f"--series {series!r} is not understood; write for example 5, 5,6,7 or 5@left.")
    wanted = tuple(w.strip() for w in match.group("series").split(",") if w.strip())
    return wanted, (match.group("pick") or "").lower()


def _candidates(scan: FolderScan, usable: UsableSeries) -> _Candidates:
    found = [stack for uid, frames in usable.frames.items() for stack in stacks_of(frames, uid)]
    sets, singles, broken = [], [], []
    for stacks in _by_protocol([stack for stack in found if stack.n_levels >= MIN_SLICES]):
        groups: list[tuple[Geometry, list[PhaseFrames], list[Stack]]] = []
        for stack in stacks:
            try:
                phases, geometry = split_phases(stack, scan.headers[stack.series_uid])
            except InputError as error:
                broken.append((stack, error))
                continue
            home = next((g for g in groups if g[0].same_grid(geometry)), None)
            if home is None:
                groups.append((geometry, list(phases), [stack]))
            else:
                home[1].extend(phases)
                home[2].append(stack)
        for geometry, phases, own in groups:
            if len(phases) >= 2:
                uids = tuple(dict.fromkeys(stack.series_uid for stack in own))
                sets.append(DynamicSet(tuple(phases), geometry, uids))
            else:
                singles.extend(own)
    return _Candidates(sets, singles, broken)


def _by_protocol(stacks: list[Stack]) -> list[list[Stack]]:
    groups: list[list[Stack]] = []
    for stack in stacks:
        home = next((group for group in groups if group[0].same_protocol(stack)), None)
        if home is None:
            groups.append([stack])
        else:
            home.append(stack)
    return groups


# ---- several exams -----------------------------------------------------------------------------------------------
def _pick(viable: list[DynamicSet], pick: str, scan: FolderScan) -> tuple[DynamicSet, list[str]]:
    """The set that is meant, and a sentence per set that was left out because of it."""
    if pick:
        chosen = _picked(viable, pick, scan)
        return chosen, [
            f"{_described(s, viable, scan)} left out: another dynamic exam was asked for."
            for s in viable
            if s is not chosen
        ]
    if len(viable) == 1:
        return viable[0], []
    water = [s for s in viable if dixon_part(s.phases[0].frames[0]) == "water"]
    parts = {dixon_part(s.phases[0].frames[0]) for s in viable}
    if len(water) == 1 and len(parts) == len(viable) and "" not in parts:
        others = [s for s in viable if s is not water[0]]
        return water[0], [
            f"{_named(s, scan)} left out: the {dixon_part(s.phases[0].frames[0])} images of a Dixon acquisition; "
            "the water images were taken."
            for s in others
        ]
    raise InputError(_several(viable, scan))


def _picked(viable: list[DynamicSet], pick: str, scan: FolderScan) -> DynamicSet:
    sides = {"l": "left", "left": "left", "r": "right", "right": "right"}
    if pick in sides:
        found = [s for s in viable if _side(s, viable) == sides[pick]]
        if len(found) == 1:
            return found[0]
        raise InputError(
            f"--series ...@{pick} does not name one exam: {len(found)} of {len(viable)} lie on that side. "
            f"{_choices(viable, scan)}"
        )
    if pick.isdigit() and 1 <= int(pick) <= len(viable):
        return viable[int(pick) - 1]
    raise InputError(f"--series ...@{pick} does not name one of {len(viable)} exams. {_choices(viable, scan)}")


def _side(one: DynamicSet, viable: list[DynamicSet]) -> str:
    """ "left" or "right" where the exams lie on both sides of the midline, else ""."""
    middle = 0.5 * (min(s.center_x_mm for s in viable) + max(s.center_x_mm for s in viable))
    distance = one.center_x_mm - middle
    if abs(distance) < SIDE_MM:
        return ""
    return "left" if distance > 0 else "right"


def _several(sets: list[DynamicSet], scan: FolderScan) -> str:
    lines = [
        f"{_described(one, sets, scan)} ({len(one.phases)} phases of {one.geometry.shape[0]} slices)" for one in sets
    ]
    return f"The folder holds {len(sets)} possible dynamic exams: {'; '.join(lines)}. {_choices(sets, scan)}"


def _described(one: DynamicSet, sets: list[DynamicSet], scan: FolderScan) -> str:
    """The series of an exam, with what tells it from the others."""
    side, part = _side(one, sets), dixon_part(one.phases[0].frames[0])
    return ", ".join(word for word in (_named(one, scan), f"{side} side" if side else "", part) if word)


def _choices(sets: list[DynamicSet], scan: FolderScan) -> str:
    numbers = [one.numbers(scan) for one in sets]
    sides = [_side(one, sets) for one in sets]
    options = []
    for k, one in enumerate(numbers):
        if numbers.count(one) == 1:
            options.append(one)
        elif "" not in sides and sides.count(sides[k]) == 1:
            options.append(f"{one}@{sides[k]}")
        else:
            options.append(f"{one}@{k + 1}")
    return "Choose one with " + " or ".join(f"--series {option}" for option in options) + "."


def _named(one: DynamicSet, scan: FolderScan) -> str:
    return " + ".join(label(scan.headers[u], u) for u in one.series_uids)


# ---- volumes that are not whole ----------------------------------------------------------------------------------
def _part_volumes(chosen: DynamicSet, found: _Candidates, scan: FolderScan) -> list[str]:
    """Sentences on stacks by the same protocol that cannot be phases; InputError for one that could be.

    A phase is never dropped in silence: without it the kinetics would be those of another exam.
    """
    notes = []
    for stack, error in found.broken:
        if _same_protocol(stack, chosen):
            raise error
        notes.append(f"{label(scan.headers[stack.series_uid], stack.series_uid)} left out: its slices are incomplete.")
    for other in found.sets:
        # Two phases on a grid of their own are no exam, but may be what the chosen one lacks.
        if len(other.phases) < MIN_PHASES and other is not chosen and _same_protocol(other.first_stack, chosen):
            raise InputError(_other_grid(_named(other, scan)))
    for stack in found.singles:
        if not _same_protocol(stack, chosen):
            continue
        name = label(scan.headers[stack.series_uid], stack.series_uid)
        share = _share_of_grid(stack, chosen.geometry)
        if share is None:
            raise InputError(_other_grid(name))
        reason = _why_no_phase(stack, chosen)
        if reason is None:
            raise InputError(
                f"{name} holds {share} of the {chosen.geometry.shape[0]} slices of the dynamic exam and may be one of "
                f"its phases; restore its missing files, or leave it out with --series {chosen.numbers(scan)}."
            )
        notes.append(f"{name} left out: {share} of {chosen.geometry.shape[0]} slices, {reason}.")
    return notes


def _other_grid(name: str) -> str:
    return (
        f"{name} looks like a phase of the dynamic exam but has a different geometry (grid or number of slices); "
        "remove it, resample it, or choose the series with --series."
    )


def _same_protocol(stack: Stack, chosen: DynamicSet) -> bool:
    first = chosen.first_stack
    return stack.same_protocol(first) and abs(float(np.dot(stack.normal, first.normal))) > 0.999


def _share_of_grid(stack: Stack, geometry: Geometry) -> int | None:
    """How many slices of the grid the stack holds; None when it is not a part of that grid."""
    first = stack.frames[0]
    if (first.rows, first.columns) != geometry.shape[1:] or stack.n_levels >= geometry.shape[0]:
        return None
    index = geometry.index_of(np.array([f.position for f in stack.frames]))
    index = np.column_stack([index[:, 0] - np.rint(index[:, 0]), index[:, 1:]])
    inside = np.abs(index).max() <= 0.1
    return stack.n_levels if inside else None


def _why_no_phase(stack: Stack, chosen: DynamicSet) -> str | None:
    """Why an incomplete volume cannot be a phase of the exam, None when it may be one.

    It cannot when it was acquired at the time of a complete phase, or when the next complete phase began before a
    whole phase could have passed: then it was broken off and repeated.
    """
    for tag in CLOCK_TAGS:
        start = PhaseFrames(stack.frames, stack.series_uid).clock(tag)
        clocks = [p.clock(tag) for p in chosen.phases]
        if start is None or None in clocks:
            continue
        clocks = sorted(clocks)
        duration = float(np.min(np.diff(clocks)))
        if duration < SAME_TIME_S:
            continue
        if min(abs(c - start) for c in clocks) < SAME_TIME_S:
            return f"acquired at the same {tag} as a complete phase"
        later = [c - start for c in clocks if c > start]
        if later and later[0] < ABORTED_SHARE * duration:
            return (
                f"broken off and repeated: the next complete phase began {later[0]:.0f} s later, a whole phase takes "
                f"{duration:.0f} s"
            )
        return None
    return None


def _none(found: _Candidates, scan: FolderScan, usable: UsableSeries) -> str:
    if not scan.headers:
        return "No DICOM images were found."
    uids = list(usable.frames)
    largest = max(_by_protocol(found.singles), key=len, default=[])
    if largest and len(largest) + sum(len(s.phases) for s in found.sets) >= MIN_PHASES:
        return (
            "The phases of the dynamic exam have different geometry (matrix, spacing, orientation or position), so "
            f"they do not share one grid: {listing(scan, uids)}. Resample them onto one grid."
        )
    if found.sets:
        return (
            "The dynamic exam has one post-contrast phase only; SER and wash-out need at least two. Add the missing "
            f"phase (found: {listing(scan, uids)})."
        )
    if found.singles:
        return (
            "Only one phase of a dynamic exam was found; kinetic maps need the pre-contrast and at least two "
            f"post-contrast phases. Add the missing phases (found: {listing(scan, uids)})."
        )
    return f"No dynamic contrast-enhanced MR series was found; the folder holds: {listing(scan, None, usable.reasons)}."
