"""``iith habitats``: fit habitat centres on the result folders of many exams."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from .terminal_progress import TerminalProgress


def add_parser(subparsers: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Add the command to the parser of ``iith``."""
    from SubregionHabitatLib.habitat_parameters import CHOOSE_K, SECOND_LEVELS, HabitatParameters

    standard = HabitatParameters()
    parser = subparsers.add_parser(
        "habitats",
        help="fit habitat centres on many result folders, so that habitats compare between patients",
        description="Pool the lesions of many result folders of `iith analyze`, cluster them together and save the "
        "centres. `iith analyze --habitat-model FILE` then gives every exam the same habitats. Research use only.",
    )
    parser.add_argument("results", nargs="+", type=Path, metavar="RESULT", help="result folders of `iith analyze`")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE", help="the model file (.json)")
    parser.add_argument("--mode", choices=("cohort", "two_level"), default="cohort", help="voxels or supervoxels")
    parser.add_argument("--habitats", type=int, default=standard.k, metavar="K", help="number of habitats")
    parser.add_argument("--choose-k", choices=CHOOSE_K, default=standard.choose_k, help="find K in 2..6 instead")
    parser.add_argument("--second-level", choices=SECOND_LEVELS, default=standard.second_level, help="for two_level")
    parser.add_argument("--seed", type=int, default=standard.seed, metavar="N", help="seed of the clustering")
    parser.add_argument(
        "--max-voxels", type=int, default=standard.max_voxels_per_exam, metavar="N",
        help="voxels that one exam may give, so that large tumors do not dominate (default %(default)s)",
    )  # fmt: skip
    return parser


def run(args: argparse.Namespace) -> int:
    """Carry the command out; returns 0. Raises InputError for folders or options that cannot be used."""
    from SubregionHabitatLib.habitat_cohort import fit_habitats_from_results
    from SubregionHabitatLib.habitat_file import habitat_model_to_json, save_habitat_model
    from SubregionHabitatLib.habitat_parameters import HabitatParameters

    parameters = HabitatParameters(
        k=args.habitats,
        mode=args.mode,
        choose_k=args.choose_k,
        second_level=args.second_level,
        seed=args.seed,
        max_voxels_per_exam=args.max_voxels,
    )
    progress = TerminalProgress()
    try:
        model = fit_habitats_from_results(args.results, parameters, progress)
    finally:
        progress.close()
    save_habitat_model(model, args.out)
    print(
        f"Habitat centres of {model.training.n_exams} exams ({model.training.n_rows} rows) written to {args.out}.",
        file=sys.stderr,
    )
    if args.json:
        print(json.dumps(habitat_model_to_json(model)))
    return 0
