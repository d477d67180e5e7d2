"""Tables as text cells: CSV, TSV (also gzip) and Excel workbooks, with the line of every row.

Files are untrusted: sizes are bounded before and while reading, and nothing in a cell is computed.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import re
import warnings
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path

from SubregionHabitatLib.errors import InputError

MAX_BYTES = 400_000_000
MAX_ROWS = 1_000_000
EXCEL_SUFFIXES = (".xlsx", ".xlsm")
# What stands for "not known" in tables of all origins, in lower case.
MISSING_WORDS = frozenset(
    (
        "", "na", "n/a", "n.a.", "#n/a", "nan", "none", "null", "nil", ".", "-", "--", "?", "unknown", "[unknown]",
        "unk", "not available", "[not available]", "not reported", "not evaluated", "[not evaluated]", "not applicable",
        "[not applicable]", "missing",
    )
)  # fmt: skip

# A cell with a formula and no value after it: its place and its attributes.
_EMPTY_FORMULA = re.compile(
    rb'<c r="([A-Z]{1,3}[0-9]{1,7})"([^>]*)>\s*<f(?:[^>]*/>|[^>]*>[^<]*</f>)\s*(?:<v\s*/>|<v>\s*</v>)?\s*</c>'
)
_DECIMAL = re.compile(r"[+\u2212-]?\d+(,\d+)?([eE][+-]?\d+)?")


@dataclass(frozen=True)
class TextTable:
    """A table of stripped text cells. name: the file (and sheet) without its folder; columns: name -> cells (N,);
    lines (N,): line (or sheet row) of each table row; notes: what was assumed while reading."""

    name: str
    columns: dict[str, tuple[str, ...]]
    lines: tuple[int, ...]
    sha256: str
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.lines)


def is_missing(cell: str) -> bool:
    """Whether a cell says that nothing is known."""
    return cell.strip().lower() in MISSING_WORDS


def read_text_table(path: Path, sheet: str | None = None) -> TextTable:
    """Read a table; the separator (comma, semicolon or tab) is the one that the first line holds most.

    Raises InputError for what is no table: absent, too large, binary, without rows, with a column name twice, or with
    a row longer than the header.
    """
    path = Path(path)
    data = read_bounded(path)
    digest = hashlib.sha256(data).hexdigest()
    if path.suffix.lower() in EXCEL_SUFFIXES:
        rows, notes, name = _workbook_rows(path, data, sheet), [], f"{path.name}, sheet {sheet or '1'}"
        return _as_table(rows, name, digest, tuple(notes))
    text, notes = decode(unpacked(path, data), path.name)
    separator = separator_of(text)
    table = _as_table(_text_rows(text, separator, path.name), path.name, digest, tuple(notes))
    return _with_decimal_points(table) if separator == ";" else table


def read_bounded(path: Path, limit: int = MAX_BYTES) -> bytes:
    """The bytes of a file of at most ``limit``; InputError where it cannot be read or is larger."""
    try:
        if not path.is_file():
            raise InputError(f"The table {path} does not exist or is no file; give its path.")
        if path.stat().st_size > limit:
            raise InputError(f"The table {path.name} is larger than {limit // 1_000_000:,} MB; give a smaller one.")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"The table {path.name} cannot be read ({error.strerror}); check the file.") from None


def unpacked(path: Path, data: bytes) -> bytes:
    """The bytes inside a gzip file, or the bytes themselves; InputError where damaged or too large."""
    if data[:2] != b"\x1f\x8b":
        return data
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
            unpacked = stream.read(MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error):
        raise InputError(f"The file {path.name} is a damaged gzip file; get it again.") from None
    if len(unpacked) > MAX_BYTES:
        raise InputError(f"The file {path.name} holds more than {MAX_BYTES // 1_000_000:,} MB; give a smaller one.")
    return unpacked


def decode(data: bytes, name: str) -> tuple[str, list[str]]:
    """Text of a file in UTF-8, UTF-16 with its mark, or else Windows' Western alphabet, with a note in that case."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        try:
            return data.decode("utf-16"), []
        except UnicodeDecodeError:
            raise InputError(f"The file {name} is damaged UTF-16 text; save it as UTF-8.") from None
    if b"\x00" in data:
        raise InputError(f"The file {name} is binary, not a table of text; give a CSV, TSV or XLSX file.")
    try:
        return data.decode("utf-8-sig"), []
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace"), [f"{name} is not UTF-8; it was read as Windows-1252 text"]


def separator_of(text: str) -> str:
    """The separator of a table of text: the one of comma, semicolon and tab that its first line holds most."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    return max(",;\t", key=first.count) if any(s in first for s in ",;\t") else ","


def _with_decimal_points(table: TextTable) -> TextTable:
    """Columns of numbers with decimal commas written with points: a file is separated by semicolons where commas are
    decimal signs, so that 1,234 is no thousand there."""
    columns, changed = {}, []
    for name, cells in table.columns.items():
        known = [c for c in cells if not is_missing(c)]
        if any("," in c for c in known) and all(_DECIMAL.fullmatch(c) for c in known):
            changed.append(name)
            cells = tuple(c.replace(",", ".") for c in cells)
        columns[name] = cells
    if not changed:
        return table
    note = f"{table.name} is separated by semicolons; the commas in {', '.join(changed)[:200]} are decimal signs"
    return replace(table, columns=columns, notes=(*table.notes, note))


def _text_rows(text: str, separator: str, name: str) -> list[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    rows = []
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                rows.append((reader.line_num, [cell.strip() for cell in cells]))
            if len(rows) > MAX_ROWS:
                raise InputError(f"The table {name} has more than {MAX_ROWS:,} rows; give a smaller one.")
    except csv.Error as error:
        raise InputError(f"Line {reader.line_num} of {name} cannot be read as a table ({error}); correct it.") from None
    return rows


def check_workbook(path: Path, data: bytes) -> None:
    """Raise InputError for a workbook that unpacks to more than is ever read; BadZipFile for what is none."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > MAX_BYTES:
            raise InputError(
                f"The workbook {path.name} unpacks to more than {MAX_BYTES // 1_000_000:,} MB; give a smaller one."
            )


def _workbook_rows(path: Path, data: bytes, sheet: str | None) -> list[tuple[int, list[str]]]:
    try:
        import openpyxl
    except ImportError:
        raise InputError(
            f"Reading {path.name} needs the package openpyxl; run `pip install openpyxl` or save the sheet as CSV."
        ) from None
    try:
        check_workbook(path, data)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # extensions that openpyxl skips
            book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
            if sheet is not None and sheet not in book.sheetnames:
                known = ", ".join(book.sheetnames)
                raise InputError(f"The workbook {path.name} has no sheet '{sheet}'; it has {known}. Name one of these.")
            page = book[sheet] if sheet is not None else book.worksheets[0]
            rows = [(k, [_cell_text(v) for v in row]) for k, row in enumerate(page.iter_rows(values_only=True), 1)]
            if uncomputed := _uncomputed(data):
                _refuse_uncomputed(uncomputed, rows, path.name)
    except InputError:
        raise
    except Exception as error:  # openpyxl raises whatever a damaged archive or XML makes it raise
        raise InputError(
            f"The workbook {path.name} cannot be read ({type(error).__name__}); save it again as XLSX or CSV."
        ) from None
    rows = [(k, cells) for k, cells in rows if any(cells)]
    if len(rows) > MAX_ROWS:
        raise InputError(f"The workbook {path.name} has more than {MAX_ROWS:,} rows; give a smaller one.")
    return rows


def _uncomputed(data: bytes) -> set[str]:
    """Places ("B3") of formulas whose result was never saved, on any sheet. A result that is an empty text is saved."""
    found: set[str] = set()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for name in archive.namelist():
            if name.startswith("xl/worksheets/") and name.endswith(".xml"):
                for place, attributes in _EMPTY_FORMULA.findall(archive.read(name)):
                    if b't="str"' not in attributes:
                        found.add(place.decode("ascii"))
    return found


def _refuse_uncomputed(places: set[str], rows: list[tuple[int, list[str]]], name: str) -> None:
    """Raise InputError where a cell of this sheet is such a formula: it would look as if nothing were known."""
    from openpyxl.utils import get_column_letter

    for line, texts in rows:
        for column, text in enumerate(texts, start=1):
            place = f"{get_column_letter(column)}{line}"
            if not text and place in places:
                raise InputError(
                    f"Row {line} of {name} holds a formula whose result is not saved ({place}); open and save the "
                    "workbook in a spreadsheet program, or put the value there."
                )


def _cell_text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time().isoformat() == "00:00:00" else value.isoformat(sep=" ")
    if isinstance(value, date):
        return value.isoformat()
    return str(value).strip()


def _as_table(rows: list[tuple[int, list[str]]], name: str, digest: str, notes: tuple[str, ...]) -> TextTable:
    if len(rows) < 2:
        raise InputError(f"The table {name} has no row below its header; give a table with one row per patient.")
    header = rows[0][1]
    while header and not header[-1]:
        header = header[:-1]
    names = [cell or f"column {k}" for k, cell in enumerate(header, start=1)]
    twice = sorted({n for n in names if names.count(n) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise InputError(f"The table {name} has the column '{twice[0][:60]}' twice; rename or remove one.")
    width = len(names)
    body, lines = [], []
    for line, cells in rows[1:]:
        if any(cells[width:]):
            raise InputError(
                f"Line {line} of {name} has {len(cells)} cells but the header has {width}; correct that line "
                "(a text with the separator in it needs quotes)."
            )
        body.append(cells[:width] + [""] * (width - len(cells)))
        lines.append(line)
    columns = dict(zip(names, zip(*body, strict=True), strict=True))
    return TextTable(name, columns, tuple(lines), digest, notes)


def table_of_cells(name: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> TextTable:
    """A table from cells of any simple type, such as those of a table node; None is missing. Lines count from 2, as in
    a file whose first line is the header. Raises InputError as read_text_table does."""
    texts = [(1, [_cell_text(h) for h in header])]
    texts += [(k, [_cell_text(v) for v in row]) for k, row in enumerate(rows, start=2)]
    kept = [texts[0], *((k, row) for k, row in texts[1:] if any(row))]
    digest = hashlib.sha256(json.dumps(kept).encode("utf-8")).hexdigest()
    return _as_table(kept, name, digest, ())
