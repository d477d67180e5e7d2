"""Progress on a terminal: one bar that is redrawn, or nothing where standard error is not a terminal."""

from __future__ import annotations

import sys

WIDTH = 30


class TerminalProgress:
    def __init__(self) -> None:
        self._active = sys.stderr.isatty()

    def step(self, fraction: float, message: str) -> None:
        if not self._active:
            return
        filled = round(WIDTH * min(max(fraction, 0.0), 1.0))
        bar = "#" * filled + "-" * (WIDTH - filled)
        print(f"\r[{bar}] {100 * fraction:3.0f} % {message:<40.40}", end="", file=sys.stderr, flush=True)

    def close(self) -> None:
        if self._active:
            print("\r" + " " * (WIDTH + 52) + "\r", end="", file=sys.stderr, flush=True)
