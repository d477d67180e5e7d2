"""Frames of the JPEG family that pydicom has no decoder for, decoded by the GDCM inside SimpleITK.

Archives often hold JPEG Lossless, for which pydicom's only plugins are under the GPL or not bundled with Slicer.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate

from .dicom_header import MR_IMAGE

SYNTAXES = frozenset((
    "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91",
))  # fmt: skip
_KEPT = (
    *("Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
)
# Slicer 5.10 brings pydicom 2.
_NEW_PYDICOM = int(pydicom.__version__.split(".")[0]) >= 3
_AS_FILE = {"enforce_file_format": True} if _NEW_PYDICOM else {"write_like_original": False}


def decoded_frames(path: Path, indices: list[int]) -> Iterator[np.ndarray]:
    """Stored values (rows, columns) of frames of one file, without rescaling.

    Raises whatever pydicom or SimpleITK find wrong with the file.
    """
    dataset = pydicom.dcmread(path)
    coded = _coded_frames(dataset)
    with tempfile.TemporaryDirectory() as folder:
        for index in indices:
            copy = Path(folder) / "frame.dcm"
            _one_frame(dataset, coded[index]).save_as(copy, **_AS_FILE)
            yield sitk.GetArrayFromImage(sitk.ReadImage(str(copy), imageIO="GDCMImageIO"))[0]


def _coded_frames(dataset: Dataset) -> list[bytes]:
    n_frames = int(dataset.get("NumberOfFrames", 1) or 1)
    if _NEW_PYDICOM:
        from pydicom.encaps import generate_frames

        return list(generate_frames(dataset.PixelData, number_of_frames=n_frames))
    from pydicom.encaps import generate_pixel_data

    return [b"".join(parts) for parts in generate_pixel_data(dataset.PixelData, n_frames)]


def _one_frame(dataset: Dataset, coded: bytes) -> Dataset:
    """A file of one frame that says nothing of rescaling or place, so that only values come out of it."""
    one = Dataset()
    one.file_meta = FileMetaDataset()
    one.file_meta.TransferSyntaxUID = dataset.file_meta.TransferSyntaxUID
    one.file_meta.MediaStorageSOPClassUID = one.SOPClassUID = MR_IMAGE
    one.file_meta.MediaStorageSOPInstanceUID = one.SOPInstanceUID = pydicom.uid.generate_uid()
    for keyword in _KEPT:
        if keyword in dataset:
            setattr(one, keyword, dataset[keyword].value)
    one.PixelData = encapsulate([coded])
    one["PixelData"].VR = "OB"
    one["PixelData"].is_undefined_length = True
    if not _NEW_PYDICOM:
        one.is_little_endian, one.is_implicit_VR = True, False
    return one
