"""The report's card of a heterogeneity index: range check first, then the number, its place and what made it."""

from __future__ import annotations

import pytest

from RadiogenomicReportLib.case_report import case_report_html
from support.report_cases import Page, report_case


@pytest.fixture(scope="module")
def made(simulated, simulated_imaging):
    case, pictures = report_case(simulated.exam, simulated_imaging, models=["iith-duke-v1", "iith-simulated-v1"])
    return case, Page(case_report_html(case, pictures))


def test_range_check_comes_before_the_number_and_its_place(made):
    case, page = made
    score, card = case["scores"][0], page.all("article")[0].text
    assert score["value"] is not None
    order = ["Range check:", "heterogeneity index, sum of z-scores", "How good the model itself is", "Place among the"]
    places = [card.index(text) for text in order]
    assert places == sorted(places)
    inside = sum(c["in_range"] for c in score["contributions"])
    assert f"Range check: {inside} of 9 inputs lie within the usual range of the training patients" in card
    assert "1 missing, counted as average" in card
    assert f"this case: {score['percentile_in_training']:.0f}" in card
    assert f"Group: {score['group']}" in card
    assert "95 % interval None" not in card
    assert "nearest group of training patients" in card


def test_inputs_are_named_in_plain_words_with_what_they_add(made):
    case, page = made
    card = page.all("article")[0].text
    assert "kinetic_" not in card
    assert "Share with SER above 1.3 (wash-out)" in card
    for entry in case["scores"][0]["contributions"]:
        assert f"{abs(entry['contribution']):.2f}" in card
    assert "Adds to the index" in card
    assert "What it tells: HI alone: hazard ratio" in card
    assert "HI adds nothing proven to log volume" in card


def test_an_index_whose_features_are_not_there_is_refused_with_the_reason(made):
    case, page = made
    refused = page.all("article")[1]
    assert case["scores"][1]["value"] is None
    assert "refused" in refused.attributes["class"]
    assert "SIMULATED" in refused.text
    assert case["scores"][1]["refusal"] in refused.text
    assert refused.text.count("To supply it") == 0
    assert "Not scored: Heterogeneity index of 42 features" in page.by_id("warnings").text
    assert "inputs named under Scores" in page.by_id("summary").text


def test_a_case_refused_for_its_range_is_not_said_to_lack_inputs(made, simulated, simulated_imaging):
    case = made[0]
    refused = {**case["scores"][1], "refusal": "12 of 60 features lie far outside", "inputs_missing": []}
    _, pictures = report_case(simulated.exam, simulated_imaging, models=["iith-duke-v1"])
    page = Page(case_report_html({**case, "scores": [refused]}, pictures))
    card = page.all("article")[0].text
    assert "12 of 60 features lie far outside" in card
    assert "needs what this case does not have" not in card
    assert "the reason stands under Scores" in page.by_id("summary").text
