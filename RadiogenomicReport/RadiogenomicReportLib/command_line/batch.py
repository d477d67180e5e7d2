"""``iith batch``: a cohort of exams to result folders and two tables."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from SubregionHabitatLib.errors import InputError

from ..cohort_file import CLINICAL_COLUMNS
from .analyze import add_shared_arguments, case_request

if TYPE_CHECKING:
    from ..batch_run import CohortExam, CohortOutcome
    from ..cohort_file import Cohort, CohortRow

INTERRUPTED = 130
_YES, _NO = ("1", "yes", "true"), ("0", "no", "false")
# The options of `iith analyze` that only a row can give.
_ROW_ONLY = {
    "voi": None, "lesion": None, "box": None, "seed_point": None, "space": "lps", "omit": None, "add": None,
    "remove": None, "other_lesions": None, "breast": None, **dict.fromkeys(CLINICAL_COLUMNS), "clinical": None,
    "overwrite": True,
}  # fmt: skip


def add_parser(subparsers: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Add the command to the parser of ``iith``."""
    parser = subparsers.add_parser(
        "batch",
        help="analyze every exam of a cohort table into result folders and one table",
        description="Analyze many exams. COHORT.csv has one exam per row: patient and exam (a DICOM folder, or files "
        "separated by semicolons), and where wanted visit, voi, lesion, times, hr, her2, age and the other options of "
        "`iith analyze` that belong to one exam; paths start from the table's folder, further columns are carried "
        "into the result. An exam that fails is a row with its reason. The options below hold for all exams that "
        "do not say otherwise. Research use only.",
    )
    parser.add_argument("cohort", type=Path, metavar="COHORT.csv", help="table of exams")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder of the cohort")
    parser.add_argument(
        "--jobs", type=int, metavar="N",
        help="exams at a time, each in a process of its own (default: the cores, at most 8); 0: one after another in "
        "this process",
    )  # fmt: skip
    parser.add_argument("--scheduler", metavar="ADDRESS", help="work on the Dask cluster of this scheduler instead")
    parser.add_argument(
        "--resume", action="store_true", help="keep the results made from the same files by the same parameters"
    )
    add_shared_arguments(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    """Carry the command out; returns 0 when at least one exam has a result. Raises InputError when none has."""
    from ..batch_run import run_batch
    from ..cohort_file import read_cohort
    from .cohort_progress import CohortLines

    cohort = read_cohort(args.cohort)
    if cohort.unknown():
        print(f"columns carried into the table as they are: {', '.join(cohort.unknown())}", file=sys.stderr)
    progress = CohortLines()
    try:
        outcome = run_batch(
            [_exam(row, args, cohort) for row in cohort.rows],
            args.out,
            carried=cohort.carried,
            jobs=args.jobs,
            scheduler=args.scheduler,
            resume=args.resume,
            progress=progress,
        )
    except KeyboardInterrupt:
        progress.close()
        print("iith batch: stopped; what is done stays, add --resume to go on", file=sys.stderr)
        return INTERRUPTED
    progress.close()
    _report(outcome, cohort, args)
    return 0


def _exam(row: CohortRow, args: argparse.Namespace, cohort: Cohort) -> CohortExam:
    from ..batch_run import CohortExam

    try:
        request, fault = case_request(row_options(row, args, cohort.folder.absolute())), ""
    except InputError as error:
        request, fault = None, str(error)
    return CohortExam(row.patient, row.visit, request, fault, row.carried)


def row_options(row: CohortRow, args: argparse.Namespace, folder: Path) -> argparse.Namespace:
    """The options of `iith analyze` for one exam: the row's where it has one, else those of all. InputError for a cell
    that cannot be used."""
    if "exam" not in row.cells:
        raise InputError("No exam is named; fill the cell of the column exam.")
    options = {**vars(args), **_ROW_ONLY, **_whole_paths(args)}
    options |= {name: _option(name, cell, folder) for name, cell in row.cells.items()}
    return argparse.Namespace(**options)


def _whole_paths(args: argparse.Namespace) -> dict:
    """Files among the options of all exams by their whole paths, as a cluster's workers run elsewhere."""

    def whole(name: str) -> str:
        return str(Path(name).absolute()) if Path(name).exists() else name

    return {
        "habitat_model": None if args.habitat_model is None else args.habitat_model.absolute(),
        "preset": whole(args.preset) if args.preset.endswith(".json") else args.preset,
        "model": [whole(name) for name in args.model] if args.model else None,
    }


def _option(name: str, cell: str, folder: Path):
    from SubregionHabitatLib.lesion_points import POINT_SPACES

    from ..cohort_file import FILE_COLUMNS

    if name == "exam":
        return [folder / part.strip() for part in cell.split(";") if part.strip()]
    if name in FILE_COLUMNS:
        return folder / cell
    if name in ("early", "late"):
        return _number(name, cell, int)
    if name == "injection":
        return _number(name, cell, float)
    if name == "no_times":
        return _yes_or_no(name, cell)
    if name == "space" and cell.lower() not in POINT_SPACES:
        raise InputError(f"space is {cell[:20]!r}; give one of {', '.join(POINT_SPACES)}.")
    if name == "times":
        return _times(cell, folder)
    return cell.lower() if name == "space" else cell


def _times(cell: str, folder: Path) -> str:
    """A times file by its whole path, a list of times as it is."""
    try:
        return str(folder / cell) if (folder / cell).is_file() else cell
    except (OSError, ValueError):  # a long list of times is no file name
        return cell


def _number(name: str, cell: str, kind):
    try:
        return kind(cell)
    except ValueError:
        raise InputError(
            f"{name} is {cell[:20]!r}, which is not a {'whole ' * (kind is int)}number; correct it."
        ) from None


def _yes_or_no(name: str, cell: str) -> bool:
    if cell.lower() not in _YES + _NO:
        raise InputError(f"{name} is {cell[:20]!r}; give 1 (yes) or 0 (no).")
    return cell.lower() in _YES


def _report(outcome: CohortOutcome, cohort: Cohort, args: argparse.Namespace) -> None:
    from ..batch_tables import COHORT_TABLE, FEATURES_TABLE
    from ..batch_task import DONE, FAILED, KEPT

    counts = {status: outcome.n(status) for status in (DONE, KEPT, FAILED)}
    print(
        f"{counts[DONE]} exams analyzed, {counts[KEPT]} kept, {counts[FAILED]} failed; research use only\n"
        f"tables: {outcome.folder / COHORT_TABLE}, {outcome.folder / FEATURES_TABLE}",
        file=sys.stderr,
    )
    failures = [
        {"patient": row.patient, "visit": row.visit, "reason": one.reason}
        for row, one in zip(cohort.rows, outcome.outcomes, strict=True)
        if one.status == FAILED
    ]
    if args.debug:
        for one in outcome.outcomes:
            print(one.trace, end="", file=sys.stderr)
    if args.json:
        tables = [str(outcome.folder / name) for name in (COHORT_TABLE, FEATURES_TABLE)]
        print(json.dumps({**counts, "failures": failures, "tables": tables}))
    if len(failures) == len(outcome.outcomes):
        raise InputError(
            f"None of the {len(failures)} exams could be analyzed; the first: {failures[0]['reason']} "
            f"The others are in {COHORT_TABLE}."
        )
