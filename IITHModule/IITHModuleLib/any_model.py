"""Models of every kind that can score one exam, behind one pair of functions: open a model, score a case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from SubregionHabitatLib.errors import InputError

from .case_values import CaseValues
from .feature_inputs import with_features
from .features import FeatureTable
from .heterogeneity.feature_matrix import FeatureKey
from .heterogeneity.index_model import KIND as INDEX_KIND
from .heterogeneity.index_model import IndexModel, load_index_model, score_index
from .model_file import KINDS, Model, load_model, model_kind
from .scoring import Score, try_score_case

ScorableModel = Model | IndexModel
Features = FeatureTable | Mapping[FeatureKey, float | None] | None


def open_model(path_or_id: str | Path) -> ScorableModel:
    """A shipped model by its id, or any model that scores one exam by its folder or model.json.

    Raises InputError, one sentence naming the file, for anything else.
    """
    kind = model_kind(path_or_id)
    if kind == INDEX_KIND:
        return load_index_model(path_or_id)
    if kind in KINDS or kind == "":
        return load_model(path_or_id)
    raise InputError(
        f"{path_or_id} is of the kind '{kind[:40]}', which does not score one exam; the kinds that do are "
        f"{', '.join((*KINDS, INDEX_KIND))} (phenotypes of change: `iith score MODEL FIRST SECOND`)."
    )


def score_any(model: ScorableModel, values: CaseValues, features: Features) -> Score:
    """The answer of one model; a refused case is a Score without value whose ``refusal`` says why.

    features: of the case, None where none were extracted.
    """
    if isinstance(model, IndexModel):
        return score_index(model, features)
    return try_score_case(model, with_features(model, values, features))


def score_all(models: Sequence[ScorableModel], values: CaseValues, features: Features) -> tuple[Score, ...]:
    """One score per model, in order."""
    return tuple(score_any(model, values, features) for model in models)
