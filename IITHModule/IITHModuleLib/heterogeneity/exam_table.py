"""Feature tables of many exams read back: those of `iith features` and `iith batch`, wide or tidy, .csv or .csv.gz."""

from __future__ import annotations

import csv
import gzip
import math
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from SubregionHabitatLib.errors import InputError

from .feature_matrix import FeatureKey, FeatureMatrix

# Of the text itself, so that a small packed file cannot fill the memory.
MAX_CHARACTERS = 4_000_000_000
SEPARATOR = "|"
_TIDY = ("region", "image", "feature", "value")
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")


@dataclass(frozen=True)
class ExamTable:
    """Features of N exams. patients, visits: of every row, a patient and visit occur once; values (N, P) float64, NaN
    where missing; preset, preset_digest: "" where the table does not say; n_empty: exams left out without any value
    (those that failed); source: the file's name for messages."""

    patients: tuple[str, ...]
    visits: tuple[str, ...]
    keys: tuple[FeatureKey, ...] = field(repr=False)
    values: np.ndarray = field(repr=False)
    preset: str
    preset_digest: str
    n_empty: int
    source: str

    def visit_names(self) -> tuple[str, ...]:
        """The visits that occur, in the order of the table."""
        return tuple(dict.fromkeys(self.visits))

    def visit(self, name: str) -> FeatureMatrix:
        """The patients' features at one visit. Raises InputError where the table has no such visit."""
        rows = [i for i, visit in enumerate(self.visits) if visit == name]
        if not rows:
            held = ", ".join(v or "(empty)" for v in self.visit_names())
            raise InputError(f"The table {self.source} has no visit {name!r}; it has {held}.")
        return self._matrix(rows)

    def one_per_patient(self) -> FeatureMatrix:
        """Every row as a patient. Raises InputError where a patient has two visits."""
        twice = [p for p in dict.fromkeys(self.patients) if self.patients.count(p) > 1]
        if twice:
            raise InputError(
                f"The patient {twice[0]} has more than one visit in {self.source}; keep one visit of every patient."
            )
        return self._matrix(range(len(self.patients)))

    def by_exam(self) -> FeatureMatrix:
        """Every row under its patient, and "patient visit" where visits are named."""
        names = [f"{p} {v}".strip() for p, v in zip(self.patients, self.visits, strict=True)]
        return FeatureMatrix(tuple(names), self.keys, self.values, self.preset, self.preset_digest)

    def _matrix(self, rows: Sequence[int] | range) -> FeatureMatrix:
        rows = list(rows)
        names = tuple(self.patients[i] for i in rows)
        return FeatureMatrix(names, self.keys, self.values[rows], self.preset, self.preset_digest)


def read_exam_table(path: str | Path) -> ExamTable:
    """Read a feature table; the patient is the column ``patient``, or ``result`` where that is empty.

    Wide: columns named region|image|feature. Tidy: columns region, image, feature and value. Raises InputError, naming
    the file, for anything else, a patient and visit twice, rows of different presets, or no value at all.
    """
    path = Path(path)
    with _lines(path) as lines:
        reader = csv.reader(lines, strict=True)
        header = next(reader, [])
        columns = {name: i for i, name in reversed(list(enumerate(header)))}
        if len(columns) < len(header):
            raise InputError(f"The feature table {path.name} names a column twice; write it again by `iith features`.")
        if all(name in columns for name in _TIDY):
            found = _read_tidy(path, reader, columns)
        elif any(name.count(SEPARATOR) == 2 for name in header):
            found = _read_wide(path, reader, header, columns)
        else:
            raise InputError(
                f"{path} is no feature table: it has neither columns region|image|feature nor region, image, feature "
                "and value; give one of `iith features` or `iith batch`."
            )
    return _table(path, *found)


def exam_cells(path: str | Path, names: Sequence[str]) -> dict[tuple[str, str], dict[str, str]]:
    """(patient, visit) -> the texts of further columns ``names`` of a wide table, those that it has."""
    path = Path(path)
    with _lines(path) as lines:
        reader = csv.reader(lines, strict=True)
        header = next(reader, [])
        columns = {name: i for i, name in reversed(list(enumerate(header)))}
        identity = _identity(path, columns)
        return {
            identity(cells)[0]: {name: cells[columns[name]] for name in names if name in columns}
            for cells in reader
            if len(cells) == len(header)
        }


def two_visits(table: ExamTable, asked: Sequence[str] | None = None) -> tuple[str, str]:
    """First and second visit: those asked for, or the only two that the table has when a number in their names orders
    them. Raises InputError where neither says which comes first."""
    if asked is not None:
        if len(asked) != 2 or asked[0] == asked[1]:
            raise InputError("Two different visits are needed; give for example --visits T0,T1.")
        return asked[0], asked[1]
    names = table.visit_names()
    numbers = [_NUMBER.findall(name) for name in names]
    plain = {_NUMBER.sub("", name) for name in names}
    if len(names) == 2 and len(plain) == 1 and all(len(n) == 1 for n in numbers) and numbers[0] != numbers[1]:
        first, second = sorted(names, key=lambda name: float(_NUMBER.findall(name)[0]))
        return first, second
    held = ", ".join(v or "(empty)" for v in names)
    raise InputError(
        f"The table {table.source} has the visits {held}, which do not say which two to compare in which order; give "
        "them by --visits FIRST,SECOND."
    )


@contextmanager
def _lines(path: Path) -> Iterator[Iterator[str]]:
    """The lines of a text or gzip file; every fault of reading it, also later, is an InputError naming it."""
    try:
        opener = gzip.open if path.name.lower().endswith(".gz") else open
        with opener(path, "rt", encoding="utf-8-sig", newline="") as stream:
            yield _bounded(path, stream)
    except (OSError, EOFError, UnicodeDecodeError, csv.Error, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"The feature table {path} cannot be read ({reason}); give a CSV table in UTF-8.") from None


def _bounded(path: Path, stream) -> Iterator[str]:
    left = MAX_CHARACTERS
    while line := stream.readline(left + 1):
        left -= len(line)
        if left < 0:
            raise InputError(f"The feature table {path} is larger than {MAX_CHARACTERS // 10**9} GB; split it.")
        yield line


Found = tuple[list[tuple[str, str]], tuple[FeatureKey, ...], np.ndarray, list[tuple[str, str]]]


def _read_wide(path: Path, reader, header: list[str], columns: dict[str, int]) -> Found:
    places = [i for i, name in enumerate(header) if name.count(SEPARATOR) == 2]
    keys = tuple(FeatureKey(*header[i].split(SEPARATOR)) for i in places)
    identity = _identity(path, columns)
    exams, presets, rows = [], [], []
    for cells in reader:
        if len(cells) != len(header):
            raise InputError(f"Line {reader.line_num} of {path.name} is not complete; write the table again.")
        exam, preset = identity(cells)
        exams.append(exam)
        presets.append(preset)
        rows.append(np.array([_number(path, exam, keys[k], cells[i]) for k, i in enumerate(places)]))
    return exams, keys, np.array(rows).reshape(len(rows), len(keys)), presets


def _read_tidy(path: Path, reader, columns: dict[str, int]) -> Found:
    places = [columns[name] for name in _TIDY]
    identity = _identity(path, columns)
    exams: dict[tuple[str, str], int] = {}
    keys: dict[FeatureKey, int] = {}
    presets, cells_of = [], {}
    for cells in reader:
        if len(cells) != len(columns):
            raise InputError(f"Line {reader.line_num} of {path.name} is not complete; write the table again.")
        exam, preset = identity(cells)
        row = exams.setdefault(exam, len(exams))
        if row == len(presets):
            presets.append(preset)
        elif presets[row] != preset:
            raise InputError(f"{_name(exam)} has two presets in {path.name}; extract its features again with one.")
        region, image, feature, text = (cells[i] for i in places)
        key = FeatureKey(region, image, feature)
        place = row, keys.setdefault(key, len(keys))
        if place in cells_of:
            raise InputError(f"{_name(exam)} has {key} twice in {path.name}; tell exams apart by the column visit.")
        cells_of[place] = _number(path, exam, key, text)
    values = np.full((len(exams), len(keys)), np.nan)
    for place, value in cells_of.items():
        values[place] = value
    return list(exams), tuple(keys), values, presets


def _identity(path: Path, columns: dict[str, int]) -> Callable:
    """A function from a row's cells to ((patient, visit), (preset, digest))."""
    names = [name for name in ("patient", "patient_id", "result") if name in columns]
    if not names:
        raise InputError(f"The feature table {path.name} has neither a column patient nor result; add one.")

    def text(cells: list[str], name: str) -> str:
        return cells[columns[name]].strip() if name in columns else ""

    def identity(cells: list[str]) -> tuple[tuple[str, str], tuple[str, str]]:
        patient = next((text(cells, name) for name in names if text(cells, name)), "")
        if not patient:
            raise InputError(f"A row of the feature table {path.name} names no patient; complete it.")
        return (patient, text(cells, "visit")), (text(cells, "preset"), text(cells, "preset_digest"))

    return identity


def _number(path: Path, exam: tuple[str, str], key: FeatureKey, text: str) -> float:
    if text == "":
        return math.nan
    try:
        value = float(text)
    except ValueError:
        value = math.inf
    if not math.isfinite(value):
        raise InputError(f"{key} of {_name(exam)} in {path.name} is '{text[:40]}', no finite number; correct the cell.")
    return value


def _table(path: Path, exams, keys, values: np.ndarray, presets) -> ExamTable:
    if len(set(exams)) < len(exams):
        twice = next(exam for exam in exams if exams.count(exam) > 1)
        raise InputError(f"{_name(twice)} is in {path.name} twice; tell exams apart by the column visit.")
    kept = np.flatnonzero(np.isfinite(values).any(axis=1)) if values.size else []
    if not len(kept):
        raise InputError(f"The feature table {path} holds no value; give the table of exams that were analyzed.")
    made_by = sorted({presets[i] for i in kept})
    if len(made_by) > 1:
        names = ", ".join(f"{name} ({digest[:8]})" for name, digest in made_by)
        raise InputError(f"The exams in {path.name} were made with different presets: {names}; extract all with one.")
    return ExamTable(
        patients=tuple(exams[i][0] for i in kept),
        visits=tuple(exams[i][1] for i in kept),
        keys=keys,
        values=values[kept],
        preset=made_by[0][0],
        preset_digest=made_by[0][1],
        n_empty=len(exams) - len(kept),
        source=path.name,
    )


def _name(exam: tuple[str, str]) -> str:
    return f"{exam[0]}, visit {exam[1]}" if exam[1] else exam[0]
