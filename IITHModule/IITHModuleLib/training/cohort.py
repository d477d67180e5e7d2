"""Patients for protocols that select features: a feature table joined with outcomes and clinical columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from SubregionHabitatLib.errors import InputError

from ..cell_values import number, with_points
from ..feature_values import CURVE_IMAGE, phase_number
from ..heterogeneity.exam_table import ExamTable, read_exam_table
from ..heterogeneity.feature_matrix import FeatureKey
from ..kinetic_curves import STATISTICS
from ..table_file import TextTable, is_missing, read_text_table
from .recipe import ClinicalColumn, Recipe
from .table import count

_LOG_VOLUME = FeatureKey("lesion", "kinetic", "kinetic_size_LogVolume")


@dataclass(frozen=True)
class Cohort:
    """N exams with outcome. values (N, P) of ``keys``, clinical (N, Q) of ``clinical_names``, NaN where missing; event
    (N,) 0/1; time_days (N,) or None; group (N,) number of the patient: exams of one patient are never parted; blocks
    (P,) which part of the features a column belongs to; log_volume (N,): of the lesion, where the table has it;
    left_out: a sentence per reason."""

    keys: tuple[FeatureKey, ...] = field(repr=False)
    values: np.ndarray = field(repr=False)
    clinical_names: tuple[str, ...]
    clinical: np.ndarray = field(repr=False)
    event: np.ndarray = field(repr=False)
    time_days: np.ndarray | None = field(repr=False)
    group: np.ndarray = field(repr=False)
    blocks: np.ndarray = field(repr=False)
    left_out: tuple[str, ...] = ()
    preset: str = ""
    preset_digest: str = ""
    log_volume: np.ndarray | None = field(default=None, repr=False)

    @property
    def n(self) -> int:
        return len(self.event)

    def take(self, rows: np.ndarray, group: np.ndarray | None = None) -> Cohort:
        """These rows; ``group`` numbers the patients anew, for rows drawn with repeats."""
        return self._with(
            values=self.values[rows],
            clinical=self.clinical[rows],
            event=self.event[rows],
            time_days=None if self.time_days is None else self.time_days[rows],
            group=self.group[rows] if group is None else group,
            log_volume=None if self.log_volume is None else self.log_volume[rows],
        )

    def columns(self, chosen: np.ndarray) -> Cohort:
        """Only these features (a mask or numbers)."""
        index = np.arange(len(self.keys))[chosen]
        return self._with(
            keys=tuple(self.keys[i] for i in index), values=self.values[:, index], blocks=self.blocks[index]
        )

    def shuffled(self, rng: np.random.Generator) -> Cohort:
        """The outcomes dealt out anew among the patients, so that nothing can be learned."""
        patients, first = np.unique(self.group, return_index=True)
        drawn = first[rng.permutation(patients.size)][np.searchsorted(patients, self.group)]
        return self._with(event=self.event[drawn], time_days=None if self.time_days is None else self.time_days[drawn])

    def _with(self, **parts) -> Cohort:
        return Cohort(**({name: getattr(self, name) for name in self.__dataclass_fields__} | parts))


def read_cohort(
    recipe: Recipe, features: Path, outcomes: Path, visits: Sequence[str] | None = None, required: Sequence = ()
) -> Cohort:
    """Join the feature table with the outcome table and keep the features that the recipe's patterns name.

    Outcomes belong to a patient, or to a patient and visit where the table has a column visit. required: keys that are
    kept whatever the patterns say. Raises InputError when the tables do not fit or nobody is left.
    """
    table = read_exam_table(features)
    if visits:
        table = _of_visits(table, visits)
    keys, values = table.keys, table.values
    if recipe.wants_curves or any(k.image == CURVE_IMAGE for k in required):
        keys, values = with_curves(keys, values)
    if required:
        place = {key: i for i, key in enumerate(keys)}
        lacking = [str(key) for key in required if key not in place]
        if lacking:
            raise InputError(f"The feature table {table.source} has no {lacking[0]}; extract it as in training.")
        index, blocks = [place[key] for key in required], np.zeros(len(required), dtype=int)
    else:
        found = [recipe.block_of(key) for key in keys]
        index = [i for i, block in enumerate(found) if block is not None]
        blocks = np.array([found[i] for i in index], dtype=int)
    if not index and any(recipe.blocks):
        asked = ", ".join("|".join(p) for block in recipe.blocks for p in block)
        raise InputError(f"The feature table {table.source} has no feature that fits {asked}; give another table.")
    rows, event, time, clinical, notes = _outcomes(recipe, table, outcomes)
    if table.n_empty:
        notes = (f"{count(table.n_empty)} of the feature table without any value", *notes)
    patients = [table.patients[i] for i in rows]
    number = {name: k for k, name in enumerate(dict.fromkeys(patients))}
    return Cohort(
        keys=tuple(keys[i] for i in index),
        values=values[np.ix_(rows, index)] if index else np.empty((len(rows), 0)),
        clinical_names=tuple(v.name for v in recipe.clinical),
        clinical=clinical,
        event=event,
        time_days=time,
        group=np.array([number[name] for name in patients]),
        blocks=blocks,
        left_out=notes,
        preset=table.preset,
        preset_digest=table.preset_digest,
        log_volume=values[rows, keys.index(_LOG_VOLUME)] if _LOG_VOLUME in keys else None,
    )


def _of_visits(table: ExamTable, visits: Sequence[str]) -> ExamTable:
    keep = [i for i, visit in enumerate(table.visits) if visit in visits]
    if not keep:
        raise InputError(f"The table {table.source} has no visit {' or '.join(visits)}; check --visits.")
    return ExamTable(
        tuple(table.patients[i] for i in keep), tuple(table.visits[i] for i in keep), table.keys, table.values[keep],
        table.preset, table.preset_digest, table.n_empty, table.source,
    )  # fmt: skip


def with_curves(keys: Sequence[FeatureKey], values: np.ndarray) -> tuple[tuple[FeatureKey, ...], np.ndarray]:
    """Keys and values (N, P) with the kinetic-curve features of every feature that all phases have.

    The same numbers as ``kinetic_curves.kinetic_curve_features``: biased moments, kurtosis not excess, variance from 2,
    skewness from 3 and kurtosis from 4 phases on (three values have a kurtosis of 1.5 whatever they are). Exams with
    fewer phases than others are refused: their curves do not compare.
    """
    curves: dict[tuple[str, str], dict[int, int]] = {}
    for i, key in enumerate(keys):
        phase = phase_number(key.image)
        if phase is not None:
            curves.setdefault((key.region, key.feature), {})[phase] = i
    if not curves:
        return tuple(keys), values
    n_phases = max(len(c) for c in curves.values())
    every = {name: c for name, c in curves.items() if len(c) == n_phases}
    places = np.array([[c[t] for t in sorted(c)] for c in every.values()])
    empty = np.isnan(values[:, places]).all(axis=1)
    if (empty.any(axis=1) & ~np.isnan(values[:, places]).all(axis=(1, 2))).any() and _counts_differ(values, places):
        raise InputError(
            "The exams differ in their number of phases, so features of curves over the phases do not compare; train "
            "on exams with the same phases."
        )
    new_keys, new_values = list(keys), [values]
    stack = values[:, places]  # N, curves, phases
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        mean = stack.mean(axis=2)
        centered = stack - mean[..., None]
        largest = np.abs(centered).max(axis=2)
        constant = largest <= 1e-12 * np.abs(stack).max(axis=2)
        unit = centered / largest[..., None]
        second = (unit**2).mean(axis=2)
        found = {
            "mean": mean,
            "variance": np.where(constant, 0.0, (centered**2).mean(axis=2)) if n_phases > 1 else None,
            "skewness": np.where(constant, np.nan, (unit**3).mean(axis=2) / second**1.5) if n_phases > 2 else None,
            "kurtosis": np.where(constant, np.nan, (unit**4).mean(axis=2) / second**2) if n_phases > 3 else None,
        }
    for statistic in STATISTICS:
        if found[statistic] is not None:
            new_keys += [FeatureKey(r, CURVE_IMAGE, f"{f}_curve_{statistic}") for r, f in every]
            new_values.append(np.where(np.isfinite(found[statistic]), found[statistic], np.nan))
    return tuple(new_keys), np.hstack(new_values)


def _counts_differ(values: np.ndarray, places: np.ndarray) -> bool:
    """True where some exam lacks a whole phase that others have."""
    has = np.isfinite(values[:, places]).any(axis=1)  # N, phases
    some = has.any(axis=1)
    return bool(len({int(n) for n in has[some].sum(axis=1)}) > 1)


def _outcomes(recipe: Recipe, table: ExamTable, path: Path):
    """Rows of the table that can be used, their event, time and clinical values, and notes on the others."""
    outcomes, patient_column = _read_outcomes(path)
    columns = [recipe.outcome["event"], recipe.outcome.get("time_days")]
    columns = [c for c in columns if c] + [v.column for v in recipe.clinical]
    for column in columns:
        if column not in outcomes.columns:
            raise InputError(f"The outcome table {path} has no column {column}; name the column as the protocol does.")
    visits = outcomes.columns.get("visit")
    by_exam: dict[tuple[str, str], int] = {}
    by_patient: dict[str, list[int]] = {}
    for i, patient in enumerate(outcomes.columns[patient_column]):
        by_patient.setdefault(patient, []).append(i)
        if visits is not None and by_exam.setdefault((patient, visits[i]), i) != i:
            raise InputError(f"The outcome table {path} has the patient {patient} with one visit twice; keep one row.")
    cells = {c: _numbers(outcomes.columns[c], c, path) for c in dict.fromkeys(columns)}
    places = []
    for patient, visit in zip(table.patients, table.visits, strict=True):
        rows = by_patient.get(patient, [])
        place = by_exam.get((patient, visit))
        if place is None and rows:
            if len(rows) > 1 and len({tuple(cells[c][i] for c in cells) for i in rows}) > 1:
                raise InputError(
                    f"The outcome table {path} has several rows that differ for {patient}; keep one row per patient, "
                    "or tell them apart by a column visit."
                )
            place = rows[0]
        places.append(place)
    return _usable(recipe, cells, places, path)


def _usable(recipe: Recipe, cells: dict[str, list[float]], places: list[int | None], path: Path):
    reasons: dict[str, int] = {}
    rows, event, time, clinical = [], [], [], []
    time_column = recipe.outcome.get("time_days")
    for row, place in enumerate(places):
        why = "no row in the outcome table" if place is None else ""
        if not why and np.isnan(cells[recipe.outcome["event"]][place]):
            why = f"{recipe.outcome['event']} is empty"
        if not why and cells[recipe.outcome["event"]][place] not in (0, 1):
            raise InputError(
                f"The column {recipe.outcome['event']} of {path} holds values other than 0 and 1; recode it."
            )
        if not why and time_column and not cells[time_column][place] > 0:
            why = f"{time_column} is empty, 0 or negative"
        if not why:
            values = [_clinical_value(v, cells[v.column][place]) for v in recipe.clinical]
            lacking = [v.name for v, x in zip(recipe.clinical, values, strict=True) if np.isnan(x)]
            why = f"{lacking[0]} is missing" if lacking else ""
        if why:
            reasons[why] = reasons.get(why, 0) + 1
            continue
        rows.append(row)
        event.append(cells[recipe.outcome["event"]][place])
        time.append(cells[time_column][place] if time_column else 0.0)
        clinical.append(values)
    if not rows or not 0 < sum(event) < len(event):
        raise InputError(
            f"{count(len(rows), 'exam')} with features and outcome and {int(sum(event))} events are left of "
            f"{len(places)}; a model needs both. Check that {path} names the same patients."
        )
    notes = tuple(f"{count(n)}: {why}" for why, n in reasons.items())
    return (
        np.array(rows),
        np.array(event),
        np.array(time) if time_column else None,
        np.array(clinical, dtype=float).reshape(len(rows), len(recipe.clinical)),
        notes,
    )


def _clinical_value(value: ClinicalColumn, number: float) -> float:
    return number if value.at_least is None or np.isnan(number) else float(number >= value.at_least)


def _read_outcomes(path: Path) -> tuple[TextTable, str]:
    """The outcome table and the name of its patient column."""
    table = read_text_table(path)
    for name in ("patient", "patient_id"):
        if name in table.columns:
            return table, name
    raise InputError(f"The outcome table {path} has no column patient or patient_id; add one.")


def _numbers(cells: Sequence[str], column: str, path: Path) -> list[float]:
    numbers = []
    for cell in with_points(cells, column, str(path)):
        value = np.nan if is_missing(cell) else number(cell)
        if value is None:
            raise InputError(f"The column {column} of {path} holds '{cell[:30]}', no number; correct it.")
        numbers.append(value)
    return numbers
