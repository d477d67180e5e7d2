"""Between scalar volume nodes and arrays with an LPS geometry."""

from __future__ import annotations

import numpy as np
import slicer
import vtk

from ..errors import InputError
from ..geometry import Geometry

# Between RAS, which MRML has, and LPS.
FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])


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
    lps = FLIP @ ijk_to_ras
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
    return FLIP @ geometry.index_to_lps


def volume_array(volume) -> tuple[np.ndarray, Geometry]:
    """A view of a scalar volume's voxels (Z, Y, X) and its LPS geometry.

    Raises InputError for no node, an empty node, a volume with several components, and for a volume under a
    transform that is not hardened, whose matrix alone does not say where it lies.
    """
    if volume is None:
        raise InputError("A volume is missing; select it.")
    name = volume.GetName()
    if not volume.IsA("vtkMRMLScalarVolumeNode") or n_components(volume) > 1:
        raise InputError(
            f"The volume '{name}' is a {volume.GetNodeTagName()} with several values per voxel; load the exam as a "
            "volume sequence or as one scalar volume per phase."
        )
    if volume.GetImageData() is None or volume.GetImageData().GetPointData().GetScalars() is None:
        raise InputError(f"The volume '{name}' holds no image; load it again.")
    refuse_transform(volume, "volume")
    array = slicer.util.arrayFromVolume(volume)
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return array, geometry_from_ras(array_from_matrix(matrix), array.shape)


def n_components(volume) -> int:
    image = volume.GetImageData()
    return image.GetNumberOfScalarComponents() if image is not None else 1


def refuse_transform(node, role: str) -> None:
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
