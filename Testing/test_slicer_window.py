"""A radiologist's way through the three panels by clicks, with pictures; stopping, closing and reloading on the way.

Pictures of the window are written to build/pictures (or IITH_PICTURES).
"""

# ruff: noqa: E402, F401, F811 - nothing of slicer imports before the session starts; `scene` is a fixture

from __future__ import annotations

import csv
import os
import time
import types
from pathlib import Path

import numpy as np
import pytest

from support.slicer_session import scene, session

host = session()

import qt
import slicer

from SlicerHost import pictures, widgets
from SlicerHost.application import SampleDataLogic
from SubregionHabitatLib import mrml_bridge as bridge
from support.scene_content import content_of, panel_state

REPOSITORY = Path(__file__).resolve().parents[1]
PICTURES = Path(os.environ.get("IITH_PICTURES", REPOSITORY / "build" / "pictures"))
PANELS = ("SubregionHabitat", "IITHModule", "RadiogenomicReport")


def picture(panel: str, name: str) -> None:
    pictures.window(panel, PICTURES / f"{name}.png")
    assert (PICTURES / f"{name}.png").stat().st_size > 20_000


def switch(name: str):
    for other in PANELS:
        if other != name:
            host.leave_module(other)
    return host.open_module(name)


def center_of(segmentation, segment_id):
    return np.array(segmentation.GetSegmentCenterRAS(segment_id))


def composite():
    return slicer.app.layoutManager().sliceWidget("Red").mrmlSliceCompositeNode()


def check_map_in_views(results, name: str, title: str, from_percent: float = 20):
    """The views show the map in enhancing breast and lesion alone, itself it is unchanged; returns what is shown."""
    shown = slicer.mrmlScene.GetNodeByID(composite().GetForegroundVolumeID())
    legend = slicer.modules.colors.logic().GetColorLegendDisplayNode(shown)
    assert (legend.GetVisibility(), legend.GetTitleText()) == (1, title)
    whole, seen = (slicer.util.arrayFromVolume(node) for node in (results.find(f"map.{name}"), shown))
    breast, lesion = (
        slicer.util.arrayFromSegmentBinaryLabelmap(results.find(kind), segment, shown) > 0
        for kind, segment in (("breast", "breast"), ("segmentation", "lesion"))
    )
    enhancing = slicer.util.arrayFromVolume(results.find("map.pe_peak")) >= from_percent
    region = (breast & enhancing if from_percent else breast) | lesion
    assert 0 < region.mean() < 0.5
    assert np.array_equal(seen, np.where(region, whole, np.nan), equal_nan=True)
    assert np.isfinite(whole[~region]).any()
    assert (shown.GetDisplayNode().GetApplyThreshold(), shown.GetSaveWithScene()) == (1, 0)
    return shown


def click_through(case: str, voi, preset: str, folder: Path, indexed: bool = True) -> None:
    """Exam in the scene -> lesion, correction, maps and habitats, features and scores, report; a picture of each.

    indexed: whether the exam has the phases that the heterogeneity index needs.
    """
    habitat = switch("SubregionHabitat")
    ui = habitat.ui
    assert ui.timesTable.rowCount >= 3
    ui.showEarlyButton.click()
    ui.cursorCurveCheck.click()
    crosshair = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
    crosshair.SetCursorPositionRAS(center_of(voi, voi.GetSegmentation().GetNthSegmentID(0)))
    assert "Peak enhancement" in ui.curveLabel.text
    ui.cursorCurveCheck.click()
    # the lesion in the region, then one voxel painted away as the editor would
    ui.voiSelector.setCurrentNode(voi)
    ui.voiSelector.setCurrentSegmentID(voi.GetSegmentation().GetNthSegmentID(0))
    ui.findLesionButton.click()
    assert "cc found" in ui.statusLabel.text
    assert not ui.editorSection.collapsed
    lesion = ui.segmentEditor.segmentationNode()
    assert ui.lesionSelector.currentNode() is lesion
    picture("SubregionHabitat", f"{case}-lesion")
    reference = ui.segmentEditor.sourceVolumeNode()
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(lesion, "lesion", reference)
    mask[tuple(np.argwhere(mask)[0])] = 0
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask.astype(np.uint8), lesion, "lesion", reference)
    ui.editorSection.collapsed = True
    ui.applyButton.click()
    results = habitat.logic.results(habitat._parameterNode)
    used = slicer.util.arrayFromSegmentBinaryLabelmap(results.find("segmentation"), "lesion", results.find("map.ser"))
    assert (used > 0).sum() == (mask > 0).sum()
    assert ui.volumesTable.mrmlTableNode() is results.find("table.volumes")
    assert ui.segmentsTable.segmentationNode() is results.find("segmentation")
    shown = check_map_in_views(results, "pe_early", "Early PE (%)")
    ui.mapCombo.currentText = "Signal enhancement ratio (SER)"
    assert check_map_in_views(results, "ser", "SER") is shown
    ui.shownFromSlider.value = 0
    check_map_in_views(results, "ser", "SER", from_percent=0)
    ui.shownFromSlider.value = 20
    ui.outlinesCheck.click()
    assert not results.find("segmentation").GetDisplayNode().GetVisibility2DFill()
    ui.outlinesCheck.click()
    ui.showLateButton.click()
    assert composite().GetForegroundVolumeID() is None
    ui.mapCombo.activated.emit(ui.mapCombo.currentIndex)
    assert composite().GetForegroundVolumeID() == shown.GetID()
    chart = slicer.app.layoutManager().plotWidget(0).mrmlPlotViewNode().GetPlotChartNodeID()
    assert chart == results.find("curves.chart").GetID()
    picture("SubregionHabitat", f"{case}-habitats")

    score = switch("IITHModule")
    ui = score.ui
    assert ui.segmentationSelector.currentNode() is results.find("segmentation")
    ui.regionsList.item(0).setCheckState(qt.Qt.Checked)
    ui.imagesList.item(1).setCheckState(qt.Qt.Checked)
    ui.presetCombo.currentText = preset
    assert "hormone receptor" in ui.modelInputsLabel.text
    ui.hrCombo.currentText, ui.her2Combo.currentText, ui.ageSpin.value = "positive", "negative", 52
    ui.nStageCombo.currentText, ui.longestDiameterSpin.value = "N1", 45
    ui.longestDiameterChangeSpin.value = -12
    assert ui.modelInputsLabel.text == ""
    ui.applyButton.click()
    rows = bridge.table_rows(results.find("table.features"))
    radiomics = [row for row in rows if row["feature"].startswith("original_")]
    assert {row["image"] for row in radiomics} == {"mask", "phase1"}
    assert {row["region"] for row in radiomics} == {"lesion"}
    scores = {row["model"]: row for row in bridge.table_rows(results.find("table.scores"))}
    assert 0 < scores["pcr-ispy2-v1"]["value"] < 1
    assert ("921 patients" if indexed else "not computed") in ui.indexLabel.text
    assert ui.showDistributionButton.enabled == indexed
    assert "pcr-ispy2-v1" in ui.scoresText.plainText
    picture("IITHModule", f"{case}-scores")

    report = switch("RadiogenomicReport")
    ui = report.ui
    clinical = folder / "clinical.csv"
    clinical.write_text("hr,her2,age\n1,0,52\n")
    ui.clinicalFileEdit.currentPath = str(clinical)
    ui.readClinicalButton.click()
    assert (ui.hrCombo.currentText, ui.her2Combo.currentText, ui.ageSpin.value) == ("positive", "negative", 52)
    ui.reportPathEdit.currentPath = str(folder / "case.html")
    ui.pdfCheck.click()
    ui.numbersCheck.click()
    ui.applyButton.click()
    assert sorted(p.name for p in folder.iterdir()) == ["case-numbers.csv", "case.html", "case.pdf", "clinical.csv"]
    assert (folder / "case.pdf").read_bytes().startswith(b"%PDF")
    shown = f"{scores['pcr-ispy2-v1']['value']:.2f}"
    html = (folder / "case.html").read_text(encoding="utf-8")
    assert shown in html
    assert "research use only" in html.lower()
    ui.showButton.click()
    assert slicer.qSlicerWebWidget.shown[-1] == (folder / "case.html").as_uri()
    picture("RadiogenomicReport", f"{case}-report")


def test_the_simulated_exam_from_sample_data_to_report_by_clicks(scene, tmp_path):
    for name in PANELS:
        host.load_module(name)
    slicer.app.finish_startup()
    source = SampleDataLogic.registered["SimulatedBreastDCE"]
    assert source["category"] == "IITH"
    assert Path(source["thumbnailFileName"]).is_file()
    _sequence, voi = source["customDownloader"](source)
    click_through("simulated", voi, "captk", tmp_path)


def test_ucsf_br_06_from_exam_to_report_by_clicks(scene, tmp_path, ucsf_exam):
    from SubregionHabitatLib.masks import read_region
    from support.data import require_data

    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "DCE")
    bridge.set_sequence(sequence, ucsf_exam)
    mask = read_region(require_data("ucsf-br-06", "mask"), ucsf_exam.geometry, "VOI").mask
    voi = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "VOI")
    segment = bridge.Segment("voi", "VOI", (1, 1, 1), bridge.TISSUE_TERMINOLOGY, mask, filled=False)
    bridge.set_segments(voi, [segment], ucsf_exam.geometry, sequence.GetNthDataNode(0))
    # three phases give no time-to-peak composition, so the index says what it lacks
    click_through("ucsf-br-06", voi, "captk", tmp_path, indexed=False)


@pytest.fixture
def exam(scene):
    """A small simulated exam in the scene: (simulated, sequence, VOI segmentation)."""
    return host.load_module("SubregionHabitat").simulatedNodes()


def select_voi(widget, voi) -> None:
    widget.ui.voiSelector.setCurrentNode(voi)
    widget.ui.voiSelector.setCurrentSegmentID("voi")


def computed(exam):
    widget = switch("SubregionHabitat")
    select_voi(widget, exam[2])
    widget.ui.applyButton.click()
    return widget.logic.results(widget._parameterNode).find("segmentation")


def test_one_click_places_a_point_and_finds_the_lesion_at_it(scene, exam):
    simulated, _sequence, voi = exam
    widget = switch("SubregionHabitat")
    widget.ui.placePointButton.click()
    point = widget.ui.seedPointSelector.currentNode()
    assert slicer.app.applicationLogic().GetInteractionNode().GetCurrentInteractionMode() == 1  # placing
    point.AddControlPoint(*center_of(voi, "voi"))
    found = widget.ui.lesionSelector.currentNode()
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(found, "lesion", widget.ui.segmentEditor.sourceVolumeNode()) > 0
    truth = simulated.truth_lesion
    assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) > 0.9
    assert widget.ui.seedPointSelector.currentNode() is None
    widget.ui.applyButton.click()
    assert widget.logic.results(widget._parameterNode).find("segmentation") is not None


def test_typed_times_are_used_and_given_back_to_the_images(scene, exam):
    widget = switch("SubregionHabitat")
    table, before = widget.ui.timesTable, widget.ui.phasesLabel.text
    table.item(2, 1).setText("240")
    assert widget._parameterNode.timesText == "0, 130, 240, 310, 400"
    assert table.item(2, 1).text() == "240"
    widget.ui.timesFromImagesButton.click()
    assert widget._parameterNode.timesText == ""
    assert widget.ui.phasesLabel.text == before
    assert table.item(2, 1).text() == "220"


def test_times_of_phase_volumes_fill_the_table_and_stay_with_the_results(scene, exam, monkeypatch):
    simulated, _sequence, voi = exam
    clocks = ("10:00:00", "10:02:10", "10:03:40", "10:05:10", "10:06:40")
    known, volumes = {}, []
    for index, clock in enumerate(clocks):
        volumes.append(scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", f"series {index}"))
        bridge.set_volume(volumes[-1], simulated.exam.signal[index], simulated.exam.geometry)
        volumes[-1].SetAttribute("DICOM.instanceUIDs", f"1.2.{index}")
        known[f"1.2.{index}", "0008,0032"] = clock.replace(":", "")
    found = types.SimpleNamespace(instanceValue=lambda uid, tag: known.get((uid, tag), ""))
    monkeypatch.setattr(slicer, "dicomDatabase", found, raising=False)
    widget = switch("SubregionHabitat")
    widget.ui.dceSelector.setCurrentNode(None)
    for volume in volumes:
        widget.ui.phasesSelector.setCheckState(volume, qt.Qt.Checked)
    table = widget.ui.timesTable
    assert [table.item(row, 1).text() for row in range(5)] == ["0", "130", "220", "310", "400"]
    assert table.item(1, 0).text() == "Phase 1: series 1"
    select_voi(widget, voi)
    widget.ui.applyButton.click()
    segmentation = widget.logic.results(widget._parameterNode).find("segmentation")
    # a scene that is opened where the database does not know the exam
    monkeypatch.delattr(slicer, "dicomDatabase")
    again, _result = widget.logic.repeat(segmentation)
    assert (again.times_s, again.timing.source) == ((0.0, 130.0, 220.0, 310.0, 400.0), "AcquisitionTime")


def test_the_curve_of_a_point_follows_it_and_is_the_images(scene, exam):
    simulated, sequence, voi = exam
    widget = switch("SubregionHabitat")
    point = widget.ui.curvePointSelector.addNode()
    point.AddControlPoint(*center_of(voi, "voi"))
    results = bridge.ExamResults([sequence])
    rows = bridge.table_rows(results.find("view.curve"))
    zyx = np.rint(simulated.exam.geometry.index_of(center_of(voi, "voi")[None] * [-1, -1, 1]))[0].astype(int)
    signal = simulated.exam.signal[(slice(None), *zyx)]
    assert [row["enhancement"] for row in rows] == pytest.approx(100 * (signal - signal[0]) / signal[0])
    point.SetNthControlPointPosition(0, 10_000.0, 0.0, 0.0)
    assert "outside" in widget.ui.curveLabel.text
    assert [n.GetSaveWithScene() for n in results.all()] == [0, 0, 0]


def stop_when(widget, percent: int, action):
    """Do ``action`` as soon as the progress bar shows at least ``percent``; returns where the time of it is noted."""
    noted = []

    def look(value):
        if value >= percent and not noted:
            noted.append(time.monotonic())
            action()

    widget.ui.progressBar.connect("valueChanged(int)", look)
    return noted


def test_cancel_at_ten_random_moments_leaves_scene_and_files_as_before(scene, exam, tmp_path):
    computed(exam)
    moments = np.random.default_rng(7).integers(0, 95, 10).tolist()
    assigned = {"SubregionHabitat": moments[:4], "IITHModule": moments[4:7], "RadiogenomicReport": moments[7:]}
    for name, chosen in assigned.items():
        widget = switch(name)
        if name == "SubregionHabitat":
            widget._parameterNode.chooseCount, widget._parameterNode.ringRadiusMm = "silhouette", 8.0
        elif name == "RadiogenomicReport":
            widget.ui.reportPathEdit.currentPath = str(tmp_path / "report.html")
            widget.ui.pdfCheck.checked = True
        for percent in chosen:
            before = content_of(scene)
            noted = stop_when(widget, percent, widget.ui.cancelButton.click)
            widget.ui.applyButton.click()
            assert noted, f"{name} never reached {percent} %"
            assert time.monotonic() - noted[0] < 2.0
            assert widget.ui.statusLabel.text == "Stopped; nothing was changed."
            assert content_of(scene) == before
            assert list(tmp_path.iterdir()) == []
            assert widget.ui.applyButton.enabled
            assert not widget.ui.cancelButton.visible


def test_closing_the_scene_while_an_analysis_runs_is_safe(scene, exam):
    widget = switch("SubregionHabitat")
    select_voi(widget, exam[2])
    noted = stop_when(widget, 30, lambda: scene.Clear(0))
    widget.ui.applyButton.click()
    assert noted
    assert not widget.running
    assert slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") == []
    # and the panel works on the next exam
    host.leave_module("SubregionHabitat")
    assert computed(host.load_module("SubregionHabitat").simulatedNodes()) is not None


def test_choosing_another_module_while_an_analysis_runs_is_safe(scene, exam):
    widget = switch("SubregionHabitat")
    select_voi(widget, exam[2])
    others = []

    def leave():
        other = switch("IITHModule")
        other.ui.featuresCheck.checked = False
        others.append(other)

    noted = stop_when(widget, 30, leave)
    widget.ui.applyButton.click()
    assert noted
    results = bridge.ExamResults([exam[1]])
    assert results.find("segmentation") is not None
    back = switch("SubregionHabitat")
    assert back.ui.volumesTable.mrmlTableNode() is results.find("table.volumes")


def test_only_one_computation_runs_at_a_time(scene, exam):
    segmentation = computed(exam)
    widget, said = switch("SubregionHabitat"), []

    def start_another():
        other = host.open_module("IITHModule")
        other.ui.applyButton.click()
        said.append(other.ui.statusLabel.text)

    stop_when(widget, 20, start_another)
    widget.ui.applyButton.click()
    assert said == ["Another computation is running; wait for it or stop it."]
    assert bridge.ExamResults.of(segmentation).find("table.scores") is None


def test_an_exam_removed_while_it_is_analyzed_is_told(scene, exam):
    _simulated, sequence, voi = exam
    widget = switch("SubregionHabitat")
    select_voi(widget, voi)
    stop_when(widget, 30, lambda: scene.RemoveNode(sequence))
    widget.ui.applyButton.click()
    assert "no longer in the scene" in widget.ui.statusLabel.text


def test_save_clear_load_shows_the_same_state_in_all_three_panels(scene, exam, tmp_path):
    computed(exam)
    widget = switch("SubregionHabitat")
    widget.ui.ringSlider.value, widget.ui.mapCombo.currentText = 7.0, "Wash-in slope (WIS)"
    widget.ui.chooseCountCombo.currentText, widget.ui.n4Check.checked = "gap", True
    widget.ui.timesTable.item(2, 1).setText("230")
    score = switch("IITHModule")
    score.ui.regionsList.item(0).setCheckState(qt.Qt.Checked)
    score.ui.imagesList.item(2).setCheckState(qt.Qt.Checked)
    score.ui.modelsList.item(1).setCheckState(qt.Qt.Checked)
    score.ui.hrCombo.currentText, score.ui.ageSpin.value = "negative", 61.5
    score.ui.nStageCombo.currentText, score.ui.longestDiameterChangeSpin.value = "N2", 0.0
    score.ui.featuresCheck.checked = False
    score.ui.applyButton.click()
    report = switch("RadiogenomicReport")
    report.ui.reportPathEdit.currentPath = str(tmp_path / "later.html")
    report.ui.numbersCheck.checked, report.ui.statisticNamesEdit.text = True, "ftv, age"
    before = {name: panel_state(switch(name)) for name in PANELS}
    assert before["IITHModule"]["regionsList"][0][1].endswith("Checked")
    host.save_scene(tmp_path / "scene.mrb")
    scene.Clear(0)
    cleared = {name: panel_state(switch(name)) for name in PANELS}
    assert all(cleared[name] != before[name] for name in PANELS)
    (tmp_path / "unpacked").mkdir()
    host.load_scene(tmp_path / "scene.mrb", tmp_path / "unpacked")
    after = {name: panel_state(switch(name)) for name in PANELS}
    for name in PANELS:
        assert after[name] == before[name]


def wait_for(condition, panel, seconds=120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, panel.ui.batchLabel.text if hasattr(panel.ui, "batchLabel") else "too long"
        slicer.app.processEvents()
        time.sleep(0.02)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """A cohort table of one small simulated exam as files, and one that does not exist."""
    from SubregionHabitatLib.simulation import SimulationParameters, simulate_exam
    from SubregionHabitatLib.volume_io import write_volume

    folder = tmp_path_factory.mktemp("cohort")
    case = simulate_exam(SimulationParameters(shape=(20, 48, 48), spacing_mm=(3.2, 3.2, 6.0)))
    for index in range(case.exam.n_phases):
        write_volume(folder / f"phase{index}.nrrd", case.exam.signal[index], case.exam.geometry)
    write_volume(folder / "voi.nrrd", case.voi.astype(np.uint8), case.exam.geometry)
    with open(folder / "cohort.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["patient", "visit", "exam", "voi", "times"])
        phases = ";".join(f"phase{i}.nrrd" for i in range(case.exam.n_phases))
        times = ",".join(f"{t:g}" for t in case.exam.times_s)
        writer.writerow(["A", "1", phases, "voi.nrrd", times])
        writer.writerow(["B", "1", "absent.nrrd", "voi.nrrd", times])
    return folder / "cohort.csv"


def test_a_cohort_is_run_watched_and_a_case_opened(scene, cohort, tmp_path):
    widget = switch("IITHModule")
    ui = widget.ui
    ui.tabs.currentIndex = 2
    ui.cohortEdit.currentPath = str(cohort)
    assert [ui.batchTable.item(r, 0).text() for r in range(ui.batchTable.rowCount)] == ["A", "B"]
    assert not ui.batchButton.enabled
    ui.batchOutEdit.currentPath = str(tmp_path / "out")
    ui.batchButton.click()
    assert not ui.batchButton.enabled
    assert ui.batchTable.item(0, 2).text() == "waiting"
    wait_for(lambda: not widget.batch.running, widget)
    shown = [[ui.batchTable.item(r, c).text() for c in range(5)] for r in range(2)]
    assert [row[2] for row in shown] == ["done", "failed"]
    assert float(shown[0][3]) > 0
    assert "absent" in shown[1][4]
    assert "1 of 2" in ui.batchLabel.text
    ui.batchTable.setCurrentCell(1, 0)
    assert not ui.openCaseButton.enabled
    ui.batchTable.setCurrentCell(0, 0)
    ui.openCaseButton.click()
    picture("IITHModule", "batch")
    opened = scene.GetFirstNodeByName("A_1")
    assert "lesion" in bridge.segment_names(opened)
    volume = slicer.util.arrayFromSegmentBinaryLabelmap(opened, "lesion", scene.GetFirstNodeByName("A_1 ser"))
    assert (volume > 0).sum() * 3.2 * 3.2 * 6 / 1000 == pytest.approx(float(shown[0][3]), abs=0.005)


def test_stopping_a_cohort_ends_its_processes_at_once(scene, cohort, tmp_path):
    widget = switch("IITHModule")
    widget.ui.cohortEdit.currentPath, widget.ui.batchOutEdit.currentPath = str(cohort), str(tmp_path / "out")
    widget.ui.batchButton.click()
    child = widget.batch._watch._process._process
    start = time.monotonic()
    widget.ui.batchStopButton.click()
    assert time.monotonic() - start < 2.0
    assert child.poll() is not None
    assert widget.ui.batchLabel.text.startswith("Stopped")
    assert widget.ui.batchButton.enabled


def test_a_damaged_cohort_table_is_told(scene, tmp_path):
    (tmp_path / "bad.csv").write_text("name\nx\n")
    widget = switch("IITHModule")
    widget.ui.cohortEdit.currentPath = str(tmp_path / "bad.csv")
    assert "patient" in widget.ui.batchLabel.text
    assert not widget.ui.batchButton.enabled


def test_two_visits_are_compared(scene, exam):
    first = computed(exam)
    scene_module = host.load_module("SubregionHabitat")
    other = scene_module.simulatedNodes()
    nodes = scene_module.SubregionHabitatLogic().processNodes([other[1]], voi=(other[2], "voi"))
    widget = switch("IITHModule")
    ui = widget.ui
    ui.tabs.currentIndex = 1
    assert not widget.running
    ui.firstSelector.setCurrentNode(first)
    ui.secondSelector.setCurrentNode(first)
    ui.compareButton.click()
    assert "selected twice" in ui.statusLabel.text
    ui.secondSelector.setCurrentNode(nodes.segmentation)
    assert (ui.phenotypeEdit.currentPath, widget._parameterNode.phenotypeModel) == ("", Path())
    ui.compareButton.click()
    rows = {(r["region"], r["quantity"]): r for r in bridge.table_rows(ui.changesTable.mrmlTableNode())}
    assert rows["lesion", "volume"]["change"] == 0.0  # the same exam twice
    assert rows["lesion", "volume"]["change (%)"] == 0.0
    assert "do not compare" in ui.visitsLabel.text
    picture("IITHModule", "two-visits")


def test_cohort_statistics_run_from_the_report_panel(scene, tmp_path):
    rng = np.random.default_rng(3)
    ages, volumes = rng.normal(55, 10, 120), rng.lognormal(1.5, 0.7, 120)
    months = rng.exponential(90 / volumes) + 1
    rows = zip(range(120), ages, volumes, np.minimum(months, 60), months < 60, strict=True)
    lines = [f"P{i},{age:.1f},{volume:.2f},{time:.2f},{int(event)}" for i, age, volume, time, event in rows]
    (tmp_path / "patients.csv").write_text("patient,age,volume,months,event\n" + "\n".join(lines) + "\n")
    widget = switch("RadiogenomicReport")
    ui = widget.ui
    ui.tabs.currentIndex = 1
    assert not ui.statisticsButton.enabled
    ui.patientTableEdit.currentPath = str(tmp_path / "patients.csv")
    ui.statisticsFolderEdit.currentPath = str(tmp_path / "statistics")
    ui.statisticKindCombo.currentText, ui.statisticNamesEdit.text = "score", "volume"
    ui.outcomeTimeEdit.text, ui.outcomeEventEdit.text = "months", "event"
    ui.statisticsButton.click()
    wait_for(lambda: not widget.statistics.running, widget)
    report = tmp_path / "statistics" / "report.html"
    assert "research use only" in report.read_text(encoding="utf-8").lower()
    assert ui.showStatisticsButton.enabled
    ui.showStatisticsButton.click()
    assert slicer.qSlicerWebWidget.shown[-1] == report.as_uri()
    picture("RadiogenomicReport", "statistics")


def test_without_the_web_widget_the_report_opens_in_the_browser(scene, exam, tmp_path, monkeypatch):
    computed(exam)
    widget = switch("RadiogenomicReport")
    widget.ui.reportPathEdit.currentPath = str(tmp_path / "report.html")
    widget.ui.applyButton.click()
    monkeypatch.delattr(slicer, "qSlicerWebWidget")
    widget.ui.showButton.click()
    assert qt.QDesktopServices.opened.pop().text == "file://" + str(tmp_path / "report.html")


@pytest.mark.parametrize("name", PANELS)
def test_every_control_says_what_it_does_and_the_keyboard_goes_from_top_to_bottom(scene, name):
    from PySide6 import QtCore, QtWidgets

    widget = host.open_module(name)
    controls = [w for w in vars(widget.ui).values() if isinstance(w, QtWidgets.QWidget)]
    silent = (QtWidgets.QLabel, QtWidgets.QTabWidget, widgets.ctkCollapsibleButton)
    plain = [w.objectName for w in controls if not isinstance(w, silent) and w.objectName and not w.toolTip]
    pages = [n for n in plain if n.endswith("Tab") or n == name]
    assert plain == pages
    assert "research use only" in widget.ui.noticeLabel.text.lower()
    order, seen = [], set()
    chain = widget.uiWidget.nextInFocusChain()
    while chain is not widget.uiWidget and chain not in seen:
        seen.add(chain)
        if chain in controls and chain.focusPolicy & QtCore.Qt.FocusPolicy.TabFocus:
            order.append(chain)
        chain = chain.nextInFocusChain()
    assert len(order) > 5


@pytest.mark.parametrize("name", PANELS)
def test_every_widget_named_in_code_is_in_the_ui_file(name):
    import re
    import xml.etree.ElementTree as ElementTree

    root = ElementTree.parse(REPOSITORY / name / "Resources" / "UI" / f"{name}.ui").getroot()
    known = {element.get("name") for element in root.iter("widget")}
    common = REPOSITORY / "SubregionHabitat" / "SubregionHabitatPanel" / "module_panel.py"
    files = {REPOSITORY / name / f"{name}.py", *(REPOSITORY / name / f"{name}Panel").glob("*.py"), common}
    text = "\n".join(file.read_text(encoding="utf-8") for file in files)
    named = set(re.findall(r"\bui\.([A-Za-z]\w+)", text))
    if name == "IITHModule":
        from IITHModulePanel.clinical_fields import FIELDS

        named |= {field.widget + end for field in FIELDS for end in ("", "Label")}
    assert len(named) > 5
    assert named <= known
