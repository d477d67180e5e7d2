"""``iith features``: one table of features from result folders."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from SubregionHabitatLib.errors import InputError

if TYPE_CHECKING:
    from ..feature_table import TableExam


def add_parser(subparsers: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Add the command to the parser of ``iith``."""
    parser = subparsers.add_parser(
        "features",
        help="put the features of many result folders into one table",
        description="Write one table from result folders of `iith analyze` or `iith batch`. Wide: one row per exam, "
        "one column region|image|feature per feature. Tidy: one row per value, with unit and the reason where it is "
        "missing. Research use only.",
    )
    parser.add_argument("results", nargs="+", type=Path, metavar="RESULT", help="result folders, in the table's order")
    parser.add_argument("--out", required=True, type=Path, metavar="TABLE", help="file ending in .csv or .csv.gz")
    form = parser.add_mutually_exclusive_group()
    form.add_argument(
        "--wide", dest="form", action="store_const", const="wide", default="wide", help="one row per exam (default)"
    )
    form.add_argument("--tidy", dest="form", action="store_const", const="tidy", help="one row per value")
    return parser


def run(args: argparse.Namespace) -> int:
    """Carry the command out; returns 0. Raises InputError for folders that hold no usable result."""
    from ..feature_table import write_feature_table

    exams = table_exams(args.results)
    n = write_feature_table(exams, args.out, args.form)
    _warn_of_mixed_presets(args.results)
    print(f"{len(exams)} exams, {n} features, {args.form}: {args.out}; research use only", file=sys.stderr)
    if args.json:
        print(json.dumps({"table": str(args.out), "form": args.form, "exams": len(exams), "features": n}))
    return 0


def table_exams(folders: list[Path]) -> list[TableExam]:
    """The exams by their folders' names, or by their paths where a name occurs twice; patient and visit where the
    folder comes from `iith batch`. Raises InputError for a folder that is named twice."""
    from ..batch_task import read_record
    from ..feature_table import TableExam

    places = [folder.resolve() for folder in folders]
    twice = [place for place, n in Counter(places).items() if n > 1]
    if twice:
        raise InputError(f"The result {twice[0]} is named twice; leave one out.")
    names = Counter(place.name for place in places)
    exams = []
    for folder, place in zip(folders, places, strict=True):
        record = read_record(folder) or {}
        name = place.name if names[place.name] == 1 else folder.as_posix()
        exams.append(TableExam(name, folder, str(record.get("patient", "")), str(record.get("visit", ""))))
    return exams


def _warn_of_mixed_presets(folders: list[Path]) -> None:
    """Values of different presets or engines' settings do not compare: say so, once."""
    from ..feature_table import radiomics_of

    found = {radiomics_of(folder) for folder in folders}
    if len(found) > 1:
        names = ", ".join(sorted({f"{preset} ({digest[:8]}, {engine})" for preset, digest, engine in found}))
        print(f"note: these results were made in several ways that do not compare: {names}", file=sys.stderr)
