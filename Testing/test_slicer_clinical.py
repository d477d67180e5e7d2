"""The fields for clinical values in the panel of features and scores: those that the chosen models read."""

# ruff: noqa: E402, F401, F811 - nothing of slicer imports before the session starts; `scene` is a fixture

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from support.slicer_session import scene, session

host = session()

from IITHModuleLib.case_values import KNOWN_VALUES, user_value, value_definition
from IITHModuleLib.model_inputs import CLINICAL, MEASURED, lack

REPOSITORY = Path(__file__).resolve().parents[1]


def fields():
    host.load_module("IITHModule")
    from IITHModulePanel.clinical_fields import FIELDS

    return {field.value: field for field in FIELDS}


def choose(widget, *models) -> None:
    widget._parameterNode.modelNames = ", ".join(map(str, models))


def shown(ui) -> set:
    return {name for name, field in fields().items() if not getattr(ui, field.widget).isHidden()}


def test_every_value_that_no_image_tells_has_a_field_within_its_limits(scene):
    assert list(fields()) == list(CLINICAL)
    assert set(CLINICAL) | set(MEASURED) == set(KNOWN_VALUES)
    ui = host.open_module("IITHModule").ui
    for name, field in fields().items():
        known, widget = KNOWN_VALUES[name], getattr(ui, field.widget)
        if field.words is None:
            assert widget.maximum == known.high
            assert widget.minimum == field.unknown <= known.low
            assert widget.specialValueText == "unknown"
        else:
            assert [widget.itemText(i) for i in range(widget.count)] == ["unknown", *field.words]
            assert {known.low, known.high} <= set(field.words.values())


def test_the_fields_are_those_of_the_chosen_models(scene):
    widget = host.open_module("IITHModule")
    ui = widget.ui
    read = {"hr", "her2", "age_years", "n_stage", "longest_diameter_mm", "longest_diameter_change_percent"}
    assert shown(ui) == read  # none chosen: all shipped models
    choose(widget, "rfs-duke-v1")
    assert shown(ui) == {"hr", "her2", "age_years", "n_stage"}
    assert ui.nStageComboLabel.isHidden() is False
    assert "rfs-duke-v1 answers by a form with fewer inputs without" in ui.modelInputsLabel.text
    assert "lymph node category" in ui.modelInputsLabel.text
    choose(widget, "iith-duke-v1")
    assert shown(ui) == set()
    assert not ui.clinicalNoneLabel.isHidden()
    assert ui.modelInputsLabel.text == ""


def test_values_are_unknown_until_given_and_go_in_and_out(scene):
    module = host.load_module("IITHModule")
    from IITHModulePanel.clinical_fields import given_values, store_values

    logic = module.IITHModuleLogic()
    parameters = logic.getParameterNode()
    assert logic.clinicalValues(parameters) == {}
    values = {"hr": 0.0, "her2": 1.0, "age_years": 48.5, "n_stage": 0.0, "longest_diameter_mm": 41.0,
              "longest_diameter_change_percent": 0.0, "ki67_high": 1.0, "lvi": 0.0}  # fmt: skip
    store_values(parameters, values)
    assert logic.clinicalValues(parameters) == values
    for name, value in values.items():
        user_value(name, value)  # allowed
    assert parameters.nStage == "N0"
    store_values(parameters, {"hr": 1.0})
    assert logic.clinicalValues(parameters) == {"hr": 1.0}
    # a panel that lacks a field does not know its value
    assert given_values(SimpleNamespace(hr="positive", her2="unknown", ageYears=0.0)) == {"hr": 1.0}


def test_the_change_of_the_longest_diameter_reaches_its_model(scene):
    host.load_module("IITHModule")
    from IITHModuleLib.any_model import open_model, score_any
    from SubregionHabitatLib import mrml_bridge as bridge

    habitat = host.load_module("SubregionHabitat")
    _simulated, sequence, voi = habitat.simulatedNodes()
    nodes = habitat.SubregionHabitatLogic().processNodes([sequence], voi=(voi, "voi"))
    widget = host.open_module("IITHModule")
    ui = widget.ui
    ui.featuresCheck.checked = False
    choose(widget, "rfs-delta-ld-ispy1-v1")
    ui.hrCombo.currentText, ui.her2Combo.currentText, ui.ageSpin.value = "positive", "negative", 52
    ui.longestDiameterSpin.value = 60
    assert ui.modelInputsLabel.text == (
        "rfs-delta-ld-ispy1-v1 refuses the case without change of the longest diameter."
    )
    ui.longestDiameterChangeSpin.value = -20
    assert ui.modelInputsLabel.text == ""
    ui.applyButton.click()
    (row,) = bridge.table_rows(bridge.ExamResults.of(nodes.segmentation).find("table.scores"))
    given = {"longest_diameter_change_percent": -20, "longest_diameter_mm": 60, "hr": 1, "her2": 0, "age_years": 52}
    values = {name: user_value(name, value) for name, value in given.items()}
    expected = score_any(open_model("rfs-delta-ld-ispy1-v1"), values, None)
    assert row["value"] == pytest.approx(expected.value)


def test_a_model_of_table_columns_says_where_it_can_be_scored(scene, tmp_path):
    assert lack("m", [("hr", "vaf_TP53")], {"hr"}).columns == ("vaf_TP53",)
    shipped = (REPOSITORY / "Resources" / "Models" / "pcr-ispy2-v1" / "model.json").read_text("utf-8")
    content = json.loads(shipped.replace('"age_years"', '"table:grade"')) | {"id": "mine-v1"}
    content["forms"][0]["features"][3].update(unit="as in the table", preset="table")
    content["forms"][0]["features"][3]["definition"] = value_definition("table:grade").definition
    (tmp_path / "model.json").write_text(json.dumps(content), encoding="utf-8")
    widget = host.open_module("IITHModule")
    choose(widget, tmp_path)
    assert shown(widget.ui) == {"hr", "her2"}
    text = widget.ui.modelInputsLabel.text
    assert "table:grade" in text
    assert "iith score" in text
    choose(widget, tmp_path / "absent")
    assert "absent" in widget.ui.modelInputsLabel.text
    assert shown(widget.ui) == set()
