"""Figures over visits: sizes and kinetics as curves, and the flow of the habitats' volumes."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np

from .figures_style import INK, MUTED, Picture, habitat_color, new_figure, report_style, svg_uri
from .report_numbers import number, percent
from .report_terms import habitat_label
from .visits import OUTSIDE, Flow, Trend, Visit

_WIDTH_IN, _HEIGHT_IN = 5.0, 3.2
_OUTSIDE_COLOR = "#c3cad1"
_BAR_SHARE = 0.13


def positions(visits: Sequence[Visit]) -> tuple[list[float], str]:
    """Where the visits lie on the axis, and its label: days, or their order where no days were given."""
    if any(visit.day is None for visit in visits):
        return [float(i + 1) for i in range(len(visits))], "Visit (days between visits not given)"
    return [float(visit.day) for visit in visits], "Days from the first visit"


def trend_picture(trend: Trend, visits: Sequence[Visit]) -> Picture | None:
    """One quantity over the visits; None where fewer than two visits have it."""
    places, label = positions(visits)
    known = [(x, v) for x, v in zip(places, trend.values, strict=True) if v is not None]
    if len(known) < 2:
        return None
    with report_style():
        figure = new_figure(_WIDTH_IN, _HEIGHT_IN)
        axes = figure.add_axes((0.13, 0.21, 0.84, 0.72))
        axes.plot(*zip(*known, strict=True), color="#1f4e79", lw=2, marker="o", ms=7, mec="white", mew=1)
        low, high = min(v for _, v in known), max(v for _, v in known)
        for x, value in known:
            axes.annotate(number(value), (x, value), xytext=(0, 9), textcoords="offset points", ha="center", fontsize=9,
                          bbox={"boxstyle": "square,pad=0.12", "fc": "white", "ec": "none", "alpha": 0.8})  # fmt: skip
        # From 0, so that a small change does not look like a large one.
        axes.set_ylim(1.2 * min(0.0, low), 1.2 * max(0.0, high) or 1.0)
        _visit_ticks(axes, places, visits)
        axes.set_xlabel(label)
        axes.set_ylabel(f"{trend.name} ({trend.unit})" if trend.unit not in ("", "1") else trend.name)
        src = svg_uri(figure)
    ends = ", ".join(
        f"{v.label} {number(x)}" if x is not None else f"{v.label} missing"
        for v, x in zip(visits, trend.values, strict=True)
    )
    return Picture(src, f"{trend.name} over the visits: {ends} {trend.unit}.", f"{trend.name} over the visits",
                   round(_WIDTH_IN * 96), round(_HEIGHT_IN * 96))  # fmt: skip


def _visit_ticks(axes, places: Sequence[float], visits: Sequence[Visit]) -> None:
    """Names of the visits where they stand evenly; where they stand at their days, the days that have room."""
    span = max(places) - min(places)
    axes.set_xlim(min(places) - 0.08 * span, max(places) + 0.08 * span)
    if visits[0].day is None:
        wide = max(6, 44 // len(visits))
        axes.set_xticks(places, [textwrap.fill(v.label, wide, max_lines=2) for v in visits], fontsize=8.5)
        return
    texts, last = [], -np.inf
    for place in places:
        room = place - last >= 0.07 * span
        texts.append(f"{place:g}" if room else "")
        last = place if room else last
    axes.set_xticks(places, texts)


def _flow_tick(visit: Visit) -> str:
    name = textwrap.fill(visit.label, 22, max_lines=2)
    return name if visit.day is None else f"{name}\nday {visit.day:g}"


# ---- flow --------------------------------------------------------------------------------------------------------
def flow_picture(flows: Sequence[Flow], visits: Sequence[Visit]) -> Picture:
    """Bars of the habitats' volumes at each visit with bands between them.

    With voxel correspondence a band is the tissue that was in one part and is in another. Without it a band joins the
    same habitat at two visits and says nothing about tissue.
    """
    width = min(2.2 + 2.0 * len(visits), 9.5)
    traced = flows[0].matrix is not None
    with report_style():
        figure = new_figure(width, 4.2)
        axes = figure.add_axes((0.02, 0.16, 0.96, 0.80))
        totals = [sum(flow.before_cc) for flow in flows] + [sum(flow.after_cc) for flow in flows]
        gap = 0.02 * max(totals)
        for i, flow in enumerate(flows):
            before, after = _stack(flow.before_cc, gap), _stack(flow.after_cc, gap)
            _bands(axes, flow, i, before, after)
        for i, visit in enumerate(visits):
            _bars(axes, i, flows, visit, gap)
        axes.set_xlim(-0.55, len(visits) - 0.45)
        axes.set_ylim(-gap, max(totals) + 6 * gap)
        axes.set_xticks(range(len(visits)), [_flow_tick(v) for v in visits])
        axes.tick_params(length=0)
        axes.set_yticks([])
        for side in ("left", "bottom"):
            axes.spines[side].set_visible(False)
        src = svg_uri(figure)
    caption = (
        "Flow of tissue between habitats (voxel by voxel, as the visits lie on one grid); gray: outside the lesion"
        if traced
        else "Volumes of the habitats at each visit; bands join the same habitat and do not follow tissue"
    )
    return Picture(src, _flow_alt(flows, visits), caption, round(width * 96), round(4.2 * 96))


def _stack(values: Sequence[float], gap: float) -> list[tuple[float, float]]:
    """(bottom, top) of each part, the first part at the bottom, parts without volume as a line."""
    found, at = [], 0.0
    for value in values:
        found.append((at, at + value))
        at += value + gap
    return found


def _color(name: str, index: int) -> str:
    return _OUTSIDE_COLOR if name == OUTSIDE else habitat_color(index)


def _bars(axes, i: int, flows: Sequence[Flow], visit: Visit, gap: float) -> None:
    from matplotlib.patches import Rectangle

    # A visit in the middle has two stacks: what arrived in it and what left it; the one with the outside differs.
    sides = []
    if i > 0:
        sides.append((flows[i - 1].columns, flows[i - 1].after_cc, -1))
    if i < len(flows):
        sides.append((flows[i].rows, flows[i].before_cc, +1))
    both = len(sides) == 2
    for names, volumes, side in sides:
        left = i - _BAR_SHARE / 2 if not both else (i - _BAR_SHARE / 2 if side < 0 else i)
        wide = _BAR_SHARE / 2 if both else _BAR_SHARE
        for index, (name, (bottom, top)) in enumerate(zip(names, _stack(volumes, gap), strict=True)):
            if top > bottom:
                axes.add_patch(Rectangle((left, bottom), wide, top - bottom, color=_color(name, index), ec=INK, lw=0.5))
    total = sum(visit.habitat_volumes_cc)
    names, volumes, _ = sides[-1]
    for name, volume, (bottom, top) in zip(names, volumes, _stack(volumes, gap), strict=True):
        if volume <= 0 or top - bottom < 1.2 * gap:
            continue
        share = "" if name == OUTSIDE else f" ({percent(volume / total, 0)})"
        text = f"{habitat_label(name)}\n{number(volume)} cc{share}"
        axes.text(i + _BAR_SHARE / 2 + 0.02, (bottom + top) / 2, text, ha="left", va="center", fontsize=8, color=INK)
    highest = max(top for _, stack, _ in sides for _, top in _stack(stack, gap))
    axes.text(i, highest + gap, f"lesion {number(total)} cc", ha="center", va="bottom", fontsize=9, color=MUTED)


def _bands(axes, flow: Flow, i: int, before: list, after: list) -> None:
    left, right = i + _BAR_SHARE / 2, i + 1 - _BAR_SHARE / 2
    if flow.matrix is None:
        for index, name in enumerate(flow.rows):
            if name in flow.columns:
                j = flow.columns.index(name)
                _band(axes, left, right, before[index], after[j], _color(name, index))
        return
    starts, ends = [b for b, _ in before], [b for b, _ in after]
    for r, name in enumerate(flow.rows):
        for c in range(len(flow.columns)):
            volume = float(flow.matrix[r, c])
            if volume > 0:
                _band(axes, left, right, (starts[r], starts[r] + volume), (ends[c], ends[c] + volume), _color(name, r))
                starts[r] += volume
                ends[c] += volume


def _band(axes, left: float, right: float, start, end, color: str) -> None:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    middle = (left + right) / 2
    points = [(left, start[0]), (middle, start[0]), (middle, end[0]), (right, end[0]), (right, end[1]),
              (middle, end[1]), (middle, start[1]), (left, start[1]), (left, start[0])]  # fmt: skip
    kinds = [Path.MOVETO, *[Path.CURVE4] * 3, Path.LINETO, *[Path.CURVE4] * 3, Path.CLOSEPOLY]
    axes.add_patch(PathPatch(Path(np.array(points), kinds), facecolor=color, alpha=0.45, lw=0))


def _flow_alt(flows: Sequence[Flow], visits: Sequence[Visit]) -> str:
    parts = []
    for visit in visits:
        volumes = zip(visit.habitats, visit.habitat_volumes_cc, strict=True)
        parts.append(f"{visit.label}: " + ", ".join(f"{name} {number(v)} cc" for name, v in volumes))
    return "Habitat volumes. " + "; ".join(parts) + "."
