"""Protocols that select features inside the folds: what they read, the steps and how they are checked.

A protocol of the kind radiomics_logistic or radiomics_cox makes a model of the kind logistic or cox from a feature
table of `iith batch` or `iith features` and an outcome table. Its steps stand in the order in which they are done.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path

from SubregionHabitatLib.errors import InputError

from ..case_values import is_table_value
from ..heterogeneity.feature_matrix import FeatureKey
from ..resources import resource_path
from ..untrusted_json import check_schema, read_json
from .protocol import MAX_PROTOCOL_BYTES, complete_protocol, find_protocol

KINDS = {"radiomics_logistic": "logistic", "radiomics_cox": "cox"}
ORDER = ("stable", "impute", "zscore", "univariate", "correlation", "smote", "lasso", "fit", "recalibrate")
ESTIMATORS = ("lasso", "maximum likelihood", "firth", "ridge")


@dataclass(frozen=True)
class ClinicalColumn:
    """A column of the outcome table that enters beside the features; at_least turns a number into 0/1."""

    name: str
    column: str
    at_least: float | None = None


@dataclass(frozen=True)
class Steps:
    """The steps of a protocol, each None (or 1.0, 0) where it is left out.

    icc: least reproducibility of the stable list; most_missing: share of patients that may lack a feature; p_below: of
    the univariate test; correlation: largest \\|r\\| of two kept features; keep_random: which of two goes is drawn, not
    decided by p; neighbors: SMOTE's; lasso_folds, one_se, n_penalties, least_share: choice of the penalty; estimator:
    one of ESTIMATORS; ridge: its penalty.
    """

    icc: float | None = None
    most_missing: float = 0.1
    p_below: float | None = None
    correlation: float | None = None
    keep_random: bool = False
    neighbors: int | None = None
    lasso_folds: int | None = None
    one_se: bool = False
    n_penalties: int = 50
    least_share: float = 0.05
    estimator: str = "maximum likelihood"
    ridge: float = 1.0
    recalibrate: bool = False


@dataclass(frozen=True)
class Recipe:
    """A protocol as read. kind: of the model; blocks: lists of patterns that the paper's order selects from apart."""

    id: str
    version: str
    kind: str
    title: str
    outcome: dict
    blocks: tuple[tuple[FeatureKey, ...], ...]
    clinical: tuple[ClinicalColumn, ...]
    steps: Steps
    listed_steps: tuple[str, ...]
    paper_order: tuple[str, ...]
    groups: dict
    seed: int
    folds: int
    repeats: int
    bootstrap: int
    permutations: int
    texts: dict = field(repr=False)
    digest: str

    def block_of(self, key: FeatureKey) -> int | None:
        """Number of the first block with a pattern that fits ``key``; None where none does."""
        for number, patterns in enumerate(self.blocks):
            if any(all(fnmatchcase(part, p) for part, p in zip(key, pattern, strict=True)) for pattern in patterns):
                return number
        return None

    @property
    def wants_curves(self) -> bool:
        """True where features over all phases are asked for, which are made from the phases' columns."""
        return any(pattern.image == "phases" for patterns in self.blocks for pattern in patterns)


def load_recipe(name_or_path: str | Path) -> Recipe:
    """Read a protocol of one of KINDS; InputError when it is not sound."""
    path = find_protocol(name_or_path)
    content, digest = read_json(path, "protocol", MAX_PROTOCOL_BYTES)
    check_schema(content, resource_path("Schemas", f"iith-protocol-1-{content['kind']}.schema.json"), path, "protocol")
    with complete_protocol(path, "one"):
        recipe = _build(content, digest)
    _check(recipe, str(path))
    return recipe


def _build(content: dict, digest: str) -> Recipe:
    resampling = content["resampling"]
    return Recipe(
        id=content["id"],
        version=content["version"],
        kind=KINDS[content["kind"]],
        title=content["title"],
        outcome=content["outcome"],
        blocks=tuple(
            tuple(FeatureKey(p["region"], p["image"], p["feature"]) for p in block) for block in content["features"]
        ),
        clinical=tuple(
            ClinicalColumn(v["name"], v.get("column", v["name"]), v.get("at_least")) for v in content["values"]
        ),
        steps=read_steps(content["steps"]),
        listed_steps=tuple(_sentence(step) for step in content["steps"]),
        paper_order=tuple(content.get("paper_order", [])),
        groups=content["groups"],
        seed=int(resampling["seed"]),
        folds=int(resampling["folds"]),
        repeats=int(resampling["repeats"]),
        bootstrap=int(resampling["bootstrap"]),
        permutations=int(resampling["permutations"]),
        texts=content["texts"],
        digest=digest,
    )


def read_steps(entries: list[dict]) -> Steps:
    """Steps from {"step": name, parameters}; ValueError for an unknown one or another order than ORDER."""
    names = [e["step"] for e in entries]
    if names != [n for n in ORDER if n in names]:
        raise ValueError(f"the steps must be some of {', '.join(ORDER)}, in this order, each once")
    by_name = {e["step"]: e for e in entries}
    missing = {"impute", "zscore", "fit"} - set(names)
    if missing:
        raise ValueError(f"the step {min(missing)} is missing")
    lasso, fit = by_name.get("lasso", {}), by_name["fit"]
    return Steps(
        icc=by_name.get("stable", {}).get("icc_above"),
        most_missing=float(by_name["impute"]["at_most_missing"]),
        p_below=by_name.get("univariate", {}).get("p_below"),
        correlation=by_name.get("correlation", {}).get("above"),
        keep_random=by_name.get("correlation", {}).get("keep") == "random",
        neighbors=by_name.get("smote", {}).get("neighbors"),
        lasso_folds=lasso.get("folds"),
        one_se=lasso.get("rule") == "one standard error",
        n_penalties=int(lasso.get("n_penalties", 50)),
        least_share=float(lasso.get("least_share", 0.05)),
        estimator=fit["estimator"],
        ridge=float(fit.get("penalty", 1.0)),
        recalibrate="recalibrate" in by_name,
    )


def _sentence(step: dict) -> str:
    parameters = ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in step.items() if k != "step")
    return step["step"] + (f" ({parameters})" if parameters else "")


def changed(recipe: Recipe, **options) -> Recipe:
    """The recipe with what the command line says otherwise: event, time_days, horizon_years, features (patterns
    region|image|feature), values (names or name=column), penalty (an estimator), model_id. None leaves a part as it is.
    """
    outcome = dict(recipe.outcome)
    for key, value in (("event", options.get("event")), ("time_days", options.get("time_days"))):
        if value:
            outcome[key] = value
    if recipe.kind == "logistic" and options.get("time_days"):
        raise InputError("A logistic protocol takes no --time-days; use a cox protocol for times to an event.")
    groups = dict(recipe.groups)
    if options.get("horizon_years"):
        if recipe.kind == "logistic":
            raise InputError("A logistic protocol takes no --horizon; leave it out.")
        outcome["horizons_years"] = [options["horizon_years"]]
        groups["at_years"] = options["horizon_years"]
    blocks, clinical, steps = recipe.blocks, recipe.clinical, recipe.steps
    if options.get("features"):
        blocks = (tuple(_pattern(text) for text in options["features"]),)
    if options.get("values"):
        clinical = tuple(_clinical(text) for text in options["values"])
    if options.get("penalty"):
        steps = replace(steps, estimator=options["penalty"])
    new = replace(
        recipe, id=options.get("model_id") or recipe.id, outcome=outcome, groups=groups, blocks=blocks,
        clinical=clinical, steps=steps,
    )  # fmt: skip
    _check(new, f"The protocol {recipe.id} with these options")
    return new


def _pattern(text: str) -> FeatureKey:
    parts = text.split("|")
    if len(parts) != 3 or not all(parts):
        raise InputError(f"--feature {text} is not region|image|feature; give for example 'lesion|kinetic|*'.")
    return FeatureKey(*parts)


def _clinical(text: str) -> ClinicalColumn:
    name, _, column = text.partition("=")
    return ClinicalColumn(name.strip(), (column or name).strip().removeprefix("table:"))


def _check(recipe: Recipe, where: str) -> None:
    steps = recipe.steps
    for value in recipe.clinical:
        if not is_table_value(value.name):
            raise InputError(
                f"{where}: '{value.name}' is no value a model can have; use a standard name, vaf_GENE or table:COLUMN."
            )
    if len({v.name for v in recipe.clinical}) != len(recipe.clinical):
        raise InputError(f"{where}: a value is named twice; name it once.")
    if steps.estimator not in ESTIMATORS or (steps.estimator == "lasso") != (steps.lasso_folds is not None):
        raise InputError(f"{where}: the estimator lasso needs the step lasso, and the step lasso that estimator.")
    if recipe.kind == "cox":
        if steps.neighbors or steps.recalibrate or steps.estimator == "firth":
            raise InputError(f"{where}: smote, recalibrate and firth are for logistic protocols; leave them out.")
        if not recipe.outcome.get("time_days") or not recipe.outcome.get("horizons_years"):
            raise InputError(f"{where}: a cox protocol needs outcome.time_days and outcome.horizons_years; add them.")
    elif "time_days" in recipe.outcome:
        raise InputError(f"{where}: a logistic protocol has no outcome.time_days; remove it.")
    wanted = {"logistic": ("youden",), "cox": ("tertiles", "time_roc")}[recipe.kind]
    rule = recipe.groups["rule"]
    if rule not in wanted or len(recipe.groups["names"]) != (3 if rule == "tertiles" else 2):
        raise InputError(
            f"{where}: a {recipe.kind} protocol has groups by {' or '.join(wanted)}, 2 names (tertiles 3)."
        )
    if rule == "time_roc" and not recipe.groups.get("at_years"):
        raise InputError(f"{where}: the rule time_roc needs groups.at_years; add it.")
    if not any(recipe.blocks) and not recipe.clinical:
        raise InputError(f"{where} names neither features nor values; name some by --feature or --value.")
