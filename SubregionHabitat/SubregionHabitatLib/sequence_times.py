"""Times of the frames of a sequence file: only where its index says that it is time, and in which unit."""

from __future__ import annotations

from collections.abc import Sequence

from .exam import Timing
from .timing import unwrap_midnight

SECONDS_PER_UNIT = {
    "s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0, "ms": 1e-3, "msec": 1e-3, "millisecond": 1e-3,
    "milliseconds": 1e-3, "min": 60.0, "minute": 60.0, "minutes": 60.0,
}  # fmt: skip
# Tags by which Slicer's importer orders frames and that are clocks, with how far each can be trusted.
IMPORTER_CLOCKS = {
    "TriggerTime": "high", "AcquisitionTime": "high", "ContentTime": "high", "SeriesTime": "medium",
    "DeltaStartTime": "medium",
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


def numbers_of(words: Sequence[str]) -> list[float] | None:
    try:
        return [float(word) for word in words] or None
    except ValueError:
        return None


def are_frame_numbers(values: Sequence[float]) -> bool:
    """0, 1, 2 .. or 1, 2, 3 ..: counting, not seconds between phases of a breast exam."""
    return values[0] in (0.0, 1.0) and all(v == values[0] + i for i, v in enumerate(values))
