"""Patients with typed variables: tables joined on the patient, every variable made and checked when it is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from IITHModuleLib.table_file import EXCEL_SUFFIXES, TextTable, is_missing, read_text_table
from SubregionHabitatLib.errors import InputError

from .column_mapping import EMPTY, ColumnMapping, ColumnSpec
from .standard_variables import PATIENT_SYNONYMS, STANDARD, plain, recognize
from .variable_values import Variable, make_variable

MAX_LEVELS = 12


@dataclass(frozen=True)
class PatientTable:
    """One row per patient. patients (N,): the keys as the tables write them; lines (N,): line in the first table;
    cells: column -> (table name, lines, text cells) aligned with ``patients``; sources: name, digest and rows of each
    file; notes: what was joined, assumed or left out."""

    patients: tuple[str, ...]
    lines: tuple[int, ...]
    cells: dict[str, tuple[str, tuple[int, ...], tuple[str, ...]]]
    mapping: ColumnMapping
    sources: tuple[dict, ...]
    notes: tuple[str, ...]
    key: str | None = None
    _made: dict[str, Variable] = field(default_factory=dict, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.patients)

    def variable(self, name: str) -> Variable:
        """The variable of that name: of the mapping, a standard one recognized in the tables, or a column as it is.

        "log:NAME" is its natural logarithm. Raises InputError when there is none, or its cells do not fit.
        """
        if name not in self._made:
            self._made[name] = self._make(name)
        return self._made[name]

    def variable_as(self, name: str, kind: str, unit: str | None) -> Variable:
        """The variable read as another kind, and in ``unit`` where given; InputError where its cells do not fit."""
        spec = self._spec(name)
        column = spec.source == "column"
        changed = replace(spec, kind=kind, unit=(unit or spec.unit) if column else spec.unit)
        return make_variable(changed, self.cells, len(self))

    def _make(self, name: str) -> Variable:
        if name.startswith("log:"):
            base = self._spec(name[4:])
            return make_variable(replace(base, name=name, transform="log"), self.cells, len(self))
        return make_variable(self._spec(name), self.cells, len(self))

    def _spec(self, name: str) -> ColumnSpec:
        if name in self.mapping.columns:
            return self.mapping.columns[name]
        if name in STANDARD:
            found = [c for c in self.cells if recognize(c) is STANDARD[name]]
            if len(found) > 1:
                raise InputError(
                    f"The columns {' and '.join(found[:3])} both look like {STANDARD[name].label}; say which one in a "
                    "column mapping (--columns)."
                )
            if found:
                return ColumnSpec(name, "column", (found[0],))
        if name in self.cells:
            return ColumnSpec(name, "column", (name,))
        close = [c for c in self.cells if plain(c) == plain(name)]
        if len(close) == 1:
            return ColumnSpec(name, "column", (close[0],))
        known = ", ".join([*self.mapping.columns, *self.recognized(), *self.cells][:12])
        raise InputError(f"There is no variable or column '{name[:60]}'; the tables have {known} and so on.")

    def recognized(self) -> tuple[str, ...]:
        """Names of the standard variables found by column name and not mapped otherwise."""
        found = {v.name for c in self.cells if (v := recognize(c)) is not None}
        return tuple(n for n in STANDARD if n in found and n not in self.mapping.columns)

    def usable_names(self) -> tuple[str, ...]:
        """Mapped, recognized and remaining columns that hold numbers, yes/no or few categories, without the key."""
        used = {c for s in self.mapping.columns.values() for c in s.columns}
        names = [*self.mapping.columns, *self.recognized()]
        for column, (_, _, cells) in self.cells.items():
            if column in used or column == self.key or recognize(column) is not None:
                continue
            known = {c for c in cells if not is_missing(c)}
            if known and (len(known) <= MAX_LEVELS or _all_numbers(known)):
                names.append(column)
        return tuple(names)


def _all_numbers(texts) -> bool:
    from IITHModuleLib.cell_values import number

    return all(number(t) is not None for t in texts)


def read_patient_table(paths: Sequence[Path], mapping: ColumnMapping = EMPTY) -> PatientTable:
    """Read and join one or more tables on the patient.

    Every patient has one row per table; a second row is refused, saying whether it repeats or contradicts the first.
    Patients that are not in all tables are left out and counted. Without a patient column a single table is taken row
    by row. Raises InputError.
    """
    return join_tables(_read_all([Path(p) for p in paths], mapping), mapping)


def join_tables(tables: Sequence[TextTable], mapping: ColumnMapping = EMPTY) -> PatientTable:
    """Join tables of text cells on the patient, as read_patient_table does with files."""
    keys = [_key_column(table, mapping, single=len(tables) == 1) for table in tables]
    for table, key in zip(tables, keys, strict=True):
        if key is not None:
            _refuse_repeats(table, key)
    first, notes = tables[0], [note for table in tables for note in table.notes]
    if keys[0] is None:
        patients, rows = tuple(f"row {line}" for line in first.lines), [range(len(first))]
        notes.append(f"{first.name} has no patient column; every row counts as one patient")
    else:
        patients, rows = _join(tables, keys, notes)
    cells: dict[str, tuple[str, tuple[int, ...], tuple[str, ...]]] = {}
    for table, chosen in zip(tables, rows, strict=True):
        lines = tuple(table.lines[r] for r in chosen)
        for column, texts in table.columns.items():
            picked = tuple(texts[r] for r in chosen)
            if column in cells:
                notes += _compare_shared(column, cells[column], (table.name, lines, picked))
                continue
            cells[column] = (table.name, lines, picked)
    sources = tuple({"name": t.name, "sha256": t.sha256, "rows": len(t)} for t in tables)
    return PatientTable(patients, cells[next(iter(first.columns))][1], cells, mapping, sources, tuple(notes), keys[0])


def _read_all(paths: list[Path], mapping: ColumnMapping) -> list[TextTable]:
    tables = []
    for path in paths:
        sheets = mapping.sheets if path.suffix.lower() in EXCEL_SUFFIXES and mapping.sheets else (None,)
        tables += [read_text_table(path, sheet) for sheet in sheets]
    if not tables:
        raise InputError("No table is given; name at least one CSV, TSV or XLSX file.")
    return tables


def _key_column(table: TextTable, mapping: ColumnMapping, single: bool) -> str | None:
    if mapping.patient is not None:
        names = [c for c in table.columns if plain(c) == plain(mapping.patient)]
        if not names:
            names = [c for c in table.columns if plain(c) in PATIENT_SYNONYMS]
        if not names:
            raise InputError(f"The table {table.name} has no patient column '{mapping.patient}'; give the right table.")
        return names[0]
    found = [c for c in table.columns if plain(c) in PATIENT_SYNONYMS]
    best = sorted(found, key=lambda c: PATIENT_SYNONYMS.index(plain(c)))
    if best:
        return best[0]
    if single:
        return None
    raise InputError(f"The table {table.name} has no patient column to join on; name one patient_id, or use --columns.")


def _refuse_repeats(table: TextTable, key: str) -> None:
    seen: dict[str, int] = {}
    for row, patient in enumerate(table.columns[key]):
        if is_missing(patient):
            raise InputError(
                f"Line {table.lines[row]} of {table.name} has no patient in '{key}'; fill it or remove it."
            )
        before = seen.setdefault(patient, row)
        if before == row:
            continue
        differing = [c for c, cells in table.columns.items() if cells[row] != cells[before]]
        lines = f"lines {table.lines[before]} and {table.lines[row]} of {table.name}"
        if differing:
            a, b = table.columns[differing[0]][before], table.columns[differing[0]][row]
            raise InputError(
                f"The patient '{patient[:60]}' is on {lines} with conflicting values ({differing[0][:40]}: '{a[:30]}' "
                f"and '{b[:30]}'); keep one row per patient."
            )
        raise InputError(f"The patient '{patient[:60]}' is on {lines} twice; keep one row per patient.")


def _join(tables, keys, notes: list[str]) -> tuple[tuple[str, ...], list[list[int]]]:
    places = [{p: r for r, p in enumerate(t.columns[k])} for t, k in zip(tables, keys, strict=True)]
    patients = tuple(p for p in places[0] if all(p in other for other in places[1:]))
    if not patients:
        raise InputError(f"No patient of {tables[0].name} is in {tables[1].name}; check that both name patients alike.")
    for table, place in zip(tables, places, strict=True):
        lost = len(place) - len(patients)
        if lost:
            notes.append(f"{lost:,} of {len(place):,} rows of {table.name} have no partner in the other tables")
    return patients, [[place[p] for p in patients] for place in places]


def _compare_shared(column: str, kept, other) -> list[str]:
    different = sum(a != b and not is_missing(a) and not is_missing(b) for a, b in zip(kept[2], other[2], strict=True))
    if not different:
        return []
    return [f"the column {column} differs between {kept[0]} and {other[0]} for {different} patients; the first is used"]


def number_of(values: np.ndarray) -> int:
    """How many values are known."""
    return int(sum(v is not None and v == v for v in values))
