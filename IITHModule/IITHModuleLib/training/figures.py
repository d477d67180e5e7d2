"""Small SVG figures for the model card: calibration, and survival by risk group."""

from __future__ import annotations

from pathlib import Path

COLORS = ("#0072B2", "#D55E00", "#009E73")  # Okabe-Ito, told apart with color-blindness


def write_figures(content: dict, folder: Path) -> list[tuple[str, str]]:
    """Write the figures of a model.json's content; returns (path relative to the card, caption)."""
    folder.mkdir()
    figures = []
    for k, form in enumerate(content["forms"], start=1):
        name = f"calibration-{k}.svg"
        if content["kind"] == "logistic":
            _calibration_of_probability(content, form, folder / name)
            caption = f'Predicted and observed share with {content["outcome"]["name"]}, form "{form["name"]}".'
        else:
            _calibration_of_survival(form, folder / name)
            caption = f'Predicted and observed {content["outcome"]["name"]}, form "{form["name"]}".'
            _risk_groups(content, form, folder / f"groups-{k}.svg")
            figures.append(
                (
                    f"figures/groups-{k}.svg",
                    f'Kaplan-Meier curves of the training patients by group, form "{form["name"]}".',
                )
            )
        figures.append((f"figures/{name}", caption))
        if form["performance"]["internal"].get("decision_curve"):
            _net_benefit(form, folder / f"decision-{k}.svg")
            caption = f'Net benefit against the threshold, form "{form["name"]}".'
            figures.append((f"figures/decision-{k}.svg", caption))
    return figures


def _axes():
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    # Text stays text and ids do not change from run to run, so the file is small and the same each time.
    matplotlib.rcParams["svg.fonttype"] = "none"
    matplotlib.rcParams["svg.hashsalt"] = "iith"
    figure = Figure(figsize=(4.6, 4.0), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure, path: Path) -> None:
    figure.savefig(path, metadata={"Date": None, "Creator": None})


def _points(axes, groups: list[dict], label: str, color: str, marker: str) -> None:
    groups = [g for g in groups if g["observed"] is not None]
    predicted, observed = [g["predicted"] for g in groups], [g["observed"] for g in groups]
    below = [max(0.0, g["observed"] - g["low"]) for g in groups]
    above = [max(0.0, g["high"] - g["observed"]) for g in groups]
    axes.errorbar(
        predicted, observed, yerr=[below, above], fmt=marker, color=color, ms=4.5, lw=1, capsize=2, label=label
    )


def _diagonal(axes, low: float = 0.0) -> None:
    axes.plot([low, 1], [low, 1], color="0.6", lw=1, ls="--")
    axes.set_xlim(low, 1)
    axes.set_ylim(low, 1)


def _calibration_of_probability(content: dict, form: dict, path: Path) -> None:
    figure, axes = _axes()
    _diagonal(axes)
    performance = form["performance"]
    _points(axes, performance["internal"]["calibration"]["groups"], "training, out of fold", COLORS[0], "o")
    tested = [e for e in performance["external"] if "calibration" in e]
    for e, color, marker in zip(tested, COLORS[1:], "s^", strict=False):
        _points(axes, e["calibration"]["groups"], e["name"], color, marker)
    axes.set_xlabel(f"predicted probability of {content['outcome']['name']}")
    axes.set_ylabel("observed share (95 % interval)")
    axes.legend(frameon=False, loc="upper left", fontsize=8)
    _save(figure, path)


def _calibration_of_survival(form: dict, path: Path) -> None:
    figure, axes = _axes()
    performance = form["performance"]
    horizon = performance["internal"]["calibration"]["horizons"][-1]
    sets = [("training", horizon)]
    for e in performance["external"]:
        sets += [(e["name"], h) for h in e.get("calibration", {}).get("horizons", []) if h["years"] == horizon["years"]]
    shown = [(name, h["groups"]) for name, h in sets if h["observed"] is not None]
    lowest = min(g["low"] for _, groups in shown for g in groups if g["observed"] is not None)
    _diagonal(axes, max(0.0, round(lowest - 0.05, 1)))
    for (name, groups), color, marker in zip(shown, COLORS, "os^", strict=False):
        _points(axes, groups, name, color, marker)
    axes.set_xlabel(f"predicted survival at {horizon['years']:g} years")
    axes.set_ylabel("Kaplan-Meier (95 % interval)")
    axes.legend(frameon=False, loc="lower right", fontsize=8)
    _save(figure, path)


def _net_benefit(form: dict, path: Path) -> None:
    figure, axes = _axes()
    performance = form["performance"]
    inside = performance["internal"]["decision_curve"]
    sets = [("training, apparent" if inside.get("apparent") else "training, out of fold", inside)]
    sets += [(e["name"], e["decision_curve"]) for e in performance["external"] if "decision_curve" in e]
    for (name, curve), color in zip(sets, (*COLORS, "#CC79A7", "#56B4E9", "#E69F00"), strict=False):
        axes.plot(curve["thresholds"], curve["model"], color=color, lw=1.6, label=f"model, {name}")
        axes.plot(curve["thresholds"], curve["everyone"], color=color, lw=1, ls=":", label=f"everybody, {name}")
    axes.axhline(0, color="0.6", lw=1, ls="--", label="nobody")
    top = max(v for _, curve in sets for v in (*curve["model"], *curve["everyone"]))
    axes.set_ylim(-0.15 * top, 1.05 * top)
    axes.set_xlim(0, 1)
    axes.set_xlabel("threshold probability")
    axes.set_ylabel("net benefit per patient")
    axes.legend(frameon=False, loc="upper right", fontsize=7)
    _save(figure, path)


def _risk_groups(content: dict, form: dict, path: Path) -> None:
    figure, axes = _axes()
    colors = (COLORS[2], COLORS[0], COLORS[1]) if len(form["reference_curves"]) > 2 else (COLORS[0], COLORS[1])
    for curve, color in zip(form["reference_curves"], colors, strict=True):
        years = [d / 365.25 for d in curve["time_days"]]
        label = f"{curve['group']} (n={curve['n']}, events {curve['n_events']})"
        axes.step(years, curve["survival"], where="post", color=color, label=label)
        axes.fill_between(years, curve["low"], curve["high"], step="post", color=color, alpha=0.15, lw=0)
    axes.set_ylim(0, 1.02)
    axes.set_xlim(0, None)
    axes.set_xlabel("years")
    axes.set_ylabel(content["outcome"]["name"])
    axes.legend(frameon=False, loc="lower left", fontsize=8)
    _save(figure, path)
