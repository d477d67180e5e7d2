"""What a cohort reports while it works."""

from __future__ import annotations

import pytest

from RadiogenomicReportLib.batch_task import DONE, FAILED, TaskOutcome
from RadiogenomicReportLib.command_line.cohort_progress import CohortLines, duration


def test_the_time_left_comes_from_the_exams_of_this_run_alone(capsys):
    now = [100.0]
    lines = CohortLines(lambda: now[0])
    lines.begin(total=12, kept=2)
    now[0] = 160.0
    lines.ended(TaskOutcome("a", DONE, seconds=58.2))
    assert lines.seconds_left() == pytest.approx(9 * 60)
    lines.ended(TaskOutcome("b", FAILED, "no\x1b[31m image"))
    assert lines.seconds_left() == pytest.approx(8 * 30)
    assert capsys.readouterr().err.splitlines() == [
        "12 exams, 2 of them done already",
        "1 of 10: a done in 58 s (about 9 min left)",
        "2 of 10: b failed: no [31m image (about 4 min left)",
    ]


def test_a_terminal_gets_a_bar_and_a_line_only_for_failures(capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    lines = CohortLines()
    lines.begin(2, 0)
    lines.ended(TaskOutcome("a", DONE))
    assert "50 % 1 of 2 exams, about " in capsys.readouterr().err
    lines.ended(TaskOutcome("b", FAILED, "no image"))
    lines.close()
    shown = capsys.readouterr().err
    assert "2 of 2: b failed: no image (the last one)\n" in shown
    assert "100 %" in shown


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "0 s"), (89, "89 s"), (90, "2 min"), (3540, "59 min"), (3599, "1 h 0 min"), (7800, "2 h 10 min")],
)
def test_durations_for_people(seconds, text):
    assert duration(seconds) == text
