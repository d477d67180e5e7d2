"""Phase times that the user gives: a list, or a CSV, TXT or JSON file; and the start of the injection."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path

from .errors import InputError
from .exam import DceExam
from .timing import seconds_of_day, unroll_day

MAX_BYTES = 1_000_000
# Names of a column or JSON key, without regard to case and punctuation, and what one unit is in seconds.
_NAMES = {
    **dict.fromkeys(("times", "timess", "timesec", "timeseconds", "time", "seconds", "sec", "s", "t"), 1.0),
    **dict.fromkeys(("timemin", "timeminutes", "timesmin", "minutes", "min"), 60.0),
    **dict.fromkeys(("timems", "timesms", "milliseconds", "ms", "triggertime"), 1e-3),
    # BIDS; and clock times, which are recognized by their colons
    **dict.fromkeys(("volumetiming", "clock", "acquisitiontime", "contenttime"), 1.0),
}
_FILE_SUFFIXES = (".csv", ".tsv", ".txt", ".json")


def read_times(text_or_path: str | Path) -> tuple[float, ...]:
    """Phase times in seconds, pre-contrast first.

    text_or_path: "0,90,180", or a file of that content. A text file holds one time per line, one list, or a table
    with a column named time, seconds, time_min or time_ms; a JSON file a list, or an object with such a key. Times
    of day ("10:25:51") become seconds from the first. Raises InputError for anything else.
    """
    path = Path(text_or_path)
    named = isinstance(text_or_path, Path) or str(text_or_path).lower().endswith(_FILE_SUFFIXES)
    if not named and not _is_file(path):
        return _seconds(_words(str(text_or_path)), 1.0, f"--times {str(text_or_path)!r}")
    what = f"The times file {path.name}"
    try:
        size = path.stat().st_size
        content = path.read_bytes() if size <= MAX_BYTES else b""
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{what} cannot be read ({reason}); check the path given to --times.") from error
    if size > MAX_BYTES:
        raise InputError(f"{what} is {size} bytes long, which no list of times is; check the path given to --times.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{what} is not a text file; give one time in seconds per line.") from None
    words, unit = _from_json(text, what) if path.suffix.lower() == ".json" else _from_text(text, what)
    return _seconds(words, unit, what)


def with_injection(exam: DceExam, injection_s: float | None) -> DceExam:
    """The exam with the start of the injection in ``timing.injection_s`` (seconds from the pre-contrast phase).

    None takes it away. The phase times stay as they are. Raises InputError unless the injection lies after the start
    of the pre-contrast phase and before that of the first post-contrast phase.
    """
    if injection_s is None:
        return replace(exam, timing=replace(exam.timing, injection_s=None))
    if not exam.timing.known:
        raise InputError("An injection time needs phase times, which this exam does not carry; give them with --times.")
    if not math.isfinite(injection_s) or not exam.times_s[0] <= injection_s < exam.times_s[1]:
        raise InputError(
            f"The injection at {injection_s:g} s does not lie between the pre-contrast phase at {exam.times_s[0]:g} s "
            f"and the first post-contrast phase at {exam.times_s[1]:g} s; correct it."
        )
    return replace(exam, timing=replace(exam.timing, injection_s=float(injection_s)))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a long list of times is no file name
        return False


def _words(text: str) -> list[str]:
    """The values of a list; with semicolons as separators a comma is a decimal comma."""
    if ";" in text:
        return [part.strip().replace(",", ".") for part in text.strip().strip(";").split(";")]
    return re.split(r"\s*,\s*|\s+", text.strip().strip("[]()").strip())


def _seconds(words: list[str], unit: float, what: str) -> tuple[float, ...]:
    clocks = [seconds_of_day(w) if ":" in w else None for w in words]
    if words and None not in clocks:
        unrolled = unroll_day(clocks)
        return tuple(round(c - unrolled[0], 6) for c in unrolled)
    try:
        times = tuple(float(word) * unit for word in words)
    except ValueError:
        raise InputError(f"{what} is not a list of seconds; write for example --times 0,90,180.") from None
    if not all(math.isfinite(t) for t in times):
        raise InputError(f"{what} holds a value that is not a finite number; correct it.")
    return times


def _from_json(text: str, what: str) -> tuple[list[str], float]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise InputError(f"{what} is not valid JSON; correct it or give a text file.") from None
    unit = 1.0
    if isinstance(content, dict):
        keys = [key for key in content if _plain(key) in _NAMES and isinstance(content[key], list)]
        if len(keys) != 1:
            raise InputError(f'{what} needs exactly one list of times, for example {{"times_s": [0, 90, 180]}}.')
        content, unit = content[keys[0]], _NAMES[_plain(keys[0])]
    allowed = isinstance(content, list) and all(
        isinstance(v, int | float | str) and not isinstance(v, bool) for v in content
    )
    if not allowed:
        raise InputError(f"{what} is not a list of seconds; write for example [0, 90, 180].")
    return [str(v) for v in content], unit


def _from_text(text: str, what: str) -> tuple[list[str], float]:
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    if not lines:
        raise InputError(f"{what} is empty; give one time in seconds per line.")
    if re.search(r"[A-Za-z]{1,}", re.sub(r"\d[eE][+-]?\d|\b(inf|nan)\b", "", lines[0], flags=re.IGNORECASE)):
        return _from_table(lines, what)
    if len(lines) == 1:
        return _words(lines[0]), 1.0
    rows = [_words(line) for line in lines]
    if any(len(row) != 1 for row in rows):
        raise InputError(f"{what} holds several columns; name that of the times in a first line, for example time_s.")
    return [row[0] for row in rows], 1.0


def _from_table(lines: list[str], what: str) -> tuple[list[str], float]:
    separator = next((s for s in (";", "\t", ",") if s in lines[0]), None)
    rows = [[cell.strip().strip("\"'") for cell in line.split(separator)] for line in lines]
    found = [k for k, name in enumerate(rows[0]) if _plain(name) in _NAMES]
    if len(found) != 1:
        raise InputError(f"{what} needs exactly one column of times, named for example time_s or time_min.")
    column = found[0]
    if any(len(row) <= column for row in rows):
        raise InputError(f"{what} has a row without a time; complete it.")
    words = [row[column].replace(",", ".") for row in rows[1:]]
    return words, _NAMES[_plain(rows[0][column])]


def _plain(name: str) -> str:
    return re.sub(r"[^a-z]", "", name.lower())
