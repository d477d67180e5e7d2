"""Conversion between MRML nodes and the library: positions, times, regions, tables, and refusals in one sentence."""

# ruff: noqa: E402, F401, F811 - nothing of slicer imports before the session starts; `scene` is a fixture

from __future__ import annotations

import types
from pathlib import Path

import numpy as np
import pytest

from support.slicer_session import scene, session

session()

import slicer
import vtk
from vtk.util import numpy_support

from SubregionHabitatLib import mrml_bridge as bridge
from SubregionHabitatLib.curves import EnhancementCurve
from SubregionHabitatLib.errors import Cancelled, InputError
from SubregionHabitatLib.exam import DceExam, ExamSource, Timing
from SubregionHabitatLib.geometry import Geometry


def rotation(degrees=(20.0, -15.0, 30.0)) -> np.ndarray:
    x, y, z = np.deg2rad(degrees)
    about_x = [[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]]
    about_y = [[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]]
    about_z = [[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]]
    return np.array(about_x) @ about_y @ about_z


def oblique(shape=(4, 5, 6), flip=(1, 1, 1)) -> Geometry:
    """Rotated and anisotropic; flip turns axes over, an odd number of them makes the grid left-handed."""
    direction = rotation() @ np.diag(flip)
    return Geometry(shape, (0.7, 1.1, 2.5), (12.0, -34.0, 56.0), tuple(direction.ravel().tolist()))


def add_volume(scene, array, geometry, name="volume"):
    volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    bridge.set_volume(volume, array, geometry)
    return volume


def exam_of(geometry, n_phases=3, times=None) -> DceExam:
    rng = np.random.default_rng(1)
    signal = rng.integers(50, 500, (n_phases, *geometry.shape)).astype(np.float32)
    times = times or tuple(90.0 * i for i in range(n_phases))
    return DceExam(signal, times, geometry, Timing("user", "high"), ExamSource("files"))


def add_sequence(scene, exam, name="DCE"):
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", name)
    bridge.set_sequence(sequence, exam)
    return sequence


def add_segmentation(scene, mask, geometry, name="drawn", segment_id="s1"):
    reference = add_volume(scene, np.zeros(geometry.shape, np.uint8), geometry, "reference")
    segmentation = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    segment = bridge.Segment(segment_id, "Drawn", (1.0, 0.0, 0.0), bridge.TISSUE_TERMINOLOGY, mask)
    bridge.set_segments(segmentation, [segment], geometry, reference)
    return segmentation


# --- positions -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flip", [(1, 1, 1), (-1, -1, 1), (1, 1, -1), (-1, 1, 1)])
def test_a_voxel_keeps_its_place_in_the_patient(scene, flip):
    geometry = oblique(flip=flip)
    array = np.zeros(geometry.shape, np.float32)
    array[1, 2, 3] = 7
    volume = add_volume(scene, array, geometry)
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    ras = np.array(matrix.MultiplyPoint((3, 2, 1, 1)))[:3]
    assert ras * [-1, -1, 1] == pytest.approx(geometry.lps_of(np.array([[1, 2, 3]]))[0], abs=1e-9)
    assert volume.GetImageData().GetScalarComponentAsDouble(3, 2, 1, 0) == 7
    read, back = bridge.volume_array(volume)
    assert np.array_equal(read, array)
    assert back.spacing_mm == pytest.approx(geometry.spacing_mm)
    assert back.origin_mm == pytest.approx(geometry.origin_mm)
    assert back.direction == pytest.approx(geometry.direction)


def test_positions_agree_with_simpleitk_reading_what_slicer_writes(scene, tmp_path):
    from SubregionHabitatLib.volume_io import read_volume

    geometry = oblique(flip=(1, -1, 1))
    array = np.arange(np.prod(geometry.shape), dtype=np.int16).reshape(geometry.shape)
    volume = add_volume(scene, array, geometry)
    path = str(tmp_path / "v.nrrd")
    volume.AddDefaultStorageNode(path)
    assert volume.GetStorageNode().WriteData(volume)
    read, found = read_volume(tmp_path / "v.nrrd")
    assert np.array_equal(read, array)
    assert found.same_grid(geometry)


def test_set_volume_refuses_another_shape(scene):
    volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    with pytest.raises(ValueError, match="shape"):
        bridge.set_volume(volume, np.zeros((2, 2, 2), np.float32), oblique())


def test_a_transform_that_is_not_hardened_is_refused(scene):
    geometry = oblique()
    volume = add_volume(scene, np.zeros(geometry.shape, np.float32), geometry)
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "shift")
    volume.SetAndObserveTransformNodeID(transform.GetID())
    with pytest.raises(InputError, match=r"is under the transform '.*'; harden the transform"):
        bridge.volume_array(volume)
    volume.HardenTransform()
    assert bridge.volume_array(volume)[1].same_grid(geometry)


def test_volumes_that_cannot_be_a_phase_are_refused(scene):
    with pytest.raises(InputError, match="A volume is missing; select it"):
        bridge.volume_array(None)
    with pytest.raises(InputError, match="holds no image; load it again"):
        bridge.volume_array(scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty"))
    vector = slicer.util.addVolumeFromArray(np.zeros((2, 3, 4, 3), np.float32), nodeClassName="vtkMRMLVectorVolumeNode")
    with pytest.raises(InputError, match="several values per voxel"):
        bridge.volume_array(vector)


# --- exams and times -------------------------------------------------------------------------------------------------


def test_a_sequence_gives_the_exam_back(scene):
    exam = exam_of(oblique(), times=(0.0, 85.5, 170.0))
    found = bridge.exam_from_nodes([add_sequence(scene, exam)])
    assert np.array_equal(found.signal, exam.signal)
    assert found.signal.dtype == np.float32
    assert found.times_s == exam.times_s
    assert found.geometry.same_grid(exam.geometry)
    assert (found.timing.source, found.source.kind) == ("sequence index", "nodes")


def test_no_node_name_gets_into_the_exam(scene):
    sequence = add_sequence(scene, exam_of(oblique()), "DOE^JANE")
    exam = bridge.exam_from_nodes([sequence])
    assert "DOE" not in repr(exam.source) + repr(exam.timing)


def test_an_exam_is_known_by_the_hashes_of_its_uids(scene):
    from SubregionHabitatLib.digests import digest, hash_uid

    exam = exam_of(oblique())
    sequence = add_sequence(scene, exam)
    assert bridge.exam_from_nodes([sequence]).source.series_hashes == ()
    hierarchy = scene.GetSubjectHierarchyNode()
    patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), "DOE^JANE")
    study = hierarchy.CreateStudyItem(patient, "study")
    hierarchy.SetItemUID(study, "DICOM", "1.2.3")
    item = hierarchy.CreateItem(study, sequence)
    hierarchy.SetItemUID(item, "DICOM", "1.2.3.4")
    source = bridge.exam_from_nodes([sequence]).source
    assert (source.study_hash, source.series_hashes) == (hash_uid("1.2.3"), (hash_uid("1.2.3.4"),))
    assert source.content_digest == digest(exam.signal)
    assert "DOE" not in repr(source)
    results = bridge.ExamResults([sequence])
    assert hierarchy.GetItemParent(results.folder()) == study


@pytest.mark.parametrize(("unit", "factor"), [("s", 1.0), ("ms", 1e-3), ("min", 60.0)])
def test_index_values_count_in_their_unit(scene, unit, factor):
    sequence = add_sequence(scene, exam_of(oblique(), times=(0.0, 2.0, 5.0)))
    sequence.SetIndexUnit(unit)
    assert bridge.exam_from_nodes([sequence]).times_s == pytest.approx((0.0, 2 * factor, 5 * factor))


@pytest.mark.parametrize("times", [(0.0, 1.0, 2.0), (1.0, 2.0, 3.0)])
def test_frame_numbers_are_not_times(scene, times):
    sequence = add_sequence(scene, exam_of(oblique(), times=times))
    with pytest.raises(InputError, match="enter the phase times"):
        bridge.exam_from_nodes([sequence])
    assert bridge.exam_from_nodes([sequence], [0, 90, 200]).times_s == (0.0, 90.0, 200.0)


@pytest.mark.parametrize(("name", "unit"), [("frame", "s"), ("time", ""), ("time", "count"), ("", "")])
def test_an_index_that_is_no_time_is_refused(scene, name, unit):
    sequence = add_sequence(scene, exam_of(oblique(), times=(0.0, 80.0, 160.0)))
    sequence.SetIndexName(name)
    sequence.SetIndexUnit(unit)
    with pytest.raises(InputError, match="enter the phase times"):
        bridge.exam_from_nodes([sequence])


def imported(scene, tag, labels, unit):
    """A sequence as the DICOM importer leaves it: index values are frame numbers, times are attributes."""
    sequence = add_sequence(scene, exam_of(oblique(), times=(0.0, 1.0, 2.0)))
    sequence.SetIndexName("")
    sequence.SetIndexUnit("")
    sequence.SetAttribute("MultiVolume.FrameIdentifyingDICOMTagName", tag)
    sequence.SetAttribute("MultiVolume.FrameLabels", labels)
    sequence.SetAttribute("MultiVolume.FrameIdentifyingDICOMTagUnits", unit)
    return sequence


@pytest.mark.parametrize(
    ("tag", "labels", "unit", "times"),
    [
        ("TriggerTime", "12000,102000,192500", "ms", (0.0, 90.0, 180.5)),
        ("AcquisitionTime", "0,90000,180000", "ms", (0.0, 90.0, 180.0)),
        ("ContentTime", "0,407000,761000", "ms", (0.0, 407.0, 761.0)),
        ("DeltaStartTime", "0,60,120", "sec", (0.0, 60.0, 120.0)),
        ("AcquisitionTime", "0,60000,-86280000", "ms", (0.0, 60.0, 120.0)),
    ],
    ids=["trigger", "acquisition", "content", "delta", "midnight"],
)
def test_times_noted_by_the_dicom_importer_are_used(scene, tag, labels, unit, times):
    exam = bridge.exam_from_nodes([imported(scene, tag, labels, unit)])
    assert exam.times_s == pytest.approx(times)
    assert exam.timing.source == tag


@pytest.mark.parametrize(
    ("tag", "labels", "unit"),
    [
        ("TemporalPositionIdentifier", "1,2,3", "count"),
        ("Time", "0,5.2,10.4", "ms"),
        ("EchoTime", "1,2,3", "ms"),
        ("TriggerTime", "0,1000", "ms"),
        ("TriggerTime", "0,x,2", "ms"),
    ],
)
def test_importer_labels_that_are_no_clock_are_refused(scene, tag, labels, unit):
    with pytest.raises(InputError, match="enter the phase times"):
        bridge.exam_from_nodes([imported(scene, tag, labels, unit)])


def test_phase_volumes_are_put_in_order_of_time(scene):
    exam = exam_of(oblique())
    volumes = [add_volume(scene, exam.signal[i], exam.geometry, f"phase {i}") for i in range(3)]
    found = bridge.exam_from_nodes([volumes[2], volumes[0], volumes[1]], [250.0, 10.0, 100.0])
    assert found.times_s == (0.0, 90.0, 240.0)
    assert np.array_equal(found.signal, exam.signal)
    assert found.timing.source == "user"


def database(monkeypatch, volumes, **clocks):
    """Slicer's DICOM database as far as times need it: the volumes' first instances with the clocks given."""
    uids = [f"1.2.{i}" for i in range(len(volumes))]
    for volume, uid in zip(volumes, uids, strict=True):
        volume.SetAttribute("DICOM.instanceUIDs", f"{uid} {uid}.1")
    tags = {
        "ContentTime": "0008,0033",
        "TriggerTime": "0018,1060",
        "AcquisitionTime": "0008,0032",
        "SeriesTime": "0008,0031",
    }
    known = {(uid, tags[tag]): text for tag, texts in clocks.items() for uid, text in zip(uids, texts, strict=True)}
    found = types.SimpleNamespace(instanceValue=lambda uid, tag: known.get((uid, tag), ""))
    monkeypatch.setattr(slicer, "dicomDatabase", found, raising=False)


@pytest.mark.parametrize(
    ("clocks", "seconds", "source"),
    [
        ({"ContentTime": ("235900", "000030", "000200")}, (0.0, 90.0, 180.0), "ContentTime"),
        ({"TriggerTime": ("1000", "91000", "181000")}, (0.0, 90.0, 180.0), "TriggerTime"),
        ({"SeriesTime": ("101112", "101242.5", "101412")}, (0.0, 90.5, 180.0), "SeriesTime"),
        # ContentTime of a reconstruction in another order
        (
            {"ContentTime": ("120300", "120200", "120000"), "AcquisitionTime": ("100000", "100130", "100300")},
            (0.0, 90.0, 180.0),
            "AcquisitionTime",
        ),
    ],
)
def test_times_of_phase_volumes_come_from_slicers_dicom_database(scene, monkeypatch, clocks, seconds, source):
    exam = exam_of(oblique())
    volumes = [add_volume(scene, exam.signal[i], exam.geometry, f"phase {i}") for i in range(3)]
    database(monkeypatch, volumes, **clocks)
    found = bridge.exam_from_nodes(volumes)
    assert (found.times_s, found.timing.source, found.timing.known) == (seconds, source, True)
    # in any order of the list, and typed times win
    turned = bridge.exam_from_nodes(volumes[::-1])
    assert (turned.times_s, np.array_equal(turned.signal, exam.signal)) == (seconds, True)
    assert bridge.exam_from_nodes(volumes, [0, 10, 20]).times_s == (0.0, 10.0, 20.0)


@pytest.mark.parametrize(
    "clocks",
    [
        {"ContentTime": ("101112", "", "101412")},  # not known for one phase
        {"ContentTime": ("101112", "101112", "101412")},  # two phases alike
        {"AcquisitionTime": ("101112", "101122", "101142")},  # 30 s: of a reconstruction
        {"TriggerTime": ("0", "x", "2")},
    ],
)
def test_clocks_that_do_not_tell_the_phases_leave_the_question_to_the_user(scene, monkeypatch, clocks):
    exam = exam_of(oblique())
    volumes = [add_volume(scene, exam.signal[i], exam.geometry, f"phase {i}") for i in range(3)]
    database(monkeypatch, volumes, **clocks)
    with pytest.raises(InputError, match="without times"):
        bridge.exam_from_nodes(volumes)


def test_phase_volumes_need_times_one_each_and_one_grid(scene):
    exam = exam_of(oblique())
    volumes = [add_volume(scene, exam.signal[i], exam.geometry, f"phase {i}") for i in range(3)]
    with pytest.raises(InputError, match="without times"):
        bridge.exam_from_nodes(volumes)
    with pytest.raises(InputError, match="2 times were given for 3 phases"):
        bridge.exam_from_nodes(volumes, [0, 90])
    with pytest.raises(InputError, match="do not increase"):
        bridge.exam_from_nodes(volumes, [0, 90, 90])
    with pytest.raises(InputError, match="1 phase"):
        bridge.exam_from_nodes(volumes[:1], [0])
    with pytest.raises(
        InputError, match=r"No DCE exam is selected; select a sequence, .* of its phases with their times"
    ):
        bridge.exam_from_nodes([None])
    bridge.set_volume(volumes[1], exam.signal[1], oblique(flip=(-1, 1, 1)))
    with pytest.raises(InputError, match="another grid"):
        bridge.exam_from_nodes(volumes, [0, 90, 180])


def test_a_sequence_of_something_else_is_refused(scene):
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "tables")
    table = slicer.vtkMRMLTableNode()
    for value in ("0", "50"):
        sequence.SetDataNodeAtValue(table, value)
    with pytest.raises(InputError, match="does not hold volumes"):
        bridge.exam_from_nodes([sequence])


@pytest.mark.parametrize(
    ("text", "times"), [("", ()), ("0, 90,180", (0, 90, 180)), (" 0;75.5 \n 1e2 ", (0, 75.5, 100)), ("-5 0", (-5, 0))]
)
def test_times_are_read_from_text(text, times):
    assert bridge.parse_times(text) == times


def test_a_time_that_is_no_number_is_named():
    with pytest.raises(InputError, match="The phase time 'ninety' is not a number; enter the phase times"):
        bridge.parse_times("0, ninety")


# --- regions ---------------------------------------------------------------------------------------------------------


def ball(shape, centre, radius) -> np.ndarray:
    return ((np.indices(shape) - np.array(centre)[:, None, None, None]) ** 2).sum(axis=0) <= radius**2


@pytest.mark.parametrize("flip", [(1, 1, 1), (-1, -1, 1), (1, -1, 1)])
def test_segments_come_back_as_they_were_written(scene, flip):
    geometry = oblique((12, 14, 16), flip)
    lesion, ring = ball(geometry.shape, (5, 6, 7), 3), ball(geometry.shape, (5, 6, 7), 5)
    reference = add_volume(scene, np.zeros(geometry.shape, np.uint8), geometry)
    segmentation = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    parts = {"lesion": lesion, "core": ball(geometry.shape, (5, 6, 7), 1), "ring": ring & ~lesion}
    segments = [bridge.Segment(k, k, (1, 0, 0), bridge.NEOPLASM_TERMINOLOGY, m) for k, m in parts.items()]
    empty = bridge.Segment("none", "none", (0, 1, 0), bridge.TISSUE_TERMINOLOGY, np.zeros(geometry.shape, bool))
    bridge.set_segments(segmentation, [*segments, empty], geometry, reference)
    for name, mask in parts.items():
        region = bridge.region_from_segment(segmentation, name, geometry, "lesion")
        assert np.array_equal(region.mask, mask)
        assert region.notes == ()
        by_slicer = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, name, reference)
        assert np.array_equal(by_slicer > 0, mask)
    assert list(bridge.segment_names(segmentation)) == [*parts, "none"]
    with pytest.raises(InputError, match="is empty; draw it and run again"):
        bridge.region_from_segment(segmentation, "none", geometry, "lesion")
    assert segmentation.GetSegmentation().GetSegment("ring").GetTerminology() == bridge.NEOPLASM_TERMINOLOGY


def test_segments_that_share_a_layer_are_told_apart(scene):
    geometry = oblique((6, 7, 8))
    labels = np.zeros(geometry.shape, np.uint8)
    labels[1:3], labels[4:] = 1, 2
    label_map = slicer.util.addVolumeFromArray(labels, nodeClassName="vtkMRMLLabelMapVolumeNode")
    bridge.set_volume(label_map, labels, geometry)
    segmentation = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    slicer.modules.segmentations.logic().ImportLabelmapToSegmentationNode(label_map, segmentation)
    assert segmentation.GetSegmentation().GetNumberOfLayers() == 1
    for number, segment_id in enumerate(bridge.segment_names(segmentation), start=1):
        region = bridge.region_from_segment(segmentation, segment_id, geometry, "VOI")
        assert np.array_equal(region.mask, labels == number)


def test_a_segment_on_another_grid_is_resampled_and_says_so(scene):
    fine = Geometry((20, 20, 20), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), tuple(np.eye(3).ravel()))
    coarse = Geometry((10, 10, 10), (2.0, 2.0, 2.0), (0.5, 0.5, 0.5), tuple(np.eye(3).ravel()))
    mask = np.zeros(fine.shape, bool)
    mask[4:12, 4:12, 4:12] = True
    region = bridge.region_from_segment(add_segmentation(scene, mask, fine), "s1", coarse, "VOI")
    expected = np.zeros(coarse.shape, bool)
    expected[2:6, 2:6, 2:6] = True
    assert np.array_equal(region.mask, expected)
    assert any("resampled" in note for note in region.notes)


def test_a_segment_on_a_cut_out_of_the_exam_is_copied_voxel_by_voxel(scene):
    geometry = oblique((12, 14, 16))
    box = (slice(3, 9), slice(2, 10), slice(4, 12))
    part = ball(geometry.crop(box).shape, (3, 3, 3), 2)
    region = bridge.region_from_segment(add_segmentation(scene, part, geometry.crop(box)), "s1", geometry, "VOI")
    expected = np.zeros(geometry.shape, bool)
    expected[box] = part
    assert np.array_equal(region.mask, expected)
    assert region.notes == ()


def test_regions_that_cannot_be_used_are_refused(scene):
    geometry = oblique((6, 7, 8))
    segmentation = add_segmentation(scene, ball(geometry.shape, (3, 3, 3), 2), geometry)
    with pytest.raises(InputError, match="No segmentation is selected for the VOI"):
        bridge.region_from_segment(None, "s1", geometry, "VOI")
    for wrong in ("tumor", ""):
        with pytest.raises(InputError, match="one of its segments \\('Drawn'\\)"):
            bridge.region_from_segment(segmentation, wrong, geometry, "VOI")
    far = Geometry(geometry.shape, geometry.spacing_mm, (900.0, 900.0, 900.0), geometry.direction)
    with pytest.raises(InputError, match="outside the image"):
        bridge.region_from_segment(segmentation, "s1", far, "VOI")
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "shift")
    segmentation.SetAndObserveTransformNodeID(transform.GetID())
    with pytest.raises(InputError, match="; harden the transform"):
        bridge.region_from_segment(segmentation, "s1", geometry, "VOI")


def test_set_segments_refuses_another_shape(scene):
    geometry = oblique()
    with pytest.raises(ValueError, match="shape"):
        add_segmentation(scene, np.ones((2, 2, 2), bool), geometry)


def test_a_segment_drawn_as_a_surface_is_voxelized(scene):
    geometry = Geometry((30, 30, 30), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), tuple(np.eye(3).ravel()))
    reference = add_volume(scene, np.zeros(geometry.shape, np.uint8), geometry)
    sphere = vtk.vtkSphereSource()
    sphere.SetCenter(-15, -15, 15)
    sphere.SetRadius(8)
    sphere.SetThetaResolution(48)
    sphere.SetPhiResolution(48)
    sphere.Update()
    segmentation = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(reference)
    name = segmentation.AddSegmentFromClosedSurfaceRepresentation(sphere.GetOutput(), "Ball", [1, 0, 0])
    region = bridge.region_from_segment(segmentation, name, geometry, "lesion")
    assert region.mask[15, 15, 15]
    assert region.mask.sum() == pytest.approx(4 / 3 * np.pi * 8**3, rel=0.03)


# --- maps, tables, curves --------------------------------------------------------------------------------------------


def test_maps_keep_nan_and_are_shown_in_a_fitting_range(scene):
    geometry = oblique()
    array = np.linspace(-1, 1, np.prod(geometry.shape)).reshape(geometry.shape).astype(np.float64)
    array[0, 0, 0] = np.nan
    lesion = np.ones(geometry.shape, bool)
    volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    bridge.set_map(volume, "wos", array, geometry, lesion)
    shown = slicer.util.arrayFromVolume(volume)
    assert shown.dtype == np.float32
    assert np.array_equal(shown, array.astype(np.float32), equal_nan=True)
    display = volume.GetDisplayNode()
    low, high = np.nanpercentile(array, [2, 98])
    assert display.GetWindow() == pytest.approx(high - low)
    assert display.GetLevel() == pytest.approx((low + high) / 2)
    bridge.set_map(volume, "pe_early", np.full(geometry.shape, np.nan), geometry, lesion)
    assert (display.GetWindow(), display.GetLevel()) == (300, 150)
    assert display.GetColorNode() is not None
    bridge.set_map(volume, "wis", np.full(geometry.shape, np.nan), geometry, lesion)
    assert (display.GetWindow(), display.GetLevel()) == (1, 0.5)


def test_tables_hold_numbers_and_text_and_tell_what_is_missing(scene):
    table = scene.AddNewNodeByClass("vtkMRMLTableNode")
    columns = [
        bridge.Column("name", ["a", None, "c"]),
        bridge.Column("value", [1, None, 2.5], unit="cc", description="what it is"),
    ]
    bridge.set_table(table, columns)
    assert bridge.table_rows(table) == [
        {"name": "a", "value": 1.0},
        {"name": "", "value": None},
        {"name": "c", "value": 2.5},
    ]
    assert isinstance(table.GetTable().GetColumn(0), vtk.vtkStringArray)
    numbers = numpy_support.vtk_to_numpy(table.GetTable().GetColumn(1))
    assert np.array_equal(numbers, [1, np.nan, 2.5], equal_nan=True)
    assert (table.GetColumnUnitLabel("value"), table.GetColumnDescription("value")) == ("cc", "what it is")
    assert table.GetLocked()
    with pytest.raises(ValueError, match="lengths"):
        bridge.set_table(table, [bridge.Column("a", [1]), bridge.Column("b", [1, 2])])
    bridge.set_table(table, [bridge.Column("name", []), bridge.Column("value", [])])
    assert bridge.table_rows(table) == []


def test_curves_are_plotted_over_time(scene):
    curve = EnhancementCurve("lesion", (0.0, 90.0), (0.0, 120.0), (0.0, 10.0), (0.0, 110.0), (0.0, 130.0), 42)
    table = scene.AddNewNodeByClass("vtkMRMLTableNode")
    bridge.set_curves(table, [curve])
    assert bridge.table_rows(table)[1] == {"time": 90.0, "lesion": 120.0, "lesion SD": 10.0}
    assert "42 voxels" in table.GetColumnDescription("lesion")
    chart = scene.AddNewNodeByClass("vtkMRMLPlotChartNode")
    series = scene.AddNewNodeByClass("vtkMRMLPlotSeriesNode")
    for _again in range(2):
        bridge.set_curve_plot(chart, {"lesion": series}, table, {"lesion": (1, 0, 0)})
    assert chart.GetNumberOfPlotSeriesNodes() == 1
    assert (series.GetXColumnName(), series.GetYColumnName()) == ("time", "lesion")
    assert series.GetPlotType() == slicer.vtkMRMLPlotSeriesNode.PlotTypeScatter


# --- results ---------------------------------------------------------------------------------------------------------


def test_results_are_found_again_per_exam_and_lie_in_one_folder(scene):
    first = add_sequence(scene, exam_of(oblique()), "same name")
    second = add_sequence(scene, exam_of(oblique()), "same name")
    one, two = bridge.ExamResults([first]), bridge.ExamResults([second])
    table = one.node("table.volumes", "vtkMRMLTableNode", "volumes")
    assert one.node("table.volumes", "vtkMRMLTableNode", "volumes") is table
    assert two.find("table.volumes") is None
    other = two.node("table.volumes", "vtkMRMLTableNode", "volumes")
    assert other is not table
    assert other.GetName() != table.GetName()
    assert bridge.ExamResults.of(other).exam_nodes == (second,)
    hierarchy = scene.GetSubjectHierarchyNode()
    assert one.folder() != two.folder()
    assert one.folder() == one.folder()
    assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(table)) == one.folder()
    one.remove("table.")
    assert one.all() == []
    assert two.all() == [other]


def test_results_of_phase_volumes_belong_to_all_of_them(scene):
    exam = exam_of(oblique())
    volumes = [add_volume(scene, exam.signal[i], exam.geometry, f"phase {i}") for i in range(3)]
    made = bridge.ExamResults(volumes).node("x", "vtkMRMLTextNode", "x")
    assert bridge.ExamResults.of(made).exam_nodes == tuple(volumes)
    assert bridge.ExamResults(volumes[:2]).find("x") is None
    for volume in volumes:
        scene.RemoveNode(volume)
    with pytest.raises(InputError, match="does not belong"):
        bridge.ExamResults.of(made)


def test_a_foreign_node_is_no_result(scene):
    with pytest.raises(InputError, match="run that module first"):
        bridge.ExamResults.of(scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine"))
    with pytest.raises(InputError, match="No DCE exam is selected; select a sequence, or the volumes of its phases"):
        bridge.ExamResults([None])


# --- the package -----------------------------------------------------------------------------------------------------


def test_every_public_name_of_the_bridges_files_is_one_of_the_package():
    import importlib
    import inspect

    defined = set()
    for part, names in bridge._PARTS.items():
        file = importlib.import_module(f"SubregionHabitatLib.mrml_bridge.{part}")
        functions = {n for n, o in vars(file).items() if inspect.getmodule(o) is file and not n.startswith("_")}
        assert functions <= set(names)
        assert all(getattr(bridge, name) is getattr(file, name) for name in names)
        defined |= set(names)
    assert set(dir(bridge)) == defined
    assert set(bridge._PARTS) == {f.stem for f in Path(bridge.__file__).parent.glob("*.py")} - {"__init__"}
    with pytest.raises(AttributeError, match="no_such"):
        bridge.no_such  # noqa: B018


# --- the application -------------------------------------------------------------------------------------------------


def test_before_slicer_5_12_packages_are_not_installed_in_a_test_either(monkeypatch):
    import sys

    session()
    monkeypatch.setitem(sys.modules, "slicer.packaging", None)
    monkeypatch.delattr(slicer, "packaging", raising=False)
    with pytest.raises(InputError, match="needs no-such-package-of-iith; install it in Slicer's Python and run again"):
        bridge.ensure_packages({"no_such_package_of_iith": "no-such-package-of-iith"}, "IITH")


def test_packages_are_asked_for_only_when_missing_and_never_installed_in_a_test():
    bridge.ensure_packages({"numpy": "numpy>=2.0"}, "IITH")
    with pytest.raises(InputError, match="no-such-package-of-iith"):
        bridge.ensure_packages({"no_such_package_of_iith": "no-such-package-of-iith"}, "IITH")


def test_a_declined_installation_a_flat_axis_and_a_wrong_injection_time_are_told(monkeypatch):
    def declined(*_):
        raise RuntimeError("declined")

    monkeypatch.setattr("SubregionHabitatLib.mrml_bridge.packages._install", declined)
    with pytest.raises(InputError, match=r"IITH needs no-such-package, which was not installed \(declined\)\."):
        bridge.ensure_packages({"no_such_package_of_iith": "no-such-package"}, "IITH")
    with pytest.raises(InputError, match="An image axis has no length; re-export the image"):
        bridge.geometry_from_ras(np.diag([1.0, 0.0, 1.0, 1.0]), (2, 2, 2))
    with pytest.raises(InputError, match="The injection time 'soon' is not a number of seconds; correct or clear it"):
        bridge.parse_injection("soon")
