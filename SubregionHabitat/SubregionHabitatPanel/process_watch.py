"""A running ``iith`` command watched by a timer of the window. Imports qt; only panels import it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import qt

from SubregionHabitatLib.python_child import IITH, PythonChild

POLL_MS = 200


class ProcessWatch:
    """At most one command at a time. on_line(text) for each line it prints, on_end(exit code, stopped) at its end."""

    def __init__(self, on_line: Callable[[str], None], on_end: Callable[[int, bool], None]) -> None:
        self._on_line, self._on_end, self._process = on_line, on_end, None
        self._timer = qt.QTimer()
        self._timer.setInterval(POLL_MS)
        self._timer.connect("timeout()", self.poll)

    @property
    def running(self) -> bool:
        return self._process is not None

    def start(self, arguments: Sequence) -> None:
        self._process = PythonChild(IITH, arguments)
        self._timer.start()

    def poll(self) -> None:
        """Hand on what happened since the last time."""
        if self._process is not None:
            code = self._process.exit_code()
            for line in self._process.new_lines():
                self._on_line(line)
            if code is not None:
                self._end(code)

    def stop(self) -> None:
        """End the command and all it started, now."""
        if self._process is not None:
            self._process.stop()
            for line in self._process.new_lines():
                self._on_line(line)
            self._end(-1)

    def _end(self, code: int) -> None:
        stopped, self._process = self._process.stopped, None
        self._timer.stop()
        self._on_end(code, stopped)
