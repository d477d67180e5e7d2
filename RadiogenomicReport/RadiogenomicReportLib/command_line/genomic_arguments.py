"""The options that name genomic files: the same for a cohort (``iith genomics``) and for the report of one case."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from SubregionHabitatLib.errors import InputError

from .survival import names

if TYPE_CHECKING:
    from ..genomics.case_genomics import CaseGenomicsPlan

# The fields of GenomicsPlan that the options give, as argparse calls them.
_FIELDS = (
    "maf", "vcf", "tumor_sample", "territory_mb", "genes", "samples", "segments", "log2_threshold", "ploidy",
    "expression", "gmt", "set_score", "min_genes", "centroids", "barcode_length",
)  # fmt: skip


def add_genomic_files(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Options for mutation, copy-number and expression files; returns the group of the mutations, for more of them."""
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
    parser.add_argument(
        "--barcode-length", type=int, metavar="N", help="patient = first N characters of a sample (TCGA: 12)"
    )
    return mutation


def genomic_files(args: argparse.Namespace) -> dict:
    """The options as fields of GenomicsPlan. Raises InputError for centroids that are not KIND=FILE."""
    return {
        "maf": tuple(args.maf), "vcf": tuple(args.vcf), "tumor_samples": args.tumor_sample,
        "territory_mb": args.territory_mb, "genes": args.genes, "samples": args.samples, "segments": args.segments,
        "log2_threshold": args.log2_threshold, "ploidy": args.ploidy, "expression": args.expression,
        "gmt": tuple(args.gmt), "set_score": args.set_score, "min_genes": args.min_genes,
        "centroids": _pairs(args.centroids), "barcode_length": args.barcode_length,
    }  # fmt: skip


def _pairs(entries: list[str]) -> tuple[tuple[str, Path], ...]:
    pairs = []
    for entry in entries:
        kind, separator, path = entry.partition("=")
        if not separator or not path:
            raise InputError(f"--centroids {entry} is not KIND=FILE; give for example subtype=pam50.csv.")
        pairs.append((kind, Path(path)))
    return tuple(pairs)


def add_case_genomics(parser: argparse.ArgumentParser) -> None:
    """The same options for one patient, whose sample is named where files hold several."""
    one = parser.add_argument_group("genomic data of this patient")
    one.add_argument(
        "--genomics", type=Path, metavar="TABLE", help="genomics.csv of `iith genomics`, in place of the files below"
    )
    one.add_argument(
        "--sample", type=names, default=(), metavar="NAME,..",
        help="this patient's sample where a file holds several; several names where the files call it differently",
    )  # fmt: skip
    add_genomic_files(parser)


def case_genomics_plan(args: argparse.Namespace) -> CaseGenomicsPlan | None:
    """What the options ask for; None where they name nothing. Raises InputError for options without a file."""
    standard = argparse.ArgumentParser()
    add_genomic_files(standard)
    untouched = vars(standard.parse_args([]))
    given = [name for name in _FIELDS if getattr(args, name) != untouched[name]]
    if not given and not args.sample and args.genomics is None:
        return None
    from ..genomics.case_genomics import CaseGenomicsPlan
    from ..genomics.genomics_run import GenomicsPlan

    if args.genomics is not None:
        if given:
            option = f"--{given[0].replace('_', '-')}"
            raise InputError(f"--genomics takes everything from its table; leave {option} out, or --genomics.")
        return CaseGenomicsPlan(table=args.genomics, sample=args.sample)
    return CaseGenomicsPlan(files=GenomicsPlan(**genomic_files(args)), sample=args.sample)
