"""One table of features from many result folders: wide (one row per exam) or tidy (one row per value)."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from IITHModuleLib.features import COLUMNS, FeatureRow, FeatureTable
from IITHModuleLib.untrusted_json import read_json
from SubregionHabitatLib.errors import InputError

from .result_folder import CASE_FILE, is_result_folder
from .table_writer import check_table_path, write_table

FEATURES_FILE = "features.csv"
MAX_FEATURES_BYTES = 500_000_000
MAX_CASE_BYTES = 50_000_000
# preset, its digest and engine say how the features were made: tables of different ones do not compare.
EXAM_COLUMNS = ("result", "patient", "visit", "preset", "preset_digest", "engine")
FORMS = ("wide", "tidy")


@dataclass(frozen=True)
class TableExam:
    """One exam of a table. result: its name there; folder: its result folder, None where there is no result."""

    result: str
    folder: Path | None
    patient: str = ""
    visit: str = ""

    def cells(self) -> list[str]:
        made_by = ("", "", "") if self.folder is None else radiomics_of(self.folder)
        return [self.result, self.patient, self.visit, *made_by]


def radiomics_of(folder: Path) -> tuple[str, str, str]:
    """Preset, its digest and engine of a result; empty texts where the case file does not say. InputError, naming the
    file, where it is damaged."""
    case, _ = read_json(folder / CASE_FILE, "case file", MAX_CASE_BYTES)
    parameters = case.get("parameters")
    used = parameters.get("radiomics") if isinstance(parameters, dict) else None
    used = used if isinstance(used, dict) else {}
    return tuple(str(used.get(name, "")) for name in ("preset", "preset_digest", "engine"))


def result_features(folder: Path) -> FeatureTable:
    """The features of a result folder as they were measured; InputError, naming the folder, where they are damaged."""
    rows = tuple(
        FeatureRow(*key, None if value == "" else float(value), unit, reason)
        for key, (value, unit, reason) in feature_rows(folder)
    )
    preset, digest, engine = radiomics_of(folder)
    return FeatureTable(rows, preset, digest, engine, "")


def write_feature_table(exams: Sequence[TableExam], path: Path, form: str = "wide") -> int:
    """Write the features of ``exams``, in their order, and return the number of features (columns when wide).

    wide: one row per exam, one column ``region|image|feature`` per feature in the order of first appearance; a cell is
    empty where the value is missing or the exam has no such image. tidy: one row per value with unit and, where it is
    missing, the reason. path ends in .csv or .csv.gz; the same results in the same order give the same bytes. One exam
    is held in memory at a time. Raises InputError for a folder that holds no usable result.
    """
    check_table_path(path)
    columns = feature_columns(exams)
    if form == "tidy":
        write_table(path, (*EXAM_COLUMNS, *COLUMNS), _tidy_rows(exams))
    else:
        write_table(path, (*EXAM_COLUMNS, *("|".join(key) for key in columns)), _wide_rows(exams, columns))
    return len(columns)


def feature_columns(exams: Sequence[TableExam]) -> list[tuple[str, str, str]]:
    """(region, image, feature) of everything any exam has, in the order of first appearance."""
    columns: dict[tuple[str, str, str], None] = {}
    for exam in exams:
        columns.update(dict.fromkeys(key for key, _ in feature_rows(exam.folder)))
    return list(columns)


def feature_rows(folder: Path | None) -> Iterator[tuple[tuple[str, str, str], list[str]]]:
    """((region, image, feature), [value, unit, reason]) of a result folder; nothing where ``folder`` is None.

    Raises InputError, naming the folder, where features.csv is missing, damaged or names a feature twice.
    """
    if folder is None:
        return
    path = folder / FEATURES_FILE
    fault = f"The result {folder} has no usable {FEATURES_FILE} ({{}}); analyze the exam again."
    if not is_result_folder(folder):
        raise InputError(f"{folder} is no result folder of `iith analyze`; name folders that hold a case.json.")
    seen = set()
    try:
        if path.stat().st_size > MAX_FEATURES_BYTES:
            raise InputError(fault.format("it is too large"))
        with path.open(encoding="utf-8", newline="") as stream:
            reader = csv.reader(stream, strict=True)
            if tuple(next(reader, ())) != COLUMNS:
                raise InputError(fault.format(f"its columns are not {', '.join(COLUMNS)}"))
            for row in reader:
                if len(row) != len(COLUMNS):
                    raise InputError(fault.format(f"line {reader.line_num} is not complete"))
                key, rest = tuple(row[:3]), row[3:]
                if key in seen:
                    raise InputError(fault.format(f"line {reader.line_num} repeats {'|'.join(key)[:120]}"))
                if not _is_value(rest[0]):
                    raise InputError(fault.format(f"line {reader.line_num} holds a value that is no finite number"))
                seen.add(key)
                yield key, rest
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(fault.format(getattr(error, "strerror", None) or error)) from None


def _is_value(text: str) -> bool:
    if text == "":
        return True
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _wide_rows(exams: Sequence[TableExam], columns: list[tuple[str, str, str]]) -> Iterator[list[str]]:
    for exam in exams:
        values = {key: rest[0] for key, rest in feature_rows(exam.folder)}
        yield exam.cells() + [values.get(key, "") for key in columns]


def _tidy_rows(exams: Sequence[TableExam]) -> Iterator[list[str]]:
    for exam in exams:
        cells = exam.cells()
        for key, rest in feature_rows(exam.folder):
            yield [*cells, *key, *rest]
