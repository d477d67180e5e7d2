"""The documented snippets for Slicer's Python console (docs/console.md), run on a real scene."""

# ruff: noqa: E402, F401, F811, S102 - slicer imports after the session starts; `scene` is a fixture; snippets are run

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from support.slicer_session import scene, session

host = session()

import slicer

from IITHModuleLib.features import FeatureRow
from IITHModuleLib.heterogeneity.delta_features import delta_features
from IITHModuleLib.heterogeneity.delta_phenotype import PhenotypeParameters, fit_delta_phenotypes
from IITHModuleLib.heterogeneity.feature_matrix import FeatureKey, FeatureMatrix
from IITHModuleLib.heterogeneity.frozen_model import ModelHead
from IITHModuleLib.heterogeneity.iith_signature import load_signature
from IITHModuleLib.heterogeneity.phenotype_file import save_phenotypes
from SubregionHabitatLib import mrml_bridge as bridge
from SubregionHabitatLib.errors import Cancelled, CaseRefused, InputError
from support import cohorts

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "console.md"


def snippets() -> list[str]:
    return re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)


def visit(scale: float):
    """(sequence, segmentation) of a simulated exam whose contrast after the first phase is scaled."""
    module = host.load_module("SubregionHabitat")
    simulated, sequence, voi = module.simulatedNodes()
    exam = simulated.exam
    signal = exam.signal.copy()
    signal[1:] = exam.signal[0] + scale * (exam.signal[1:] - exam.signal[0])
    bridge.set_sequence(sequence, replace(exam, signal=signal))
    return sequence, voi


@pytest.fixture
def names(scene):
    """What the snippets have at hand: the nodes of two visits, and the namespace that they run in."""
    host.load_module("IITHModule")
    sequence, segmentation = visit(1.0)
    later, laterSegmentation = visit(0.9)
    logic = host.load_module("SubregionHabitat").SubregionHabitatLogic()
    return {
        "slicer": slicer,
        "sequenceNode": sequence,
        "segmentationNode": segmentation,
        "firstHabitats": logic.processNodes([sequence], voi=(segmentation, "voi")),
        "secondHabitats": logic.processNodes([later], voi=(laterSegmentation, "voi")),
    }


def phenotype_model(tables, folder: Path) -> Path:
    """A model of 20 made-up patients around the change between two feature tables."""
    values = [
        {FeatureKey(r.region, r.image, r.feature): r.value for r in t.rows if r.value is not None} for t in tables
    ]
    signs = load_signature("delta-chitalia2023")
    keys = [k for k in values[0] if k.region == "lesion" and k in values[1] and abs(values[0][k]) > 1e-6]
    keys = [k for k, sign in zip(keys, signs.signs_of(keys), strict=True) if sign]
    first, second = (np.array([v[k] for k in keys]) for v in values)
    rng = np.random.default_rng(0)
    group = np.arange(20)[:, None] % 2 - 0.5
    spread = 0.3 * np.abs(first) * (0.5 * rng.normal(size=(20, len(keys))) + group)
    made_by = (tables[0].preset, tables[0].preset_digest)
    patients = tuple(f"sim{i}" for i in range(20))
    before = FeatureMatrix(patients, tuple(keys), np.tile(first, (20, 1)), *made_by)
    after = FeatureMatrix(patients, tuple(keys), second + spread, *made_by)
    quick = PhenotypeParameters(n_feature_groups=2, n_phenotypes=2, n_simulations=50, min_iqr=0.2)
    model = fit_delta_phenotypes(delta_features(before, after, signs.signs_of(keys)), quick).model
    save_phenotypes(model, ModelHead("simulated-delta", "Simulated", limits=("Simulated.",)), folder)
    return folder


def test_documented_snippets_run_in_order(names, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(cohorts.write_cohort(tmp_path / "cohort", 2).parent)
    one, two, many = snippets()
    shown = []
    monkeypatch.setattr(slicer.modules, "plots", _Plots(shown), raising=False)
    exec(one, names)
    module = host.load_module("IITHModule")
    first, second = (names[n].segmentation for n in ("firstHabitats", "secondHabitats"))
    tables = []
    for segmentation in (first, second):
        module.IITHModuleLogic().processNodes(segmentation, preset="captk", modelNames=[])
        tables.append(module.featuresOfScene(bridge.ExamResults.of(segmentation)))
    names["phenotypeModel"] = phenotype_model(tables, tmp_path / "model")
    exec(two, names)
    assert shown == [names["visits"].chart]
    exec(many, names)
    printed = capsys.readouterr().out
    assert "IITH features" in printed
    assert "Phenotype of change: " in printed
    assert "2 exams analyzed" in printed
    _check_visits(names, first, second)
    _check_batch(names, tmp_path / "cohort")


class _Plots:
    """Stands for Slicer's Plots module, which shows a chart in the layout."""

    def __init__(self, shown: list) -> None:
        self._shown = shown

    def logic(self):
        return self

    def ShowChartInLayout(self, chart) -> None:
        self._shown.append(chart)


def _check_visits(names, first, second) -> None:
    rows = {row["quantity"]: row for row in bridge.table_rows(names["visits"].phenotypeTable)}
    assert rows["phenotype of change"]["text"] in ("decreasing", "increasing")
    assert "Research use only" in rows["phenotype of change"]["note"]
    distances = {name: rows[f"distance to {name}"]["value"] for name in ("decreasing", "increasing")}
    assert rows["phenotype of change"]["text"] == min(distances, key=distances.get)
    sizes = []
    for node in (first, second):
        table = bridge.ExamResults.of(node).find("table.volumes")
        sizes.append({r["quantity"]: r["value"] for r in bridge.table_rows(table) if r["region"] == "lesion"})
    for name in ("functional tumor volume", "longest diameter"):
        expected = 100 * (sizes[1][name] / sizes[0][name] - 1)
        assert rows[f"change of {name}"]["value"] == pytest.approx(expected)
    results = bridge.ExamResults.of(second)
    assert results.find("phenotype.chart") is names["visits"].chart
    series = names["visits"].chart.GetNthPlotSeriesNode(0)
    assert series.GetPlotType() == series.PlotTypeBar
    assert series.GetTableNode() is results.find("table.phenotype.distances")


def _check_batch(names, folder: Path) -> None:
    rows = bridge.table_rows(names["batch"].cohortTable)
    assert [row["status"] for row in rows] == ["done", "done"]
    expected = cohorts.read_rows(folder / "cohort-results" / "cohort.csv")
    assert [row["ftv_cc"] for row in rows] == [float(row["ftv_cc"]) for row in expected]
    assert rows[0]["patient"] == "P00"
    assert (folder / names["batch"].featuresPath).is_file()


def test_visits_that_do_not_fit_are_refused(names, tmp_path):
    module = host.load_module("IITHModule")
    from IITHModulePanel.result_nodes import FEATURE_COLUMNS

    logic = module.IITHModuleLogic()
    first, second = (names[n].segmentation for n in ("firstHabitats", "secondHabitats"))
    for segmentation in (first, second):
        logic.processNodes(segmentation, preset="captk", modelNames=[])
    tables = [module.featuresOfScene(bridge.ExamResults.of(node)) for node in (first, second)]
    model = phenotype_model(tables, tmp_path / "model")
    with pytest.raises(InputError, match="Two visits are needed"):
        logic.processVisits(first, first, model)
    with pytest.raises(InputError, match="kind 'logistic'"):
        logic.processVisits(first, second, "pcr-ispy2-v1")
    far = [replace(row, value=None if row.value is None else row.value * 1000) for row in tables[1].rows]
    node = bridge.ExamResults.of(second).find("table.features")
    columns = [bridge.Column(n, [getattr(row, n) for row in far]) for n in FEATURE_COLUMNS]
    bridge.set_table(node, columns)
    with pytest.raises(CaseRefused, match="more than 5 SD"):
        logic.processVisits(first, second, model)
    assert bridge.ExamResults.of(second).find("table.phenotype") is None


def test_a_batch_that_cannot_run_says_why_and_cancelling_keeps_what_is_done(scene, tmp_path):
    logic = host.load_module("IITHModule").IITHModuleLogic()
    with pytest.raises(InputError, match="cannot be read"):
        logic.runBatch(tmp_path / "nothing.csv", tmp_path / "out")
    cohort = cohorts.write_cohort(tmp_path / "cohort", 2)

    class StopAfterOne:
        def step(self, fraction, message):
            if fraction >= 0.5:
                raise Cancelled("stopped")

    options = ["--preset", str(cohort.parent / "coarse.json")]
    with pytest.raises(Cancelled):
        logic.runBatch(cohort, tmp_path / "out", options, progress=StopAfterOne())
    assert [p.parent.name for p in (tmp_path / "out").glob("exams/*/task.json")] == ["P00_T0"]
    assert not (tmp_path / "out" / "cohort.csv").exists()
    nodes = logic.runBatch(cohort, tmp_path / "out", options, resume=True)
    assert "1 exams analyzed, 1 kept, 0 failed" in nodes.notes[0]
