"""``iith batch``: how much faster two processes are than one, on simulated exams of ordinary size.

``python Testing/bench/bench_batch.py`` prints the figure.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
MODULES = ("SubregionHabitat", "IITHModule", "RadiogenomicReport")
N_EXAMS = 4


def write_cohort(folder: Path, n: int) -> Path:
    """``n`` simulated exams (not patients') as DICOM with their VOIs, and cohort.csv; returns its path."""
    from SubregionHabitatLib.simulation import SimulationParameters, write_simulated_exam

    lines = ["patient,exam,voi"]
    for seed in range(n):
        write_simulated_exam(SimulationParameters(seed=seed), folder / f"exam{seed}")
        lines.append(f"simulated{seed},exam{seed}/dicom,exam{seed}/voi.nrrd")
    (folder / "cohort.csv").write_text("\n".join(lines) + "\n")
    return folder / "cohort.csv"


def batch_seconds(cohort: Path, jobs: int) -> float:
    """Wall time of the whole command, start of the process included."""
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "RadiogenomicReportLib.command_line.main", "batch", str(cohort)]
        start = time.perf_counter()
        subprocess.run(
            [*command, "--out", f"{out}/cohort", "--jobs", str(jobs)],
            check=True,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(str(REPOSITORY / m) for m in MODULES)},
        )
        return time.perf_counter() - start


def batch_figures(n_runs: int, n_exams: int = N_EXAMS) -> dict[str, dict]:
    """batch_speedup_2 and the seconds behind it; one and two processes in turn on the same exams."""
    with tempfile.TemporaryDirectory() as folder:
        cohort = write_cohort(Path(folder), n_exams)
        seconds = [(batch_seconds(cohort, 1), batch_seconds(cohort, 2)) for _ in range(n_runs)]
    note = f"iith batch of {n_exams} simulated exams"
    alone, shared = (statistics.median(side) for side in zip(*seconds, strict=True))
    ratio = statistics.median(one / two for one, two in seconds)
    return {
        "batch_speedup_2": _figure(ratio, "ratio", n_runs, f"{note}: seconds with one process over two"),
        "batch_1_seconds": _figure(alone, "s", n_runs, f"{note}, one process"),
        "batch_2_seconds": _figure(shared, "s", n_runs, f"{note}, two processes"),
    }


def _figure(value: float, unit: str, runs: int, note: str) -> dict:
    return {"value": round(value, 4), "unit": unit, "runs": runs, "note": note}


if __name__ == "__main__":
    for module in MODULES:
        sys.path.insert(0, str(REPOSITORY / module))
    for name, figure in batch_figures(1).items():
        print(name, figure)
