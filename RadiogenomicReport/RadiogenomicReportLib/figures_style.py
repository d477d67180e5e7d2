"""What all figures of a report share: colors, fonts, and files that are the same from run to run."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colors, told apart with color-blindness; the same as those of the segments in Slicer.
HABITAT_COLORS = ("#0072B2", "#F0E442", "#D55E00", "#009E73", "#E69F00", "#595959")
LESION_COLOR = "#CC79A7"
RING_COLOR = "#56B4E9"
INK = "#1b2733"
MUTED = "#5b6875"
_STYLE = {
    "svg.hashsalt": "iith",
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",
    # Names from the input are text, never formulas.
    "text.parse_math": False,
    "font.size": 10,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
CHART_FORMATS = ("svg", "png")
_CHART_DPI = 200
_chart_format = ContextVar("chart_format", default="svg")


@dataclass(frozen=True)
class Picture:
    """One drawn figure: src is a data URI; width and height in CSS pixels; alt and caption are plain text."""

    src: str
    alt: str
    caption: str
    width: int
    height: int


def habitat_color(index: int) -> str:
    """The color of habitat ``index``, counted from 0."""
    return HABITAT_COLORS[index % len(HABITAT_COLORS)]


@contextmanager
def report_style() -> Iterator[None]:
    """Matplotlib's own defaults with the report's style, whatever the user's settings; restored afterwards."""
    import matplotlib.style

    with matplotlib.style.context(["default", _STYLE]):
        yield


def new_figure(width_in: float, height_in: float, facecolor: str = "white") -> Figure:
    """An empty figure drawn without a display and outside pyplot, so that no global state is touched."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, height_in), facecolor=facecolor)
    FigureCanvasAgg(figure)
    return figure


def png_uri(figure: Figure, dpi: int) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None}, facecolor=figure.get_facecolor())
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


@contextmanager
def charts_as(name: str) -> Iterator[None]:
    """Draw the charts of a page as one of CHART_FORMATS; slices of images are always PNG."""
    if name not in CHART_FORMATS:
        raise ValueError(f"charts are drawn as {CHART_FORMATS}, not {name!r}")
    token = _chart_format.set(name)
    try:
        yield
    finally:
        _chart_format.reset(token)


def svg_uri(figure: Figure) -> str:
    """A chart as SVG, or as PNG inside ``charts_as("png")``."""
    if _chart_format.get() == "png":
        return png_uri(figure, _CHART_DPI)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
