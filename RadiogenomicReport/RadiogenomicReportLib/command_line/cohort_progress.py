"""Progress of a cohort on standard error: a bar on a terminal, a line per exam elsewhere, and the time left."""

from __future__ import annotations

import sys
import time

from ..batch_task import FAILED, TaskOutcome
from .terminal_progress import TerminalProgress


class CohortLines:
    """Counts exams and estimates the time left from those analyzed in this run."""

    def __init__(self, clock=time.monotonic) -> None:
        self._clock = clock
        self._bar = TerminalProgress() if sys.stderr.isatty() else None
        self._total = self._ended = self._start = 0

    def begin(self, total: int, kept: int) -> None:
        self._total, self._ended, self._start = total - kept, 0, self._clock()
        already = f", {kept} of them done already" if kept else ""
        print(f"{total} exams{already}", file=sys.stderr)

    def ended(self, outcome: TaskOutcome) -> None:
        self._ended += 1
        left = self.seconds_left()
        estimate = f"about {duration(left)} left" if left else "the last one"
        if self._bar is None or outcome.status == FAILED:
            self.close()
            what = f"failed: {outcome.reason}" if outcome.status == FAILED else f"done in {duration(outcome.seconds)}"
            name = "".join(c if c.isprintable() else " " for c in f"{outcome.name} {what}")
            print(f"{self._ended} of {self._total}: {name} ({estimate})", file=sys.stderr)
        if self._bar is not None:
            self._bar.step(self._ended / self._total, f"{self._ended} of {self._total} exams, {estimate}")

    def seconds_left(self) -> float:
        """Time per exam so far, all processes together, times the exams left."""
        return (self._clock() - self._start) / max(self._ended, 1) * (self._total - self._ended)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


def duration(seconds: float) -> str:
    """Seconds for people: "40 s", "5 min", "2 h 10 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
