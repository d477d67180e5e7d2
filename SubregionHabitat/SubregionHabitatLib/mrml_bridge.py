"""Between MRML nodes and the library's data classes: the one library file that imports slicer and vtk.

Only the three Slicer modules import it. MRML is RAS, the library LPS; arrays are (Z, Y, X) on both sides. Shapes are
checked here, because ``slicer.util.updateVolumeFromArray`` takes any. Node names can hold a patient's name, so they
appear in messages to the user only, never in results.

Results belong to an exam: every result node refers to the exam's nodes (reference role ``EXAM_ROLE``) and says in the
attribute ``KIND_ATTRIBUTE`` what it is. ``ExamResults`` finds them again, so that a second run fills the same nodes.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import importlib.util
import json
import math
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import slicer
import vtk
from vtk.util import numpy_support

from .analysis import DrawnRegions, ImagingParameters, ImagingResult
from .background_enhancement import THRESHOLDS_PERCENT
from .curves import EnhancementCurve
from .digests import digest, hash_uid
from .errors import Cancelled, InputError
from .exam import DceExam, ExamSource, Timing, check_times
from .feature_regions import parenchyma
from .geometry import Geometry, bounding_box
from .habitat_file import habitat_model_to_json, load_habitat_model
from .habitat_model import HabitatModel
from .imaging_settings import settings_from_json, settings_to_json
from .kinetics import TIME_MAPS
from .lesion_points import nearest_voxel
from .lesion_roi import voi_from_turned_box
from .masks import DrawnRegion, RegionMask, onto_grid
from .sequence_times import importer_times, index_times
from .times_file import with_injection

EXAM_ROLE = "IITH.exam"
KIND_ATTRIBUTE = "IITH.kind"
TIMES_ATTRIBUTE = "IITH.times_s"
FOLDER_EXAM_ATTRIBUTE = "IITH.exam"

_FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])

# --- volumes ---------------------------------------------------------------------------------------------------------


def array_from_matrix(matrix: vtk.vtkMatrix4x4) -> np.ndarray:
    return np.array([[matrix.GetElement(r, c) for c in range(4)] for r in range(4)])


def matrix_from_array(array: np.ndarray) -> vtk.vtkMatrix4x4:
    matrix = vtk.vtkMatrix4x4()
    for row in range(4):
        for column in range(4):
            matrix.SetElement(row, column, float(array[row, column]))
    return matrix


def geometry_from_ras(ijk_to_ras: np.ndarray, shape: tuple[int, int, int]) -> Geometry:
    """LPS geometry of a (Z, Y, X) array whose (i, j, k) index maps to RAS millimetres by a 4x4 matrix."""
    lps = _FLIP @ ijk_to_ras
    # Round-off of the matrix product (2.00000000005 mm) would decide which voxels lie exactly at a ring's radius.
    spacing = np.round(np.linalg.norm(lps[:3, :3], axis=0), 8)
    if spacing.min() <= 0:
        raise InputError("An image axis has no length; re-export the image.")
    return Geometry(
        shape=tuple(int(n) for n in shape),
        spacing_mm=tuple(spacing.tolist()),
        origin_mm=tuple(lps[:3, 3].tolist()),
        direction=tuple((lps[:3, :3] / spacing).ravel().tolist()),
    )


def ras_from_geometry(geometry: Geometry) -> np.ndarray:
    """4x4 matrix from (i, j, k) index to RAS millimetres."""
    return _FLIP @ geometry.index_to_lps


def volume_array(volume) -> tuple[np.ndarray, Geometry]:
    """A view of a scalar volume's voxels (Z, Y, X) and its LPS geometry.

    Raises InputError for no node, an empty node, a volume with several components, and for a volume under a
    transform that is not hardened, whose matrix alone does not say where it lies.
    """
    if volume is None:
        raise InputError("A volume is missing; select it.")
    name = volume.GetName()
    if not volume.IsA("vtkMRMLScalarVolumeNode") or _n_components(volume) > 1:
        raise InputError(
            f"The volume '{name}' is a {volume.GetNodeTagName()} with several values per voxel; load the exam as a "
            "volume sequence or as one scalar volume per phase."
        )
    if volume.GetImageData() is None or volume.GetImageData().GetPointData().GetScalars() is None:
        raise InputError(f"The volume '{name}' holds no image; load it again.")
    _refuse_transform(volume, "volume")
    array = slicer.util.arrayFromVolume(volume)
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return array, geometry_from_ras(array_from_matrix(matrix), array.shape)


def _n_components(volume) -> int:
    image = volume.GetImageData()
    return image.GetNumberOfScalarComponents() if image is not None else 1


def _refuse_transform(node, role: str) -> None:
    if node.GetParentTransformNode() is not None:
        raise InputError(
            f"The {role} '{node.GetName()}' is under the transform '{node.GetParentTransformNode().GetName()}'; "
            "harden the transform (Data module, right-click the node's transform) and run again."
        )


def set_volume(volume, array: np.ndarray, geometry: Geometry) -> None:
    """Put an array (Z, Y, X) and its geometry into a volume node; bool becomes uint8."""
    if array.shape != geometry.shape:
        raise ValueError(f"array of shape {array.shape} for a grid of {geometry.shape}")
    volume.SetIJKToRASMatrix(matrix_from_array(ras_from_geometry(geometry)))
    slicer.util.updateVolumeFromArray(volume, array.astype(np.uint8) if array.dtype == bool else array)


# --- the exam --------------------------------------------------------------------------------------------------------

_ASK_FOR_TIMES = "enter the phase times in seconds, for example 0, 90, 180, 270"


def parse_times(text: str) -> tuple[float, ...]:
    """Times in seconds from text like "0, 90, 180" (commas, semicolons or blanks); empty text gives ()."""
    values = []
    for word in re.split(r"[\s,;]+", text.strip()):
        if not word:
            continue
        try:
            values.append(float(word))
        except ValueError:
            raise InputError(f"The phase time '{word}' is not a number; {_ASK_FOR_TIMES}.") from None
    return tuple(values)


def parse_injection(text: str) -> float | None:
    """Start of the injection in seconds from the pre-contrast phase; empty text gives None, not known."""
    if not text.strip():
        return None
    try:
        value = float(text.strip().replace(",", "."))
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"The injection time {text.strip()[:40]!r} is not a number of seconds; correct or clear it.")
    return value


def exam_from_nodes(
    nodes: Sequence,
    times_s: Sequence[float] = (),
    injection_s: float | None = None,
    accept_no_times: bool = False,
) -> DceExam:
    """The exam in one sequence of scalar volumes, or in one scalar volume per phase (in any order).

    Times are those of ``phase_times``; injection_s: start of the injection in seconds from the pre-contrast phase.
    Raises InputError when nodes or times are missing or do not fit together.
    """
    volumes = _phase_volumes(nodes)
    found, timing = phase_times(nodes, times_s, accept_no_times)
    check_times(tuple(sorted(found)), len(volumes))
    order = np.argsort(found, kind="stable")
    volumes, seconds = [volumes[i] for i in order], [found[i] - min(found) for i in order]
    first, geometry = volume_array(volumes[0])
    signal = np.empty((len(volumes), *geometry.shape), dtype=np.float32)
    signal[0] = first
    for index, volume in enumerate(volumes[1:], start=1):
        array, other = volume_array(volume)
        if not other.same_grid(geometry):
            raise InputError(
                f"Phase {index + 1} ('{volume.GetName()}') lies on another grid than the first phase; resample it onto "
                "the first phase (Resample Image module) or select the right volume."
            )
        signal[index] = array
    source = _source(_present(nodes), len(volumes), signal)
    exam = DceExam(signal=signal, times_s=tuple(seconds), geometry=geometry, timing=timing, source=source)
    return with_injection(exam, injection_s)


def _source(nodes: Sequence, n_phases: int, signal: np.ndarray) -> ExamSource:
    """What the exam is, by hashed UIDs where the subject hierarchy knows its series; never a name."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(nodes[0].GetScene())
    items = [item for item in map(hierarchy.GetItemByDataNode, nodes) if item]
    series = [uid for uid in (hierarchy.GetItemUID(item, "DICOM") for item in items) if uid]
    study = hierarchy.GetItemAncestorAtLevel(items[0], "Study") if items else 0
    study_uid = hierarchy.GetItemUID(study, "DICOM") if study else ""
    return ExamSource(
        kind="nodes",
        description=f"{'volume sequence' if _is_sequence(nodes) else 'volumes'} of {n_phases} phases",
        manufacturer=(hierarchy.GetItemAttribute(items[0], "DICOM.Manufacturer") if items else "") or "",
        study_hash=hash_uid(study_uid) if study_uid else "",
        series_hashes=tuple(hash_uid(uid) for uid in series),
        content_digest=digest(signal),
    )


def dicom_files(nodes: Sequence) -> list[Path]:
    """The DICOM files that an exam was loaded from, as its nodes and Slicer's DICOM database know them.

    Volumes name their instances in "DICOM.instanceUIDs", multi-volume sequences their files in
    "MultiVolume.FrameFileList" (separated by commas). Raises InputError where nothing is known, or a file is gone.
    """
    holders = [*_present(nodes), *_phase_volumes(nodes)]
    listed = [n.GetAttribute("MultiVolume.FrameFileList") for n in holders]
    found = [Path(name) for text in listed if text for name in text.split(",") if name.strip()]
    uids = [uid for n in holders for uid in (n.GetAttribute("DICOM.instanceUIDs") or "").split()]
    database = getattr(slicer, "dicomDatabase", None)
    if not found and uids and database is not None:
        found = [Path(path) for path in (database.fileForInstance(uid) for uid in dict.fromkeys(uids)) if path]
    gone = [path for path in found if not path.is_file()]
    if not found or gone:
        what = f"{len(gone)} of {len(found)} files are gone" if gone else "the scene does not say which files"
        raise InputError(
            f"The exam's DICOM files are not known ({what}); choose the folder that the exam was loaded from."
        )
    return list(dict.fromkeys(found))


def phase_times(
    nodes: Sequence, times_s: Sequence[float] = (), accept_no_times: bool = False
) -> tuple[list[float], Timing]:
    """Seconds of each phase in the order of the nodes (or of the sequence's frames), and where they come from.

    These are ``times_s`` where given, else what the DICOM importer noted from a clock tag, else a sequence's index
    values when they are times in s, ms or min. Frame numbers 0..n-1 are not times: InputError asks for them, unless
    accept_no_times lets the phases count as 0, 1, 2, ... with ``timing.known`` False.
    """
    n_phases = len(_phase_volumes(nodes))
    if times_s:
        check_times(tuple(sorted(times_s)), n_phases)
        return [float(t) for t in times_s], Timing("user", "high", phase_sources=("user",) * n_phases)
    found, problem = None, f"{n_phases} phase volumes are selected without times"
    if _is_sequence(nodes):
        found, problem = _sequence_times(_present(nodes)[0], n_phases)
    if found is not None:
        return list(found[0]), found[1]
    if not accept_no_times:
        raise InputError(f"{problem}; {_ASK_FOR_TIMES}.")
    note = "The phases carry no times; they are taken in the order given, and slopes are not available."
    timing = Timing("none", "none", notes=(note,), known=False, phase_sources=("none",) * n_phases)
    return [float(k) for k in range(n_phases)], timing


def set_sequence(sequence, exam: DceExam) -> None:
    """Make the phases of an exam the content of a sequence node, indexed by time in seconds or else by number."""
    sequence.RemoveAllDataNodes()
    sequence.SetIndexName("time" if exam.timing.known else "frame")
    sequence.SetIndexUnit("s" if exam.timing.known else "")
    sequence.SetIndexType(slicer.vtkMRMLSequenceNode.NumericIndex)
    for index, time_s in enumerate(exam.times_s):
        volume = slicer.vtkMRMLScalarVolumeNode()
        volume.SetName(f"phase {index}")
        set_volume(volume, exam.signal[index], exam.geometry)
        sequence.SetDataNodeAtValue(volume, repr(round(float(time_s), 6)))


def _present(nodes: Sequence) -> list:
    found = [node for node in nodes if node is not None]
    if not found:
        raise InputError("No DCE exam is selected; select a sequence, or the volumes of its phases with their times.")
    return found


def _is_sequence(nodes: Sequence) -> bool:
    return _present(nodes)[0].IsA("vtkMRMLSequenceNode")


def _phase_volumes(nodes: Sequence) -> list:
    if not _is_sequence(nodes):
        return _present(nodes)
    sequence = _present(nodes)[0]
    volumes = [sequence.GetNthDataNode(i) for i in range(sequence.GetNumberOfDataNodes())]
    if any(v is None or not v.IsA("vtkMRMLVolumeNode") for v in volumes):
        raise InputError(f"The sequence '{sequence.GetName()}' does not hold volumes; select the DCE volume sequence.")
    return volumes


def _sequence_times(sequence, n_phases: int) -> tuple[tuple[tuple[float, ...], Timing] | None, str]:
    """(times, where they come from) or None, and what is wrong in that case."""
    name = sequence.GetName()
    tag = sequence.GetAttribute("MultiVolume.FrameIdentifyingDICOMTagName")
    labels = sequence.GetAttribute("MultiVolume.FrameLabels")
    if tag and labels:
        found = importer_times(tag, sequence.GetAttribute("MultiVolume.FrameIdentifyingDICOMTagUnits") or "", labels)
        problem = f"The frames of '{name}' were ordered by {tag}, which does not say when they were acquired"
    else:
        values = [sequence.GetNthIndexValue(i) for i in range(n_phases)]
        found = index_times(sequence.GetIndexName() or "", sequence.GetIndexUnit() or "", values)
        problem = f"The sequence '{name}' numbers its frames and does not say when they were acquired"
    if found is not None and (len(found[0]) != n_phases or not np.isfinite(found[0]).all()):
        found = None
    return found, problem


# --- regions ---------------------------------------------------------------------------------------------------------

# Okabe and Ito's colours, told apart by color-blind readers too.
LESION_COLOR = (0.80, 0.47, 0.65)
RING_COLOR = (0.34, 0.71, 0.91)
HABITAT_COLORS = ((0.00, 0.45, 0.70), (0.94, 0.89, 0.26), (0.84, 0.37, 0.00), (0.00, 0.62, 0.45),
                  (0.90, 0.62, 0.00), (0.35, 0.35, 0.35))  # fmt: skip

BREAST_COLOR, SKIN_COLOR = (0.90, 0.62, 0.00), (0.69, 0.48, 0.40)
PARENCHYMA_COLORS = {"ipsilateral_parenchyma": (0.00, 0.62, 0.45), "contralateral_parenchyma": (0.00, 0.45, 0.70)}
BREAST_TITLES = {"automatic": "Breast", "user": "Breast as drawn", "body": "Body in place of the breast"}

# The DICOM master list has no code for a habitat or a peritumoral ring: habitats are coded as the neoplasm they are
# part of, the ring as tissue; the segment's name says the rest.
_BREAST = "Anatomic codes - DICOM master list~SCT^76752008^Breast~^^"
_NEOPLASM = "SCT^49755003^Morphologically Altered Structure~SCT^86049000^Neoplasm, Primary~^^"
_TISSUE = "SCT^85756007^Tissue~SCT^85756007^Tissue~^^"
_LIST = "Segmentation category and type - DICOM master list"
NEOPLASM_TERMINOLOGY = f"{_LIST}~{_NEOPLASM}~{_BREAST}"
TISSUE_TERMINOLOGY = f"{_LIST}~{_TISSUE}~{_BREAST}"


@dataclass(frozen=True)
class Segment:
    """A segment to write: its ID, shown name, colour (r, g, b) 0..1, terminology entry, mask (Z, Y, X) bool."""

    id: str
    name: str
    color: tuple[float, float, float]
    terminology: str
    mask: np.ndarray
    filled: bool = True


def region_from_segment(segmentation, segment_id: str, geometry: Geometry, role: str) -> RegionMask:
    """A segment as a mask on the exam's grid; ``role`` ("VOI", "lesion") names it in messages.

    Raises InputError for no segmentation, an unknown or empty segment, a transform that is not hardened, and a
    segment that lies outside the exam.
    """
    if segmentation is None:
        raise InputError(f"No segmentation is selected for the {role}; select it.")
    segment = segmentation.GetSegmentation().GetSegment(segment_id) if segment_id else None
    if segment is None:
        known = ", ".join(f"'{name}'" for name in segment_names(segmentation).values()) or "none"
        raise InputError(
            f"The segmentation '{segmentation.GetName()}' has no segment '{segment_id}' for the {role}; select one of "
            f"its segments ({known})."
        )
    _refuse_transform(segmentation, "segmentation")
    region = _segment_on_own_grid(segmentation, segment_id, segment.GetName(), role)
    pasted = _paste_on_lattice(region, geometry)
    if pasted is not None:
        return RegionMask(pasted, region.source)
    return onto_grid(region, geometry, role)


def segment_names(segmentation) -> dict[str, str]:
    """Segment ID -> shown name, in the order of the segmentation."""
    inner = segmentation.GetSegmentation()
    ids = [inner.GetNthSegmentID(i) for i in range(inner.GetNumberOfSegments())]
    return {segment_id: inner.GetSegment(segment_id).GetName() for segment_id in ids}


def point_from_markups(node, geometry: Geometry) -> tuple[float, float, float]:
    """The one placed point of a point list, LPS mm.

    Raises InputError for no point, several points, or a point outside the exam.
    """
    placed = [
        i
        for i in range(node.GetNumberOfControlPoints())
        if node.GetNthControlPointPositionStatus(i) == slicer.vtkMRMLMarkupsNode.PositionDefined
    ]
    if len(placed) != 1:
        raise InputError(
            f"The point list '{node.GetName()}' holds {len(placed)} placed points; place exactly one, in the lesion."
        )
    ras = np.array(node.GetNthControlPointPositionWorld(placed[0]))
    lps = tuple((ras * (-1, -1, 1)).tolist())
    nearest_voxel(lps, geometry, "seed point")
    return lps


def region_from_roi(node, geometry: Geometry) -> RegionMask:
    """The voxels of the exam's grid whose centres lie in a ROI box, which may be turned.

    Raises InputError for a box that is not placed, is inside out or under a transform that bends it, and as
    ``voi_from_turned_box``.
    """
    name = node.GetName()
    if node.GetNumberOfDefinedControlPoints() < 1:
        raise InputError(f"The box '{name}' is not placed; place it around the lesion.")
    if node.GetInsideOut():
        raise InputError(f"The box '{name}' is set to inside out; switch that off.")
    transform = node.GetParentTransformNode()
    if transform is not None and not transform.IsTransformToWorldLinear():
        raise InputError(
            f"The box '{name}' is under the transform '{transform.GetName()}', which bends it; take it out of the "
            "transform."
        )
    box_to_lps = _FLIP @ array_from_matrix(node.GetObjectToWorldMatrix())
    return voi_from_turned_box(geometry, box_to_lps, np.array(node.GetSize()))


def _segment_on_own_grid(segmentation, segment_id: str, name: str, role: str) -> DrawnRegion:
    empty = InputError(f"The {role} segment '{name}' is empty; draw it and run again.")
    representation = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    if not segmentation.GetSegmentation().ContainsRepresentation(representation):
        segmentation.CreateBinaryLabelmapRepresentation()
    image = slicer.vtkOrientedImageData()
    if not segmentation.GetBinaryLabelmapRepresentation(segment_id, image) or min(image.GetDimensions()) < 1:
        raise empty
    shape = tuple(reversed(image.GetDimensions()))
    mask = numpy_support.vtk_to_numpy(image.GetPointData().GetScalars()).reshape(shape) > 0
    if not mask.any():
        raise empty
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    to_ras = array_from_matrix(matrix)
    # the array starts at the image's extent, which need not be index 0
    to_ras[:3, 3] += to_ras[:3, :3] @ np.array(image.GetExtent()[::2], dtype=float)
    return DrawnRegion(mask, geometry_from_ras(to_ras, shape), f"segment '{name}'")


def _paste_on_lattice(region: DrawnRegion, geometry: Geometry) -> np.ndarray | None:
    """The region on the exam's grid by copying, where its voxels are the exam's voxels; else None."""
    box = bounding_box(region.mask)
    part = region.geometry.crop(box)
    corner = np.rint(geometry.index_of(np.array([part.origin_mm]))[0]).astype(int)
    stop = corner + part.shape
    if corner.min() < 0 or np.any(stop > geometry.shape):
        return None
    target = tuple(slice(int(a), int(b)) for a, b in zip(corner, stop, strict=True))
    if not geometry.crop(target).same_grid(part):
        return None
    mask = np.zeros(geometry.shape, dtype=bool)
    mask[target] = region.mask[box]
    return mask


def set_segments(segmentation, segments: Sequence[Segment], geometry: Geometry, reference_volume) -> None:
    """Make ``segments`` the content of a segmentation; it is shown on ``reference_volume``'s grid."""
    for segment in segments:
        if segment.mask.shape != geometry.shape:
            raise ValueError(f"segment {segment.id} of shape {segment.mask.shape} for a grid of {geometry.shape}")
    inner = segmentation.GetSegmentation()
    inner.RemoveAllSegments()
    segmentation.CreateDefaultDisplayNodes()
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(reference_volume)
    for segment in segments:
        if segment.mask.any():
            image = _oriented_image(segment.mask, geometry)
            segmentation.AddSegmentFromBinaryLabelmapRepresentation(
                image, segment.name, list(segment.color), segment.id
            )
        else:
            inner.AddEmptySegment(segment.id, segment.name, list(segment.color))
        inner.GetSegment(segment.id).SetTerminology(segment.terminology)
        segmentation.GetDisplayNode().SetSegmentOpacity2DFill(segment.id, 0.5 if segment.filled else 0.0)


def result_segments(result: ImagingResult) -> list[Segment]:
    """Lesion (outline only), habitats and ring as segments; the IDs are the region names of the feature table."""
    segments = [Segment("lesion", "Lesion", LESION_COLOR, NEOPLASM_TERMINOLOGY, result.lesion.mask, filled=False)]
    for index, name in enumerate(result.habitats.names):
        mask = result.habitats.labels == index + 1
        shown = _habitat_title(index, name, len(result.habitats.names))
        segments.append(Segment(f"habitat{index + 1}", shown, HABITAT_COLORS[index], NEOPLASM_TERMINOLOGY, mask))
    radius = f"Peritumoral ring, {result.ring.radius_mm:g} mm"
    return [*segments, Segment("ring", radius, RING_COLOR, TISSUE_TERMINOLOGY, result.ring.mask)]


def breast_segments(result: ImagingResult) -> list[Segment]:
    """Breast (outline only), skin and parenchyma of either side; those that hold nothing are left out."""
    exam, breast = result.exam, result.breast
    parts = parenchyma(result.lesion.mask, result.ring.mask, result.tissue, exam.geometry, breast)
    shown = [Segment("breast", BREAST_TITLES[breast.made_by], BREAST_COLOR, TISSUE_TERMINOLOGY, breast.breast, False)]
    shown.append(Segment("skin", "Skin", SKIN_COLOR, TISSUE_TERMINOLOGY, breast.skin, False))
    for name, mask in parts.items():
        title = name.replace("_", " ").capitalize()
        shown.append(Segment(name, title, PARENCHYMA_COLORS[name], TISSUE_TERMINOLOGY, mask))
    return [segment for segment in shown if segment.mask.any()]


def _habitat_title(index: int, name: str, k: int) -> str:
    """ "Habitat 1: poor perfusion"; where habitats have numbers for names, the ends of their order are told."""
    if k == 3:
        return f"Habitat {index + 1}: {name} perfusion"
    end = {0: ": lowest perfusion", k - 1: ": highest perfusion"}.get(index, "")
    return f"Habitat {index + 1} of {k}{end}"


def check_unchanged(segmentation, result: ImagingResult) -> None:
    """Raise InputError when a result segment was edited, so that maps, habitats and numbers would disagree."""
    known = segment_names(segmentation)
    for segment in result_segments(result):
        mask = np.zeros(segment.mask.shape, dtype=bool)
        if segment.id in known:
            image = slicer.vtkOrientedImageData()
            segmentation.GetBinaryLabelmapRepresentation(segment.id, image)
            if image.GetPointData().GetScalars() is not None and image.GetScalarRange()[1] > 0:
                mask = region_from_segment(segmentation, segment.id, result.maps.geometry, "result").mask
        if not np.array_equal(mask, segment.mask):
            raise InputError(
                f"The segment '{segment.name}' of '{segmentation.GetName()}' was changed after the Subregion Habitat "
                "module made it; run that module again, with your segment selected as the lesion."
            )


def _oriented_image(mask: np.ndarray, geometry: Geometry):
    box = bounding_box(mask)
    image = slicer.vtkOrientedImageData()
    image.SetExtent(*(int(v) for s in reversed(box) for v in (s.start, s.stop - 1)))
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    shape = tuple(s.stop - s.start for s in box)
    numpy_support.vtk_to_numpy(image.GetPointData().GetScalars()).reshape(shape)[:] = mask[box]
    image.SetImageToWorldMatrix(matrix_from_array(ras_from_geometry(geometry)))
    return image


# --- maps ------------------------------------------------------------------------------------------------------------

# Shown range and colour table per map; the first table that the scene has is taken (file-based tables exist in the
# application only). None: 2nd to 98th percentile inside the lesion.
_SEQUENTIAL = ("vtkMRMLColorTableNodeFileViridis.txt", "vtkMRMLColorTableNodeGrey")
MAP_DISPLAY = {
    "pe_early": ((0.0, 300.0), _SEQUENTIAL),
    "pe_peak": ((0.0, 300.0), _SEQUENTIAL),
    "ser": ((0.0, 2.0), _SEQUENTIAL),
    "wis": (None, _SEQUENTIAL),
    "wos": (None, _SEQUENTIAL),
    "time_to_peak": (None, _SEQUENTIAL),
}
UNIT_ATTRIBUTE = "IITH.unit"


def result_maps(result: ImagingResult) -> dict[str, tuple[np.ndarray, str]]:
    """Map name -> (array, unit) of every map that is defined: without phase times some are not."""
    maps = result.maps
    units = {**maps.units(), "time_to_peak": "min"}
    undefined = () if result.exam.timing.known else TIME_MAPS
    return {name: (getattr(maps, name), unit) for name, unit in units.items() if name not in undefined}


def set_map(volume, name: str, array: np.ndarray, geometry: Geometry, lesion: np.ndarray) -> None:
    """Put a kinetic map (Z, Y, X) float32, NaN where undefined, into a volume and show it in a fitting range."""
    set_volume(volume, np.ascontiguousarray(array, dtype=np.float32), geometry)
    volume.CreateDefaultDisplayNodes()
    limits, tables = MAP_DISPLAY[name]
    low, high = limits or _percentile_range(array[lesion])
    display = volume.GetDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevel(high - low, (low + high) / 2)
    scene = volume.GetScene()
    display.SetAndObserveColorNodeID(next((t for t in tables if scene.GetNodeByID(t)), tables[-1]))


def _percentile_range(values: np.ndarray) -> tuple[float, float]:
    values = values[np.isfinite(values)]
    if values.size == 0:
        return 0.0, 1.0
    low, high = (float(v) for v in np.percentile(values, [2, 98]))
    return (low, high) if high > low else (low - 0.5, low + 0.5)


# --- tables and plots ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Column:
    """A table column: text where all values are text (None becomes ""), else numbers (None becomes NaN)."""

    name: str
    values: Sequence
    unit: str = ""
    description: str = ""


def set_table(table, columns: Sequence[Column]) -> None:
    """Make ``columns`` the content of a table node, read-only for the user."""
    if len({len(c.values) for c in columns}) > 1:
        raise ValueError("columns of different lengths")
    table.SetLocked(False)
    table.RemoveAllColumns()
    for column in columns:
        table.AddColumn(_vtk_column(column))
        if column.unit:
            table.SetColumnUnitLabel(column.name, column.unit)
        if column.description:
            table.SetColumnDescription(column.name, column.description)
    table.SetUseColumnTitleAsColumnHeader(True)
    table.SetLocked(True)


def _vtk_column(column: Column):
    if column.values and all(v is None or isinstance(v, str) for v in column.values):
        array = vtk.vtkStringArray()
        for value in column.values:
            array.InsertNextValue("" if value is None else str(value))
    else:
        numbers = np.array([np.nan if v is None else float(v) for v in column.values], dtype=np.float64)
        array = numpy_support.numpy_to_vtk(numbers, deep=True)
    array.SetName(column.name)
    return array


def table_rows(table) -> list[dict]:
    """The rows of a table node as dictionaries; numbers are float, NaN becomes None."""
    content = table.GetTable()
    columns = [content.GetColumn(i) for i in range(content.GetNumberOfColumns())]
    rows = []
    for index in range(content.GetNumberOfRows()):
        values = [column.GetValue(index) for column in columns]
        rows.append(
            {
                column.GetName(): None if isinstance(value, float) and np.isnan(value) else value
                for column, value in zip(columns, values, strict=True)
            }
        )
    return rows


def volume_columns(result: ImagingResult) -> list[Column]:
    """Sizes of lesion, habitats, ring and breast, background enhancement and spatial interaction, one row each.

    A value that cannot be computed is NaN with its reason in the last column.
    """
    lesion, habitats, ring = result.lesion, result.habitats, result.ring
    rows = [
        ("lesion", "volume", lesion.volume_cc, "cc", ""),
        ("lesion", "functional tumor volume", lesion.ftv_cc, "cc", ""),
        ("lesion", "longest diameter", lesion.longest_diameter_mm, "mm", ""),
        ("lesion", "voxels", lesion.n_voxels, "", ""),
        ("lesion", "share above the PE threshold at the first post-contrast phase",
         lesion.enhancing_fraction_first_post, "", lesion.enhancing_fraction_reason or ""),
    ]  # fmt: skip
    for index, volume in enumerate(habitats.volumes_cc):
        rows.append((f"habitat{index + 1}", "volume", volume, "cc", ""))
        rows.append((f"habitat{index + 1}", "share of the lesion", volume / lesion.volume_cc, "", ""))
    rows.append(("ring", "volume", ring.volume_cc, "cc", ""))
    rows.append(("ring", "share kept after clipping", ring.kept_fraction, "", ""))
    rows += _background_rows(result)
    for name, value in result.interaction.features.items():
        reason = result.interaction.reasons.get(name, "")
        rows.append(("lesion", name, None if reason else value, result.interaction.units.get(name, ""), reason))
    names = ("region", "quantity", "value", "unit", "reason")
    return [Column(name, [row[i] for row in rows]) for i, name in enumerate(names)]


def _background_rows(result: ImagingResult) -> list[tuple]:
    """(region, quantity, value, unit, reason) of breast, parenchyma and its enhancement at the early phase."""
    rows = []
    for side in result.background:
        breast, tissue, missing = f"{side.side} breast", f"{side.side} parenchyma", side.missing

        def add(region, quantity, value, unit, key, missing=missing):
            rows.append((region, quantity, value, unit, "" if value is not None else missing.get(key, "")))

        add(breast, "volume", side.breast_cc, "cc", "breast_cc")
        add(tissue, "volume", side.tissue_cc, "cc", "fibroglandular_cc")
        add(tissue, "share of the breast", side.tissue_share, "", "fibroglandular_share")
        add(tissue, "mean background enhancement", side.mean_percent, "%", "mean_percent")
        add(tissue, "median background enhancement", side.median_percent, "%", "median_percent")
        for threshold in THRESHOLDS_PERCENT:
            share = side.share_above.get(threshold)
            add(tissue, f"share enhancing above {threshold} %", share, "", "share_above_percent")
        add("lesion", f"enhancement over the {tissue}'s", side.lesion_to_background, "", "lesion_to_background")
    return rows


def part_columns(result: ImagingResult) -> list[Column]:
    """The connected parts of the lesion and those left out, largest first; positions as Slicer shows them (RAS)."""
    parts = result.lesion.parts
    centres = [(-p.centroid_lps_mm[0], -p.centroid_lps_mm[1], p.centroid_lps_mm[2]) for p in parts]
    return [
        Column("part", list(range(1, len(parts) + 1))),
        Column("belongs to the lesion", ["yes" if p.kept else "no" for p in parts]),
        Column("volume", [p.volume_cc for p in parts], "cc"),
        Column("voxels", [p.n_voxels for p in parts]),
        Column("longest diameter", [p.longest_diameter_mm for p in parts], "mm"),
        *(
            Column(axis, [centre[i] for centre in centres], "mm", f"Centroid, {axis} axis of the patient (RAS)")
            for i, axis in enumerate("RAS")
        ),
    ]


def curve_colors(result: ImagingResult) -> dict[str, tuple[float, float, float]]:
    """Region of a curve -> the colour of its segment."""
    habitats = dict(zip(result.habitats.names, HABITAT_COLORS, strict=False))
    return {**habitats, "lesion": LESION_COLOR, "ring": RING_COLOR}


def set_curves(table, curves: Sequence[EnhancementCurve], times_known: bool = True) -> None:
    """Mean and spread of the enhancement of each region over time as columns of a table."""
    if not curves:
        raise ValueError("no curves")
    columns = [
        Column("time", curves[0].times_s, "s", "Seconds after the pre-contrast phase")
        if times_known
        else Column("time", curves[0].times_s, "", "Number of the phase, because no times are known")
    ]
    for curve in curves:
        about = f"enhancement of {curve.region} over its {curve.n_voxels} voxels"
        columns.append(Column(curve.region, curve.mean, "%", f"Mean {about}"))
        columns.append(Column(f"{curve.region} SD", curve.sd, "%", f"Standard deviation of the {about}"))
    set_table(table, columns)


def set_curve_plot(
    chart, series: Mapping[str, object], table, colors: Mapping[str, tuple], times_known: bool = True
) -> None:
    """Plot the curves of ``table``: ``series`` maps a region (its column) to its plot series node."""
    chart.RemoveAllPlotSeriesNodeIDs()
    for region, node in series.items():
        node.SetName(region)
        node.SetAndObserveTableNodeID(table.GetID())
        node.SetXColumnName("time")
        node.SetYColumnName(region)
        # a scatter plot with a line: the only kind with a numeric x axis
        node.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeScatter)
        node.SetLineStyle(slicer.vtkMRMLPlotSeriesNode.LineStyleSolid)
        node.SetMarkerStyle(slicer.vtkMRMLPlotSeriesNode.MarkerStyleCircle)
        node.SetColor(*colors[region])
        chart.AddAndObservePlotSeriesNodeID(node.GetID())
    chart.SetTitle("Mean enhancement")
    chart.SetXAxisTitle("Time after the pre-contrast phase (s)" if times_known else "Phase")
    chart.SetYAxisTitle("Enhancement (%)")


# --- the application -------------------------------------------------------------------------------------------------

# Packages that Slicer brings along and that an installation must never replace.
_PROTECTED = ("numpy", "scipy", "SimpleITK", "vtk", "pydicom")


class DialogProgress:
    """The library's progress shown in a Slicer progress dialog; its Cancel button raises Cancelled."""

    def __init__(self, dialog) -> None:
        self._dialog = dialog

    def step(self, fraction: float, message: str) -> None:
        self._dialog.labelText = message
        # one short of the end: a dialog that reaches its maximum closes itself and forgets a click on Cancel
        self._dialog.value = min(99, round(100 * fraction))
        slicer.app.processEvents()
        if self._dialog.wasCanceled:
            raise Cancelled("Stopped; nothing was changed.")


def ensure_packages(requirements: Mapping[str, str], requester: str) -> None:
    """Offer to install what is missing; ``requirements`` maps an import name to a pip requirement.

    The packages that Slicer itself brings stay at their versions. In testing mode nothing is installed.
    Raises InputError when a package is still missing afterwards, because the user declined or pip failed.
    """
    missing = [pip_name for name, pip_name in requirements.items() if importlib.util.find_spec(name) is None]
    if not missing:
        return
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder) / "constraints.txt"
        constraints.write_text("".join(f"{n}=={v}\n" for n, v in _installed(_PROTECTED)), encoding="utf-8")
        try:
            _install(missing, constraints, requester)
        except (RuntimeError, subprocess.CalledProcessError) as error:
            raise InputError(f"{requester} needs {', '.join(missing)}, which was not installed ({error}).") from error
    importlib.invalidate_caches()
    still = [pip_name for name, pip_name in requirements.items() if importlib.util.find_spec(name) is None]
    if still:
        raise InputError(f"{requester} needs {', '.join(still)}; install it in Slicer's Python and run again.")


def _installed(names: Sequence[str]) -> list[tuple[str, str]]:
    found = []
    for name in names:
        try:
            found.append((name, importlib.metadata.version(name)))
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _install(missing: list[str], constraints: Path, requester: str) -> None:
    try:
        import slicer.packaging as packaging
    except ImportError:  # Slicer 5.10 and before
        if slicer.app.testingEnabled():
            return
        question = f"{requester} needs these Python packages: {', '.join(missing)}. Install them now?"
        if not slicer.util.confirmOkCancelDisplay(question):
            raise RuntimeError("declined") from None
        slicer.util.pip_install(f'{" ".join(missing)} -c "{constraints}"')
    else:
        packaging.pip_ensure(missing, constraints=constraints, requester=requester)


# --- results in the scene --------------------------------------------------------------------------------------------


class ExamResults:
    """The result nodes of one exam, each found by its kind ("map.ser", "table.volumes"), made when absent.

    Raises InputError when there is no exam node.
    """

    def __init__(self, exam_nodes: Sequence) -> None:
        self.exam_nodes = tuple(node for node in exam_nodes if node is not None)
        if not self.exam_nodes:
            raise InputError("No DCE exam is selected; select a sequence, or the volumes of its phases.")
        self.scene = self.exam_nodes[0].GetScene()
        if self.scene is None or any(node.GetScene() is None for node in self.exam_nodes):
            raise InputError("The exam is no longer in the scene; load it again.")

    @classmethod
    def of(cls, result) -> ExamResults:
        """The results that a result node belongs to; InputError when it is not one or its exam is gone."""
        count = result.GetNumberOfNodeReferences(EXAM_ROLE)
        exam_nodes = [result.GetNthNodeReference(EXAM_ROLE, i) for i in range(count)]
        if not exam_nodes or any(node is None for node in exam_nodes):
            raise InputError(
                f"'{result.GetName()}' does not belong to a DCE exam of this scene; select a result of the Subregion "
                "Habitat module, or run that module first."
            )
        return cls(exam_nodes)

    def find(self, kind: str):
        """The result node of this kind, or None."""
        return next((node for node in self.all() if node.GetAttribute(KIND_ATTRIBUTE) == kind), None)

    def all(self) -> list:
        """Every result node of this exam, in the order of the scene."""
        wanted = [node.GetID() for node in self.exam_nodes]
        nodes = (self.scene.GetNthNode(i) for i in range(self.scene.GetNumberOfNodes()))
        return [node for node in nodes if node.GetAttribute(KIND_ATTRIBUTE) and _exam_ids(node) == wanted]

    def node(self, kind: str, class_name: str, name: str):
        """The result node of this kind; made, and put into the exam's folder, when there is none."""
        found = self.find(kind)
        if found is not None and found.IsA(class_name):
            return found
        made = self.scene.AddNewNodeByClass(class_name, self.scene.GenerateUniqueName(name))
        made.SetAttribute(KIND_ATTRIBUTE, kind)
        for exam_node in self.exam_nodes:
            made.AddNodeReferenceID(EXAM_ROLE, exam_node.GetID())
        self._put_into_folder(made)
        return made

    def remove(self, prefix: str, keep: Sequence[str] = ()) -> None:
        """Remove the result nodes whose kind starts with ``prefix``, except the kinds in ``keep``."""
        for node in self.all():
            kind = node.GetAttribute(KIND_ATTRIBUTE)
            if kind.startswith(prefix) and kind not in keep:
                self.scene.RemoveNode(node)

    def folder(self) -> int:
        """The subject hierarchy item of the folder that holds the results, made when absent."""
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(self.scene)
        exam_id = self.exam_nodes[0].GetID()
        item = hierarchy.GetItemByDataNode(self.exam_nodes[0])
        parent = hierarchy.GetItemParent(item) if item else hierarchy.GetSceneItemID()
        children = vtk.vtkIdList()
        hierarchy.GetItemChildren(parent, children)
        for index in range(children.GetNumberOfIds()):
            if hierarchy.GetItemAttribute(children.GetId(index), FOLDER_EXAM_ATTRIBUTE) == exam_id:
                return children.GetId(index)
        folder = hierarchy.CreateFolderItem(parent, f"IITH {self.exam_nodes[0].GetName()}")
        hierarchy.SetItemAttribute(folder, FOLDER_EXAM_ATTRIBUTE, exam_id)
        return folder

    def _put_into_folder(self, node) -> None:
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(self.scene)
        folder = self.folder()
        item = hierarchy.GetItemByDataNode(node)
        if item:
            hierarchy.SetItemParent(item, folder)
        else:
            hierarchy.CreateItem(folder, node)


def _exam_ids(node) -> list[str]:
    return [node.GetNthNodeReferenceID(EXAM_ROLE, i) for i in range(node.GetNumberOfNodeReferences(EXAM_ROLE))]


# --- what a result was made from -------------------------------------------------------------------------------------

_INPUTS_SCHEMA = "iith-slicer-inputs/2"


@dataclass(frozen=True)
class AnalysisInputs:
    """What an analysis starts from; see analyze_imaging."""

    exam: DceExam
    parameters: ImagingParameters
    regions: DrawnRegions
    habitat_model: HabitatModel | None = None

    @property
    def key(self) -> tuple:
        """Equal for inputs that give an equal result."""
        masks = tuple((n, r.source, r.notes, digest(r.mask)) for n, r in drawn_masks(self.regions).items())
        exam, model = self.exam, self.habitat_model
        return (
            json.dumps(settings_to_json(self.parameters), sort_keys=True),
            (exam.source, exam.times_s, exam.timing, exam.geometry),
            (self.regions.seed_lps, masks),
            None if model is None else model.digest,
        )


def drawn_masks(regions: DrawnRegions) -> dict[str, RegionMask]:
    """Field name of DrawnRegions -> region, of every region that was given."""
    found = {field.name: getattr(regions, field.name) for field in dataclasses.fields(regions)}
    return {name: region for name, region in found.items() if isinstance(region, RegionMask)}


def note_inputs(results: ExamResults, inputs: AnalysisInputs, times_s: Sequence[float], reference_volume) -> None:
    """Keep settings, seed, habitat model, times and copies of the drawn regions beside the results in the scene.

    times_s: those that the user gave, none where the sequence has its own.
    """
    exam, masks = inputs.exam, drawn_masks(inputs.regions)
    content = {
        "schema": _INPUTS_SCHEMA,
        "exam": {
            "content_digest": exam.source.content_digest,
            "injection_s": exam.timing.injection_s,
            "accept_no_times": not exam.timing.known,
        },
        "imaging": settings_to_json(inputs.parameters),
        "regions": {name: {"source": r.source, "notes": list(r.notes)} for name, r in masks.items()},
        "seed_lps": inputs.regions.seed_lps,
        "habitat_model": None if inputs.habitat_model is None else habitat_model_to_json(inputs.habitat_model),
    }
    text = results.node("inputs.settings", "vtkMRMLTextNode", "IITH settings")
    text.SetText(json.dumps(content, indent=1, allow_nan=False))
    text.SetAttribute(TIMES_ATTRIBUTE, " ".join(repr(float(t)) for t in times_s))
    copies = results.node("inputs.regions", "vtkMRMLSegmentationNode", "IITH drawn regions")
    segments = [
        Segment(name, f"{name} as drawn", (1.0, 1.0, 1.0), TISSUE_TERMINOLOGY, region.mask, filled=False)
        for name, region in masks.items()
    ]
    set_segments(copies, segments, volume_array(reference_volume)[1], reference_volume)
    copies.GetDisplayNode().SetVisibility(False)


def noted_inputs(results: ExamResults) -> AnalysisInputs:
    """Exam, settings, regions and habitat model that the results in the scene were made from.

    Raises InputError when they are missing or not readable, or the exam's images have changed since.
    """
    text, copies = results.find("inputs.settings"), results.find("inputs.regions")
    name = results.exam_nodes[0].GetName()
    again = InputError(
        f"The settings of the results on '{name}' are missing or damaged; run the Subregion Habitat module again."
    )
    if text is None or copies is None:
        raise again
    try:
        content = json.loads(text.GetText() or "")
        if content["schema"] != _INPUTS_SCHEMA:
            raise ValueError("schema")
        parameters = settings_from_json(content["imaging"])
        of_exam, seed = content["exam"], content["seed_lps"]
        seed = None if seed is None else tuple(map(float, seed))
        injection = None if of_exam["injection_s"] is None else float(of_exam["injection_s"])
        accept_no_times, content_digest = bool(of_exam["accept_no_times"]), of_exam["content_digest"]
        noted = {n: (str(r["source"]), tuple(map(str, r["notes"]))) for n, r in content["regions"].items()}
        model = _noted_habitat_model(content["habitat_model"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, InputError):
        raise again from None
    times = parse_times(text.GetAttribute(TIMES_ATTRIBUTE) or "")
    exam = exam_from_nodes(results.exam_nodes, times, injection, accept_no_times)
    if exam.source.content_digest != content_digest:
        raise InputError(
            f"The images of '{name}' were changed after the Subregion Habitat module measured them; run that module "
            "again."
        )
    masks = {
        field: RegionMask(region_from_segment(copies, field, exam.geometry, field).mask, source, notes=notes)
        for field, (source, notes) in noted.items()
    }
    try:
        regions = DrawnRegions(**masks, seed_lps=seed)
    except TypeError:
        raise again from None
    return AnalysisInputs(exam, parameters, regions, model)


def _noted_habitat_model(content: dict | None) -> HabitatModel | None:
    """Read through a file, so that the same checks apply as to a model that is handed around."""
    if content is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "noted.json"
        path.write_text(json.dumps(content), encoding="utf-8")
        return load_habitat_model(path)
