"""Training of phenotypes of change between two visits (Chitalia 2023): feature table -> model folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy import stats

from SubregionHabitatLib.errors import InputError

from ..heterogeneity.column_choice import ColumnChoice
from ..heterogeneity.delta_features import delta_features
from ..heterogeneity.delta_phenotype import PhenotypeCohort, PhenotypeParameters, fit_delta_phenotypes
from ..heterogeneity.exam_table import read_exam_table, two_visits
from ..heterogeneity.iith_signature import load_signature
from ..heterogeneity.phenotype_file import load_phenotypes, phenotype_text, save_phenotypes
from ..heterogeneity.size_change import LesionSize, SizeChange, size_changes
from ..heterogeneity.size_table import Sizes, read_sizes
from ..heterogeneity.stable_features import load_stable_features
from .dispatch import TrainedModel, TrainingRequest
from .feature_protocol import model_head, read_kind_protocol, table_record, train_command
from .protocol import complete_protocol

KIND = "phenotype_centroid"
SIZE_NAMES = ("functional tumor volume", "longest diameter")


@dataclass(frozen=True)
class DeltaProtocol:
    """How phenotypes of change are made; the keys are explained in iith-protocol-1-phenotype_centroid.schema.json."""

    id: str
    version: str
    title: str
    signature: str
    sign_rule: str
    visits: tuple[str, str] | None
    columns: ColumnChoice
    parameters: PhenotypeParameters
    texts: dict = field(repr=False)
    digest: str


def load_delta_protocol(name_or_path: str | Path) -> DeltaProtocol:
    """A shipped protocol of this kind by name, or a JSON file; InputError when it is not sound."""
    content, digest, path = read_kind_protocol(name_or_path, KIND)
    with complete_protocol(path, "chitalia-delta.json"):
        return DeltaProtocol(
            id=str(content["id"]),
            version=str(content["version"]),
            title=str(content["title"]),
            signature=str(content["signature"]),
            sign_rule=str(content["sign_rule"]),
            visits=_names(content["visits"]),
            columns=ColumnChoice(*(_names(content[name]) for name in ("regions", "images", "image_types"))),
            parameters=PhenotypeParameters(**content["parameters"]),
            texts=dict(content["texts"]),
            digest=digest,
        )


def train_model(request: TrainingRequest) -> TrainedModel:
    """Fit phenotypes to a feature table of two visits per patient and write the model folder.

    OUTCOMES, where given, is the cohort.csv of `iith batch`: the change of functional tumor volume and longest diameter
    is told beside every phenotype. Raises InputError where anything does not fit.
    """
    request.refuse(("external",), KIND)
    plan = load_delta_protocol(request.protocol)
    request.progress("reading the feature table")
    table = read_exam_table(request.table)
    visits = two_visits(table, request.visits or plan.visits)
    first, second = (table.visit(name) for name in visits)
    columns = plan.columns
    if request.stable is not None:
        columns = ColumnChoice(
            columns.regions, columns.images, columns.image_types, load_stable_features(request.stable).keys
        )
    signs = load_signature(plan.signature).signs_of(first.keys, plan.sign_rule)
    signs = np.where(columns.chosen(first.keys), signs, 0)
    changes = delta_features(first, second, signs, plan.parameters.denominator)
    sizes = None if request.outcomes is None else read_sizes(request.outcomes)
    request.progress(f"phenotypes of {len(changes.matrix.patients)} patients, {len(changes.matrix.keys)} features")
    cohort = fit_delta_phenotypes(changes, plan.parameters)
    request.progress("writing the model folder")
    record = table_record(request)
    training = {
        "summary": f"Patients with both visits, {visits[0] or 'unnamed'} and then {visits[1] or 'unnamed'}: "
        f"{len(changes.matrix.patients)} of {len(set(table.patients))} in the table.",
        "visits": list(visits),
        "tables": record,
        "command": train_command(plan.id, record, "--visits", ",".join(visits)),
        "protocol": plan.id,
        "protocol_sha256": plan.digest,
        "seed": plan.parameters.seed,
        "size_changes": [] if sizes is None else _size_changes(cohort, visits, sizes),
    }
    head = model_head(plan, training)
    path = save_phenotypes(cohort.model, head, request.out, request.overwrite)
    loaded = load_phenotypes(path)
    return TrainedModel(path, phenotype_text(loaded, head), head.to_json(KIND) | {"cohort": loaded.training})


def size_change_rows(
    labels: np.ndarray, names: Sequence[str], index: np.ndarray, found: Sequence[tuple[SizeChange, ...]]
):
    """Per size and phenotype the median change, and how far the change of heterogeneity follows it.

    labels (N,): phenotype numbers; index (N,): mean component score; found: the size changes of every patient. Yields
    plain JSON; a median or Spearman correlation without patients is None.
    """
    for place, name in enumerate(SIZE_NAMES):
        change = np.array([np.nan if c[place].change_percent is None else c[place].change_percent for c in found])
        known = np.isfinite(change)
        varies = known.sum() >= 4 and np.ptp(change[known]) > 0 and np.ptp(index[known]) > 0
        yield {
            "size": name,
            "n": int(known.sum()),
            "spearman_with_mean_component": float(stats.spearmanr(change[known], index[known])[0]) if varies else None,
            "phenotypes": [
                {
                    "name": phenotype,
                    "n": int((known & (labels == k)).sum()),
                    "median_change_percent": _median(change[known & (labels == k)]),
                }
                for k, phenotype in enumerate(names)
            ],
        }


def _size_changes(cohort: PhenotypeCohort, visits: tuple[str, str], sizes: Sizes) -> list[dict]:
    missing = [p for p in cohort.patients if not any((p, visit) in sizes for visit in visits)]
    if len(missing) == len(cohort.patients):
        raise InputError(
            f"No patient of the feature table is in OUTCOMES with the visits {visits[0]} and {visits[1]}; give the "
            "cohort.csv that belongs to the table."
        )
    found = [size_changes(*(sizes.get((p, visit), LesionSize()) for visit in visits)) for p in cohort.patients]
    return list(size_change_rows(cohort.labels, cohort.model.names, cohort.scores.mean(axis=1), found))


def _median(values: np.ndarray) -> float | None:
    return float(np.median(values)) if values.size else None


def _names(values: list | None) -> tuple[str, ...] | None:
    return None if values is None else tuple(map(str, values))
