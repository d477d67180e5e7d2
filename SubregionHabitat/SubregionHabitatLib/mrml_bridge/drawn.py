"""What a user drew or placed, as masks and points on the exam's grid."""

from __future__ import annotations

import numpy as np
import slicer
import vtk
from vtk.util import numpy_support

from ..errors import InputError
from ..geometry import Geometry, bounding_box
from ..lesion_points import nearest_voxel
from ..lesion_roi import voi_from_turned_box
from ..masks import DrawnRegion, RegionMask, onto_grid
from .segments import segment_names
from .volumes import FLIP, array_from_matrix, geometry_from_ras, refuse_transform


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
    refuse_transform(segmentation, "segmentation")
    region = _segment_on_own_grid(segmentation, segment_id, segment.GetName(), role)
    pasted = _paste_on_lattice(region, geometry)
    if pasted is not None:
        return RegionMask(pasted, region.source)
    return onto_grid(region, geometry, role)


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
    box_to_lps = FLIP @ array_from_matrix(node.GetObjectToWorldMatrix())
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
