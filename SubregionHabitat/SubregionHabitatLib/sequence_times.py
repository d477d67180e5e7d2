"""Times of phases outside their DICOM files: by a sequence's index, an importer's notes, or a database of headers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from .exam import Timing
from .timing import MIN_SPAN_S, MIN_STEP_S, seconds_of_day, unroll_day, unwrap_midnight

SECONDS_PER_UNIT = {
    "s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0, "ms": 1e-3, "msec": 1e-3, "millisecond": 1e-3,
    "milliseconds": 1e-3, "min": 60.0, "minute": 60.0, "minutes": 60.0,
}  # fmt: skip
# Tags by which Slicer's importer orders frames and that are clocks, with how far each can be trusted.
IMPORTER_CLOCKS = {
    "TriggerTime": "high", "AcquisitionTime": "high", "ContentTime": "high", "SeriesTime": "medium",
    "DeltaStartTime": "medium",
}  # fmt: skip
# Tags of a phase's header that are clocks, in the order in which a DICOM folder's are taken.
HEADER_CLOCKS = {
    "ContentTime": "0008,0033", "TriggerTime": "0018,1060", "AcquisitionTime": "0008,0032", "SeriesTime": "0008,0031",
}  # fmt: skip


def index_times(name: str, unit: str, values: Sequence[str]) -> tuple[tuple[float, ...], Timing] | None:
    """Seconds from the first frame by a sequence's index; None when the index only counts the frames.

    name, unit: of the index; it must be called time and have a unit of time. Slicer's own defaults are "time" and
    "s" even where the values are frame numbers, so that 0, 1, 2, ... are no times.
    """
    seconds_per_unit = SECONDS_PER_UNIT.get(unit.strip().lower())
    numbers = numbers_of(values)
    if name.strip().lower() != "time" or seconds_per_unit is None or numbers is None or are_frame_numbers(numbers):
        return None
    times = tuple(round((n - numbers[0]) * seconds_per_unit, 6) for n in numbers)
    sources = ("sequence index",) * len(times)
    return times, Timing("sequence index", "medium", phase_sources=sources)


def importer_times(tag: str, unit: str, labels: str) -> tuple[tuple[float, ...], Timing] | None:
    """Seconds from the first frame by what Slicer's multi-volume importer noted; None when that is no clock."""
    seconds_per_unit = SECONDS_PER_UNIT.get(unit.strip().lower())
    numbers = numbers_of(labels.split(","))
    if tag not in IMPORTER_CLOCKS or seconds_per_unit is None or numbers is None:
        return None
    seconds = unwrap_midnight([n * seconds_per_unit for n in numbers])
    times = tuple(round(s - seconds[0], 6) for s in seconds)
    return times, Timing(tag, IMPORTER_CLOCKS[tag], phase_sources=(tag,) * len(times))


def header_times(clocks: Mapping[str, Sequence[str]]) -> tuple[tuple[float, ...], Timing] | None:
    """Seconds from the first phase, in the order given, by what the phases' headers say; None when no clock tells.

    clocks: tag of HEADER_CLOCKS -> its text in one image of each phase, "" where it is absent. A clock counts when it
    is known for every phase, tells all of them apart and spans an exam; ContentTime, which can be that of a
    reconstruction, gives way to a clock of the acquisition that orders the phases otherwise.
    """
    usable = {tag: seconds for tag in HEADER_CLOCKS if (seconds := _clock(tag, clocks.get(tag, ()))) is not None}
    if not usable:
        return None

    def order(tag: str) -> list[int]:
        return sorted(range(len(usable[tag])), key=usable[tag].__getitem__)

    tag = next(iter(usable))
    if tag == "ContentTime":
        others = (t for t in ("AcquisitionTime", "TriggerTime") if t in usable and order(t) != order(tag))
        tag = next(others, tag)
    times = tuple(round(second - min(usable[tag]), 3) for second in usable[tag])
    confidence = "low" if tag == "SeriesTime" else "medium"
    return times, Timing(tag, confidence, phase_sources=(tag,) * len(times))


def _clock(tag: str, texts: Sequence[str]) -> list[float] | None:
    seconds = [v / 1000 for v in numbers_of(texts) or ()] if tag == "TriggerTime" else [*map(seconds_of_day, texts)]
    if len(seconds) < 2 or None in seconds:
        return None
    seconds = seconds if tag == "TriggerTime" else unroll_day(seconds)
    ordered = sorted(seconds)
    apart = all(later - earlier >= MIN_STEP_S for earlier, later in pairwise(ordered))
    return seconds if apart and ordered[-1] - ordered[0] >= MIN_SPAN_S else None


def numbers_of(words: Sequence[str]) -> list[float] | None:
    try:
        return [float(word) for word in words] or None
    except ValueError:
        return None


def are_frame_numbers(values: Sequence[float]) -> bool:
    """0, 1, 2 .. or 1, 2, 3 ..: counting, not seconds between phases of a breast exam."""
    return values[0] in (0.0, 1.0) and all(v == values[0] + i for i, v in enumerate(values))
