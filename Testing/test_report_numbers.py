"""Numbers and warnings as a report writes them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from RadiogenomicReportLib.report_numbers import (
    MISSING,
    decimals,
    minutes_seconds,
    number,
    ordinal,
    percent,
    setting,
    signed,
    whole,
    with_unit,
)
from RadiogenomicReportLib.report_warnings import group_warnings


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (39.149342147, "39.1"),
        (5.52, "5.52"),
        (105.34, "105"),
        (0.012345, "0.0123"),
        (9.9996, "10.0"),
        (99.96, "100"),
        (12345.6, "12,346"),
        (-0.0275, "−0.0275"),
        (0.0, "0"),
        (1.0, "1.00"),
        (2.5e-9, "2.50e−09"),
        (None, MISSING),
        (math.nan, MISSING),
        (True, MISSING),
        ("<b>", MISSING),
    ],
)
def test_number(value, text):
    assert number(value) == text


@given(st.floats(min_value=1e-4, max_value=1e8))
def test_number_keeps_three_digits(value):
    shown = float(number(value).replace(",", ""))
    assert abs(shown - value) <= 0.005 * value * 1.0001


def test_other_forms():
    assert setting(5.0) == "5"
    assert setting(0.703125) == "0.703125"
    assert percent(0.3453553) == "34.5\u00a0%"
    assert percent(None) == MISSING
    assert whole(39594) == "39,594"
    assert whole(None) == MISSING
    assert decimals(-0.001, 2) == "0.00"
    assert signed(0.0) == "+0.00"
    assert signed(-1.234) == "−1.23"
    assert with_unit(5.52, "cc") == "5.52\u00a0cc"
    assert with_unit(None, "cc") == MISSING
    assert minutes_seconds(407) == "6\u00a0min 47\u00a0s"
    assert minutes_seconds(59.7) == "1\u00a0min 00\u00a0s"


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.2, "1st"), (2, "2nd"), (3, "3rd"), (11.4, "11th"), (12, "12th"), (22, "22nd"), (95.04, "95th")],
)
def test_ordinal(value, text):
    assert ordinal(value) == text


def case_with(warnings, confidence="high", missing=0, scores=()):
    return {
        "exam": {"timing": {"confidence": confidence, "source": "ContentTime"}},
        "warnings": list(warnings),
        "features": {"n_values": 200, "n_missing": missing, "missing_reasons": {}},
        "scores": list(scores),
    }


def test_an_unknown_warning_counts_as_a_limit_and_reading_notes_do_not():
    limits = ["The VOI was odd.", "12.0 % of the VOI lies outside the image and was cut off."]
    notes = [
        "The VOI 1-1.dcm is fractional; voxels of at least 50% were taken.",
        "The lesion was resampled from its own grid onto the exam's.",
        "The lesion a.nrrd holds 3 labels; all of them were taken together.",
        "4 duplicate images were ignored.",
    ]
    grouped = group_warnings(case_with([notes[0], limits[0], *notes[1:], limits[1], limits[0]]))
    assert grouped.limits == tuple(limits)
    assert grouped.notes == tuple(notes)


def test_weak_times_and_missing_features_are_limits():
    grouped = group_warnings(case_with([], confidence="low", missing=50))
    assert len(grouped.limits) == 2
    assert "weak source" in grouped.limits[0]
    assert "50 of 200 radiomic values (25\u00a0%)" in grouped.limits[1]
    assert (
        group_warnings(case_with([], confidence="medium")).notes[0].startswith("The phase times come from ContentTime")
    )
