"""iith-duke-v1: portable to pixels, trained again, its survival figures by lifelines itself, scored and refused."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
from lifelines import CoxPHFitter
from lifelines.statistics import logrank_test
from lifelines.utils import concordance_index
from scipy.stats import spearmanr
from test_imaging_duke import exam, lesion  # noqa: F401  (fixtures: the exam and the lesion rule of its table)

from IITHModuleLib.any_model import open_model, score_any
from IITHModuleLib.heterogeneity.feature_matrix import FeatureKey
from IITHModuleLib.heterogeneity.index_card import index_card
from IITHModuleLib.heterogeneity.index_model import load_index_model, score_index
from IITHModuleLib.kinetic_rows import kinetic_rows
from IITHModuleLib.resources import resource_path
from IITHModuleLib.training.index_table import read_features
from IITHModuleLib.training.su_iith import load_index_protocol
from RadiogenomicReportLib.command_line.main import main
from SubregionHabitatLib.errors import InputError
from support.data import require_data

MODEL = "iith-duke-v1"
PATIENT = "Breast_MRI_153"


@pytest.fixture(scope="module")
def content():
    return json.loads(resource_path("Models", MODEL, "model.json").read_text())


@pytest.fixture(scope="module")
def matrix():
    plan = load_index_protocol(MODEL)
    return read_features(require_data("duke", "imaging_features.csv.gz"), plan.columns, {}, plan.join_on)


@pytest.fixture(scope="module")
def from_pixels(exam, lesion):  # noqa: F811
    rows = kinetic_rows(exam.signal, lesion, exam.geometry.voxel_volume_mm3)
    return {FeatureKey(r.region, r.image, r.feature): r.value for r in rows}


@pytest.fixture(scope="module")
def from_table(matrix):
    return dict(zip(matrix.keys, matrix.values[matrix.patients.index(PATIENT)].tolist(), strict=True))


def test_every_input_measured_on_the_exam_agrees_with_dukes_own_row(content, from_pixels, from_table):
    assert len(content["features"]) == 10
    for entry in content["features"]:
        key = FeatureKey(entry["region"], entry["image"], entry["feature"])
        tolerance = {"abs": 0.03} if "Share" in key.feature else {"rel": 0.05}
        assert from_pixels[key] == pytest.approx(from_table[key], **tolerance), key


def test_percentile_from_pixels_is_the_percentile_from_the_table(from_pixels, from_table):
    model = load_index_model(MODEL)
    pixels, table = score_index(model, from_pixels), score_index(model, from_table)
    assert pixels.percentile_in_training == pytest.approx(table.percentile_in_training, abs=2)
    assert pixels.group == table.group == "high"


def test_training_again_gives_the_shipped_model(tmp_path, content):
    arguments = [str(require_data("duke", name)) for name in ("imaging_features.csv.gz", "outcomes.csv")]
    assert main(["train", MODEL, *arguments, "--out", str(tmp_path / MODEL)]) == 0
    again = json.loads((tmp_path / MODEL / "model.json").read_text())
    for made, shipped in zip(again["training"]["tables"], content["training"]["tables"], strict=True):
        assert made["sha256"] == shipped["sha256"]
    assert_close(
        again | {"training": again["training"]["survival"]}, content | {"training": content["training"]["survival"]}
    )
    assert resource_path("Models", MODEL, "MODEL_CARD.md").read_text() == index_card(content)


def assert_close(found, expected, where=""):
    if isinstance(expected, dict):
        assert found.keys() == expected.keys(), where
        for key in expected:
            assert_close(found[key], expected[key], f"{where}/{key}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), where
        for k, pair in enumerate(zip(found, expected, strict=True)):
            assert_close(*pair, f"{where}/{k}")
    elif isinstance(expected, float):
        assert math.isclose(found, expected, rel_tol=1e-6, abs_tol=1e-9), (where, found, expected)
    else:
        assert found == expected, where


def test_index_and_survival_figures_by_other_software(content, matrix):
    """z-scores and HI by pandas from the table; Cox, log-rank and C by lifelines."""
    keys = [FeatureKey(f["region"], f["image"], f["feature"]) for f in content["features"]]
    frame = pd.DataFrame(matrix.aligned(matrix.patients, keys).values, index=matrix.patients).dropna()
    assert len(frame) == content["cohort"]["n"] == 921
    z = (frame - frame.mean()) / frame.std()
    assert frame.mean().to_numpy() == pytest.approx([f["mean"] for f in content["features"]], rel=1e-9)
    signs = np.array([f["sign"] for f in content["features"]])
    hi = z @ signs
    assert np.percentile(hi, [10, 50, 90]) == pytest.approx(
        [content["hi_quantiles"][k] for k in (10, 50, 90)], rel=1e-6
    )
    size = keys.index(FeatureKey("lesion", "kinetic", "kinetic_size_LogVolume"))
    assert spearmanr(hi, frame[size]).statistic == pytest.approx(content["volume_dependence"]["rho"], rel=1e-8)

    outcomes = pd.read_csv(require_data("duke", "outcomes.csv"), index_col="patient_id").reindex(frame.index)
    data = pd.DataFrame({"hi": hi, "volume": frame[size], "t": outcomes.rfs_days, "e": outcomes.rfs_event})
    data["plain"] = hi - z[size]
    data = data[data.t > 0].dropna()
    survival = content["training"]["survival"]
    assert (len(data), int(data.e.sum())) == (survival["n"], survival["n_events"]) == (909, 118)
    high = data.hi >= content["groups"]["cut"]
    test = logrank_test(data.t[high], data.t[~high], data.e[high], data.e[~high])
    assert test.test_statistic == pytest.approx(survival["log_rank"]["chi_square"], rel=1e-6)
    for place, terms in ((0, ["hi"]), (1, ["plain"]), (2, ["volume"]), (3, ["volume", "hi"])):
        shown = survival["models"][place]
        standard = data[terms].apply(lambda c: (c - c.mean()) / c.std(ddof=0))
        fit = CoxPHFitter().fit(standard.assign(t=data.t, e=data.e), "t", "e")
        ratios = [t["hazard_ratio_per_sd"] for t in shown["terms"]]
        assert np.exp(fit.params_.to_numpy()) == pytest.approx(ratios, rel=1e-5)
        assert fit.summary["p"].to_numpy() == pytest.approx([t["p"] for t in shown["terms"]], rel=1e-4, abs=1e-12)
        c = concordance_index(data.t, -fit.predict_partial_hazard(standard), data.e)
        assert c == pytest.approx(shown["c_apparent"]["value"], abs=1e-6)


def test_the_card_says_that_it_adds_nothing_to_size(content):
    card = index_card(content)
    assert "HI adds nothing proven to log volume" in card
    assert "HI without size adds nothing proven to log volume" in card
    assert "Research use only" in card
    assert "**Non-commercial use only**" in card


def test_a_missing_input_counts_as_average_and_two_are_refused(from_pixels):
    model = open_model(MODEL)
    names = list(from_pixels)
    one = score_any(model, {}, from_pixels | {names[0]: None})
    assert [m.name for m in one.inputs_missing] == ["lesion kinetic kinetic_enhancement_ShareAbove70Percent"]
    assert any("count as average" in w for w in one.warnings)
    assert "--lesion" in one.inputs_missing[0].remedy
    two = score_any(model, {}, from_pixels | {names[0]: None, names[-1]: None})
    assert two.value is None
    assert "lacks 2" in two.refusal
    assert score_any(model, {}, None).refusal.endswith("extract features with it.")
    assert set(one.to_json()) == set(two.to_json())


def test_the_score_adds_up_and_checks_its_range_first(from_pixels):
    score = score_index(load_index_model(MODEL), from_pixels)
    assert sum(c.contribution for c in score.contributions) == pytest.approx(score.value)
    assert score.distance_to_cut == pytest.approx(score.value - score.cuts[0])
    outside = [c for c in score.contributions if not c.usual_low <= c.value <= c.usual_high]
    assert [c.in_range for c in score.contributions].count(False) == len(outside) > 0
    assert score.in_range is False
    assert "outside the 1st to 99th percentile" in score.warnings[0]
    usual = {
        FeatureKey(*k.split()): v for k, v in ((c.name, (c.usual_low + c.usual_high) / 2) for c in score.contributions)
    }
    assert score_index(load_index_model(MODEL), usual).in_range is True


def test_a_protocol_that_does_not_fit_its_table_is_refused(tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("patient_id,a\n1,2\n")
    with pytest.raises(InputError, match="no column"):
        read_features(table, {"lesion|x|y": {"take": "column", "column": "b"}}, {}, "patient_id")
    with pytest.raises(InputError, match="has to come before it"):
        read_features(table, {"lesion|x|y": {"take": "entropy", "of": ["lesion|x|z", "lesion|x|w"]}}, {}, "patient_id")
    with pytest.raises(InputError, match="use column, ratio"):
        read_features(table, {"lesion|x|y": {"take": "eval"}}, {}, "patient_id")
