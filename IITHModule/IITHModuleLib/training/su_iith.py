"""Training of a heterogeneity index by Su 2023's recipe: feature table -> MAD filter, network, HI, cut -> folder.

No outcome takes part. Where the protocol names one, the finished index is compared with it (index_survival).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import numpy as np

from SubregionHabitatLib.errors import InputError

from ..heterogeneity.feature_matrix import FeatureKey, FeatureMatrix
from ..heterogeneity.frozen_model import ModelHead
from ..heterogeneity.heterogeneity_file import save_index
from ..heterogeneity.heterogeneity_index import (
    HeterogeneityCohort,
    HeterogeneityIndex,
    HeterogeneityParameters,
    fit_heterogeneity_index,
)
from ..heterogeneity.iith_signature import load_signature
from ..heterogeneity.index_model import index_model_json, index_model_text, load_index_model
from ..heterogeneity.stable_features import load_stable_features
from .dispatch import TrainedModel, TrainingRequest
from .feature_protocol import model_head, read_kind_protocol, table_record, train_command
from .index_survival import SurvivalInput, index_survival
from .index_table import read_features
from .measures import CoxTask, Resampling
from .protocol import complete_protocol
from .table import read_table, standard_values

KIND = "heterogeneity_index"
SIGNIFICANT_DIGITS = 10
_TUPLES = ("image_types", "regions", "images")


@dataclass(frozen=True)
class IndexProtocol:
    """How an index is made; the keys are explained in iith-protocol-1-heterogeneity_index.schema.json."""

    id: str
    version: str
    title: str
    signature: str
    parameters: HeterogeneityParameters
    columns: dict
    volume: FeatureKey | None
    variants: dict
    outcome: dict | None
    join_on: str
    tables: dict
    simulated: bool
    texts: dict = field(repr=False)
    digest: str


def load_index_protocol(name_or_path: str | Path) -> IndexProtocol:
    """A shipped protocol of this kind by name, or a JSON file; InputError when it is not sound."""
    content, digest, path = read_kind_protocol(name_or_path, KIND)
    with complete_protocol(path, "su-iith.json"):
        volume = content.get("volume")
        return IndexProtocol(
            id=str(content["id"]),
            version=str(content["version"]),
            title=str(content["title"]),
            signature=str(content["signature"]),
            parameters=_parameters(content["parameters"]),
            columns=dict(content.get("columns", {})),
            volume=None if volume is None else FeatureKey(*volume.split("|")),
            variants=dict(content.get("variants", {})),
            outcome=content.get("outcome"),
            join_on=str(content.get("join_on", "patient_id")),
            tables=dict(content.get("tables", {})),
            simulated=bool(content.get("simulated", False)),
            texts=dict(content["texts"]),
            digest=digest,
        )


def _parameters(given: dict) -> HeterogeneityParameters:
    unknown = set(given) - {f.name for f in fields(HeterogeneityParameters)}
    if unknown:
        raise ValueError(f"unknown parameter {min(unknown)}")
    values = {k: tuple(v) if k in _TUPLES and v is not None else v for k, v in given.items()}
    if "views" in values:
        values["views"] = tuple((str(name), str(pattern)) for name, pattern in values["views"])
    return HeterogeneityParameters(**values)


def train_model(request: TrainingRequest) -> TrainedModel:
    """Fit an index to a feature table and write the model folder; OUTCOMES only where the protocol names an outcome.

    Raises InputError where anything does not fit.
    """
    request.refuse(("external", "visits"), KIND)
    plan = load_index_protocol(request.protocol)
    if plan.outcome is None:
        request.refuse(("outcomes",), KIND)
    request.progress("reading the feature table")
    matrix = read_features(request.table, plan.columns, plan.tables.get("TABLE", {}), plan.join_on)
    parameters = plan.parameters
    if request.stable is not None:
        parameters = replace(parameters, stable=load_stable_features(request.stable).keys)
    request.progress(f"network of {len(matrix.patients)} patients")
    signature = load_signature(plan.signature)
    cohort = fit_heterogeneity_index(matrix, signature, parameters, _volumes(plan, matrix))
    survival = None
    if plan.outcome is not None and request.outcomes is not None:
        request.progress(f"{plan.outcome['name']} by the finished index")
        variants = {
            name: fit_heterogeneity_index(matrix, signature, replace(parameters, **change))
            for name, change in plan.variants.items()
        }
        survival = _survival(plan, request.outcomes, cohort, variants, matrix)
    request.progress("writing the model folder")
    head = _head(plan, request, survival)
    path = save_index(rounded_index(cohort.index), head, request.out, request.overwrite)
    model = load_index_model(path)
    return TrainedModel(path, index_model_text(model), index_model_json(model))


def _volumes(plan: IndexProtocol, matrix: FeatureMatrix) -> np.ndarray | None:
    """Lesion volume per row, from the column the protocol names (a logarithm does as well: ranks count)."""
    if plan.volume is None:
        return None
    return matrix.aligned(matrix.patients, [plan.volume]).values[:, 0]


def _survival(plan, outcomes: Path, cohort: HeterogeneityCohort, variants: dict, matrix: FeatureMatrix) -> dict:
    outcome = plan.outcome
    frame = read_table(outcomes, plan.tables.get("OUTCOMES", {}), plan.join_on).set_index(plan.join_on, drop=False)
    if not set(cohort.patients) & set(frame.index):
        raise InputError(f"No patient of TABLE is in {outcomes}; check the column {plan.join_on}.")
    frame = frame.reindex(list(cohort.patients))
    names = [name for names in outcome["baselines"].values() for name in names]
    known = standard_values(frame, outcome.get("values", {}), set(names) & set(outcome.get("values", {})))
    own = {}
    for name in set(names) - set(known):
        own[name] = matrix.aligned(cohort.patients, [FeatureKey(*name.split("|"))]).values[:, 0]
    baselines = {
        base: (
            tuple(n.rpartition("_")[2] if "|" in n else n for n in parts),
            np.column_stack([own[n] if n in own else known[n].to_numpy(float) for n in parts]),
        )
        for base, parts in outcome["baselines"].items()
    }
    resampling = outcome["resampling"]
    task = CoxTask(Resampling(resampling["folds"], resampling["repeats"], 0, resampling["seed"]), [])
    given = SurvivalInput(
        frame[outcome["time_days"]].to_numpy(float),
        frame[outcome["event"]].to_numpy(float),
        cohort.hi,
        cohort.hi >= cohort.index.cut,
        {name: _same_patients(other, cohort) for name, other in variants.items()},
        baselines,
    )
    return index_survival(given, task, outcome["name"]) | {"definition": outcome["definition"]}


def _same_patients(other: HeterogeneityCohort, cohort: HeterogeneityCohort) -> np.ndarray:
    place = {name: i for i, name in enumerate(other.patients)}
    return np.array([other.hi[place[p]] if p in place else np.nan for p in cohort.patients])


def _head(plan: IndexProtocol, request: TrainingRequest, survival: dict | None) -> ModelHead:
    tables = table_record(request, plan.tables)
    out = "MODEL" if plan.id == "su-iith" else f"Resources/Models/{plan.id}"
    training = {
        "summary": plan.texts["summary"],
        "description": plan.texts["training_data"],
        "simulated": plan.simulated,
        "tables": tables,
        "command": train_command(plan.id, tables, out=out),
        "protocol": plan.id,
        "protocol_sha256": plan.digest,
        "seed": 0 if plan.outcome is None else plan.outcome["resampling"]["seed"],
        "checks": list(plan.texts.get("checks", [])),
    }
    if survival is not None:
        training["survival"] = rounded(survival)
    return model_head(plan, training)


def rounded_index(index: HeterogeneityIndex) -> HeterogeneityIndex:
    """The index with every number to SIGNIFICANT_DIGITS, so that training again writes the same file; quantiles stay
    in order."""
    arrays = {
        name: np.array(rounded(getattr(index, name).tolist()))
        for name in ("means", "sds", "usual", "group_means", "hi_quantiles", "distance_quantiles")
    }
    volume = replace(index.volume, rho=rounded(index.volume.rho), p=rounded(index.volume.p))
    # Rounding the cut down keeps the patient whose HI is the cut in the high group.
    return replace(index, cut=_rounded_down(index.cut), volume=volume, training=rounded(index.training), **arrays)


def rounded(value):
    """JSON types with floats to SIGNIFICANT_DIGITS."""
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(v) for v in value]
    if isinstance(value, float):
        return float(f"{value:.{SIGNIFICANT_DIGITS}g}")
    return value


def _rounded_down(value: float) -> float:
    step = 10.0 ** (math.floor(math.log10(abs(value))) - SIGNIFICANT_DIGITS + 1) if value else 1.0
    near = rounded(float(value))
    return near if near <= value else rounded(near - step)
