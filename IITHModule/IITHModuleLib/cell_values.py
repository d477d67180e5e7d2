"""Text cells to numbers, categories and dates; whatever does not fit is refused with its line and the remedy."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import date, datetime

import numpy as np

from SubregionHabitatLib.errors import InputError

from .table_file import is_missing

DAYS = {"days": 1.0, "weeks": 7.0, "months": 30.4375, "years": 365.25}
# Factor from the first unit to the second.
_UNITS = {
    ("mm3", "cm3"): 1e-3, ("cm3", "mm3"): 1e3, ("cc", "cm3"): 1.0, ("mm", "cm"): 0.1, ("cm", "mm"): 10.0,
    ("fraction", "percent"): 100.0, ("percent", "fraction"): 0.01,
} | {(a, b): DAYS[a] / DAYS[b] for a in DAYS for b in DAYS}  # fmt: skip
_YES = frozenset(("1", "1.0", "yes", "y", "true", "t", "positive", "pos", "+", "present", "ja", "high"))
_NO = frozenset(("0", "0.0", "no", "n", "false", "f", "negative", "neg", "absent", "nein", "low"))
_EVENT = _YES | {"dead", "deceased", "recurred", "relapsed", "event", "recurred/progressed", "progressed", "died"}
_NO_EVENT = _NO | {"alive", "living", "censored", "diseasefree", "disease free", "no event", "no recurrence"}
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_GROUPED = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?")
_COMMA = re.compile(r"[+-]?\d+,\d+([eE][+-]?\d+)?")
# 1.234,5: points group the digits, so that the comma can only be the decimal sign.
_POINTED = re.compile(r"[+-]?\d{1,3}(\.\d{3})+,\d+")
_POINT_GROUPED = re.compile(r"[+-]?\d{1,3}(\.\d{3})+")
_GROUP_ONLY = re.compile(r"[+-]?\d{1,3}((,\d{3}){2,}(\.\d+)?|,\d{3}\.\d+)")


def number(cell: str) -> float | None:
    """A number written 1234.5, 1,234.5, 1.234,5 or 1234,5; else None.

    One comma before exactly three digits can be either: 0,512 and 1234,567 are decimal, 1,234 is 1234; what the rest of
    a column says about it is looked at by ``with_points``.
    """
    text = cell.replace("\u2212", "-").strip()
    if _POINTED.fullmatch(text):
        text = text.replace(".", "").replace(",", ".")
    elif _decides(text):
        text = text.replace(",", ".")
    elif _GROUPED.fullmatch(text):
        text = text.replace(",", "")
    if not _NUMBER.fullmatch(text):
        return None
    value = float(text)
    return value if np.isfinite(value) else None


def _decides(text: str) -> bool:
    """Whether a cell can only be read with its comma as decimal sign."""
    if _POINTED.fullmatch(text):
        return True
    return bool(_COMMA.fullmatch(text)) and (not _GROUPED.fullmatch(text) or text.lstrip("+-").startswith("0"))


def has_decimal_commas(cells: Sequence[str]) -> bool | None:
    """How the commas of a column's numbers are meant, from its cells together: True as decimal signs, False as marks
    of thousands, None where some cells say the one and some the other."""
    texts = [c.replace("\u2212", "-").strip() for c in cells if "," in c]
    decimal = any(_decides(t) for t in texts)
    grouped = any(_GROUP_ONLY.fullmatch(t) for t in texts)
    return None if decimal and grouped else decimal


def convert_unit(unit: str, wanted: str, name: str) -> float:
    """Factor between two units; InputError where there is none."""
    if unit == wanted:
        return 1.0
    try:
        return _UNITS[(unit, wanted)]
    except KeyError:
        raise InputError(
            f"{name} is given in '{unit}', which cannot be turned into '{wanted}'; correct its unit."
        ) from None


def with_points(cells: Sequence[str], name: str, where: str) -> tuple[str, ...]:
    """The cells of a column of numbers with decimal commas, where they are meant so, written as points; InputError
    where its commas mark decimals in one cell and thousands in another."""
    meant = has_decimal_commas(cells)
    if meant is None:
        raise InputError(
            f"The commas in {name[:60]} of {where} are decimal signs in some cells and mark thousands in others; write "
            "its numbers in one way."
        )
    if not meant:
        return tuple(cells)
    # Beside decimal commas a point before three digits can only mark thousands; no cell may leave that open.
    if any(_POINT_GROUPED.fullmatch(c.strip()) for c in cells):
        if not any(_POINTED.fullmatch(c.strip()) for c in cells):
            raise InputError(
                f"{name[:60]} of {where} has decimal commas in some cells and points before three digits in others; "
                "write its numbers in one way."
            )
        cells = [c.replace(".", "") if _POINT_GROUPED.fullmatch(c.strip()) else c for c in cells]
    return tuple(c.replace(",", ".") if _COMMA.fullmatch(c.strip()) else c for c in cells)


def read_numbers(cells, lines, name: str, where: str, low: float = -np.inf, high: float = np.inf) -> np.ndarray:
    """Numbers (N,) with NaN where a cell is missing; InputError names the first line that holds something else, or the
    column where its commas mark decimals in one cell and thousands in another."""
    values = np.full(len(cells), np.nan)
    for k, cell in enumerate(with_points(cells, name, where)):
        if is_missing(cell):
            continue
        value = number(cell)
        if value is None:
            raise InputError(
                f"Line {lines[k]} of {where}: {name} is '{cell[:40]}', which is no number; correct the cell, or name "
                "it as a missing code in the column mapping."
            )
        if not low <= value <= high:
            raise InputError(
                f"Line {lines[k]} of {where}: {name} is {value:g}, outside the possible {low:g} to {high:g}; correct "
                "the cell or state its unit in the column mapping."
            )
        values[k] = value
    return values


def read_yes_no(cells, lines, name: str, where: str, event: bool = False) -> np.ndarray:
    """1, 0 and NaN (N,). Forms such as "1:DECEASED" are read by their digit."""
    yes, no = (_EVENT, _NO_EVENT) if event else (_YES, _NO)
    values = np.full(len(cells), np.nan)
    for k, cell in enumerate(cells):
        if is_missing(cell):
            continue
        word = cell.strip().lower()
        word = word.split(":", 1)[0] if re.match(r"[01]:", word) else word
        if word in yes:
            values[k] = 1.0
        elif word in no:
            values[k] = 0.0
        else:
            raise InputError(
                f"Line {lines[k]} of {where}: {name} is '{cell[:40]}', not yes or no (1 or 0); correct the cell or "
                "give codes for the column in the column mapping."
            )
    return values


def read_categories(cells, lines, name: str, where: str, level: Callable[[str], str | None] | None) -> np.ndarray:
    """Level names (N,) as objects, None where missing. ``level`` turns a cell into its level or None."""
    values = np.full(len(cells), None, dtype=object)
    for k, cell in enumerate(cells):
        if is_missing(cell):
            continue
        found = cell.strip() if level is None else level(cell.strip())
        if found is None:
            raise InputError(
                f"Line {lines[k]} of {where}: {name} has the unknown code '{cell[:40]}'; correct the cell or give "
                "codes for the column in the column mapping."
            )
        values[k] = found
    return values


def read_dates(cells, lines, name: str, where: str, form: str | None = None) -> list[date | None]:
    """Dates written year-month-day, day.month.year, or with slashes where the column itself tells day from month.

    form: a strptime format such as %d/%m/%Y for everything else.
    """
    if form is None:
        form = _date_form(cells, name)
    dates: list[date | None] = []
    for cell, line in zip(cells, lines, strict=True):
        if is_missing(cell):
            dates.append(None)
            continue
        try:
            dates.append(datetime.strptime(cell.strip().split(" ")[0].split("T")[0], form).date())
        except ValueError:
            raise InputError(
                f"Line {line} of {where}: {name} is '{cell[:30]}', no date of the form {form}; correct the cell or "
                "give date_format in the column mapping."
            ) from None
    return dates


def _date_form(cells, name: str) -> str:
    known = [c.strip() for c in cells if not is_missing(c)]
    if not known or "-" in known[0] or not any("/" in c or "." in c for c in known):
        return "%Y-%m-%d"
    if "." in known[0]:
        return "%d.%m.%Y"
    parts = [c.split("/") for c in known if "/" in c]
    first, second = ([int(p[k]) for p in parts if len(p) == 3 and p[k].isdigit()] for k in (0, 1))
    if first and max(first) > 31:
        return "%Y/%m/%d"
    if first and max(first) > 12:
        return "%d/%m/%Y"
    if second and max(second) > 12:
        return "%m/%d/%Y"
    raise InputError(f"The dates in {name} do not tell day from month; give date_format in the column mapping.")
