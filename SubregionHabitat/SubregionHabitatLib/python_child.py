"""Long work in a Python process of its own, started from a window: its progress, its errors, stopping it.

Inside Slicer ``multiprocessing`` hangs and the window shares its process with everything else, so what takes long runs
in a child of Slicer's own Python (PythonSlicer), which has Slicer's libraries but no scene.
"""

from __future__ import annotations

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

LOOK_EVERY_S = 0.1
PATIENCE_S = 2.0
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
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "PYTHONUNBUFFERED": "1",
        **(ONE_THREAD if one_thread else {}),
    }
    process = subprocess.Popen(
        [python_executable(), "-m", module, *map(str, arguments)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, encoding="utf-8", errors="replace", env=environment,
        **({"start_new_session": True} if os.name == "posix" else {}),
    )  # fmt: skip
    lines: queue.Queue[str] = queue.Queue()
    reader = threading.Thread(target=_read, args=(process, lines), name=f"output of {module}", daemon=True)
    reader.start()
    kept: deque[str] = deque(maxlen=KEPT_LINES)
    try:
        _follow(process, reader, lines, kept, progress, read_step)
    except BaseException:
        _end(process)
        raise
    finally:
        reader.join(PATIENCE_S)
    _raise_failure(module, process.returncode, kept)
    return list(kept)


def _read(process: subprocess.Popen, lines: queue.Queue[str]) -> None:
    for line in process.stdout:
        lines.put(line.rstrip("\n"))
    process.stdout.close()


def _follow(process, reader, lines, kept, progress: Progress, read_step) -> None:
    latest: Step = (0.0, "starting")
    while True:
        ended = process.poll() is not None and not reader.is_alive()
        try:
            kept.append(lines.get(timeout=0.0 if ended else LOOK_EVERY_S))
            latest = read_step(kept[-1]) or latest
        except queue.Empty:
            if ended:
                return
        if lines.empty():
            progress.step(*latest)


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


def _end(process: subprocess.Popen) -> None:
    """End the process and everything it started."""
    if os.name == "posix":
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(process.pid, number)
                process.wait(PATIENCE_S)
            except ProcessLookupError:
                break
            except subprocess.TimeoutExpired:
                continue
    else:
        subprocess.run(["taskkill", "/T", "/F", "/PID", str(process.pid)], check=False, capture_output=True)
    process.wait()
