"""Times that the user gives, the injection, and clocks around midnight."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from SubregionHabitatLib.errors import InputError
from SubregionHabitatLib.times_file import MAX_BYTES, read_times, with_injection
from SubregionHabitatLib.timing import DAY_S, choose_early_late, unroll_day
from support.exams import make_exam


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0,90,180", (0, 90, 180)),
        (" 0 90  180.5 ", (0, 90, 180.5)),
        ("0;90,5;181", (0, 90.5, 181)),
        ("[0, 90, 180]", (0, 90, 180)),
        ("10:25:51,10:32:38,10:38:32", (0, 407, 761)),
        ("23:59:00 00:01:30 00:03:00.5", (0, 150, 240.5)),
    ],
)
def test_a_list(text, expected):
    assert read_times(text) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.txt", "0\n90\n180\n", (0, 90, 180)),
        ("a.txt", "# seconds\n\n0, 90, 180", (0, 90, 180)),
        ("a.txt", "0 90 180", (0, 90, 180)),
        ("a.txt", "\ufeff0\r\n9e1\r\n180\r\n", (0, 90, 180)),
        ("a.csv", "phase,time_s\npre,0\npost1,90\npost2,180\n", (0, 90, 180)),
        ("a.csv", "time [min];name\n0;pre\n1,5;post1\n3;post2\n", (0, 90, 180)),
        ("a.tsv", "name\tTriggerTime\na\t0\nb\t90000\nc\t180000", (0, 90, 180)),
        ("a.csv", '"series","ContentTime"\n1,"10:25:51"\n2,"10:32:38"\n3,"10:38:32"', (0, 407, 761)),
        ("a.json", "[0, 90, 180.0]", (0, 90, 180)),
        ("a.json", '{"times_s": [0, 90, 180], "note": "x"}', (0, 90, 180)),
        ("a.json", '{"time_min": [0, 1.5, 3]}', (0, 90, 180)),
        ("a.json", '{"VolumeTiming": [0, 90, 180]}', (0, 90, 180)),
        ("times", "0\n90\n180\n", (0, 90, 180)),
    ],
)
def test_a_file(tmp_path, name, content, expected):
    (tmp_path / name).write_text(content, encoding="utf-8", newline="")
    assert read_times(tmp_path / name) == pytest.approx(expected)
    assert read_times(str(tmp_path / name)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0,130,x,310", r"^--times '0,130,x,310' is not a list of seconds; write for example --times 0,90,180\.$"),
        ("", "is not a list of seconds"),
        ("0,,90", "is not a list of seconds"),
        ("0,inf", r"--times '0,inf' holds a value that is not a finite number; correct it"),
        ("missing.csv", r"The times file missing\.csv cannot be read \(No such file or directory\); check the path"),
        ("0," * 5000 + "x", "is not a list of seconds"),
        ("a\0.csv", r"cannot be read \(embedded null byte\)"),
    ],
)
def test_text_that_is_no_list(text, message):
    with pytest.raises(InputError, match=message):
        read_times(text)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "", r"The times file a\.txt is empty; give one time in seconds per line"),
        ("a.txt", "0 1\n90 2", r"holds several columns; name that of the times in a first line"),
        ("a.csv", "a,b\n0,1", r"needs exactly one column of times, named for example time_s or time_min"),
        ("a.csv", "time,seconds\n0,1", r"needs exactly one column of times"),
        ("a.csv", "n,time\n1,0\n2", r"has a row without a time; complete it"),
        ("a.csv", "n,time\n1,0\n2,soon", r"The times file a\.csv is not a list of seconds"),
        ("a.json", "{", r"a\.json is not valid JSON"),
        ("a.json", '{"a": [1]}', r"needs exactly one list of times"),
        ("a.json", '{"a": 1}', r"needs exactly one list of times"),
        ("a.json", "[true, 1]", r"is not a list of seconds; write for example \[0, 90, 180\]"),
        ("a.json", "[1e999, 1]", r"holds a value that is not a finite number"),
        ("a.json", "[" * 100_000, r"is not valid JSON"),
    ],
)
def test_files_that_hold_no_times(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=message):
        read_times(tmp_path / name)


def test_files_that_are_no_text(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"a\.txt is not a text file; give one time in seconds per line"):
        read_times(tmp_path / "a.txt")
    (tmp_path / "big.txt").write_bytes(b"1" * (MAX_BYTES + 1))
    with pytest.raises(InputError, match=r"big\.txt is 1000001 bytes long, which no list of times is"):
        read_times(tmp_path / "big.txt")
    with pytest.raises(InputError, match=r"cannot be read \(Is a directory\)"):
        read_times(Path(tmp_path))


@given(st.lists(st.floats(0, 1e5, allow_nan=False), min_size=1, max_size=12))
def test_every_list_comes_back_as_it_was_written(values):
    times = tuple(values)
    assert read_times(",".join(repr(v) for v in times)) == times
    assert read_times(json.dumps(times)) == times


@given(st.text(max_size=60))
def test_any_text_gives_numbers_or_one_sentence(text):
    try:
        outcome = read_times(text)
    except InputError as error:
        outcome = str(error)
    assert outcome[-1] == "." or all(isinstance(t, float) for t in outcome)


# ---- injection ---------------------------------------------------------------------------------------------------
def exam(times=(0.0, 130.0, 220.0)):
    return make_exam([[[[1.0]]], [[[2.0]]], [[[3.0]]]], times)


def test_the_injection_is_kept_and_phase_times_stay():
    found = with_injection(exam(), 110.0)
    assert found.timing.injection_s == 110.0
    assert found.times_s == (0.0, 130.0, 220.0)
    assert exam().timing.injection_s is None
    assert with_injection(found, None).timing.injection_s is None


@pytest.mark.parametrize("seconds", [-1.0, 130.0, 500.0, float("nan"), float("inf")])
def test_an_injection_outside_its_place_is_refused(seconds):
    message = r"does not lie between the pre-contrast phase at 0 s and the first post-contrast phase at 130 s"
    with pytest.raises(InputError, match=message):
        with_injection(exam(), seconds)


def test_an_injection_needs_times():
    from dataclasses import replace

    from SubregionHabitatLib.exam import Timing

    unknown = replace(exam((0, 1, 2)), timing=Timing("none", "none", known=False))
    with pytest.raises(InputError, match="An injection time needs phase times, which this exam does not carry"):
        with_injection(unknown, 0.5)


# ---- clocks ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("clocks", "expected"),
    [
        ([86300.0, 30.0, 86390.0], [86300.0, DAY_S + 30, 86390.0]),
        ([10.0, 20.0], [10.0, 20.0]),
        ([], []),
        ([3600.0, 40000.0, 80000.0], [3600.0, 40000.0, 80000.0]),  # spread over the day: no night in between
        ([6.3e10, 6.3e10 + 90000], [6.3e10, 6.3e10 + 90000]),  # dated, of two days
        ([9 * DAY_S + 86300, 9 * DAY_S + 30], [9 * DAY_S + 86300, 10 * DAY_S + 30]),  # by the date of the study
    ],
)
def test_readings_on_both_sides_of_midnight(clocks, expected):
    assert unroll_day(clocks) == expected


@given(
    st.floats(0, DAY_S - 1),
    st.lists(st.floats(1, 3000), min_size=2, max_size=9),
    st.randoms(use_true_random=False),
)
def test_unrolled_readings_keep_their_distances(start, gaps, shuffle):
    true = [start]
    for gap in gaps:
        true.append(true[-1] + gap)
    shuffle.shuffle(true)
    found = unroll_day([t % DAY_S for t in true])
    assert [f - min(found) for f in found] == pytest.approx([t - min(true) for t in true], abs=1e-6)


@pytest.mark.parametrize(("n_phases", "expected"), [(3, (1, 2)), (5, (1, 4)), (8, (1, 7))])
def test_unknown_times_take_the_first_and_last_post_contrast_phase(n_phases, expected):
    choice = choose_early_late(tuple(range(n_phases)), known=False)
    assert (choice.early, choice.late) == expected
    assert "no times are known" in choice.rule
    assert choose_early_late(tuple(range(n_phases)), early=1, late=2, known=False).late == 2
