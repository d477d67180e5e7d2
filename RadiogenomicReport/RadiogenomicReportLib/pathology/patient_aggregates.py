"""One row per patient from measurements of cells or tiles: how large, and how varied, each feature is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from SubregionHabitatLib.errors import InputError

from ..case_file import RESEARCH_USE, plain
from ..clinical.patient_table import PatientTable
from ..cohort.provenance import software_versions
from ..cohort.survival_folder import cell
from ..result_folder import complete_or_absent
from ..table_writer import write_table
from .cell_tables import CellMeasurements

SCHEMA = "iith-pathology/1"
RECORD = ("pathology.json", SCHEMA)
MIN_CELLS = 30
MIN_PATIENTS_FOR_MITH = 10
STATISTICS = ("min", "q1", "median", "q3", "max", "sd", "mad")


def aggregate(values: np.ndarray) -> dict[str, float]:
    """min, quartiles, max, sd (ddof 1) and mad (1.4826 times the median absolute deviation) of values (N,), N >= 2."""
    low, q1, median, q3, high = np.percentile(values, [0, 25, 50, 75, 100])
    mad = 1.4826 * np.median(np.abs(values - median))
    numbers = (low, q1, median, q3, high, values.std(ddof=1), mad)
    return dict(zip(STATISTICS, (float(v) for v in numbers), strict=True))


def patient_rows(
    cells: CellMeasurements, min_cells: int = MIN_CELLS
) -> tuple[dict[str, dict[str, float | None]], dict]:
    """patient -> "class|feature|statistic" -> value, and why values are missing.

    A class with fewer than ``min_cells`` objects of a patient gives no statistics. "class|mith" is the patient's
    morphological heterogeneity: the SD of each feature within the patient, as a z score over the patients, averaged
    over the features; it needs ten patients.
    """
    rows: dict[str, dict[str, float | None]] = {}
    reasons: dict[str, int] = {}
    for patient, classes in cells.values.items():
        row = rows.setdefault(patient, {})
        for name, count in cells.n_cells[patient].items():
            row[f"{name}|objects"] = float(count)
        for name, features in classes.items():
            for feature, parts in features.items():
                values = np.concatenate(parts)
                if values.size < max(2, min_cells):
                    reason = f"{name}: fewer than {min_cells} objects"
                    reasons[reason] = reasons.get(reason, 0) + 1
                    continue
                for statistic, value in aggregate(values).items():
                    row[f"{name}|{feature}|{statistic}"] = value
    if not rows:
        raise InputError("The files hold no object with a measurement; give tables of cells or tiles.")
    reasons |= _add_mith(rows)
    return rows, reasons


def _add_mith(rows: dict[str, dict[str, float | None]]) -> dict[str, int]:
    classes = sorted({key.split("|")[0] for row in rows.values() for key in row})
    reasons = {}
    for name in classes:
        keys = sorted({k for row in rows.values() for k in row if k.startswith(f"{name}|") and k.endswith("|sd")})
        table = np.array([[row.get(k, np.nan) for k in keys] for row in rows.values()], dtype=float).reshape(
            len(rows), -1
        )
        complete = np.isfinite(table).all(axis=1) if table.size else np.zeros(len(rows), dtype=bool)
        if complete.sum() < MIN_PATIENTS_FOR_MITH:
            reasons[f"{name}|mith: needs {MIN_PATIENTS_FOR_MITH} patients with every feature"] = len(rows)
            continue
        mean, sd = table[complete].mean(axis=0), table[complete].std(axis=0, ddof=1)
        varied = sd > 0
        for patient, values, whole in zip(rows, table, complete, strict=True):
            if whole and varied.any():
                rows[patient][f"{name}|mith"] = float(((values - mean) / np.where(varied, sd, 1))[varied].mean())
    return reasons


def write_pathology(
    target: Path,
    cells: CellMeasurements,
    rows: dict,
    reasons: dict,
    min_cells: int,
    beside: PatientTable | None,
    overwrite: bool,
) -> Path:
    """Write pathology.csv (one row per patient, a pathologist's variables beside where given) and pathology.json.

    Raises InputError where the folder cannot be written.
    """
    names = sorted({k for row in rows.values() for k in row})
    extra = [] if beside is None else [c for c in beside.cells if c != beside.key]
    place = {} if beside is None else {p: k for k, p in enumerate(beside.patients)}
    lines = []
    for patient in sorted(rows):
        more = [beside.cells[c][2][place[patient]] if patient in place else "" for c in extra]
        lines.append([patient, *more, *(cell(rows[patient].get(n)) for n in names)])
    content = {
        "schema": SCHEMA,
        "research_use": RESEARCH_USE,
        "parameters": {"min_cells": min_cells, "statistics": list(STATISTICS)},
        "inputs": cells.sources + ([] if beside is None else list(beside.sources)),
        "notes": list(dict.fromkeys(cells.notes)),
        "missing": reasons,
        "software": software_versions(),
    }
    with complete_or_absent(target, overwrite, RECORD) as folder:
        write_table(folder / "pathology.csv", ["patient", *extra, *names], lines)
        text = json.dumps(plain(content), indent=1, allow_nan=False, ensure_ascii=False)
        (folder / RECORD[0]).write_text(text + "\n", encoding="utf-8")
    return Path(target)
