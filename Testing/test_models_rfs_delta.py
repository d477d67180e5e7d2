"""rfs-delta-ld-ispy1-v1: trained again, its figures by lifelines from the trial's own workbook, scored and refused."""

from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import pytest
from lifelines import CoxPHFitter
from scipy.stats import chi2
from test_models_training import assert_same

from IITHModuleLib.case_values import user_value
from IITHModuleLib.model_file import load_model
from IITHModuleLib.resources import resource_path
from IITHModuleLib.scoring import score_case, try_score_case
from IITHModuleLib.training.table import standard_values
from RadiogenomicReportLib.command_line.main import main
from support.data import require_data

MODEL = "rfs-delta-ld-ispy1-v1"
WORKBOOK = "I-SPY_1_All_Patient_Clinical_and_Outcome_Data.xlsx"
NAMES = ["longest_diameter_change_percent", "longest_diameter_mm", "hr", "her2", "age_years"]


@pytest.fixture(scope="module")
def content():
    return json.loads(resource_path("Models", MODEL, "model.json").read_text())


@pytest.fixture(scope="module")
def card():
    return resource_path("Models", MODEL, "MODEL_CARD.md").read_text()


@pytest.fixture(scope="module")
def patients():
    path = require_data("ispy1", WORKBOOK)
    with pytest.warns(UserWarning, match="extension"):
        sheets = pd.read_excel(path, sheet_name=["predictors", "outcomes"])
    table = sheets["predictors"].merge(sheets["outcomes"], on="SUBJECTID")
    first, second = table["MRI LD Baseline"], table["MRI LD 1-3dAC"]
    values = pd.DataFrame(
        {
            NAMES[0]: 100 * (second - first) / first,
            NAMES[1]: np.log(first),
            "hr": table["HR Pos"],
            "her2": table["Her2MostPos"],
            "age_years": table["age"],
        }
    )
    return values.assign(t=table.RFS, e=table.rfs_ind).dropna()


def fit(patients: pd.DataFrame, names: list[str]) -> CoxPHFitter:
    z = (patients[names] - patients[names].mean()) / patients[names].std(ddof=0)
    return CoxPHFitter().fit(z.assign(t=patients.t, e=patients.e), "t", "e", fit_options={"precision": 1e-12})


def test_training_again_gives_the_shipped_model(tmp_path, content):
    workbook = str(require_data("ispy1", WORKBOOK))
    assert main(["train", MODEL, workbook, workbook, "--out", str(tmp_path / MODEL)]) == 0
    assert_same(json.loads((tmp_path / MODEL / "model.json").read_text()), content)


def test_coefficients_and_what_the_change_adds_agree_with_lifelines(content, card, patients):
    (form,) = content["forms"]
    full, baseline = fit(patients, NAMES), fit(patients, NAMES[1:])
    assert (form["n"], form["n_events"]) == (len(patients), int(patients.e.sum())) == (207, 58)
    assert [f["coefficient"] for f in form["features"]] == pytest.approx(full.params_.to_numpy(), abs=1e-6)
    apparent = form["performance"]["internal"]["apparent"]["value"]
    assert apparent == pytest.approx(full.concordance_index_, abs=1e-6)
    (found,) = [c for c in form["performance"]["comparisons"] if c["name"] == "baseline only"]
    ratio = 2 * (full.log_likelihood_ - baseline.log_likelihood_)
    assert found["likelihood_ratio"]["added"] == NAMES[:1]
    assert found["likelihood_ratio"]["chi2"] == pytest.approx(ratio, abs=1e-6)
    assert found["likelihood_ratio"]["p"] == pytest.approx(chi2.sf(ratio, 1), abs=1e-8)
    assert found["likelihood_ratio"]["p"] > 0.2
    assert re.search(r'Adding longest_diameter_change_percent to "baseline only" brings no proven gain', card)
    assert "The early change adds nothing proven" in card


def test_a_case_is_scored_from_what_the_user_gives(content):
    model = load_model(MODEL)
    given = dict(zip(NAMES, (-20.0, 60.0, 1.0, 0.0, 50.0), strict=True))
    score = score_case(model, {name: user_value(name, value) for name, value in given.items()})
    z = [
        ((np.log(given[f["name"]]) if f["transform"] == "log" else given[f["name"]]) - f["mean"]) / f["sd"]
        for f in content["forms"][0]["features"]
    ]
    expected = np.exp(np.dot(z, [f["coefficient"] for f in content["forms"][0]["features"]]))
    assert score.value == pytest.approx(expected)
    refusal = try_score_case(model, {}).refusal
    assert "--longest-diameter-change" in refusal
    assert "--longest-diameter in mm" in refusal


def test_the_change_is_percent_of_the_first_value_and_missing_without_one():
    frame = pd.DataFrame({"a": [50.0, 0.0, 40.0], "b": [25.0, 10.0, np.nan]})
    recipe = {"longest_diameter_change_percent": {"take": "percent_change", "first": "a", "second": "b"}}
    found = standard_values(frame, recipe, set(recipe))["longest_diameter_change_percent"]
    assert found[0] == -50
    assert found[1:].isna().all()
