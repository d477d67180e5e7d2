"""Reader agreement of a cohort to a folder: readings, agreement of every feature, list of stable features."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from IITHModuleLib.heterogeneity.feature_matrix import FeatureMatrix
from IITHModuleLib.heterogeneity.reader_agreement import MIN_PATIENTS, ReaderAgreement, reader_agreement
from IITHModuleLib.heterogeneity.stable_features import (
    THRESHOLD,
    StableFeatures,
    agreement_csv,
    load_stable_features,
    stable_features,
    stable_in_all,
)
from SubregionHabitatLib.errors import InputError

from .batch_local import run_local
from .batch_task import FAILED, TaskOutcome
from .contour_readings import ContourTask, Reading, run_contour_task
from .feature_table import EXAM_COLUMNS
from .table_writer import number_cell, write_table

AGREEMENT_TABLE = "agreement.csv"
STABLE_LIST = "stable_features.json"
CONTOUR_TABLE = "contours.csv"
READINGS = "readings"
CONTOUR_COLUMNS = ("exam", "patient", "visit", "reading", "status", "reason", "volume_cc", "dice")


@dataclass(frozen=True)
class AgreementChoice:
    """Which features count as stable; see stable_features. also: lists that must hold a feature too."""

    form: str = "ICC(2,1)"
    threshold: float = THRESHOLD
    use_lower_bound: bool = False
    inclusive: bool = False
    confidence: float = 0.95
    min_patients: int = MIN_PATIENTS
    also: tuple[Path, ...] = ()


@dataclass(frozen=True)
class CohortReadings:
    """readings: name -> features of every exam by that reader or contour, in the order of the cohort; exams: name ->
    (patient, visit) of all of them; outcomes: what became of each, in the same order; engine: of the features."""

    readings: dict[str, FeatureMatrix]
    exams: Mapping[str, tuple[str, str]]
    outcomes: tuple[TaskOutcome, ...]
    engine: str

    def failures(self) -> list[tuple[str, str]]:
        """(exam, reason) of every exam that could not be measured."""
        return [(o.name, o.reason) for o in self.outcomes if o.status == FAILED]


def measure_cohort(
    exams: Mapping[str, tuple[str, str]],
    tasks: Sequence[ContourTask],
    names: Sequence[str],
    jobs: int,
    faults: Sequence[TaskOutcome] = (),
    report: Callable[[TaskOutcome], None] = lambda outcome: None,
) -> CohortReadings:
    """Measure the contours of every exam, in processes of their own; names: of the readings.

    exams: name -> (patient, visit) in the order of the cohort; faults: those of them that failed before they could
    begin. Raises InputError when no exam could be measured.
    """
    found: dict[str, TaskOutcome] = {}

    def ended(outcome: TaskOutcome) -> None:
        found[outcome.name] = outcome
        report(outcome)

    for outcome in faults:
        ended(outcome)
    run_local(tasks, jobs, ended, run_contour_task)
    done = [name for name in exams if found[name].status != FAILED]
    if not done:
        first = next(iter(found.values()))
        raise InputError(f"None of the {len(found)} exams could be measured; the first: {first.reason}")
    readings = {name: _matrix(done, [found[exam].readings[i] for exam in done]) for i, name in enumerate(names)}
    return CohortReadings(readings, exams, tuple(found[name] for name in exams), found[done[0]].readings[0].engine)


def find_agreement(
    readings: Sequence[FeatureMatrix], choice: AgreementChoice, source: str, details: dict
) -> tuple[ReaderAgreement, StableFeatures]:
    """Agreement of every feature, and the list of those that pass; InputError where too little is in common."""
    also = [load_stable_features(path) for path in choice.also]
    agreement = reader_agreement(readings, choice.confidence, choice.min_patients)
    stable = stable_features(
        agreement, choice.form, choice.threshold, choice.use_lower_bound, choice.inclusive, source, details
    )
    return agreement, stable_in_all([stable, *also]) if also else stable


def write_agreement(folder: Path, agreement: ReaderAgreement, stable: StableFeatures) -> None:
    """The table of every feature and the list that training reads."""
    (folder / AGREEMENT_TABLE).write_text(agreement_csv(agreement), encoding="utf-8")
    stable.save(folder / STABLE_LIST)


def write_readings(folder: Path, measured: CohortReadings) -> None:
    """One feature table per reading, wide as of `iith features`, and what became of every contour."""
    for name, matrix in measured.readings.items():
        made_by = (matrix.preset, matrix.preset_digest, measured.engine)
        rows = (
            [exam, *measured.exams[exam], *made_by, *("" if np.isnan(v) else number_cell(float(v)) for v in values)]
            for exam, values in zip(matrix.patients, matrix.values, strict=True)
        )
        header = (*EXAM_COLUMNS, *("|".join(key) for key in matrix.keys))
        write_table(folder / READINGS / f"{name}.csv.gz", header, rows)
    write_table(folder / CONTOUR_TABLE, CONTOUR_COLUMNS, _contour_rows(measured))


def _contour_rows(measured: CohortReadings) -> Iterator[list[str]]:
    for outcome in measured.outcomes:
        head = [outcome.name, *measured.exams[outcome.name]]
        if outcome.status == FAILED:
            yield [*head, "", outcome.status, outcome.reason, "", ""]
            continue
        for name, reading in zip(measured.readings, outcome.readings, strict=True):
            yield [*head, name, outcome.status, "", number_cell(reading.volume_cc), number_cell(reading.dice)]


def _matrix(exams: Sequence[str], readings: Sequence[Reading]) -> FeatureMatrix:
    keys = tuple(dict.fromkeys(key for reading in readings for key in reading.keys))
    column = {key: i for i, key in enumerate(keys)}
    values = np.full((len(exams), len(keys)), np.nan)
    for row, reading in enumerate(readings):
        values[row, [column[key] for key in reading.keys]] = reading.values
    return FeatureMatrix(tuple(exams), keys, values, readings[0].preset, readings[0].preset_digest)
