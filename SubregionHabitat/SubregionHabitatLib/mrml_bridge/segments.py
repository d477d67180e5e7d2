"""Segments as they are written: names, colors, terminology."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import slicer
import vtk
from vtk.util import numpy_support

from ..geometry import Geometry, bounding_box
from .volumes import matrix_from_array, ras_from_geometry

# Okabe and Ito's colours, told apart by color-blind readers too.
LESION_COLOR = (0.80, 0.47, 0.65)
RING_COLOR = (0.34, 0.71, 0.91)
HABITAT_COLORS = ((0.00, 0.45, 0.70), (0.94, 0.89, 0.26), (0.84, 0.37, 0.00), (0.00, 0.62, 0.45),
                  (0.90, 0.62, 0.00), (0.35, 0.35, 0.35))  # fmt: skip

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


def segment_names(segmentation) -> dict[str, str]:
    """Segment ID -> shown name, in the order of the segmentation."""
    inner = segmentation.GetSegmentation()
    ids = [inner.GetNthSegmentID(i) for i in range(inner.GetNumberOfSegments())]
    return {segment_id: inner.GetSegment(segment_id).GetName() for segment_id in ids}


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


def _oriented_image(mask: np.ndarray, geometry: Geometry):
    box = bounding_box(mask)
    image = slicer.vtkOrientedImageData()
    image.SetExtent(*(int(v) for s in reversed(box) for v in (s.start, s.stop - 1)))
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    shape = tuple(s.stop - s.start for s in box)
    numpy_support.vtk_to_numpy(image.GetPointData().GetScalars()).reshape(shape)[:] = mask[box]
    image.SetImageToWorldMatrix(matrix_from_array(ras_from_geometry(geometry)))
    return image
