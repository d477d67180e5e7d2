"""Figures of associations: correlation heat map and volcano plot."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..figures_style import INK, MUTED, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_LABELS = 60
_SIGNIFICANT = 0.05


def heat_map(matrix: np.ndarray, labels: Sequence[str]) -> Figure:
    """Spearman correlations (K, K) from blue (-1) over white (0) to orange-red (1); undefined ones gray."""
    k = len(labels)
    size = min(11.0, 2.6 + 0.24 * k)
    figure = new_figure(size + 1.6, size)
    axes = figure.add_axes((0.30, 0.24, 0.58, 0.74))
    from matplotlib.colors import LinearSegmentedColormap

    colors = LinearSegmentedColormap.from_list("correlation", ["#0072B2", "#ffffff", "#D55E00"])
    colors = colors.with_extremes(bad="#d0d5da")
    image = axes.imshow(np.ma.masked_invalid(matrix), vmin=-1, vmax=1, cmap=colors, aspect="auto")
    shown = range(k) if k <= MAX_LABELS else []
    font = 8.5 if k <= 25 else 6.5
    axes.set_xticks(list(shown), [labels[i][:26] for i in shown], rotation=55, ha="right", fontsize=font)
    axes.set_yticks(list(shown), [labels[i][:32] for i in shown], fontsize=font)
    if k <= 14:
        for i in range(k):
            for j in range(k):
                if np.isfinite(matrix[i, j]):
                    color = "white" if abs(matrix[i, j]) > 0.6 else INK
                    axes.text(j, i, f"{matrix[i, j]:.2f}", ha="center", va="center", fontsize=7.5, color=color)
    bar = figure.colorbar(image, cax=figure.add_axes((0.90, 0.24, 0.022, 0.74)))
    bar.set_label("Spearman correlation", fontsize=8.5)
    return figure


def volcano(
    effects: Sequence[float],
    p_values: Sequence[float],
    adjusted: Sequence[float],
    names: Sequence[str],
    label: str,
    top: int = 12,
) -> Figure:
    """Effect against -log10 p. Colored where the adjusted p is below 0.05; the ``top`` smallest p values are named."""
    effects, p = np.asarray(effects, float), np.clip(np.asarray(p_values, float), 1e-300, 1)
    adjusted = np.asarray(adjusted, float)
    height = -np.log10(p)
    figure = new_figure(6.8, 5.0)
    axes = figure.add_axes((0.11, 0.12, 0.86, 0.84))
    found = adjusted < _SIGNIFICANT
    directed = bool((effects < 0).any())
    parts = [(~found, "#a9b4be", "adjusted p of 0.05 or more")]
    if directed:
        parts += [(found & (effects < 0), "#0072B2", "lower, adjusted p < 0.05")]
        parts += [(found & (effects >= 0), "#D55E00", "higher, adjusted p < 0.05")]
    else:
        parts += [(found, "#D55E00", "adjusted p < 0.05")]
    for part, color, text in parts:
        axes.scatter(
            effects[part], height[part], s=16, color=color, alpha=0.8, lw=0, label=f"{text} ({int(part.sum()):,})"
        )
    reach = max(float(np.abs(effects).max(initial=0)) * 1.1, 0.1)
    ceiling = max(2.0, float(height.max(initial=0)) * 1.08)
    if directed:
        axes.axvline(0, color=MUTED, lw=0.8, ls=":")
    _name_points(axes, effects, height, names, [k for k in np.argsort(p, kind="stable")[:top] if found[k]], ceiling)
    axes.set_xlabel(label)
    axes.set_ylabel("−log10 p")
    axes.set_ylim(0, ceiling)
    axes.set_xlim(-reach if directed else 0, reach)
    axes.legend(
        frameon=False, fontsize=7.5, loc="upper center", bbox_to_anchor=(0.5, 1.05), ncol=3, handletextpad=0.1,
        columnspacing=0.8,
    )  # fmt: skip
    return figure


def _name_points(axes, effects, height, names, chosen, ceiling: float) -> None:
    """Names beside points, leaving out those whose name would lie on another one."""
    taken: list[tuple[bool, float]] = []
    for k in chosen:
        left = effects[k] > 0.6 * effects.max() and effects[k] > 0
        if any(side == left and abs(y - height[k]) < 0.035 * ceiling for side, y in taken):
            continue
        taken.append((left, height[k]))
        axes.annotate(
            names[k][:34],
            (effects[k], height[k]),
            xytext=(-5 if left else 5, 0),
            textcoords="offset points",
            fontsize=7.5,
            va="center",
            ha="right" if left else "left",
        )


def finite(value: float | None) -> float:
    """NaN for a missing number."""
    return math.nan if value is None else float(value)
