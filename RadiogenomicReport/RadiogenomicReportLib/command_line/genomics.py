"""``iith genomics``: mutation, copy-number and expression files to one row of features per patient."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .genomic_arguments import add_genomic_files, genomic_files


def add_parser(subparsers: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Add the command to the parser of ``iith``."""
    parser = subparsers.add_parser(
        "genomics",
        help="genomic files to one row of features per patient, and differences between groups",
        description="Mutational burden, MATH, gene features, copy-number burden, gene set and centroid scores, as "
        "columns that `iith associate`, `iith survival` and `iith train` read; with --groups also differential "
        "expression, GSEA and pathway abundance. Research use only.",
    )
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="result folder to write")
    mutation = add_genomic_files(parser)
    mutation.add_argument("--top-genes", type=int, default=0, metavar="N", help="the same of the N most mutated genes")
    groups = parser.add_argument_group("differences between two groups")
    groups.add_argument("--groups", type=Path, metavar="TABLE", help="table with a patient column and the groups")
    groups.add_argument("--group", metavar="NAME", help="its column")
    groups.add_argument("--counts", action="store_true", help="the expression values are raw counts (PyDESeq2)")
    groups.add_argument("--metabolites", type=Path, metavar="FILE", help="metabolites in rows, samples in columns")
    groups.add_argument("--pathways", type=Path, metavar="GMT", help="metabolites of each pathway")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier result in DIR")
    return parser


def run(args: argparse.Namespace) -> int:
    """Compute, write and summarize; InputError when a file or the target does not fit."""
    from ..genomics.genomics_folder import RECORD, write_genomics
    from ..genomics.genomics_run import GenomicsPlan, run_genomics
    from ..result_folder import check_target

    check_target(args.out, args.overwrite, RECORD)
    plan = GenomicsPlan(
        **genomic_files(args), top_genes=args.top_genes, groups=args.groups, group=args.group, counts=args.counts,
        metabolites=args.metabolites, pathways=args.pathways, seed=args.seed,
    )  # fmt: skip
    result = run_genomics(plan)
    folder = write_genomics(args.out, result, plan.parameters(), args.overwrite)
    if args.json:
        print((folder / RECORD[0]).read_text(encoding="utf-8"))
        return 0
    for row in result.malformed[:5]:
        print(f"note: {row['file']}, line {row['line']} left out: {row['reason']}", file=sys.stderr)
    if len(result.malformed) > 5:
        print(f"note: {len(result.malformed) - 5:,} more rows left out; see {RECORD[0]}", file=sys.stderr)
    for text in dict.fromkeys(result.notes):
        print(f"note: {text}", file=sys.stderr)
    print(f"{len(result.features)} patients; research use only", file=sys.stderr)
    print(folder)
    return 0
