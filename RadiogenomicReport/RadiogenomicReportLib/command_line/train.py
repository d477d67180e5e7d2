"""``iith train``: fit a model by a written protocol and write its folder."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from SubregionHabitatLib.errors import InputError


def add_parser(subparsers: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Add the command to the parser of ``iith``."""
    parser = subparsers.add_parser(
        "train",
        help="fit a model by a published protocol and write its folder with a model card",
        description="Fit a model. PROTOCOL is the name of a shipped protocol (pcr-ispy2-v1, rfs-duke-v1, "
        "chitalia-delta) or a JSON file (schema iith-protocol/1). TABLE and OUTCOMES are CSV, TSV or XLSX files with "
        "one row per patient; they may be the same file. For chitalia-delta TABLE is a feature table of `iith batch` "
        "or `iith features` with two visits per patient. The card and every number in it "
        "are written from the fit. Research use only.",
    )
    parser.add_argument("protocol", metavar="PROTOCOL", help="shipped protocol or JSON file")
    parser.add_argument("table", type=Path, metavar="TABLE", help="features, one row per patient")
    parser.add_argument(
        "outcomes", type=Path, nargs="?", metavar="OUTCOMES",
        help="outcomes, one row per patient; with chitalia-delta the cohort.csv of `iith batch`, or nothing",
    )  # fmt: skip
    parser.add_argument("--out", required=True, type=Path, metavar="MODEL", help="model folder to write")
    parser.add_argument(
        "--external", action="append", default=[], metavar="NAME=PATH",
        help="a further table that the protocol names, for a test on other patients (repeatable); without it that "
        "test is left out and the card says so",
    )  # fmt: skip
    parser.add_argument(
        "--stable", type=Path, metavar="FILE", help="use only the features of this list, made by `iith agreement`"
    )
    parser.add_argument("--visits", metavar="FIRST,SECOND", help="names of the two visits to compare (chitalia-delta)")
    choice = parser.add_argument_group(
        "protocols that select features: zhou-model1/2/3, zhou-prm, zhou-gprm, wang-radscore, logistic, cox"
    )
    choice.add_argument(
        "--paper-order", action="store_true",
        help="select on all patients before cross-validating, as the paper does; the model is stamped OPTIMISTIC",
    )  # fmt: skip
    choice.add_argument("--event", metavar="COLUMN", help="column of OUTCOMES with 1 (event, response) and 0")
    choice.add_argument("--time-days", metavar="COLUMN", help="column of OUTCOMES with the follow-up in days (cox)")
    choice.add_argument(
        "--horizon", type=float, metavar="YEARS", help="time of predicted survival and of the cut (cox)"
    )
    choice.add_argument(
        "--feature", action="append", default=[], metavar="REGION|IMAGE|FEATURE",
        help="features to read instead of the protocol's, with * and ? as in file names (repeatable)",
    )  # fmt: skip
    choice.add_argument(
        "--value", action="append", default=[], metavar="NAME[=COLUMN]",
        help="value of OUTCOMES that enters without selection: hr, her2, age_years, ki67_high, lvi, vaf_GENE or "
        "table:COLUMN (repeatable)",
    )  # fmt: skip
    choice.add_argument(
        "--penalty", choices=("maximum likelihood", "firth", "ridge"),
        help="how the last step is fitted (protocols without lasso); firth or ridge where values separate the outcome",
    )  # fmt: skip
    choice.add_argument("--id", metavar="ID", help="id of the model instead of the protocol's")
    parser.add_argument("--overwrite", action="store_true", help="replace the model that is in MODEL")
    return parser


def run(args: argparse.Namespace) -> int:
    """Train, write and summarize; InputError when a table, the protocol or the target does not fit."""
    from IITHModuleLib.training.dispatch import TrainingRequest, train_model

    model = train_model(
        TrainingRequest(
            args.protocol,
            args.table,
            args.outcomes,
            args.out,
            external=_named_paths(args.external),
            stable=args.stable,
            visits=_visits(args.visits),
            overwrite=args.overwrite,
            paper_order=args.paper_order,
            event=args.event,
            time_days=args.time_days,
            horizon_years=args.horizon,
            features=tuple(args.feature),
            values=tuple(args.value),
            penalty=args.penalty,
            model_id=args.id,
            progress=lambda message: print(f"iith train: {message}", file=sys.stderr),
        )
    )
    if getattr(args, "json", False):
        print(json.dumps(model.content | {"path": str(model.path)}, indent=1))
    else:
        print(model.text)
        print(f"\nWrote {model.path.parent}")
    return 0


def _visits(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(part.strip() for part in text.split(","))


def _named_paths(entries: list[str]) -> dict[str, Path]:
    result = {}
    for entry in entries:
        name, separator, path = entry.partition("=")
        if not separator or not name or not path:
            raise InputError(f"--external {entry} is not NAME=PATH; give for example ispy1_volumes=table.csv.")
        if name in result or name in ("TABLE", "OUTCOMES"):
            raise InputError(f"--external names the table {name} twice; give each further table once.")
        result[name] = Path(path)
    return result
