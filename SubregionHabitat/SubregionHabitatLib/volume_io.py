"""NRRD and NIfTI volumes to and from arrays, with their geometry."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from .errors import InputError
from .geometry import Geometry

VOLUME_SUFFIXES = (".nrrd", ".nhdr", ".nii", ".nii.gz", ".mha", ".mhd")


def is_volume_file(path: Path) -> bool:
    return path.is_file() and path.name.lower().endswith(VOLUME_SUFFIXES)


def read_volume(path: Path) -> tuple[np.ndarray, Geometry]:
    """The (Z, Y, X) array and geometry of a 3-D scalar image file.

    Raises InputError when the file cannot be read or is not a 3-D scalar image.
    """
    image = read_image(path)
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        raise InputError(
            f"{path.name} has {image.GetDimension()} dimensions and {image.GetNumberOfComponentsPerPixel()} values per "
            "voxel; a 3-D image with one value per voxel is needed."
        )
    return sitk.GetArrayFromImage(image), geometry_of(image)


def read_image(path: Path) -> sitk.Image:
    """The image of a file, of any dimension. Raises InputError when it cannot be read."""
    try:
        return sitk.ReadImage(str(path))
    except RuntimeError as error:
        raise InputError(
            f"{path.name} cannot be read as an image ({_first_line(error)}); check that the file is complete."
        ) from error


def write_volume(path: Path, array: np.ndarray, geometry: Geometry, metadata: dict[str, str] | None = None) -> None:
    """Write a (Z, Y, X) array as NRRD (compressed), with optional text fields in its header."""
    image = to_sitk(array, geometry)
    for key, value in (metadata or {}).items():
        image.SetMetaData(key, value)
    sitk.WriteImage(image, str(path), useCompression=True, compressionLevel=1)


def geometry_of(image: sitk.Image) -> Geometry:
    return Geometry(
        shape=tuple(image.GetSize()[::-1]),
        spacing_mm=tuple(image.GetSpacing()),
        origin_mm=tuple(image.GetOrigin()),
        direction=tuple(image.GetDirection()),
    )


def to_sitk(array: np.ndarray, geometry: Geometry) -> sitk.Image:
    """A SimpleITK image of a (Z, Y, X) array; bool becomes uint8."""
    image = sitk.GetImageFromArray(array.astype(np.uint8) if array.dtype == bool else array)
    image.SetSpacing(geometry.spacing_mm)
    image.SetOrigin(geometry.origin_mm)
    image.SetDirection(geometry.direction)
    return image


def _first_line(error: Exception) -> str:
    """The last line of ITK's message, without the name and address of the object that raised it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return re.sub(r"^ITK ERROR: |\w+\(0x[0-9a-f]+\): ", "", lines[-1])[:160] if lines else "unknown reason"
