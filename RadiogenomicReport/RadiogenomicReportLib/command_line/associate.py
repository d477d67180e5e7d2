"""``iith associate``: which variables of a cohort go with a group or a score."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .survival import names


def add_parser(subparsers: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Add the command to the parser of ``iith``."""
    parser = subparsers.add_parser(
        "associate",
        help="associations of a group or score with all other variables of a cohort, and their report",
        description="Test variables of patient tables (CSV, TSV, XLSX; several are joined on the patient) against "
        "groups or a score, by the test that fits their types, with effect sizes and adjusted p values. Research use "
        "only.",
    )
    parser.add_argument("tables", nargs="+", type=Path, metavar="TABLE", help="tables with one row per patient")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="result folder to write")
    parser.add_argument("--columns", metavar="MAPPING", help="duke, ispy1 or a JSON file (iith-columns/1)")
    parser.add_argument("--group", metavar="NAME", help="groups, for example a radiomic phenotype")
    parser.add_argument("--score", metavar="NAME", help="a score, for example a heterogeneity index")
    parser.add_argument(
        "--with", dest="variables", type=names, default=(), metavar="NAME,..", help="default: everything"
    )
    parser.add_argument(
        "--number-test", default="wilcoxon", choices=("wilcoxon", "t", "ks"), help="for numbers between two groups"
    )
    parser.add_argument("--title", default="", help="title of the report")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier result in DIR")
    return parser


def run(args: argparse.Namespace) -> int:
    """Analyze, write and summarize; InputError when a table, a column or the target does not fit."""
    from ..clinical.column_mapping import EMPTY, load_mapping
    from ..clinical.patient_table import read_patient_table
    from ..cohort.association_analysis import RECORD, AssociationPlan, analyze_associations, write_associations
    from ..result_folder import check_target

    plan = AssociationPlan(args.group, args.score, args.variables, args.number_test, args.title)
    check_target(args.out, args.overwrite, RECORD)
    table = read_patient_table(args.tables, load_mapping(args.columns) if args.columns else EMPTY)
    content = analyze_associations(table, plan)
    folder = write_associations(args.out, content, table, plan, args.overwrite)
    if args.json:
        print((folder / RECORD[0]).read_text(encoding="utf-8"))
        return 0
    found = sum(t["adjusted_p"] is not None and t["adjusted_p"] < 0.05 for t in content["tests"])
    for text in content["skipped"][:5]:
        print(f"note: left out: {text}", file=sys.stderr)
    print(
        f"{found} of {len(content['tests'])} variables with an adjusted p below 0.05; research use only",
        file=sys.stderr,
    )
    print(folder / "report.html")
    return 0
