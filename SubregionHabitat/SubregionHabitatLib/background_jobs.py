"""Long jobs on threads of their own, while the caller's thread reports progress and learns of a wish to stop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

from .progress import Progress

Result = TypeVar("Result")
Tick = Callable[[float], None]
# How often the caller's thread looks, in seconds; Slicer's window lives on that thread.
LOOK_EVERY_S = 0.1


class Stopped(Exception):
    """A job was asked to stop; never leaves this package."""


def run_jobs(jobs: Sequence[Callable[[Tick], Result]], workers: int, progress: Progress, message: str) -> list[Result]:
    """Results of ``jobs`` in their order, at most ``workers`` of them running at a time.

    Every job gets a function to call with the share of its work done, 0..1; it raises ``Stopped`` once the run is to
    end. ``progress.step`` is only called on the caller's thread; what it raises (``Cancelled``) is raised again when
    all jobs have ended. So is the first exception of a job.
    """
    stop = threading.Event()
    shares = [0.0] * len(jobs)

    def tick_of(index: int) -> Tick:
        def tick(share: float) -> None:
            shares[index] = share
            if stop.is_set():
                raise Stopped

        return tick

    with ThreadPoolExecutor(max_workers=max(1, workers)) as pool:
        futures = [pool.submit(job, tick_of(index)) for index, job in enumerate(jobs)]
        try:
            running = set(futures)
            while running:
                progress.step(sum(shares) / len(jobs), message)
                done, running = wait(running, timeout=LOOK_EVERY_S)
                for future in done:
                    future.result()
        except BaseException:
            stop.set()
            for future in futures:
                future.cancel()
            raise
    return [future.result() for future in futures]
