"""Scores and models as plain text of at most 110 columns, for terminals and logs."""

from __future__ import annotations

import textwrap

from .model_file import Model
from .scoring import Score, performance_summary

WIDTH = 110
MAX_INPUTS = 12


def score_text(score: Score) -> str:
    """One score: flags first, then the value, where it lies, what made it, and how good the model is."""
    lines = [f"{score.model_id} {score.model_version}: {score.model_title}"]
    if score.refusal:
        return "\n".join(lines + _wrap(f"REFUSED: {score.refusal}", "  "))
    for warning in score.warnings:
        lines += _wrap(f"{'NOTE' if score.in_range else 'OUTSIDE RANGE'}: {warning}", "  ")
    interval = "" if score.ci95 is None else f" (95 % interval {score.ci95[0]:.3g} to {score.ci95[1]:.3g})"
    lines += _wrap(f"{score.unit}: {score.value:.3g}{interval}", "  ")
    for s in score.survival:
        interval = "" if s.low is None else f" (95 % interval {s.low:.3f} to {s.high:.3f})"
        lines.append(f"  {score.outcome} at {s.years:g} years: {s.probability:.3f}{interval}")
    place = f"group: {score.group}; percentile in training: {score.percentile_in_training:.0f}"
    if score.distance_to_cut is not None:
        place += f"; distance to the nearest cut: {score.distance_to_cut:+.3g} ({score.cut_scale})"
    lines += _wrap(place, "  ")
    lines += _wrap(f"form: {score.form} ({score.form_reason})", "  ")
    shown = score.contributions
    if len(shown) > MAX_INPUTS:
        shown = sorted(shown, key=lambda c: -abs(c.contribution))[:MAX_INPUTS]
    names = [c.name.replace("original_", "").replace("lesion kinetic kinetic_", "") for c in shown]
    width = max(20, *map(len, names))
    lines.append(
        f"  {'input':<{width}}{'value':>12} {'unit':<7}{'adds':>8}  {'usual in training':<22}{'source'}"[:WIDTH]
    )
    for name, c in zip(names, shown, strict=True):
        usual = f"{c.usual_low:.4g} to {c.usual_high:.4g}"
        flag = "" if c.in_range else "  <- outside"
        row = f"  {name:<{width}}{c.value:>12.6g} {c.unit:<7}{c.contribution:>+8.3f}  {usual:<22}"
        lines.append(f"{row}{_short(c.source + flag, WIDTH - len(row))}")
    if len(score.contributions) > MAX_INPUTS:
        lines.append(f"  and {len(score.contributions) - MAX_INPUTS} inputs that weigh less")
    lines += ["  " + line for line in performance_lines(score.performance)]
    return "\n".join([*lines, *_wrap(f"licence: {score.licence}. {score.note}", "  ")])


def _short(text: str, room: int) -> str:
    return text[:room] if room > 0 else ""


def performance_lines(summary: dict) -> list[str]:
    """The model's own discrimination, inside and outside, one line each."""
    if summary["internal"] is None:
        return _wrap(summary["verdict"], "", WIDTH - 4)
    rows = [(summary.get("internal_name", "training, cross-validated"), summary["internal"])] + [
        (e["name"], e) for e in summary["external"]
    ]
    lines = []
    for name, row in rows:
        if "not_tested" in row:
            lines += _wrap(f"{name}: not tested ({row['not_tested']})", "", WIDTH - 4)
            continue
        lines.append(
            f"{summary['metric']} {row['value']:.3f} ({row['low']:.3f} to {row['high']:.3f})  {name}, "
            f"n={row['n']}, events {row['n_events']}"
        )
    if not summary["external"]:
        lines.append("not tested on patients of another source")
    return lines


def model_text(model: Model) -> str:
    """One model for `iith models`."""
    licence = model.licence["name"] + (" (non-commercial)" if model.licence["non_commercial"] else "")
    lines = [f"{model.id} {model.version}  [{model.kind}, {licence}]", f"  {model.title}"]
    for form in model.forms:
        lines.append(f'  form "{form.name}": trained on n={form.n}, events {form.n_events}')
        lines += _wrap(f"inputs: {', '.join(f'{f.name} ({f.unit})' for f in form.features)}", "    ")
        summary = performance_summary(model, form)
        lines += ["    " + line for line in performance_lines(summary)]
        lines += _wrap(summary["verdict"], "    ")
    return "\n".join(lines)


def model_json(model: Model) -> dict:
    """What ``model_text`` tells, as plain JSON types."""
    return {
        "id": model.id,
        "version": model.version,
        "kind": model.kind,
        "title": model.title,
        "outcome": model.outcome,
        "licence": model.licence,
        "intended_use": model.intended_use,
        "limits": list(model.limits),
        "digest": model.digest,
        "forms": [
            {
                "name": form.name,
                "n": form.n,
                "n_events": form.n_events,
                "inputs": [{"name": f.name, "unit": f.unit, "definition": f.definition} for f in form.features],
                "performance": performance_summary(model, form),
            }
            for form in model.forms
        ],
    }


def _wrap(text: str, indent: str, width: int = WIDTH) -> list[str]:
    return textwrap.wrap(text, width, initial_indent=indent, subsequent_indent=indent + ("  " if indent else ""))
