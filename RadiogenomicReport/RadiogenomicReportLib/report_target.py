"""Where a report of the Slicer module goes: a named file, the other forms beside it; all of it whole or absent."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from SubregionHabitatLib.errors import InputError

SUFFIXES = (".html", ".htm", ".pdf")


def checked_report_path(path: Path, overwrite: bool) -> Path:
    """The absolute path of a report file; InputError where it cannot be one, or exists and may not be replaced."""
    if path == Path():
        raise InputError("No report file is named; name the HTML or PDF file to write.")
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"The report file {path.name} does not end in .html or .pdf; name such a file.")
    if not path.parent.is_dir():
        raise InputError(f"The folder of the report file {path.name} does not exist; create it or choose another.")
    if path.is_dir() or (path.exists() and not overwrite):
        raise InputError(f"{path.name} exists; allow its replacement or choose another file.")
    return path.absolute()


def check_beside(path: Path, forms: Collection[str], with_dicom: bool, overwrite: bool) -> None:
    """Raise InputError where a form of the report that is written beside ``path`` exists and may not be replaced."""
    beside = [path.with_suffix(".pdf")] if "pdf" in forms and path.suffix != ".pdf" else []
    beside += [path.with_name(f"{path.stem}-numbers.csv")] if "csv" in forms else []
    beside += [path.with_name(f"{path.stem}-dicom")] if with_dicom else []
    taken = [other.name for other in beside if other.exists()]
    if taken and not overwrite:
        raise InputError(f"{taken[0]} exists; allow its replacement or choose another file.")


def check_new_folder(folder: Path) -> None:
    """Raise InputError where ``folder`` is a file or holds anything."""
    if folder.is_file():
        raise InputError(f"The output {folder.name} is a file; choose a new or empty folder.")
    if folder.is_dir() and any(folder.iterdir()):
        raise InputError(f"The output folder {folder.name} holds other files; choose a new or empty folder.")


def write_whole(path: Path, content: bytes) -> None:
    """The whole file or none: written beside its place and renamed."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise InputError(f"{path.name} could not be written ({error.strerror}); choose another folder.") from error
