"""Pixels of DICOM frames as signal: stored values, times slope plus intercept, one frame at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
from pydicom.misc import is_dicom

from . import dicom_gdcm
from .dicom_frames import Frame
from .dicom_header import DEFLATED, NATIVE_SYNTAXES, StoredPixels
from .errors import InputError

# A frame and the (rows, columns) float32 plane that takes its signal.
Placed = tuple[Frame, np.ndarray]


def fill_planes(path: Path, placed: list[Placed]) -> None:
    """Write the signal of frames of one file into their planes; no more than one frame is held besides.

    Raises InputError when the file is truncated, damaged or compressed in a way that cannot be decoded here.
    """
    stored = placed[0][0].pixels
    read = _native_frames if stored.offset is not None else _decoded_frames
    for (frame, plane), values in zip(placed, read(path, [f for f, _ in placed]), strict=True):
        if values.shape != plane.shape:
            raise InputError(f"{path.name} holds pixels of another size than its header says; restore the file.")
        plane[...] = _clean_bits(values, stored)
        if frame.slope != 1:
            plane *= np.float32(frame.slope)
        if frame.intercept:
            plane += np.float32(frame.intercept)


def _native_frames(path: Path, frames: list[Frame]) -> Iterator[np.ndarray]:
    """Frames read straight from where the header says they lie."""
    stored, rows, columns = frames[0].pixels, frames[0].rows, frames[0].columns
    n_bytes = rows * columns * stored.bits_allocated // 8
    with open(path, "rb", buffering=0) as file:
        for frame in frames:
            if (frame.index + 1) * n_bytes > stored.n_bytes:
                raise InputError(f"{path.name} holds fewer pixels than its header says; restore the file.")
            file.seek(stored.offset + frame.index * n_bytes)
            data = file.read(n_bytes)
            if len(data) < n_bytes:
                raise _unreadable(path, f"it ends {n_bytes - len(data)} bytes early")
            yield np.frombuffer(data, dtype=stored.dtype).reshape(rows, columns)


def _decoded_frames(path: Path, frames: list[Frame]) -> Iterator[np.ndarray]:
    """Frames that pydicom decodes, or else SimpleITK: compressed, deflated, or without preamble."""
    syntax = pydicom.uid.UID(frames[0].pixels.syntax)
    by_pydicom = syntax in (*NATIVE_SYNTAXES, DEFLATED) or _has_decoder(syntax)
    if not by_pydicom and syntax not in dicom_gdcm.SYNTAXES:
        raise InputError(
            f"{path.name} is compressed as {syntax.name}, which cannot be decoded here; decompress the series first "
            "(for example with gdcmconv --raw or dcmdjpeg), or install a pydicom decoder for it."
        )
    try:
        yield from (_pydicom_frames if by_pydicom else dicom_gdcm.decoded_frames)(path, [f.index for f in frames])
    except InputError:
        raise
    except Exception as error:  # truncated or damaged: whatever pydicom or the decoder found
        raise _unreadable(path, _first_line(error)) from error


def _pydicom_frames(path: Path, indices: list[int]) -> Iterator[np.ndarray]:
    """Decoded frames, one at a time where this pydicom can."""
    if len(indices) > 1 and int(pydicom.__version__.split(".")[0]) >= 3 and is_dicom(path):
        from pydicom.pixels import iter_pixels

        yield from iter_pixels(path, indices=indices)
        return
    dataset = pydicom.dcmread(path, force=True)
    if "TransferSyntaxUID" not in dataset.file_meta:  # a bare data set
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
    pixels = dataset.pixel_array
    pixels = pixels[None] if pixels.ndim == 2 else pixels
    for index in indices:
        if index >= len(pixels):
            raise InputError(f"{path.name} holds fewer pixels than its header says; restore the file.")
        yield pixels[index]


def _has_decoder(syntax: pydicom.uid.UID) -> bool:
    if int(pydicom.__version__.split(".")[0]) >= 3:
        from pydicom.pixels import get_decoder

        try:
            return get_decoder(syntax).is_available
        except (NotImplementedError, ValueError):  # a syntax that pydicom does not know, or no syntax at all
            return False
    handlers = pydicom.config.pixel_data_handlers
    return any(h.is_available() and h.supports_transfer_syntax(syntax) for h in handlers)


def _clean_bits(values: np.ndarray, stored: StoredPixels) -> np.ndarray:
    """Values without what older scanners put into the unused bits (overlays); signed values keep their sign."""
    unused = stored.bits_allocated - stored.bits_stored
    if not unused or values.dtype.kind not in "iu" or values.dtype.itemsize * 8 != stored.bits_allocated:
        return values
    # Decoders hand out values in the low bits; only native data can lie higher.
    shift = stored.bits_allocated - 1 - (stored.high_bit if stored.offset is not None else stored.bits_stored - 1)
    return (values << shift) >> unused


def _unreadable(path: Path, reason: str) -> InputError:
    return InputError(f"The pixels of {path.name} cannot be read ({reason}); the file may be truncated: restore it.")


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:140]
