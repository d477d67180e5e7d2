"""``iith response``: how well a model or score predicts a yes/no outcome such as pathologic complete response."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .survival import names


def add_parser(subparsers: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Add the command to the parser of ``iith``."""
    parser = subparsers.add_parser(
        "response",
        help="prediction of a yes/no outcome (pCR) in a cohort, and its report",
        description="ROC with DeLong's tests, calibration, decision curve, predictive values, IDI, NRI and nomogram of "
        "a logistic model or a score for a yes/no outcome in patient tables. Research use only.",
    )
    parser.add_argument("tables", nargs="+", type=Path, metavar="TABLE", help="tables with one row per patient")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="result folder to write")
    parser.add_argument("--columns", metavar="MAPPING", help="duke, ispy1 or a JSON file (iith-columns/1)")
    parser.add_argument("--outcome", default="pcr", metavar="NAME", help="yes/no outcome (default pcr)")
    parser.add_argument("--model", type=names, default=(), metavar="NAME,..", help="fit a logistic model of these")
    parser.add_argument("--score", metavar="NAME", help="a score made elsewhere; higher means the outcome")
    parser.add_argument("--covariates", type=names, default=(), metavar="NAME,..", help="compare with and adjust for")
    parser.add_argument(
        "--describe", type=names, default=(), metavar="NAME,..", help="further rows of the patient table"
    )
    parser.add_argument("--cut", default="youden", help="youden (default) or a number")
    parser.add_argument("--folds", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--bootstrap", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--title", default="", help="title of the report")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier result in DIR")
    return parser


def run(args: argparse.Namespace) -> int:
    """Analyze, write and summarize; InputError when a table, a column or the target does not fit."""
    from ..clinical.column_mapping import EMPTY, load_mapping
    from ..clinical.patient_table import read_patient_table
    from ..cohort.response_analysis import ResponsePlan, analyze_response
    from ..cohort.response_folder import RECORD, write_response
    from ..result_folder import check_target

    plan = ResponsePlan(
        args.outcome, args.model, args.score, args.covariates, args.describe, args.cut, args.folds, args.repeats,
        args.bootstrap, args.seed, args.title,
    )  # fmt: skip
    check_target(args.out, args.overwrite, RECORD)
    table = read_patient_table(args.tables, load_mapping(args.columns) if args.columns else EMPTY)
    content, _ = analyze_response(table, plan)
    folder = write_response(args.out, content, table, plan, args.overwrite)
    if args.json:
        print((folder / RECORD[0]).read_text(encoding="utf-8"))
        return 0
    for text in content["warnings"]:
        print(f"note: {text}", file=sys.stderr)
    main, counts = content["discrimination"][0], content["patients"]
    auc = f"AUC {main['auc']:.3f} ({main['low']:.3f} to {main['high']:.3f})"
    print(
        f"{counts['n']} patients, {counts['n_events']} events; {main['model']}: {auc}; research use only",
        file=sys.stderr,
    )
    print(folder / "report.html")
    return 0
