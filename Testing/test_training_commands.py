"""``iith train`` with a selection, and ``iith score`` with its models, as a user runs them on simulated tables."""

from __future__ import annotations

import csv
import io
import json
import math

import numpy as np
import pytest

from IITHModuleLib.model_file import load_model
from IITHModuleLib.statistics.auc import auc_delong
from RadiogenomicReportLib.command_line.main import main
from support.planted import DIGEST, planted_cohort, small_protocol, write_tables


def run(capsys, *arguments) -> tuple[int, str, str]:
    code = main([str(a) for a in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture(scope="module")
def response(tmp_path_factory):
    """A model of response trained on a planted signal, tested outside; the folder, tables and cohort."""
    folder = tmp_path_factory.mktemp("response")
    cohort, other = planted_cohort(21, 160, 30, effect=2.2), planted_cohort(22, 150, 30, effect=2.2)
    features, outcomes = write_tables(folder, cohort)
    new_features, new_outcomes = write_tables(folder, other, "new")
    plan = small_protocol(folder, "zhou-model1", bootstrap=4, permutations=4)
    arguments = ["train", plan, features, outcomes, "--out", folder / "model", "--id", "planted"]
    arguments += ["--external", f"new={new_features}", "--external", f"new-outcomes={new_outcomes}"]
    assert main([str(a) for a in arguments]) == 0
    return folder, cohort, other, new_features


def test_the_model_carries_its_validation(response):
    folder, cohort, other, _ = response
    content = json.loads((folder / "model" / "model.json").read_text())
    (form,) = content["forms"]
    inside, (outside,) = form["performance"]["internal"], form["performance"]["external"]
    names = [f["name"] for f in form["features"]]
    assert {f"lesion|phase1|original_firstorder_F{i}" for i in range(3)} <= set(names)
    assert (content["id"], form["n"], form["n_events"]) == ("planted", 160, int(cohort.event.sum()))
    assert inside["cross_validated"]["low"] < outside["discrimination"]["value"] < inside["cross_validated"]["high"]
    # the external AUC, calls at the cut and net benefit again, from the file alone
    place = {"|".join(k): i for i, k in enumerate(other.keys)}
    score = form["intercept"] + sum(
        f["coefficient"] * (other.values[:, place[f["name"]]] - f["mean"]) / f["sd"] for f in form["features"]
    )
    auc = auc_delong(other.event, score)
    assert outside["discrimination"]["value"] == pytest.approx(auc.value, abs=1e-6)
    assert outside["discrimination"]["low"] == pytest.approx(auc.low, abs=1e-6)
    probability = 1 / (1 + np.exp(-score))
    called = probability >= form["groups"]["cuts"][0]
    assert outside["at_cut"]["accuracy"] == pytest.approx((called == (other.event == 1)).mean())
    assert outside["at_cut"]["sensitivity"] == pytest.approx(called[other.event == 1].mean())
    k = outside["decision_curve"]["thresholds"].index(0.3)
    at = probability >= 0.3
    benefit = (at & (other.event == 1)).mean() - (at & (other.event == 0)).mean() * 0.3 / 0.7
    assert outside["decision_curve"]["model"][k] == pytest.approx(benefit, abs=1e-9)
    assert inside["null_check"]["n"] == 4
    assert inside["null_check"]["p"] == pytest.approx(1 / 5)
    assert inside["optimism_corrected"] < inside["apparent"]["value"]
    assert "standard_error" not in form["features"][0]  # a lasso has none
    steps = form["performance"]["selection"]
    assert steps["passed"]["features"] == 30
    assert steps["passed"]["in the model"] == len(names)
    assert steps["steps"][0].startswith("stable (left out")
    comparison = form["performance"]["comparisons"][0]
    assert comparison["name"] == "log lesion volume alone"
    assert comparison["difference"]["low"] > 0


def test_the_card_tells_all_of_it(response):
    folder, *_ = response
    card = (folder / "model" / "MODEL_CARD.md").read_text()
    for text in (
        "A lasso has no standard errors",
        "nested cross-validation, grouped by patient",
        "| new (not trained on) | 150 |",
        "--external new=new-features.csv",
        "Decision curve",
        "outcomes dealt out at random",
        "Events per input",
        "TRIPOD+AI",
        "METRICS",
        "features left",
    ):
        assert text in card, text
    assert str(folder) not in card
    figures = {p.name for p in (folder / "model" / "figures").iterdir()}
    assert figures == {"calibration-1.svg", "decision-1.svg"}


def test_training_again_gives_the_same_model(response, capsys):
    folder, *_ = response
    before = (folder / "model" / "model.json").read_text()
    content = json.loads(before)
    tables = [folder / t["file"] for t in content["training"]["tables"]]
    code, _, _ = run(
        capsys, "train", folder / "zhou-model1-small.json", tables[0], tables[1], "--out", folder / "again", "--id",
        "planted", "--external", f"new={tables[2]}", "--external", f"new-outcomes={tables[3]}",
    )  # fmt: skip
    assert code == 0
    again = json.loads((folder / "again" / "model.json").read_text())
    content["training"].pop("command"), again["training"].pop("command")
    assert again == content


def test_a_table_and_a_case_get_the_same_score(response, capsys):
    folder, _, other, new_features = response
    code, text, _ = run(capsys, "score", folder / "model", new_features)
    assert code == 0
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 150
    assert rows[0]["ci95_low"] == ""
    case = folder / "case"
    case.mkdir()
    parameters = {"radiomics": {"preset": "mr_default", "preset_digest": DIGEST, "engine": "native"}}
    (case / "case.json").write_text(json.dumps({"schema": "iith-case/1", "parameters": parameters, "case_values": {}}))
    with (case / "features.csv").open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["region", "image", "feature", "value", "unit", "reason"])
        writer.writerows([*k, repr(float(v)), "1", ""] for k, v in zip(other.keys, other.values[0], strict=True))
    code, text, _ = run(capsys, "score", folder / "model", case, "--json")
    assert code == 0
    score = json.loads(text)
    assert score["value"] == pytest.approx(float(rows[0]["value"]), rel=1e-5)
    assert score["ci95"] is None
    total = load_model(folder / "model").forms[0].intercept + sum(c["contribution"] for c in score["contributions"])
    assert score["value"] == pytest.approx(1 / (1 + math.exp(-total)), rel=1e-9)
    # a feature that is missing: refused with exit 3, naming it and the remedy
    lines = (case / "features.csv").read_text().replace(f",{float(other.values[0][0])!r},1,", ",,1,too few voxels")
    (case / "features.csv").write_text(lines)
    code, _, error = run(capsys, "score", folder / "model", case)
    assert code == 3
    assert "original_firstorder_F0 (too few voxels; extract it with the preset mr_default)" in error
    # another preset: an error, never a score
    parameters["radiomics"]["preset_digest"] = "b" * 64
    (case / "case.json").write_text(json.dumps({"schema": "iith-case/1", "parameters": parameters, "case_values": {}}))
    code, _, error = run(capsys, "score", folder / "model", case)
    assert code == 2
    assert "preset" in error


def test_what_lies_outside_is_said_before_the_number(response, capsys, tmp_path):
    folder, *_ = response
    far = planted_cohort(23, 3, 30)
    far.values[:] = 40.0
    features, _ = write_tables(tmp_path, far, "far")
    code, text, _ = run(capsys, "score", folder / "model", features, "--json")
    assert code == 0
    score = json.loads(text)[0]
    assert score["in_range"]["overall"] is False
    assert score["distance_percentile"] == 100
    assert "outside the usual training range" in score["warnings"][0]


def test_the_papers_order_is_stamped_wherever_it_shows(capsys, tmp_path):
    features, outcomes = write_tables(tmp_path, planted_cohort(24, 100, 60), "noise")
    plan = small_protocol(tmp_path, "zhou-model1", permutations=0)
    code, text, _ = run(capsys, "train", plan, features, outcomes, "--paper-order", "--out", tmp_path / "model")
    assert code == 0
    assert "OPTIMISTIC" in text
    content = json.loads((tmp_path / "model" / "model.json").read_text())
    inside = content["forms"][0]["performance"]["internal"]
    assert content["training"]["paper_order"] is True
    assert inside["cross_validated"]["optimistic"] is True
    assert inside["cross_validated"]["value"] - inside["leak_free"]["value"] > 0.15
    assert content["limits"][0].startswith("OPTIMISTIC")
    assert content["title"].startswith("OPTIMISTIC")
    assert "| training, paper's order, OPTIMISTIC |" in (tmp_path / "model" / "MODEL_CARD.md").read_text()
    code, text, _ = run(capsys, "score", tmp_path / "model", features)
    assert code == 0
    assert "OPTIMISTIC replay of a paper's order" in text


def test_a_radiomics_score_has_survival_groups_at_the_time_dependent_cut(capsys, tmp_path):
    cohort = planted_cohort(25, 150, 30, effect=1.5, survival=True)
    features, outcomes = write_tables(tmp_path, cohort)
    plan = small_protocol(tmp_path, "wang-radscore", repeats=1)
    code, text, error = run(
        capsys,
        "train",
        plan,
        features,
        outcomes,
        "--horizon",
        "3",
        "--value",
        "table:grade",
        "--out",
        tmp_path / "model",
    )
    assert code == 0, error
    assert "C-index" in text
    form = load_model(tmp_path / "model").forms[0]
    assert form.groups == ("low", "high")
    assert "time-dependent ROC at 3 years" in form.cut_rule
    assert form.features[-1].name == "table:grade"
    content = json.loads((tmp_path / "model" / "model.json").read_text())["forms"][0]
    risk = np.array([c["survival"][8] for c in content["reference_curves"]])
    assert risk[0] > risk[1]  # the low group survives longer
    assert {"sensitivity", "specificity"} <= set(content["performance"]["internal"]["at_cut"])
    wide = features.read_text().splitlines()
    grades = [row["grade"] for row in csv.DictReader(outcomes.open())]
    joined = tmp_path / "joined.csv"
    joined.write_text("\n".join([wide[0] + ",grade", *(f"{a},{g}" for a, g in zip(wide[1:], grades, strict=True))]))
    code, text, _ = run(capsys, "score", tmp_path / "model", joined)
    assert code == 0
    rows = list(csv.DictReader(io.StringIO(text)))
    assert 0 < float(rows[0]["survival_3y"]) < 1
    by_outcomes = run(capsys, "score", tmp_path / "model", features, "--cohort", outcomes)[1]
    assert by_outcomes == text
    code, _, error = run(capsys, "score", tmp_path / "model", features)
    assert code == 3
    assert "table:grade" in error


def test_separation_is_named_and_firth_or_ridge_offered(capsys, tmp_path):
    cohort = planted_cohort(26, 80, 2)
    cohort.values[:, 0] = (cohort.event == 1) & (np.arange(80) % 2 == 0)  # 1 only with the event
    features, outcomes = write_tables(tmp_path, cohort)
    base = ["train", small_protocol(tmp_path, "logistic", repeats=1), features, outcomes, "--event", "pcr"]
    code, _, error = run(capsys, *base, "--out", tmp_path / "ml")
    assert code == 2
    assert "--penalty firth or ridge" in error
    for penalty in ("firth", "ridge"):
        code, _, error = run(capsys, *base, "--penalty", penalty, "--out", tmp_path / penalty)
        assert code == 0, error
        form = json.loads((tmp_path / penalty / "model.json").read_text())["forms"][0]
        assert "quasi-separation" in " ".join(form["performance"]["checks"]["warnings"])
        assert form["features"][0]["standard_error"] > 0


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (["--event", "relapse"], "no column relapse"),
        (["--feature", "lesion|phase1"], "region|image|feature"),
        (["--feature", "breast|*|*"], "no feature that fits"),
        (["--value", "os.system"], "no value a model can have"),
        (["--time-days", "dfs_days"], "--time-days"),
        (["--external", "site=x.csv"], "site-outcomes"),
        (["--visits", "T9"], "no visit T9"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(capsys, tmp_path, change, word):
    features, outcomes = write_tables(tmp_path, planted_cohort(27, 40, 3))
    code, _, error = run(
        capsys, "train", small_protocol(tmp_path, "logistic"), features, outcomes, "--event", "pcr", *change, "--out",
        tmp_path / "m",
    )  # fmt: skip
    assert code == 2
    assert word in error
    assert error.strip().splitlines()[-1].startswith("iith train: ")
    assert not (tmp_path / "m").exists()


def test_options_of_a_selection_are_refused_elsewhere(capsys, tmp_path):
    features, outcomes = write_tables(tmp_path, planted_cohort(28, 40, 3))
    code, _, error = run(capsys, "train", "pcr-ispy2-v1", features, outcomes, "--paper-order", "--out", tmp_path / "m")
    assert code == 2
    assert "--paper-order" in error
