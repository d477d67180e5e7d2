"""Cohort statistics of the report module's Logic on MRML table nodes."""

# ruff: noqa: E402, F401, F811 - nothing of slicer imports before the session starts; `scene` is a fixture

from __future__ import annotations

import json

import numpy as np
import pytest

from support.slicer_session import scene, session

host = session()

from SubregionHabitatLib import mrml_bridge as bridge
from SubregionHabitatLib.errors import InputError

QUICK = {"folds": 5, "repeats": 1, "bootstrap": 20, "horizons_years": (2.0, 4.0)}


def cohort_nodes(scene, n: int = 120):
    """Two table nodes of simulated patients: scores (named like a patient), and outcomes in another order."""
    rng = np.random.default_rng(4)
    score, arm = rng.normal(size=n), rng.integers(0, 2, n)
    time = rng.exponential(1200 / np.exp(0.8 * score)) + 1
    event = (time < 2000).astype(float)
    patients = [f"SECRET-{k}" for k in range(n)]
    scores = scene.AddNewNodeByClass("vtkMRMLTableNode", "DOE^JANE")
    values = [None if k == 5 else float(v) for k, v in enumerate(score)]
    columns = [("patient", patients), ("hi", values), ("arm", ["ab"[a] for a in arm])]
    bridge.set_table(scores, [bridge.Column(*c) for c in columns])
    outcomes = scene.AddNewNodeByClass("vtkMRMLTableNode", "outcomes")
    order = rng.permutation(n)
    columns = [
        ("patient", [patients[k] for k in order]),
        ("rfs_days", [float(min(time[k], 2000)) for k in order]),
        ("rfs_event", [float(event[k]) for k in order]),
    ]
    bridge.set_table(outcomes, [bridge.Column(*c) for c in columns])
    return [scores, outcomes]


@pytest.fixture
def logic(scene):
    return host.load_module("RadiogenomicReport").RadiogenomicReportLogic()


def test_survival_of_table_nodes_is_that_of_the_library(scene, logic, tmp_path):
    nodes = cohort_nodes(scene)
    found = logic.analyzeSurvival(nodes, tmp_path / "out", score="hi", covariates=("arm",), **QUICK)
    content = json.loads(found.text.GetText())
    assert content["patients"]["n"] == 119
    rows = bridge.table_rows(found.tables["cox_multivariable"])
    assert [r["term"] for r in rows] == ["hi", "arm"]
    kept = content["cox"]["multivariable"]["rows"]
    assert [r["hazard_ratio"] for r in rows] == pytest.approx([r["hazard_ratio"] for r in kept])
    assert rows[0]["hazard_ratio"] > 1.5
    assert (found.path / "report.html").is_file()
    written = (found.path / "report.html").read_text(encoding="utf-8") + found.text.GetText()
    assert "DOE^JANE" not in written
    assert "SECRET" not in written
    # A second run fills the same nodes.
    again = logic.analyzeSurvival(nodes, tmp_path / "out", overwrite=True, score="hi", **QUICK)
    assert again.tables["cox_multivariable"] is found.tables["cox_multivariable"]
    assert len(bridge.table_rows(again.tables["cox_multivariable"])) == 1


def test_associations_of_table_nodes(scene, logic, tmp_path):
    found = logic.associate(cohort_nodes(scene), tmp_path / "out", group="arm", variables=("hi", "rfs_event"))
    rows = {r["variable"]: r for r in bridge.table_rows(found.tables["tests"])}
    assert rows["hi"]["n"] == 119
    assert 0 < rows["hi"]["p"] <= 1
    assert "correlations" in found.tables


def test_bad_tables_are_refused_and_write_nothing(scene, logic, tmp_path):
    scores, outcomes = cohort_nodes(scene)
    with pytest.raises(InputError, match="No table is selected"):
        logic.analyzeSurvival([None], tmp_path / "out", score="hi")
    with pytest.raises(InputError, match="no outcome that is recognized"):
        logic.analyzeSurvival([scores], tmp_path / "out", score="hi")
    with pytest.raises(InputError, match="exactly one of --model, --score and --group"):
        logic.analyzeSurvival([scores, outcomes], tmp_path / "out")
    double = scene.AddNewNodeByClass("vtkMRMLTableNode", "double")
    bridge.set_table(double, [bridge.Column("patient", ["A", "A"]), bridge.Column("hi", [1.0, 2.0])])
    with pytest.raises(InputError, match="lines 2 and 3 of table 1 with conflicting values"):
        logic.associate([double], tmp_path / "out", group="hi")
    assert not list(tmp_path.iterdir())
