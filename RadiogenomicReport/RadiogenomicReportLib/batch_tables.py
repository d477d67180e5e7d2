"""The tables of a cohort: what became of every exam with its key measurements, and the features of all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from IITHModuleLib.untrusted_json import read_json
from SubregionHabitatLib.errors import InputError

from .feature_table import MAX_CASE_BYTES, TableExam, feature_columns, write_feature_table
from .result_folder import CASE_FILE
from .table_writer import number_cell, write_table

COHORT_TABLE = "cohort.csv"
FEATURES_TABLE = "features_wide.csv.gz"
_BACKGROUND = ("breast_cc", "fibroglandular_cc", "mean_percent", "lesion_to_background")
RESULT_COLUMNS = ("result", "patient", "visit", "status", "reason")


@dataclass(frozen=True)
class CohortEntry:
    """One line of the tables. folder: the result, None for an exam that failed for ``reason``; carried: column -> text
    as the cohort file has it."""

    name: str
    patient: str
    visit: str
    carried: Mapping[str, str]
    folder: Path | None
    reason: str = ""


def measurements(folder: Path) -> dict[str, str]:
    """Column -> cell of the key measurements of a result; raises InputError, naming it, where it is damaged."""
    case, _ = read_json(folder / CASE_FILE, "case file", MAX_CASE_BYTES)
    try:
        return _cells(case)
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{folder / CASE_FILE} lacks {str(error)[:80]}; analyze the exam again by `iith batch --resume`."
        ) from None


def _cells(case: dict) -> dict[str, str]:
    lesion, ring = case["lesion"], case["ring"]
    cells = {
        "n_phases": number_cell(len(case["exam"]["phases"])),
        "early_phase": number_cell(case["kinetics"]["early_phase"]),
        "late_phase": number_cell(case["kinetics"]["late_phase"]),
        "lesion_volume_cc": number_cell(lesion["volume_cc"]),
        "ftv_cc": number_cell(lesion["ftv_cc"]),
        "longest_diameter_mm": number_cell(lesion["longest_diameter_mm"]),
        "enhancing_fraction": number_cell(lesion["enhancing_fraction_first_post"]),
        **{f"habitat_{name}_cc": number_cell(cc) for name, cc in case["habitats"]["volumes_cc"].items()},
        "ring_volume_cc": number_cell(ring["volume_cc"]),
        "ring_kept_fraction": number_cell(ring["kept_fraction"]),
        **{
            f"{side['side']}_{name}": number_cell(side[name])
            for side in case["background_enhancement"]
            for name in _BACKGROUND
        },
        "features_missing": number_cell(case["features"]["n_missing"]),
        "warnings": number_cell(len(case["warnings"])),
    }
    for score in case["scores"]:
        name = f"score_{score['model_id']}"
        cells |= {
            name: number_cell(score["value"]),
            f"{name}_unit": score["unit"] or "",
            f"{name}_group": score["group"] or "",
            f"{name}_reason": score["refusal"] or "",
        }
    return cells


def write_cohort_table(entries: Sequence[CohortEntry], carried: Sequence[str], path: Path) -> None:
    """One row per exam in the given order; measured columns in the order of first appearance. No times, no paths."""
    found = [{} if entry.folder is None else measurements(entry.folder) for entry in entries]
    columns = list(dict.fromkeys(name for cells in found for name in cells))
    rows = (
        [
            entry.name,
            entry.patient,
            entry.visit,
            "failed" if entry.folder is None else "done",
            entry.reason,
            *(entry.carried.get(name, "") for name in carried),
            *(cells.get(name, "") for name in columns),
        ]
        for entry, cells in zip(entries, found, strict=True)
    )
    write_table(path, (*RESULT_COLUMNS, *carried, *columns), rows)


def check_result(folder: Path) -> None:
    """Raise InputError where a result cannot be put into the tables."""
    measurements(folder)
    feature_columns([TableExam(folder.name, folder)])


def write_tables(entries: Sequence[CohortEntry], carried: Sequence[str], folder: Path) -> None:
    """COHORT_TABLE and FEATURES_TABLE in ``folder``; the same results give the same bytes."""
    exams = [TableExam(entry.name, entry.folder, entry.patient, entry.visit) for entry in entries]
    write_feature_table(exams, folder / FEATURES_TABLE)
    write_cohort_table(entries, carried, folder / COHORT_TABLE)
