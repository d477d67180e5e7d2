"""``iith pathology``: tables of cells or tiles to one row of features per patient."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def add_parser(subparsers: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Add the command to the parser of ``iith``."""
    parser = subparsers.add_parser(
        "pathology",
        help="tables of cells or tiles to one row of features per patient",
        description="Aggregate measurements of cells or tiles (QuPath's tables, HoVer-Net's JSON) per patient and "
        "class: minimum, quartiles, maximum, SD, MAD, and morphological heterogeneity. Research use only.",
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="CSV, TSV (also gzip) or HoVer-Net JSON")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="result folder to write")
    parser.add_argument("--patient-column", metavar="NAME", help="default: a patient column, else Image")
    parser.add_argument(
        "--class-column", metavar="NAME", help="default: Classification, Class or Type where there is one"
    )
    parser.add_argument("--barcode-length", type=int, metavar="N", help="patient = first N characters")
    parser.add_argument("--min-cells", type=int, default=30, help="objects that a class needs (default 30)")
    parser.add_argument("--beside", type=Path, metavar="TABLE", help="a pathologist's variables, one row per patient")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier result in DIR")
    return parser


def run(args: argparse.Namespace) -> int:
    """Aggregate, write and summarize; InputError when a file or the target does not fit."""
    from SubregionHabitatLib.errors import InputError

    from ..clinical.patient_table import read_patient_table
    from ..pathology.cell_tables import CellMeasurements, read_cell_table
    from ..pathology.nuclei import read_hovernet
    from ..pathology.patient_aggregates import RECORD, patient_rows, write_pathology
    from ..result_folder import check_target

    if args.min_cells < 2:
        raise InputError("--min-cells is a number of at least 2.")
    if args.barcode_length is not None and args.barcode_length < 1:
        raise InputError("--barcode-length is a number of characters of at least 1.")
    check_target(args.out, args.overwrite, RECORD)
    cells = CellMeasurements()
    for path in args.files:
        if path.suffix.lower() == ".json":
            read_hovernet(path, cells, args.barcode_length)
        else:
            read_cell_table(path, cells, args.patient_column, args.class_column, args.barcode_length)
    rows, reasons = patient_rows(cells, args.min_cells)
    beside = read_patient_table([args.beside]) if args.beside else None
    folder = write_pathology(args.out, cells, rows, reasons, args.min_cells, beside, args.overwrite)
    if args.json:
        print((folder / RECORD[0]).read_text(encoding="utf-8"))
        return 0
    for text in cells.notes[:5]:
        print(f"note: {text}", file=sys.stderr)
    print(f"{len(rows)} patients; research use only", file=sys.stderr)
    print(folder)
    return 0
