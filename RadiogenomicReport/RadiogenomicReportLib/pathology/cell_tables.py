"""Tables of cells or tiles, as QuPath exports measurements, read in chunks so that millions of rows fit.

Needed is a column that names the patient or the image; a class column (tumor, stroma ...) is used where there is one.
"""

from __future__ import annotations

import csv
import gzip
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from IITHModuleLib.training.table import file_digest
from SubregionHabitatLib.errors import InputError

from ..clinical.standard_variables import PATIENT_SYNONYMS, plain

CHUNK_ROWS = 100_000
MAX_BYTES = 8_000_000_000
_IMAGE = ("image", "imagename", "slide", "slideid", "wsi", "filename")
_CLASS = ("classification", "class", "type", "celltype", "celltypename", "label")
# Where an object lies and how it is called says nothing about its shape.
_NOT_FEATURES = ("objectid", "name", "parent", "roi", "objecttype", "tma", "x", "y", "id", "index", "tileid")
ALL_CLASSES = "all"


@dataclass
class CellMeasurements:
    """values: patient -> class -> feature -> list of arrays (one per chunk); what is missing is left out.

    n_cells: patient -> class -> objects; sources: files read; notes: what was assumed or not used.
    """

    values: dict[str, dict[str, dict[str, list[np.ndarray]]]] = field(default_factory=dict)
    n_cells: dict[str, dict[str, int]] = field(default_factory=dict)
    sources: list[dict] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, patient: str, cell_class: str, columns: dict[str, np.ndarray], n: int) -> None:
        """Add ``n`` objects of one patient and class."""
        for name in dict.fromkeys((cell_class, ALL_CLASSES)):
            counts = self.n_cells.setdefault(patient, {})
            counts[name] = counts.get(name, 0) + n
            store = self.values.setdefault(patient, {}).setdefault(name, {})
            for feature, values in columns.items():
                known = values[np.isfinite(values)]
                if known.size:
                    store.setdefault(feature, []).append(known)


def read_cell_table(
    path: Path,
    into: CellMeasurements,
    patient_column: str | None = None,
    class_column: str | None = None,
    length: int | None = None,
) -> None:
    """Add the objects of a table (CSV or TSV, also gzip). length: patient = first characters of that column.

    Raises InputError for a file that is no such table.
    """
    path = Path(path)
    header, separator = _header(path)
    patient = _column(header, patient_column, (*PATIENT_SYNONYMS, *_IMAGE), path, "patient or image")
    found_class = _column(header, class_column, _CLASS, path, "class") if class_column else _first(header, _CLASS)
    skipped = {patient, found_class}
    candidates = [c for c in header if c not in skipped and plain(c) not in _NOT_FEATURES and not _is_place(c)]
    if not candidates:
        raise InputError(
            f"{path.name} has no measurement beside its names; give a table with features of cells or tiles."
        )
    features: list[str] | None = None
    bad: dict[str, int] = {}
    rows = 0
    for chunk in _chunks(path, separator, [patient, *([found_class] if found_class else []), *candidates]):
        numbers = {c: _numbers(chunk[c]) for c in (features if features is not None else candidates)}
        if features is None:
            features = [c for c, (_, wrong) in numbers.items() if wrong <= 0.05 * len(chunk)]
            if not features:
                raise InputError(f"{path.name} has no column of numbers; give a table with features of cells or tiles.")
        for c in features:
            bad[c] = bad.get(c, 0) + numbers[c][1]
        keys = chunk[patient].str.strip()
        if (keys == "").any():
            line = rows + int(np.flatnonzero((keys == "").to_numpy())[0]) + 2
            raise InputError(f"Line {line} of {path.name} has no {patient}; fill it or remove the row.")
        keys = keys.str[:length] if length else keys
        classes = chunk[found_class].str.strip().str.lower().replace("", "unclassified") if found_class else None
        groups = chunk.groupby([keys, classes] if found_class else keys, sort=False).indices
        for key, index in groups.items():
            name, cell_class = key if isinstance(key, tuple) else (key, ALL_CLASSES)
            into.add(name, cell_class, {c: numbers[c][0][index] for c in features}, len(index))
        rows += len(chunk)
    if not rows:
        raise InputError(f"{path.name} has no row below its header; give a table with one row per cell or tile.")
    into.notes += [f"{n:,} cells of '{c}' in {path.name} are no numbers and were left out" for c, n in bad.items() if n]
    into.sources.append({"name": path.name, "rows": rows, "sha256": file_digest(path), "patient_column": patient})


def _header(path: Path) -> tuple[list[str], str]:
    try:
        if not path.is_file():
            raise InputError(f"The table {path} does not exist or is no file; give its path.")
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"The table {path.name} is larger than {MAX_BYTES // 10**9} GB; split it.")
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as stream:
            first = stream.readline(1_000_000)
    except (OSError, EOFError) as error:
        raise InputError(f"The table {path.name} cannot be read ({error}); check the file.") from None
    if b"\x00" in first:
        raise InputError(f"The table {path.name} is binary; give a CSV or TSV file.")
    text = first.decode("utf-8-sig", errors="replace").rstrip("\r\n")
    separator = max(",;\t", key=text.count)
    header = [c.strip() for c in next(csv.reader([text], delimiter=separator), [])]
    if len(set(header)) < len(header) or len(header) < 2:
        raise InputError(f"The header of {path.name} has a column twice or fewer than two columns; correct it.")
    return header, separator


def _first(header: list[str], wanted: tuple[str, ...]) -> str | None:
    by_name = {plain(c): c for c in reversed(header)}
    return next((by_name[w] for w in wanted if w in by_name), None)


def _column(header: list[str], given: str | None, wanted: tuple[str, ...], path: Path, what: str) -> str:
    found = next((c for c in header if plain(c) == plain(given)), None) if given else _first(header, wanted)
    if found is None:
        raise InputError(
            f"{path.name} has no column for the {what}{f' ({given})' if given else ''}; name the right one."
        )
    return found


def _is_place(column: str) -> bool:
    return plain(column).startswith("centroid") or plain(column).endswith("coordinate")


def _chunks(path: Path, separator: str, columns: list[str]):
    import pandas as pd

    try:
        # Every column is read, though not all are used: only so does pandas see a row with too many cells.
        reader = pd.read_csv(
            path,
            sep=separator,
            dtype=str,
            na_filter=False,
            chunksize=CHUNK_ROWS,
            encoding="utf-8-sig",
            encoding_errors="replace",
            compression="gzip" if path.suffix == ".gz" else None,
            on_bad_lines="error",
        )
        for chunk in reader:
            chunk.columns = [c.strip() for c in chunk.columns]
            yield chunk[columns].reset_index(drop=True)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, OSError, EOFError) as error:
        raise InputError(f"{path.name} cannot be read as a table ({' '.join(str(error).split())[:100]}).") from None


def _numbers(cells) -> tuple[np.ndarray, int]:
    """Numbers with NaN where missing, and how many cells hold something else. QuPath writes decimal commas where the
    computer's language has them, and marks no thousands."""
    import pandas as pd

    texts = cells.str.strip()
    empty = texts.str.lower().isin(("", "na", "nan", "n/a", "null", "none"))
    if texts.str.contains(",", regex=False).any():
        texts = texts.where(~texts.str.fullmatch(r"-?\d+,\d+([eE][+-]?\d+)?"), texts.str.replace(",", ".", regex=False))
    values = pd.to_numeric(texts.where(~empty, None), errors="coerce").to_numpy(dtype=float)
    return values, int((~empty.to_numpy() & ~np.isfinite(values)).sum())
