"""A report as files: HTML, PDF, figures, and its numbers as CSV and JSON; every file whole or absent."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from SubregionHabitatLib.errors import InputError

from .figures_style import charts_as
from .page_tree import Element, image_bytes, page_tree
from .report_numbers import is_number
from .table_writer import number_cell, safe_cell

FORMATS = ("html", "pdf", "csv", "json", "figures")
NUMBERS_SCHEMA = "iith-report-numbers/1"
_SUFFIXES = {"image/png": "png", "image/svg+xml": "svg"}
_COLUMNS = ("section", "item", "quantity", "value", "unit", "reason")


@dataclass(frozen=True)
class ReportNumber:
    """One number of a report. value: a number, a word (a group's name), or None with the reason."""

    section: str
    item: str
    quantity: str
    value: float | str | None
    unit: str = ""
    reason: str = ""

    def to_json(self) -> dict:
        return {name: getattr(self, name) for name in _COLUMNS}


def missing_or(value: object, reason: str) -> dict:
    """``value`` and ``reason`` of a ReportNumber: the reason stands only where the value is no number."""
    return {"value": value, "reason": ""} if is_number(value) else {"value": None, "reason": reason}


def report_files(
    name: str, page: Callable[[], str], numbers: Sequence[ReportNumber], formats: Sequence[str]
) -> dict[str, bytes]:
    """The files of a report by their path in its folder, complete in memory before anything is written.

    name: of the report's files without suffix; page: draws the HTML page (again for charts in another format);
    formats: any of FORMATS. Raises InputError for an unknown format, or where a PDF cannot be made.
    """
    unknown = [f for f in formats if f not in FORMATS]
    if unknown or not formats:
        raise InputError(f"The format {', '.join(unknown) or '(none)'} is unknown; choose among {', '.join(FORMATS)}.")
    if "pdf" in formats:
        from .pdf_report import require_reportlab

        require_reportlab()
    files: dict[str, bytes] = {}
    html = page() if {"html", "figures"} & set(formats) else ""
    if "html" in formats:
        files[f"{name}.html"] = html.encode("utf-8")
    if {"pdf", "figures"} & set(formats):
        with charts_as("png"):
            printed = page()
        if "pdf" in formats:
            from .pdf_report import html_to_pdf

            files[f"{name}.pdf"] = html_to_pdf(printed)
        if "figures" in formats:
            files |= _figures(page_tree(html)) | _figures(page_tree(printed))
    if "csv" in formats:
        files["numbers.csv"] = numbers_csv(numbers)
    if "json" in formats:
        files["numbers.json"] = numbers_json(name, numbers)
    return files


def numbers_csv(numbers: Sequence[ReportNumber]) -> bytes:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for row in numbers:
        value = number_cell(row.value) if row.value is None or is_number(row.value) else safe_cell(str(row.value))
        cells = {**row.to_json(), "value": value}
        writer.writerow([value if c == "value" else safe_cell(str(cells[c])) for c in _COLUMNS])
    return stream.getvalue().encode("utf-8")


def numbers_json(name: str, numbers: Sequence[ReportNumber]) -> bytes:
    content = {"schema": NUMBERS_SCHEMA, "report": name, "numbers": [row.to_json() for row in numbers]}
    return (json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False) + "\n").encode("utf-8")


def _figures(page: Element) -> dict[str, bytes]:
    """Every picture of a page, numbered in order and named by what it shows."""
    files = {}
    for number, figure in enumerate(page.all("figure"), start=1):
        image = next(figure.all("img"))
        media, content = image_bytes(image.attributes["src"])
        caption = next((c.text for c in figure.all("figcaption")), "")
        files[f"figures/{number:02d}-{slug(caption)}.{_SUFFIXES[media]}"] = content
    return files


def slug(text: str) -> str:
    """The first words of a text as part of a file's name: lower case letters, digits and hyphens."""
    words = re.findall(r"[a-z0-9]+", text.lower())
    return "-".join(words[:5])[:48] or "figure"


def check_folder(folder: Path) -> None:
    """Raise InputError where ``folder`` cannot be one to write into; found before anything is drawn."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"The output {folder} is a file; name a folder with --out.")


def write_files(folder: Path, files: Mapping[str, bytes], folders: Mapping[str, Path] | None = None) -> list[Path]:
    """Write files into a folder (made if absent), each whole or absent; earlier ones of the same name are replaced.

    folders: name -> a finished folder elsewhere on the disk that becomes a subfolder. The figures of an earlier report
    go with it. Everything is written beside its place first, so that a full disk leaves the folder as it was.
    """
    folders = dict(folders or {})
    partial = folder / f".partial-{uuid.uuid4().hex[:8]}"
    try:
        partial.mkdir(parents=True)
        for name, content in files.items():
            (partial / name).parent.mkdir(parents=True, exist_ok=True)
            (partial / name).write_bytes(content)
        for name, source in folders.items():
            shutil.move(source, partial / name)
        for entry in sorted(partial.iterdir()):
            _replace(entry, folder / entry.name, partial)
    except OSError as error:
        raise InputError(
            f"The report cannot be written to {folder} ({error.strerror}); free space or choose another folder."
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        with suppress(OSError):  # a folder that was made for nothing
            folder.rmdir()
    return [folder / name for name in (*files, *folders)]


def _replace(entry: Path, target: Path, aside: Path) -> None:
    if target.is_dir():
        old = aside / f".old-{target.name}"
        target.rename(old)
        try:
            entry.rename(target)
        except OSError:
            old.rename(target)
            raise
        return
    os.replace(entry, target)
