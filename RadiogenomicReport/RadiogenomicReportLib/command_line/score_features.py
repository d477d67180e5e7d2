"""``iith score`` of a feature table with a logistic or Cox model that was trained on features."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from IITHModuleLib.case_values import case_values_from_columns, column_of
from IITHModuleLib.feature_inputs import check_preset, feature_names, with_features
from IITHModuleLib.feature_values import CURVE_IMAGE, feature_key, is_feature_name
from IITHModuleLib.heterogeneity.exam_table import exam_cells, read_exam_table
from IITHModuleLib.model_file import Model
from IITHModuleLib.scoring import Score, try_score_case
from SubregionHabitatLib.errors import InputError


def score_exams(model: Model, path: Path, cohort: Path | None) -> list[tuple[str, Score | str]]:
    """(patient and visit, score or why a cell is unusable) of every exam of a table of `iith batch` or `iith features`.

    Inputs that are no features are columns of the table, or of ``cohort`` (by patient, and by visit where it has one).
    """
    table = read_exam_table(path)
    check_preset(model, table.preset, table.preset_digest)
    keys, values = table.keys, table.values
    if any(feature_key(name)[1] == CURVE_IMAGE for name in feature_names(model)):
        from IITHModuleLib.training.cohort import with_curves

        keys, values = with_curves(keys, values)
    others = [f.name for form in model.forms for f in form.features if not is_feature_name(f.name)]
    cells = _clinical_cells(path, cohort, [column_of(name) for name in others]) if others else {}
    results = []
    for patient, visit, row in zip(table.patients, table.visits, values, strict=True):
        given = cells.get((patient, visit), cells.get((patient, ""), {}))
        features = dict(zip(keys, row.tolist(), strict=True))
        results.append((f"{patient} {visit}".strip(), _score(model, others, given, features)))
    return results


def _score(model: Model, others: list[str], given: Mapping[str, str], features: Mapping) -> Score | str:
    try:
        values = case_values_from_columns(given, others)
        return try_score_case(model, with_features(model, values, features))
    except InputError as error:
        return str(error)


def _clinical_cells(path: Path, cohort: Path | None, columns: list[str]) -> dict[tuple[str, str], dict[str, str]]:
    source = path if cohort is None else cohort
    name = source.name.lower()
    if not name.endswith((".csv", ".csv.gz")):
        raise InputError(f"{source} is no CSV table; give the cohort.csv of `iith batch` or save it as CSV.")
    return exam_cells(source, columns)
