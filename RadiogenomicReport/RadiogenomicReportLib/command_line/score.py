"""``iith score``: apply a model to one result or to a table of patients."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from importlib import import_module
from pathlib import Path

from IITHModuleLib.case_values import (
    KNOWN_VALUES,
    case_values_from_columns,
    case_values_from_json,
    column_of,
    user_value,
)
from IITHModuleLib.cell_values import with_points
from IITHModuleLib.feature_inputs import feature_names, with_features
from IITHModuleLib.model_file import Model, load_model, model_kind
from IITHModuleLib.score_text import score_text
from IITHModuleLib.scoring import Score, score_case, try_score_case
from IITHModuleLib.table_file import read_text_table
from IITHModuleLib.untrusted_json import read_json
from SubregionHabitatLib.errors import CaseRefused, InputError

from ..table_writer import safe_cell
from .clinical import add_clinical_arguments, clinical_values
from .score_features import score_exams
from .score_phenotype import add_visit_arguments

MAX_CASE_BYTES = 20_000_000
# Kinds that read features instead of standard values -> module of this package with run(args).
OTHER_KINDS = {"phenotype_centroid": ".score_phenotype", "heterogeneity_index": ".score_index"}


def add_parser(subparsers: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Add the command to the parser of ``iith``."""
    parser = subparsers.add_parser(
        "score",
        help="apply a model to a result folder or to a table of patients",
        description="Apply a model. MODEL is a shipped model (see `iith models`), a model folder or a model.json. "
        "RESULT is a result folder of `iith analyze` or its case.json; a score is printed. TABLE is a CSV file whose "
        f"columns have the standard names ({', '.join(KNOWN_VALUES)}; patient_id is carried along); CSV is printed "
        "with the reason for every patient the model refuses. For a model trained on features, or a heterogeneity "
        "index, TABLE is a feature table of `iith batch` or `iith features`. A phenotype of change needs two visits: "
        "RESULT and SECOND, or a feature table of `iith batch` or `iith features` that holds both. Research use only.",
    )
    parser.add_argument("model", metavar="MODEL", help="shipped model id, model folder or model.json")
    parser.add_argument("case", type=Path, metavar="RESULT_OR_TABLE", help="result folder, case.json or CSV table")
    add_visit_arguments(parser)
    add_clinical_arguments(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    """Print the score(s). Raises CaseRefused (exit 3) when the case, or every row of a table, is refused."""
    kind = model_kind(args.model)
    if kind in OTHER_KINDS:
        return import_module(OTHER_KINDS[kind], __package__).run(args)
    if args.second or args.visits:
        raise InputError(f"A model of the kind {kind[:40]} scores one visit; leave the second one and --visits out.")
    model = load_model(args.model)
    if args.cohort and not (feature_names(model) and _is_table(args.case)):
        raise InputError("--cohort belongs to a table of features; leave it out.")
    given = clinical_values(args)
    features = feature_names(model)
    if _is_table(args.case):
        if given:
            raise InputError("--hr, --her2, --age and the like are for one case; add columns with the standard names.")
        return _run_table(model, args.case, getattr(args, "json", False), bool(features), args.cohort)
    path = args.case / "case.json" if args.case.is_dir() else args.case
    content, _ = read_json(path, "case file", MAX_CASE_BYTES)
    values = case_values_from_json(content.get("case_values"), str(path))
    values |= {name: user_value(name, number) for name, number in given.items()}
    if features:
        from ..feature_table import result_features

        values = with_features(model, values, result_features(path.parent))
    score = score_case(model, values)
    print(json.dumps(score.to_json(), indent=1) if getattr(args, "json", False) else score_text(score))
    return 0


def _is_table(path: Path) -> bool:
    name = path.name.lower()
    return name.endswith((".csv", ".tsv", ".csv.gz")) and not path.is_dir()


def _run_table(model: Model, path: Path, as_json: bool, of_features: bool, cohort: Path | None = None) -> int:
    if of_features:
        results = score_exams(model, path, cohort)
    else:
        results = [(patient, _score_row(model, row)) for patient, row in _rows(path, model)]
    if as_json:
        rows = [
            {"patient_id": patient} | (s.to_json() if isinstance(s, Score) else {"refusal": s})
            for patient, s in results
        ]
        print(json.dumps(rows, indent=1))
    else:
        writer = csv.DictWriter(sys.stdout, _columns(model), lineterminator="\n")
        writer.writeheader()
        writer.writerows(_table_row(model, patient, s) for patient, s in results)
    refused = [s if isinstance(s, str) else s.refusal for _, s in results]
    if all(refused):
        raise CaseRefused(f"Every one of the {len(refused)} patients was refused; the first: {refused[0]}")
    return 0


def _rows(path: Path, model: Model):
    """(patient, row) of the table; the patient is patient_id, or the row number where there is none."""
    wanted = list(dict.fromkeys(column_of(f.name) for form in model.forms for f in form.features))
    table = read_text_table(path)
    held = [name for name in wanted if name in table.columns]
    if not held:
        raise InputError(f"The table {path} has none of the columns {', '.join(wanted)}; name them so.")
    columns = {name: with_points(table.columns[name], name, table.name) for name in held}
    patients = table.columns.get("patient_id", table.columns.get("patient", ("",) * len(table)))
    rows = [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
    return [(name or str(k), row) for k, (name, row) in enumerate(zip(patients, rows, strict=True), start=1)]


def _score_row(model: Model, row: dict) -> Score | str:
    """The score, or the reason when a cell is unusable: faults stay with their row."""
    try:
        names = [f.name for form in model.forms for f in form.features]
        return try_score_case(model, case_values_from_columns(row, names))
    except InputError as error:
        return str(error)


def _columns(model: Model) -> list[str]:
    horizons = [f"survival_{h.years:g}y" for h in model.forms[0].horizons]
    return [
        "patient_id", "model", "version", "in_range", "warnings", "form", "value", "unit", "ci95_low", "ci95_high",
        *horizons, "group", "percentile_in_training", "distance_to_cut", "reason",
    ]  # fmt: skip


def _table_row(model: Model, patient: str, score: Score | str) -> dict:
    row = {"patient_id": safe_cell(patient), "model": model.id, "version": model.version}
    if isinstance(score, str) or score.refusal:
        return row | {"reason": safe_cell(score if isinstance(score, str) else score.refusal)}
    row |= {
        "form": score.form,
        "value": f"{score.value:.6g}",
        "unit": score.unit,
        "ci95_low": "" if score.ci95 is None else f"{score.ci95[0]:.6g}",
        "ci95_high": "" if score.ci95 is None else f"{score.ci95[1]:.6g}",
        "group": score.group,
        "percentile_in_training": f"{score.percentile_in_training:.1f}",
        "distance_to_cut": "" if score.distance_to_cut is None else f"{score.distance_to_cut:.6g}",
        "in_range": int(score.in_range),
        "warnings": " ".join(score.warnings),
        "reason": "" if not score.inputs_missing else score.form_reason,
    }
    return row | {f"survival_{s.years:g}y": f"{s.probability:.6g}" for s in score.survival}
