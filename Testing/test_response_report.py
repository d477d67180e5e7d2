"""``iith response``: logistic models, ROC, calibration, net benefit of a yes/no outcome against R and definitions."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from RadiogenomicReportLib.clinical.column_mapping import load_mapping
from RadiogenomicReportLib.clinical.patient_table import read_patient_table
from RadiogenomicReportLib.cohort.response_analysis import ResponsePlan, analyze_response
from RadiogenomicReportLib.command_line.main import main
from support.data import require_data

QUICK = {"folds": 5, "repeats": 2, "bootstrap": 20}
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def table(tmp_path):
    """150 simulated patients whose response becomes likelier with the score and rarer with the receptor."""
    rng = np.random.default_rng(2)
    path = tmp_path / "t.csv"
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["patient", "score", "hr", f"kind {HOSTILE}", "pcr", "none", "constant"])
        for k in range(150):
            score, hr = rng.normal(), rng.integers(0, 2)
            chance = 1 / (1 + np.exp(-(1.2 * score - 1.0 * hr)))
            kind = [HOSTILE, "b"][rng.integers(0, 2)]
            writer.writerow([f"SECRET{k}", f"{score:.4f}", hr, kind, int(rng.uniform() < chance), 0, 1])
    return path


@pytest.fixture(scope="module")
def ispy1():
    patients = read_patient_table(
        [require_data("ispy1", "I-SPY_1_All_Patient_Clinical_and_Outcome_Data.xlsx")], load_mapping("ispy1")
    )
    plan = ResponsePlan("pcr", model=("ld_early_change",), covariates=("ld_baseline", "hr", "her2"), **QUICK)
    return analyze_response(patients, plan)[0]


def test_the_logistic_model_is_that_of_r(ispy1):
    """glm(pcr ~ ld_early_change + ld_baseline + hr + her2, binomial) on the same 201 patients."""
    expected = {
        "ld_early_change": (-0.024265311874, 0.009701328155, 1.237606526e-02),
        "ld_baseline": (-0.007840699274, 0.005973199182, 1.893020775e-01),
        "hr": (-1.519397566381, 0.365387393348, 3.205972439e-05),
        "her2": (1.363927415994, 0.373900361453, 2.644577503e-04),
    }
    assert (ispy1["patients"]["n"], ispy1["patients"]["n_events"]) == (201, 54)
    for row in ispy1["logistic"]["rows"]:
        assert (row["coefficient"], row["standard_error"], row["p"]) == pytest.approx(expected[row["term"]], rel=1e-6)
    assert ispy1["logistic"]["log_likelihood"] == pytest.approx(-94.0912163922, abs=1e-8)
    assert ispy1["logistic"]["likelihood_ratio"] == pytest.approx(45.74868271, abs=1e-7)


def test_apparent_auc_is_that_of_proc(ispy1):
    """roc(pcr, ld_early_change, direction = ">"): 0.6448727639."""
    assert ispy1["discrimination"][0]["apparent"] == pytest.approx(0.6448727639, abs=1e-9)


def test_the_nomogram_gives_back_rs_probabilities(ispy1):
    """predict(glm) of the first patient: 0.0801876467 (change and baseline from the workbook, HR+, HER2-)."""
    content = ispy1["nomogram"]
    ticks = content["survival"][0]["ticks"]
    logit = [np.log(t["survival"] / (1 - t["survival"])) for t in ticks]
    slope = (logit[-1] - logit[0]) / (ticks[-1]["total"] - ticks[0]["total"])
    values = {"ld_early_change": 100 * (78 - 88) / 88, "ld_baseline": 88.0, "hr": "yes", "her2": "no"}
    total = 0.0
    for term, name in zip(content["terms"], values, strict=True):
        if term["levels"]:
            total += next(level["points"] for level in term["levels"] if level["level"] == values[name])
        else:
            share = (values[name] - term["low"]) / (term["high"] - term["low"])
            total += term["points_low"] + share * (term["points_high"] - term["points_low"])
    found = logit[0] + slope * (total - ticks[0]["total"])
    assert 1 / (1 + np.exp(-found)) == pytest.approx(0.0801876467, abs=1e-7)


def test_a_score_is_ranked_as_given(table):
    patients = read_patient_table([table])
    content, rows = analyze_response(patients, ResponsePlan("pcr", score="score", cut="0.5", **QUICK))
    outcome, score = patients.variable("pcr").values[rows], patients.variable("score").values[rows]
    found = content["discrimination"][0]
    assert found["auc"] == pytest.approx(roc_auc_score(outcome, score))
    false, true, _ = roc_curve(outcome, score, drop_intermediate=False)
    assert found["sensitivity"] == pytest.approx(true.tolist())
    assert found["one_minus_specificity"] == pytest.approx(false.tolist())
    calls = content["confusion"]
    assert calls["true_positive"] == int(((score >= 0.5) & (outcome == 1)).sum())
    assert calls["ppv"]["value"] == pytest.approx(outcome[score >= 0.5].mean())


def test_what_the_score_adds_to_the_covariates_is_shown(table):
    patients = read_patient_table([table])
    content, _ = analyze_response(patients, ResponsePlan("pcr", model=("score",), covariates=("hr",), **QUICK))
    comparison = content["comparison"]
    assert comparison["delong"]["p"] < 0.001
    assert comparison["idi"]["value"] > 0.05
    names = [d["model"] for d in content["discrimination"]]
    assert names == ["score", "Covariates", "All variables"]
    for curve in content["decision_curves"]:
        share = content["patients"]["n_events"] / content["patients"]["n"]
        assert curve["everyone"][0] == pytest.approx(share - (1 - share) * 0.01 / 0.99)


def test_the_report_is_whole_and_escaped(table, tmp_path):
    out = tmp_path / "out"
    arguments = ["response", str(table), "--model", "score", "--covariates", f"hr,kind {HOSTILE}", "--folds", "5"]
    assert main([*arguments, "--repeats", "1", "--bootstrap", "20", "--out", str(out)]) == 0
    names = {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()}
    assert {"report.html", "report.pdf", "response.json", "tables/logistic.csv", "figures/nomogram.svg"} <= names
    html = (out / "report.html").read_text(encoding="utf-8")
    assert "<script" not in html
    assert "SECRET" not in html + (out / "response.json").read_text(encoding="utf-8")
    assert json.loads((out / "response.json").read_text(encoding="utf-8"))["schema"] == "iith-response/1"


def test_bad_runs_write_nothing(table, tmp_path, capsys):
    for more, message in (
        ([], "exactly one of --model and --score"),
        (["--model", "pcr"], "'pcr' is named twice"),
        (["--model", "score", "--outcome", "nothing"], "no variable or column 'nothing'"),
        (["--model", "hr", "--outcome", "score"], "not yes or no"),
        (["--model", "score", "--outcome", "none"], "0 with none"),
        (["--model", "constant"], "same value in all patients"),
        (["--model", "score", "--cut", "best"], "'best' is no cut"),
        (["--model", "score", "--folds", "1"], "2 to 50 folds"),
    ):
        assert main(["response", str(table), *more, "--out", str(tmp_path / "out")]) == 2
        assert message in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["t.csv"]
