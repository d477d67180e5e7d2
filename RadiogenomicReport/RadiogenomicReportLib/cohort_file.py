"""The cohort file of ``iith batch``: a CSV table with one exam per row."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from SubregionHabitatLib.errors import InputError

MAX_BYTES = 50_000_000
# Columns that name files, relative to the cohort file; `exam` may name several, separated by semicolons.
FILE_COLUMNS = ("exam", "voi", "lesion", "omit", "add", "remove", "other_lesions", "breast")
# Further columns with the meaning of the option of `iith analyze` of that name.
OPTION_COLUMNS = ("box", "seed_point", "space", "times", "injection", "no_times", "series", "early", "late")
# Clinical values that models read; these cells are also carried into the table of results.
CLINICAL_COLUMNS = ("hr", "her2", "age", "n_stage", "longest_diameter", "longest_diameter_change")
_OTHER_NAMES = {
    "patient_id": "patient",
    "age_years": "age",
    "longest_diameter_mm": "longest_diameter",
    "longest_diameter_change_percent": "longest_diameter_change",
}
_KNOWN = ("patient", "visit", *FILE_COLUMNS, *OPTION_COLUMNS, *CLINICAL_COLUMNS)


@dataclass(frozen=True)
class CohortRow:
    """One exam. line: its first line in the file; cells: known column -> text, empty cells left out; carried: column
    -> text of the clinical columns and of all that mean nothing to this program, in the order of the file."""

    line: int
    patient: str
    visit: str
    cells: dict[str, str]
    carried: dict[str, str]

    def name(self) -> str:
        """The exam for messages."""
        return f"{self.patient}, visit {self.visit}" if self.visit else self.patient


@dataclass(frozen=True)
class Cohort:
    """folder: what the file's relative paths start from; carried: names of the carried columns in their order."""

    rows: tuple[CohortRow, ...]
    carried: tuple[str, ...]
    folder: Path

    def unknown(self) -> tuple[str, ...]:
        """Carried columns that mean nothing to this program."""
        return tuple(name for name in self.carried if _plain(name) not in CLINICAL_COLUMNS)


def read_cohort(path: Path) -> Cohort:
    """Read a cohort file: UTF-8 with commas (.tsv: tabs); column names without regard to case, space or dash.

    Needed are the columns ``patient`` and ``exam``; ``visit`` tells exams of one patient apart. Faults of the table
    raise InputError here; faults of one exam (a missing image, say) are found when it is analyzed.
    """
    path = Path(path)
    header, lines = _read(path)
    names = [_plain(name) for name in header]
    for name in ("patient", "exam"):
        if name not in names:
            raise InputError(f"The cohort {path.name} has no column {name}; add it (its columns: {_listed(header)}).")
    twice = {name for name in names if name and names.count(name) > 1}
    if twice:
        raise InputError(f"The cohort {path.name} has the column {min(twice)} more than once; keep one.")
    carried = tuple(text for text, name in zip(header, names, strict=True) if _is_carried(name))
    rows = tuple(_row(path, line, header, names, cells) for line, cells in lines)
    if not rows:
        raise InputError(f"The cohort {path.name} holds no exam; add one row per exam.")
    _refuse_double(path, rows)
    return Cohort(rows, carried, path.parent)


def _read(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Header, and (line, cells) of every row that is not blank."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(
                f"The cohort {path.name} is larger than {MAX_BYTES // 10**6} MB; give a CSV table of exams."
            )
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, delimiter="\t" if path.suffix.lower() == ".tsv" else ",", strict=True)
            header = [name.strip() for name in next(reader, [])]
            lines, line = [], reader.line_num + 1
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    lines.append((line, cells))
                line = reader.line_num + 1
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"The cohort {path.name} cannot be read ({reason}); give a CSV table in UTF-8.") from None
    if len(header) == 1 and ";" in header[0]:
        raise InputError(f"The cohort {path.name} is separated by semicolons; save it with commas.")
    return header, lines


def _row(path: Path, line: int, header: list[str], names: list[str], cells: list[str]) -> CohortRow:
    if len(cells) > len(header) and any(cell.strip() for cell in cells[len(header) :]):
        raise InputError(
            f"Line {line} of the cohort {path.name} has {len(cells)} cells and the header {len(header)}; "
            "put cells that hold commas in quotes."
        )
    cells = [cell.strip() for cell in cells] + [""] * (len(header) - len(cells))
    known = {name: cell for name, cell in zip(names, cells, strict=False) if name in _KNOWN and cell}
    if "patient" not in known:
        raise InputError(f"Line {line} of the cohort {path.name} names no patient; complete it.")
    carried = {text: cell for text, name, cell in zip(header, names, cells, strict=False) if _is_carried(name)}
    return CohortRow(line, known.pop("patient"), known.pop("visit", ""), known, carried)


def _refuse_double(path: Path, rows: tuple[CohortRow, ...]) -> None:
    seen: dict[tuple[str, str], int] = {}
    for row in rows:
        first = seen.setdefault((row.patient, row.visit), row.line)
        if first != row.line:
            raise InputError(
                f"The cohort {path.name} has patient {row.name()} on lines {first} and {row.line}; "
                "tell the exams apart by the column visit."
            )


def _plain(name: str) -> str:
    name = "_".join(name.lower().replace("-", " ").replace("_", " ").split())
    return _OTHER_NAMES.get(name, name)


def _is_carried(name: str) -> bool:
    return name != "" and (name not in _KNOWN or name in CLINICAL_COLUMNS)


def _listed(header: list[str]) -> str:
    return ", ".join(header)[:200] or "none"
