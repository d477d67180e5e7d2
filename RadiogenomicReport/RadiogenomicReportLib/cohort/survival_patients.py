"""Who enters a survival analysis: outcome and every variable of the models known; the rest counted with its reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from SubregionHabitatLib.errors import InputError

from ..clinical.patient_table import PatientTable
from ..clinical.standard_variables import OUTCOMES
from ..clinical.variable_values import Variable
from .design import Design, build_design

MIN_PATIENTS, MIN_EVENTS = 20, 5


@dataclass(frozen=True)
class Outcome:
    """times in days and events of 0/1, NaN where unknown (N of the table); label: the name of the outcome."""

    times: np.ndarray
    events: np.ndarray
    label: str
    time_name: str
    event_name: str


@dataclass(frozen=True)
class SurvivalPatients:
    """The complete rows. rows (table rows,) of bool; times in days; left_out: sentences with counts; variables: all
    that the analysis names, over the whole table."""

    rows: np.ndarray
    times: np.ndarray
    events: np.ndarray
    design: Design
    variables: dict[str, Variable]
    left_out: tuple[str, ...]
    notes: tuple[str, ...]
    usable_outcome: np.ndarray


def read_outcome(table: PatientTable, time: str | None, event: str | None, unit: str | None) -> Outcome:
    """The outcome by column names, or the only standard one that the tables hold. Raises InputError."""
    label = "event-free survival"
    if time is None or event is None:
        if (time, event) != (None, None):
            raise InputError("Name both --outcome-time and --event, or neither where the tables hold a known outcome.")
        known = {*table.mapping.columns, *table.recognized()}
        found = [key for key in OUTCOMES if {f"{key}_time", f"{key}_event"} <= known]
        if len(found) != 1:
            what = "several outcomes" if found else "no outcome that is recognized"
            raise InputError(f"The tables hold {what}; name the columns with --outcome-time and --event.")
        time, event, label = f"{found[0]}_time", f"{found[0]}_event", OUTCOMES[found[0]]
    else:
        stem = time.removesuffix("_time")
        label = OUTCOMES.get(stem, label)
    times, events = table.variable_as(time, "time", unit), table.variable_as(event, "event", None)
    return Outcome(times.values, events.values, label, time, event)


def select_patients(table: PatientTable, outcome: Outcome, names: Sequence[str]) -> SurvivalPatients:
    """Patients with the outcome and all named variables. Raises InputError when too few or no events are left."""
    usable, left_out = np.ones(len(table), dtype=bool), []

    def drop(bad: np.ndarray, reason: str) -> None:
        n = int((bad & usable).sum())
        if n:
            left_out.append(f"{n:,} {'patient' if n == 1 else 'patients'}: {reason}")
        usable[bad] = False

    drop(~np.isfinite(outcome.times), f"{outcome.time_name} is missing")
    drop(~np.isfinite(outcome.events), f"{outcome.event_name} is missing")
    drop(outcome.times <= 0, f"{outcome.time_name} is 0, which tells nothing")
    with_outcome = usable.copy()
    variables = {name: table.variable(name) for name in names}
    for variable in variables.values():
        drop(~variable.known, f"{variable.label} is missing")
    n, n_events = int(usable.sum()), int(outcome.events[usable].sum())
    if n < MIN_PATIENTS or n_events < MIN_EVENTS or n_events == n:
        raise InputError(
            f"{n} patients with {n_events} events are left after removing incomplete rows; a survival analysis needs "
            f"at least {MIN_PATIENTS} patients, {MIN_EVENTS} events and someone without one. Check the columns named."
        )
    return SurvivalPatients(
        rows=usable,
        times=outcome.times[usable],
        events=outcome.events[usable],
        design=build_design(list(variables.values()), usable),
        variables=variables,
        left_out=tuple(left_out),
        notes=tuple(note for v in variables.values() for note in v.notes),
        usable_outcome=with_outcome,
    )
