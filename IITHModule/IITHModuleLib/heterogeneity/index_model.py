"""A heterogeneity index as one of the models: read from its folder, applied to a case, described in a few lines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from SubregionHabitatLib.errors import CaseRefused, InputError

from ..features import FeatureTable
from ..model_file import find_model
from ..scoring import Contribution, MissingInput, Score, refused_score
from .feature_matrix import FeatureKey
from .frozen_model import ModelHead
from .heterogeneity_file import FORMAT, KIND
from .heterogeneity_index import GROUPS, HeterogeneityIndex
from .heterogeneity_score import HeterogeneityScore, score_heterogeneity

WIDTH = 110
UNIT = "heterogeneity index, sum of z-scores"
CUT_SCALE = "heterogeneity index"
FORM = "heterogeneity index"
MAX_NAMED = 6
# Of many features some always lie outside their 1st to 99th percentile: 2 % of a usual patient's.
FEW_FEATURES = 20
MAX_OUTSIDE_SHARE = 0.05
SIMULATED_NOTE = (
    "The reference is SIMULATED: percentile and group compare this case with simulated exams and mean nothing "
    "clinically until the index is trained on real exams (`iith train su-iith FEATURES --out MODEL`)."
)


@dataclass(frozen=True)
class IndexModel:
    """A checked model of the kind heterogeneity_index. digest: SHA-256 of its model.json; path: that file."""

    head: ModelHead
    index: HeterogeneityIndex = field(repr=False)
    digest: str
    path: Path

    kind = KIND

    @property
    def id(self) -> str:
        return self.head.id

    @property
    def version(self) -> str:
        return self.head.version

    @property
    def title(self) -> str:
        return self.head.title

    @property
    def licence(self) -> dict:
        return self.head.licence

    @property
    def intended_use(self) -> str:
        return self.head.intended_use

    @property
    def limits(self) -> tuple[str, ...]:
        return self.head.limits

    @property
    def simulated(self) -> bool:
        """True when the training exams were simulated."""
        return bool(self.head.training.get("simulated", False))

    @property
    def performance(self) -> dict:
        """As scoring.performance_summary: C-index of the index where an outcome was compared, else none and why."""
        survival = self.head.training.get("survival")
        if survival is None:
            verdict = SIMULATED_NOTE if self.simulated else "Not compared with any outcome of its training patients."
            return {"metric": "none", "internal": None, "external": [], "verdict": verdict}
        alone = survival["models"][0]["c_apparent"]
        internal = {"n": survival["n"], "n_events": survival["n_events"]}
        internal |= {k: alone[k] for k in ("value", "low", "high")}
        return {
            "metric": "C-index",
            "internal": internal,
            "internal_name": "Training patients (no outcome was used in making it)",
            "external": [],
            "verdict": survival["verdict"],
        }


def load_index_model(path_or_id: str | Path) -> IndexModel:
    """Read a model folder, a model.json or a shipped model of this kind; InputError when it is not sound."""
    loaded = FORMAT.load(path_or_id)
    model = IndexModel(loaded.head, loaded.model, loaded.digest, find_model(path_or_id))
    _check_survival(model)
    return model


def _check_survival(model: IndexModel) -> None:
    """InputError where the comparison with an outcome, which every score shows, is not what training writes."""
    try:
        shown = model.performance
        numbers = [] if shown["internal"] is None else list(shown["internal"].values())
        sound = all(isinstance(v, int | float) and not isinstance(v, bool) for v in numbers)
        sound = sound and isinstance(shown["verdict"], str)
    except (KeyError, TypeError, IndexError, AttributeError):
        sound = False
    if not sound:
        raise InputError(
            f"{model.path} does not say in training/survival how the index compares with an outcome; use the file as "
            "it was published."
        )


def score_index(model: IndexModel, features: FeatureTable | Mapping[FeatureKey, float | None] | None) -> Score:
    """The index of one case; a refusal comes back as a Score without value that says why.

    features: the case's table, None where no features were extracted.
    """
    if features is None:
        return _refused(model, f"Model {model.id} needs the features of the case; extract features with it.", ())
    try:
        found = score_heterogeneity(model.index, features)
    except (CaseRefused, InputError) as refusal:
        return _refused(model, f"Model {model.id}: {refusal}", _lacking(model, features))
    return _score(model, features, found)


def _score(model: IndexModel, features, found: HeterogeneityScore) -> Score:
    contributions = _contributions(model.index, features)
    outside = [c.name for c in contributions if not c.in_range]
    dependent = set(model.index.warnings)
    warnings = [w for w in found.warnings if w not in dependent]
    allowed = 0 if found.n_features <= FEW_FEATURES else int(MAX_OUTSIDE_SHARE * found.n_features)
    if len(outside) > allowed:
        named = ", ".join(outside[:MAX_NAMED]) + (
            f" and {len(outside) - MAX_NAMED} more" if len(outside) > MAX_NAMED else ""
        )
        warnings.insert(
            0,
            f"{len(outside)} of {found.n_features} features lie outside the 1st to 99th percentile of the "
            f"{'simulated exams' if model.simulated else 'training patients'}: {named}.",
        )
    if model.simulated:
        warnings.append(SIMULATED_NOTE)
    return Score(
        **_identity(model),
        form=FORM,
        form_reason=f"the model's only form; nearest group of training patients: {found.nearest_group}, "
        + ("as by the index" if found.nearest_group == found.group else f"while the index says {found.group}"),
        value=found.value,
        ci95=None,
        linear_predictor=None,
        survival=(),
        group=found.group,
        percentile_in_training=found.percentile_in_training,
        distance_to_cut=found.distance_to_cut,
        contributions=contributions,
        in_range=len(outside) <= allowed and found.distance_percentile <= 99 and not found.n_extreme,
        distance_percentile=found.distance_percentile,
        inputs_missing=tuple(MissingInput(str(m.key), FORM, m.reason, _remedy(m.key)) for m in found.missing),
        warnings=tuple(warnings),
        refusal=None,
    )


def _identity(model: IndexModel) -> dict:
    return {
        "model_id": model.id,
        "model_version": model.version,
        "model_title": model.title,
        "model_digest": model.digest,
        "kind": KIND,
        "outcome": "imaging heterogeneity",
        "unit": UNIT,
        "groups": GROUPS,
        "cuts": (model.index.cut,),
        "cut_scale": CUT_SCALE,
        "cut_rule": "Youden cut of the index against the groups of the training patients' similarity network",
        "performance": model.performance,
        "licence": str(model.licence["name"]),
    }


def _refused(model: IndexModel, refusal: str, missing: tuple[MissingInput, ...]) -> Score:
    return refused_score("the index refuses this case", missing, refusal, **_identity(model))


def _found(features) -> dict[FeatureKey, tuple[float | None, str, str]]:
    """Key -> (value, unit, reason)."""
    if isinstance(features, FeatureTable):
        return {FeatureKey(r.region, r.image, r.feature): (r.value, r.unit, r.reason) for r in features.rows}
    return {key: (value, "", "") for key, value in features.items()}


def _lacking(model: IndexModel, features) -> tuple[MissingInput, ...]:
    found, lacking = _found(features), []
    for key in model.index.keys:
        value, _, reason = found.get(key, (None, "", "not in the feature table"))
        if value is None or not np.isfinite(value):
            lacking.append(MissingInput(str(key), FORM, reason or "it has no value", _remedy(key)))
    return tuple(lacking)


def _remedy(key: FeatureKey) -> str:
    if key.image == "kinetic":
        return "draw the lesion (--lesion) and give an exam with three post-contrast phases or more"
    return "extract features of the same regions, images and preset as in training"


def _contributions(index: HeterogeneityIndex, features) -> tuple[Contribution, ...]:
    found, rows = _found(features), []
    for k, key in enumerate(index.keys):
        value, unit, _ = found.get(key, (None, "", ""))
        if value is None or not np.isfinite(value):
            continue
        z = float((value - index.means[k]) / index.sds[k])
        low, high = (float(v) for v in index.usual[:, k])
        rows.append(
            Contribution(
                name=str(key),
                value=float(value),
                unit=unit or "1",
                source="measured",
                z=z,
                contribution=float(index.signs[k]) * z,
                in_range=bool(low <= value <= high),
                usual_low=low,
                usual_high=high,
                percentile_in_training=None,
            )
        )
    return tuple(rows)


def index_model_json(model: IndexModel) -> dict:
    """What `iith models --json` tells of the model."""
    cohort = model.index.training
    return {
        "id": model.id,
        "version": model.version,
        "kind": KIND,
        "title": model.title,
        "outcome": {"name": "imaging heterogeneity", "definition": model.intended_use},
        "licence": model.licence,
        "intended_use": model.intended_use,
        "limits": list(model.limits),
        "digest": model.digest,
        "simulated": model.simulated,
        "forms": [
            {
                "name": FORM,
                "n": cohort["n"],
                "n_events": model.head.training.get("survival", {}).get("n_events"),
                "inputs": [{"name": str(key), "unit": "", "definition": ""} for key in model.index.keys],
                "performance": model.performance,
            }
        ],
    }


def index_model_text(model: IndexModel, n_sentences: int | None = None) -> str:
    """The model in a few lines; n_sentences: of what it tells about an outcome, None for all."""
    import re
    import textwrap

    cohort, volume = model.index.training, model.index.volume
    licence = model.licence["name"] + (" (non-commercial)" if model.licence.get("non_commercial") else "")
    kind = "SIMULATED exams" if model.simulated else "patients"
    rho = "not known" if volume.rho is None else f"{volume.rho:+.2f}"
    lines = [
        f"{model.id} {model.version}  [{KIND}, {licence}]",
        f"  {model.title}",
        f"  made from {cohort['n']} {kind}, {cohort['n_high']} in the high group; {len(model.index.keys)} features",
    ]
    agreement = (
        f"the cut repeats the network's groups in {100 * cohort['cut_agreement']['share']:.0f} %, the nearest group "
        f"mean in {100 * cohort['nearest_group_agreement']['share']:.0f} %; Spearman with lesion volume {rho}"
    )
    told = re.split(r"(?<=\.) (?=HI )", model.performance["verdict"])
    for text in (agreement, " ".join(told[:n_sentences])):
        lines += textwrap.wrap(text, WIDTH, initial_indent="  ", subsequent_indent="    ")
    return "\n".join(lines)
