"""Long work in a Python process of its own, started from a window: its lines, its end, its errors, stopping it.

Inside Slicer ``multiprocessing`` hangs and the window shares its process with everything else, so what takes long runs
in a child of Slicer's own Python (PythonSlicer), which has Slicer's libraries but no scene. A window either asks a
``PythonChild`` for new lines by a timer, or calls ``run_python``, which follows it to its end.
"""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence

from .errors import Cancelled, InputError
from .progress import Progress

IITH = "RadiogenomicReportLib.command_line.main"
LOOK_EVERY_S = 0.1
# How long a process may take to end by itself after it was asked to.
PATIENCE_S = 1.5
KEPT_LINES = 40
INPUT_AT_FAULT, INTERRUPTED = 2, 130
# Results must not depend on how many threads a machine has.
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"), "1"
)

Step = tuple[float, str]


def python_executable() -> str:
    """Slicer's Python where there is one, else the running one."""
    return shutil.which("PythonSlicer") or sys.executable


class PythonChild:
    """``python -m module arguments``, running. one_thread: its toolkits take one thread each."""

    def __init__(self, module: str, arguments: Sequence, one_thread: bool = False) -> None:
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "PYTHONUNBUFFERED": "1",
            **(ONE_THREAD if one_thread else {}),
        }
        self._process = subprocess.Popen(
            [python_executable(), "-m", module, *map(str, arguments)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, encoding="utf-8", errors="replace", env=environment,
            **({"start_new_session": True} if os.name == "posix" else {}),
        )  # fmt: skip
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, name=f"output of {module}", daemon=True)
        self._reader.start()
        self.stopped = False

    def _read(self) -> None:
        for line in self._process.stdout:
            self._lines.put(line.rstrip("\n"))
        self._process.stdout.close()

    def new_lines(self, wait_s: float = 0.0) -> list[str]:
        """What it printed since the last call; waits so long for the first line."""
        found = []
        with contextlib.suppress(queue.Empty):
            if wait_s > 0:
                found.append(self._lines.get(timeout=wait_s))
            while True:
                found.append(self._lines.get_nowait())
        return found

    def exit_code(self) -> int | None:
        """None while it runs, or while its last lines are on their way."""
        code = self._process.poll()
        return None if code is None or self._reader.is_alive() else code

    def stop(self) -> None:
        """End the process and everything it started; returns within PATIENCE_S or little more."""
        self.stopped = True
        if self._process.poll() is None:
            # as Ctrl-C does, so that it leaves nothing half-written
            self._signal(signal.SIGINT if os.name == "posix" else None)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(PATIENCE_S)
        # also what a process that has ended left running
        self._signal(getattr(signal, "SIGKILL", None))
        self._process.wait()
        self._reader.join(PATIENCE_S)

    def _signal(self, number) -> None:
        if os.name == "posix":
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
        elif self._process.poll() is None:
            subprocess.run(["taskkill", "/T", "/F", "/PID", str(self._process.pid)], check=False, capture_output=True)


def run_python(
    module: str,
    arguments: Sequence[str],
    progress: Progress,
    read_step: Callable[[str], Step | None],
    one_thread: bool = False,
) -> list[str]:
    """Run ``python -m module arguments`` to its end and return the last lines that it printed.

    read_step: the (fraction, message) that a printed line tells, None for other lines; ``progress.step`` is called on
    the caller's thread alone. When it raises (Cancelled), the process and all it started are ended and that is raised.
    Raises InputError with the sentence of a process that ends with exit code 2, RuntimeError for any other failure.
    """
    child = PythonChild(module, arguments, one_thread)
    kept: deque[str] = deque(maxlen=KEPT_LINES)
    latest: Step = (0.0, "starting")
    try:
        code = None
        while code is None:
            code = child.exit_code()  # before the lines, so that none comes after the last look
            for line in child.new_lines(LOOK_EVERY_S if code is None else 0.0):
                kept.append(line)
                latest = read_step(line) or latest
            progress.step(*latest)
    except BaseException:
        child.stop()
        raise
    _raise_failure(module, code, kept)
    return list(kept)


def _raise_failure(module: str, code: int, kept: Sequence[str]) -> None:
    """Exit codes are those of ``iith``; its last line is "program: sentence"."""
    if code == 0:
        return
    last = next((line for line in reversed(kept) if line.strip()), "")
    if code == INPUT_AT_FAULT:
        raise InputError(last.partition(": ")[2] or last)
    if code in (INTERRUPTED, -signal.SIGINT):
        raise Cancelled("stopped")
    raise RuntimeError(f"{module} ended with exit code {code}: " + " | ".join(list(kept)[-5:]))
