"""``iith report``: the report of a result again, in other forms or as DICOM, or one report over several visits."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from SubregionHabitatLib.errors import InputError

from .genomic_arguments import add_case_genomics, case_genomics_plan
from .terminal_progress import TerminalProgress


def add_parser(subparsers: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Add the command to the parser of ``iith``."""
    from ..report_output import FORMATS

    parser = subparsers.add_parser(
        "report",
        help="write the report of a result again (HTML, PDF, figures, numbers, DICOM), or one over several visits",
        description="Write the report of a result folder of `iith analyze` again, as HTML, PDF, CSV, JSON and figures, "
        "and, with the exam, as DICOM objects. With several result folders, the visits of one patient in order of "
        "time: one report with curves, the flow of the habitats and the phenotype of change. Nothing is measured "
        "again; genomic files of the patient are read into the report and its case.json. Research use only.",
    )
    parser.add_argument("results", nargs="+", type=Path, metavar="RESULT", help="result folder, or one per visit")
    parser.add_argument(
        "--format", nargs="+", choices=FORMATS, default=["html", "pdf"], metavar="FORMAT",
        help=f"any of {', '.join(FORMATS)} (default: html pdf); csv and json are the report's numbers",
    )  # fmt: skip
    parser.add_argument("--csv", action="store_true", help="short for adding csv to --format")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder to write into (default for one result: the result folder itself; needed for several)",
    )
    _add_visit_arguments(parser)
    add_case_genomics(parser)
    dicom = parser.add_argument_group("DICOM (one result)")
    from ..dicom_out.writer import MAP_EXTENTS

    dicom.add_argument(
        "--dicom", type=Path, metavar="EXAM", help="DICOM folder of the result's exam: write DICOM objects"
    )
    dicom.add_argument("--series", metavar="NUMBER[,..]", help="DICOM series of the exam, as for iith analyze")
    dicom.add_argument(
        "--dicom-maps", choices=MAP_EXTENTS, default=MAP_EXTENTS[0],
        help="how much of the kinetic maps goes into DICOM: around lesion and ring, all, or nothing (default: lesion)",
    )  # fmt: skip
    parser.add_argument(
        "--show-identity", "--identity", action="store_true",
        help="write patient name and ID into report and DICOM objects (default: left out, in DICOM objects replaced)",
    )  # fmt: skip
    return parser


def _add_visit_arguments(parser: argparse.ArgumentParser) -> None:
    visits = parser.add_argument_group("several visits")
    visits.add_argument("--labels", metavar="A,B,..", help="names of the visits (default: visit 1, visit 2, ...)")
    visits.add_argument("--days", metavar="D1,D2,..", help="days of the visits, counted from any day")
    visits.add_argument(
        "--registered", action="store_true",
        help="the visits lie on one grid, voxel by voxel the same tissue: follow the tissue between habitats",
    )  # fmt: skip
    visits.add_argument("--phenotypes", type=Path, metavar="MODEL", help="folder of a model of phenotypes of change")


def run(args: argparse.Namespace) -> int:
    """Carry the command out; returns 0. Raises InputError for a result or an exam that cannot be used."""
    formats = tuple(dict.fromkeys([*args.format, *(["csv"] if args.csv else [])]))
    return _one(args, formats) if len(args.results) == 1 else _several(args, formats)


def _several(args: argparse.Namespace, formats: tuple[str, ...]) -> int:
    from ..visits_report import REPORT_NAME, VisitsRequest, write_visits_report

    if args.dicom is not None or args.series is not None:
        raise InputError("--dicom and --series belong to one result; write the DICOM objects of each visit by itself.")
    if case_genomics_plan(args) is not None:
        raise InputError("Genomic data belong to one result; write the report of each visit with its own.")
    if args.out is None:
        raise InputError("A report over several visits belongs to none of them; name a folder for it with --out.")
    request = VisitsRequest(
        folders=tuple(args.results),
        out=args.out,
        labels=tuple(args.labels.split(",")) if args.labels is not None else (),
        days=_days(args.days),
        formats=formats,
        registered=args.registered,
        phenotypes=args.phenotypes,
        identity=args.show_identity,
    )
    written, numbers = write_visits_report(request)
    _print(args, written, numbers, REPORT_NAME)
    return 0


def _days(text: str | None) -> tuple[float, ...]:
    if text is None:
        return ()
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"--days {text[:60]!r} are not numbers; write for example 0,21,84.") from None


def _one(args: argparse.Namespace, formats: tuple[str, ...]) -> int:
    from ..case_result import ReportRequest, read_result, write_case_report

    if args.labels or args.days or args.registered or args.phenotypes:
        raise InputError(
            "--labels, --days, --registered and --phenotypes need several visits; name a result per visit."
        )
    if args.dicom is None and args.series is not None:
        raise InputError("--series belongs to --dicom; give the exam with --dicom, or leave --series out.")
    request = ReportRequest(
        out=args.out,
        formats=formats,
        exam=args.dicom,
        series=args.series,
        map_extent=args.dicom_maps,
        identity=args.show_identity,
        genomics=case_genomics_plan(args),
    )
    progress = TerminalProgress()
    try:
        written, numbers = write_case_report(read_result(args.results[0]), request, progress)
    finally:
        progress.close()
    _print(args, written, numbers, "report")
    return 0


def _print(args: argparse.Namespace, written, numbers, name: str) -> None:
    from ..report_output import numbers_json

    for path in written:
        print(path, file=sys.stderr)
    print("research use only", file=sys.stderr)
    if args.json:
        print(json.dumps(json.loads(numbers_json(name, numbers))))
