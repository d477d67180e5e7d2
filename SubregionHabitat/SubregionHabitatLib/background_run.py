"""One long piece of work beside the caller's thread, which stays free to redraw a window and hears Cancel at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from .errors import Cancelled
from .progress import Progress

Result = TypeVar("Result")
# How often the caller's thread looks when the work is silent, in seconds.
LOOK_EVERY_S = 0.1

# Work that was given up and has not noticed yet; the next work waits for it, because both share the toolkits' settings.
_ending: list[threading.Thread] = []


class _Relay:
    """The work's progress: keeps the latest step for the caller's thread, and ends the work once it was given up."""

    def __init__(self) -> None:
        self.changed, self.stop = threading.Event(), threading.Event()
        self.latest = (0.0, "starting")

    def step(self, fraction: float, message: str) -> None:
        if self.stop.is_set():
            raise Cancelled("given up")
        self.latest = (fraction, message)
        self.changed.set()


def run_in_background(work: Callable[[Progress], Result], progress: Progress) -> Result:
    """What ``work(its progress)`` returns or raises; ``progress.step`` is called on the caller's thread alone.

    When ``progress.step`` raises (Cancelled), that is raised at once and the work ends by itself at its next step. So
    the work must keep to itself: it may read and make arrays, but change nothing that others see.
    """
    _wait_for_given_up_work(progress)
    relay, outcome = _Relay(), {}

    def run() -> None:
        try:
            outcome["result"] = work(relay)
        except BaseException as error:
            outcome["error"] = error
        finally:
            relay.changed.set()

    thread = threading.Thread(target=run, name="background run", daemon=True)
    thread.start()
    try:
        while thread.is_alive():
            progress.step(*relay.latest)
            relay.changed.wait(LOOK_EVERY_S)
            relay.changed.clear()
            thread.join(0.001)
        if "error" not in outcome:
            progress.step(*relay.latest)
    except BaseException:
        relay.stop.set()
        _ending.append(thread)
        raise
    if "error" in outcome:
        raise outcome["error"]
    return outcome["result"]


def _wait_for_given_up_work(progress: Progress) -> None:
    while _ending:
        _ending[0].join(LOOK_EVERY_S)
        if _ending[0].is_alive():
            progress.step(0.0, "waiting for the stopped work to end")
        else:
            _ending.pop(0)
