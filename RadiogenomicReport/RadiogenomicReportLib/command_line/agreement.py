"""``iith agreement``: which features readers reproduce, from feature tables, readers' masks or one mask redrawn."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from SubregionHabitatLib.errors import InputError

from .analyze import add_shared_arguments, case_request
from .batch import row_options

if TYPE_CHECKING:
    from ..agreement_run import AgreementChoice, CohortReadings
    from ..cohort_file import Cohort, CohortRow

# psych's names of the forms.
FORMS = {
    "ICC1": "ICC(1,1)",
    "ICC2": "ICC(2,1)",
    "ICC3": "ICC(3,1)",
    "ICC1k": "ICC(1,k)",
    "ICC2k": "ICC(2,k)",
    "ICC3k": "ICC(3,k)",
}


def add_parser(subparsers: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Add the command to the parser of ``iith``."""
    parser = subparsers.add_parser(
        "agreement",
        help="find the features that readers reproduce, and write the list that training reads",
        description="Intraclass correlation of every feature, with confidence intervals. Give two or more feature "
        "tables of the same exams (of `iith batch` or `iith features`, one per reader or reading), or one COHORT.csv "
        "as for `iith batch` and either --masks (its columns with one mask per reader) or --perturb (one mask per "
        "exam, redrawn at random). Written are agreement.csv (every feature, every form), stable_features.json (for "
        "`iith train --stable`) and, from a cohort, the readings. Research use only.",
    )
    parser.add_argument("tables", nargs="+", type=Path, metavar="TABLE", help="feature tables, or one COHORT.csv")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder to write, new or empty")
    contours = parser.add_argument_group("contours (with a COHORT.csv)")
    contours.add_argument("--masks", metavar="COLUMN,COLUMN", help="columns that hold the readers' masks of the lesion")
    contours.add_argument("--perturb", type=int, metavar="N", help="redraw the lesion of every exam N times")
    _add_perturbation_arguments(contours)
    contours.add_argument("--jobs", type=int, metavar="N", help="exams at a time (default: the cores, at most 8)")
    _add_choice_arguments(parser.add_argument_group("which features are stable"))
    add_shared_arguments(parser)
    return parser


def _add_perturbation_arguments(group) -> None:
    from IITHModuleLib.heterogeneity.perturbation import PerturbationParameters

    standard = PerturbationParameters()
    for option, name, unit, meaning in (
        ("--growth", "growth_mm", "MM", "most that a contour grows or shrinks"),
        ("--shift", "shift_mm", "MM", "most that it moves"),
        ("--noise", "noise_sd_mm", "MM", "SD of the random displacement of its boundary"),
        ("--noise-length", "noise_correlation_mm", "MM", "distance over which that displacement is alike"),
        ("--volume-change", "max_volume_change", "SHARE", "most that its volume changes"),
    ):
        value = getattr(standard, name)
        group.add_argument(
            option, dest=name, type=float, default=value, metavar=unit, help=f"{meaning} (default {value:g})"
        )


def _add_choice_arguments(group) -> None:
    group.add_argument(
        "--form", choices=tuple(FORMS), help="ICC2 (between readers, the default), ICC3 (within a reader), ICC1 "
        "(contours drawn at random, the default with --perturb), or k for the mean of the readings",
    )  # fmt: skip
    group.add_argument("--threshold", type=float, default=0.75, metavar="ICC", help="above it is stable (default 0.75)")
    group.add_argument("--lower-bound", action="store_true", help="the interval's lower end must exceed it")
    group.add_argument("--inclusive", action="store_true", help="equal to the threshold is stable, too")
    group.add_argument(
        "--confidence", type=float, default=0.95, metavar="LEVEL", help="of the intervals (default 0.95)"
    )
    group.add_argument("--min-exams", type=int, default=5, metavar="N", help="exams an ICC needs (default 5)")
    group.add_argument(
        "--also", action="append", default=[], type=Path, metavar="FILE",
        help="keep only what this earlier list holds, too, for example within a reader (repeatable)",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Carry the command out; returns 0. Raises InputError where nothing can be compared."""
    from ..agreement_run import find_agreement, write_agreement, write_readings
    from ..result_folder import complete_or_absent

    _check(args)
    with complete_or_absent(args.out) as folder:
        measured = None
        if len(args.tables) > 1:
            readings, source, details = _read_tables(args.tables)
        else:
            measured, details = _measure(args)
            readings, source = list(measured.readings.values()), "perturbation" if args.perturb else "readers"
        agreement, stable = find_agreement(readings, _choice(args), source, details)
        write_agreement(folder, agreement, stable)
        if measured is not None:
            write_readings(folder, measured)
    _report(args, agreement, stable, measured)
    return 0


def _check(args: argparse.Namespace) -> None:
    if len(args.tables) > 1 and (args.masks or args.perturb is not None):
        raise InputError("--masks and --perturb belong to one COHORT.csv; leave them out with feature tables.")
    if len(args.tables) == 1 and bool(args.masks) == (args.perturb is not None):
        raise InputError(
            "One table alone has no second reading; give a second feature table, or a COHORT.csv with either --masks "
            "or --perturb."
        )
    if args.perturb is not None and args.perturb < 2:
        raise InputError(f"--perturb {args.perturb} leaves nothing to compare; give 2 or more.")
    if args.jobs is not None and args.jobs < 1:
        raise InputError(f"--jobs {args.jobs} is not possible; give 1 or more.")


def _choice(args: argparse.Namespace) -> AgreementChoice:
    from ..agreement_run import AgreementChoice

    form = args.form or ("ICC1" if args.perturb is not None else "ICC2")
    return AgreementChoice(
        form=FORMS[form],
        threshold=args.threshold,
        use_lower_bound=args.lower_bound,
        inclusive=args.inclusive,
        confidence=args.confidence,
        min_patients=args.min_exams,
        also=tuple(args.also),
    )


def _read_tables(paths: list[Path]):
    from IITHModuleLib.heterogeneity.exam_table import read_exam_table
    from IITHModuleLib.training.table import file_digest

    readings = [read_exam_table(path).by_exam() for path in paths]
    return readings, "readers", {"tables": [{"file": p.name, "sha256": file_digest(p)} for p in paths]}


def _measure(args: argparse.Namespace) -> tuple[CohortReadings, dict]:
    from IITHModuleLib.training.table import file_digest

    from ..agreement_run import measure_cohort
    from ..batch_local import default_jobs
    from ..batch_names import exam_names
    from ..batch_task import failed
    from ..cohort_file import read_cohort
    from .cohort_progress import CohortLines

    cohort = read_cohort(args.tables[0])
    columns = _mask_columns(args, cohort)
    details = {"cohort": {"file": args.tables[0].name, "sha256": file_digest(args.tables[0])}}
    perturbation = _perturbation(args)
    if perturbation is None:
        names, details["masks"] = list(columns), list(columns)
    else:
        names = [f"contour{i + 1:0{len(str(args.perturb))}d}" for i in range(args.perturb)]
        details["perturbation"] = perturbation.to_json()
    tasks, faults = [], []
    people = [(row.patient, row.visit) for row in cohort.rows]
    exams = dict(zip(exam_names(people), people, strict=True))
    for row, name in zip(cohort.rows, exams, strict=True):
        try:
            tasks.append(_task(args, cohort, row, name, columns, perturbation))
        except InputError as error:
            faults.append(failed(name, str(error)))
    progress = CohortLines()
    progress.begin(len(cohort.rows), 0)
    try:
        return measure_cohort(exams, tasks, names, args.jobs or default_jobs(), faults, progress.ended), details
    finally:
        progress.close()


def _mask_columns(args: argparse.Namespace, cohort: Cohort) -> tuple[str, ...]:
    if not args.masks:
        return ()
    columns = tuple(part.strip() for part in args.masks.split(","))
    if len(columns) < 2 or len(set(columns)) < len(columns):
        raise InputError(f"--masks {args.masks!r} does not name two or more different columns of the cohort.")
    held = {"lesion", *cohort.carried}
    for name in columns:
        if name not in held:
            raise InputError(f"The cohort {args.tables[0].name} has no column {name}; correct --masks.")
    return columns


def _perturbation(args: argparse.Namespace):
    from IITHModuleLib.heterogeneity.perturbation import PerturbationParameters

    if args.perturb is None:
        return None
    return PerturbationParameters(
        n=args.perturb,
        growth_mm=args.growth_mm,
        shift_mm=args.shift_mm,
        noise_sd_mm=args.noise_sd_mm,
        noise_correlation_mm=args.noise_correlation_mm,
        max_volume_change=args.max_volume_change,
        seed=args.seed,
    )


def _task(args, cohort: Cohort, row: CohortRow, name: str, columns: tuple[str, ...], perturbation):
    from ..contour_readings import ContourTask

    folder = cohort.folder.absolute()
    masks = None
    if columns:
        cells = [row.cells.get(c, "") if c == "lesion" else row.carried.get(c, "") for c in columns]
        empty = [c for c, cell in zip(columns, cells, strict=True) if not cell]
        if empty:
            raise InputError(f"{row.name()} has no mask in the column {empty[0]}; fill the cell.")
        masks = tuple(folder / cell for cell in cells)
    request = case_request(row_options(row, args, folder))
    if perturbation is not None:
        perturbation = replace(perturbation, seed=_seed_of(perturbation.seed, name))
    return ContourTask(name, row.patient, row.visit, request, masks, perturbation)


def _seed_of(seed: int, exam: str) -> int:
    """A seed of its own for every exam: contour 3 of one patient must have nothing in common with that of another."""
    return int(hashlib.sha256(f"{seed} {exam}".encode()).hexdigest()[:12], 16)


def _report(args: argparse.Namespace, agreement, stable, measured: CohortReadings | None) -> None:
    by_region = Counter(key.region for key in stable.keys)
    failures = [] if measured is None else measured.failures()
    regions = ", ".join(f"{region} {n}" for region, n in by_region.items()) or "none"
    print(
        f"{len(stable.keys)} of {stable.n_tested} features are stable ({regions}); {stable.n_undefined} could not be "
        f"tested; {agreement.n_readings} readings, at most {int(agreement.n_patients.max(initial=0))} exams each\n"
        f"written to {args.out}; research use only",
        file=sys.stderr,
    )
    if failures:
        print(f"{len(failures)} exams failed; their reasons are in contours.csv", file=sys.stderr)
    if args.json:
        print(
            json.dumps(
                {
                    "n_tested": stable.n_tested,
                    "n_stable": len(stable.keys),
                    "n_undefined": stable.n_undefined,
                    "n_readings": agreement.n_readings,
                    "n_exams": int(agreement.n_patients.max(initial=0)),
                    "stable_by_region": dict(by_region),
                    "failures": [{"exam": exam, "reason": reason} for exam, reason in failures],
                }
            )
        )
