"""``iith simulate-cohort``: many simulated exams whose lesions follow the joint distribution of real ones."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from SubregionHabitatLib.errors import InputError

MAX_EXAMS = 100_000


def add_parser(subparsers: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Add the command to the parser of ``iith``."""
    parser = subparsers.add_parser(
        "simulate-cohort",
        help="write a cohort of simulated exams for `iith batch`",
        description="Write simulated breast DCE exams (NRRD) and the cohort table DIR/cohort.csv for `iith batch`. "
        "Lesion size, peak enhancement, SER and time-to-peak composition follow the joint distribution of the 922 "
        "patients of Duke-Breast-Cancer-MRI (a fitted copula, nobody's row); spacing, phases, times, noise and field "
        "vary. The exams are simulated and say nothing about patients; research use only.",
    )
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder; exams already there are kept")
    parser.add_argument("--n", type=int, default=300, metavar="N", help="number of exams (default %(default)s)")
    parser.add_argument(
        "--seed", type=int, default=2023, metavar="S", help="same seed, same exams (default %(default)s)"
    )
    parser.add_argument("--only", metavar="I,J,..", help="these exams of the cohort alone, counted from 0")
    parser.add_argument("--distribution", type=Path, metavar="FILE", help="another lesion distribution (JSON)")
    return parser


def run(args: argparse.Namespace) -> int:
    """Write the cohort; returns 0. Raises InputError for options or folders that cannot be used."""
    from IITHModuleLib.simulated_cohort.distribution import load_distribution
    from IITHModuleLib.simulated_cohort.write import write_cohort

    if not 0 < args.n <= MAX_EXAMS or args.seed < 0:
        raise InputError(f"--n is 1 to {MAX_EXAMS:,} and --seed 0 or more; correct them.")
    indices = range(args.n) if args.only is None else _indices(args.only)
    table = write_cohort(
        load_distribution(args.distribution),
        args.out,
        list(indices),
        args.seed,
        progress=lambda message: print(f"iith simulate-cohort: {message}", file=sys.stderr),
    )
    print(f"Simulated exams (not patients; research use only): {table}", file=sys.stderr)
    if getattr(args, "json", False):
        print(json.dumps({"cohort": str(table), "n": len(indices)}))
    return 0


def _indices(text: str) -> list[int]:
    try:
        found = sorted({int(part) for part in text.split(",")})
    except ValueError:
        found = []
    if not found or found[0] < 0 or found[-1] >= MAX_EXAMS:
        raise InputError(f"--only {text[:40]} is no list of exam numbers; give for example 0,7,12.")
    return found
