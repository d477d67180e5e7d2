"""``iith genomics``: mutation, copy-number and expression files to one row of features per patient."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from SubregionHabitatLib.errors import InputError

from .survival import names


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
    mutation = parser.add_argument_group("mutations")
    mutation.add_argument("--maf", nargs="+", type=Path, default=[], metavar="FILE", help="MAF, plain or gzip")
    mutation.add_argument(
        "--vcf", nargs="+", type=Path, default=[], metavar="FILE", help="VCF annotated by SnpEff or VEP"
    )
    mutation.add_argument("--tumor-sample", type=names, default=(), metavar="NAME,..", help="sample columns of the VCF")
    mutation.add_argument(
        "--territory-mb", type=float, metavar="MB", help="sequenced coding megabases (exome about 30 to 50)"
    )
    mutation.add_argument(
        "--genes", type=names, default=(), metavar="GENE,..", help="status, count and VAF sum of these"
    )
    mutation.add_argument("--top-genes", type=int, default=0, metavar="N", help="the same of the N most mutated genes")
    mutation.add_argument("--samples", type=Path, metavar="FILE", help="sequenced samples, one a line, mutated or not")
    copy = parser.add_argument_group("copy number")
    copy.add_argument("--segments", type=Path, metavar="FILE", help="segments with log2 ratio or total copies")
    copy.add_argument("--log2-threshold", type=float, default=0.2)
    copy.add_argument("--ploidy", type=float, default=2.0)
    expression = parser.add_argument_group("expression")
    expression.add_argument("--expression", type=Path, metavar="FILE", help="genes in rows, samples in columns")
    expression.add_argument("--gmt", nargs="+", type=Path, default=[], metavar="FILE", help="gene sets")
    expression.add_argument("--set-score", default="ssgsea", choices=("ssgsea", "gsva"))
    expression.add_argument("--min-genes", type=int, default=15, help="measured genes that a set needs (default 15)")
    expression.add_argument(
        "--centroids", action="append", default=[], metavar="KIND=FILE",
        help="subtype, ror, 70-gene or p53 with your table of centroids; a research approximation (repeatable)",
    )  # fmt: skip
    groups = parser.add_argument_group("differences between two groups")
    groups.add_argument("--groups", type=Path, metavar="TABLE", help="table with a patient column and the groups")
    groups.add_argument("--group", metavar="NAME", help="its column")
    groups.add_argument("--counts", action="store_true", help="the expression values are raw counts (PyDESeq2)")
    groups.add_argument("--metabolites", type=Path, metavar="FILE", help="metabolites in rows, samples in columns")
    groups.add_argument("--pathways", type=Path, metavar="GMT", help="metabolites of each pathway")
    parser.add_argument(
        "--barcode-length", type=int, metavar="N", help="patient = first N characters of a sample (TCGA: 12)"
    )
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
        maf=tuple(args.maf), vcf=tuple(args.vcf), tumor_samples=args.tumor_sample, territory_mb=args.territory_mb,
        genes=args.genes, top_genes=args.top_genes, samples=args.samples, segments=args.segments,
        log2_threshold=args.log2_threshold, ploidy=args.ploidy, expression=args.expression, gmt=tuple(args.gmt),
        set_score=args.set_score, min_genes=args.min_genes, centroids=_pairs(args.centroids), groups=args.groups,
        group=args.group, counts=args.counts, metabolites=args.metabolites, pathways=args.pathways,
        barcode_length=args.barcode_length, seed=args.seed,
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


def _pairs(entries: list[str]) -> tuple[tuple[str, Path], ...]:
    pairs = []
    for entry in entries:
        kind, separator, path = entry.partition("=")
        if not separator or not path:
            raise InputError(f"--centroids {entry} is not KIND=FILE; give for example subtype=pam50.csv.")
        pairs.append((kind, Path(path)))
    return tuple(pairs)
