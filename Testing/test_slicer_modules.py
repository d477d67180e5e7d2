"""The three module files on a real scene: loading, panels, logics, results, saved scenes."""

# ruff: noqa: E402, F401, F811 - nothing of slicer imports before the session starts; `scene` is a fixture

from __future__ import annotations

import ast
import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from support.slicer_session import SOURCE_VARIABLE, scene, session

host = session()

import os

import slicer
import vtk

from SubregionHabitatLib import mrml_bridge as bridge
from SubregionHabitatLib.analysis import ImagingParameters, analyze_imaging
from SubregionHabitatLib.errors import Cancelled, InputError
from SubregionHabitatLib.exam import DceExam
from SubregionHabitatLib.geometry import Geometry
from SubregionHabitatLib.masks import RegionMask
from SubregionHabitatLib.simulation import SimulationParameters, simulate_exam

REPOSITORY = Path(__file__).resolve().parents[1]
MAPS = ["pe_early", "pe_peak", "ser", "wis", "wos", "time_to_peak"]
SEGMENT_PARAMETERS = ("Segmentation", "SegmentId")
SEGMENTS = ["lesion", "habitat1", "habitat2", "habitat3", "ring"]


@pytest.fixture(scope="module")
def simulated():
    """A coarse simulated exam on a rotated, anisotropic grid."""
    parameters = SimulationParameters(shape=(32, 80, 80), spacing_mm=(2.0, 2.0, 4.0), oblique_deg=(6.0, -9.0, 12.0))
    return simulate_exam(parameters)


def flipped(simulated):
    """The same exam stored with the x axis turned over: a left-handed grid, as some scanners' slices are stacked."""
    exam, g = simulated.exam, simulated.exam.geometry
    last = np.array([[0, 0, g.shape[2] - 1]], dtype=float)
    direction = g.direction_matrix @ np.diag([-1.0, 1.0, 1.0])
    geometry = Geometry(g.shape, g.spacing_mm, tuple(g.lps_of(last)[0].tolist()), tuple(direction.ravel().tolist()))
    signal = np.ascontiguousarray(exam.signal[..., ::-1])
    return DceExam(signal, exam.times_s, geometry, exam.timing, exam.source), simulated.voi[..., ::-1]


def add_exam(scene, exam, mask, segment_id="voi"):
    """(sequence node, segmentation node with one segment) of an exam."""
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "DCE")
    bridge.set_sequence(sequence, exam)
    reference = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "drawn on")
    bridge.set_volume(reference, exam.signal[1], exam.geometry)
    segmentation = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "drawn")
    segment = bridge.Segment(segment_id, "Drawn", (1, 1, 1), bridge.TISSUE_TERMINOLOGY, mask)
    bridge.set_segments(segmentation, [segment], exam.geometry, reference)
    return sequence, segmentation


def habitat_logic():
    return host.load_module("SubregionHabitat").SubregionHabitatLogic()


# --- loading ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", host.MODULES)
def test_modules_load_with_what_slicer_asks_of_them(scene, name):
    module = host.load_module(name)
    parent = getattr(slicer.modules, name.lower())
    assert parent.title
    assert parent.categories == ["Quantification"]
    assert "research use only" in parent.helpText.lower()
    assert Path(parent.icon.path).name == f"{name}.svg"
    for suffix in ("", "Widget", "Logic", "Test"):
        assert hasattr(module, name + suffix)
    known = slicer.app.moduleManager().modules
    for needed in parent.dependencies:
        assert needed in known or needed in host.MODULES


CHECK_IMPORTS = """
import sys
sys.path.insert(0, "Testing")
from SlicerHost import host
host.start({source!r})
before = set(sys.modules)
host.load_module({name!r})
heavy = {{"pandas", "sklearn", "lifelines", "radiomics", "matplotlib", "statsmodels", "scipy", "SimpleITK", "pydicom"}}
new = set(sys.modules) - before
loaded = {{m.split(".")[0] for m in new}}
libraries = {{m for m in new if m.split(".")[0].endswith(("Lib", "Panel"))}}
print([sorted(heavy & loaded), sorted(libraries)])
"""


@pytest.mark.parametrize("name", host.MODULES)
def test_importing_a_module_imports_nothing_heavy_and_no_library(name):
    code = CHECK_IMPORTS.format(source=os.environ.get(SOURCE_VARIABLE), name=name)
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    heavy, libraries = ast.literal_eval(done.stdout.strip())
    # nothing but what a panel needs to stand in Slicer's list
    assert heavy == []
    assert {m.split(".")[0] for m in libraries} == {"SubregionHabitatPanel"}


@pytest.mark.parametrize("name", host.MODULES)
def test_every_parameter_has_a_widget_or_is_connected_by_hand(scene, name):
    roles = ("voi", "lesion", "omit", "added", "removed", "otherLesions", "breast")
    by_hand = {
        "SubregionHabitat": {
            "phaseVolumes",
            "previewPhase",
            *(f"{role}{part}" for role in roles for part in SEGMENT_PARAMETERS),
        },
        "IITHModule": {"regions", "images"},
    }
    widget = host.open_module(name)
    from PySide6.QtWidgets import QWidget

    panel = widget.parent.findChildren(QWidget)
    bound = {w.property("SlicerParameterName") for w in panel} - {None}
    parameters = set(widget.logic.getParameterNode().allParameters)
    assert bound == parameters - by_hand.get(name, set())
    for w in panel:
        if w.property("SlicerParameterName"):
            assert w.toolTip, w.objectName


def test_defaults_are_those_of_the_library(scene):
    logic = habitat_logic()
    assert logic.imagingParameters(logic.getParameterNode()) == ImagingParameters()


# Settings that the panel leaves at the library's defaults, and why.
NOT_OFFERED = {
    # The registration was tuned and is tested as a whole; only its mode is a choice for a user.
    **dict.fromkeys(
        [
            f"preparation.registration.{name}"
            for name in (
                "fixed_phase", "grid_spacing_mm", "histogram_bins", "samples", "linear_iterations",
                "bspline_iterations", "smoothing_mm", "working_voxel_mm", "min_metric_gain", "mask_margin_mm",
                "lesion_margin_mm", "fade_mm", "interpolation", "jacobian_range", "doubtful_mm", "seed",
            )
        ],
        "tuned as a whole",
    ),
    "preparation.registration.workers": "without influence on the result",
    **dict.fromkeys(
        [
            f"preparation.bias_field.{name}"
            for name in (
                "shrink", "levels", "iterations", "control_points", "convergence", "histogram_bins", "fwhm", "noise",
            )
        ],
        "tuned as a whole",
    ),
    **dict.fromkeys(
        ["preparation.breast.coarse_mm"]
        + [
            f"preparation.breast.wall.{name}"
            for name in (
                "edge_mm", "lateral_mm", "full_contrast", "fat_behind_cost", "fat_behind_mm", "chest_fat_mm",
                "unknown_likeness", "lean_depth_mm", "depth_cost", "slope_cost", "skin_clearance_mm", "behind_limit_mm",
            )
        ],
        "tuned as a whole; a breast that is not found rightly is better drawn",
    ),
    **dict.fromkeys(
        [
            f"fibroglandular.{name}"
            for name in (
                "smoothing_mm", "skin_margin_mm", "least_contrast", "border_share", "min_component_mm3",
            )
        ],
        "tuned as a whole",
    ),
    **dict.fromkeys(
        [f"lesion.seed_{name}" for name in ("search_mm", "radius_mm", "step_mm", "max_radius_mm")],
        "the ball around the seed grows by itself until the lesion fits in",
    ),
    "habitats.features": "all maps that are defined are used; another choice needs another name",
    "habitats.choose_k_rows": "bounds the time of choosing k",
    "habitats.max_voxels_per_exam": "concerns the fit on a cohort only",
    **dict.fromkeys(
        ["habitats.supervoxels", "habitats.compactness", "habitats.second_level"],
        "belong to the published two-level method",
    ),
}  # fmt: skip


def test_every_setting_of_the_library_can_be_set_or_is_left_out_for_a_reason(scene):
    logic = habitat_logic()
    parameters = logic.getParameterNode()
    for name in parameters.allParameters:
        value = getattr(parameters, name)
        if isinstance(value, bool):
            setattr(parameters, name, not value)
        elif isinstance(value, (int, float)):
            setattr(parameters, name, value + 2 if name != "minSer" else 0.5)
    parameters.background, parameters.peakSearch, parameters.wosMode = "off", "early", "chitalia"
    parameters.neighbourhood, parameters.ringDistanceFrom = "faces_6", "voxel_centres"
    parameters.registration, parameters.keepParts, parameters.omitted = "bspline", "seed", "left_out"
    parameters.neighboursWithin, parameters.habitatMode, parameters.chooseCount = "image", "two_level", "gap"
    parameters.fatSignal = "bright"

    def unchanged(used, default, where=""):
        for field in dataclasses.fields(default):
            a, b = getattr(used, field.name), getattr(default, field.name)
            if dataclasses.is_dataclass(b):
                yield from unchanged(a, b, f"{where}{field.name}.")
            elif a == b:
                yield where + field.name

    assert set(unchanged(logic.imagingParameters(parameters), ImagingParameters())) == set(NOT_OFFERED)


def test_choices_are_those_of_the_library(scene):
    from IITHModuleLib.feature_engine import ENGINES
    from IITHModuleLib.presets import preset_names
    from SubregionHabitatLib.fat_reference import FAT_SIGNALS
    from SubregionHabitatLib.habitat_parameters import CHOOSE_K, HABITAT_MODES, K_RANGE
    from SubregionHabitatLib.interaction import NEIGHBOURHOODS
    from SubregionHabitatLib.kinetics import PEAK_SEARCHES, WOS_MODES
    from SubregionHabitatLib.lesion import BACKGROUND_MODES, NEIGHBOURS_WITHIN, OMITTED
    from SubregionHabitatLib.lesion_parts import KEEP
    from SubregionHabitatLib.registration import MODES
    from SubregionHabitatLib.ring import RING_DISTANCES

    def choices(name, parameter):
        module = host.load_module(name)
        annotated = getattr(module, f"{name}ParameterNode").allParameters[parameter]
        datatype = getattr(annotated, "datatype", None) or annotated.unalteredType
        return next(a.choices for a in datatype.__metadata__ if hasattr(a, "choices"))

    offered = {
        "registration": MODES,
        "background": BACKGROUND_MODES,
        "omitted": OMITTED,
        "neighboursWithin": NEIGHBOURS_WITHIN,
        "keepParts": KEEP,
        # the centres of the mode "cohort" come from a habitat model
        "habitatMode": [mode for mode in HABITAT_MODES if mode != "cohort"],
        "chooseCount": CHOOSE_K,
    }
    for parameter, known in offered.items():
        assert choices("SubregionHabitat", parameter) == list(known)
    assert len(bridge.HABITAT_COLORS) == max(K_RANGE)
    assert choices("SubregionHabitat", "fatSignal") == list(FAT_SIGNALS)
    assert choices("SubregionHabitat", "peakSearch") == list(PEAK_SEARCHES)
    assert choices("SubregionHabitat", "wosMode") == list(WOS_MODES)
    assert choices("SubregionHabitat", "neighbourhood") == list(NEIGHBOURHOODS)
    assert choices("SubregionHabitat", "ringDistanceFrom") == list(RING_DISTANCES)
    assert sorted(choices("IITHModule", "preset")) == preset_names()
    assert choices("IITHModule", "engine") == list(ENGINES)


# --- SubregionHabitat ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("left_handed", [False, True])
def test_results_lie_where_the_library_puts_them(scene, simulated, left_handed):
    exam, voi = flipped(simulated) if left_handed else (simulated.exam, simulated.voi)
    assert (np.linalg.det(exam.geometry.direction_matrix) < 0) == left_handed
    sequence, drawn = add_exam(scene, exam, voi)
    nodes = habitat_logic().processNodes([sequence], voi=(drawn, "voi"))
    expected = analyze_imaging(exam, ImagingParameters(), RegionMask(voi, "VOI"))
    assert list(nodes.maps) == MAPS
    for name in MAPS:
        found, geometry = bridge.volume_array(nodes.maps[name])
        assert np.array_equal(found, getattr(expected.maps, name), equal_nan=True)
        assert nodes.maps[name].GetAttribute("IITH.unit") == {**expected.maps.units(), "time_to_peak": "min"}[name]
        assert geometry.same_grid(exam.geometry)
    assert list(bridge.segment_names(nodes.segmentation)) == SEGMENTS
    for name, mask in expected.regions().items():
        by_slicer = slicer.util.arrayFromSegmentBinaryLabelmap(nodes.segmentation, name, nodes.maps["ser"])
        assert np.array_equal(by_slicer > 0, mask)
    # one voxel of the lesion in patient coordinates, by Slicer's own arithmetic
    zyx = np.argwhere(expected.lesion.mask)[0]
    matrix = vtk.vtkMatrix4x4()
    nodes.maps["ser"].GetIJKToRASMatrix(matrix)
    ras = np.array(matrix.MultiplyPoint((*zyx[::-1].tolist(), 1)))[:3]
    assert ras * [-1, -1, 1] == pytest.approx(exam.geometry.lps_of(zyx[None])[0])


def test_tables_curves_and_plot_hold_the_librarys_numbers(scene, simulated):
    sequence, drawn = add_exam(scene, simulated.exam, simulated.voi)
    nodes = habitat_logic().processNodes([sequence], voi=(drawn, "voi"))
    expected = analyze_imaging(simulated.exam, ImagingParameters(), RegionMask(simulated.voi, "VOI"))
    rows = {(r["region"], r["quantity"]): r for r in bridge.table_rows(nodes.volumesTable)}
    assert rows["lesion", "volume"]["value"] == pytest.approx(expected.lesion.volume_cc)
    assert rows["lesion", "volume"]["unit"] == "cc"
    assert rows["habitat2", "volume"]["value"] == pytest.approx(expected.habitats.volumes_cc[1])
    assert rows["ring", "share kept after clipping"]["value"] == pytest.approx(expected.ring.kept_fraction)
    by_construction = rows["lesion", "share above the PE threshold at the first post-contrast phase"]
    assert by_construction["value"] is None
    assert by_construction["reason"]
    for name, value in expected.interaction.features.items():
        assert rows["lesion", name]["value"] == pytest.approx(value)
    (background,) = expected.background
    mean = rows["ipsilateral parenchyma", "mean background enhancement"]
    assert (mean["value"], mean["unit"]) == (pytest.approx(background.mean_percent), "%")
    for threshold, share in background.share_above.items():
        assert rows["ipsilateral parenchyma", f"share enhancing above {threshold} %"]["value"] == pytest.approx(share)
    assert rows["ipsilateral breast", "volume"]["value"] == pytest.approx(background.breast_cc)
    over = rows["lesion", "enhancement over the ipsilateral parenchyma's"]
    assert over["value"] == pytest.approx(background.lesion_to_background)
    curves = bridge.table_rows(nodes.curvesTable)
    assert [row["time"] for row in curves] == list(simulated.exam.times_s)
    by_region = {curve.region: curve for curve in expected.curves}
    assert [row["high"] for row in curves] == pytest.approx(by_region["high"].mean)
    series = [nodes.curvesChart.GetNthPlotSeriesNode(i) for i in range(nodes.curvesChart.GetNumberOfPlotSeriesNodes())]
    assert [s.GetName() for s in series] == list(by_region)
    assert all(s.GetTableNode() is nodes.curvesTable for s in series)


def test_separate_volumes_give_the_same_result_as_the_sequence(scene, simulated):
    exam = simulated.exam
    sequence, drawn = add_exam(scene, exam, simulated.voi)
    volumes = []
    for index in range(exam.n_phases):
        volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", f"phase {index}")
        bridge.set_volume(volume, exam.signal[index].astype(np.int16), exam.geometry)
        volumes.append(volume)
    logic = habitat_logic()
    parameters = logic.getParameterNode()
    parameters.phaseVolumes = volumes
    parameters.timesText = ", ".join(f"{t:g}" for t in exam.times_s)
    parameters.voiSegmentation, parameters.voiSegmentId = drawn, "voi"
    one = logic.process(parameters)
    parameters.dceSequence = sequence
    parameters.timesText = ""
    other = logic.process(parameters)
    assert other.segmentation is not one.segmentation
    for name in MAPS:
        a, b = (slicer.util.arrayFromVolume(nodes.maps[name]) for nodes in (one, other))
        assert np.array_equal(a, b, equal_nan=True)


def test_a_drawn_lesion_is_used_as_drawn(scene, simulated):
    sequence, drawn = add_exam(scene, simulated.exam, simulated.truth_lesion, "tumor")
    logic = habitat_logic()
    nodes = logic.processNodes([sequence], lesion=(drawn, "tumor"))
    lesion = bridge.region_from_segment(nodes.segmentation, "lesion", simulated.exam.geometry, "lesion").mask
    assert np.array_equal(lesion, simulated.truth_lesion)
    rows = {(r["region"], r["quantity"]): r["value"] for r in bridge.table_rows(nodes.volumesTable)}
    assert rows["lesion", "voxels"] == simulated.truth_lesion.sum()


def test_settings_reach_the_library(scene, simulated):
    sequence, drawn = add_exam(scene, simulated.exam, simulated.voi)
    logic = habitat_logic()
    parameters = logic.getParameterNode()
    parameters.dceSequence, parameters.voiSegmentation, parameters.voiSegmentId = sequence, drawn, "voi"
    parameters.ringRadiusMm, parameters.peThresholdPercent, parameters.earlyPhase = 8.0, 90.0, 2
    parameters.backgroundPercent, parameters.background, parameters.seed = 40.0, "on", 7
    used = logic.imagingParameters(parameters)
    assert (used.ring_mm, used.early, used.late, used.habitats.seed) == (8.0, 2, None, 7)
    assert dataclasses.astuple(used.ftv)[:3] == (90.0, "on", 0.4)
    nodes = logic.process(parameters)
    expected = analyze_imaging(simulated.exam, used, RegionMask(simulated.voi, "VOI"))
    ring = bridge.region_from_segment(nodes.segmentation, "ring", simulated.exam.geometry, "ring").mask
    assert np.array_equal(ring, expected.ring.mask)
    assert nodes.segmentation.GetSegmentation().GetSegment("ring").GetName() == "Peritumoral ring, 8 mm"


def test_a_second_run_replaces_the_first(scene, simulated):
    sequence, drawn = add_exam(scene, simulated.exam, simulated.voi)
    logic = habitat_logic()
    first = logic.processNodes([sequence], voi=(drawn, "voi"))
    n_nodes = scene.GetNumberOfNodes()
    parameters = ImagingParameters(ring_mm=3.0)
    second = logic.processNodes([sequence], voi=(drawn, "voi"), imagingParameters=parameters)
    assert scene.GetNumberOfNodes() == n_nodes
    assert second.segmentation is first.segmentation
    assert second.maps == first.maps
    assert second.segmentation.GetSegmentation().GetSegment("ring").GetName() == "Peritumoral ring, 3 mm"
    hierarchy = scene.GetSubjectHierarchyNode()
    folder = bridge.ExamResults([sequence]).folder()
    assert hierarchy.GetNumberOfItemChildren(folder) == len(bridge.ExamResults([sequence]).all())


def test_the_scene_holds_nothing_but_inputs_and_results_afterwards(scene, simulated):
    sequence, drawn = add_exam(scene, simulated.exam, simulated.voi)
    before = {scene.GetNthNode(i).GetID() for i in range(scene.GetNumberOfNodes())}
    habitat_logic().processNodes([sequence], voi=(drawn, "voi"))
    results = bridge.ExamResults([sequence]).all()
    new = [scene.GetNthNode(i) for i in range(scene.GetNumberOfNodes())]
    extra = [n for n in new if n.GetID() not in before and n not in results and not n.IsA("vtkMRMLDisplayNode")]
    assert [n.GetClassName() for n in extra if not n.GetSingletonTag()] == []
    displays = [n for n in new if n.GetID() not in before and n.IsA("vtkMRMLDisplayNode")]
    assert len(displays) == len(MAPS) + 3


def test_missing_or_wrong_inputs_are_refused_in_one_sentence(scene, simulated):
    sequence, drawn = add_exam(scene, simulated.exam, simulated.voi)
    logic = habitat_logic()
    parameters = logic.getParameterNode()
    with pytest.raises(InputError, match="No DCE exam is selected"):
        logic.process(parameters)
    parameters.dceSequence = sequence
    with pytest.raises(InputError, match="Neither a VOI nor a lesion"):
        logic.process(parameters)
    parameters.voiSegmentation = drawn
    with pytest.raises(InputError, match="no segment '' for the VOI"):
        logic.process(parameters)
    parameters.voiSegmentId = "voi"
    parameters.timesText = "0, 90"
    with pytest.raises(InputError, match="2 times were given"):
        logic.process(parameters)
    assert bridge.ExamResults([sequence]).all() == []


def test_stopping_leaves_the_scene_as_it_was(scene, simulated):
    class StopAtOnce:
        def step(self, fraction, message):
            raise Cancelled("stop")

    sequence, drawn = add_exam(scene, simulated.exam, simulated.voi)
    n_nodes = scene.GetNumberOfNodes()
    with pytest.raises(Cancelled):
        habitat_logic().processNodes([sequence], voi=(drawn, "voi"), progress=StopAtOnce())
    assert scene.GetNumberOfNodes() == n_nodes


def test_an_edited_result_is_not_taken_for_the_modules(scene, simulated):
    sequence, drawn = add_exam(scene, simulated.exam, simulated.voi)
    logic = habitat_logic()
    nodes = logic.processNodes([sequence], voi=(drawn, "voi"))
    exam, again = logic.repeat(nodes.segmentation)
    assert np.array_equal(exam.signal, simulated.exam.signal)
    assert again.regions().keys() == set(SEGMENTS)
    array = slicer.util.arrayFromSegmentBinaryLabelmap(nodes.segmentation, "habitat2", nodes.maps["ser"])
    array[tuple(np.argwhere(array)[0])] = 0
    edited = array.astype(np.uint8)
    slicer.util.updateSegmentBinaryLabelmapFromArray(edited, nodes.segmentation, "habitat2", nodes.maps["ser"])
    with pytest.raises(InputError, match=r"Habitat 2.*was changed after the Subregion Habitat module made it"):
        logic.repeat(nodes.segmentation)
    with pytest.raises(InputError, match="does not belong"):
        logic.repeat(drawn)
    with pytest.raises(InputError, match="No habitat segmentation"):
        logic.repeat(None)


def test_damaged_settings_are_refused(scene, simulated):
    sequence, drawn = add_exam(scene, simulated.exam, simulated.voi)
    logic = habitat_logic()
    nodes = logic.processNodes([sequence], voi=(drawn, "voi"))
    text = bridge.ExamResults([sequence]).find("inputs.settings")
    good = json.loads(text.GetText())
    for damage in ("", "{", "[]", "[" * 50000, json.dumps({**good, "imaging": {**good["imaging"], "unknown": 1}})):
        text.SetText(damage)
        with pytest.raises(InputError, match="run the Subregion Habitat module again"):
            logic.repeat(nodes.segmentation)


# --- the panel -------------------------------------------------------------------------------------------------------


def test_the_panel_guides_to_a_result(scene, simulated):
    sequence, drawn = add_exam(scene, simulated.exam, simulated.voi)
    widget = host.open_module("SubregionHabitat")
    parameters = widget.logic.getParameterNode()
    assert parameters.dceSequence is sequence
    assert f"{simulated.exam.n_phases} phases at 0, " in widget.ui.phasesLabel.text
    assert not widget.ui.applyButton.enabled
    assert "segment" in widget.ui.applyButton.toolTip
    widget.ui.voiSelector.setCurrentNode(drawn)
    widget.ui.voiSelector.setCurrentSegmentID("voi")
    assert (parameters.voiSegmentation, parameters.voiSegmentId) == (drawn, "voi")
    assert widget.ui.applyButton.enabled
    assert not widget.ui.showCurvesButton.enabled
    widget.ui.ringSlider.value = 4.0
    widget.ui.applyButton.click()
    results = bridge.ExamResults([sequence])
    ring = results.find("segmentation").GetSegmentation().GetSegment("ring")
    assert ring.GetName() == "Peritumoral ring, 4 mm"
    assert "per_tumour" in widget.ui.statusLabel.text
    assert widget.ui.applyButton.enabled
    assert widget.ui.showCurvesButton.enabled
    assert slicer.app.cursor_depth == 0
    widget.ui.showCurvesButton.click()


def test_the_panel_takes_phase_volumes(scene, simulated):
    exam = simulated.exam
    widget = host.open_module("SubregionHabitat")
    volumes = []
    for index in range(2):
        volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", f"phase {index}")
        bridge.set_volume(volume, exam.signal[index], exam.geometry)
        volumes.append(volume)
        widget.ui.phasesSelector.setCheckState(volume, 2)
    parameters = widget.logic.getParameterNode()
    assert list(parameters.phaseVolumes) == volumes
    assert "without times" in widget.ui.phasesLabel.text
    assert "2. phase 1" in widget.ui.phasesLabel.text
    widget.ui.timesEdit.text = "0 90"
    assert widget.ui.phasesLabel.text == "phase 0: 0 s\nphase 1: 90 s"
    parameters.phaseVolumes = [volumes[1]]
    assert widget.ui.phasesSelector.checkedNodes() == (volumes[1],)


def test_the_panel_shows_an_error_and_stays_usable(scene, simulated):
    from SlicerHost import widgets

    _sequence, drawn = add_exam(scene, simulated.exam, simulated.voi)
    widget = host.open_module("SubregionHabitat")
    widget.ui.voiSelector.setCurrentNode(drawn)
    widget.ui.voiSelector.setCurrentSegmentID("voi")
    widget.ui.timesEdit.text = "0, 90"
    widget.ui.applyButton.click()
    assert "2 times were given" in widget.ui.statusLabel.text
    assert widgets.slot_errors == []
    assert widget.ui.applyButton.enabled
    assert not widget.running
    assert slicer.app.cursor_depth == 0


@pytest.mark.parametrize("name", host.MODULES)
def test_panels_live_through_leaving_and_closing_the_scene(scene, name):
    widget = host.open_module(name)
    widget.logic.getParameterNode()
    host.leave_module(name)
    scene.Clear(0)
    assert host.open_module(name) is widget
    scene.Clear(0)
    parameters = widget.logic.getParameterNode()
    assert widget._parameterNode is not None
    assert widget._parameterNode.parameterNode is parameters.parameterNode
    host.close_module(name)
    assert widget._parameterNode is None
    assert host.open_module(name) is not widget


def test_the_settings_of_a_closed_scene_do_not_leak_into_the_next(scene):
    widget = host.open_module("SubregionHabitat")
    widget.ui.ringSlider.value = 9.0
    assert widget.logic.getParameterNode().ringRadiusMm == 9.0
    scene.Clear(0)
    assert widget.logic.getParameterNode().ringRadiusMm == 5.0
    assert widget.ui.ringSlider.value == 5.0


# --- saved scenes ----------------------------------------------------------------------------------------------------


def test_a_saved_scene_brings_back_settings_and_results(scene, simulated, tmp_path):
    sequence, drawn = add_exam(scene, simulated.exam, simulated.voi)
    logic = habitat_logic()
    parameters = logic.getParameterNode()
    parameters.dceSequence, parameters.voiSegmentation, parameters.voiSegmentId = sequence, drawn, "voi"
    parameters.ringRadiusMm, parameters.background, parameters.clipRing = 6.5, "off", False
    nodes = logic.process(parameters)
    expected = {name: slicer.util.arrayFromVolume(node).copy() for name, node in nodes.maps.items()}
    host.save_scene(tmp_path / "scene.mrb")
    scene.Clear(1)
    (tmp_path / "unpacked").mkdir()
    host.load_scene(tmp_path / "scene.mrb", tmp_path / "unpacked")
    again = logic.getParameterNode()
    assert (again.ringRadiusMm, again.background, again.clipRing) == (6.5, "off", False)
    assert again.dceSequence.GetNumberOfDataNodes() == simulated.exam.n_phases
    assert again.voiSegmentId == "voi"
    results = bridge.ExamResults(logic.examNodes(again))
    for name, array in expected.items():
        found = slicer.util.arrayFromVolume(results.find(f"map.{name}"))
        assert np.array_equal(found, array, equal_nan=True)
    exam, imaging = logic.repeat(results.find("segmentation"))
    assert exam.times_s == pytest.approx(simulated.exam.times_s)
    assert imaging.parameters.ring_mm == 6.5
    n_nodes = scene.GetNumberOfNodes()
    logic.process(again)
    assert scene.GetNumberOfNodes() == n_nodes


# --- IITHModule ------------------------------------------------------------------------------------------------------


@pytest.fixture
def habitats(scene, simulated):
    sequence, drawn = add_exam(scene, simulated.exam, simulated.voi)
    return habitat_logic().processNodes([sequence], voi=(drawn, "voi"))


def test_scores_follow_from_the_case_and_say_what_is_missing(scene, habitats):
    from IITHModuleLib.any_model import open_model, score_any
    from IITHModuleLib.case_values import user_value
    from IITHModuleLib.derived_rows import with_derived_rows
    from IITHModuleLib.measured_values import case_values
    from IITHModuleLib.model_file import shipped_models

    logic = host.load_module("IITHModule").IITHModuleLogic()
    parameters = logic.getParameterNode()
    parameters.segmentation, parameters.extractFeatures = habitats.segmentation, False
    without = bridge.table_rows(logic.process(parameters).scoreTable)
    parameters.hr, parameters.her2, parameters.ageYears = "positive", "negative", 52.0
    assert logic.clinicalValues(parameters) == {"hr": 1.0, "her2": 0.0, "age_years": 52.0}
    nodes = logic.process(parameters)
    found = bridge.table_rows(nodes.scoreTable)
    assert [row["model"] for row in found] == shipped_models()
    exam, imaging = habitat_logic().repeat(habitats.segmentation)
    clinical = {name: user_value(name, value) for name, value in logic.clinicalValues(parameters).items()}
    values = case_values(exam, imaging, clinical)
    bare = case_values(exam, imaging, {})
    for before, row in zip(without, found, strict=True):
        model = open_model(row["model"])
        for shown, given in ((before, bare), (row, values)):
            expected = score_any(model, given, with_derived_rows(None, imaging))
            assert shown["refusal"] == (expected.refusal or "")
            assert shown["value"] == (None if expected.value is None else pytest.approx(expected.value))
            assert (shown["value"] is None) == bool(shown["refusal"])
    assert any(row["refusal"] for row in without)
    assert any(row["value"] is not None for row in found)


def test_features_come_as_a_table(scene, habitats):
    from IITHModuleLib.derived_rows import with_derived_rows
    from IITHModuleLib.features import extract_features
    from IITHModuleLib.presets import load_preset

    logic = host.load_module("IITHModule").IITHModuleLogic()
    nodes = logic.processNodes(habitats.segmentation, preset="captk", modelNames=[])
    rows = bridge.table_rows(nodes.featureTable)
    exam, imaging = habitat_logic().repeat(habitats.segmentation)
    expected = extract_features(
        exam, imaging.maps, imaging.regions(), load_preset("captk"), reference=imaging.reference
    )
    expected = with_derived_rows(expected, imaging)
    assert nodes.featureTable.GetAttribute("IITH.engine") == "native"
    assert len(rows) == len(expected.rows)
    for row, reference in zip(rows, expected.rows, strict=True):
        assert (row["region"], row["image"], row["feature"]) == (reference.region, reference.image, reference.feature)
        assert row["reason"] == reference.reason
        assert row["value"] == (None if reference.value is None else pytest.approx(reference.value))
    assert nodes.featureTable.GetAttribute("IITH.preset") == "captk"
    results = bridge.ExamResults.of(nodes.featureTable)
    assert host.load_module("IITHModule").featuresOfScene(results).to_csv() == expected.to_csv()
    logic.processNodes(habitats.segmentation, preset=None, modelNames=[])
    assert results.find("table.features") is None


def test_a_simulated_reference_is_called_simulated_in_panel_and_table(scene, habitats):
    logic = host.load_module("IITHModule").IITHModuleLogic()
    nodes = logic.processNodes(habitats.segmentation, preset="mr_default", modelNames=["iith-simulated-v1"])
    (row,) = bridge.table_rows(nodes.scoreTable)
    assert row["value"] is not None
    # The panel shows the notes under its button.
    for text in ("\n".join(nodes.notes), row["warnings"]):
        assert "The reference is SIMULATED" in text
        assert "mean nothing clinically" in text
        assert "iith train su-iith" in text


def test_unknown_models_presets_and_regions_are_refused(scene, habitats):
    logic = host.load_module("IITHModule").IITHModuleLogic()
    with pytest.raises(InputError, match="no-such-model"):
        logic.processNodes(habitats.segmentation, preset=None, modelNames=["no-such-model"])
    with pytest.raises(InputError, match="No habitat segmentation"):
        logic.processNodes(None, preset=None)
    with pytest.raises(InputError, match="age_years"):
        logic.processNodes(habitats.segmentation, preset=None, clinical={"age_years": 500.0})


def test_the_score_panel_offers_habitat_segmentations_only(scene, habitats):
    widget = host.open_module("IITHModule")
    assert widget.logic.getParameterNode().segmentation is habitats.segmentation
    assert widget.ui.segmentationSelector.nodes() == [habitats.segmentation]
    widget.ui.featuresCheck.checked = False
    widget.ui.applyButton.click()
    results = bridge.ExamResults.of(habitats.segmentation)
    assert results.find("table.scores") is not None
    assert results.find("table.features") is None
    if any(row["refusal"] for row in bridge.table_rows(results.find("table.scores"))):
        assert widget.ui.statusLabel.text


# --- RadiogenomicReport ----------------------------------------------------------------------------------------------


def test_the_report_and_the_case_come_from_the_scene(scene, habitats, tmp_path):
    score = host.load_module("IITHModule").IITHModuleLogic()
    score.processNodes(habitats.segmentation, preset=None, clinical={"hr": 1.0, "her2": 0.0, "age_years": 52.0})
    logic = host.load_module("RadiogenomicReport").RadiogenomicReportLogic()
    report = logic.processNodes(habitats.segmentation, tmp_path / "report.html")
    case = json.loads(report.caseText.GetText())
    rows = {(r["region"], r["quantity"]): r["value"] for r in bridge.table_rows(habitats.volumesTable)}
    assert case["schema"] == "iith-case/1"
    assert case["lesion"]["volume_cc"] == pytest.approx(rows["lesion", "volume"])
    assert case["case_values"]["age_years"] == {"value": 52.0, "unit": "years", "source": "user", "reason": None}
    scores = bridge.table_rows(bridge.ExamResults.of(habitats.segmentation).find("table.scores"))
    assert [s["model_id"] for s in case["scores"]] == [row["model"] for row in scores]
    for in_case, row in zip(case["scores"], scores, strict=True):
        assert in_case["value"] == (None if row["value"] is None else pytest.approx(row["value"]))
    assert "identity" not in case
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "research use only" in html.lower()
    assert list(tmp_path.iterdir()) == [tmp_path / "report.html"]


def test_a_report_never_carries_node_names(scene, simulated, tmp_path):
    sequence, drawn = add_exam(scene, simulated.exam, simulated.voi)
    sequence.SetName("DOE^JANE 1961")
    drawn.SetName("DOE^JANE 1961 VOI")
    nodes = habitat_logic().processNodes([sequence], voi=(drawn, "voi"))
    logic = host.load_module("RadiogenomicReport").RadiogenomicReportLogic()
    report = logic.processNodes(nodes.segmentation, tmp_path / "report.html")
    assert "DOE^JANE" not in report.caseText.GetText()
    assert "DOE^JANE" not in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_report_file_is_not_replaced_unasked(scene, habitats, tmp_path):
    logic = host.load_module("RadiogenomicReport").RadiogenomicReportLogic()
    path = tmp_path / "report.html"
    path.write_text("mine")
    with pytest.raises(InputError, match=r"report\.html exists"):
        logic.processNodes(habitats.segmentation, path)
    assert path.read_text() == "mine"
    logic.processNodes(habitats.segmentation, path, overwrite=True)
    assert path.read_text(encoding="utf-8") != "mine"
    with pytest.raises(InputError, match=r"end in \.html"):
        logic.processNodes(habitats.segmentation, tmp_path / "report.txt")
    with pytest.raises(InputError, match="does not exist"):
        logic.processNodes(habitats.segmentation, tmp_path / "nowhere" / "report.html")
    with pytest.raises(InputError, match="No report file"):
        logic.processNodes(habitats.segmentation, Path())


def test_the_report_panel_writes_and_opens(scene, habitats, tmp_path):
    import qt

    widget = host.open_module("RadiogenomicReport")
    assert not widget.ui.applyButton.enabled
    assert "Name the HTML file" in widget.ui.applyButton.toolTip
    widget.ui.reportPathEdit.currentPath = str(tmp_path / "panel.html")
    assert widget.ui.applyButton.enabled
    widget.ui.applyButton.click()
    assert (tmp_path / "panel.html").is_file()
    assert "No radiomic features" in widget.ui.statusLabel.text
    widget.ui.openButton.click()
    assert qt.QDesktopServices.opened.pop().text == "file://" + str(tmp_path / "panel.html")


def test_a_changed_feature_table_or_scoring_request_is_refused(scene, habitats, tmp_path):
    logic = host.load_module("RadiogenomicReport").RadiogenomicReportLogic()
    results = bridge.ExamResults.of(habitats.segmentation)
    table = results.node("table.features", "vtkMRMLTableNode", "IITH features")
    bridge.set_table(table, [bridge.Column("something", ["else"])])
    with pytest.raises(InputError, match=r"feature table .* was changed"):
        logic.processNodes(habitats.segmentation, tmp_path / "report.html")
    results.remove("table.features")
    text = results.node("inputs.scores", "vtkMRMLTextNode", "settings")
    for damage in ("", "[]", '{"clinical": {"hr": "x"}, "models": []}', "[" * 50000):
        text.SetText(damage)
        with pytest.raises(InputError, match="scoring settings"):
            logic.processNodes(habitats.segmentation, tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()
