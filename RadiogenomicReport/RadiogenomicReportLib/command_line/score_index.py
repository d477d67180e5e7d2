"""``iith score`` with a heterogeneity index: a result folder, or a feature table of `iith batch` or `iith features`."""

from __future__ import annotations

import argparse
import csv
import json
import sys

from SubregionHabitatLib.errors import CaseRefused, InputError

from ..table_writer import safe_cell
from .clinical import OPTIONS

COLUMNS = (
    "patient_id", "model", "version", "in_range", "warnings", "value", "unit", "group", "nearest_group_agrees",
    "percentile_in_training", "distance_to_cut", "features_missing", "reason",
)  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Print the index of one case or of a table. Raises CaseRefused (exit 3) when all is refused."""
    from IITHModuleLib.heterogeneity.index_model import load_index_model, score_index
    from IITHModuleLib.score_text import score_text

    from ..feature_table import result_features

    model = load_index_model(args.model)
    if any(getattr(args, name) is not None for name in (*OPTIONS, "clinical")):
        raise InputError("A heterogeneity index reads no clinical values; leave --hr, --her2, --age, --clinical out.")
    if args.second or args.visits or args.cohort:
        raise InputError("A heterogeneity index scores one visit; leave the second one, --visits and --cohort out.")
    if not args.case.is_dir() and args.case.name != "case.json":
        return _run_table(model, args)
    score = score_index(model, result_features(args.case if args.case.is_dir() else args.case.parent))
    if score.refusal:
        raise CaseRefused(score.refusal)
    print(json.dumps(score.to_json(), indent=1) if args.json else score_text(score))
    return 0


def _run_table(model, args: argparse.Namespace) -> int:
    from IITHModuleLib.heterogeneity.exam_table import read_exam_table
    from IITHModuleLib.heterogeneity.feature_matrix import check_same_preset
    from IITHModuleLib.heterogeneity.index_model import score_index

    matrix = read_exam_table(args.case).by_exam()
    used = (model.index.preset, model.index.preset_digest)
    check_same_preset(used, (matrix.preset, matrix.preset_digest), f"Model {model.id}")
    scores = [score_index(model, dict(zip(matrix.keys, row.tolist(), strict=True))) for row in matrix.values]
    if args.json:
        rows = zip(matrix.patients, scores, strict=True)
        print(json.dumps([{"patient_id": patient} | score.to_json() for patient, score in rows], indent=1))
    else:
        writer = csv.DictWriter(sys.stdout, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(_row(model, name, score) for name, score in zip(matrix.patients, scores, strict=True))
    if all(score.refusal for score in scores):
        raise CaseRefused(f"Every one of the {len(scores)} patients was refused; the first: {scores[0].refusal}")
    return 0


def _row(model, patient: str, score) -> dict:
    row = {"patient_id": safe_cell(patient), "model": model.id, "version": model.version}
    if score.refusal:
        return row | {"reason": score.refusal, "features_missing": len(score.inputs_missing)}
    return row | {
        "value": f"{score.value:.6g}",
        "unit": score.unit,
        "group": score.group,
        "nearest_group_agrees": int(score.form_reason.endswith("as by the index")),
        "percentile_in_training": f"{score.percentile_in_training:.1f}",
        "distance_to_cut": f"{score.distance_to_cut:.6g}",
        "in_range": int(score.in_range),
        "features_missing": len(score.inputs_missing),
        "warnings": " ".join(score.warnings),
        "reason": "",
    }
