"""Applying a model to one case: the score, how sure it is, and whether the model may speak at all.

Missing inputs are refused by name; values outside the training range are scored, and flagged first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import numpy as np

from SubregionHabitatLib.errors import CaseRefused

from .case_values import CaseValue, CaseValues, check_case_value, value_definition
from .model_file import Model, ModelFeature, ModelForm
from .transforms import TRANSFORMS, needs_positive

Z95 = 1.959963984540054
RESEARCH_NOTE = "Research use only; not for decisions about a patient."
_FEATURE_PERCENTS = (0, 1, 5, 25, 50, 75, 95, 99, 100)


@dataclass(frozen=True)
class Contribution:
    """What one input adds: contribution = coefficient * z, on the log odds or log hazard scale.

    usual_low and usual_high are the 1st and 99th training percentile; in_range says the value lies between.
    percentile_in_training is None for yes/no inputs.
    """

    name: str
    value: float
    unit: str
    source: str
    z: float
    contribution: float
    in_range: bool
    usual_low: float
    usual_high: float
    percentile_in_training: float | None


@dataclass(frozen=True)
class SurvivalPrediction:
    """Predicted probability of no event up to ``years``, with its 95 % interval (None where the model has none)."""

    years: float
    probability: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class MissingInput:
    """An input a form needs and the case lacks, why, and how to give it."""

    name: str
    form: str
    reason: str
    remedy: str


@dataclass(frozen=True)
class Score:
    """The answer of one model for one case; value is None exactly when refusal is set.

    value: probability (logistic) or hazard relative to a patient with average inputs (Cox); ci95: its
    interval from the coefficients' covariance, None for a model without standard errors (a lasso);
    percentile_in_training: of the linear predictor, 0 to 100;
    distance_to_cut: on cut_scale, signed, to the nearest cut; distance_percentile: of the Mahalanobis
    distance of the inputs among the training patients; warnings: plain sentences, range flags first.
    """

    model_id: str
    model_version: str
    model_title: str
    model_digest: str
    kind: str
    outcome: str
    form: str | None
    form_reason: str
    value: float | None
    unit: str
    ci95: tuple[float, float] | None
    linear_predictor: float | None
    survival: tuple[SurvivalPrediction, ...]
    group: str | None
    groups: tuple[str, ...]
    percentile_in_training: float | None
    cuts: tuple[float, ...]
    cut_scale: str
    cut_rule: str
    distance_to_cut: float | None
    contributions: tuple[Contribution, ...]
    in_range: bool | None
    distance_percentile: float | None
    inputs_missing: tuple[MissingInput, ...]
    warnings: tuple[str, ...]
    refusal: str | None
    performance: dict = field(repr=False)
    licence: str = ""
    note: str = RESEARCH_NOTE

    def to_json(self) -> dict:
        """Plain JSON types; in_range becomes {"overall": .., "inputs": {name: ..}}."""
        result = asdict(self)
        result["ci95"] = None if self.ci95 is None else list(self.ci95)
        for key in ("survival", "groups", "cuts", "contributions", "inputs_missing", "warnings"):
            result[key] = list(result[key])
        result["in_range"] = {
            "overall": self.in_range,
            "inputs": {c.name: c.in_range for c in self.contributions},
        }
        result["inputs_used"] = {
            c.name: {"value": c.value, "unit": c.unit, "source": c.source} for c in self.contributions
        }
        return result


def score_case(model: Model, values: CaseValues) -> Score:
    """Score one case by the first form of ``model`` whose inputs are all there.

    Raises CaseRefused, naming every missing input of the last form tried and how to give it, when no form
    can be used, and InputError when a value has a wrong unit or is impossible.
    """
    for name, value in values.items():
        check_case_value(name, value)
    missing: list[MissingInput] = []
    for form in model.forms:
        lacking = _missing_inputs(form, values)
        if not lacking:
            return _score(model, form, values, tuple(missing))
        missing += lacking
    raise CaseRefused(_refusal(model, missing))


def try_score_case(model: Model, values: CaseValues) -> Score:
    """As score_case, but a refused case comes back as a Score without value whose ``refusal`` says why."""
    try:
        return score_case(model, values)
    except CaseRefused as refusal:
        missing = tuple(m for form in model.forms for m in _missing_inputs(form, values))
        return _refused(model, missing, str(refusal))


def score_models(models: Sequence[Model], values: CaseValues) -> tuple[Score, ...]:
    """One score per model; a model that refuses the case gives a score without value that says why."""
    return tuple(try_score_case(model, values) for model in models)


def performance_summary(model: Model, form: ModelForm) -> dict:
    """The form's own discrimination inside and outside, as it is shown beside every score."""
    internal, metric = form.performance["internal"], form.performance["metric"]
    return {
        "metric": metric,
        "internal": {"n": form.n, "n_events": form.n_events, **internal["cross_validated"]},
        "external": [
            {"name": e["name"], "n": e["n"], "n_events": e["n_events"], **e["discrimination"]}
            if "discrimination" in e
            else {"name": e["name"], "not_tested": e["not_tested"]}
            for e in form.performance["external"]
        ],
        "verdict": form.performance["verdict"],
        **({"internal_name": "OPTIMISTIC, paper's order"} if internal["cross_validated"].get("optimistic") else {}),
    }


def _missing_inputs(form: ModelForm, values: CaseValues) -> list[MissingInput]:
    missing = []
    for feature in form.features:
        value = values.get(feature.name)
        if value is None:
            reason = "not given"
        elif value.value is None:
            reason = value.reason or "no reason was recorded"
        elif needs_positive(feature.transform) and value.value <= 0:
            reason = f"it is {value.value:g}, and its logarithm does not exist"
        else:
            continue
        missing.append(
            MissingInput(feature.name, form.name, reason, value_definition(feature.name, feature.preset).remedy)
        )
    return missing


def _refusal(model: Model, missing: list[MissingInput]) -> str:
    # The last form asks for the least: what it lacks is what the user has to supply.
    lacking = [m for m in missing if m.form == model.forms[-1].name]
    parts = [f"{m.name} ({m.reason}; {m.remedy})" for m in lacking]
    return f"Model {model.id} cannot score this case without {', '.join(parts)}."


def _score(model: Model, form: ModelForm, values: CaseValues, missing: tuple[MissingInput, ...]) -> Score:
    contributions = tuple(_contribution(f, values[f.name]) for f in form.features)
    z = np.array([c.z for c in contributions])
    predictor = float(sum(c.contribution for c in contributions) + (form.intercept or 0.0))
    if model.kind == "logistic":
        value, ci95 = _probability(form, z, predictor)
        on_cut_scale, unit, survival = value, f"probability of {model.outcome['name']}", ()
    else:
        value, ci95 = _relative_hazard(form, z, predictor)
        unit = "hazard relative to a patient with average inputs"
        on_cut_scale, survival = predictor, tuple(_survival(form, z, predictor))
    distance = float(z @ np.linalg.solve(form.correlation, z))
    distance_percentile = _percentile(distance, form.distance_quantiles)
    warnings = _range_warnings(contributions, distance_percentile)
    in_range = not warnings
    if model.training.get("paper_order"):
        warnings.append(
            "This model is an OPTIMISTIC replay of a paper's order, for comparison only: its performance is too good."
        )
    nearest = min(form.cuts, key=lambda cut: abs(on_cut_scale - cut)) if form.cuts else None
    return Score(
        **_identity(model),
        form=form.name,
        form_reason=_form_reason(model, missing),
        value=value,
        unit=unit,
        ci95=ci95,
        linear_predictor=predictor,
        survival=survival,
        group=form.groups[int(np.searchsorted(form.cuts, on_cut_scale, side="right"))],
        groups=form.groups,
        percentile_in_training=_percentile(predictor, form.score_quantiles),
        cuts=form.cuts,
        cut_scale=form.cut_scale,
        cut_rule=form.cut_rule,
        distance_to_cut=None if nearest is None else on_cut_scale - nearest,
        contributions=contributions,
        in_range=in_range,
        distance_percentile=distance_percentile,
        inputs_missing=missing,
        warnings=tuple(warnings),
        refusal=None,
        performance=performance_summary(model, form),
    )


def _identity(model: Model) -> dict:
    return {
        "model_id": model.id,
        "model_version": model.version,
        "model_title": model.title,
        "model_digest": model.digest,
        "kind": model.kind,
        "outcome": str(model.outcome["name"]),
        "licence": str(model.licence["name"]),
    }


def refused_score(form_reason: str, missing: tuple[MissingInput, ...], refusal: str, **identity) -> Score:
    """The score of a case that a model refuses; ``identity`` names the model, unit, groups, cuts and performance."""
    return Score(
        **identity,
        form=None,
        form_reason=form_reason,
        value=None,
        ci95=None,
        linear_predictor=None,
        survival=(),
        group=None,
        percentile_in_training=None,
        distance_to_cut=None,
        contributions=(),
        in_range=None,
        distance_percentile=None,
        inputs_missing=missing,
        warnings=(),
        refusal=refusal,
    )


def _refused(model: Model, missing: tuple[MissingInput, ...], refusal: str) -> Score:
    form = model.forms[-1]
    return refused_score(
        "no form of the model has all its inputs",
        missing,
        refusal,
        **_identity(model),
        unit=f"probability of {model.outcome['name']}" if model.kind == "logistic" else "relative hazard",
        groups=form.groups,
        cuts=form.cuts,
        cut_scale=form.cut_scale,
        cut_rule=form.cut_rule,
        performance=performance_summary(model, form),
    )


def _contribution(feature: ModelFeature, case_value: CaseValue) -> Contribution:
    z = float((TRANSFORMS[feature.transform](case_value.value) - feature.mean) / feature.sd)
    low, high = feature.usual_range
    return Contribution(
        name=feature.name,
        value=float(case_value.value),
        unit=feature.unit,
        source=case_value.source,
        z=z,
        contribution=feature.coefficient * z,
        in_range=bool(low <= case_value.value <= high),
        usual_low=low,
        usual_high=high,
        percentile_in_training=None
        if value_definition(feature.name, feature.preset).yes_no
        else float(np.interp(case_value.value, feature.quantiles, _FEATURE_PERCENTS)),
    )


def _probability(form: ModelForm, z: np.ndarray, predictor: float) -> tuple[float, tuple[float, float] | None]:
    if form.covariance is None:
        return _expit(predictor), None
    row = np.concatenate([[1.0], z])
    half = Z95 * math.sqrt(row @ form.covariance @ row)
    low, value, high = (_expit(predictor + shift) for shift in (-half, 0.0, half))
    return value, (low, high)


def _expit(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def _relative_hazard(form: ModelForm, z: np.ndarray, predictor: float) -> tuple[float, tuple[float, float] | None]:
    if form.covariance is None:
        return _exp(predictor), None
    half = Z95 * math.sqrt(z @ form.covariance @ z)
    return _exp(predictor), (_exp(predictor - half), _exp(predictor + half))


def _exp(x: float) -> float:
    return math.exp(min(x, 700.0))  # beyond 700 a float overflows; such a case is far outside the range anyway


def _survival(form: ModelForm, z: np.ndarray, predictor: float):
    """S(t) = S0(t)^exp(lp); interval on the log cumulative hazard (Link, Biometrics 1984;40:601).

    The variance of the cumulative hazard has two parts: that of the baseline and that of the coefficients,
    the latter through z * Lambda0(t) - sum of mean-z * dLambda0.
    """
    for horizon in form.horizons:
        hazard = -math.log(horizon.baseline_survival)
        if form.covariance is None:
            yield SurvivalPrediction(horizon.years, math.exp(-hazard * _exp(predictor)), None, None)
            continue
        lever = z * hazard - np.asarray(horizon.drift)
        relative_se = math.sqrt(horizon.hazard_variance + lever @ form.covariance @ lever) / hazard
        log_hazard = predictor + math.log(hazard)
        high, value, low = (math.exp(-_exp(log_hazard + s * Z95 * relative_se)) for s in (-1, 0, 1))
        yield SurvivalPrediction(horizon.years, value, low, high)


def _percentile(value: float, quantiles: tuple[float, ...]) -> float:
    return float(np.interp(value, quantiles, np.linspace(0, 100, len(quantiles))))


def _range_warnings(contributions: tuple[Contribution, ...], distance_percentile: float) -> list[str]:
    warnings = [
        f"{c.name} is {c.value:.6g} {c.unit}, outside the usual training range {c.usual_low:.6g} to "
        f"{c.usual_high:.6g}: the model extrapolates."
        for c in contributions
        if not c.in_range
    ]
    if distance_percentile > 99:
        warnings.append(
            "This combination of inputs is rarer than 99 % of the training patients: the model extrapolates."
        )
    return warnings


def _form_reason(model: Model, missing: tuple[MissingInput, ...]) -> str:
    if len(model.forms) == 1:
        return "the model's only form"
    if not missing:
        return "all inputs of the model's first form are there"
    parts = [f"{m.name} is missing ({m.reason})" for m in missing]
    return f"an earlier form of the model cannot be used: {'; '.join(dict.fromkeys(parts))}"
