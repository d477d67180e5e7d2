"""The slice pictures: early image, habitats over it in three planes, and kinetic maps in the acquisition plane."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from SubregionHabitatLib.kinetics import TIME_MAPS

from .figures_planes import View, lesion_views
from .figures_style import (
    LESION_COLOR,
    RING_COLOR,
    Picture,
    habitat_color,
    new_figure,
    png_uri,
    report_style,
)
from .report_numbers import number
from .report_terms import habitat_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .case_report import CasePictures

SIDE_IN = 3.1
_BAR_IN = 0.56
DPI = 150
_HABITAT_ALPHA = 0.65


@dataclass(frozen=True)
class ShownMap:
    """How a kinetic map is shown: title, unit, colors, limits and, for a diverging one, the middle value."""

    key: str
    title: str
    meaning: str
    unit: str
    array: np.ndarray
    colors: str
    low: float
    high: float
    middle: float | None = None


def slice_pictures(pictures: CasePictures, habitat_names: tuple[str, ...]) -> tuple[Picture, ...]:
    """The early image alone, then with lesion, ring and habitats in three planes (acquisition plane first)."""
    views = lesion_views(pictures.geometry, pictures.lesion, pictures.ring, pictures.slice_axis)
    with report_style():
        plain = _draw_plain(pictures, views[0])
        return (plain, *(_draw_habitats(pictures, view, i == 0, habitat_names) for i, view in enumerate(views)))


def habitat_picture(pictures: CasePictures, habitat_names: tuple[str, ...]) -> Picture:
    """Lesion, ring and habitats on the early image in the acquisition plane alone."""
    view = lesion_views(pictures.geometry, pictures.lesion, pictures.ring, pictures.slice_axis)[0]
    with report_style():
        return _draw_habitats(pictures, view, True, habitat_names)


def map_pictures(pictures: CasePictures) -> tuple[Picture, ...]:
    """PE peak, SER, wash-in and wash-out rate over lesion and ring on the acquisition plane's slice."""
    view = lesion_views(pictures.geometry, pictures.lesion, pictures.ring, pictures.slice_axis)[0]
    with report_style():
        return tuple(_draw_map(pictures, view, shown) for shown in shown_maps(pictures))


def shown_maps(pictures: CasePictures) -> tuple[ShownMap, ...]:
    """The maps with their limits: from 0 (or the 2nd percentile) to the 98th percentile inside the lesion."""
    maps, units = pictures.maps, pictures.units

    def sequential(key: str, title: str, meaning: str, array: np.ndarray, unit: str) -> ShownMap:
        low, high = _limits(array[pictures.lesion])
        return ShownMap(key, title, meaning, unit, array, "viridis", low, high)

    wash_out = "positive = wash-out after the peak"
    return (
        sequential(
            "pe_peak", "Peak enhancement", "enhancement at the highest phase", maps["pe_peak"], units["pe_peak"]
        ),
        ShownMap(
            "ser",
            "Signal enhancement ratio (SER)",
            "above 1: early signal higher than late (wash-out)",
            "",
            maps["ser"],
            "RdBu_r",
            0.0,
            3.0,
            1.0,
        ),
        sequential("wis", "Wash-in slope", "enhancement gained per minute up to the peak", maps["wis"], units["wis"]),
        sequential("wos", "Wash-out rate", wash_out, -maps["wos"], units["wos"]),
    )


def _limits(values: np.ndarray) -> tuple[float, float]:
    values = values[np.isfinite(values)]
    if values.size == 0:
        return 0.0, 1.0
    low, high = (float(v) for v in np.percentile(values, [2, 98]))
    # A scale from 0 reads best; it is left only where it would waste more than half of the colors.
    low = 0.0 if 0 <= low <= 0.5 * high or -0.02 * abs(high) <= low < 0 else low
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def _draw_plain(pictures: CasePictures, view: View) -> Picture:
    figure = new_figure(SIDE_IN, SIDE_IN, "black")
    axes = slice_axes(figure, view, 0.0)
    draw_image(axes, view, pictures)
    draw_marks(axes, view)
    return _picture(
        figure,
        view,
        "Early post-contrast image",
        f"Early post-contrast image, {_where(view)}, without overlay.",
        SIDE_IN,
    )


def _draw_habitats(pictures: CasePictures, view: View, acquired: bool, names: tuple[str, ...]) -> Picture:
    from matplotlib.colors import to_rgba

    figure = new_figure(SIDE_IN, SIDE_IN, "black")
    axes = slice_axes(figure, view, 0.0)
    # A darker image keeps the colors over a bright lesion close to those of the legend.
    draw_image(axes, view, pictures, dim=0.75)
    labels = view.plane.slice_of(pictures.habitats, view.index)
    overlay = np.zeros((*labels.shape, 4))
    for index in range(int(pictures.habitats.max())):
        overlay[labels == index + 1] = to_rgba(habitat_color(index), _HABITAT_ALPHA)
    axes.imshow(overlay, extent=slice_extent(view, labels.shape), interpolation="nearest", aspect="equal")
    draw_contour(axes, view, pictures.ring | pictures.lesion, RING_COLOR)
    draw_contour(axes, view, pictures.lesion, LESION_COLOR)
    draw_marks(axes, view)
    plane = view.plane.name.capitalize() + (" (acquisition plane)" if acquired else " (reformatted)")
    seen = [f"{name} {(labels == i + 1).sum() / max(1, (labels > 0).sum()):.0%}" for i, name in enumerate(names)]
    alt = (
        f"{_where(view)}: early image with the outlines of lesion and ring, and the habitats in color; share of "
        f"the lesion on this slice: {', '.join(seen)}."
    )
    return _picture(figure, view, plane, alt, SIDE_IN)


def _draw_map(pictures: CasePictures, view: View, shown: ShownMap) -> Picture:
    from matplotlib.colors import Normalize, TwoSlopeNorm

    height = SIDE_IN + _BAR_IN
    if not np.isfinite(shown.array[pictures.lesion | pictures.ring]).any():
        return _undefined_map(pictures, view, shown, height)
    figure = new_figure(SIDE_IN, height)
    axes = slice_axes(figure, view, _BAR_IN / height)
    draw_image(axes, view, pictures, dim=0.6)
    region = view.plane.slice_of(pictures.lesion | pictures.ring, view.index)
    values = np.ma.masked_invalid(np.where(region, view.plane.slice_of(shown.array, view.index), np.nan))
    if shown.middle is None:
        norm = Normalize(shown.low, shown.high)
    else:
        norm = TwoSlopeNorm(shown.middle, shown.low, shown.high)
    image = axes.imshow(
        values,
        cmap=shown.colors,
        norm=norm,
        extent=slice_extent(view, values.shape),
        interpolation="nearest",
        aspect="equal",
    )
    draw_contour(axes, view, pictures.lesion, LESION_COLOR)
    draw_marks(axes, view)
    bar = figure.add_axes((0.09, 0.335 / height, 0.82, 0.12 / height))
    ticks = [0.0, 0.5, 1.0, 2.0, 3.0] if shown.middle is not None else None
    colors = figure.colorbar(image, cax=bar, orientation="horizontal", extend="both", ticks=ticks)
    colors.outline.set_linewidth(0.5)
    bar.tick_params(labelsize=8.5, length=2.5, pad=2)
    bar.set_xlabel(f"{shown.title}, {shown.unit}" if shown.unit else shown.title, fontsize=8.5, labelpad=1)
    if shown.middle is None:
        from matplotlib.ticker import MaxNLocator

        colors.locator = MaxNLocator(5)
        colors.update_ticks()
    unit = f" {shown.unit}" if shown.unit else ""
    alt = (
        f"{shown.title} over lesion and ring, {_where(view)}; colors from {number(shown.low)} to "
        f"{number(shown.high)}{unit}; {shown.meaning}."
    )
    return _picture(figure, view, f"{shown.title}: {shown.meaning}", alt, height, with_slice=False)


def _undefined_map(pictures: CasePictures, view: View, shown: ShownMap, height: float) -> Picture:
    """The early image without colors and without a scale, which would look like a map of zeros."""
    figure = new_figure(SIDE_IN, height)
    axes = slice_axes(figure, view, _BAR_IN / height)
    draw_image(axes, view, pictures, dim=0.6)
    draw_contour(axes, view, pictures.lesion, LESION_COLOR)
    draw_marks(axes, view)
    figure.text(0.5, 0.5 * _BAR_IN / height, "no values", fontsize=8.5, ha="center", va="center")
    why = "not defined, because the times of the phases are not known"
    if shown.key not in TIME_MAPS:
        why = "not defined in any voxel of lesion and ring"
    caption = f"{shown.title}: {why}"
    return _picture(figure, view, caption, f"{caption}.", height, with_slice=False)


def _picture(figure, view: View, caption: str, alt: str, height_in: float, with_slice: bool = True) -> Picture:
    if with_slice:
        caption += f", slice {view.index + 1} of {view.n_slices}, lesion {number(view.lesion_area_cm2)} cm²"
    return Picture(png_uri(figure, DPI), alt, caption, round(SIDE_IN * 96), round(height_in * 96))


def _where(view: View) -> str:
    return f"{view.plane.name} slice {view.index + 1} of {view.n_slices}"


def slice_axes(figure, view: View, bottom: float) -> Axes:
    axes = figure.add_axes((0, bottom, 1, 1 - bottom), facecolor="black")
    half = view.side_mm / 2
    axes.set_xlim(view.center_mm[0] - half, view.center_mm[0] + half)
    axes.set_ylim(view.center_mm[1] + half, view.center_mm[1] - half)
    axes.set_axis_off()
    axes.add_patch(_background())
    axes.set_autoscale_on(False)
    return axes


def _background():
    from matplotlib.patches import Rectangle

    return Rectangle((-1e4, -1e4), 2e4, 2e4, color="black", zorder=-10)


def slice_extent(view: View, shape: tuple[int, int]) -> tuple[float, float, float, float]:
    """Left, right, bottom, top of a whole slice in mm from its upper left corner: square millimetres on the page."""
    return 0.0, shape[1] * view.plane.spacing_mm[0], shape[0] * view.plane.spacing_mm[1], 0.0


def draw_image(axes: Axes, view: View, pictures: CasePictures, dim: float = 1.0) -> None:
    image = view.plane.slice_of(pictures.image, view.index).astype(np.float64)
    low, high = display_window(_inside(view, image))
    axes.imshow(
        image,
        cmap="gray",
        vmin=low,
        vmax=low + (high - low) / dim,
        extent=slice_extent(view, image.shape),
        interpolation="bilinear",
        aspect="equal",
    )


def _inside(view: View, image: np.ndarray) -> np.ndarray:
    """The part of a slice that the square shows."""
    spans = []
    for n, middle, spacing in zip(image.shape, view.center_mm[::-1], view.plane.spacing_mm[::-1], strict=True):
        first = max(0, math.floor((middle - view.side_mm / 2) / spacing))
        last = min(n, math.ceil((middle + view.side_mm / 2) / spacing))
        spans.append(slice(first, last))
    return image[tuple(spans)]


def display_window(values: np.ndarray) -> tuple[float, float]:
    """Black and white level of a gray image: 1st and 99.7th percentile of what is shown."""
    values = values[np.isfinite(values)]
    if values.size == 0:
        return 0.0, 1.0
    low, high = (float(v) for v in np.percentile(values, [1.0, 99.7]))
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def draw_contour(axes: Axes, view: View, mask: np.ndarray, color: str) -> None:
    from matplotlib import patheffects

    patch = view.plane.slice_of(mask, view.index).astype(float)
    if not patch.any():
        return
    # One voxel more on each side closes the outline of a region that touches the edge of the image.
    patch = np.pad(patch, 1)
    h, v = view.plane.spacing_mm
    x = (np.arange(patch.shape[1]) - 0.5) * h
    y = (np.arange(patch.shape[0]) - 0.5) * v
    lines = axes.contour(x, y, patch, levels=[0.5], colors=[color], linewidths=1.1)
    lines.set_path_effects([patheffects.Stroke(linewidth=2.2, foreground="black", alpha=0.55), patheffects.Normal()])


def draw_marks(axes: Axes, view: View) -> None:
    """Letters of the patient's sides and a bar of known length."""
    _letters(axes, view)
    _scale_bar(axes, view)


def _letters(axes: Axes, view: View) -> None:
    left, right, top, bottom = view.plane.letters
    for text, x, y, ha, va in (
        (left, 0.02, 0.5, "left", "center"),
        (right, 0.98, 0.5, "right", "center"),
        (top, 0.5, 0.985, "center", "top"),
        (bottom, 0.5, 0.015, "center", "bottom"),
    ):
        _outlined(axes.text(x, y, text, transform=axes.transAxes, ha=ha, va=va, fontsize=11, weight="bold"))


def _outlined(text) -> None:
    from matplotlib import patheffects

    text.set_color("white")
    text.set_path_effects([patheffects.Stroke(linewidth=2.5, foreground="black"), patheffects.Normal()])


def scale_bar_mm(side_mm: float) -> float:
    """A round length of about a fifth of the picture's side."""
    target = side_mm / 5
    step = 10 ** math.floor(math.log10(target))
    return max(f * step for f in (1, 2, 5) if f * step <= target * 1.0001)


def _scale_bar(axes: Axes, view: View) -> None:
    from matplotlib import patheffects

    length = scale_bar_mm(view.side_mm)
    half = view.side_mm / 2
    right, bottom = view.center_mm[0] + half * 0.94, view.center_mm[1] + half * 0.92
    (line,) = axes.plot([right - length, right], [bottom, bottom], color="white", lw=2.2, solid_capstyle="butt")
    line.set_path_effects([patheffects.Stroke(linewidth=4, foreground="black"), patheffects.Normal()])
    label = axes.text(
        right - length / 2, bottom - half * 0.03, f"{length:g} mm", ha="center", va="bottom", fontsize=8.5
    )
    _outlined(label)


def habitat_legend(names: tuple[str, ...]) -> tuple[Mapping[str, str], ...]:
    """Name and color of every outline and habitat, for the legend beside the pictures."""
    return (
        *({"name": habitat_label(name), "color": habitat_color(i), "kind": "area"} for i, name in enumerate(names)),
        {"name": "lesion outline", "color": LESION_COLOR, "kind": "line"},
        {"name": "ring outline", "color": RING_COLOR, "kind": "line"},
    )
