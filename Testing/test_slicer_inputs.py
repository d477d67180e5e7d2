"""All that an analysis can start from, given on MRML nodes: regions, correction, habitat modes; stopping on the way."""

# ruff: noqa: E402, F401, F811 - nothing of slicer imports before the session starts; `scene` is a fixture

from __future__ import annotations

import dataclasses
import json
import time
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from support.slicer_session import scene, session

host = session()

import slicer
import vtk

from SubregionHabitatLib import mrml_bridge as bridge
from SubregionHabitatLib.analysis import DrawnRegions, ImagingParameters, analyze_imaging
from SubregionHabitatLib.errors import Cancelled, InputError
from SubregionHabitatLib.exam import DceExam, Timing
from SubregionHabitatLib.habitats import HabitatParameters
from SubregionHabitatLib.lesion import LesionParameters
from SubregionHabitatLib.lesion_voi import voi_from_center_size
from SubregionHabitatLib.masks import RegionMask
from SubregionHabitatLib.preparation import PreparationParameters
from SubregionHabitatLib.registration import RegistrationParameters
from SubregionHabitatLib.simulation import SimulationParameters, simulate_exam
from SubregionHabitatLib.times_file import with_injection
from support.scene_content import content_of

TO_RAS = np.array([-1.0, -1.0, 1.0])


@pytest.fixture(scope="module")
def simulated():
    """A coarse simulated exam on a rotated, anisotropic grid."""
    return simulate_exam(
        SimulationParameters(shape=(32, 80, 80), spacing_mm=(2.0, 2.0, 4.0), oblique_deg=(6.0, -9.0, 12.0))
    )


@pytest.fixture(scope="module")
def small():
    """So few voxels and phases that a registration takes about a second."""
    case = simulate_exam(SimulationParameters(shape=(20, 48, 48), spacing_mm=(3.2, 3.2, 6.0)))
    times = tuple(case.exam.times_s[t] for t in (0, 1, 3))
    exam = dataclasses.replace(case.exam, signal=np.ascontiguousarray(case.exam.signal[[0, 1, 3]]), times_s=times)
    return dataclasses.replace(case, exam=exam)


CORRECTED = ImagingParameters(
    preparation=PreparationParameters(registration=RegistrationParameters(mode="rigid"), n4=True)
)


def add_sequence(scene, exam, name="DCE"):
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", name)
    bridge.set_sequence(sequence, exam)
    return sequence


def add_segments(scene, exam, name="drawn", **masks):
    """A segmentation with one segment per keyword."""
    reference = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "drawn on")
    bridge.set_volume(reference, exam.signal[1], exam.geometry)
    segmentation = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    segments = [bridge.Segment(k, k, (1, 1, 1), bridge.TISSUE_TERMINOLOGY, mask) for k, mask in masks.items()]
    bridge.set_segments(segmentation, segments, exam.geometry, reference)
    return segmentation


def add_point(scene, lps):
    node = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "seed")
    node.AddControlPointWorld(*(np.array(lps) * TO_RAS).tolist())
    return node


def add_box(scene, center_lps, size):
    node = scene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "box")
    node.SetCenter(*(np.array(center_lps) * TO_RAS).tolist())
    node.SetSize(*size)
    return node


def middle_of(simulated) -> np.ndarray:
    """A voxel of the lesion near its middle, LPS mm."""
    inside = np.argwhere(simulated.truth_lesion)
    return simulated.exam.geometry.lps_of(inside[len(inside) // 2][None])[0]


def halves(mask) -> tuple[np.ndarray, np.ndarray]:
    """The mask cut in two at the median of its x indices."""
    cut = int(np.median(np.argwhere(mask)[:, 2]))
    low = mask.copy()
    low[..., cut:] = False
    return low, mask & ~low


def habitat_logic():
    return host.load_module("SubregionHabitat").SubregionHabitatLogic()


def segment_mask(nodes, name, exam):
    return bridge.region_from_segment(nodes.segmentation, name, exam.geometry, name).mask


def assert_same_regions(nodes, expected, exam):
    assert list(bridge.segment_names(nodes.segmentation)) == list(expected.regions())
    for name, mask in expected.regions().items():
        assert np.array_equal(segment_mask(nodes, name, exam), mask), name


# --- points and boxes ------------------------------------------------------------------------------------------------


def test_a_point_gives_the_lesion_at_it(scene, simulated):
    exam, seed = simulated.exam, tuple(middle_of(simulated).tolist())
    nodes = habitat_logic().processNodes([add_sequence(scene, exam)], seedPoint=add_point(scene, seed))
    expected = analyze_imaging(exam, regions=DrawnRegions(seed_lps=seed))
    assert expected.lesion.made_by == "ftv_seed"
    assert_same_regions(nodes, expected, exam)


def test_a_point_under_a_transform_counts_where_it_is_shown(scene, simulated):
    point = add_point(scene, middle_of(simulated) + np.array([10.0, 0.0, 0.0]))
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "shift")
    matrix = vtk.vtkMatrix4x4()
    matrix.SetElement(0, 3, 10.0)  # R, so that L falls by 10
    transform.SetMatrixTransformToParent(matrix)
    point.SetAndObserveTransformNodeID(transform.GetID())
    found = bridge.point_from_markups(point, simulated.exam.geometry)
    assert found == pytest.approx(middle_of(simulated))


def test_point_lists_without_exactly_one_point_in_the_exam_are_refused(scene, simulated):
    geometry = simulated.exam.geometry
    point = add_point(scene, middle_of(simulated))
    point.AddControlPoint(0, 0, 0)
    with pytest.raises(InputError, match="2 placed points"):
        bridge.point_from_markups(point, geometry)
    point.UnsetNthControlPointPosition(1)
    assert bridge.point_from_markups(point, geometry) == pytest.approx(middle_of(simulated))
    point.RemoveAllControlPoints()
    with pytest.raises(InputError, match="0 placed points"):
        bridge.point_from_markups(point, geometry)
    with pytest.raises(InputError, match=r"seed point .* lies outside the image"):
        bridge.point_from_markups(add_point(scene, (900.0, 0.0, 0.0)), geometry)


def test_a_box_is_a_region_of_interest(scene, simulated):
    exam, center, size = simulated.exam, middle_of(simulated), (36.0, 30.0, 40.0)
    nodes = habitat_logic().processNodes([add_sequence(scene, exam)], box=add_box(scene, center, size))
    expected = analyze_imaging(exam, voi=voi_from_center_size(exam.geometry, center, size))
    assert_same_regions(nodes, expected, exam)


def test_a_turned_box_holds_what_slicer_says_is_in_it(scene, simulated):
    geometry = simulated.exam.geometry
    box = add_box(scene, middle_of(simulated), (18.0, 41.0, 29.0))
    turned = vtk.vtkTransform()
    turned.RotateWXYZ(33.0, 0.3, -0.8, 0.5)
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "turn")
    transform.SetMatrixTransformToParent(turned.GetMatrix())
    box.SetAndObserveTransformNodeID(transform.GetID())
    box.HardenTransform()
    found = bridge.region_from_roi(box, geometry).mask
    assert found.sum() > 500
    planes = vtk.vtkPlanes()
    box.GetPlanesWorld(planes)
    sample = np.argwhere(np.ones(geometry.shape, bool))[::11]
    distances = [planes.EvaluateFunction(lps * TO_RAS) for lps in geometry.lps_of(sample)]
    inside = np.array(distances) <= 0
    clear = np.abs(distances) > 1e-4  # Slicer keeps the planes in single precision
    assert clear.mean() > 0.999
    assert 40 < inside.sum() < len(inside) / 2
    assert np.array_equal(found[tuple(sample.T)][clear], inside[clear])


def test_a_box_under_a_linear_transform_is_the_box_after_hardening(scene, simulated):
    geometry = simulated.exam.geometry
    box = add_box(scene, middle_of(simulated), (18.0, 41.0, 29.0))
    plain = bridge.region_from_roi(box, geometry).mask
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "turn and stretch")
    both = vtk.vtkTransform()
    both.Translate(3.0, -2.0, 1.0)
    both.RotateZ(20.0)
    both.Scale(1.2, 0.9, 1.1)
    transform.SetMatrixTransformToParent(both.GetMatrix())
    box.SetAndObserveTransformNodeID(transform.GetID())
    under = bridge.region_from_roi(box, geometry).mask
    box.HardenTransform()
    assert np.array_equal(under, bridge.region_from_roi(box, geometry).mask)
    assert under.sum() == pytest.approx(plain.sum() * 1.2 * 0.9 * 1.1, rel=0.05)


def test_boxes_that_cannot_be_used_are_refused(scene, simulated):
    geometry = simulated.exam.geometry
    with pytest.raises(InputError, match="is not placed; place it around the lesion"):
        bridge.region_from_roi(scene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "box"), geometry)
    box = add_box(scene, middle_of(simulated), (10.0, 10.0, 10.0))
    box.SetInsideOut(True)
    with pytest.raises(InputError, match="is set to inside out; switch that off"):
        bridge.region_from_roi(box, geometry)
    box.SetInsideOut(False)
    bent = scene.AddNewNodeByClass("vtkMRMLTransformNode", "bent")
    bent.SetAndObserveTransformToParent(vtk.vtkThinPlateSplineTransform())
    box.SetAndObserveTransformNodeID(bent.GetID())
    with pytest.raises(InputError, match="'bent', which bends it"):
        bridge.region_from_roi(box, geometry)
    sequence = add_sequence(scene, simulated.exam)
    drawn = add_segments(scene, simulated.exam, voi=simulated.voi)
    box.SetAndObserveTransformNodeID(None)
    with pytest.raises(InputError, match="A segment and a box"):
        habitat_logic().processNodes([sequence], voi=(drawn, "voi"), box=box)


# --- further regions, parts ------------------------------------------------------------------------------------------


def test_edits_and_other_lesions_reach_the_analysis(scene, simulated):
    exam = simulated.exam
    plain = analyze_imaging(exam, voi=RegionMask(simulated.voi, "VOI"))
    low, high = halves(plain.lesion.mask)
    beside = np.roll(plain.lesion.mask, 12, axis=2)
    masks = {"voi": simulated.voi, "omit": beside, "added": np.roll(low, 2, axis=1), "removed": high}
    masks["others"] = halves(plain.ring.mask)[0]
    drawn = add_segments(scene, exam, **masks)
    chosen = {name: (drawn, name) for name in ("voi", "omit", "added", "removed")}
    nodes = habitat_logic().processNodes([add_sequence(scene, exam)], otherLesions=(drawn, "others"), **chosen)
    regions = {name: RegionMask(mask, name) for name, mask in masks.items()}
    others = regions.pop("others")
    expected = analyze_imaging(exam, regions=DrawnRegions(**regions, other_lesions=others))
    assert expected.lesion.made_by == "ftv_edited"
    assert not np.array_equal(expected.ring.mask, plain.ring.mask)
    assert_same_regions(nodes, expected, exam)
    assert nodes.warnings == expected.warnings


def test_the_parts_of_the_lesion_are_a_table(scene, simulated):
    exam = simulated.exam
    parameters = ImagingParameters(lesion=LesionParameters(keep="all", min_component_mm3=0.0))
    drawn = add_segments(scene, exam, voi=simulated.voi)
    nodes = habitat_logic().processNodes([add_sequence(scene, exam)], voi=(drawn, "voi"), imagingParameters=parameters)
    parts = analyze_imaging(exam, parameters, RegionMask(simulated.voi, "VOI")).lesion.parts
    rows = bridge.table_rows(nodes.partsTable)
    assert len(rows) == len(parts) >= 1
    for row, part in zip(rows, parts, strict=True):
        assert row["volume"] == pytest.approx(part.volume_cc)
        assert row["belongs to the lesion"] == ("yes" if part.kept else "no")
        assert [row[axis] for axis in "RAS"] == pytest.approx(list(np.array(part.centroid_lps_mm) * TO_RAS))
    assert nodes.partsTable.GetColumnUnitLabel("longest diameter") == "mm"


# --- habitats --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [2, 4, 6])
def test_any_number_of_habitats_has_segments_curves_and_volumes(scene, simulated, k):
    exam = simulated.exam
    parameters = ImagingParameters(habitats=HabitatParameters(k=k, n_init=2))
    drawn = add_segments(scene, exam, lesion=simulated.truth_lesion)
    nodes = habitat_logic().processNodes(
        [add_sequence(scene, exam)], lesion=(drawn, "lesion"), imagingParameters=parameters
    )
    shown = bridge.segment_names(nodes.segmentation)
    assert [shown[f"habitat{i + 1}"] for i in range(k)] == [
        f"Habitat 1 of {k}: lowest perfusion",
        *(f"Habitat {i + 1} of {k}" for i in range(1, k - 1)),
        f"Habitat {k} of {k}: highest perfusion",
    ]
    segments = nodes.segmentation.GetSegmentation()
    colors = {segments.GetSegment(name).GetColor() for name in shown}
    assert len(colors) == k + 2
    quantities = {(row["region"], row["quantity"]) for row in bridge.table_rows(nodes.volumesTable)}
    assert (f"habitat{k}", "volume") in quantities
    assert nodes.curvesChart.GetNumberOfPlotSeriesNodes() == k + 2
    assert habitat_logic().repeat(nodes.segmentation)[1].habitats.parameters.k == k


def test_fewer_habitats_than_before_leave_nothing_behind(scene, simulated):
    exam = simulated.exam
    drawn, sequence = add_segments(scene, exam, voi=simulated.voi), add_sequence(scene, exam)
    logic = habitat_logic()
    five = ImagingParameters(habitats=HabitatParameters(k=5, n_init=2))
    logic.processNodes([sequence], voi=(drawn, "voi"), imagingParameters=five)
    nodes = logic.processNodes([sequence], voi=(drawn, "voi"))
    kinds = [node.GetAttribute("IITH.kind") for node in bridge.ExamResults([sequence]).all()]
    assert sorted(k for k in kinds if k.startswith("curves.series.")) == [
        f"curves.series.{name}" for name in ("high", "lesion", "moderate", "poor", "ring")
    ]
    assert len(kinds) == len(set(kinds))
    assert list(bridge.segment_names(nodes.segmentation)) == ["lesion", "habitat1", "habitat2", "habitat3", "ring"]


# Machado, Oliveira, Fernandes, IEEE Trans Vis Comput Graph 2009;15:1291-8, severity 1, linear RGB.
VISION = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}


def lab(rgb, vision) -> np.ndarray:
    """CIE L*a*b* (D65) of an sRGB colour as seen with this kind of color vision."""
    c = np.array(rgb)
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    linear = np.clip(np.array(vision) @ linear, 0, 1)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = to_xyz @ linear / [0.9505, 1.0, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("vision", VISION)
def test_colors_are_told_apart_with_every_color_vision(vision):
    colors = [*bridge.HABITAT_COLORS, bridge.LESION_COLOR, bridge.RING_COLOR]
    differences = [np.linalg.norm(lab(a, VISION[vision]) - lab(b, VISION[vision])) for a, b in combinations(colors, 2)]
    assert min(differences) > 15  # 2.3 is just noticeable


def test_the_report_shows_the_same_colors():
    from RadiogenomicReportLib import figures_style

    def rgb(text):
        return tuple(int(text[i : i + 2], 16) / 255 for i in (1, 3, 5))

    mine = [*bridge.HABITAT_COLORS, bridge.LESION_COLOR, bridge.RING_COLOR]
    theirs = [*figures_style.HABITAT_COLORS, figures_style.LESION_COLOR, figures_style.RING_COLOR]
    for a, b in zip(mine, theirs, strict=True):
        assert a == pytest.approx(rgb(b), abs=0.006)


@pytest.fixture(scope="module")
def habitat_model(tmp_path_factory):
    """(file, model) of habitat centres fitted on two simulated exams."""
    from SubregionHabitatLib.habitat_file import load_habitat_model, save_habitat_model
    from SubregionHabitatLib.habitat_model import fit_habitats, sample_of

    samples = []
    for seed in (1, 2):
        case = simulate_exam(SimulationParameters(shape=(24, 64, 64), spacing_mm=(2.5, 2.5, 5.0), seed=seed))
        found = analyze_imaging(case.exam, lesion=RegionMask(case.truth_lesion, "truth"))
        samples.append(sample_of(found.maps, found.lesion.mask))
    path = tmp_path_factory.mktemp("model") / "model.json"
    save_habitat_model(fit_habitats(samples), path)
    return path, load_habitat_model(path)


def test_a_habitat_model_gives_its_habitats_and_stays_with_the_result(scene, simulated, habitat_model, tmp_path):
    exam, (original, model) = simulated.exam, habitat_model
    path = tmp_path / "copy.json"
    path.write_bytes(original.read_bytes())
    drawn = add_segments(scene, exam, voi=simulated.voi)
    logic = habitat_logic()
    parameters = logic.getParameterNode()
    parameters.dceSequence, parameters.voiSegmentation, parameters.voiSegmentId = (
        add_sequence(scene, exam),
        drawn,
        "voi",
    )
    parameters.habitatModel = path
    nodes = logic.process(parameters)
    expected = analyze_imaging(exam, voi=RegionMask(simulated.voi, "VOI"), habitat_model=model)
    assert expected.habitats.comparable
    assert_same_regions(nodes, expected, exam)
    path.unlink()
    again = logic.repeat(nodes.segmentation)[1]
    assert again.habitats.model_digest == model.digest
    assert np.array_equal(again.habitats.labels, expected.habitats.labels)
    with pytest.raises(InputError, match=r"copy\.json"):
        logic.process(parameters)
    text = bridge.ExamResults.of(nodes.segmentation).find("inputs.settings")
    content = json.loads(text.GetText())
    content["habitat_model"]["inertia"] = -1
    text.SetText(json.dumps(content))
    with pytest.raises(InputError, match="run the Subregion Habitat module again"):
        logic.repeat(nodes.segmentation)


# --- times -----------------------------------------------------------------------------------------------------------


def test_the_injection_is_time_zero_of_the_slopes(scene, simulated):
    exam = simulated.exam
    injection = exam.times_s[1] / 2
    drawn, sequence = add_segments(scene, exam, voi=simulated.voi), add_sequence(scene, exam)
    logic = habitat_logic()
    nodes = logic.processNodes([sequence], voi=(drawn, "voi"), injectionText=f" {injection:g} ")
    expected = analyze_imaging(with_injection(exam, injection), voi=RegionMask(simulated.voi, "VOI"))
    assert np.array_equal(slicer.util.arrayFromVolume(nodes.maps["wis"]), expected.maps.wis, equal_nan=True)
    assert logic.repeat(nodes.segmentation)[0].timing.injection_s == injection
    for text, problem in (
        ("soon", "'soon' is not a number"),
        ("nan", "not a number"),
        ("9999", "does not lie between"),
    ):
        with pytest.raises(InputError, match=problem):
            logic.processNodes([sequence], voi=(drawn, "voi"), injectionText=text)


def test_an_exam_without_times_is_measured_when_asked_for(scene, simulated):
    exam = simulated.exam
    drawn = add_segments(scene, exam, voi=simulated.voi)
    logic = habitat_logic()
    parameters = logic.getParameterNode()
    sequence = add_sequence(scene, exam)
    parameters.dceSequence, parameters.voiSegmentation, parameters.voiSegmentId = sequence, drawn, "voi"
    with_times = logic.process(parameters)
    assert "time_to_peak" in with_times.maps
    for index in range(exam.n_phases):
        sequence.UpdateIndexValue(sequence.GetNthIndexValue(index), f"{index}")
    sequence.SetIndexName("frame")
    with pytest.raises(InputError, match="enter the phase times"):
        logic.process(parameters)
    parameters.acceptNoTimes = True
    assert "times not known" in logic.describePhases(parameters)
    nodes = logic.process(parameters)
    assert list(nodes.maps) == ["pe_early", "pe_peak", "ser"]
    assert bridge.ExamResults([sequence]).find("map.wis") is None
    numbered = dataclasses.replace(
        exam, times_s=tuple(map(float, range(exam.n_phases))), timing=Timing("none", "none", known=False)
    )
    expected = analyze_imaging(numbered, voi=RegionMask(simulated.voi, "VOI"))
    assert_same_regions(nodes, expected, exam)
    assert [row["time"] for row in bridge.table_rows(nodes.curvesTable)] == list(range(exam.n_phases))
    assert nodes.curvesChart.GetXAxisTitle() == "Phase"
    assert not logic.repeat(nodes.segmentation)[0].timing.known


def test_phase_volumes_without_times_are_taken_in_their_order(scene, simulated):
    exam = simulated.exam
    volumes = []
    for index in range(exam.n_phases):
        volumes.append(scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", f"phase {index}"))
        bridge.set_volume(volumes[-1], exam.signal[index], exam.geometry)
    found = bridge.exam_from_nodes(volumes, accept_no_times=True)
    assert (found.timing.known, found.timing.source) == (False, "none")
    assert np.array_equal(found.signal, exam.signal)


# --- what a result was made from -------------------------------------------------------------------------------------


def test_the_breast_is_found_or_drawn_and_lies_in_the_scene(scene, simulated):
    exam = simulated.exam
    expected = analyze_imaging(exam, voi=RegionMask(simulated.voi, "VOI"))
    own = simulated.truth_breast.copy()
    own[: own.shape[0] // 4] = False
    drawn = add_segments(scene, exam, voi=simulated.voi, own=own)
    sequence = add_sequence(scene, exam)
    nodes = habitat_logic().processNodes([sequence], voi=(drawn, "voi"))
    found = bridge.segment_names(nodes.breastSegmentation)
    assert found == {"breast": "Breast", "skin": "Skin", "ipsilateral_parenchyma": "Ipsilateral parenchyma"}
    masks = {"breast": expected.reference, "skin": expected.breast.skin, "ipsilateral_parenchyma": expected.tissue.mask}
    for name, mask in masks.items():
        shown = bridge.region_from_segment(nodes.breastSegmentation, name, exam.geometry, name).mask
        assert np.array_equal(shown, mask), name
    # A segment of an earlier result, edited or not, serves as input.
    again = habitat_logic().processNodes(
        [sequence], voi=(drawn, "voi"), breast=(nodes.breastSegmentation, "ipsilateral_parenchyma")
    )
    mine = habitat_logic().processNodes([sequence], voi=(drawn, "voi"), breast=(drawn, "own"))
    assert again.breastSegmentation is mine.breastSegmentation is nodes.breastSegmentation
    assert bridge.segment_names(mine.breastSegmentation)["breast"] == "Breast as drawn"
    assert "The breast mask was given by the user." in mine.warnings
    shown = bridge.region_from_segment(mine.breastSegmentation, "breast", exam.geometry, "breast").mask
    assert np.array_equal(shown, own)
    with pytest.raises(InputError, match="has no segment 'none' for the breast mask; select one of its segments"):
        habitat_logic().processNodes([sequence], voi=(drawn, "voi"), breast=(drawn, "none"))


def test_every_input_is_kept_and_restored_with_the_scene(scene, simulated, tmp_path):
    exam = simulated.exam
    plain = analyze_imaging(exam, voi=RegionMask(simulated.voi, "VOI"))
    low, high = halves(plain.lesion.mask)
    masks = {"voi": simulated.voi, "omit": np.roll(low, 10, axis=2), "added": np.roll(low, 1, axis=1)}
    masks |= {"removed": halves(high)[1], "others": halves(plain.ring.mask)[0], "breast": simulated.truth_breast}
    drawn = add_segments(scene, exam, **masks)
    logic = habitat_logic()
    parameters = logic.getParameterNode()
    parameters.dceSequence = add_sequence(scene, exam)
    for role in ("voi", "omit", "added", "removed", "otherLesions", "breast"):
        setattr(parameters, f"{role}Segmentation", drawn)
        setattr(parameters, f"{role}SegmentId", "others" if role == "otherLesions" else role)
    seed = middle_of(simulated)
    parameters.seedPoint, parameters.keepParts = add_point(scene, seed), "seed"
    parameters.injectionText, parameters.habitatMode, parameters.habitatCount = "20", "two_level", 4
    parameters.minSerInclusive, parameters.neighboursWithin = False, "image"
    nodes = logic.process(parameters)
    settings = logic.imagingParameters(parameters)
    expected = {name: segment_mask(nodes, name, exam) for name in bridge.segment_names(nodes.segmentation)}
    host.save_scene(tmp_path / "scene.mrb")
    scene.Clear(1)
    (tmp_path / "unpacked").mkdir()
    host.load_scene(tmp_path / "scene.mrb", tmp_path / "unpacked")
    again = logic.getParameterNode()
    assert (again.injectionText, again.keepParts, again.habitatCount) == ("20", "seed", 4)
    assert again.seedPoint is not None
    results = bridge.ExamResults(logic.examNodes(again))
    inputs = bridge.noted_inputs(results)
    assert inputs.parameters == settings
    assert inputs.regions.seed_lps == pytest.approx(tuple(seed))
    assert inputs.exam.timing.injection_s == 20.0
    for name, mask in bridge.drawn_masks(inputs.regions).items():
        assert np.array_equal(mask.mask, masks["others" if name == "other_lesions" else name]), name
    assert len(bridge.drawn_masks(inputs.regions)) == 6
    found = logic.repeat(results.find("segmentation"))[1]
    assert {name: mask.sum() for name, mask in found.regions().items()} == {n: m.sum() for n, m in expected.items()}


def test_results_of_images_that_changed_are_not_taken_for_theirs(scene, simulated):
    exam = simulated.exam
    sequence = add_sequence(scene, exam)
    nodes = habitat_logic().processNodes([sequence], voi=(add_segments(scene, exam, voi=simulated.voi), "voi"))
    volume = sequence.GetNthDataNode(2)
    slicer.util.arrayFromVolume(volume)[0, 0, 0] += 1
    with pytest.raises(
        InputError,
        match="images of 'DCE' were changed after the Subregion Habitat module measured them",
    ):
        habitat_logic().repeat(nodes.segmentation)


# --- correction ------------------------------------------------------------------------------------------------------


def test_a_corrected_exam_is_measured_and_shown_when_asked_for(scene, small):
    exam = small.exam
    drawn, sequence = add_segments(scene, exam, voi=small.voi), add_sequence(scene, exam)
    logic = habitat_logic()
    nodes = logic.processNodes([sequence], voi=(drawn, "voi"), imagingParameters=CORRECTED, keepPrepared=True)
    expected = analyze_imaging(exam, CORRECTED, RegionMask(small.voi, "VOI"))
    assert not np.array_equal(expected.exam.signal, exam.signal)
    shown = bridge.exam_from_nodes([nodes.preparedSequence])
    assert np.array_equal(shown.signal, expected.exam.signal)
    assert shown.times_s == exam.times_s
    assert np.array_equal(slicer.util.arrayFromVolume(nodes.maps["ser"]), expected.maps.ser, equal_nan=True)
    assert_same_regions(nodes, expected, exam)
    hierarchy = scene.GetSubjectHierarchyNode()
    folder = bridge.ExamResults([sequence]).folder()
    assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(nodes.preparedSequence)) == folder

    # the corrected exam is at hand, and the same when computed anew
    kept = logic.repeat(nodes.segmentation)[1]
    assert kept is logic.repeat(nodes.segmentation)[1]
    logic.forget()
    anew = logic.repeat(nodes.segmentation)[1]
    assert anew is not kept
    assert np.array_equal(anew.exam.signal, kept.exam.signal)

    nodes = logic.processNodes([sequence], voi=(drawn, "voi"))
    assert nodes.preparedSequence is None
    assert bridge.ExamResults([sequence]).find("prepared") is None
    logic.forget()


def test_an_exam_that_is_not_corrected_is_not_shown_twice(scene, small):
    drawn, sequence = add_segments(scene, small.exam, voi=small.voi), add_sequence(scene, small.exam)
    nodes = habitat_logic().processNodes([sequence], voi=(drawn, "voi"), keepPrepared=True)
    assert nodes.preparedSequence is None


def test_features_and_report_are_those_of_the_corrected_exam(scene, small, tmp_path):
    from IITHModuleLib.derived_rows import with_derived_rows
    from IITHModuleLib.features import extract_features
    from IITHModuleLib.presets import load_preset

    exam = small.exam
    drawn, sequence = add_segments(scene, exam, voi=small.voi), add_sequence(scene, exam)
    nodes = habitat_logic().processNodes([sequence], voi=(drawn, "voi"), imagingParameters=CORRECTED)
    imaging = habitat_logic().repeat(nodes.segmentation)[1]
    case = host.load_module("IITHModule").IITHModuleLogic()
    measured = case.processNodes(nodes.segmentation, preset="captk", modelNames=[])
    expected = extract_features(
        imaging.exam, imaging.maps, imaging.regions(), load_preset("captk"), reference=imaging.reference
    )
    expected = with_derived_rows(expected, imaging)
    rows = bridge.table_rows(measured.featureTable)
    assert [row["value"] for row in rows] == pytest.approx([row.value for row in expected.rows])
    report = host.load_module("RadiogenomicReport").RadiogenomicReportLogic()
    written = report.processNodes(nodes.segmentation, tmp_path / "report.html")
    content = json.loads(written.caseText.GetText())
    assert content["lesion"]["volume_cc"] == pytest.approx(imaging.lesion.volume_cc)
    habitat_logic().forget()


# --- stopping --------------------------------------------------------------------------------------------------------


class StopAt:
    """Cancels at the first step at or beyond a share of the work; notes when, and the longest silence before it."""

    def __init__(self, fraction: float) -> None:
        self.fraction, self.stopped_at, self.silence, self._last = fraction, None, 0.0, time.monotonic()

    def step(self, fraction: float, message: str) -> None:
        now = time.monotonic()
        self.silence, self._last = max(self.silence, now - self._last), now
        if fraction >= self.fraction:
            self.stopped_at = now
            raise Cancelled("stop")


def assert_stops(work, fraction, scene):
    """``work`` ends by Cancelled within 2 s, and the scene is as before."""
    before, progress = content_of(scene), StopAt(fraction)
    with pytest.raises(Cancelled):
        work(progress)
    assert time.monotonic() - progress.stopped_at < 2.0
    assert progress.silence < 2.0
    assert content_of(scene) == before


def test_stopping_the_analysis_anywhere_leaves_the_scene_as_it_was(scene, small):
    exam = small.exam
    drawn, sequence = add_segments(scene, exam, voi=small.voi), add_sequence(scene, exam)
    logic = habitat_logic()

    def work(parameters):
        return lambda progress: logic.processNodes(
            [sequence], voi=(drawn, "voi"), imagingParameters=parameters, keepPrepared=True, progress=progress
        )

    choosing = ImagingParameters(habitats=HabitatParameters(k=4, choose_k="silhouette"))
    # start, in N4, in the fit and in the resampling of a phase; then maps, lesion, choice of k, clustering, ring, and
    # when all is done but nothing shown yet
    stops = [(CORRECTED, (0.0, 0.01, 0.08, 0.18)), (choosing, (0.2, 0.3, 0.45, 0.7, 0.8, 1.0))]
    for parameters, fractions in stops:
        for fraction in fractions:
            assert_stops(work(parameters), fraction, scene)
    assert bridge.ExamResults([sequence]).all() == []
    logic.processNodes([sequence], voi=(drawn, "voi"), imagingParameters=ImagingParameters(ring_mm=8.0))
    for parameters, fraction in ((CORRECTED, 0.08), (choosing, 0.45), (choosing, 1.0)):
        assert_stops(work(parameters), fraction, scene)
    ring = bridge.ExamResults([sequence]).find("segmentation").GetSegmentation().GetSegment("ring")
    assert ring.GetName() == "Peritumoral ring, 8 mm"


def test_stopping_features_and_report_leaves_scene_and_file_as_they_were(scene, small, tmp_path):
    exam = small.exam
    drawn, sequence = add_segments(scene, exam, voi=small.voi), add_sequence(scene, exam)
    nodes = habitat_logic().processNodes([sequence], voi=(drawn, "voi"))
    case = host.load_module("IITHModule").IITHModuleLogic()
    case.processNodes(nodes.segmentation, preset=None)
    for fraction in (0.0, 0.1, 0.2, 0.21, 0.5, 0.9):
        assert_stops(lambda p: case.processNodes(nodes.segmentation, preset="captk", progress=p), fraction, scene)
    report = host.load_module("RadiogenomicReport").RadiogenomicReportLogic()
    path = tmp_path / "report.html"
    for fraction in (0.0, 0.2, 0.5):
        assert_stops(lambda p: report.processNodes(nodes.segmentation, path, progress=p), fraction, scene)
    assert list(tmp_path.iterdir()) == []


# --- the panel -------------------------------------------------------------------------------------------------------


def test_the_panel_takes_a_point_or_a_box_in_place_of_a_segment(scene, simulated):
    sequence = add_sequence(scene, simulated.exam)
    widget = host.open_module("SubregionHabitat")
    parameters = widget.logic.getParameterNode()
    assert parameters.dceSequence is sequence
    assert not widget.ui.applyButton.enabled
    assert "a seed point" in widget.ui.applyButton.toolTip
    widget.ui.seedPointSelector.setCurrentNode(add_point(scene, middle_of(simulated)))
    assert widget.ui.applyButton.enabled
    widget.ui.seedPointSelector.setCurrentNode(None)
    assert not widget.ui.applyButton.enabled
    box = add_box(scene, middle_of(simulated), (36.0, 30.0, 40.0))
    widget.ui.boxSelector.setCurrentNode(box)
    assert parameters.box is box
    widget.ui.applyButton.click()
    assert bridge.ExamResults([sequence]).find("segmentation") is not None


def test_the_panel_keeps_every_region_apart(scene, simulated):
    exam = simulated.exam
    drawn = add_segments(scene, exam, a=simulated.voi, b=simulated.truth_lesion, c=simulated.voi)
    widget = host.open_module("SubregionHabitat")
    parameters = widget.logic.getParameterNode()
    for role, segment in (("voi", "a"), ("omit", "b"), ("otherLesions", "c")):
        selector = getattr(widget.ui, f"{role}Selector")
        selector.setCurrentNode(drawn)
        selector.setCurrentSegmentID(segment)
    assert (parameters.voiSegmentId, parameters.omitSegmentId, parameters.otherLesionsSegmentId) == ("a", "b", "c")
    assert (parameters.addedSegmentation, parameters.removedSegmentation, parameters.lesionSegmentation) == (None,) * 3
    parameters.omitSegmentation, parameters.omitSegmentId = None, ""
    assert widget.ui.omitSelector.currentNode() is None
    assert widget.ui.voiSelector.currentSegmentID() == "a"


def test_a_corrected_exam_in_the_scene_is_not_offered_as_the_only_exam(scene, small):
    drawn, sequence = add_segments(scene, small.exam, voi=small.voi), add_sequence(scene, small.exam)
    rigid = ImagingParameters(preparation=PreparationParameters(n4=True))
    nodes = habitat_logic().processNodes([sequence], voi=(drawn, "voi"), imagingParameters=rigid, keepPrepared=True)
    assert nodes.preparedSequence is not None
    widget = host.open_module("SubregionHabitat")
    assert widget.logic.getParameterNode().dceSequence is sequence
    scene.Clear(0)
    assert type(widget.logic)._lastCorrected is None
