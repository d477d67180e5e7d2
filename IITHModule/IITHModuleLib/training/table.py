"""Patient tables for training: reading, joining, filtering and turning columns into standard values.

Every row that is not used is counted with its reason.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from SubregionHabitatLib.errors import InputError

from ..case_values import KNOWN_VALUES
from ..table_file import check_workbook, decode, read_bounded, separator_of, unpacked
from ..transforms import TRANSFORMS, needs_positive
from .protocol import FeatureChoice


@dataclass(frozen=True)
class Patients:
    """Complete rows. values: DataFrame of standard values (N rows); event (N,) 0/1; time_days (N,) or None;
    left_out: one sentence per reason, with counts, rows changed included; alternatives: (what, patients) pairs that
    treat impossible values otherwise, for a sensitivity check."""

    values: object
    event: np.ndarray
    time_days: np.ndarray | None
    left_out: tuple[str, ...]
    alternatives: tuple[tuple[str, Patients], ...] = ()

    def design(self, features: tuple[FeatureChoice, ...]) -> np.ndarray:
        """Transformed features (N, P), not yet standardized."""
        return np.column_stack([TRANSFORMS[f.transform](self.values[f.name].to_numpy(float)) for f in features])


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def read_table(path: Path, spec: dict, join_on: str):
    """A CSV (also .gz), TSV or XLSX file as a DataFrame with the patient key ``join_on`` as text.

    spec may name a ``sheet`` and a ``key`` {column, prefix} that makes the patient key from another column.
    """
    import pandas as pd

    path = Path(path)
    if not path.is_file():
        raise InputError(f"The table {path} does not exist; give its path.")
    try:
        if path.suffix.lower() in (".xlsx", ".xlsm"):
            frame = _read_workbook(path, spec.get("sheet", 0))
        else:
            text, _ = decode(unpacked(path, read_bounded(path)), path.name)
            separator = separator_of(text)
            decimal = "," if separator == ";" else "."
            frame = pd.read_csv(io.StringIO(text), sep=separator, decimal=decimal, low_memory=False)
    except (ValueError, OSError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(
            f"The table {path} cannot be read ({str(error)[:120]}); give a CSV, TSV or XLSX file."
        ) from None
    key = spec.get("key")
    if key:
        _require_columns(frame, [key["column"]], path)
        frame[join_on] = key.get("prefix", "") + frame[key["column"]].astype(str)
    _require_columns(frame, [join_on], path)
    frame[join_on] = frame[join_on].astype(str)
    if frame[join_on].duplicated().any():
        raise InputError(f"The table {path} has more than one row for a {join_on}; keep one row per patient.")
    return frame


def _read_workbook(path: Path, sheet):
    import warnings

    import pandas as pd

    try:
        import openpyxl  # noqa: F401
    except ImportError:
        raise InputError(
            f"Reading {path} needs the package openpyxl; run `pip install openpyxl` or save the sheet as CSV."
        ) from None
    data = read_bounded(path)
    check_workbook(path, data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # openpyxl on Excel extensions it skips
        return pd.read_excel(io.BytesIO(data), sheet_name=sheet)


def count(n: int, noun: str = "row") -> str:
    return f"{n:,} {noun}" + ("" if n == 1 else "s")


def join(frames: list, names: list[str], join_on: str, outcome: dict):
    """Inner join of tables on the patient key; returns the frame and a note on rows without a partner.

    A column in two tables is taken from the first; an outcome column in two tables is an InputError.
    """
    frame, notes = frames[0], []
    for other, name in zip(frames[1:], names[1:], strict=True):
        if other is frames[0]:
            continue
        shared = sorted(set(frame.columns) & set(other.columns) - {join_on})
        matched = frame[join_on].isin(other[join_on])
        if not matched.any():
            raise InputError(f"No patient of the table {names[0]} is in the table {name}; check the column {join_on}.")
        unclear = set(shared) & {outcome["event"], outcome.get("time_days")}
        if unclear:
            raise InputError(
                f"The outcome column {min(unclear)} is in {names[0]} and in {name}; remove it from one of them."
            )
        frame = frame[matched].merge(other.drop(columns=shared), on=join_on, how="inner", validate="one_to_one")
        if (~matched).any():
            notes.append(f"{count(int((~matched).sum()))} of {names[0]} without a row in {name}")
    return frame, notes


def apply_filters(frame, keep: tuple[dict, ...], leave_out: tuple[dict, ...]):
    """Rows whose columns equal the wanted values, without the listed ones; returns frame and notes."""
    for rule in keep:
        _require_columns(frame, [rule["column"]], None)
        frame = frame[frame[rule["column"]] == rule["equals"]]
    notes = []
    for rule in leave_out:
        _require_columns(frame, [rule["column"]], None)
        listed = frame[rule["column"]].isin(rule["values"])
        if listed.any():
            notes.append(f"{count(int(listed.sum()))}: {rule['reason']}")
        frame = frame[~listed]
    if frame.empty:
        raise InputError("No row is left after the protocol's filters; check the table and the protocol's 'keep'.")
    return frame, notes


def standard_values(frame, recipes: dict, names: set[str]):
    """Columns with standard names, made by the named recipes column, ratio, percent_change and any_positive."""
    import pandas as pd

    result = {}
    for name in sorted(names):
        recipe = recipes[name]
        kind = recipe["take"]
        if kind == "column":
            column = _numeric(frame, recipe["column"]) * recipe.get("factor", 1)
        elif kind == "ratio":
            denominator = _numeric(frame, recipe["denominator"])
            column = _numeric(frame, recipe["numerator"]) / denominator.where(denominator != 0)
        elif kind == "percent_change":
            first = _numeric(frame, recipe["first"])
            column = 100 * (_numeric(frame, recipe["second"]) - first) / first.where(first > 0)
        elif kind == "any_positive":
            parts = pd.concat([_numeric(frame, c) for c in recipe["columns"]], axis=1)
            column = (parts == 1).any(axis=1).astype(float).where(parts.notna().all(axis=1) | (parts == 1).any(axis=1))
        else:
            raise InputError(f"'{kind}' is no way to make {name}; use column, ratio, percent_change or any_positive.")
        result[name] = column.replace([np.inf, -np.inf], np.nan)
    return pd.DataFrame(result, index=frame.index)


def read_patients(
    frame, recipes: dict, outcome: dict, required: tuple[FeatureChoice, ...], others: set[str], notes: list[str]
) -> Patients:
    """The complete rows for a form: outcome known, every required value there and possible.

    others: standard values that only comparisons need; they may not be missing either, so that all sets are
    compared on the same patients. Raises InputError when nobody or no event is left.
    """
    names = {f.name for f in required} | others
    raw = standard_values(frame, recipes, names)
    values = raw.copy()
    event = _numeric(frame, outcome["event"])
    time = _numeric(frame, outcome["time_days"]) if "time_days" in outcome else None
    notes = list(notes)
    usable = np.ones(len(frame), dtype=bool)

    def drop(bad, reason: str) -> np.ndarray:
        bad = np.asarray(bad, dtype=bool) & usable
        if bad.any():
            notes.append(f"{count(int(bad.sum()))}: {reason}")
        usable[bad] = False
        return bad

    drop(event.isna(), f"{outcome['event']} is empty")
    if not event[usable].isin([0, 1]).all():
        raise InputError(f"The column {outcome['event']} holds values other than 0 and 1; recode it.")
    if time is not None:
        drop(time.isna(), f"{outcome['time_days']} is empty")
        drop(time <= 0, f"{outcome['time_days']} is 0 or negative, which tells nothing")
    for name in sorted(names):
        drop(values[name].isna(), f"{name} is missing")
    for feature in required:
        if needs_positive(feature.transform):
            drop(values[feature.name] <= 0, f"{feature.name} is 0 or negative, so it has no logarithm")
    before = usable.copy()
    limited = np.zeros(len(frame), dtype=bool)
    for name in sorted(names):
        limit = recipes[name].get("at_most")
        if limit is not None:
            above = (values[name] > limit).to_numpy()
            limited |= above
            values[name] = values[name].clip(upper=limit)
            if (above & usable).any():
                notes.append(f"{count(int((above & usable).sum()))}: {name} above {limit:g} was set to {limit:g}")
    for name in sorted(names):
        known = KNOWN_VALUES[name]
        drop(
            (values[name] < known.low) | (values[name] > known.high),
            f"{name} lies outside its possible range {known.low:g} to {known.high:g}",
        )
    for name in sorted(names):
        if KNOWN_VALUES[name].yes_no and not values.loc[usable, name].isin([0, 1]).all():
            raise InputError(f"{name} holds values other than 0 and 1; recode the column in the table.")

    def pick(source, rows: np.ndarray, left_out: tuple[str, ...] = (), alternatives=()) -> Patients:
        return Patients(
            source[rows].reset_index(drop=True),
            event.to_numpy(float)[rows],
            None if time is None else time.to_numpy(float)[rows],
            left_out,
            alternatives,
        )

    alternatives = []
    if (before & (limited | ~usable)).any():
        alternatives.append(("the impossible values kept as they are", pick(raw, before)))
    if (usable & limited).any():
        alternatives.append(("the rows of impossible values left out", pick(values, usable & ~limited)))
    patients = pick(values, usable, tuple(notes), tuple(alternatives))
    if patients.event.size < 20 or not 0 < patients.event.sum() < patients.event.size:
        raise InputError(
            f"Only {patients.event.size} complete patients with {int(patients.event.sum())} events are left; "
            "a model needs more. Check the table and the outcome column."
        )
    return patients


def _numeric(frame, column: str):
    import pandas as pd

    _require_columns(frame, [column], None)
    try:
        return pd.to_numeric(frame[column])
    except (ValueError, TypeError):
        raise InputError(f"The column {column} holds text that is not a number; correct the table.") from None


def _require_columns(frame, columns: list[str], path: Path | None) -> None:
    missing = [c for c in columns if c not in frame.columns]
    if missing:
        where = f"The table {path}" if path else "The table"
        raise InputError(f"{where} has no column {', '.join(missing)}; give the table the protocol was written for.")
