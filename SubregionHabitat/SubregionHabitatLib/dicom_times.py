"""The order of the phases of a DICOM exam, their times, and which tag says so."""

from __future__ import annotations

import numpy as np

from .dicom_choice import DynamicSet
from .dicom_frames import FolderScan
from .dicom_phases import CLOCK_TAGS, ORDER_TAGS, PhaseFrames
from .errors import InputError
from .exam import Timing, check_times
from .timing import MIN_SPAN_S, MIN_STEP_S, unroll_day, unwrap_midnight

AGREEMENT_S = 15.0
# Clocks that read the time of day, so that one can stand in where another is missing.
WALL_CLOCKS = ("ContentTime", "AcquisitionTime", "AcquisitionDateTime", "FrameAcquisitionDateTime", "SeriesTime")
# Clocks that tell when the data of an image were acquired.
ACQUISITION_CLOCKS = ("FrameAcquisitionDateTime", "AcquisitionTime", "AcquisitionDateTime", "TriggerTime")
# A header's phase duration may exceed the step between phases by rounding only.
LONGEST_PHASE_SHARE = 1.05
WHOLE_EXAM_SHARE = 0.25


def order_phases(
    chosen: DynamicSet, scan: FolderScan, times_s: tuple[float, ...] | None, allow_no_times: bool = False
) -> tuple[list[PhaseFrames], tuple[float, ...], Timing]:
    """The phases in order of time, their seconds from the first, and where these come from.

    The first usable clock of CLOCK_TAGS is taken: known for every phase, rising by MIN_STEP_S, and spread over more
    than MIN_SPAN_S. Where no clock is known for every phase, the first of WALL_CLOCKS that each phase has is used
    with low confidence. Without any, ``times_s`` must say it, or ``allow_no_times`` numbers the phases 0, 1, 2, ...
    with ``known=False``. Raises InputError when none of these holds.
    """
    notes = [f"{scan.n_duplicates} duplicate images were ignored."] if scan.n_duplicates else []
    known_order, order_tag = _known_order(chosen, scan)
    usable = _usable_clocks(chosen, known_order)
    if times_s is not None:
        times = tuple(float(t) for t in times_s)
        check_times(times, len(chosen.phases))
        order = next(iter(_without_contradicted(usable)[0].values()))[0] if usable else known_order
        resolution, words = _resolution(order, scan, times)
        sources = ("user",) * len(times)
        return order, times, Timing("user", "high", resolution, (*notes, *words), phase_sources=sources)
    if usable:
        return _by_one_clock(usable, scan, notes)
    mixed = _by_mixed_clocks(chosen, known_order, scan, notes)
    if mixed is not None:
        return mixed
    if not allow_no_times:
        raise InputError(
            f"The {len(chosen.phases)} phases carry no usable acquisition times (ContentTime, TriggerTime and "
            "AcquisitionTime are missing, equal or not increasing); give them with --times T0,T1,... in seconds."
        )
    if not order_tag:
        raise InputError(
            f"The {len(chosen.phases)} phases carry neither times nor numbers that tell their order; give the phases "
            "as one file each in order of time, with --times."
        )
    notes.append(f"The phases carry no times; they are ordered by {order_tag}, and slopes are not available.")
    numbers = tuple(float(k) for k in range(len(known_order)))
    sources = ("none",) * len(numbers)
    return known_order, numbers, Timing("none", "none", None, tuple(notes), known=False, phase_sources=sources)


def _by_one_clock(
    usable: dict[str, tuple[list[PhaseFrames], list[float]]], scan: FolderScan, notes: list[str]
) -> tuple[list[PhaseFrames], tuple[float, ...], Timing]:
    usable, words = _without_contradicted(usable)
    notes = [*notes, *words]
    tag, (order, clock) = next(iter(usable.items()))
    others = {t: c for t, (o, c) in usable.items() if t != tag and o == order and t != "SeriesTime"}
    differing = [t for t, c in others.items() if not _agree(clock, c)]
    notes = notes + [
        f"Phase times from {tag} and {t} differ by more than {AGREEMENT_S:g} s; {tag} was used." for t in differing
    ]
    confidence = "high" if others and not differing else "medium"
    if tag == "SeriesTime":
        confidence = "low"
        notes.append("Phase times come from SeriesTime, the only clock that differs between phases.")
    times = _from_first(clock)
    resolution, words = _resolution(order, scan, times)
    confirmed = tuple(t for t in others if t not in differing)
    sources = (tag,) * len(times)
    return (
        order,
        times,
        Timing(tag, confidence, resolution, (*notes, *words), phase_sources=sources, confirmed_by=confirmed),
    )


def _without_contradicted(usable: dict) -> tuple[dict, list[str]]:
    """``usable`` without a ContentTime that orders the phases otherwise than a clock of their acquisition does.

    ContentTime may be that of a reconstruction, which can run in any order.
    """
    if "ContentTime" not in usable:
        return usable, []
    order = usable["ContentTime"][0]
    better = next((t for t in ACQUISITION_CLOCKS if t in usable and usable[t][0] != order), None)
    if better is None:
        return usable, []
    note = f"ContentTime puts the phases into another order than {better}; {better} was used."
    return {t: found for t, found in usable.items() if found[0] == usable[better][0]}, [note]


def _by_mixed_clocks(
    chosen: DynamicSet, known_order: list[PhaseFrames], scan: FolderScan, notes: list[str]
) -> tuple[list[PhaseFrames], tuple[float, ...], Timing] | None:
    """Each phase by the first wall clock it has; None when a phase has none or the times do not rise."""
    tags = [next((t for t in WALL_CLOCKS if p.clock(t) is not None), "") for p in known_order]
    if "" in tags or len(set(tags)) < 2:
        return None
    values = unroll_day([p.clock(t) for p, t in zip(known_order, tags, strict=True)])
    by_clock = sorted(range(len(values)), key=lambda i: values[i])
    seconds, order = [values[i] for i in by_clock], [known_order[i] for i in by_clock]
    if not _rises(seconds) or (len(chosen.series_uids) == 1 and order != known_order):
        return None
    sources = tuple(tags[i] for i in by_clock)
    times = _from_first(seconds)
    resolution, words = _resolution(order, scan, times)
    notes = [*notes, f"No clock is known for every phase; the times come from {', '.join(dict.fromkeys(sources))}."]
    return order, times, Timing("several clocks", "low", resolution, (*notes, *words), phase_sources=sources)


def _known_order(chosen: DynamicSet, scan: FolderScan) -> tuple[list[PhaseFrames], str]:
    """Phases by the numbers that scanners give them, and which number; only a hint where several series take part."""
    if len(chosen.series_uids) > 1:
        numbers = [_integer(scan.headers[p.series_uid].number) for p in chosen.phases]
        if None in numbers or len(set(numbers)) < len(numbers):
            return list(chosen.phases), ""
        order = sorted(range(len(numbers)), key=lambda i: numbers[i])
        return [chosen.phases[i] for i in order], "SeriesNumber"
    for tag in ORDER_TAGS:
        numbers = [p.number(tag) for p in chosen.phases]
        if _tell_apart(numbers):
            return sorted(chosen.phases, key=lambda p, tag=tag: p.number(tag)), tag
    instance = [p.number("InstanceNumber") for p in chosen.phases]
    return list(chosen.phases), "InstanceNumber" if _tell_apart(instance) else ""


def _usable_clocks(
    chosen: DynamicSet, known_order: list[PhaseFrames]
) -> dict[str, tuple[list[PhaseFrames], list[float]]]:
    found = {}
    for tag in CLOCK_TAGS:
        clock = [p.clock(tag) for p in known_order]
        if None in clock:
            continue
        if len(chosen.series_uids) == 1 and _numbered(chosen):
            order, seconds = known_order, unwrap_midnight(clock)
        else:
            unrolled = unroll_day(clock)
            by_clock = sorted(range(len(clock)), key=lambda i, u=unrolled: u[i])
            order, seconds = [known_order[i] for i in by_clock], [unrolled[i] for i in by_clock]
        if _rises(seconds):
            found[tag] = (order, seconds)
    return found


def _numbered(chosen: DynamicSet) -> bool:
    return any(_tell_apart([p.number(tag) for p in chosen.phases]) for tag in ORDER_TAGS)


def _tell_apart(numbers: list[float]) -> bool:
    return bool(np.isfinite(numbers).all()) and len(set(numbers)) == len(numbers)


def _rises(seconds: list[float]) -> bool:
    return bool(np.all(np.diff(seconds) >= MIN_STEP_S)) and seconds[-1] - seconds[0] >= MIN_SPAN_S


def _agree(first: list[float], second: list[float]) -> bool:
    gaps = np.abs(np.diff(first) - np.diff(second))
    return bool(np.all(gaps <= AGREEMENT_S))


def _from_first(clock: list[float]) -> tuple[float, ...]:
    return tuple(round(c - clock[0], 3) for c in clock)


def _resolution(
    order: list[PhaseFrames], scan: FolderScan, times: tuple[float, ...]
) -> tuple[float | None, tuple[str, ...]]:
    """Duration of one phase from the header in seconds, where it fits the times, and a sentence where it does not.

    GE's acquisition duration may be that of all phases together; it is then shared among them.
    """
    stated = scan.headers[order[-1].series_uid].temporal_resolution_s
    if stated is None or len(times) < 3:
        return stated, ()
    step = float(np.median(np.diff(times[1:])))
    if stated <= LONGEST_PHASE_SHARE * step:
        return stated, ()
    shared = stated / len(times)
    if abs(shared - step) <= WHOLE_EXAM_SHARE * step:
        return shared, (f"The header's duration of {stated:.0f} s is that of all {len(times)} phases together.",)
    return None, (f"The header's phase duration of {stated:.0f} s exceeds the step between phases; it was not used.",)


def _integer(text: str) -> int | None:
    return int(text) if text.strip().lstrip("-").isdigit() else None
