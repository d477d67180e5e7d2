"""Figures of a survival analysis: Kaplan-Meier curves with numbers at risk, and forest plots of hazard ratios."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..figures_style import INK, MUTED, new_figure
from ..report_numbers import NBSP, decimals

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colors in an order in which neighbors differ most; dashes tell the lines apart without color.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DASHES = ("-", (0, (6, 2)), (0, (2, 1.5)), (0, (6, 2, 1, 2)), (0, (1, 1)), (0, (4, 1)))
# Up to three groups of ascending risk: blue, yellow-brown, red.
RISK_COLORS = {2: ("#0072B2", "#D55E00"), 3: ("#0072B2", "#B58900", "#D55E00")}


def group_colors(n: int) -> Sequence[str]:
    """Colors of ``n`` groups in ascending order of risk."""
    return RISK_COLORS.get(n, COLORS)


def p_value(p: float | None) -> str:
    """A p value as it is printed in a table: 0.012, < 0.001."""
    if p is None or not math.isfinite(p):
        return "missing"
    return f"<{NBSP}0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def p_text(p: float | None) -> str:
    """A p value in running text: p = 0.012, p < 0.001."""
    text = p_value(p)
    return f"p{NBSP}{text}" if text[0] in "<m" else f"p{NBSP}={NBSP}{text}"


def km_figure(groups: dict, outcome: str) -> Figure:
    """Kaplan-Meier curves with 95 % bands and the numbers at risk below; groups: content["groups"] of an analysis."""
    curves = groups["curves"]
    figure = new_figure(7.2, 4.6 + 0.22 * len(curves))
    below = (0.9 + 0.22 * len(curves)) / figure.get_figheight()
    axes = figure.add_axes((0.15, below, 0.82, 0.97 - below))
    last = max(c["years"][-1] for c in curves)
    step = next(s for s in (0.25, 0.5, 1, 2, 5, 10) if last / s <= 10)
    ticks = [k * step for k in range(int(last / step) + 1)]
    for curve, color, dash in zip(curves, group_colors(len(curves)), DASHES, strict=False):
        axes.fill_between(curve["years"], curve["low"], curve["high"], step="post", color=color, alpha=0.13, lw=0)
        label = f"{curve['group']}: n = {curve['n']}, {curve['n_events']} events"
        axes.step(curve["years"], curve["survival"], where="post", color=color, lw=1.9, ls=dash, label=label)
        _censor_marks(axes, curve, color)
    axes.set_xlim(0, last)
    axes.set_ylim(0, 1.02)
    axes.set_xticks(ticks)
    axes.set_xlabel("Years")
    axes.set_ylabel(f"{outcome[:1].upper()}{outcome[1:]}")
    axes.legend(frameon=False, fontsize=9, loc="lower left", handlelength=3.2)
    axes.text(
        0.985, 0.03, f"log-rank {p_text(groups['log_rank']['p'])}", transform=axes.transAxes, ha="right", fontsize=10
    )
    _risk_table(axes, curves, ticks)
    return figure


def _censor_marks(axes, curve: dict, color: str) -> None:
    """A tick where patients were censored: where the number at risk falls without a fall of the curve."""
    at_risk, survival, years = curve["at_risk"], curve["survival"], curve["years"]
    marks = [k for k in range(1, len(years)) if survival[k] == survival[k - 1]]
    if at_risk:
        axes.plot([years[k] for k in marks], [survival[k] for k in marks], "|", color=color, ms=4.5, mew=0.7, alpha=0.7)


def _risk_table(axes, curves, ticks) -> None:
    def note(text: str, x: float, row: int, ha: str, color: str, shift: float = 0.0) -> None:
        axes.annotate(
            text, (x, 0), xycoords=("data", "axes fraction"), xytext=(shift, -46 - 14 * row), ha=ha,
            textcoords="offset points", fontsize=9, color=color, annotation_clip=False,
        )  # fmt: skip

    note("At risk", 0, 0, "right", INK, -14)
    for row, (curve, color) in enumerate(zip(curves, group_colors(len(curves)), strict=False), start=1):
        note(curve["group"][:16], 0, row, "right", color, -14)
        for tick in ticks:
            n = next((r for y, r in zip(curve["years"], curve["at_risk"], strict=True) if y >= tick - 1e-9), 0)
            note(str(n), tick, row, "center", color)


def forest_figure(rows: Sequence[dict], axis_label: str, measure: str = "Hazard ratio") -> Figure:
    """Hazard (or odds) ratios on a logarithmic axis.

    rows: {label, hazard_ratio, low, high, p, heading, note}; a heading has no
    numbers, a row without estimate shows its note."""
    height = 0.95 + 0.29 * len(rows)
    figure = new_figure(7.6, height)
    axes = figure.add_axes((0.40, 0.62 / height, 0.28, 1 - (0.62 + 0.30) / height))
    known = [r for r in rows if r.get("hazard_ratio") is not None]
    low, high = _limits(known)
    for k, row in enumerate(rows):
        y = -k
        bold = bool(row.get("heading"))
        indent = 0.0 if bold or not row.get("indent") else 0.018
        figure.text(
            0.012 + indent, _y(axes, figure, y, len(rows)), row["label"][:52], fontsize=9, va="center",
            weight="bold" if bold else "normal",
        )  # fmt: skip
        if row.get("hazard_ratio") is None:
            if row.get("note"):
                figure.text(0.70, _y(axes, figure, y, len(rows)), row["note"], fontsize=8.5, va="center", color=MUTED)
            continue
        value, a, b = row["hazard_ratio"], max(row["low"], low), min(row["high"], high)
        axes.plot([a, b], [y, y], color=INK, lw=1.3, solid_capstyle="butt")
        for end, beyond, mark in ((a, row["low"] < low, "<"), (b, row["high"] > high, ">")):
            if beyond:
                axes.plot([end], [y], mark, color=INK, ms=5)
        if low <= value <= high:
            axes.plot([value], [y], "s", color="#0072B2", ms=6)
        text = f"{decimals(value, 2)} ({decimals(row['low'], 2)} to {decimals(row['high'], 2)})"
        figure.text(0.70, _y(axes, figure, y, len(rows)), text, fontsize=9, va="center")
        figure.text(
            0.985,
            _y(axes, figure, y, len(rows)),
            p_value(row["p"]),
            fontsize=9,
            va="center",
            ha="right",
        )
    top = 1 - 0.13 / height
    for x, text, ha in ((0.70, f"{measure} (95 % interval)", "left"), (0.985, "p", "right")):
        figure.text(x, top, text, fontsize=9, weight="bold", va="center", ha=ha)
    axes.axvline(1, color=MUTED, lw=1, ls="--", zorder=0)
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.set_ylim(-len(rows) + 0.4, 0.6)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    ticks = [t for t in (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20) if low <= t <= high]
    axes.set_xticks(ticks, [f"{t:g}" for t in ticks])
    axes.minorticks_off()
    axes.set_xlabel(axis_label, fontsize=9)
    return figure


def _limits(rows: Sequence[dict]) -> tuple[float, float]:
    """Axis limits that show the estimates and most of the intervals, at least 0.5 to 2, at most 0.05 to 20."""
    if not rows:
        return 0.5, 2.0
    low = min(0.5, *(max(r["low"], 0.05) for r in rows), *(r["hazard_ratio"] for r in rows))
    high = max(2.0, *(min(r["high"], 20.0) for r in rows), *(r["hazard_ratio"] for r in rows))
    return max(low * 0.9, 0.04), min(high * 1.1, 25.0)


def _y(axes, figure, y: float, n: int) -> float:
    """Figure coordinate of row ``y`` of ``n`` rows."""
    box = axes.get_position()
    low, high = -n + 0.4, 0.6
    return box.y0 + (y - low) / (high - low) * box.height
