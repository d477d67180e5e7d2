"""The figure of enhancement over time: one line per habitat with its quartiles, lesion and ring as thin lines."""

from __future__ import annotations

from .figures_style import (
    INK,
    LESION_COLOR,
    MUTED,
    RING_COLOR,
    Picture,
    habitat_color,
    new_figure,
    report_style,
    svg_uri,
)
from .report_terms import habitat_label, phase_axis

_WIDTH_IN, _HEIGHT_IN = 5.3, 4.1
# Markers tell the habitats apart without color as well.
_MARKERS = ("o", "s", "^", "D", "v", "P")


def curve_picture(curves: list[dict], phases: list[dict], habitat_names: tuple[str, ...]) -> Picture | None:
    """The curves of a case (``case["curves"]``); None where there is no curve."""
    curves = [c for c in curves if c["times_s"]]
    if not curves:
        return None
    with report_style():
        figure = new_figure(_WIDTH_IN, _HEIGHT_IN)
        axes = figure.add_axes((0.118, 0.235, 0.862, 0.70))
        positions, label = phase_axis(phases)
        for curve in curves:
            _draw(axes, curve, positions, habitat_names)
        _mark_phases(axes, phases, positions)
        axes.axhline(0, color=MUTED, lw=0.6)
        axes.set_xlabel(label)
        axes.set_ylabel("Enhancement (%)")
        axes.set_xlim(0, positions[-1] * 1.03)
        figure.legend(loc="lower center", ncols=3, frameon=False, fontsize=9.5, handlelength=2.4, columnspacing=1.2)
        src = svg_uri(figure)
    ends = [f"{_label(c, habitat_names)} {c['mean'][-1]:.0f} %" for c in curves]
    return Picture(
        src,
        f"Mean enhancement over time of each habitat, the lesion and the ring. At the last phase: {', '.join(ends)}.",
        "Mean enhancement; the bands hold the middle half of a habitat's voxels (25th to 75th percentile). "
        "Values between the measured phases are drawn straight.",
        round(_WIDTH_IN * 96),
        round(_HEIGHT_IN * 96),
    )


def _label(curve: dict, names: tuple[str, ...]) -> str:
    return habitat_label(curve["region"]) if curve["region"] in names else str(curve["region"])


def _draw(axes, curve: dict, minutes: list[float], names: tuple[str, ...]) -> None:
    label = _label(curve, names)
    if curve["region"] not in names:
        color, dashes = (LESION_COLOR, "-") if curve["region"] == "lesion" else (RING_COLOR, "--")
        axes.plot(minutes, curve["mean"], color=color, lw=1.4, ls=dashes, label=label, zorder=2)
        return
    index = names.index(curve["region"])
    color, marker = habitat_color(index), _MARKERS[index % len(_MARKERS)]
    axes.fill_between(minutes, curve["q25"], curve["q75"], color=color, alpha=0.18, lw=0, zorder=1)
    # A dark edge keeps a yellow line visible on white paper.
    axes.plot(minutes, curve["mean"], color=INK, lw=3.4, zorder=3)
    axes.plot(
        minutes, curve["mean"], color=color, lw=2.2, marker=marker, ms=6.5, mec=INK, mew=0.7, label=label, zorder=4
    )


def _mark_phases(axes, phases: list[dict], positions: list[float]) -> None:
    for phase, minutes in zip(phases, positions, strict=True):
        if phase["role"] not in ("early", "late"):
            continue
        axes.axvline(minutes, color=MUTED, lw=0.9, ls=(0, (2, 2)), zorder=0)
        axes.annotate(
            phase["role"],
            (minutes, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=9.5,
            color=INK,
            annotation_clip=False,
        )
