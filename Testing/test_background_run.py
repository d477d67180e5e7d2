"""Work beside the caller's thread: results, errors, progress on the right thread, Cancel heard at once."""

from __future__ import annotations

import threading
import time

import pytest

from SubregionHabitatLib import background_run
from SubregionHabitatLib.background_run import run_in_background
from SubregionHabitatLib.errors import Cancelled, InputError
from SubregionHabitatLib.progress import Silent


class Record:
    def __init__(self, stop_at: float = 2.0) -> None:
        self.steps, self.threads, self.stop_at = [], set(), stop_at

    def step(self, fraction: float, message: str) -> None:
        self.steps.append((fraction, message))
        self.threads.add(threading.current_thread())
        if fraction >= self.stop_at:
            raise Cancelled("stop")


def test_the_result_comes_back_and_progress_stays_on_the_callers_thread():
    seen = []

    def work(progress):
        seen.append(threading.current_thread())
        for i in range(5):
            progress.step(i / 4, f"part {i}")
        return "done"

    record = Record()
    assert run_in_background(work, record) == "done"
    assert record.steps[-1] == (1.0, "part 4")
    assert [f for f, _ in record.steps] == sorted(f for f, _ in record.steps)
    assert record.threads == {threading.current_thread()}
    assert seen != [threading.current_thread()]


def test_what_the_work_raises_is_raised():
    def work(progress):
        progress.step(0.5, "half")
        raise InputError("draw it")

    with pytest.raises(InputError, match="draw it"):
        run_in_background(work, Silent())


def test_silent_work_is_left_at_once_and_the_next_waits_until_it_has_ended():
    go_on, ended = threading.Event(), []

    def deaf(progress):
        progress.step(0.3, "deep in thought")
        go_on.wait(10)
        try:
            progress.step(0.4, "back")
        finally:
            ended.append(time.monotonic())

    start = time.monotonic()
    with pytest.raises(Cancelled):
        run_in_background(deaf, Record(stop_at=0.3))
    assert time.monotonic() - start < 1.0
    assert ended == []
    waiting = Record(stop_at=0.0)
    with pytest.raises(Cancelled):  # Cancel is heard while waiting, too
        run_in_background(lambda progress: "never", waiting)
    assert waiting.steps == [(0.0, "waiting for the stopped work to end")]
    threading.Timer(0.2, go_on.set).start()
    began = run_in_background(lambda progress: time.monotonic(), Record())
    assert began >= ended[0]
    assert background_run._ending == []


def test_cancelling_after_the_last_step_still_cancels():
    def work(progress):
        progress.step(1.0, "all done")
        return 1

    with pytest.raises(Cancelled):
        run_in_background(work, Record(stop_at=1.0))
    assert run_in_background(work, Record()) == 1
