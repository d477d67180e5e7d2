"""``iith score`` with phenotypes of change: one patient's two result folders, or a feature table with two visits."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from SubregionHabitatLib.errors import CaseRefused, InputError

from ..table_writer import safe_cell
from .clinical import OPTIONS

if TYPE_CHECKING:
    from IITHModuleLib.heterogeneity.phenotype_visits import PhenotypeResult

MAX_CASE_BYTES = 50_000_000


def add_visit_arguments(parser: argparse.ArgumentParser) -> None:
    """What only models of two visits need."""
    parser.add_argument(
        "second", nargs="?", type=Path, metavar="SECOND", help="result folder of the patient's second visit"
    )
    group = parser.add_argument_group("phenotypes of change between two visits")
    group.add_argument(
        "--visits", metavar="FIRST,SECOND", help="names of the visits in TABLE (default: as the model was trained)"
    )
    group.add_argument(
        "--cohort", type=Path, metavar="FILE",
        help="cohort.csv beside TABLE: puts the change of functional tumor volume and longest diameter beside it; for "
        "other models trained on features it holds their clinical columns",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Print the phenotype(s). Raises CaseRefused (exit 3) when the patient, or every patient of a table, is refused."""
    from IITHModuleLib.heterogeneity.phenotype_file import FORMAT

    loaded = FORMAT.load(args.model)
    if any(getattr(args, name) is not None for name in (*OPTIONS, "clinical")):
        raise InputError("A phenotype of change reads no clinical values; leave --hr, --her2, --age, --clinical out.")
    if args.case.is_dir() or args.second is not None:
        return _run_case(loaded, args)
    return _run_table(loaded, args)


def _run_case(loaded, args: argparse.Namespace) -> int:
    from IITHModuleLib.heterogeneity.phenotype_visits import phenotype_of_visits

    from ..feature_table import result_features

    if args.second is None:
        raise InputError(f"{args.model} compares two visits; name the result folder of the second visit after RESULT.")
    if args.visits or args.cohort:
        raise InputError("--visits and --cohort belong to a table; two result folders say everything themselves.")
    folders = (args.case, args.second)
    features = [result_features(folder) for folder in folders]
    found = phenotype_of_visits(loaded, *features, *(_size(folder) for folder in folders))
    print(json.dumps(found.to_json(), indent=1) if args.json else found.text())
    return 0


def _size(folder: Path):
    from IITHModuleLib.heterogeneity.size_change import LesionSize
    from IITHModuleLib.untrusted_json import read_json

    from ..result_folder import CASE_FILE

    case, _ = read_json(folder / CASE_FILE, "case file", MAX_CASE_BYTES)
    lesion = case.get("lesion")
    sizes = [lesion.get(name) if isinstance(lesion, dict) else None for name in ("ftv_cc", "longest_diameter_mm")]
    if not all(value is None or isinstance(value, int | float) for value in sizes):
        raise InputError(f"{folder / CASE_FILE} holds a size that is no number; analyze the exam again.")
    return LesionSize(*sizes)


def _run_table(loaded, args: argparse.Namespace) -> int:
    from IITHModuleLib.heterogeneity.exam_table import read_exam_table, two_visits
    from IITHModuleLib.heterogeneity.phenotype_visits import phenotypes_of_table
    from IITHModuleLib.heterogeneity.size_table import read_sizes

    table = read_exam_table(args.case)
    asked = None if args.visits is None else tuple(part.strip() for part in args.visits.split(","))
    trained = loaded.head.training.get("visits")
    if asked is None and isinstance(trained, list) and set(map(str, trained)) <= set(table.visits):
        asked = tuple(map(str, trained))
    visits = two_visits(table, asked)
    sizes = {} if args.cohort is None else read_sizes(args.cohort)
    results = phenotypes_of_table(loaded, table, visits, sizes)
    if args.json:
        rows = [
            {"patient_id": name} | ({"refusal": r} if isinstance(r, str) else r.to_json())
            for name, r in results.items()
        ]
        print(json.dumps(rows, indent=1))
    else:
        writer = csv.DictWriter(sys.stdout, _columns(loaded), lineterminator="\n")
        writer.writeheader()
        writer.writerows(_row(loaded, name, result) for name, result in results.items())
    refused = [r for r in results.values() if isinstance(r, str)]
    if len(refused) == len(results):
        raise CaseRefused(f"Every one of the {len(refused)} patients was refused; the first: {refused[0]}")
    return 0


def _columns(loaded) -> list[str]:
    return [
        "patient_id", "model", "version", "warnings", "features_missing", "features_extreme", "phenotype",
        "distance_ratio", *(f"distance_{name}" for name in loaded.model.names), "ftv_change_percent",
        "longest_diameter_change_percent", "reason",
    ]  # fmt: skip


def _row(loaded, patient: str, result: PhenotypeResult | str) -> dict:
    row = {"patient_id": safe_cell(patient), "model": loaded.head.id, "version": loaded.head.version}
    if isinstance(result, str):
        return row | {"reason": result}
    score = result.score
    changes = ["" if c.change_percent is None else f"{c.change_percent:.6g}" for c in result.sizes]
    return row | {
        "phenotype": score.phenotype,
        "distance_ratio": f"{score.distance_ratio:.6g}",
        **{f"distance_{n}": f"{d:.6g}" for n, d in zip(score.names, score.distances, strict=True)},
        "features_missing": len(score.missing),
        "features_extreme": score.n_extreme,
        "ftv_change_percent": changes[0],
        "longest_diameter_change_percent": changes[1],
        "warnings": " ".join(score.warnings),
    }
