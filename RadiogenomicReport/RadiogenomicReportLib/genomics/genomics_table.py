"""A patient's row of a genomics.csv, which ``iith genomics`` makes of a cohort."""

from __future__ import annotations

import math
from pathlib import Path

from IITHModuleLib.table_file import TextTable, is_missing, read_text_table
from IITHModuleLib.untrusted_json import read_json
from SubregionHabitatLib.errors import InputError

from ..clinical.standard_variables import plain
from .genomics_folder import RECORD
from .sample_features import Value

_PATIENT = ("patient", "patientid", "sample", "sampleid")
_MAX_RECORD_BYTES = 50_000_000
_MAX_REASONS = 3


def read_genomics_table(path: Path) -> tuple[TextTable, tuple[str, ...]]:
    """The table and the patient of each row. Raises InputError where it names no patients or has no features."""
    table = read_text_table(Path(path))
    column = next((c for c in table.columns if plain(c) in _PATIENT), None)
    if column is None:
        raise InputError(f"{table.name} has no column patient; give the genomics.csv of `iith genomics`.")
    if len(table.columns) < 2:
        raise InputError(f"{table.name} has no column beside {column}; give the genomics.csv of `iith genomics`.")
    return table, table.columns[column]


def table_values(path: Path, table: TextTable, row: int) -> dict[str, Value | str]:
    """Every feature of a row: a number, a text, or missing with the reasons that the table's genomics.json names."""
    reasons = _reasons(Path(path).with_name(RECORD[0]))
    values: dict[str, Value | str] = {}
    for name, cells in table.columns.items():
        if plain(name) in _PATIENT:
            continue
        values[name] = _value(cells[row], reasons.get(name, f"the cell of {table.name} is empty"))
    return values


def _value(cell: str, reason: str) -> Value | str:
    if is_missing(cell):
        return Value(None, reason)
    try:
        number = float(cell)
    except ValueError:
        return cell
    return Value(number) if math.isfinite(number) else Value(None, "the table holds no finite number")


def _reasons(record: Path) -> dict[str, str]:
    """feature -> why it is missing, as far as the record beside a table tells; of several patients with several
    reasons, all of them."""
    if not record.is_file():
        return {}
    content, _ = read_json(record, "record of `iith genomics`", _MAX_RECORD_BYTES)
    missing = content.get("missing")
    if content.get("schema") != RECORD[1] or not isinstance(missing, dict):
        return {}
    found = {}
    for name, counts in missing.items():
        known = [str(reason)[:200] for reason in counts][:_MAX_REASONS] if isinstance(counts, dict) else []
        if known:
            found[str(name)] = " or: ".join(known)
    return found
