"""Genomic and clinical data of one patient in the panel of the report: read, shown, kept with the scene, refused."""

# ruff: noqa: E402, F401, F811 - nothing of slicer imports before the session starts; `scene` is a fixture

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from support.slicer_session import scene, session

host = session()

from RadiogenomicReportLib.genomics.case_genomics import CaseGenomicsPlan, case_genomics
from RadiogenomicReportLib.genomics.genomics_run import GenomicsPlan
from SlicerHost import pictures
from SubregionHabitatLib import mrml_bridge as bridge
from SubregionHabitatLib.errors import InputError
from SubregionHabitatLib.simulation import SimulationParameters, simulate_exam
from support.genomic_files import write_cohort
from support.report_cases import Page
from support.scene_content import content_of, panel_state

REPOSITORY = Path(__file__).resolve().parents[1]
PICTURES = Path(os.environ.get("IITH_PICTURES", REPOSITORY / "build" / "pictures"))
SMALL = {"shape": (20, 48, 44), "spacing_mm": (3.0, 3.4, 4.0), "lesion_radii_mm": (13.0, 12.0, 13.0), "seed": 5}
SAMPLE = "TCGA-AA-0001-01A-11D"


@pytest.fixture(scope="module")
def made():
    return simulate_exam(SimulationParameters(**SMALL))


@pytest.fixture
def segmentation(scene, made):
    """The habitat segmentation of a small simulated exam in the scene."""
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "DCE")
    bridge.set_sequence(sequence, made.exam)
    reference = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "drawn on")
    bridge.set_volume(reference, made.exam.signal[1], made.exam.geometry)
    drawn = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "drawn")
    segment = bridge.Segment("voi", "Drawn", (1, 1, 1), bridge.TISSUE_TERMINOLOGY, made.voi)
    bridge.set_segments(drawn, [segment], made.exam.geometry, reference)
    logic = host.load_module("SubregionHabitat").SubregionHabitatLogic()
    return logic.processNodes([sequence], voi=(drawn, "voi")).segmentation


@pytest.fixture
def panel(scene):
    return host.open_module("RadiogenomicReport")


def fill(ui, folder: Path) -> None:
    ui.mutationFileEdit.currentPath = str(folder / "m.maf")
    ui.segmentsFileEdit.currentPath = str(folder / "s.seg")
    ui.genomicSampleEdit.text, ui.genomicGenesEdit.text, ui.territorySpin.value = SAMPLE, "G1, G3", 35.0


def test_clinical_and_genomic_data_of_the_panel_are_in_report_and_case(segmentation, panel, tmp_path, monkeypatch):
    write_cohort(tmp_path)
    lines = (tmp_path / "m.maf").read_text().splitlines()
    (tmp_path / "m.maf").write_text("\n".join([*lines[:4], "TP53\tSilent", *lines[4:]]) + "\n")
    asked = []
    monkeypatch.setattr(bridge, "ensure_packages", lambda needed, _who: asked.append(sorted(needed)))
    (tmp_path / "clinical.csv").write_text(
        "hr,her2,n_stage,longest_diameter,longest_diameter_change,lvi\n1,0,2,41,0,1\n"
    )
    (tmp_path / "out").mkdir()
    ui = panel.ui
    ui.clinicalFileEdit.currentPath = str(tmp_path / "clinical.csv")
    ui.readClinicalButton.click()
    assert (ui.nStageCombo.currentText, ui.longestDiameterSpin.value, ui.longestDiameterChangeSpin.value) == (
        "N2",
        41,
        0,
    )
    assert (ui.ki67Combo.currentText, ui.lviCombo.currentText, ui.ageSpin.value) == ("unknown", "present", 0)
    assert ui.genomicsSection.collapsed
    ui.genomicsSection.collapsed = False
    assert not (ui.genomicSampleEdit.enabled)
    assert not (ui.territorySpin.enabled)
    assert not (ui.geneSetsEdit.enabled)
    fill(ui, tmp_path)
    assert ui.genomicSampleEdit.enabled
    assert ui.territorySpin.enabled
    assert not ui.geneSetsEdit.enabled  # nothing to score
    ui.reportPathEdit.currentPath = str(tmp_path / "out" / "case.html")
    ui.numbersCheck.click()
    ui.applyButton.click()
    assert ["pandas"] in asked
    assert "pandas" not in asked[0]  # of the report itself
    found = case_genomics(
        CaseGenomicsPlan(
            files=GenomicsPlan(
                maf=(tmp_path / "m.maf",), segments=tmp_path / "s.seg", genes=("G1", "G3"), territory_mb=35.0
            ),
            sample=(SAMPLE,),
        )
    )
    case = json.loads(bridge.ExamResults.of(segmentation).find("case").GetText())
    assert case["genomics"] == json.loads(json.dumps(found.to_json()))
    assert case["case_values"]["longest_diameter_change_percent"]["value"] == 0.0
    assert "1 rows of the genomic files were left out" in ui.statusLabel.text
    assert case["genomics"]["malformed_rows"][0]["line"] == 5
    scored = {score["model_id"]: score["refusal"] for score in case["scores"]}
    assert scored == {}  # nothing was scored in this scene
    html = (tmp_path / "out" / "case.html").read_text(encoding="utf-8")
    text = Page(html).by_id("clinical").text
    assert "Lymph node category (N) N2 the user" in text
    assert "Lymphovascular invasion present the user" in text
    assert "Tumor mutational burden" in text
    assert "TCGA" not in html + json.dumps(case)
    assert "tmb_per_mb" in (tmp_path / "out" / "case-numbers.csv").read_text(encoding="utf-8")
    pictures.window("RadiogenomicReport", PICTURES / "RadiogenomicReport-genomics.png")
    assert (PICTURES / "RadiogenomicReport-genomics.png").stat().st_size > 20_000


def test_a_file_that_does_not_fit_is_told_and_nothing_is_written(segmentation, panel, tmp_path, scene):
    write_cohort(tmp_path)
    (tmp_path / "out").mkdir()
    ui = panel.ui
    fill(ui, tmp_path)
    ui.reportPathEdit.currentPath = str(tmp_path / "out" / "case.html")
    before = content_of(scene)
    ui.genomicSampleEdit.text = ""
    ui.applyButton.click()
    assert "m.maf holds 5 samples" in ui.statusLabel.text
    ui.genomicSampleEdit.text = SAMPLE
    ui.mutationFileEdit.currentPath = str(tmp_path / "s.seg")
    ui.applyButton.click()
    assert "is no MAF file" in ui.statusLabel.text
    assert not list((tmp_path / "out").iterdir())
    assert {k: v for k, v in content_of(scene).items() if "ScriptedModule" not in k} == {
        k: v for k, v in before.items() if "ScriptedModule" not in k
    }


def test_packages_are_asked_for_only_where_a_chosen_file_needs_them(panel, tmp_path):
    from RadiogenomicReportPanel.genomic_fields import genomic_requirements, genomics_plan

    parameters, folder = panel._parameterNode, tmp_path
    assert genomics_plan(parameters) is None
    parameters.genomicSample, parameters.geneSetsFile = "A,  B", folder / "sets.gmt"
    assert genomics_plan(parameters) is None  # no file that they say anything about
    parameters.segmentsFile = folder / "s.seg"
    plan = genomics_plan(parameters)
    assert (plan.sample, plan.files.gmt, genomic_requirements(plan)) == (("A", "B"), (), {})
    parameters.mutationFile = folder / "x.VCF.gz"
    plan = genomics_plan(parameters)
    assert (plan.files.vcf, plan.files.maf) == ((folder / "x.VCF.gz",), ())
    assert list(genomic_requirements(plan)) == ["vcfpy"]
    assert plan.files.territory_mb is None
    parameters.expressionFile, parameters.mutationFile = folder / "e.tsv", folder / "x.maf.gz"
    assert list(genomic_requirements(genomics_plan(parameters))) == ["pandas", "gseapy"]
    parameters.geneSetsFile = Path()
    with pytest.raises(InputError, match="No gene sets are chosen"):
        genomics_plan(parameters)


def test_a_row_of_a_table_goes_into_the_report_of_the_logic(segmentation, tmp_path):
    (tmp_path / "genomics.csv").write_text("patient,math\nP1,31.5\nP2,12\n")
    logic = host.load_module("RadiogenomicReport").RadiogenomicReportLogic()
    plan = CaseGenomicsPlan(table=tmp_path / "genomics.csv", sample=("P2",))
    report = logic.processNodes(segmentation, tmp_path / "report.html", genomics=plan)
    (entry,) = json.loads(report.caseText.GetText())["genomics"]["values"]
    assert (entry["name"], entry["value"]) == ("math", 12.0)
    wrong = CaseGenomicsPlan(table=tmp_path / "genomics.csv", sample=("P3",))
    with pytest.raises(InputError, match="none of them named"):
        logic.processNodes(segmentation, tmp_path / "other.html", genomics=wrong)
    assert not (tmp_path / "other.html").exists()


def test_the_fields_are_saved_with_the_scene(scene, panel, tmp_path):
    fill(panel.ui, tmp_path)
    panel.ui.expressionFileEdit.currentPath = str(tmp_path / "e.tsv")
    panel.ui.longestDiameterSpin.value, panel.ui.ki67Combo.currentText = 33.5, "high"
    before = panel_state(panel)
    host.save_scene(tmp_path / "scene.mrb")
    scene.Clear(0)
    host.leave_module("RadiogenomicReport")
    assert panel_state(host.open_module("RadiogenomicReport")) != before
    (tmp_path / "unpacked").mkdir()
    host.load_scene(tmp_path / "scene.mrb", tmp_path / "unpacked")
    assert panel_state(host.open_module("RadiogenomicReport")) == before
