"""Scores against numbers worked out by hand, range flags, refusals and the choice of form."""

from __future__ import annotations

import json
import math

import pytest

from IITHModuleLib.case_values import CaseValue, case_values_from_json, case_values_from_row, user_value
from IITHModuleLib.model_file import Model, load_model, model_from_dict
from IITHModuleLib.resources import resource_path
from IITHModuleLib.score_text import model_text, score_text
from IITHModuleLib.scoring import score_case, try_score_case
from SubregionHabitatLib.errors import CaseRefused, InputError

UNITS = {"ftv_mm3": "mm3", "hr": "0/1", "her2": "0/1", "age_years": "years"}
QUANTILES = [-2 + 0.04 * k for k in range(101)]  # a linear predictor spread evenly over -2..2


def value(number: float | None, unit: str, reason: str | None = None) -> CaseValue:
    return CaseValue(number, unit, "measured", reason)


def pcr_values(*numbers: float) -> dict[str, CaseValue]:
    """Functional tumor volume, HR, HER2 and age."""
    return {name: value(n, unit) for (name, unit), n in zip(UNITS.items(), numbers, strict=True)}


def toy(kind: str) -> Model:
    """A shipped model with its numbers replaced by ones that are easy to work out by hand."""
    shipped = {"logistic": "pcr-ispy2-v1", "cox": "rfs-duke-v1"}[kind]
    path = resource_path("Models", shipped, "model.json")
    content = json.loads(path.read_text())
    form = content["forms"][0]
    names = ("ftv_mm3", "hr") if kind == "logistic" else ("lesion_volume_mm3", "enhancing_fraction")
    form["features"] = [f for f in form["features"] if f["name"] in names]
    numbers = ({"mean": math.log(1000), "sd": 2.0, "coefficient": 0.5}, {"mean": 0.5, "sd": 0.5, "coefficient": -1.0})
    for feature, known in zip(form["features"], numbers, strict=True):
        feature.update(known)
    form["features"][0]["training_quantiles"] = [10, 50, 100, 500, 1000, 2000, 10000, 50000, 100000]
    form["features"][1]["training_quantiles"] = [0, 0, 0, 0, 0.5, 1, 1, 1, 1]
    form["correlation"] = {"names": list(names), "matrix": [[1.0, 0.0], [0.0, 1.0]]}
    form["score_quantiles"] = QUANTILES
    form["distance_quantiles"] = [0.05 * k for k in range(101)]
    if kind == "logistic":
        form["intercept"] = 0.25
        form["covariance"] = {"names": ["intercept", *names], "matrix": [[0.04, 0, 0], [0, 0.01, 0], [0, 0, 0.09]]}
        form["groups"] = {"names": ["lower", "higher"], "cuts": [0.4], "scale": "probability", "rule": "by hand"}
    else:
        form["covariance"] = {"names": list(names), "matrix": [[0.01, 0], [0, 0.09]]}
        form["groups"] |= {"cuts": [-0.5, 0.5], "names": ["low", "intermediate", "high"]}
        form["horizons"] = [
            {"years": 3, "days": 1095.75, "baseline_survival": 0.9, "hazard_variance": 0.0004, "drift": [0.01, -0.02]}
        ]
    content["forms"] = [form]
    return model_from_dict(content, path, "0" * 64)


def test_logistic_score_by_hand():
    # z = (ln(1000 e^2) - ln 1000) / 2 = 1 and (1 - 0.5) / 0.5 = 1; log odds 0.25 + 0.5 - 1 = -0.25.
    score = score_case(toy("logistic"), {"ftv_mm3": value(1000 * math.e**2, "mm3"), "hr": value(1, "0/1")})
    assert score.linear_predictor == pytest.approx(-0.25, abs=1e-12)
    assert score.value == pytest.approx(1 / (1 + math.exp(0.25)), abs=1e-12)
    half = 1.959963984540054 * math.sqrt(0.04 + 0.01 + 0.09)
    assert score.ci95 == pytest.approx([1 / (1 + math.exp(0.25 + half)), 1 / (1 + math.exp(0.25 - half))], abs=1e-12)
    assert [c.contribution for c in score.contributions] == pytest.approx([0.5, -1.0])
    assert score.group == "higher"
    assert score.distance_to_cut == pytest.approx(score.value - 0.4)
    assert score.percentile_in_training == pytest.approx(100 * (-0.25 + 2) / 4)
    assert score.distance_percentile == pytest.approx(100 * 2 / 5)  # z'z = 2 on a grid of 0..5
    assert score.unit == "probability of pCR"
    assert score.in_range is True
    assert score.warnings == ()


def test_cox_score_by_hand():
    # z = 1 and (0.75 - 0.5) / 0.5 = 0.5; log relative hazard 0.5 - 0.5 = 0, so survival is the baseline's.
    values = {"lesion_volume_mm3": value(1000 * math.e**2, "mm3"), "enhancing_fraction": value(0.75, "1")}
    score = score_case(toy("cox"), values)
    assert score.linear_predictor == pytest.approx(0.0, abs=1e-12)
    assert score.value == pytest.approx(1.0, abs=1e-12)
    half = 1.959963984540054 * math.sqrt(0.01 + 0.09 * 0.25)
    assert score.ci95 == pytest.approx([math.exp(-half), math.exp(half)], abs=1e-12)
    (survival,) = score.survival
    assert survival.probability == pytest.approx(0.9, abs=1e-12)
    hazard = -math.log(0.9)
    lever = (1 * hazard - 0.01, 0.5 * hazard + 0.02)
    error = math.sqrt(0.0004 + 0.01 * lever[0] ** 2 + 0.09 * lever[1] ** 2) / hazard
    assert survival.low == pytest.approx(math.exp(-hazard * math.exp(1.959963984540054 * error)), abs=1e-12)
    assert survival.high == pytest.approx(math.exp(-hazard * math.exp(-1.959963984540054 * error)), abs=1e-12)
    assert score.group == "intermediate"
    assert abs(score.distance_to_cut) == pytest.approx(0.5)


def test_higher_hazard_means_lower_survival_and_a_higher_group():
    small, large = (
        score_case(load_model("rfs-duke-v1"), {"lesion_volume_mm3": value(v, "mm3")}) for v in (300.0, 30000.0)
    )
    assert small.value < 1 < large.value
    assert [s.probability for s in small.survival] > [s.probability for s in large.survival]
    assert (small.group, large.group) == ("low", "high")
    for score in (small, large):
        assert [s.years for s in score.survival] == [3, 5]
        assert all(s.low < s.probability < s.high for s in score.survival)


def test_a_value_outside_the_training_range_is_scored_and_flagged_first():
    score = score_case(toy("logistic"), {"ftv_mm3": value(90000, "mm3"), "hr": value(0, "0/1")})
    assert score.value is not None
    assert score.in_range is False
    assert score.to_json()["in_range"] == {"overall": False, "inputs": {"ftv_mm3": False, "hr": True}}
    assert "ftv_mm3 is 90000 mm3, outside the usual training range 50 to 50000" in score.warnings[0]
    assert "OUTSIDE RANGE" in score_text(score).splitlines()[1]


def test_a_rare_combination_is_flagged_though_each_value_is_usual():
    # A small volume where the fraction is 1 and the two go together in training: rho 0.9 makes it rare.
    model = toy("cox")
    content = json.loads(model.path.read_text())
    form = next(f for f in content["forms"] if f["name"] == "volume and enhancing fraction")
    for feature, other in zip(form["features"], model.forms[0].features, strict=True):
        feature.update(mean=other.mean, sd=other.sd, coefficient=other.coefficient)
        feature["training_quantiles"] = list(other.quantiles)
    form["correlation"]["matrix"] = [[1.0, 0.9], [0.9, 1.0]]
    form["distance_quantiles"] = [0.05 * k for k in range(101)]
    content["forms"] = [form]
    model = model_from_dict(content, model.path, "0" * 64)
    values = {"lesion_volume_mm3": value(1000 / math.e**2, "mm3"), "enhancing_fraction": value(1.0, "1")}
    score = score_case(model, values)
    assert all(c.in_range for c in score.contributions)
    assert score.in_range is False
    assert "combination" in score.warnings[0]


def test_missing_inputs_are_refused_by_name_with_the_remedy():
    values = {"ftv_mm3": value(20000, "mm3"), "age_years": user_value("age_years", 50)}
    with pytest.raises(CaseRefused) as caught:
        score_case(load_model("pcr-ispy2-v1"), values)
    message = str(caught.value)
    assert "hr (not given; give --hr 0 or --hr 1)" in message
    assert "her2" in message
    assert "--her2" in message
    assert "age_years" not in message
    assert "\n" not in message


def test_a_refusal_as_a_score_keeps_the_reason_and_has_no_value():
    values = {"ftv_mm3": value(None, "mm3", "there is no region of interest"), "hr": value(1, "0/1")}
    score = try_score_case(load_model("pcr-ispy2-v1"), values)
    assert score.value is None
    assert score.in_range is None
    assert "there is no region of interest" in score.refusal
    assert {m.name for m in score.inputs_missing} == {"ftv_mm3", "her2", "age_years"}
    assert "REFUSED" in score_text(score)
    assert json.loads(json.dumps(score.to_json(), allow_nan=False))["refusal"] == score.refusal


def test_the_volume_only_form_is_used_and_says_why():
    reason = "the lesion was made by the FTV rule, where it is 1 by construction"
    values = {"lesion_volume_mm3": value(3856, "mm3"), "enhancing_fraction": value(None, "1", reason)}
    score = score_case(load_model("rfs-duke-v1"), values)
    assert score.form == "volume only"
    assert reason in score.form_reason
    assert [m.name for m in score.inputs_missing][:3] == ["enhancing_fraction", "n_stage", "hr"]
    both = score_case(load_model("rfs-duke-v1"), values | {"enhancing_fraction": value(0.989, "1")})
    assert both.form == "volume and enhancing fraction"
    assert {m.name for m in both.inputs_missing} == {"n_stage", "hr", "her2", "age_years"}
    clinical = {
        "n_stage": value(1, "0-3"),
        "hr": value(1, "0/1"),
        "her2": value(0, "0/1"),
        "age_years": value(50, "years"),
    }
    everything = score_case(load_model("rfs-duke-v1"), values | clinical | {"enhancing_fraction": value(0.989, "1")})
    assert everything.form == "volume, enhancing fraction, nodes, receptors and age"
    assert everything.inputs_missing == ()
    assert score_case(load_model("rfs-duke-v1"), values | clinical).form == "volume, receptors and age"


def test_a_zero_volume_is_refused_not_scored():
    with pytest.raises(CaseRefused, match="logarithm"):
        score_case(load_model("rfs-duke-v1"), {"lesion_volume_mm3": value(0.0, "mm3")})


@pytest.mark.parametrize(
    ("name", "bad", "word"),
    [
        ("ftv_mm3", CaseValue(41.0, "cc", "measured"), "'cc' but must be in 'mm3'"),
        ("ftv_mm3", CaseValue(math.nan, "mm3", "measured"), "finite"),
        ("ftv_mm3", CaseValue(-5.0, "mm3", "measured"), "outside the possible"),
        ("hr", CaseValue(2.0, "0/1", "user"), "0 \\(negative\\) or 1"),
        ("her2", CaseValue(0.5, "0/1", "user"), "0 \\(negative\\) or 1"),
        ("age_years", CaseValue(1950.0, "years", "user"), "outside the possible"),
        ("enhancing_fraction", CaseValue(98.9, "1", "measured"), "outside the possible"),
    ],
)
def test_wrong_units_and_impossible_values_are_input_errors(name, bad, word):
    with pytest.raises(InputError, match=word):
        score_case(load_model("pcr-ispy2-v1"), {name: bad})


def test_extreme_but_possible_values_never_overflow():
    values = {"lesion_volume_mm3": value(1e7, "mm3"), "enhancing_fraction": value(0.0, "1")}
    content = score_case(load_model("rfs-duke-v1"), values).to_json()
    assert json.dumps(content, allow_nan=False)
    values = {
        "ftv_mm3": value(1e-9, "mm3"),
        "hr": value(0, "0/1"),
        "her2": value(1, "0/1"),
        "age_years": value(1, "years"),
    }
    score = score_case(load_model("pcr-ispy2-v1"), values)
    assert 0 < score.ci95[0] <= score.value <= score.ci95[1] <= 1


def test_a_score_carries_what_a_reader_needs_to_judge_it():
    values = {
        "ftv_mm3": value(20000, "mm3"),
        "hr": value(0, "0/1"),
        "her2": value(1, "0/1"),
        "age_years": value(45, "years"),
    }
    content = score_case(load_model("pcr-ispy2-v1"), values).to_json()
    assert "Research use only" in content["note"]
    assert content["licence"] == "CC BY 4.0"
    assert content["performance"]["metric"] == "AUC"
    assert {e["name"] for e in content["performance"]["external"]} == {
        "I-SPY 1",
        "I-SPY 1, table as published",
        "Duke",
    }
    assert content["performance"]["internal"]["n"] == 982
    assert len(content["model_digest"]) == 64
    assert content["inputs_used"]["ftv_mm3"] == {"value": 20000.0, "unit": "mm3", "source": "measured"}


def test_text_stays_within_110_columns():
    values = {"lesion_volume_mm3": value(9e6, "mm3"), "enhancing_fraction": value(None, "1", "reason " * 40)}
    lines = score_text(score_case(load_model("rfs-duke-v1"), values)).splitlines()
    lines += model_text(load_model("pcr-ispy2-v1")).splitlines() + model_text(load_model("rfs-duke-v1")).splitlines()
    assert max(map(len, lines)) <= 110


def test_case_values_are_read_from_json_and_from_table_rows():
    values = case_values_from_json(
        {"hr": {"value": 1, "unit": "0/1", "source": "user", "reason": None}, "later": {"value": 2.0, "unit": "m"}},
        "case",
    )
    assert values["hr"] == CaseValue(1.0, "0/1", "user")
    assert values["later"].value == 2.0
    row = case_values_from_row({"hr": " 1 ", "age_years": "", "patient_id": "x"})
    assert row["hr"].value == 1.0
    assert row["age_years"].value is None
    with pytest.raises(InputError, match="not a number"):
        case_values_from_row({"hr": "positive"})


@pytest.mark.parametrize("content", [None, [], {"hr": 1}, {"hr": {"value": "1", "unit": "0/1"}}, {"hr": {"value": 1}}])
def test_malformed_case_values_are_refused(content):
    with pytest.raises(InputError, match="iith analyze"):
        case_values_from_json(content, "case.json")
