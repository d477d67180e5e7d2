"""``iith survival``: survival statistics of a cohort and its report."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def add_parser(subparsers: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Add the command to the parser of ``iith``."""
    parser = subparsers.add_parser(
        "survival",
        help="survival statistics of a cohort and its report",
        description="Survival analysis of patient tables (CSV, TSV, XLSX; several are joined on the patient). "
        "Variables are named as in the column mapping, by a standard name (age, er, her2, ki67, t_stage ...) or by "
        "their column; "
        "log:NAME is a logarithm. Give exactly one of --model, --score and --group. Research use only.",
    )
    parser.add_argument("tables", nargs="+", type=Path, metavar="TABLE", help="tables with one row per patient")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="result folder to write")
    parser.add_argument(
        "--columns", metavar="MAPPING", help="what the columns mean: duke, ispy1 or a JSON file (iith-columns/1)"
    )
    outcome = parser.add_argument_group("outcome (recognized where the tables hold one known pair such as rfs)")
    outcome.add_argument("--outcome-time", metavar="NAME", help="follow-up time")
    outcome.add_argument("--event", metavar="NAME", help="1 event, 0 censored")
    outcome.add_argument("--time-unit", choices=("days", "weeks", "months", "years"), help="unit of the time column")
    what = parser.add_argument_group("what is analyzed (exactly one)")
    what.add_argument("--model", type=names, default=(), metavar="NAME,..", help="fit a Cox model of these variables")
    what.add_argument("--score", metavar="NAME", help="a score made elsewhere; higher means earlier failure")
    what.add_argument("--group", metavar="NAME", help="given groups")
    more = parser.add_argument_group("more")
    more.add_argument(
        "--covariates", type=names, default=(), metavar="NAME,..", help="adjust for and compare with these"
    )
    more.add_argument("--subgroups", type=names, default=(), metavar="NAME,..", help="look at the score within these")
    more.add_argument("--describe", type=names, default=(), metavar="NAME,..", help="further rows of the patient table")
    more.add_argument("--horizons", type=_numbers, default=(3.0, 5.0), metavar="YEARS,..", help="default 3,5")
    more.add_argument(
        "--cut", default="tertiles", help="score to groups: tertiles (default), median, youden or a number"
    )
    more.add_argument("--folds", type=int, default=10)
    more.add_argument("--repeats", type=int, default=5)
    more.add_argument("--bootstrap", type=int, default=200)
    more.add_argument("--seed", type=int, default=1)
    more.add_argument("--title", default="", help="title of the report")
    more.add_argument("--show-identity", action="store_true", help="name patients in tables/patients.csv")
    more.add_argument("--overwrite", action="store_true", help="replace an earlier result in DIR")
    return parser


def run(args: argparse.Namespace) -> int:
    """Analyze, write and summarize; InputError when a table, a column or the target does not fit."""
    from ..clinical.column_mapping import EMPTY, load_mapping
    from ..clinical.patient_table import read_patient_table
    from ..cohort.survival_analysis import analyze_survival
    from ..cohort.survival_folder import RECORD, write_survival
    from ..cohort.survival_plan import SurvivalPlan
    from ..result_folder import check_target

    plan = SurvivalPlan(
        time=args.outcome_time, event=args.event, time_unit=args.time_unit, model=args.model, score=args.score,
        group=args.group, covariates=args.covariates, subgroups=args.subgroups, describe=args.describe,
        horizons_years=args.horizons, cut=args.cut, folds=args.folds, repeats=args.repeats, bootstrap=args.bootstrap,
        seed=args.seed, title=args.title,
    )  # fmt: skip
    check_target(args.out, args.overwrite, RECORD)
    table = read_patient_table(args.tables, load_mapping(args.columns) if args.columns else EMPTY)
    result = analyze_survival(table, plan, lambda text: print(f"iith survival: {text}", file=sys.stderr))
    folder = write_survival(args.out, result, table, plan, args.show_identity, args.overwrite)
    counts, main = result.content["patients"], result.content["performance"]["discrimination"][0]
    if args.json:
        print((folder / RECORD[0]).read_text(encoding="utf-8"))
        return 0
    for text in result.content["warnings"]:
        print(f"note: {text}", file=sys.stderr)
    print(f"{counts['n']} patients, {counts['n_events']} events; {main['model']}: C {main['c']:.3f} "
          f"({main['low']:.3f} to {main['high']:.3f}); research use only", file=sys.stderr)  # fmt: skip
    print(folder / "report.html")
    return 0


def names(text: str) -> tuple[str, ...]:
    """Names separated by commas, as an argument's type."""
    found = tuple(part.strip() for part in text.split(",") if part.strip())
    if not found:
        raise argparse.ArgumentTypeError("give at least one name")
    return found


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not a list of numbers such as 3,5") from None
