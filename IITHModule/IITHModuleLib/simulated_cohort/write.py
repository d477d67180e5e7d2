"""A simulated cohort on disk: one folder per exam and the cohort table that `iith batch` reads."""

from __future__ import annotations

import csv
import json
import os
import shutil
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from SubregionHabitatLib.errors import InputError
from SubregionHabitatLib.simulation import SimulatedExam, truth_record
from SubregionHabitatLib.volume_io import write_volume

from .distribution import QUANTITIES, LesionDistribution
from .exams import CohortExam, cohort_exam

COHORT_FILE = "cohort.csv"
COLUMNS = ("patient", "exam", "times", "injection", "voi", "lesion", "simulated", *(f"wanted_{q}" for q in QUANTITIES))


def write_cohort(
    distribution: LesionDistribution,
    folder: Path | str,
    indices: Sequence[int],
    seed: int,
    progress: Callable[[str], None] = lambda message: None,
) -> Path:
    """Write the exams ``indices`` of the cohort with ``seed`` and its table; returns the table's path.

    An exam folder that is there already is kept when it was made by the same numbers, so a stopped run can go on.
    Raises InputError when the folder holds something else.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for done, index in enumerate(indices, start=1):
        rows.append(_exam_row(distribution, folder, seed, index))
        progress(f"{done} of {len(indices)} exams")
    table = folder / COHORT_FILE
    with table.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return table


def _exam_row(distribution: LesionDistribution, folder: Path, seed: int, index: int) -> dict:
    target = folder / f"SIM-{index:04d}"
    identity = {"seed": seed, "index": index, "distribution": distribution.digest}
    if target.exists():
        return _row_of_written(target, identity)
    exam, simulated = cohort_exam(distribution, seed, index)
    record = {"cohort": identity, "wanted": exam.wanted, **truth_record(simulated)}
    partial = folder / f".{exam.name}.{uuid.uuid4().hex[:8]}.partial"
    try:
        _write_exam(exam, simulated, record, partial)
        os.replace(partial, target)
    except OSError as error:
        raise InputError(f"{target} cannot be written ({error.strerror or error}); name another folder.") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return _row(target.name, record)


def _write_exam(exam: CohortExam, simulated: SimulatedExam, record: dict, folder: Path) -> None:
    folder.mkdir()
    geometry = simulated.exam.geometry
    for phase, signal in enumerate(simulated.exam.signal):
        write_volume(folder / f"phase{phase}.nrrd", signal.astype(np.uint16), geometry)
    write_volume(folder / "voi.nrrd", simulated.voi, geometry)
    write_volume(folder / "lesion.nrrd", simulated.truth_lesion, geometry)
    (folder / "truth.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def _row_of_written(target: Path, identity: dict) -> dict:
    try:
        record = json.loads((target / "truth.json").read_text(encoding="utf-8"))
        if record["cohort"] == identity:
            return _row(target.name, record)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise InputError(f"{target} holds something else than this simulated exam; name a new folder.")


def _row(name: str, record: dict) -> dict:
    n_phases = len(record["times_s"])
    return {
        "patient": name,
        "exam": ";".join(f"{name}/phase{k}.nrrd" for k in range(n_phases)),
        "times": ",".join(f"{t:g}" for t in record["times_s"]),
        "injection": f"{record['parameters']['injection_s']:g}",
        "voi": f"{name}/voi.nrrd",
        "lesion": f"{name}/lesion.nrrd",
        "simulated": "yes",
        **{f"wanted_{q}": f"{record['wanted'][q]:.6g}" for q in QUANTITIES},
    }
