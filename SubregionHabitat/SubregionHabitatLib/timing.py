"""Phase times: DICOM clock strings to seconds, and which phases count as early and late."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from itertools import pairwise

from .errors import InputError

DAY_S = 86400.0
EARLY_TARGET_S = 150.0
LATE_TARGET_S = 450.0
# Clock readings that span less than this over an exam are reconstruction times, not acquisition times (UCSF: 59 s).
MIN_SPAN_S = 59.0
MIN_STEP_S = 1.5
# UCSF's rule trusts a phase duration from the header only in this range (seconds).
PLAUSIBLE_RESOLUTION_S = (30.0, 120.0)

_CLOCK = re.compile(r"^(\d{2}):?(\d{2})?:?(\d{2})?(\.\d+)?$")
_DATETIME = re.compile(r"^(\d{4})(\d{2})(\d{2})(\d{2})(\d{2})?(\d{2})?(\.\d+)?([+-]\d{4})?$")


def seconds_of_day(text: str | None) -> float | None:
    """Seconds since midnight of a DICOM TM value ("102551", "10:25:51.25", "1025"), or None if unreadable."""
    match = _CLOCK.match(str(text).strip()) if text else None
    if not match:
        return None
    hours, minutes, seconds = (int(v) if v else 0 for v in match.groups()[:3])
    if hours > 23 or minutes > 59 or seconds > 60:
        return None
    return hours * 3600 + minutes * 60 + seconds + float(match.group(4) or 0)


def day_number(text: str | None) -> int | None:
    """Days since 1 January of year 1 of a DICOM DA value ("20260131"), or None if unreadable."""
    from datetime import date

    digits = str(text).strip().replace(".", "") if text else ""
    if not re.fullmatch(r"\d{8}", digits):
        return None
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:])).toordinal()
    except ValueError:
        return None


def seconds_of_datetime(text: str | None) -> float | None:
    """Absolute seconds of a DICOM DT value ("20260131102551.25"), or None if unreadable."""
    match = _DATETIME.match(str(text).strip()) if text else None
    if not match:
        return None
    day = day_number("".join(match.groups()[:3]))
    clock = seconds_of_day("".join(v or "" for v in match.groups()[3:6]) + (match.group(7) or ""))
    return None if day is None or clock is None else day * DAY_S + clock


def unwrap_midnight(times_s: list[float]) -> list[float]:
    """Add a day after each step back of more than 12 hours (phases in order of acquisition)."""
    unwrapped: list[float] = []
    offset = 0.0
    for index, value in enumerate(times_s):
        if index and value + offset < unwrapped[-1] - DAY_S / 2:
            offset += DAY_S
        unwrapped.append(value + offset)
    return unwrapped


def unroll_day(times_s: list[float]) -> list[float]:
    """Times of day in any order with a day added to those after midnight.

    Readings of one calendar day, or without a date, that lie on both sides of a gap of more than 12 hours belong to a
    night: many scanners date the study only, so that the hour after midnight seems to come before the evening.
    Readings of several days come back as they are.
    """
    if not times_s or max(times_s) - min(times_s) <= DAY_S / 2 or max(times_s) // DAY_S != min(times_s) // DAY_S:
        return list(times_s)
    ordered = sorted(set(times_s))
    gap, last_after_midnight = max((later - earlier, earlier) for earlier, later in pairwise(ordered))
    if gap <= DAY_S / 2:
        return list(times_s)
    return [t + DAY_S if t <= last_after_midnight else t for t in times_s]


@dataclass(frozen=True)
class PhaseChoice:
    """Indices of the pre-contrast (always 0), early and late phases, and the rule that chose them."""

    early: int
    late: int
    rule: str


def choose_early_late(
    times_s: tuple[float, ...],
    temporal_resolution_s: float | None = None,
    early: int | None = None,
    late: int | None = None,
    known: bool = True,
) -> PhaseChoice:
    """Which post-contrast phases are early and late (algorithms.md section 1, the rule of UCSF's FTV tool).

    times_s: start of each phase in seconds, pre-contrast first. The centre of phase i, start + half a phase
    duration, is compared with 150 s (early) and 450 s (late) after the start of the first post-contrast phase;
    the nearest phase wins, the first of equals. Two post-contrast phases are early and late as they stand. When
    the rule names one phase twice, or the first of more than two as early, it is repeated as if phases followed
    one another without gaps. ``early``/``late`` override it. ``known=False`` says that the times are the phases'
    order only: the first and the last post-contrast phase are then early and late.
    Raises InputError for fewer than two post-contrast phases or an override that does not name one.
    """
    n_post = len(times_s) - 1
    if n_post < 2:
        raise InputError(
            f"The exam has {n_post} post-contrast phase; SER and wash-out need at least two. Add the missing phase."
        )
    if known:
        chosen_early, chosen_late, rule = _rule(times_s, temporal_resolution_s)
    else:
        chosen_early, chosen_late, rule = 1, n_post, "first and last post-contrast phase, because no times are known"
    if early is not None or late is not None:
        chosen_early = chosen_early if early is None else early
        chosen_late = chosen_late if late is None else late
        rule = "chosen by the user"
    for name, index in (("early", chosen_early), ("late", chosen_late)):
        if not 1 <= index <= n_post:
            raise InputError(
                f"The {name} phase {index} does not exist; choose a post-contrast phase from 1 to {n_post}."
            )
    if chosen_early >= chosen_late:
        raise InputError(
            f"The early phase ({chosen_early}) must come before the late phase ({chosen_late}); "
            "choose --early and --late in order."
        )
    return PhaseChoice(chosen_early, chosen_late, rule)


def _rule(times_s: tuple[float, ...], header_resolution_s: float | None) -> tuple[int, int, str]:
    post = [t - times_s[1] for t in times_s[1:]]
    if len(post) == 2:
        return 1, 2, "the only two post-contrast phases"
    resolution = header_resolution_s
    low, high = PLAUSIBLE_RESOLUTION_S
    if resolution is None or not math.isfinite(resolution) or not low <= resolution <= high:
        resolution = post[1] - post[0]
    early, late = _nearest_pair([t + resolution / 2 for t in post])
    rule = "centre nearest to 150 s and 450 s after the start of the first post-contrast phase"
    if early == late or early == 1:
        early, late = _nearest_pair([resolution * (k + 0.5) for k in range(len(post))])
        rule += ", phases counted as contiguous"
    if early >= late:
        late = len(post)
        early = min(early, late - 1)
        rule += "; the last phase taken as late because the exam ends early"
    return early, late, rule


def _nearest_pair(centres_s: list[float]) -> tuple[int, int]:
    def nearest(target: float) -> int:
        return min(range(len(centres_s)), key=lambda i: (abs(centres_s[i] - target), i)) + 1

    return nearest(EARLY_TARGET_S), nearest(LATE_TARGET_S)
