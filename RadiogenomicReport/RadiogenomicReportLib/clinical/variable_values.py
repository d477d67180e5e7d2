"""One typed variable from text cells: numbers, yes/no, categories, follow-up times and events."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from IITHModuleLib.cell_values import (
    convert_unit,
    number,
    read_categories,
    read_dates,
    read_numbers,
    read_yes_no,
)
from IITHModuleLib.table_file import is_missing
from SubregionHabitatLib.errors import InputError

from .column_mapping import ColumnSpec
from .standard_variables import STANDARD, StandardVariable, recognize, unit_in_name

MAX_CATEGORIES = 30
MAX_DAYS = 36525  # of a follow-up: a century


@dataclass(frozen=True)
class Variable:
    """A variable of N patients. kind: number, yes_no, category, time or event; values (N,): floats with NaN where
    missing (yes_no and event 0/1, time in days), or objects with None for a category; levels: of a category, the
    reference first; notes: what was assumed or changed."""

    name: str
    label: str
    kind: str
    unit: str
    values: np.ndarray
    levels: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def known(self) -> np.ndarray:
        """Which values are there (N,)."""
        if self.kind == "category":
            return np.array([v is not None for v in self.values])
        return np.isfinite(self.values)

    def texts(self) -> list[str | None]:
        """The values as group names: levels as they are, yes/no in words."""
        if self.kind == "category":
            return list(self.values)
        words = {0.0: "no", 1.0: "yes"} if self.kind in ("yes_no", "event") else {}
        return [None if not np.isfinite(v) else words.get(float(v), f"{v:g}") for v in self.values]


def make_variable(spec: ColumnSpec, cells: dict, n: int) -> Variable:
    """Make the variable of a specification from the cells of a PatientTable; InputError where they do not fit."""
    absent = [c for c in spec.columns if c not in cells]
    if absent:
        raise InputError(f"The tables have no column '{absent[0][:60]}', which '{spec.name}' is made of.")
    standard = STANDARD.get(spec.name.removeprefix("log:"))
    if standard is None and spec.source == "column" and spec.kind is None and not spec.codes:
        standard = recognize(spec.columns[0])
    if spec.source == "column":
        variable = _from_column(spec, standard, *_coded(spec, *cells[spec.columns[0]]))
    else:
        variable = _derived(spec, standard, [_coded(spec, *cells[c]) for c in spec.columns])
    variable = _limited(spec, variable)
    return _transformed(spec, variable) if spec.transform != "identity" else variable


def _coded(spec: ColumnSpec, where: str, lines: tuple, texts: tuple) -> tuple[str, tuple, tuple]:
    """Cells after the mapping's codes and missing codes."""
    if not spec.codes and not spec.missing:
        return where, lines, texts
    codes = {str(k): "" if v is None else _code_text(v) for k, v in spec.codes.items()}
    result = []
    for text, line in zip(texts, lines, strict=True):
        if text in spec.missing or is_missing(text):
            result.append("")
        elif not codes:
            result.append(text)
        else:
            key = text if text in codes else text.removesuffix(".0")
            if key not in codes:
                raise InputError(
                    f"Line {line} of {where}: {spec.name} has the code '{text[:40]}', which the column mapping does "
                    "not name; add it there."
                )
            result.append(codes[key])
    return where, lines, tuple(result)


def _code_text(value) -> str:
    if isinstance(value, bool):
        return str(int(value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _from_column(spec: ColumnSpec, standard: StandardVariable | None, where: str, lines, texts) -> Variable:
    kind = spec.kind or (standard.kind if standard else _guess(texts))
    label = spec.label or (standard.label if standard else spec.columns[0])
    column = spec.columns[0]
    if kind in ("yes_no", "event"):
        return Variable(spec.name, label, kind, "", read_yes_no(texts, lines, column, where, kind == "event"))
    if kind == "category":
        # Codes of the mapping are levels already.
        level = standard.level if standard and standard.kind == "category" and not spec.codes else None
        values = read_categories(texts, lines, column, where, level)
        return Variable(spec.name, label, kind, "", values, _levels(spec, standard, values, column))
    unit = spec.unit or (standard.unit if standard else "") or ""
    notes: tuple[str, ...] = ()
    if kind == "time":
        given = spec.unit or unit_in_name(column)
        if given is None:
            raise InputError(f"The unit of the follow-up times in '{column}' is unknown; say days, months or years.")
        values = read_numbers(texts, lines, column, where) * convert_unit(given, "days", column)
        for bad, what in ((values < 0, "negative"), (values > MAX_DAYS, "longer than a century")):
            if bad.any():
                raise InputError(
                    f"Line {lines[np.flatnonzero(bad)[0]]} of {where}: the follow-up time {column} is {what}; correct "
                    "the cell or the unit of the column."
                )
        return Variable(spec.name, label, "time", "days", values)
    if kind != "number":
        raise InputError(f"'{kind}' is no kind of variable ({spec.name}); use number, yes_no, category, time or event.")
    wanted = standard.unit if standard and standard.kind == "number" else unit
    factor = convert_unit(spec.unit, wanted, spec.name) if spec.unit and wanted else 1.0
    low, high = _range(spec, standard)
    values = read_numbers(texts, lines, column, where, low / factor, high / factor) * factor
    if (
        wanted == "percent"
        and not spec.unit
        and np.isfinite(values).any()
        and np.nanmax(values) <= 1 < np.isfinite(values).sum()
    ):
        values, notes = (
            values * 100,
            (f"{column} holds values from 0 to 1 only and was read as fractions, not percent",),
        )
    return Variable(spec.name, label, "number", wanted, values, (), notes)


def _range(spec: ColumnSpec, standard: StandardVariable | None) -> tuple[float, float]:
    low, high = (standard.low, standard.high) if standard and standard.kind == "number" else (-np.inf, np.inf)
    return (low if spec.low is None else spec.low), (high if spec.high is None else spec.high)


def _guess(texts) -> str:
    known = {t for t in texts if not is_missing(t)}
    values = {number(t) for t in known}
    if None not in values:
        return "yes_no" if values <= {0.0, 1.0} else "number"
    return "category"


def _levels(spec: ColumnSpec, standard: StandardVariable | None, values, column: str) -> tuple[str, ...]:
    found = {v for v in values if v is not None}
    order = spec.levels or (standard.levels if standard and standard.kind == "category" else ())
    unknown = found - set(order) if spec.levels else set()
    if unknown:
        raise InputError(
            f"'{sorted(unknown)[0][:40]}' in {column} is none of the levels that the mapping names; add it."
        )
    if len(found) > MAX_CATEGORIES:
        raise InputError(
            f"The column {column} holds {len(found)} different texts, too many to compare; choose another."
        )
    return tuple(v for v in order if v in found) + tuple(sorted(found - set(order)))


def _derived(spec: ColumnSpec, standard: StandardVariable | None, columns: list) -> Variable:
    label = spec.label or (standard.label if standard else spec.name)
    if spec.source == "present":
        _, _, texts = columns[0]
        values = np.array([0.0 if is_missing(t) else 1.0 for t in texts])
        return Variable(spec.name, label, spec.kind or "yes_no", "", values)
    if spec.source == "any_positive":
        parts = np.array([read_yes_no(t, lines, c, w) for c, (w, lines, t) in zip(spec.columns, columns, strict=True)])
        positive, complete = (parts == 1).any(axis=0), np.isfinite(parts).all(axis=0)
        return Variable(
            spec.name, label, spec.kind or "yes_no", "", np.where(positive, 1.0, np.where(complete, 0.0, np.nan))
        )
    if spec.source == "days_between":
        return _duration(spec, label, columns)
    first, second = (read_numbers(t, lines, c, w) for c, (w, lines, t) in zip(spec.columns, columns, strict=True))
    with np.errstate(divide="ignore", invalid="ignore"):
        if spec.source == "ratio":
            values = np.where(second != 0, first / second, np.nan)
        else:
            values = np.where(first != 0, 100 * (second - first) / np.abs(first), np.nan)
    lost = int((np.isfinite(first) & np.isfinite(second) & ~np.isfinite(values)).sum())
    notes = (f"{spec.name} is missing for {lost} patients because it would divide by 0",) if lost else ()
    unit = spec.unit or ("percent" if spec.source == "change" else "")
    return Variable(spec.name, label, "number", unit, np.where(np.isfinite(values), values, np.nan), (), notes)


def _duration(spec: ColumnSpec, label: str, columns: list) -> Variable:
    dates = [
        read_dates(t, lines, c, w, spec.date_format) for c, (w, lines, t) in zip(spec.columns, columns, strict=True)
    ]
    where, lines, _ = columns[0]
    values = np.full(len(lines), np.nan)
    for k, start in enumerate(dates[0]):
        end = next((d[k] for d in dates[1:] if d[k] is not None), None)
        if start is None or end is None:
            continue
        values[k] = (end - start).days
        if not 0 <= values[k] <= MAX_DAYS:
            fault = "ends before it begins" if values[k] < 0 else "lasts longer than a century"
            raise InputError(f"Line {lines[k]} of {where}: {spec.name} {fault} ({spec.columns[0]}); correct the dates.")
    if (spec.kind or "time") == "time":
        return Variable(spec.name, label, "time", "days", values)
    return Variable(
        spec.name, label, "number", spec.unit or "days", values * convert_unit("days", spec.unit or "days", spec.name)
    )


def _limited(spec: ColumnSpec, variable: Variable) -> Variable:
    zero = variable.values == 0 if spec.zero_is_missing and variable.kind == "number" else np.zeros(0, dtype=bool)
    if zero.any():
        note = f"{spec.name} is 0, which stands for not measured, in {int(zero.sum())} of the rows"
        variable = replace(variable, values=np.where(zero, np.nan, variable.values), notes=(*variable.notes, note))
    if spec.at_most is None or variable.kind != "number":
        return variable
    above = variable.values > spec.at_most
    if not above.any():
        return variable
    note = f"{spec.name} was above {spec.at_most:g} and set to {spec.at_most:g} in {int(above.sum())} of the rows"
    return replace(variable, values=np.minimum(variable.values, spec.at_most), notes=(*variable.notes, note))


def _transformed(spec: ColumnSpec, variable: Variable) -> Variable:
    if variable.kind != "number" or spec.transform not in ("log", "log2"):
        raise InputError(f"{spec.name} cannot be transformed by '{spec.transform}'; only numbers have a log or log2.")
    lost = int((variable.values <= 0).sum())
    notes = (f"{lost} values of {spec.name} are 0 or negative and have no logarithm",) if lost else ()
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.where(variable.values > 0, np.log(variable.values), np.nan)
    values = values / np.log(2) if spec.transform == "log2" else values
    label = f"{spec.transform} {variable.label}" if not spec.label else variable.label
    return replace(
        variable,
        label=label,
        unit=f"{spec.transform} {variable.unit}".strip(),
        values=values,
        notes=(*variable.notes, *notes),
    )
