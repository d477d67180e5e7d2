"""A page of sections: text, tables, tiles and pictures, as one self-contained HTML file.

All text is escaped by the template; nothing is fetched, nothing runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ..figures_style import Picture, charts_as, report_style, svg_uri

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TEMPLATES = Path(__file__).resolve().parents[1] / "templates"


@dataclass(frozen=True)
class Text:
    """Paragraphs; muted: shown as a note."""

    paragraphs: tuple[str, ...]
    muted: bool = False
    kind: str = "text"


@dataclass(frozen=True)
class Items:
    """A titled list; kind "limits" stands out as a warning."""

    title: str
    items: tuple[str, ...]
    empty: str = ""
    kind: str = "items"


@dataclass(frozen=True)
class Tiles:
    """Large numbers: (label, value, unit, note)."""

    tiles: tuple[tuple[str, str, str, str], ...]
    kind: str = "tiles"


@dataclass(frozen=True)
class Table:
    """head: column titles; rows: cells, the first a row title; numeric: indices of right-aligned columns; strong:
    indices of rows that head a block."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: frozenset[int] = frozenset()
    strong: frozenset[int] = frozenset()
    kind: str = "table"


@dataclass(frozen=True)
class Pictures:
    """Pictures below each other."""

    pictures: tuple[Picture, ...]
    kind: str = "pictures"


@dataclass(frozen=True)
class Section:
    """One section of the page with its anchor."""

    key: str
    title: str
    blocks: tuple[object, ...]


@dataclass(frozen=True)
class Page:
    """title, one line below it, and the sections."""

    title: str
    subtitle: str
    sections: tuple[Section, ...]
    simulated: bool = False


def picture_of(figure: Figure, alt: str, caption: str) -> Picture:
    """A figure as an inlined SVG picture."""
    width, height = figure.get_size_inches()
    return Picture(svg_uri(figure), alt, caption, round(width * 96), round(height * 96))


def page_html(page: Page, research_use: str) -> str:
    """The page as HTML text; the same page gives the same text."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("cohort.html.j2").render(page=page, research_use=research_use)


def write_pages(folder: Path, build: Callable[[], Page], research_use: str) -> None:
    """Write report.html, and report.pdf where reportlab is installed; ``build`` makes the page, once for each."""
    with report_style():
        html = page_html(build(), research_use)
    (folder / "report.html").write_text(html, encoding="utf-8")
    if find_spec("reportlab") is None:
        return
    from ..pdf_report import html_to_pdf

    with report_style(), charts_as("png"):
        printed = page_html(build(), research_use)
    (folder / "report.pdf").write_bytes(html_to_pdf(printed))


def table(caption: str, head: Sequence[str], rows: Sequence[Sequence[str]], numeric=(), strong=()) -> Table:
    """A Table from any sequences."""
    return Table(caption, tuple(head), tuple(tuple(r) for r in rows), frozenset(numeric), frozenset(strong))
