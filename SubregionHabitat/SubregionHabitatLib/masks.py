"""Regions drawn elsewhere (NRRD, NIfTI or DICOM SEG, on any grid) brought onto the exam's grid."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from .errors import InputError
from .geometry import Geometry
from .volume_io import geometry_of, is_volume_file, read_image, read_volume, to_sitk

# Below this share of the region inside the image, the user is told what was cut off.
WHOLLY_INSIDE_SHARE = 0.995


@dataclass(frozen=True)
class RegionMask:
    """A region on the exam's grid.

    mask: (Z, Y, X) bool; source: name of the file or node, for messages; background_applied: the region already
    leaves out voxels below the FTV background threshold; notes: what had to be done to bring it here.
    """

    mask: np.ndarray
    source: str
    background_applied: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class DrawnRegion:
    """A region on its own grid, as read from a file."""

    mask: np.ndarray
    geometry: Geometry
    source: str
    background_applied: bool = False
    notes: tuple[str, ...] = ()


def read_region(path: str | Path, exam_geometry: Geometry, role: str = "mask") -> RegionMask:
    """Read a region and bring it onto the exam's grid; ``role`` ("VOI", "lesion") names it in messages.

    Voxels above 0 belong to the region. Raises InputError when the file is missing or unreadable, the region is
    empty, or it lies outside the image.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"The {role} {path.name} does not exist; check the path given.")
    return onto_grid(_read(path, role), exam_geometry, role)


def onto_grid(region: DrawnRegion, exam_geometry: Geometry, role: str = "mask") -> RegionMask:
    """Resample a region onto the exam's grid (nearest neighbour) unless it lies there already."""
    if not region.mask.any():
        raise InputError(f"The {role} {region.source} is empty; draw the region and save it again.")
    notes = list(region.notes)
    if region.geometry.same_grid(exam_geometry):
        mask = region.mask
    else:
        mask = _resample(region, exam_geometry)
        inside = _share_inside(region, exam_geometry)
        if inside == 0:
            raise InputError(
                f"The {role} {region.source} lies outside the image; check that it was drawn on this exam."
            )
        if not mask.any():
            raise InputError(
                f"The {role} {region.source} is smaller than one voxel of the exam; draw it on the exam's grid."
            )
        notes.append(f"The {role} was resampled from its own grid onto the exam's.")
        if inside < WHOLLY_INSIDE_SHARE:
            notes.append(f"{100 * (1 - inside):.1f} % of the {role} lies outside the image and was cut off.")
    return RegionMask(np.ascontiguousarray(mask), region.source, region.background_applied, tuple(notes))


def _read(path: Path, role: str) -> DrawnRegion:
    if path.is_dir():
        return _read_folder(path, role)
    if is_volume_file(path):
        return _read_volume_region(path, role)
    from .dicom_seg import read_dicom_seg

    return read_dicom_seg(path, role)


def _read_folder(path: Path, role: str) -> DrawnRegion:
    from .dicom_seg import find_dicom_seg

    found = [p for p in sorted(path.rglob("*")) if is_volume_file(p)]
    found += find_dicom_seg(path)
    if not found:
        raise InputError(
            f"The {role} folder {path.name} holds no DICOM SEG, NRRD or NIfTI file; name the file that holds it."
        )
    if len(found) > 1:
        names = ", ".join(p.name for p in found[:4])
        raise InputError(f"The {role} folder {path.name} holds {len(found)} masks ({names}); name the one to use.")
    return _read(found[0], role)


def _read_volume_region(path: Path, role: str) -> DrawnRegion:
    array, geometry = _label_volume(path)
    with np.errstate(invalid="ignore"):
        mask = array > 0
    n_labels = sum(np.unique(layer[inside]).size for layer, inside in zip(array, mask, strict=True))
    notes = ()
    if n_labels > 1:
        notes = (f"The {role} {path.name} holds {n_labels} labels; all of them were taken together.",)
    return DrawnRegion(mask.any(axis=0), geometry, path.name, notes=notes)


def _label_volume(path: Path) -> tuple[np.ndarray, Geometry]:
    """Layers of labels (L, Z, Y, X): several where Slicer saved segments that overlap (.seg.nrrd)."""
    image = read_image(path)
    if image.GetDimension() == 3 and image.GetNumberOfComponentsPerPixel() > 1:
        return np.moveaxis(sitk.GetArrayFromImage(image), -1, 0), geometry_of(image)
    array, geometry = read_volume(path)
    return array[None], geometry


def _resample(region: DrawnRegion, target: Geometry) -> np.ndarray:
    moved = sitk.Resample(
        to_sitk(region.mask, region.geometry),
        to_sitk(np.zeros(target.shape, dtype=np.uint8), target),
        sitk.Transform(),
        sitk.sitkNearestNeighbor,
        0,
        sitk.sitkUInt8,
    )
    return sitk.GetArrayFromImage(moved) > 0


def _share_inside(region: DrawnRegion, target: Geometry) -> float:
    """Share of the region's voxel centres that lie inside the target's volume."""
    index = target.index_of(region.geometry.lps_of(np.argwhere(region.mask)))
    limits = np.asarray(target.shape) - 0.5
    return float(np.mean(np.all((index >= -0.5) & (index <= limits), axis=1)))
