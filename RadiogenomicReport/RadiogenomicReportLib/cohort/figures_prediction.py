"""Figures of predictions: time-dependent ROC, calibration, decision curves and the nomogram."""

from __future__ import annotations

from textwrap import fill
from typing import TYPE_CHECKING

from ..figures_style import INK, MUTED, new_figure
from ..report_numbers import decimals
from .figures_survival_curves import COLORS, DASHES

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def panels(n: int, height: float = 4.2):
    """A row of ``n`` square-like panels."""
    figure = new_figure(4.4 * n + 0.2, height)
    return figure, [figure.add_axes(((0.17 + k) / n, 0.14, 0.80 / n, 0.76)) for k in range(n)]


def roc_figure(rocs: list[dict], horizons: list[float]) -> Figure:
    """One panel per horizon with a curve per model."""
    figure, axes_of = panels(len(horizons))
    for axes, years in zip(axes_of, horizons, strict=True):
        axes.plot([0, 1], [0, 1], color=MUTED, lw=1, ls=":")
        shown = [r for r in rocs if r["years"] == years and r["auc"] is not None]
        for roc, color, dash in zip(shown, COLORS, DASHES, strict=False):
            auc, low, high = decimals(roc["auc"], 3), decimals(roc["low"], 2), decimals(roc["high"], 2)
            label = f"{_short(roc['model'])}\nAUC {auc} ({low} to {high})"
            axes.plot(roc["one_minus_specificity"], roc["sensitivity"], color=color, ls=dash, lw=1.7, label=label)
        axes.set_title(f"Event within {years:g} years", fontsize=10)
        axes.set_xlabel("1 − specificity")
        axes.set_ylabel("Sensitivity")
        axes.set_xlim(-0.01, 1.01)
        axes.set_ylim(-0.01, 1.01)
        if shown:
            axes.legend(frameon=False, fontsize=7.6, loc="lower right", handlelength=2.4)
    return figure


def calibration_figure(entries: list[dict]) -> Figure:
    """One panel per horizon: five groups with Kaplan-Meier intervals, the smooth curve, the ideal line."""
    figure, axes_of = panels(len(entries))
    for axes, entry in zip(axes_of, entries, strict=True):
        groups = [g for g in entry["groups"] if g["observed"] is not None]
        lowest = min([1.0, *(g["low"] for g in groups), *(g["predicted"] for g in groups)])
        low = max(0.0, lowest - 0.05)
        axes.plot([low, 1], [low, 1], color=MUTED, lw=1, ls=":", label="ideal")
        if entry["smooth"]:
            label = f"smooth; mean distance {decimals(entry['smooth']['ici'], 3)}"
            axes.plot(entry["smooth"]["predicted"], entry["smooth"]["observed"], color=COLORS[1], lw=1.6, label=label)
        if groups:
            predicted, observed = [g["predicted"] for g in groups], [g["observed"] for g in groups]
            errors = [
                [max(0.0, g["observed"] - g["low"]) for g in groups],
                [max(0.0, g["high"] - g["observed"]) for g in groups],
            ]
            axes.errorbar(
                predicted,
                observed,
                yerr=errors,
                fmt="o",
                color=COLORS[0],
                ms=5,
                lw=1.2,
                capsize=3,
                label="fifths of the patients",
            )
        axes.set_title(f"At {entry['years']:g} years", fontsize=10)
        axes.set_xlabel("Predicted survival")
        axes.set_ylabel("Observed survival (95 % interval)")
        axes.set_xlim(low, 1.005)
        axes.set_ylim(low, 1.005)
        axes.legend(frameon=False, fontsize=8, loc="upper left")
    return figure


def decision_figure(curves: list[dict], horizons: list[float]) -> Figure:
    """Net benefit against the threshold, one panel per horizon."""
    figure, axes_of = panels(len(horizons))
    for axes, years in zip(axes_of, horizons, strict=True):
        shown = [c for c in curves if c["years"] == years]
        everyone = shown[0]
        known = [(t, v) for t, v in zip(everyone["thresholds"], everyone["everyone"], strict=True) if v is not None]
        axes.plot([t for t, _ in known], [v for _, v in known], color=MUTED, lw=1.2, ls="--", label="act on everybody")
        axes.axhline(0, color=INK, lw=1, label="act on nobody")
        for curve, color, dash in zip(shown, COLORS, DASHES, strict=False):
            values = [float("nan") if v is None else v for v in curve["net_benefit"]]
            axes.plot(curve["thresholds"], values, color=color, lw=1.6, ls=dash, label=_short(curve["model"]))
        top = max([v for c in shown for v in c["net_benefit"] if v is not None] + [v for _, v in known] + [0.01])
        last = max([t for t, v in zip(shown[0]["thresholds"], shown[-1]["net_benefit"], strict=True) if v] + [0.1])
        axes.set_xlim(0, min(0.6, last * 1.15))
        axes.set_ylim(-0.25 * top, top * 1.08)
        axes.set_title(f"Event within {years:g} years", fontsize=10)
        axes.set_xlabel("Risk at which one would act")
        axes.set_ylabel("Net benefit per patient")
        axes.legend(frameon=False, fontsize=7.6, loc="upper right")
    return figure


def _short(name: str, length: int = 42) -> str:
    return name if len(name) <= length else name[: length - 1] + "…"


def nomogram_figure(content: dict) -> Figure:
    """Points axis on top, one axis per term, total points and survival below."""
    terms, survival = content["terms"], content["survival"]
    rows = 2 + len(terms) + len(survival)
    figure = new_figure(7.8, 0.58 * rows)
    axes = figure.add_axes((0.30, 0.02, 0.67, 0.96))
    axes.set_axis_off()
    axes.set_xlim(-1, 101)
    axes.set_ylim(-rows + 0.35, 0.75)
    _ruler(axes, 0, "Points", [(v, f"{v:g}") for v in range(0, 101, 10)], 0, 100)
    for k, term in enumerate(terms, start=1):
        unit = f" ({term['unit'].replace('mm3', 'mm³')})" if term["unit"] else ""
        if term["levels"]:
            ticks = [(level["points"], str(level["level"])) for level in term["levels"]]
        else:
            ticks = _number_ticks(term)
        low, high = min(t for t, _ in ticks), max(t for t, _ in ticks)
        if not term["levels"]:
            low, high = sorted((term["points_low"], term["points_high"]))
        _ruler(axes, -k, f"{term['name']}{unit}", ticks, low, high)
    total = content["largest_total"]
    step = next(s for s in (5, 10, 20, 25, 50, 100, 200) if total / s <= 14)
    scale = 100 / total
    ticks = [(v * scale, f"{v:g}") for v in range(0, int(total) + 1, step)]
    y = -len(terms) - 1
    _ruler(axes, y, "Total points", ticks, 0, 100)
    for k, axis in enumerate(survival, start=1):
        ticks = [(t["total"] * scale, f"{t['survival']:g}") for t in axis["ticks"]]
        if ticks:
            _ruler(
                axes,
                y - k,
                axis.get("label") or f"Survival at {axis['years']:g} years",
                ticks,
                min(t for t, _ in ticks),
                max(t for t, _ in ticks),
            )
    return figure


def _number_ticks(term: dict) -> list[tuple[float, str]]:
    import numpy as np
    from matplotlib.ticker import MaxNLocator

    values = MaxNLocator(nbins=7, steps=[1, 2, 2.5, 5, 10]).tick_values(term["low"], term["high"])
    kept = [v for v in values if term["low"] - 1e-12 <= v <= term["high"] + 1e-12]
    share = [(v - term["low"]) / (term["high"] - term["low"]) for v in kept]
    points = [term["points_low"] + s * (term["points_high"] - term["points_low"]) for s in share]
    return [(float(p), f"{np.round(v, 10):g}") for p, v in zip(points, kept, strict=True)]


def _ruler(axes, y: float, label: str, ticks: list[tuple[float, str]], low: float, high: float) -> None:
    axes.plot([low, high], [y, y], color=INK, lw=1.1, clip_on=False)
    axes.annotate(
        fill(label[:64], 30), (0, y), xycoords=("axes fraction", "data"), xytext=(-10, 0),
        textcoords="offset points", ha="right", va="center", fontsize=9.5, annotation_clip=False,
    )  # fmt: skip
    last, level = -1e9, 0
    for x, text in sorted(ticks):
        axes.plot([x, x], [y, y + 0.12], color=INK, lw=1)
        # Labels that would touch their left neighbor move below the line.
        level = 1 - level if x - last < 1.3 * len(text) + 1.2 else 0
        axes.text(
            x, y + 0.17 if not level else y - 0.12, text, ha="center", va="bottom" if not level else "top", fontsize=8
        )
        last = x
