"""Scores as a window shows them: flags before numbers, where the index lies in its reference, and what that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from .any_model import ScorableModel
from .heterogeneity.index_model import SIMULATED_NOTE, IndexModel
from .scoring import Score


@dataclass(frozen=True)
class ReferenceDistribution:
    """Where a case's heterogeneity index lies among the patients of the reference.

    values: the index at ``percent`` of those patients (0..100, cumulative); cut: border of low and high; value,
    percentile: this case's.
    """

    title: str
    values: tuple[float, ...]
    percent: tuple[float, ...]
    cut: float
    value: float
    percentile: float


def _index_and_score(models: Sequence[ScorableModel], scores: Sequence[Score]):
    """The first heterogeneity index among the models with its score; its refusal where none has a value."""
    pairs = [(m, s) for m, s in zip(models, scores, strict=True) if isinstance(m, IndexModel)]
    return next((pair for pair in pairs if pair[1].value is not None), pairs[0] if pairs else None)


def _patients(model: IndexModel) -> str:
    kind = "simulated exams" if model.simulated else "patients"
    number = model.index.training.get("n")
    return kind if number is None else f"{number} {kind}"


def index_sentence(models: Sequence[ScorableModel], scores: Sequence[Score]) -> str:
    """The index in words: low or high, percentile, of whom; empty where no index was scored."""
    found = _index_and_score(models, scores)
    if found is None:
        return ""
    model, score = found
    if score.value is None:
        return f"{model.title}: not computed. {score.refusal}"
    text = (
        f"Heterogeneity index {score.value:.2f}: {score.group}. {score.percentile_in_training:.0f} % of the "
        f"{_patients(model)} of the reference ({model.title}) lie below."
    )
    flags = [warning for warning in score.warnings if warning != SIMULATED_NOTE]
    if score.in_range is False:
        flags.insert(0, "Outside the range of the reference.")
    if model.simulated:
        flags.insert(0, SIMULATED_NOTE)
    return " ".join([*flags, text])


def reference_distribution(models: Sequence[ScorableModel], scores: Sequence[Score]) -> ReferenceDistribution | None:
    """The curve to draw; None where no index has a value."""
    found = _index_and_score(models, scores)
    if found is None or found[1].value is None:
        return None
    model, score = found
    quantiles = model.index.hi_quantiles
    return ReferenceDistribution(
        title=f"This case among {_patients(model)}",
        values=tuple(float(q) for q in quantiles),
        percent=tuple(float(p) for p in np.linspace(0, 100, len(quantiles))),
        cut=float(model.index.cut),
        value=float(score.value),
        percentile=float(score.percentile_in_training),
    )


def scores_html(scores: Sequence[Score]) -> str:
    """One paragraph per model: refusal or flags first, then the number with its interval and what it is worth."""
    return "".join(_paragraph(score) for score in scores) or "<p>No model was scored.</p>"


def _paragraph(score: Score) -> str:
    parts = [f"<b>{escape(score.model_title)}</b> ({escape(score.model_id)} {escape(score.model_version)})"]
    if score.refusal is not None:
        parts.append(f'<span style="color:#b00020">No score: {escape(score.refusal)}</span>')
    else:
        if score.in_range is False:
            parts.append('<span style="color:#b00020">OUTSIDE the range of the training patients.</span>')
        parts += [f'<span style="color:#8a5a00">{escape(warning)}</span>' for warning in score.warnings]
        interval = "" if score.ci95 is None else f" (95 % interval {score.ci95[0]:.3g} to {score.ci95[1]:.3g})"
        group = f", group {escape(score.group)}" if score.group else ""
        parts.append(f"<b>{score.value:.3g}</b> {escape(score.unit)}{interval}{group}")
        if score.percentile_in_training is not None:
            parts.append(f"{score.percentile_in_training:.0f}th percentile of the training patients")
    parts.append(f"<i>{escape(score.licence)}. {escape(score.note)}</i>")
    return "<p>" + "<br>".join(parts) + "</p>"
