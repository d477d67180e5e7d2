"""The list of models on one screen: what each was trained on and how well it really does."""

from __future__ import annotations

import textwrap

from .any_model import ScorableModel
from .heterogeneity.index_model import IndexModel, index_model_json, index_model_text
from .score_text import WIDTH, model_json
from .scoring import performance_summary


def listed_text(model: ScorableModel) -> str:
    """One model in a few lines of at most WIDTH columns; everything else is in its card."""
    if isinstance(model, IndexModel):
        return index_model_text(model, n_sentences=2)
    licence = model.licence["name"] + (" (non-commercial)" if model.licence["non_commercial"] else "")
    lines = [f"{model.id} {model.version}  [{model.kind}, {licence}]", f"  {model.title}"]
    for form in model.forms:
        summary = performance_summary(model, form)
        parts = [f"{summary['metric']} {_interval(summary['internal'])} cross-validated"]
        parts += [_outside(e) for e in summary["external"]] or ["not tested on patients of another source"]
        lines += _wrap(f'"{form.name}", n={form.n}, events {form.n_events}: {"; ".join(parts)}')
    lines += _wrap(performance_summary(model, model.forms[0])["verdict"])
    return "\n".join(lines)


def listed_json(model: ScorableModel) -> dict:
    """The model's description as plain JSON types."""
    return index_model_json(model) if isinstance(model, IndexModel) else model_json(model)


def _outside(row: dict) -> str:
    if "not_tested" in row:
        return f"{row['name']} not tested"
    return f"{row['name']} {_interval(row)} (n={row['n']}, events {row['n_events']})"


def _interval(row: dict) -> str:
    return f"{row['value']:.3f} ({row['low']:.3f} to {row['high']:.3f})"


def _wrap(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="  ", subsequent_indent="    ")
