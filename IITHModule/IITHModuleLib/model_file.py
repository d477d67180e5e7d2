"""Reading a model folder ("iith-model/1"): JSON only, nothing that executes, checked before it is used.

A model is data: ordered features with their transforms, means, SDs and coefficients, what it was trained on
and how it performed. Scoring needs numpy alone.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np

from SubregionHabitatLib.errors import InputError

from .case_values import KNOWN_VALUES, value_definition
from .feature_values import is_feature_name, preset_fits, unit_fits
from .resources import resource_path
from .transforms import TRANSFORMS
from .untrusted_json import check_schema, read_json

SCHEMA = "iith-model/1"
KINDS = ("logistic", "cox")
MAX_MODEL_BYTES = 2_000_000
MAX_ANY_MODEL_BYTES = 50_000_000  # kinds with thousands of features
N_QUANTILES = 101
_ID = re.compile(r"^[a-z0-9][a-z0-9.-]{0,63}$")


@dataclass(frozen=True)
class ModelFeature:
    """One predictor: z = (transform(value) - mean) / sd adds coefficient * z to the linear predictor.

    quantiles: the raw value's training percentiles 0, 1, 5, 25, 50, 75, 95, 99 and 100.
    """

    name: str
    unit: str
    preset: str
    definition: str
    transform: str
    mean: float
    sd: float
    coefficient: float
    quantiles: tuple[float, ...]

    @property
    def usual_range(self) -> tuple[float, float]:
        """The 1st and 99th training percentile of the raw value."""
        return self.quantiles[1], self.quantiles[-2]


@dataclass(frozen=True)
class Horizon:
    """What predicts survival at one time in a Cox model and how sure it is.

    baseline_survival: S0 at the training mean (all z = 0); hazard_variance: sum of d/S0^2 of the Breslow
    estimator; drift (p,): sum of mean-z * dLambda0, which ties coefficient and baseline errors together.
    """

    years: float
    days: float
    baseline_survival: float
    hazard_variance: float
    drift: tuple[float, ...]


@dataclass(frozen=True)
class ModelForm:
    """One variant of a model; see Resources/Schemas/iith-model-1.schema.json for every key.

    covariance: of (intercept and) coefficients, None after a lasso; correlation: of the features in training, for the
    Mahalanobis distance; score_quantiles and distance_quantiles: 101 training percentiles of the linear
    predictor and of the squared distance; cuts divide the score (on cut_scale) into groups.
    """

    name: str
    features: tuple[ModelFeature, ...]
    intercept: float | None
    covariance: np.ndarray | None = field(repr=False)
    correlation: np.ndarray = field(repr=False)
    score_quantiles: tuple[float, ...] = field(repr=False)
    distance_quantiles: tuple[float, ...] = field(repr=False)
    groups: tuple[str, ...]
    cuts: tuple[float, ...]
    cut_scale: str
    cut_rule: str
    horizons: tuple[Horizon, ...]
    baseline: dict | None = field(repr=False)
    reference_curves: tuple[dict, ...] = field(repr=False)
    performance: dict = field(repr=False)
    n: int
    n_events: int


@dataclass(frozen=True)
class Model:
    """A checked model. digest is the SHA-256 of its model.json; path is that file."""

    id: str
    version: str
    kind: str
    title: str
    outcome: dict
    forms: tuple[ModelForm, ...]
    training: dict = field(repr=False)
    intended_use: str
    limits: tuple[str, ...] = field(repr=False)
    licence: dict
    citations: tuple[str, ...] = field(repr=False)
    digest: str
    path: Path


def load_model(path_or_id: str | Path) -> Model:
    """Load a shipped model by its id, or any model by its folder or model.json.

    Raises InputError, one sentence naming the file and the remedy, for anything that is not a sound model:
    wrong schema, unknown kind, feature, unit or preset, lists of different length or order, numbers that
    are not finite, an SD that is not positive.
    """
    path = find_model(path_or_id)
    content, digest = read_json(path, "model file", MAX_MODEL_BYTES)
    return model_from_dict(content, path, digest)


def model_kind(path_or_id: str | Path) -> str:
    """The kind that a model file says it is, so that its own reader can be chosen; "" where it says none."""
    content, _ = read_json(find_model(path_or_id), "model file", MAX_ANY_MODEL_BYTES)
    return str(content.get("kind", ""))


def shipped_models() -> list[str]:
    """Ids of the models in Resources/Models, in alphabetic order."""
    # A folder that begins with a dot is one that `iith train` is writing.
    return sorted(p.parent.name for p in resource_path("Models").glob("[!.]*/model.json"))


def model_from_dict(content: dict, path: Path, digest: str) -> Model:
    """Check the content of a model.json and turn it into a Model; errors name ``path``."""
    if content.get("schema") != SCHEMA:
        found = str(content.get("schema"))[:40]
        raise InputError(f"{path} has the schema '{found}', not '{SCHEMA}'; give a model made by `iith train`.")
    if content.get("kind") not in KINDS:
        found = str(content.get("kind"))[:40]
        raise InputError(f"{path} is of the kind '{found}'; this version scores {' and '.join(KINDS)} models.")
    check_schema(content, resource_path("Schemas", "iith-model-1.schema.json"), path, "model file")
    try:
        model = _build(content, path, digest)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{path} is not a valid model file ({type(error).__name__}: {str(error)[:100]}); "
            "use the file as it was published."
        ) from None
    _check(model)
    return model


def find_model(path_or_id: str | Path) -> Path:
    """The model.json of a shipped model's id, a model folder or a path as given; InputError for an unknown id."""
    path = Path(path_or_id)
    if _ID.match(str(path_or_id)) and not path.exists():
        shipped = resource_path("Models", str(path_or_id), "model.json")
        if not shipped.is_file():
            raise InputError(
                f"There is no model '{path_or_id}'; shipped are {', '.join(shipped_models()) or 'none'} "
                "(see `iith models`), or give the path of a model folder."
            )
        return shipped
    if path.is_dir():
        return path / "model.json"
    return path


def _build(content: dict, path: Path, digest: str) -> Model:
    return Model(
        id=str(content["id"]),
        version=str(content["version"]),
        kind=content["kind"],
        title=str(content["title"]),
        outcome=dict(content["outcome"]),
        forms=tuple(_build_form(form, path) for form in content["forms"]),
        training=dict(content["training"]),
        intended_use=str(content["intended_use"]),
        limits=tuple(map(str, content["limits"])),
        licence=dict(content["licence"]),
        citations=tuple(map(str, content["citations"])),
        digest=digest,
        path=path,
    )


def _build_form(form: dict, path: Path) -> ModelForm:
    features = tuple(
        ModelFeature(
            name=str(f["name"]),
            unit=str(f["unit"]),
            preset=str(f["preset"]),
            definition=str(f["definition"]),
            transform=str(f["transform"]),
            mean=float(f["mean"]),
            sd=float(f["sd"]),
            coefficient=float(f["coefficient"]),
            quantiles=_numbers(f["training_quantiles"]),
        )
        for f in form["features"]
    )
    names = [f.name for f in features]
    intercept = None if form.get("intercept") is None else float(form["intercept"])
    terms = (["intercept"] if intercept is not None else []) + names
    return ModelForm(
        name=str(form["name"]),
        features=features,
        intercept=intercept,
        covariance=_matrix(form, "covariance", terms, path) if "covariance" in form else None,
        correlation=_matrix(form, "correlation", names, path),
        score_quantiles=_numbers(form["score_quantiles"]),
        distance_quantiles=_numbers(form["distance_quantiles"]),
        groups=tuple(map(str, form["groups"]["names"])),
        cuts=_numbers(form["groups"]["cuts"]),
        cut_scale=str(form["groups"]["scale"]),
        cut_rule=str(form["groups"]["rule"]),
        horizons=tuple(
            Horizon(
                float(h["years"]),
                float(h["days"]),
                float(h["baseline_survival"]),
                float(h["hazard_variance"]),
                _numbers(h["drift"]),
            )
            for h in form.get("horizons", [])
        ),
        baseline=form.get("baseline"),
        reference_curves=tuple(form.get("reference_curves", [])),
        performance=dict(form["performance"]),
        n=int(form["n"]),
        n_events=int(form["n_events"]),
    )


def _numbers(values: list) -> tuple[float, ...]:
    return tuple(float(v) for v in values)


def _matrix(form: dict, key: str, terms: list[str], path: Path) -> np.ndarray:
    """A named square matrix; its names repeat the feature order, so a changed list shows."""
    names = [str(n) for n in form[key]["names"]]
    if names != terms:
        raise InputError(
            f"{path}: form '{str(form['name'])[:60]}' lists {', '.join(terms)} but its {key} is for "
            f"{', '.join(names)[:200]} (a feature is missing, extra or reordered); use the file as it was published."
        )
    matrix = np.array([_numbers(row) for row in form[key]["matrix"]], dtype=float)
    if matrix.shape != (len(terms), len(terms)):
        raise InputError(
            f"{path}: the {key} has the shape {matrix.shape}, not {len(terms)} by {len(terms)}; "
            "use the file as it was published."
        )
    return matrix


def _check(model: Model) -> None:
    def refuse(problem: str) -> None:
        raise InputError(f"{model.path}: {problem}; use the file as it was published.")

    if not _ID.match(model.id):
        refuse("the id may hold only small letters, digits, dots and hyphens")
    if not model.forms:
        refuse("the model has no form to score with")
    if len({form.name for form in model.forms}) != len(model.forms):
        refuse("two forms have the same name")
    for form in model.forms:
        _check_features(form, refuse)
        _check_numbers(form, refuse)
        _check_kind(model.kind, form, refuse)


def _check_features(form: ModelForm, refuse) -> None:
    names = [f.name for f in form.features]
    if not names or len(set(names)) != len(names):
        refuse(f"form '{form.name}' has no features or one twice")
    for feature in form.features:
        known = value_definition(feature.name, feature.preset)
        if known is None:
            refuse(f"the feature '{feature.name[:60]}' is not known (standard values: {', '.join(KNOWN_VALUES)})")
        measured = is_feature_name(feature.name)
        if not unit_fits(feature.name, feature.unit) if measured else feature.unit != known.unit:
            refuse(f"{feature.name[:120]} is in '{feature.unit[:30]}' but this version measures it in '{known.unit}'")
        if not preset_fits(feature.preset) if measured else feature.preset != known.preset:
            refuse(
                f"{feature.name[:120]} was made with the preset '{feature.preset[:40]}' but this version measures it "
                f"with '{'name:digest' if measured else known.preset}'"
            )
        if feature.transform not in TRANSFORMS:
            refuse(f"{feature.name} has the unknown transform '{feature.transform[:30]}'")
        if not feature.sd > 0:
            refuse(f"the SD of {feature.name} is {feature.sd:g}, which is not positive")
        if len(feature.quantiles) != 9 or not _ascending(feature.quantiles):
            refuse(f"the training quantiles of {feature.name} are not 9 ascending numbers")


def _check_numbers(form: ModelForm, refuse) -> None:
    numbers = [f.mean for f in form.features] + [f.sd for f in form.features]
    numbers += [f.coefficient for f in form.features] + [q for f in form.features for q in f.quantiles]
    matrices = [("correlation", form.correlation)]
    if form.covariance is not None:
        matrices.append(("covariance", form.covariance))
    numbers += [v for _, matrix in matrices for v in matrix.ravel()] + [*form.cuts]
    numbers += [*form.score_quantiles, *form.distance_quantiles]
    if not all(math.isfinite(v) for v in numbers):
        refuse(f"form '{form.name}' holds a number that is not finite")
    for label, matrix in matrices:
        if not np.allclose(matrix, matrix.T, rtol=1e-6, atol=1e-12) or np.linalg.eigvalsh(matrix).min() <= 0:
            refuse(f"the {label} of form '{form.name}' is not a symmetric positive matrix")
    for label, quantiles in (("score", form.score_quantiles), ("distance", form.distance_quantiles)):
        if len(quantiles) != N_QUANTILES or not _ascending(quantiles):
            refuse(f"the {label} quantiles of form '{form.name}' are not {N_QUANTILES} ascending numbers")
    if len(form.groups) != len(form.cuts) + 1 or not _ascending(form.cuts):
        refuse(f"form '{form.name}' needs ascending cuts and one group more than cuts")
    if not 0 < form.n_events <= form.n:
        refuse(f"form '{form.name}' reports {form.n_events} events among {form.n} patients")


def _check_kind(kind: str, form: ModelForm, refuse) -> None:
    if kind == "logistic":
        if form.intercept is None or not math.isfinite(form.intercept):
            refuse(f"the logistic form '{form.name}' has no usable intercept")
        if form.horizons or form.baseline or form.cut_scale != "probability":
            refuse(f"the logistic form '{form.name}' holds parts of a survival model")
        if not all(0 < cut < 1 for cut in form.cuts):
            refuse(f"a cut of form '{form.name}' is not a probability between 0 and 1")
        return
    if form.intercept is not None or not form.baseline or not form.horizons or form.cut_scale != "linear predictor":
        refuse(f"the Cox form '{form.name}' needs a baseline and horizons, and no intercept")
    days, survival = _numbers(form.baseline["time_days"]), _numbers(form.baseline["survival"])
    if len(days) != len(survival) or not _ascending(days) or not _ascending(survival[::-1]):
        refuse(f"the baseline survival of form '{form.name}' is not one falling value per time")
    if not all(0 <= s <= 1 for s in survival):
        refuse(f"the baseline survival of form '{form.name}' leaves the range 0 to 1")
    for horizon in form.horizons:
        if not 0 < horizon.baseline_survival < 1 or len(horizon.drift) != len(form.features):
            refuse(f"the horizon of {horizon.years:g} years of form '{form.name}' does not fit its features")
        if horizon.hazard_variance < 0 or not all(math.isfinite(v) for v in (horizon.days, *horizon.drift)):
            refuse(f"the horizon of {horizon.years:g} years of form '{form.name}' holds an impossible number")


def _ascending(values: tuple[float, ...]) -> bool:
    return all(a <= b for a, b in pairwise(values))
