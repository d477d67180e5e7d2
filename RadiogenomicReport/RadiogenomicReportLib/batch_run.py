"""A cohort of exams to one folder of results and two tables, in processes here or on a Dask cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from SubregionHabitatLib.errors import InputError

from .batch_folder import EXAMS, batch_folder
from .batch_local import default_jobs, run_here, run_local
from .batch_names import exam_names
from .batch_tables import COHORT_TABLE, FEATURES_TABLE, RESULT_COLUMNS, CohortEntry, check_result, write_tables
from .batch_task import FAILED, KEPT, BatchTask, TaskOutcome, failed, is_done, task_parameters
from .case_pipeline import CaseRequest


@dataclass(frozen=True)
class CohortExam:
    """One exam of a cohort. request: what to do, its ``out`` is not used; None where ``fault`` says why there is none;
    carried: column -> text that goes into the table as it is."""

    patient: str
    visit: str
    request: CaseRequest | None
    fault: str = ""
    carried: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class CohortOutcome:
    """folder: with EXAMS, COHORT_TABLE and FEATURES_TABLE in it; outcomes: one per exam, in their order."""

    folder: Path
    outcomes: tuple[TaskOutcome, ...]

    def n(self, status: str) -> int:
        """Number of exams with this status."""
        return sum(outcome.status == status for outcome in self.outcomes)


class CohortProgress(Protocol):
    def begin(self, total: int, kept: int) -> None:
        """total: exams of the cohort; kept: those whose earlier results hold, which do not end once more."""

    def ended(self, outcome: TaskOutcome) -> None:
        """One more exam was analyzed or failed. May raise to end the run."""


class SilentCohort:
    """Reports nothing."""

    def begin(self, total: int, kept: int) -> None:
        return

    def ended(self, outcome: TaskOutcome) -> None:
        return


def run_batch(
    exams: Sequence[CohortExam],
    out: Path,
    *,
    carried: Sequence[str] = (),
    jobs: int | None = None,
    scheduler: str | None = None,
    resume: bool = False,
    progress: CohortProgress | None = None,
) -> CohortOutcome:
    """Analyze every exam into ``out/exams`` and write ``out/cohort.csv`` and ``out/features_wide.csv.gz``.

    An exam that fails is a row with its reason; the others go on. jobs: processes at a time (default: the cores, at
    most 8; 0: one exam after another in this process); scheduler: address of a Dask scheduler instead. resume: keep
    results that were made from the same files by the same parameters. The tables depend on the exams and their order
    alone: a run that was killed and resumed writes the same bytes. carried: names of the carried columns in the order
    of the table. Raises InputError where nothing can be started: a folder that cannot be used, a preset or model that
    does not exist, no scheduler.
    """
    progress = progress or SilentCohort()
    jobs = default_jobs() if jobs is None else jobs
    if jobs < 0:
        raise InputError(f"--jobs {jobs} is not possible; give 1 or more, or 0 to work in this process alone.")
    names = _names(exams, carried)
    with batch_folder(out, resume) as folder:
        tasks = _tasks(exams, names, folder)
        for table in (COHORT_TABLE, FEATURES_TABLE):
            (folder / table).unlink(missing_ok=True)  # tables are to agree with the results that lie beside them
        found = {name: failed(name, exam.fault) for name, exam in zip(names, exams, strict=True) if not exam.request}
        kept = _kept(tasks, max(jobs, 1))
        progress.begin(len(exams), len(kept))

        def report(outcome: TaskOutcome) -> None:
            found[outcome.name] = outcome
            progress.ended(outcome)

        for outcome in list(found.values()):
            report(outcome)
        found |= kept
        todo = [task for task in tasks if task.name not in found]
        if todo and scheduler:
            from .batch_dask import run_on_scheduler

            run_on_scheduler(todo, scheduler, report)
        elif todo and jobs == 0:
            run_here(todo, report)
        elif todo:
            run_local(todo, jobs, report)
        outcomes = tuple(_checked(found[name], folder) for name in names)
        write_tables(_entries(exams, outcomes, folder), carried, folder)
    return CohortOutcome(folder, outcomes)


def _names(exams: Sequence[CohortExam], carried: Sequence[str]) -> list[str]:
    taken = sorted(set(carried) & set(RESULT_COLUMNS))
    if taken:
        raise InputError(f"The cohort's column {taken[0]} has the name of a column of the results; rename it.")
    names = exam_names([(exam.patient, exam.visit) for exam in exams])
    if len(set(names)) < len(names):
        raise InputError("Two exams of the cohort have the same patient and visit; tell them apart by the visit.")
    return names


def _tasks(exams: Sequence[CohortExam], names: Sequence[str], folder: Path) -> list[BatchTask]:
    cache: dict = {}
    return [
        BatchTask(
            name,
            exam.patient,
            exam.visit,
            replace(exam.request, out=folder / EXAMS / name),
            task_parameters(exam.request, cache),
        )
        for name, exam in zip(names, exams, strict=True)
        if exam.request is not None
    ]


def _kept(tasks: Sequence[BatchTask], jobs: int) -> dict[str, TaskOutcome]:
    """The exams whose results hold. Reading and hashing their files is what takes time here."""
    with ThreadPoolExecutor(jobs) as pool:
        done = pool.map(is_done, tasks)
        return {task.name: TaskOutcome(task.name, KEPT) for task, holds in zip(tasks, done, strict=True) if holds}


def _checked(outcome: TaskOutcome, folder: Path) -> TaskOutcome:
    """An outcome whose result cannot be put into the tables is a failure too."""
    if outcome.status != FAILED:
        try:
            check_result(folder / EXAMS / outcome.name)
        except InputError as error:
            return failed(outcome.name, str(error))
    return outcome


def _entries(exams: Sequence[CohortExam], outcomes: Sequence[TaskOutcome], folder: Path) -> list[CohortEntry]:
    return [
        CohortEntry(
            outcome.name,
            exam.patient,
            exam.visit,
            exam.carried,
            None if outcome.status == FAILED else folder / EXAMS / outcome.name,
            outcome.reason,
        )
        for exam, outcome in zip(exams, outcomes, strict=True)
    ]
