"""Small cohorts of simulated exams as files, and a run of ``iith batch`` in a process of its own."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from SubregionHabitatLib.simulation import SimulationParameters, simulate_exam
from SubregionHabitatLib.volume_io import write_volume

REPOSITORY = Path(__file__).resolve().parents[2]
MODULES = ("SubregionHabitat", "IITHModule", "RadiogenomicReport")
PROGRAM = (sys.executable, "-m", "RadiogenomicReportLib.command_line.main")
PHASES = (0, 2, 4)
FINISH_S = 1800
TABLES = ("cohort.csv", "features_wide.csv.gz")
PARAMETERS = SimulationParameters(
    seed=3, shape=(24, 56, 56), spacing_mm=(2.4, 2.4, 5.0), lesion_radii_mm=(11.0, 11.5, 12.0)
)


def write_cohort(folder: Path, n: int, rows: list[dict] | None = None) -> Path:
    """``n`` simulated exams of three phases that differ in noise, a coarse preset, and cohort.csv; returns its path.

    rows: further cells of each row.
    """
    simulated = simulate_exam(PARAMETERS)
    exam = simulated.exam
    folder.mkdir(parents=True, exist_ok=True)
    write_volume(folder / "voi.nrrd", simulated.voi, exam.geometry)
    rng = np.random.default_rng(7)
    for number in range(n):
        (folder / f"exam{number}").mkdir()
        for phase in PHASES:
            noisy = exam.signal[phase] + rng.normal(0, 12, exam.signal[phase].shape).astype(np.float32)
            write_volume(folder / f"exam{number}" / f"phase{phase}.nrrd", np.maximum(noisy, 0), exam.geometry)
    (folder / "coarse.json").write_text(json.dumps(coarse_preset()))
    cells = [
        {
            "patient": f"P{number:02d}",
            "visit": "T0",
            "exam": ";".join(f"exam{number}/phase{phase}.nrrd" for phase in PHASES),
            "voi": "voi.nrrd",
            "times": ",".join(f"{exam.times_s[phase]:g}" for phase in PHASES),
            "hr": str(number % 2),
            "her2": "0",
            "age": str(40 + number),
            "site": f"site {number % 3}",
            **(rows[number] if rows else {}),
        }
        for number in range(n)
    ]
    return write_rows(folder / "cohort.csv", cells)


def coarse_preset() -> dict:
    """mr_default on a grid of 3 mm, which keeps runs short."""
    preset = json.loads((REPOSITORY / "Resources" / "Presets" / "mr_default.json").read_text())
    preset["name"] = "coarse"
    preset["min_voxels"] = 10
    for kind in ("phases", "maps"):
        preset[kind]["resample_mm"] = 3.0
    return preset


def write_rows(path: Path, cells: list[dict]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(cells[0]))
        writer.writeheader()
        writer.writerows(cells)
    return path


def read_rows(path: Path) -> list[dict]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def command(cohort: Path, out: Path, *options: str, jobs: int = 2) -> list[str]:
    return [
        *(*PROGRAM, "batch", str(cohort), "--out", str(out)),
        *("--jobs", str(jobs), "--preset", str(cohort.parent / "coarse.json"), *options),
    ]


def start(cohort: Path, out: Path, *options: str, jobs: int = 2) -> subprocess.Popen:
    """``iith batch`` in a process group of its own."""
    return start_command(*command(cohort, out, *options, jobs=jobs)[len(PROGRAM) :])


def start_command(*arguments: str) -> subprocess.Popen:
    """``iith`` with these arguments in a process group of its own."""
    return subprocess.Popen(
        [*PROGRAM, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(str(REPOSITORY / m) for m in MODULES)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(process: subprocess.Popen) -> tuple[int, str, str]:
    """Exit code, standard output and standard error."""
    try:
        out, err = process.communicate(timeout=FINISH_S)
    except BaseException:  # nothing goes on without the caller
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    return process.returncode, out, err


def kill_group(process: subprocess.Popen, out: Path, n_done: int, after_s: float) -> None:
    """SIGKILL to the process and its children, some seconds after ``n_done`` exams have their results."""
    while process.poll() is None and len(list(out.glob("exams/*/task.json"))) < n_done:
        time.sleep(0.02)
    time.sleep(after_s)
    assert process.poll() is None, "the run ended before it could be killed"
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def tables(out: Path) -> dict[str, bytes]:
    return {name: (out / name).read_bytes() for name in TABLES}


def leftovers(out: Path) -> list[str]:
    return [str(path) for path in out.rglob(".*") if "partial" in path.name or ".old-" in path.name]
