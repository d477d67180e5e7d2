"""The clock of a run's stages: the memory it notes is that of the process itself."""

from __future__ import annotations

import subprocess
import sys

import numpy as np

from RadiogenomicReportLib import stage_clock
from support.cohorts import MODULES, REPOSITORY

CHILD = """
import sys
sys.path[:0] = sys.argv[1:]
from RadiogenomicReportLib.stage_clock import peak_memory_mb
before = peak_memory_mb()
held = b"x" * 200_000_000
print(before, peak_memory_mb())
"""


def test_the_peak_is_that_of_the_process_and_not_of_the_one_that_started_it():
    held = np.ones(40_000_000)  # 305 MB in this process
    command = [sys.executable, "-c", CHILD, *(str(REPOSITORY / m) for m in MODULES)]
    before, after = map(float, subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())
    assert held.nbytes / 2**20 < stage_clock.peak_memory_mb()
    assert before < 100
    # 191 MB; systems with many cores count pages in portions per core
    assert 160 <= after - before <= 220
