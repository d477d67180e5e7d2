"""DICOM Segmentation objects (BINARY and FRACTIONAL) as regions on a grid of their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
from pydicom.errors import InvalidDicomError

from .errors import InputError
from .geometry import Geometry
from .masks import DrawnRegion

SEGMENTATION_STORAGE = "1.2.840.10008.5.1.4.1.1.66.4"
# A fractional voxel belongs to the region from half of the maximum fractional value on.
FRACTIONAL_CUT = 0.5
# A SEG that says this of itself was already cut at the FTV background threshold.
BACKGROUND_WORDS = ("background threshold", "background thresh", "thresholded background")


def find_dicom_seg(folder: Path) -> list[Path]:
    """The DICOM SEG files below ``folder``, in order of name."""
    found = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        try:
            header = pydicom.dcmread(path, specific_tags=["SOPClassUID"], stop_before_pixels=True)
        except (InvalidDicomError, OSError, EOFError):
            continue
        if str(header.get("SOPClassUID", "")) == SEGMENTATION_STORAGE:
            found.append(path)
    return found


def read_dicom_seg(path: Path, role: str = "mask") -> DrawnRegion:
    """All segments of a SEG file, taken together, on the regular grid spanned by its frames.

    Raises InputError when the file is not a readable SEG.
    """
    try:
        dataset = pydicom.dcmread(path)
    except (InvalidDicomError, OSError, EOFError) as error:
        raise InputError(
            f"The {role} {path.name} is neither a NRRD, NIfTI nor DICOM SEG file; give one of these."
        ) from error
    if str(dataset.get("SOPClassUID", "")) != SEGMENTATION_STORAGE:
        raise InputError(
            f"The {role} {path.name} is a DICOM file but not a segmentation; give a DICOM SEG, NRRD or NIfTI."
        )
    try:
        frames, fractional = _frames(dataset)
        mask, geometry = _stack(dataset, frames)
    except InputError:
        raise
    except Exception as error:  # a malformed file can fail in any attribute it lacks
        raise InputError(
            f"The {role} {path.name} is a damaged or unusual DICOM SEG ({type(error).__name__}: {error}); "
            "export it again."
        ) from error
    notes = []
    segments = [str(s.get("SegmentLabel", "?")) for s in dataset.get("SegmentSequence", [])]
    if len(segments) > 1:
        notes.append(f"The {role} {path.name} holds {len(segments)} segments; all of them were taken together.")
    if fractional:
        notes.append(f"The {role} {path.name} is fractional; voxels of at least {FRACTIONAL_CUT:.0%} were taken.")
    applied = _background_applied(dataset)
    if applied:
        notes.append(
            f"The {role} {path.name} says that a background threshold is already applied; it is not applied twice."
        )
    return DrawnRegion(mask, geometry, path.name, applied, tuple(notes))


def _frames(dataset: pydicom.Dataset) -> tuple[np.ndarray, bool]:
    """Frames as (N, rows, columns) bool, and whether they held fractions."""
    pixels = dataset.pixel_array
    pixels = pixels[None] if pixels.ndim == 2 else pixels
    if str(dataset.get("SegmentationType", "BINARY")).upper() != "FRACTIONAL":
        return pixels > 0, False
    highest = float(dataset.get("MaximumFractionalValue", 255))
    return pixels >= FRACTIONAL_CUT * highest, True


def _stack(dataset: pydicom.Dataset, frames: np.ndarray) -> tuple[np.ndarray, Geometry]:
    """Place the frames on a regular grid along their common normal; missing frames stay empty."""
    shared = dataset.get("SharedFunctionalGroupsSequence", [None])[0]
    groups = dataset.PerFrameFunctionalGroupsSequence
    orientation = _group(shared, groups[0], "PlaneOrientationSequence").ImageOrientationPatient
    measures = _group(shared, groups[0], "PixelMeasuresSequence")
    row, column = (np.asarray(orientation[i : i + 3], dtype=float) for i in (0, 3))
    normal = np.cross(row, column)
    positions = np.array([_group(shared, g, "PlanePositionSequence").ImagePositionPatient for g in groups], dtype=float)
    height = positions @ normal
    levels = np.unique(np.round(height, 3))
    spacing_z = float(measures.get("SpacingBetweenSlices") or measures.get("SliceThickness") or 1.0)
    if levels.size > 1:
        spacing_z = min(spacing_z, float(np.diff(levels).min()))
    slot = np.rint((height - height.min()) / spacing_z).astype(int)
    if np.abs(height - height.min() - slot * spacing_z).max() > 0.1 * spacing_z:
        raise InputError("The frames of the DICOM SEG are not evenly spaced; export it again.")
    mask = np.zeros((slot.max() + 1, *frames.shape[1:]), dtype=bool)
    np.logical_or.at(mask, slot, frames)
    geometry = Geometry(
        shape=mask.shape,
        spacing_mm=(float(measures.PixelSpacing[1]), float(measures.PixelSpacing[0]), spacing_z),
        origin_mm=tuple(float(v) for v in positions[int(np.argmin(height))]),
        direction=tuple(np.column_stack([row, column, normal]).ravel().tolist()),
    )
    return mask, geometry


def _group(shared: pydicom.Dataset | None, frame: pydicom.Dataset, name: str) -> pydicom.Dataset:
    """The first item of a functional group, of the frame itself or shared by all frames."""
    for owner in (frame, shared):
        if owner is not None and name in owner:
            return owner[name].value[0]
    raise InputError(f"The DICOM SEG lacks {name}; export it again.")


def _background_applied(dataset: pydicom.Dataset) -> bool:
    texts = [dataset.get(k, "") for k in ("DerivationDescription", "SeriesDescription", "ContentDescription")]
    texts += [s.get("SegmentDescription", "") for s in dataset.get("SegmentSequence", [])]
    joined = " ".join(str(t) for t in texts).lower()
    return any(words in joined for words in BACKGROUND_WORDS)
