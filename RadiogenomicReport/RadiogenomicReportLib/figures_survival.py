"""The figure of a survival model: Kaplan-Meier curves of its training patients by group, with this case's group."""

from __future__ import annotations

from .figures_style import INK, MUTED, Picture, new_figure, report_style, svg_uri

_WIDTH_IN, _HEIGHT_IN = 5.3, 4.1
_DAYS_PER_YEAR = 365.25
_CASE_COLOR = "#0072B2"
_OTHER_DASHES = ((0, (6, 2)), (0, (2, 2)), (0, (6, 2, 1, 2)), (0, (1, 1)))


def survival_picture(curves: tuple[dict, ...], case_group: str, outcome: str, predicted: list[dict]) -> Picture | None:
    """Kaplan-Meier curves of a model form (``reference_curves``), with ``case_group`` drawn in color and named.

    predicted: the case's own survival predictions (years, probability, low, high), drawn as points with interval.
    None where the model holds no curves.
    """
    if not curves:
        return None
    with report_style():
        figure = new_figure(_WIDTH_IN, _HEIGHT_IN)
        rows = 0.052 * len(curves)
        axes = figure.add_axes((0.215, 0.14 + rows, 0.765, 0.845 - rows))
        others = iter(_OTHER_DASHES * len(curves))
        for curve in curves:
            _draw(axes, curve, curve["group"] == case_group, others)
        _draw_predictions(axes, predicted)
        last = max(c["time_days"][-1] for c in curves) / _DAYS_PER_YEAR
        axes.set_xlim(0, last)
        axes.set_ylim(0, 1.02)
        axes.set_xlabel("Years")
        axes.set_ylabel(f"Share with {outcome}", fontsize=9.5)
        axes.legend(frameon=False, fontsize=9, loc="lower left", handlelength=3)
        _at_risk(axes, curves, case_group, int(last))
        src = svg_uri(figure)
    known = ", ".join(f"{c['group']} (n={c['n']}, {c['n_events']} events)" for c in curves)
    return Picture(
        src,
        f"Kaplan-Meier curves of the model's training patients by group: {known}. This case falls into the group "
        f"{case_group}.",
        f"Training patients by group of the score (Kaplan-Meier, band: 95 % interval). Blue: the group "
        f"“{case_group}”, into which this case falls; points: the model's own prediction for this case. "
        "Patients within one group differ widely.",
        round(_WIDTH_IN * 96),
        round(_HEIGHT_IN * 96),
    )


def _draw(axes, curve: dict, is_case: bool, dashes) -> None:
    years = [d / _DAYS_PER_YEAR for d in curve["time_days"]]
    label = f"{curve['group']}{' (this case)' if is_case else ''}: n={curve['n']}, {curve['n_events']} events"
    if is_case:
        axes.fill_between(
            years, curve["low"], curve["high"], step="post", color=_CASE_COLOR, alpha=0.15, lw=0, zorder=1
        )
        axes.step(years, curve["survival"], where="post", color=_CASE_COLOR, lw=2.4, label=label, zorder=3)
        return
    axes.step(years, curve["survival"], where="post", color=MUTED, lw=1.4, ls=next(dashes), label=label, zorder=2)


def _draw_predictions(axes, predicted: list[dict]) -> None:
    if not predicted:
        return
    known = all(p["low"] is not None for p in predicted)
    axes.errorbar(
        [p["years"] for p in predicted],
        [p["probability"] for p in predicted],
        yerr=[[p["probability"] - p["low"] for p in predicted], [p["high"] - p["probability"] for p in predicted]]
        if known
        else None,
        fmt="D",
        ms=5.5,
        color=INK,
        mfc="white",
        lw=1.2,
        capsize=3,
        zorder=4,
        label="predicted for this case" + (", 95 % interval" if known else ""),
    )


def _at_risk(axes, curves: tuple[dict, ...], case_group: str, last_year: int) -> None:
    """How many patients each curve still rests on, below the time axis."""

    def note(text: str, x: float, row: float, **style) -> None:
        axes.annotate(
            text,
            (x, 0),
            xycoords=("data", "axes fraction"),
            xytext=(style.pop("shift", 0), -40 - 13 * row),
            textcoords="offset points",
            fontsize=8.5,
            annotation_clip=False,
            **style,
        )

    note("At risk", 0, 0, ha="right", shift=-16, color=INK)
    for row, curve in enumerate(curves, start=1):
        is_case = curve["group"] == case_group
        style = {"color": _CASE_COLOR if is_case else MUTED, "weight": "bold" if is_case else "normal"}
        note(curve["group"][:14], 0, row, ha="right", shift=-16, **style)
        for year in range(last_year + 1):
            n = _n_at_risk(curve, year * _DAYS_PER_YEAR)
            if n is not None:
                note(str(n), year, row, ha="center", **style)


def _n_at_risk(curve: dict, days: float) -> int | None:
    """Patients at risk at the first stored time at or after ``days``."""
    for time, n in zip(curve["time_days"], curve["at_risk"], strict=False):
        if time >= days - 1e-6:
            return n
    return None
