"""Feature tables of simulated patients as files, in the forms that `iith batch` and `iith features` write."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np

from IITHModuleLib.heterogeneity.feature_matrix import FeatureMatrix
from RadiogenomicReportLib.feature_table import EXAM_COLUMNS
from RadiogenomicReportLib.table_writer import write_table


def write_wide(path: Path, visits: dict[str, FeatureMatrix]) -> Path:
    """One row per patient and visit, patient by patient."""
    first = next(iter(visits.values()))
    header = (*EXAM_COLUMNS, *("|".join(key) for key in first.keys))
    rows = [
        [f"{name}_{visit}", name, visit, matrix.preset, matrix.preset_digest, "native", *_cells(matrix.values[i])]
        for i, name in enumerate(first.patients)
        for visit, matrix in visits.items()
    ]
    write_table(path, header, rows)
    return path


def write_tidy(path: Path, visits: dict[str, FeatureMatrix]) -> Path:
    """One row per value."""
    rows = []
    for visit, matrix in visits.items():
        for name, values in zip(matrix.patients, matrix.values, strict=True):
            made_by = [f"{name}_{visit}", name, visit, matrix.preset, matrix.preset_digest, "native"]
            rows += [
                [*made_by, *key, cell, "1", "" if cell else "flat"]
                for key, cell in zip(matrix.keys, _cells(values), strict=True)
            ]
    write_table(path, (*EXAM_COLUMNS, "region", "image", "feature", "value", "unit", "reason"), rows)
    return path


def write_result(folder: Path, matrix: FeatureMatrix, row: int, ftv_cc: float, diameter_mm: float) -> Path:
    """What `iith score` reads of a result folder."""
    folder.mkdir(parents=True)
    case = {
        "schema": "iith-case/1",
        "parameters": {
            "radiomics": {"preset": matrix.preset, "preset_digest": matrix.preset_digest, "engine": "native"}
        },
        "lesion": {"ftv_cc": ftv_cc, "longest_diameter_mm": diameter_mm},
    }
    (folder / "case.json").write_text(json.dumps(case))
    with (folder / "features.csv").open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["region", "image", "feature", "value", "unit", "reason"])
        for key, cell in zip(matrix.keys, _cells(matrix.values[row]), strict=True):
            writer.writerow([*key, cell, "1", "" if cell else "flat"])
    return folder


def _cells(values: np.ndarray) -> list[str]:
    return ["" if np.isnan(v) else repr(float(v)) for v in values]
