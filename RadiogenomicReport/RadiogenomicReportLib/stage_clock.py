"""Wall time and peak memory of each stage of a run, for the provenance and the bench."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class StageClock:
    """Collects seconds and the process's peak memory so far (MB, None where unknown) by stage name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.peak_mb: dict[str, float | None] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - start, 3)
        self.peak_mb[name] = peak_memory_mb()


def peak_memory_mb() -> float | None:
    """Highest resident memory of this process so far in MB, None where the system does not tell."""
    try:
        # getrusage counts what the process that started this one held at that moment, /proc does not
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return round(next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024.0, 1)
    except (OSError, StopIteration, ValueError, IndexError):
        pass
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1024.0**2 if sys.platform == "darwin" else 1024.0), 1)
