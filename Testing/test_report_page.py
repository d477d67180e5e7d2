"""The report as a page: order, safety, numbers, score cards, figures, and unusual cases."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import re
from xml.etree import ElementTree

import numpy as np
import pytest

from RadiogenomicReportLib.case_report import case_report_html
from RadiogenomicReportLib.figures_style import HABITAT_COLORS
from RadiogenomicReportLib.report_numbers import number
from RadiogenomicReportLib.report_scores import score_cards
from SubregionHabitatLib.analysis import ImagingParameters, analyze_imaging
from SubregionHabitatLib.exam_files import read_exam
from SubregionHabitatLib.habitats import HabitatParameters
from SubregionHabitatLib.masks import RegionMask, read_region
from SubregionHabitatLib.simulation import SimulationParameters, simulate_exam
from support.data import require_data
from support.report_cases import Page, decoded, pixels, report_case

SECTIONS = (
    "warnings", "summary", "exam", "pictures", "curves", "volumes", "breast", "clinical", "scores", "tables",
    "features", "parameters", "provenance",
)  # fmt: skip
NASTY = "<script>alert('1')</script>\"><img src=x onerror=alert(2)> {{ 7*7 }} $\\frac{ &amp; \u2028 end"

PREDICTIVE = ["pcr-ispy2-v1", "rfs-duke-v1"]


@pytest.fixture(scope="module")
def made(simulated, simulated_imaging):
    return report_case(simulated.exam, simulated_imaging, models=PREDICTIVE)


@pytest.fixture(scope="module")
def html(made):
    return case_report_html(*made)


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


@pytest.fixture(scope="module")
def refused(simulated, simulated_imaging):
    case, pictures = report_case(simulated.exam, simulated_imaging, clinical={}, models=PREDICTIVE)
    return case, Page(case_report_html(case, pictures))


def test_sections_come_in_order_warnings_first_and_provenance_last(page):
    found = [e.attributes.get("id") for e in page.all("section") if e.attributes.get("id")]
    assert tuple(found) == SECTIONS
    levels = [int(e.tag[1]) for e in page.elements if re.fullmatch(r"h[1-6]", e.tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b <= a + 1 for a, b in itertools.pairwise(levels))


def test_the_page_asks_for_nothing_outside_and_runs_nothing(page, html):
    assert not [e for e in page.elements if e.tag in ("script", "link", "iframe", "object", "embed", "form", "base")]
    ids = {e.attributes["id"] for e in page.elements if "id" in e.attributes}
    for element in page.elements:
        assert not [a for a in element.attributes if a.startswith("on")]
        if "src" in element.attributes:
            assert element.attributes["src"].startswith(("data:image/png;base64,", "data:image/svg+xml;base64,"))
        if "href" in element.attributes:
            assert element.attributes["href"].startswith("#")
            assert element.attributes["href"][1:] in ids
    policy = next(e for e in page.all("meta") if e.attributes.get("http-equiv") == "Content-Security-Policy")
    assert policy.attributes["content"] == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    without_pictures = re.sub(r'src="data:[^"]*"', "", html)
    assert "http://" not in without_pictures
    assert "https://" not in without_pictures
    assert "url(" not in without_pictures
    assert "@import" not in without_pictures


def test_every_text_of_the_input_is_shown_as_text(made):
    case, pictures = copy.deepcopy(made[0]), made[1]
    plain_tags = [e.tag for e in Page(case_report_html(case, pictures)).elements]
    case["exam"] |= {"description": NASTY, "manufacturer": NASTY, "left_out": []}
    case["exam"]["timing"]["source"] = NASTY
    case["warnings"] = [NASTY]
    case["kinetics"]["rule"] = NASTY
    case["habitats"]["regions"][0]["name"] = NASTY
    case["curves"][0]["region"] = NASTY
    case["scores"][0] |= {"model_title": NASTY, "licence": NASTY, "group": NASTY, "outcome": NASTY}
    case["scores"][0]["performance"]["verdict"] = NASTY
    case["scores"][1] |= {"form_reason": NASTY, "outcome": NASTY}
    case["parameters"]["peak_search"] = NASTY
    case["provenance"]["platform"] = NASTY
    page = Page(case_report_html(case, pictures))
    assert [e.tag for e in page.elements] == plain_tags  # not one element more than with plain text
    shown = " ".join(NASTY.split())
    for section in ("warnings", "summary", "exam", "volumes", "scores", "tables", "parameters", "provenance"):
        assert shown in page.by_id(section).text, section
    assert shown in page.all("header")[0].text


def test_identity_only_on_request_and_then_as_text(made, simulated, simulated_imaging, page):
    assert "identity" not in made[0]
    assert "This report holds no patient identity" in page.text
    assert not [e for e in page.elements if e.attributes.get("id") == "identity"]
    identity = {"PatientName": f"DOE^JANE {NASTY}", "PatientID": "4711"}
    case, pictures = report_case(simulated.exam, simulated_imaging, models=[], identity=identity)
    shown = Page(case_report_html(case, pictures))
    text = shown.by_id("identity").text
    assert "4711" in text
    assert " ".join(identity["PatientName"].split()) in text
    assert not shown.all("script")
    assert "holds no patient identity" not in shown.text


def test_a_simulated_exam_says_so_and_research_use_is_everywhere(page, made, simulated_imaging, simulated):
    assert "Simulated exam." in page.all("header")[0].text
    case = copy.deepcopy(made[0])
    case["exam"] |= {"description": "DCE", "manufacturer": "Some maker", "kind": "dicom"}
    assert "Simulated exam." not in Page(case_report_html(case, made[1])).text
    assert "Research use only" in page.all("header")[0].text
    assert "research use only" in page.all("title")[0].text
    assert all("Research use only" in card.text for card in page.all("article"))
    assert "Research use only" in page.all("footer")[0].text


def test_volumes_are_those_of_the_case(page, made):
    case = made[0]
    summary, volumes = page.by_id("summary").text, page.by_id("volumes").text
    for value, unit in (
        (case["lesion"]["volume_cc"], "cc"),
        (case["lesion"]["ftv_cc"], "cc"),
        (case["lesion"]["longest_diameter_mm"], "mm"),
        (case["ring"]["volume_cc"], "cc"),
    ):
        assert f"{number(value)} {unit}" in summary
        assert f"{number(value)} {unit}" in volumes
    for region in case["habitats"]["regions"]:
        shown = f"{region['name']}: {number(region['volume_cc'])} cc ({100 * region['share']:.1f} %)"
        assert shown in summary
        assert shown in volumes
    for entry in case["lesion"]["ser_bins_cc"]:
        shown = f"SER {entry['above']:g} to {entry['up_to']:g}: {number(entry['volume_cc'])} cc"
        assert shown in volumes
    assert f"{100 * case['ring']['kept_fraction']:.1f} % of the full ring kept" in volumes


def test_phases_and_their_times(page, made):
    rows = [e.text for e in page.all("tr")]
    for phase in made[0]["exam"]["phases"]:
        clock = f"{int(phase['time_s']) // 60} min {int(phase['time_s']) % 60:02d} s"
        assert f"{phase['index']} {phase['role']} {clock} {phase['time_s']:.0f}" in rows
    timeline = next(e for e in page.elements if "timeline" in e.attributes.get("class", ""))
    assert timeline.attributes["aria-label"].count(" min") == len(made[0]["exam"]["phases"])


def test_every_score_card_has_result_performance_verdict_and_licence(page, made):
    cards = page.all("article")
    assert len(cards) == len(made[0]["scores"]) == 2
    for card, score in zip(cards, made[0]["scores"], strict=True):
        text, performance = card.text, score["performance"]
        internal = performance["internal"]
        assert f"{performance['metric']} (95 % interval)" in text
        expected = f"{internal['value']:.2f} ({internal['low']:.2f} to {internal['high']:.2f})"
        assert f"{expected} {internal['n']} {internal['n_events']}" in text
        for external in performance["external"]:
            assert external["name"] in text
            assert f"{external['value']:.2f} ({external['low']:.2f} to {external['high']:.2f})" in text
        assert "What imaging adds:" in text
        assert f"Licence: {score['licence']}." in text
        assert f"Group: {score['group']}" in text
        assert f"this case: {score['percentile_in_training']:.0f}" in text
        assert text.count("× ") >= len(score["contributions"])
    logistic, cox = made[0]["scores"]
    low, high = logistic["ci95"]
    assert f"{100 * logistic['value']:.0f} % 95 % interval {100 * low:.0f} to {100 * high:.0f} %" in cards[0].text
    for s in cox["survival"]:
        shown = f"at {s['years']:g} years: {100 * s['probability']:.0f} % (95 % interval {100 * s['low']:.0f} to"
        assert shown in cards[1].text


def test_the_strip_places_case_and_cuts_at_training_percentiles(made):
    logistic, cox = score_cards(made[0])
    for card, score in ((logistic, made[0]["scores"][0]), (cox, made[0]["scores"][1])):
        assert float(card["strip"]["at"]) == pytest.approx(score["percentile_in_training"], abs=0.005)
        current = next(s for s in card["strip"]["segments"] if s["current"])
        left, width = float(current["left"]), float(current["width"])
        assert left <= score["percentile_in_training"] <= left + width
        assert sum(float(s["width"]) for s in card["strip"]["segments"]) == pytest.approx(100.0, abs=0.02)
    # The Cox model's groups are tertiles of its training patients.
    np.testing.assert_allclose([float(s["width"]) for s in cox["strip"]["segments"]], 100 / 3, atol=0.5)


def test_outside_the_training_range_is_said_before_the_number(made):
    case = copy.deepcopy(made[0])
    case["scores"][0]["in_range"]["overall"] = False
    case["scores"][0]["warnings"] = ["age_years is 99 years, outside the usual training range 27 to 70."]
    page = Page(case_report_html(case, made[1]))
    card = page.all("article")[0].text
    assert card.index("Outside what this model has seen.") < card.index("95 % interval")
    assert "Age is 99 years, outside" in card
    assert "Outside what the model has seen" in page.by_id("warnings").text
    summary = page.by_id("summary").text
    assert summary.index("Outside what the model has seen.") < summary.index("predicted probability of pCR")


def test_a_refused_model_says_what_is_missing_and_how_to_give_it(refused):
    case, page = refused
    score = case["scores"][0]
    assert score["refusal"]
    card = page.all("article")[0]
    assert "refused" in card.attributes["class"]
    for missing in score["inputs_missing"]:
        assert f"To supply it: {missing['remedy']}." in card.text
        assert f"( {missing['name']} ): {missing['reason']}." in card.text
    assert "None" not in card.text
    assert "Licence: " in card.text
    assert "0.70" in card.text  # the model's own performance
    assert "Not scored for want of hormone receptor status, HER2 status, age" in page.by_id("warnings").text
    assert "Not scored" in page.by_id("summary").text


def test_without_the_models_file_the_figure_is_left_out_with_a_word(made):
    case = copy.deepcopy(made[0])
    case["scores"][1]["model_digest"] = "0" * 64
    page = Page(case_report_html(case, made[1]))
    card = page.all("article")[1].text
    assert "is left out: the file of this model" in card
    assert "the cuts are not drawn" in card
    assert f"Licence: {case['scores'][1]['licence']}." in card
    assert not [e for e in page.all("img") if "Kaplan-Meier" in e.attributes["alt"]]


def test_a_model_name_is_never_used_as_a_path(made, tmp_path):
    case = copy.deepcopy(made[0])
    for name in ("../../etc/passwd", str(tmp_path), "", "CON"):
        case["scores"][1]["model_id"] = name
        assert score_cards(case)[1]["model_here"] is False


def test_every_picture_has_words_and_is_drawn(page, made):
    images = page.all("img")
    assert len(images) == 1 + 4 + 4 + 1 + 1 + 1  # summary, slices, maps, curves, breast, survival
    for image in images:
        assert len(image.attributes["alt"]) > 30
        assert int(image.attributes["width"]) > 100
        media, content = decoded(image.attributes["src"])
        if media == "image/png":
            shown = pixels(image.attributes["src"])
            assert shown.std() > 0.05
            assert min(shown.shape[:2]) > 300
        else:
            assert len(ElementTree.fromstring(content).findall(".//{*}path")) > 20
            assert b"<script" not in content
            assert b"<image" not in content
    alts = [e.attributes["alt"] for e in images]
    assert len(set(alts)) == len(alts) - 1  # only the summary's picture comes twice
    assert sum("sagittal slice" in a.lower() for a in alts) == 8


def _points(content: bytes, color: str) -> list[np.ndarray]:
    """Every stroked line of one color in an SVG as (n, 2) points."""
    found = []
    for path in ElementTree.fromstring(content).findall(".//{*}path"):
        style = path.get("style", "")
        if f"stroke: {color.lower()}" in style and "fill: none" in style:
            found.append(np.array(re.findall(r"[ML] (\S+) (\S+)", path.get("d")), dtype=float))
    return found


def test_the_curves_are_drawn_where_the_case_says(page, made):
    image = next(e for e in page.all("img") if e.attributes["alt"].startswith("Mean enhancement"))
    _, content = decoded(image.attributes["src"])
    drawn, expected = [], []
    for index, region in enumerate(made[0]["habitats"]["regions"]):
        curve = next(c for c in made[0]["curves"] if c["region"] == region["name"])
        (line,) = [p for p in _points(content, HABITAT_COLORS[index]) if len(p) == len(curve["times_s"])]
        drawn.append(line)
        expected.append(np.column_stack([np.array(curve["times_s"]) / 60, curve["mean"]]))
    drawn, expected = np.concatenate(drawn), np.concatenate(expected)
    for axis in (0, 1):
        slope, start = np.polyfit(expected[:, axis], drawn[:, axis], 1)
        np.testing.assert_allclose(slope * expected[:, axis] + start, drawn[:, axis], atol=0.01)
        assert slope * (1, -1)[axis] > 0  # later is further right, more enhancement higher up


def test_the_survival_figure_highlights_this_cases_group(page, made):
    score = made[0]["scores"][1]
    image = next(e for e in page.all("img") if "Kaplan-Meier" in e.attributes["alt"])
    assert image.attributes["alt"].endswith(f"This case falls into the group {score['group']}.")
    _, content = decoded(image.attributes["src"])
    assert len([p for p in _points(content, "#0072B2") if len(p) > 10]) == 1


def test_the_same_case_gives_the_same_bytes(made, html):
    assert case_report_html(copy.deepcopy(made[0]), made[1]) == html


def test_no_long_digits_and_no_nan(page):
    assert not re.search(r"\d\.\d{7,}", page.text)
    assert not re.search(r"\b(nan|None|inf|null)\b", page.text)


def test_a_case_without_scores(simulated, simulated_imaging):
    case, pictures = report_case(simulated.exam, simulated_imaging, models=[])
    page = Page(case_report_html(case, pictures))
    assert not page.all("article")
    assert "No model was applied to this case." in page.by_id("scores").text
    assert "No model was applied to this case." in page.by_id("summary").text


def test_an_empty_habitat_is_shown_as_empty_and_its_centre_as_missing(made):
    case, pictures = copy.deepcopy(made[0]), made[1]
    first = case["habitats"]["regions"][0]
    first |= {"volume_cc": 0.0, "share": 0.0}
    first["centre"] = dict.fromkeys(first["centre"])
    first["centre_z"] = dict.fromkeys(first["centre_z"])
    case["curves"] = [c for c in case["curves"] if c["region"] != first["name"]]
    pictures = dataclasses.replace(pictures, habitats=np.where(pictures.habitats == 1, 2, pictures.habitats))
    page = Page(case_report_html(case, pictures))
    assert f"{first['name']}: 0 cc (0.0 %)" in page.by_id("volumes").text
    row = next(e.text for e in page.all("tr") if e.text.startswith(first["name"]) and "missing" in e.text)
    assert row == f"{first['name']} missing missing missing missing"
    assert "poor 0%" in next(e for e in page.all("img") if "habitats in color" in e.attributes["alt"]).attributes["alt"]


def test_missing_features_and_values_carry_their_reasons(made):
    case = copy.deepcopy(made[0])
    case["features"] = {
        "n_values": 400,
        "n_missing": 30,
        "missing_reasons": {"habitat1: the region is empty": 25, "ring: undefined": 5},
    }
    case["interaction"]["features"]["msi_correlation"] = None
    case["interaction"]["reasons"]["msi_correlation"] = "the labels do not vary"
    page = Page(case_report_html(case, made[1]))
    assert "habitat1: the region is empty 25" in [e.text for e in page.all("tr")]
    assert "30 of them are missing" in page.by_id("features").text
    assert "correlation missing: the labels do not vary" in page.by_id("tables").text
    reason = case["lesion"]["enhancing_fraction_reason"]
    assert f"Enhancing fraction, first post-contrast phase missing {reason}" in [e.text for e in page.all("tr")]


@pytest.mark.parametrize("starts", [(0.0, 130.0, 250.0), tuple([0.0] + [120.0 + 61.0 * i for i in range(7)])])
def test_exams_of_three_and_of_eight_phases_in_another_plane(starts):
    simulated = simulate_exam(
        SimulationParameters(
            seed=4,
            shape=(40, 90, 90),
            spacing_mm=(2.0, 2.0, 4.0),
            orientation="axial",
            oblique_deg=(0.0, 0.0, 25.0),
            laterality="R",
            phase_starts_s=starts,
            phase_duration_s=60.0,
        )
    )
    imaging = analyze_imaging(simulated.exam, voi=RegionMask(simulated.voi, "simulated VOI"))
    case, pictures = report_case(simulated.exam, imaging, models=[])
    page = Page(case_report_html(case, pictures))
    header = next(e for e in page.all("table") if e.attributes.get("class") == "curves")
    assert header.text.count(" to ") == (len(starts) - 1) * len(case["curves"]) + 1
    assert "Acquisition plane axial" in page.by_id("exam").text
    alts = [e.attributes["alt"] for e in page.all("img")]
    assert any(a.startswith("oblique coronal slice") for a in alts)
    (minutes,) = {f"{starts[-1] / 60:.1f}"}
    assert minutes in page.by_id("exam").text


def test_the_real_exam_within_size():
    folder = require_data("ucsf-br-06")
    exam = read_exam([folder])
    imaging = analyze_imaging(exam, voi=read_region(folder / "mask", exam.geometry, "VOI"))
    case, pictures = report_case(exam, imaging)
    html = case_report_html(case, pictures)
    assert len(html.encode()) < 3_000_000
    page = Page(html)
    assert "Simulated exam." not in page.text
    assert "40.6 cc" in page.by_id("summary").text  # the FTV that UCSF's rule gives on this exam
    assert "No patient" not in page.text
    for name, value in exam.source.identity.items():
        assert not value or str(value) not in page.text, name


def test_the_breast_section_shows_the_case_and_how_it_was_measured(made, page):
    case, pictures = made
    (side,) = case["background_enhancement"]
    shown = page.by_id("breast").text
    assert f"Mean background enhancement {side['mean_percent']:.1f} %" in shown
    for threshold, share in side["share_above_percent"].items():
        assert f"Share of the tissue above {threshold} % {100 * share:.1f} %" in shown
    assert "found automatically between skin and chest wall; 2 mm of skin taken off; fat is suppressed" in shown
    early = case["exam"]["phases"][case["kinetics"]["early_phase"]]
    assert f"at the early phase (phase {early['index']}, {early['time_s'] / 60:.1f} min)" in shown
    missing = copy.deepcopy(case)
    missing["background_enhancement"][0] |= {"mean_percent": None, "missing": {"mean_percent": "of <NASTY>"}}
    without = Page(case_report_html(missing, dataclasses.replace(pictures, tissue=None)))
    assert "Mean background enhancement missing" in without.by_id("breast").text
    assert "Missing because of <NASTY>." in without.by_id("breast").text
    assert len(without.all("img")) == len(page.all("img")) - 1
    # A case of an earlier version has no such section.
    del missing["breast"]
    earlier = Page(case_report_html(missing, dataclasses.replace(pictures, tissue=None)))
    assert "breast" not in [e.attributes.get("id") for e in earlier.all("section")]


def test_a_drawn_lesion_and_two_habitats_and_a_model_never_tested_outside(simulated):
    parameters = ImagingParameters(habitats=HabitatParameters(k=2))
    drawn = RegionMask(simulated.truth_lesion, "simulated lesion")
    imaging = analyze_imaging(simulated.exam, parameters, lesion=drawn)
    case, pictures = report_case(simulated.exam, imaging, models=["rfs-duke-v1"])
    case["scores"][0]["performance"]["external"] = [{"name": "Elsewhere", "not_tested": "no such patients"}]
    page = Page(case_report_html(case, pictures))
    assert "as drawn by the user" in page.by_id("volumes").text
    fraction = case["lesion"]["enhancing_fraction_first_post"]
    assert fraction > 0
    assert f"{100 * fraction:.1f} %" in page.by_id("volumes").text
    assert "habitat 2" in page.by_id("pictures").text
    assert "habitat 2 perfusion" not in page.text
    card = page.all("article")[0].text
    assert "Elsewhere not tested: no such patients" in card
    assert "Not tested on patients of another source." in card
    assert "not tested on patients of another source" in page.by_id("summary").text
