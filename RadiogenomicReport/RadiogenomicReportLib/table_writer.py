"""Writing tables that other programs open: cells that cannot act as formulas, files that are whole or absent."""

from __future__ import annotations

import csv
import gzip
import io
import os
import re
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from SubregionHabitatLib.errors import InputError

_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]+")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
# What spreadsheets take for the start of a formula.
_FORMULA = ("=", "+", "-", "@")
TABLE_SUFFIXES = (".csv", ".csv.gz")


def safe_cell(text: str) -> str:
    """A text cell on one line that no spreadsheet runs.

    Control characters become a space. A text of several characters that begins with =, +, - or @ and is no number
    gets an apostrophe in front, so that it is shown and not computed.
    """
    text = _CONTROL.sub(" ", text).strip()
    if len(text) > 1 and text.startswith(_FORMULA) and not _NUMBER.fullmatch(text):
        return "'" + text
    return text


def number_cell(value: float | int | None) -> str:
    """A number with all its digits; an empty cell for a missing one."""
    return "" if value is None else repr(value)


def check_table_path(path: Path) -> None:
    """Raise InputError unless ``path`` ends in .csv or .csv.gz and is no folder."""
    if not path.name.lower().endswith(TABLE_SUFFIXES):
        raise InputError(f"The table {path} must end in .csv or .csv.gz; name it so with --out.")
    if path.is_dir():
        raise InputError(f"The table {path} is a folder; name a file with --out.")


def write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write cells as CSV (UTF-8, one line per row), gzip where the name ends in .gz.

    The same cells give the same bytes. The file appears when it is complete. Raises InputError where it cannot be
    written.
    """
    with _whole_or_absent(path) as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow([safe_cell(name) for name in header])
        writer.writerows([safe_cell(cell) for cell in row] for row in rows)


@contextmanager
def _whole_or_absent(path: Path) -> Iterator[TextIO]:
    partial = path.parent / f".{path.name}.partial-{uuid.uuid4().hex[:8]}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _open(partial, path.name.lower().endswith(".gz")) as stream:
            yield stream
        os.replace(partial, path)
    except OSError as error:
        raise InputError(
            f"The table {path} cannot be written ({error.strerror}); free space or choose another place."
        ) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


@contextmanager
def _open(path: Path, compressed: bool) -> Iterator[TextIO]:
    with path.open("wb") as file:
        if not compressed:
            with io.TextIOWrapper(file, encoding="utf-8", newline="") as stream:
                yield stream
            return
        # No name and no time go into the file, so that its bytes depend on the cells alone.
        with (
            gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed,
            io.TextIOWrapper(packed, encoding="utf-8", newline="") as stream,
        ):
            yield stream
