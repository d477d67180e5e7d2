"""Early and late phases on realistic time lists, and DICOM clock strings."""

from __future__ import annotations

import pytest

from SubregionHabitatLib.errors import InputError
from SubregionHabitatLib.exam import check_times
from SubregionHabitatLib.timing import (
    choose_early_late,
    day_number,
    seconds_of_datetime,
    seconds_of_day,
    unwrap_midnight,
)


@pytest.mark.parametrize(
    ("times", "resolution", "expected"),
    [
        ((0, 407, 761), None, (1, 2)),
        ((0, 130, 220, 310, 400), 90, (2, 4)),
        # Duke: 121.5 s phases, the pre-contrast series 23 minutes earlier; centres 61, 182, 304, 426 s after post 1.
        ((0, 1371, 1492, 1615, 1737), None, (2, 4)),
        # I-SPY: 150 s phases; 75 and 225 s are equally near 150 s, the first wins, and is then confirmed as contiguous.
        ((0, 150, 300, 450, 600), None, (1, 3)),
        # Six 60 s phases: centres 30, 90, 150, ..., 330 s; the last is nearest to 450 s.
        ((0, 100, 160, 220, 280, 340, 400), 60, (3, 6)),
        # Eight 90 s phases: centres 45, 135, 225, 315, 405, 495, ...
        ((0, 600, 690, 780, 870, 960, 1050, 1140, 1230), 90, (2, 5)),
        # Three short phases end before either target: the last is late, the one before it early.
        ((0, 60, 90, 120), None, (2, 3)),
    ],
)
def test_early_and_late(times, resolution, expected):
    choice = choose_early_late(times, resolution)
    assert (choice.early, choice.late) == expected
    assert choice.rule


def test_an_implausible_header_duration_is_not_trusted():
    times = (0, 130, 220, 310, 400)
    assert choose_early_late(times, 5.0) == choose_early_late(times, None)


def test_override_and_its_limits():
    choice = choose_early_late((0, 60, 120, 180), early=1, late=3)
    assert (choice.early, choice.late, choice.rule) == (1, 3, "chosen by the user")
    with pytest.raises(InputError, match="early phase 7 does not exist"):
        choose_early_late((0, 60, 120, 180), early=7)
    with pytest.raises(InputError, match="must come before the late phase"):
        choose_early_late((0, 60, 120, 180), early=3, late=2)
    with pytest.raises(InputError, match="1 post-contrast phase; SER and wash-out need at least two"):
        choose_early_late((0, 60))


def test_clock_strings():
    assert seconds_of_day("102551") == 10 * 3600 + 25 * 60 + 51
    assert seconds_of_day("10:25:51.250") == 37551.25
    assert seconds_of_day("1025") == 37500
    assert seconds_of_day("") is None
    assert seconds_of_day("256199") is None
    assert seconds_of_day("ten o'clock") is None
    assert day_number("19910808") == 727_052
    assert day_number("19911399") is None
    start, end = seconds_of_datetime("20240229235950"), seconds_of_datetime("20240301000010.5")
    assert end - start == pytest.approx(20.5)


def test_midnight_is_crossed_forward():
    assert unwrap_midnight([86390.0, 10.0, 100.0]) == [86390.0, 86410.0, 86500.0]
    assert unwrap_midnight([100.0, 90.0]) == [100.0, 90.0]


@pytest.mark.parametrize(
    ("times", "n", "message"),
    [
        ((0,), 1, "has 1 phase"),
        ((0, 60), 3, "2 times were given for 3 phases"),
        ((0, 60, 60), 3, "phase 2 is at 60 s and phase 3 at 60 s"),
        ((0, float("nan"), 60), 3, "not a number"),
    ],
)
def test_times_that_cannot_be_used(times, n, message):
    with pytest.raises(InputError, match=message):
        check_times(times, n)


def test_without_times_the_first_and_last_post_contrast_phases_are_taken():
    choice = choose_early_late(tuple(float(t) for t in range(6)), known=False)
    assert (choice.early, choice.late) == (1, 5)
    chosen = choose_early_late(tuple(float(t) for t in range(6)), early=2, late=4, known=False)
    assert (chosen.early, chosen.late) == (2, 4)
