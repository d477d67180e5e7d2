"""How long work reports where it is and learns that the user wants to stop.

Any object with ``step(fraction, message)`` will do; raising ``Cancelled`` from ``step`` ends the work.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class Progress(Protocol):
    def step(self, fraction: float, message: str) -> None:
        """fraction: share of the work done, 0..1; message: what happens next. May raise Cancelled."""


class Silent:
    """Reports nothing."""

    def step(self, fraction: float, message: str) -> None:
        return


@dataclass(frozen=True)
class Part:
    """A stretch [start, stop] of another progress, for a step that is itself made of steps."""

    whole: Progress
    start: float
    stop: float

    def step(self, fraction: float, message: str) -> None:
        self.whole.step(self.start + (self.stop - self.start) * fraction, message)
