"""Lesion sizes of many exams, from the cohort.csv of `iith batch` or any table with the same columns."""

from __future__ import annotations

import csv
import math
from pathlib import Path

from SubregionHabitatLib.errors import InputError

from .size_change import LesionSize

MAX_BYTES = 200_000_000
COLUMNS = ("ftv_cc", "longest_diameter_mm")

Sizes = dict[tuple[str, str], LesionSize]


def read_sizes(path: str | Path) -> Sizes:
    """(patient, visit) -> sizes, from the columns patient, visit, ftv_cc and longest_diameter_mm; an empty cell is a
    size that is not known. Raises InputError, naming the file, for a table without them or a patient and visit twice.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"The table {path} is larger than {MAX_BYTES // 10**6} MB; give a table of exams.")
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, delimiter="\t" if path.suffix.lower() == ".tsv" else ",", strict=True)
            names = set(reader.fieldnames or ())
            if not {"patient", "visit"} <= names or not names & set(COLUMNS):
                raise InputError(
                    f"The table {path} lacks the columns patient, visit, and ftv_cc or longest_diameter_mm; give the "
                    "cohort.csv of `iith batch`."
                )
            sizes: Sizes = {}
            for row in reader:
                exam = (row["patient"] or "").strip(), (row["visit"] or "").strip()
                if exam in sizes:
                    raise InputError(f"{exam[0]}, visit {exam[1]} is in {path.name} twice; keep one row.")
                sizes[exam] = LesionSize(*(_number(path, exam, name, row.get(name)) for name in COLUMNS))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"The table {path} cannot be read ({reason}); give a CSV text file.") from None
    return sizes


def _number(path: Path, exam: tuple[str, str], name: str, text: str | None) -> float | None:
    if not (text or "").strip():
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < 0:
        raise InputError(f"{name} of {exam[0]}, visit {exam[1]} in {path.name} is '{text[:30]}'; correct the cell.")
    return value
