"""A command of ``iith`` in a Python process of its own, watched from a window: its lines, its end, stopping it.

The window never waits for it; a timer asks for new lines. The process and all it started end together.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence

from .python_child import python_executable

_MAIN = "RadiogenomicReportLib.command_line.main"
# How long a process may take to end by itself after it was asked to, in seconds.
PATIENCE_S = 1.5


class IithProcess:
    """One running command. arguments: those of ``iith``."""

    def __init__(self, arguments: Sequence[str]) -> None:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p), "PYTHONUNBUFFERED": "1"}
        own_group = {"start_new_session": True} if os.name == "posix" else {}
        self._process = subprocess.Popen(
            [python_executable(), "-m", _MAIN, *map(str, arguments)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, encoding="utf-8", errors="replace", env=environment, **own_group,
        )  # fmt: skip
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, name="iith output", daemon=True)
        self._reader.start()
        self.stopped = False

    def _read(self) -> None:
        for line in self._process.stdout:
            self._lines.put(line.rstrip("\n"))
        self._process.stdout.close()

    def new_lines(self) -> list[str]:
        """What it printed since the last call."""
        found = []
        while True:
            try:
                found.append(self._lines.get_nowait())
            except queue.Empty:
                return found

    def exit_code(self) -> int | None:
        """None while it runs, or while its last lines are on their way."""
        code = self._process.poll()
        return None if code is None or self._reader.is_alive() else code

    def stop(self) -> None:
        """End the process and everything it started; returns within PATIENCE_S or little more."""
        self.stopped = True
        if self._process.poll() is None:
            self._signal(signal.SIGINT if os.name == "posix" else None)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(PATIENCE_S)
        # also what a process that has ended left running
        self._signal(getattr(signal, "SIGKILL", None))
        self._process.wait()
        self._reader.join(PATIENCE_S)

    def _signal(self, number) -> None:
        if os.name == "posix":
            try:
                os.killpg(self._process.pid, number)
            except ProcessLookupError:
                return
        elif self._process.poll() is None:
            subprocess.run(["taskkill", "/T", "/F", "/PID", str(self._process.pid)], check=False, capture_output=True)
