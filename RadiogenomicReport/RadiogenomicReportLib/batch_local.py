"""Tasks of a cohort on this machine, each in a process of its own."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Protocol

from IITHModuleLib.one_thread import one_thread_each

from .batch_task import TaskOutcome, failed, run_task

# A process that is ended from outside (most often because memory ran short) is tried once more.
ATTEMPTS = 2
SECONDS_TO_STOP = 5.0
MOST_JOBS = 8


class NamedTask(Protocol):
    """One exam's work; it must be possible to pickle it."""

    name: str


@dataclass(frozen=True)
class _Running:
    task: NamedTask
    process: multiprocessing.Process
    answer: Connection


def default_jobs() -> int:
    """The cores this process may use, at most MOST_JOBS because every exam needs memory."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MOST_JOBS)


def run_local(
    tasks: Sequence[NamedTask],
    jobs: int,
    report: Callable[[TaskOutcome], None],
    work: Callable[[NamedTask], TaskOutcome] = run_task,
) -> None:
    """Run tasks in at most ``jobs`` processes at a time; ``report`` gets each outcome as it comes.

    work: a function of a module, which a new process can import; it returns the outcome of one task and does not raise.
    A process that dies takes its exam with it and nothing else. Processes are ended when this function is left by an
    exception (Ctrl-C), and end by themselves when this process is killed. Not for use inside Slicer.
    """
    waiting = deque((task, 1) for task in tasks)
    running: dict[Connection, tuple[_Running, int]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                task, attempt = waiting.popleft()
                started = _start(task, work)
                running[started.answer] = started, attempt
            for answer in wait(list(running)):
                ended, attempt = running.pop(answer)
                outcome = _outcome(ended)
                if outcome is not None:
                    report(outcome)
                elif attempt < ATTEMPTS:
                    waiting.append((ended.task, attempt + 1))
                else:
                    report(failed(ended.task.name, _death(ended.process.exitcode)))
    finally:
        _stop([started for started, _ in running.values()])


def run_here(tasks: Sequence[NamedTask], report: Callable[[TaskOutcome], None]) -> None:
    """Run tasks one after another in this process, for hosts that cannot start further ones.

    A task that kills the process ends the run; what is done stays and ``--resume`` goes on.
    """
    import SimpleITK as sitk

    # As on every worker: sums come out the same however many cores there are.
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    for task in tasks:
        report(run_task(task))


def _start(task: NamedTask, work: Callable[[NamedTask], TaskOutcome]) -> _Running:
    # A forked process would inherit ITK's and BLAS' threads in whatever state they are.
    context = multiprocessing.get_context("spawn")
    answer, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(work, task, sender), name=f"iith {task.name}")
    with one_thread_each():
        process.start()
    # Only the process may hold this end, so that its death ends the connection.
    sender.close()
    return _Running(task, process, answer)


def _outcome(ended: _Running) -> TaskOutcome | None:
    """What the process answered; None when it died without an answer."""
    try:
        outcome = ended.answer.recv()
    except (EOFError, OSError):
        outcome = None
    ended.answer.close()
    ended.process.join()
    return outcome


def _death(code: int | None) -> str:
    return (
        f"the process of this exam was ended from outside (exit code {code}), most likely for lack of memory; "
        "use fewer --jobs and add --resume"
    )


def _stop(running: list[_Running]) -> None:
    for one in running:
        one.process.terminate()
    for one in running:
        one.process.join(SECONDS_TO_STOP)
        if one.process.is_alive():
            one.process.kill()
            one.process.join()
        one.answer.close()


def _work(work: Callable[[NamedTask], TaskOutcome], task: NamedTask, sender: Connection) -> None:
    """In the new process. Ctrl-C reaches the whole group: the parent hears it and ends its processes in order."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sender.send(work(task))
    sender.close()


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)
