"""The header of one DICOM file, parsed once: the elements the reader needs, and where the pixels lie.

pydicom's own parser walks the file, but the values of the few needed elements are decoded here: thousands of files
repeat the same bytes, so that decoding them once is several times faster than a pydicom Dataset per file.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pydicom
from pydicom.filereader import data_element_generator

MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"
ENHANCED_MR = ("1.2.840.10008.5.1.4.1.1.4.1", "1.2.840.10008.5.1.4.1.1.4.4")

IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"
NATIVE_SYNTAXES = (IMPLICIT_LITTLE, EXPLICIT_LITTLE, EXPLICIT_BIG)
# Native too, but the data set is compressed as a whole, so that its pixels have no place in the file.
DEFLATED = "1.2.840.10008.1.2.1.99"

_TEXT_TAGS = {
    "ImageType": 0x00080008,
    "SOPClassUID": 0x00080016,
    "SOPInstanceUID": 0x00080018,
    "StudyDate": 0x00080020,
    "SeriesDate": 0x00080021,
    "AcquisitionDate": 0x00080022,
    "ContentDate": 0x00080023,
    "AcquisitionDateTime": 0x0008002A,
    "SeriesTime": 0x00080031,
    "AcquisitionTime": 0x00080032,
    "ContentTime": 0x00080033,
    "SliceThickness": 0x00180050,
    "RepetitionTime": 0x00180080,
    "EchoTime": 0x00180081,
    "TriggerTime": 0x00181060,
    "FlipAngle": 0x00181314,
    "StudyInstanceUID": 0x0020000D,
    "SeriesInstanceUID": 0x0020000E,
    "AcquisitionNumber": 0x00200012,
    "InstanceNumber": 0x00200013,
    "ImagePositionPatient": 0x00200032,
    "ImageOrientationPatient": 0x00200037,
    "TemporalPositionIdentifier": 0x00200100,
    "NumberOfFrames": 0x00280008,
    "PixelSpacing": 0x00280030,
    "RescaleIntercept": 0x00281052,
    "RescaleSlope": 0x00281053,
    # GE's private b-value; text ("800\\8\\0\\0") in every release seen.
    "GeBValue": 0x00431039,
}
_SHORT_TAGS = {
    "SamplesPerPixel": 0x00280002,
    "Rows": 0x00280010,
    "Columns": 0x00280011,
    "BitsAllocated": 0x00280100,
    "BitsStored": 0x00280101,
    "HighBit": 0x00280102,
    "PixelRepresentation": 0x00280103,
}
_B_VALUE_TAG = 0x00189087  # double
_NEEDED = frozenset((*_TEXT_TAGS.values(), *_SHORT_TAGS.values(), _B_VALUE_TAG))
_LAST_NEEDED = max(_NEEDED)
_FIRST_PIXEL_TAG = 0x7FE00008
_TRANSFER_SYNTAX = 0x00020010
_PREAMBLE_BYTES = 132
_BUFFER_BYTES = 16384


class DamagedHeader(Exception):
    """The file looks like DICOM but its header cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class StoredPixels:
    """How pixel values lie in a file.

    offset: of the first byte of native pixel data, None where pydicom has to decode them; n_bytes: their length as
    the header states it; bits: allocated, stored and highest bit.
    """

    syntax: str
    offset: int | None
    n_bytes: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    little_endian: bool = True

    @property
    def dtype(self) -> str:
        return f"{'<' if self.little_endian else '>'}{'i' if self.signed else 'u'}{self.bits_allocated // 8}"


class FileHeader:
    """The needed elements of one file by keyword (those of DICOM, and GeBValue)."""

    __slots__ = ("_elements", "little_endian", "path", "pixel_place", "syntax")

    def __init__(self, path: Path, elements: dict, syntax: str, pixel_place: tuple[int | None, int] | None) -> None:
        self.path = path
        self._elements = elements
        self.syntax = syntax
        self.little_endian = syntax != EXPLICIT_BIG
        self.pixel_place = pixel_place

    def texts(self, keyword: str) -> tuple[str, ...]:
        """The values of a text element, () when it is absent or empty."""
        value = self._elements.get(_TEXT_TAGS[keyword])
        return _split_text(value) if value else ()

    def text(self, keyword: str) -> str:
        values = self.texts(keyword)
        return values[0] if values else ""

    def number(self, keyword: str) -> float | None:
        """The first value of a decimal or integer string; None when absent or not a finite number."""
        value = self._elements.get(_TEXT_TAGS[keyword])
        numbers = _text_numbers(value) if value else None
        return numbers[0] if numbers else None

    def numbers(self, keyword: str, count: int) -> tuple[float, ...]:
        """``count`` finite numbers. Raises ValueError when there are others or fewer."""
        value = self._elements.get(_TEXT_TAGS[keyword])
        numbers = _text_numbers(value) if value else None
        if numbers is None or len(numbers) != count:
            raise ValueError(f"{keyword} is missing or not {count} numbers")
        return numbers

    def short(self, keyword: str, default: int | None = None) -> int:
        """An unsigned short. Raises ValueError when it is absent and there is no default."""
        value = self._elements.get(_SHORT_TAGS[keyword])
        if value and len(value) >= 2:
            return int.from_bytes(value[:2], "little" if self.little_endian else "big")
        if default is None:
            raise ValueError(f"{keyword} is missing")
        return default

    def b_value(self) -> float | None:
        """Diffusion weighting in s/mm2, from the standard tag or GE's."""
        value = self._elements.get(_B_VALUE_TAG)
        if value and len(value) == 8:
            return struct.unpack("<d" if self.little_endian else ">d", value)[0]
        value = self.number("GeBValue")
        # GE adds 10^9 to a b-value that it wants told apart.
        return None if value is None else value % 1e9

    def stored_pixels(self) -> StoredPixels:
        """Raises ValueError when the file holds no pixels or not one gray value per pixel."""
        if self.pixel_place is None:
            raise ValueError("the pixels are missing")
        if self.short("SamplesPerPixel", 1) != 1:
            raise ValueError("color instead of gray pixels")
        allocated = self.short("BitsAllocated")
        stored = self.short("BitsStored", allocated)
        offset, n_bytes = self.pixel_place
        if allocated not in (8, 16, 32) or not 0 < stored <= allocated:
            raise ValueError(f"{stored} of {allocated} bits per pixel")
        return StoredPixels(
            syntax=self.syntax,
            offset=offset if self.syntax in NATIVE_SYNTAXES else None,
            n_bytes=n_bytes,
            bits_allocated=allocated,
            bits_stored=stored,
            high_bit=self.short("HighBit", stored - 1),
            signed=self.short("PixelRepresentation", 0) == 1,
            little_endian=self.little_endian,
        )


def read_header(path: Path) -> FileHeader | None:
    """The header of a DICOM file (Part 10, or a bare data set without preamble), None for any other file.

    Raises DamagedHeader when it is DICOM but ends early or cannot be parsed.
    """
    try:
        with open(path, "rb", buffering=_BUFFER_BYTES) as file:
            start = file.read(_PREAMBLE_BYTES)
            if start[128:] != b"DICM":
                return _bare_data_set(path, start)
            return _part_10(path, file)
    except DamagedHeader:
        raise
    except Exception as error:  # a file cut off in its header fails in whatever element it was cut
        raise DamagedHeader(f"damaged in its header ({type(error).__name__})") from error


def _part_10(path: Path, file) -> FileHeader:
    syntax = ""
    for element in data_element_generator(file, False, True, _after_meta, specific_tags=[_TRANSFER_SYNTAX]):
        if element.tag == _TRANSFER_SYNTAX:
            syntax = _split_text(element.value or b"")[0]
    if not syntax or syntax == DEFLATED:
        return _by_pydicom(path)
    implicit, little = syntax == IMPLICIT_LITTLE, syntax != EXPLICIT_BIG
    elements = _values(data_element_generator(file, implicit, little, _after_needed, specific_tags=_NEEDED))
    header = FileHeader(path, elements, syntax, None)
    if header.text("SOPClassUID") == MR_IMAGE:
        header.pixel_place = _pixel_place(file, implicit, little)
    return header


def _bare_data_set(path: Path, start: bytes) -> FileHeader | None:
    """A data set written without preamble starts with group 2 or 8; anything else is not DICOM."""
    if start[:2] not in (b"\x02\x00", b"\x08\x00") or len(start) < _PREAMBLE_BYTES or start[3:4] != b"\x00":
        return None
    try:
        return _by_pydicom(path, force=True)
    except Exception:  # whatever else starts with these two bytes
        return None


def _by_pydicom(path: Path, force: bool = False) -> FileHeader:
    """The header by pydicom itself, for the rare encodings whose pixels have no place of their own in the file."""
    dataset = pydicom.dcmread(path, force=force, defer_size=_BUFFER_BYTES)
    syntax = str(getattr(dataset, "file_meta", {}).get("TransferSyntaxUID", "")) or IMPLICIT_LITTLE
    elements = _values(dataset.get_item(tag) for tag in _NEEDED if tag in dataset)
    if _TEXT_TAGS["SOPClassUID"] not in elements:
        raise DamagedHeader("without an SOP class")
    return FileHeader(path, elements, syntax, (None, 0) if "PixelData" in dataset else None)


def _values(elements) -> dict[int, bytes]:
    return {int(e.tag): e.value for e in elements if isinstance(e.value, bytes)}


def _pixel_place(file, implicit: bool, little: bool) -> tuple[int, int] | None:
    """Offset and length of the pixel data, None when the file ends before them."""
    for _ in data_element_generator(file, implicit, little, _at_pixels, specific_tags=[_TRANSFER_SYNTAX]):
        pass
    head = file.read(8 if implicit else 12)
    if len(head) < (8 if implicit else 12):
        return None
    group, _element = struct.unpack("<HH" if little else ">HH", head[:4])
    (length,) = struct.unpack("<L" if little else ">L", head[-4:])
    return (file.tell(), length) if group == 0x7FE0 else None


def _after_meta(tag: int, _vr, _length) -> bool:
    return tag >> 16 != 2


def _after_needed(tag: int, _vr, _length) -> bool:
    # pydicom's tags compare slowly by themselves: they first try to make a tag of the other number.
    return int.__gt__(tag, _LAST_NEEDED)


def _at_pixels(tag: int, _vr, _length) -> bool:
    return int.__ge__(tag, _FIRST_PIXEL_TAG)


@lru_cache(maxsize=4096)
def _split_text(value: bytes) -> tuple[str, ...]:
    return tuple(part.strip(" \0") for part in value.decode("latin-1").split("\\"))


@lru_cache(maxsize=4096)
def _text_numbers(value: bytes) -> tuple[float, ...] | None:
    try:
        numbers = tuple(float(part) for part in _split_text(value))
    except ValueError:
        return None
    return numbers if all(math.isfinite(n) for n in numbers) else None
