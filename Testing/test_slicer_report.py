"""The report module's Logic on a real scene: PDF, numbers and DICOM objects of the exam behind a segmentation."""

# ruff: noqa: E402, F401, F811 - nothing of slicer imports before the session starts; `scene` is a fixture

from __future__ import annotations

import itertools
import json
import types
from pathlib import Path

import numpy as np
import pytest

from support.slicer_session import scene, session

host = session()

import slicer

from RadiogenomicReportLib.case_dicom import case_arrays
from RadiogenomicReportLib.same_lattice import reordering
from SubregionHabitatLib import mrml_bridge as bridge
from SubregionHabitatLib.errors import InputError
from SubregionHabitatLib.exam import DceExam
from SubregionHabitatLib.exam_files import read_exam
from SubregionHabitatLib.geometry import Geometry
from SubregionHabitatLib.simulation import SimulationParameters, simulate_exam, write_dicom
from support.exams import make_geometry

SMALL = {"shape": (20, 48, 44), "spacing_mm": (3.0, 3.4, 4.0), "lesion_radii_mm": (13.0, 12.0, 13.0), "seed": 5}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """(folder of a simulated oblique exam as DICOM, the simulated exam)."""
    folder = tmp_path_factory.mktemp("dicom")
    made = simulate_exam(SimulationParameters(**SMALL, oblique_deg=(6.0, -9.0, 12.0)))
    write_dicom(made, folder)
    return folder, made


def load(scene, exam: DceExam, voi: np.ndarray):
    """The habitat segmentation of an exam put into the scene."""
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "DCE")
    bridge.set_sequence(sequence, exam)
    reference = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "drawn on")
    bridge.set_volume(reference, exam.signal[1], exam.geometry)
    drawn = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "drawn")
    segment = bridge.Segment("voi", "Drawn", (1, 1, 1), bridge.TISSUE_TERMINOLOGY, voi)
    bridge.set_segments(drawn, [segment], exam.geometry, reference)
    logic = host.load_module("SubregionHabitat").SubregionHabitatLogic()
    return sequence, logic.processNodes([sequence], voi=(drawn, "voi")).segmentation


def report_logic():
    return host.load_module("RadiogenomicReport").RadiogenomicReportLogic()


def turned_over(exam: DceExam, voi: np.ndarray) -> tuple[DceExam, np.ndarray]:
    """The exam as Slicer loads slices that run the other way: the slice axis turned over, a left-handed grid."""
    g = exam.geometry
    last = np.array([[g.shape[0] - 1, 0, 0]], dtype=float)
    direction = g.direction_matrix @ np.diag([1.0, 1.0, -1.0])
    geometry = Geometry(g.shape, g.spacing_mm, tuple(g.lps_of(last)[0].tolist()), tuple(direction.ravel().tolist()))
    signal = np.ascontiguousarray(exam.signal[:, ::-1])
    return DceExam(signal, exam.times_s, geometry, exam.timing, exam.source), voi[::-1]


def test_the_pdf_is_a_pdf_and_the_case_is_in_the_scene(scene, images, tmp_path):
    _, segmentation = load(scene, images[1].exam, images[1].voi)
    report = report_logic().processNodes(segmentation, tmp_path / "report.pdf")
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF-")
    assert json.loads(report.caseText.GetText())["schema"] == "iith-case/1"
    assert list(tmp_path.iterdir()) == [tmp_path / "report.pdf"]
    with pytest.raises(InputError, match=r"report\.pdf exists"):
        report_logic().processNodes(segmentation, tmp_path / "report.pdf")


def test_the_numbers_are_those_of_the_case(scene, images, tmp_path):
    _, segmentation = load(scene, images[1].exam, images[1].voi)
    written = report_logic().exportNumbers(segmentation, tmp_path / "numbers")
    assert [p.name for p in written] == ["numbers.csv", "numbers.json"]
    rows = json.loads(written[1].read_text())["numbers"]
    (volume,) = [r["value"] for r in rows if (r["item"], r["quantity"]) == ("lesion", "volume")]
    nodes = bridge.table_rows(bridge.ExamResults.of(segmentation).find("table.volumes"))
    assert volume == pytest.approx(
        next(r["value"] for r in nodes if (r["region"], r["quantity"]) == ("lesion", "volume"))
    )
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="is a file"):
        report_logic().exportNumbers(segmentation, tmp_path / "file")


@pytest.mark.parametrize("turned", [False, True])
def test_dicom_objects_of_the_scene_are_those_of_the_images(scene, images, turned, tmp_path):
    hd = pytest.importorskip("highdicom", reason="highdicom is not installed")
    folder, made = images
    shown, voi = turned_over(made.exam, made.voi) if turned else (made.exam, made.voi)
    _, segmentation = load(scene, shown, voi)
    written = report_logic().exportDicom(segmentation, tmp_path / "out", folder)
    assert len(written) == 8
    inScene, imaging = host.load_module("SubregionHabitat").SubregionHabitatLogic().repeat(segmentation)
    arrays, geometry = case_arrays(imaging), inScene.geometry
    seg = hd.seg.segread(tmp_path / "out" / "segmentation.dcm")
    volume = seg.get_volume(combine_segments=False)
    index = np.stack(np.meshgrid(*(np.arange(n) for n in volume.spatial_shape), indexing="ij"), -1).reshape(-1, 3)
    nearest = np.rint(geometry.index_of(index @ volume.affine[:3, :3].T + volume.affine[:3, 3])).astype(int)
    wanted = [arrays.lesion, *(arrays.habitats == k for k in (1, 2, 3)), arrays.ring]
    for segment, mask in enumerate(wanted):
        back = np.zeros(geometry.shape, bool)
        back[tuple(nearest.T)] = volume.array[..., segment].reshape(-1) > 0
        assert np.array_equal(back, mask)
    exam = read_exam([folder])
    source = {f.sop_uid for phase in exam.source.frames for f in phase}
    assert {i.ReferencedSOPInstanceUID for i in seg.SourceImageSequence} <= source


def test_the_dicom_database_is_asked_where_no_folder_is_named(scene, images, tmp_path, monkeypatch):
    pytest.importorskip("highdicom", reason="highdicom is not installed")
    folder, made = images
    sequence, segmentation = load(scene, made.exam, made.voi)
    with pytest.raises(InputError, match="DICOM files are not known"):
        report_logic().exportDicom(segmentation, tmp_path / "out")
    exam = read_exam([folder])
    files = {f.sop_uid: str(f.path) for phase in exam.source.frames for f in phase}
    for phase in range(sequence.GetNumberOfDataNodes()):
        uids = " ".join(f.sop_uid for f in exam.source.frames[phase])
        sequence.GetNthDataNode(phase).SetAttribute("DICOM.instanceUIDs", uids)
    database = types.SimpleNamespace(fileForInstance=lambda uid: files.get(uid, ""))
    monkeypatch.setattr(slicer, "dicomDatabase", database, raising=False)
    by_database = report_logic().exportDicom(segmentation, tmp_path / "database")
    by_folder = report_logic().exportDicom(segmentation, tmp_path / "folder", folder)
    assert [p.read_bytes() for p in by_database] == [p.read_bytes() for p in by_folder]
    sequence.SetAttribute("MultiVolume.FrameFileList", f"{tmp_path}/gone.dcm,{next(iter(files.values()))}")
    with pytest.raises(InputError, match="1 of 2 files are gone"):
        report_logic().exportDicom(segmentation, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_exported_leaves_nothing(scene, images, tmp_path):
    pytest.importorskip("highdicom", reason="highdicom is not installed")
    folder, made = images
    _, segmentation = load(scene, made.exam, made.voi)
    other = simulate_exam(SimulationParameters(**{**SMALL, "seed": 77}, oblique_deg=(6.0, -9.0, 12.0)))
    write_dicom(other, tmp_path / "other")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    logic = report_logic()
    for target, source, words in (
        ("out", tmp_path / "other", "not those of the exam in the scene"),
        ("out", tmp_path / "nowhere", "does not exist"),
        ("out", tmp_path / "full", "no readable DICOM image"),
        ("full", folder, "holds other files"),
        ("file", folder, "is a file"),
    ):
        with pytest.raises(InputError, match=words):
            logic.exportDicom(segmentation, tmp_path / target, source)
    with pytest.raises(InputError, match="No habitat segmentation"):
        logic.exportDicom(None, tmp_path / "out", folder)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "full", "other"]
    assert [p.name for p in (tmp_path / "full").iterdir()] == ["mine.txt"]


def test_axes_swapped_and_turned_come_back_voxel_by_voxel():
    rng = np.random.default_rng(1)
    target = make_geometry((4, 5, 6), (0.7, 1.1, 2.0), (3.0, -4.0, 9.0))
    array = rng.normal(size=(2, 4, 5, 6))
    for axes in itertools.permutations(range(3)):
        for flips in itertools.product((False, True), repeat=3):
            # A grid on which the same voxels are stored in another order.
            stored = array.transpose(0, *(1 + a for a in axes))
            stored = stored[(slice(None), *(slice(None, None, -1 if f else 1) for f in flips))]
            first = np.zeros(3)
            for axis, flip in zip(axes, flips, strict=True):
                first[axis] = target.shape[axis] - 1 if flip else 0
            columns, spacing = [], []
            for axis, flip in zip(axes[::-1], flips[::-1], strict=True):
                step = np.eye(3)[2 - axis] * (-1 if flip else 1)
                columns.append(target.direction_matrix @ step)
                spacing.append(target.spacing_mm[2 - axis])
            direction = tuple(np.column_stack(columns).ravel())
            shape = tuple(target.shape[a] for a in axes)
            source = make_geometry(shape, spacing, tuple(target.lps_of(first[None])[0]), direction)
            assert np.array_equal(reordering(source, target).apply(np.ascontiguousarray(stored)), array)
    for other in (
        make_geometry((4, 5, 6), (0.7, 1.1, 2.1), (3.0, -4.0, 9.0)),
        make_geometry((4, 5, 6), (0.7, 1.1, 2.0), (3.2, -4.0, 9.0)),
        make_geometry((4, 5, 5), (0.7, 1.1, 2.0), (3.0, -4.0, 9.0)),
    ):
        assert reordering(other, target) is None
