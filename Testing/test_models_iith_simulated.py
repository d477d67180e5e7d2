"""iith-simulated-v1: trained again, three of its exams made again from their seeds, and said to be simulated."""

from __future__ import annotations

import json

import numpy as np
import pytest
from test_models_iith_duke import assert_close

from IITHModuleLib.heterogeneity.exam_table import read_exam_table
from IITHModuleLib.heterogeneity.heterogeneity_index import heterogeneity_index
from IITHModuleLib.heterogeneity.index_card import index_card
from IITHModuleLib.heterogeneity.index_model import load_index_model, score_index
from IITHModuleLib.resources import resource_path
from IITHModuleLib.score_text import score_text
from IITHModuleLib.simulated_cohort.distribution import load_distribution
from IITHModuleLib.simulated_cohort.exams import VOLUME_MM3
from IITHModuleLib.simulated_cohort.reference_table import write_reference_table
from RadiogenomicReportLib.command_line.main import main
from RadiogenomicReportLib.report_scores import score_cards

MODEL = "iith-simulated-v1"
SEED = 2023
# Small ones of two post-contrast phases: the quickest to make again.
AGAIN = (54, 205, 269)
COMMAND = "iith train su-iith features_wide.csv.gz --out MODEL"


@pytest.fixture(scope="module")
def table():
    return read_exam_table(resource_path("Cohorts", f"{MODEL}.csv.gz"))


@pytest.fixture(scope="module")
def content():
    return json.loads(resource_path("Models", MODEL, "model.json").read_text())


@pytest.fixture(scope="module")
def scored(table):
    matrix = table.one_per_patient()
    return score_index(load_index_model(MODEL), dict(zip(matrix.keys, matrix.values[0].tolist(), strict=True)))


def test_three_exams_made_again_from_their_seeds_have_the_same_features(tmp_path, table):
    only = ",".join(map(str, AGAIN))
    assert main(["simulate-cohort", "--out", str(tmp_path / "c"), "--seed", str(SEED), "--only", only]) == 0
    made = ["batch", str(tmp_path / "c" / "cohort.csv"), "--out", str(tmp_path / "r"), "--jobs", "2", "--model", MODEL]
    assert main(made) == 0
    images = ("phase0", "phase1", "phase2")
    write_reference_table(tmp_path / "r" / "features_wide.csv.gz", tmp_path / "t.csv.gz", "iith-su2023", images)
    again, names = read_exam_table(tmp_path / "t.csv.gz").one_per_patient(), [f"SIM-{i:04d}" for i in AGAIN]
    assert again.keys == table.keys
    assert (again.preset, again.preset_digest) == (table.preset, table.preset_digest)
    expected = table.one_per_patient().aligned(names, table.keys).values
    np.testing.assert_allclose(again.aligned(names, table.keys).values, expected, rtol=1e-6)


def test_training_again_from_the_shipped_table_gives_the_shipped_model(tmp_path, content):
    path = resource_path("Cohorts", f"{MODEL}.csv.gz")
    assert main(["train", MODEL, str(path), "--out", str(tmp_path / MODEL)]) == 0
    again = json.loads((tmp_path / MODEL / "model.json").read_text())
    assert again["training"]["tables"][0]["sha256"] == content["training"]["tables"][0]["sha256"]
    assert_close(again | {"training": {}}, content | {"training": {}})
    assert resource_path("Models", MODEL, "MODEL_CARD.md").read_text() == index_card(content)


def test_the_table_holds_the_cohort_and_nothing_else(table, content):
    assert len(table.patients) >= 300
    assert set(table.patients) <= {f"SIM-{i:04d}" for i in range(310)}
    assert {key.region for key in table.keys} == {"lesion"}
    assert len(table.keys) == 3 * 41 + 1
    assert resource_path("Cohorts", f"{MODEL}.csv.gz").stat().st_size < 400_000
    assert content["cohort"]["n"] == len(table.patients)


def test_sizes_follow_the_distribution_they_were_drawn_from(table):
    """Kolmogorov-Smirnov against 20,000 draws within the cohort's limits of size."""
    from scipy.stats import ks_2samp

    volume = next(k for k, key in enumerate(table.keys) if key.feature == "original_shape_VoxelVolume")
    generator, distribution = np.random.default_rng(0), load_distribution()
    drawn = np.array([distribution.draw(generator)["volume_mm3"] for _ in range(20_000)])
    drawn = drawn[(drawn >= VOLUME_MM3[0]) & (drawn <= VOLUME_MM3[1])]
    assert ks_2samp(table.values[:, volume], drawn).pvalue > 0.01


def test_index_and_cut_by_hand(table, content):
    index = load_index_model(MODEL).index
    values = table.one_per_patient().aligned(table.patients, index.keys).values
    assert values.mean(axis=0) == pytest.approx(index.means, rel=1e-8)
    hi = heterogeneity_index(values, index.signs, values.mean(axis=0), values.std(axis=0, ddof=1))
    assert np.percentile(hi, [5, 50, 95]) == pytest.approx(index.hi_quantiles[[5, 50, 95]], rel=1e-6)
    cohort = content["cohort"]
    assert 0.3 < cohort["n_high"] / cohort["n"] < 0.7
    assert cohort["cut_agreement"]["share"] > 0.8
    assert cohort["nearest_group_agreement"]["share"] > 0.85


def test_every_place_says_that_the_reference_is_simulated_and_how_to_replace_it(scored, content, capsys):
    card = index_card(content)
    assert "**The reference is simulated.**" in card
    assert COMMAND in card
    assert any("SIMULATED" in w and "nothing clinically" in " ".join(w.split()) for w in scored.warnings)
    assert "SIMULATED" in score_text(scored)
    (shown,) = score_cards({"scores": [scored.to_json()]})
    assert shown["simulated"] is True
    assert "SIMULATED reference" in shown["result"]["label"]
    assert "SIMULATED" in shown["headline_performance"]
    assert main(["models"]) == 0
    listed = " ".join(capsys.readouterr().out.split())
    assert "SIMULATED exams" in listed
    assert main(["models", "--json"]) == 0
    by_id = {m["id"]: m for m in json.loads(capsys.readouterr().out)}
    assert by_id[MODEL]["simulated"] is True
