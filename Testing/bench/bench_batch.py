"""``iith batch``: how much faster two processes are than one, on simulated exams of ordinary size.

``python Testing/bench/bench_batch.py`` prints the figure.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
MODULES = ("SubregionHabitat", "IITHModule", "RadiogenomicReport")
N_EXAMS = 6


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


def batch_speedup_2(n_exams: int = N_EXAMS) -> float:
    """Seconds with one process over seconds with two, measured one after the other."""
    with tempfile.TemporaryDirectory() as folder:
        cohort = write_cohort(Path(folder), n_exams)
        return batch_seconds(cohort, 1) / batch_seconds(cohort, 2)


if __name__ == "__main__":
    for module in MODULES:
        sys.path.insert(0, str(REPOSITORY / module))
    print(f"batch_speedup_2 {batch_speedup_2():.2f} ({N_EXAMS} simulated exams)")
