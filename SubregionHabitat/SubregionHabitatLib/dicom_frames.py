"""DICOM headers as one small record per image frame, the same for classic and enhanced multi-frame MR."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom

from .dicom_header import (
    ENHANCED_MR,
    MR_IMAGE,
    NATIVE_SYNTAXES,
    DamagedHeader,
    FileHeader,
    StoredPixels,
    read_header,
)
from .errors import InputError
from .progress import Progress, Silent
from .timing import DAY_S, day_number, seconds_of_datetime, seconds_of_day

__all__ = ["ENHANCED_MR", "MR_IMAGE", "FolderScan", "Frame", "SeriesHeader", "scan_folder"]

_SERIES_TAGS = [
    *("SOPClassUID", "SeriesNumber", "SeriesDescription", "Modality", "ImageType", "ScanningSequence"),
    *("Manufacturer", "MagneticFieldStrength", "TemporalResolution", "AcquisitionDuration"),
    *("PatientAge", "PatientName", "PatientID", "SpecificCharacterSet"),
]
_GE_DURATION_US = (0x0019, 0x105A)
# Names that are written for every folder of files and never hold an image.
_INDEX_FILES = ("DICOMDIR",)


@dataclass(frozen=True, slots=True)
class Frame:
    """One image plane. position, row, column: LPS mm and unit vectors; spacing_mm: (between rows, columns).

    clocks: tag keyword -> seconds (absolute where the date is known); order: keyword -> number that may tell
    phases apart; slope, intercept: stored value to signal.
    """

    path: Path
    index: int
    study_uid: str
    series_uid: str
    sop_class: str
    sop_uid: str
    rows: int
    columns: int
    spacing_mm: tuple[float, float]
    thickness_mm: float
    position: tuple[float, float, float]
    row: tuple[float, float, float]
    column: tuple[float, float, float]
    image_type: tuple[str, ...]
    clocks: dict[str, float]
    order: dict[str, float]
    echo_time: float | None
    repetition_time: float | None
    flip_angle: float | None
    b_value: float | None
    slope: float
    intercept: float
    pixels: StoredPixels


@dataclass(frozen=True)
class SeriesHeader:
    """What one series says of itself; identity is kept apart and goes nowhere unless asked for."""

    number: str
    description: str
    modality: str
    sop_class: str
    image_type: tuple[str, ...]
    scanning_sequence: str
    manufacturer: str
    field_strength_t: float | None
    temporal_resolution_s: float | None
    patient_age_years: float | None
    identity: dict


@dataclass(frozen=True)
class FolderScan:
    """All frames below a folder by series, plus the files that look like DICOM but could not be read."""

    frames: dict[str, list[Frame]]
    headers: dict[str, SeriesHeader]
    damaged: dict[Path, str]
    n_files: int
    n_duplicates: int


def scan_folder(folder: Path, progress: Progress | None = None) -> FolderScan:
    """Read the headers of every DICOM file below ``folder``; pixels are not read."""
    progress = progress or Silent()
    frames: dict[str, list[Frame]] = {}
    headers: dict[str, SeriesHeader] = {}
    damaged: dict[Path, str] = {}
    seen: set[tuple[str, int]] = set()
    n_duplicates = 0
    paths = _files_below(folder)
    for done, path in enumerate(paths):
        if done % 64 == 0:
            progress.step(done / len(paths), "reading DICOM headers")
        try:
            header = read_header(path)
        except DamagedHeader as error:
            damaged[path] = str(error)
            continue
        if header is None:
            if path.suffix.lower() in (".dcm", ".ima"):
                damaged[path] = "not readable as DICOM"
            continue
        sop_class, series = header.text("SOPClassUID"), header.text("SeriesInstanceUID")
        if not sop_class or not series:
            if path.name.upper() not in _INDEX_FILES:
                damaged[path] = "cut off in its header"
            continue
        try:
            if series not in headers:
                headers[series] = _series_header(path)
            found = list(_frames_of(header, sop_class, series))
        except Exception as error:  # missing or malformed geometry, in whatever element
            if sop_class in (MR_IMAGE, *ENHANCED_MR):
                damaged[path] = f"not usable ({_reason(error)})"
            continue
        fresh = [f for f in found if (f.sop_uid, f.index) not in seen]
        n_duplicates += len(found) - len(fresh)
        seen.update((f.sop_uid, f.index) for f in fresh)
        frames.setdefault(series, []).extend(fresh)
    return FolderScan(frames, headers, damaged, len(paths), n_duplicates)


def _files_below(folder: Path) -> list[Path]:
    """All files in order of path, found without a look at each one's status; links to folders are not followed."""
    found, waiting = [], [folder]
    while waiting:
        parent = waiting.pop()
        try:
            entries = list(os.scandir(parent))
        except OSError as error:
            raise InputError(
                f"The folder {parent.name} cannot be read ({error.strerror}); check its rights."
            ) from error
        waiting += [Path(e.path) for e in entries if e.is_dir(follow_symlinks=False)]
        found += [Path(e.path) for e in entries if e.is_file()]
    return sorted(found)


def _series_header(path: Path) -> SeriesHeader:
    ds = pydicom.dcmread(
        path, stop_before_pixels=True, force=True, specific_tags=[*_SERIES_TAGS, _GE_DURATION_US]
    )  # fmt: skip
    field = _number(ds.get("MagneticFieldStrength"))
    if field is not None and field > 100:  # written in gauss by older scanners
        field /= 10000.0
    return SeriesHeader(
        number=str(ds.get("SeriesNumber", "") or ""),
        description=str(ds.get("SeriesDescription", "") or ""),
        modality=str(ds.get("Modality", "") or ""),
        sop_class=str(ds.SOPClassUID),
        image_type=tuple(str(v).upper() for v in (ds.get("ImageType") or [])),
        scanning_sequence=_joined(ds.get("ScanningSequence")),
        manufacturer=str(ds.get("Manufacturer", "") or ""),
        field_strength_t=field,
        temporal_resolution_s=_resolution_s(ds),
        patient_age_years=_age_years(ds.get("PatientAge")),
        identity={"PatientName": str(ds.get("PatientName", "") or ""), "PatientID": str(ds.get("PatientID", "") or "")},
    )


def _frames_of(header: FileHeader, sop_class: str, series: str) -> Iterator[Frame]:
    if sop_class in ENHANCED_MR:
        yield from _enhanced_frames(header.path, header.syntax, series)
    elif sop_class == MR_IMAGE:
        yield _classic_frame(header, series)


# ---- classic: one frame per file ---------------------------------------------------------------------------------
_ORDER_TAGS = ("TemporalPositionIdentifier", "AcquisitionNumber", "InstanceNumber")


def _classic_frame(header: FileHeader, series: str) -> Frame:
    if (header.number("NumberOfFrames") or 1) != 1:
        raise ValueError("several frames in a single-frame MR image")
    cosines = header.numbers("ImageOrientationPatient", 6)
    spacing = header.numbers("PixelSpacing", 2)
    if min(spacing) <= 0:
        raise ValueError("PixelSpacing is not positive")
    slope = header.number("RescaleSlope")
    return Frame(
        path=header.path,
        index=0,
        study_uid=header.text("StudyInstanceUID"),
        series_uid=series,
        sop_class=MR_IMAGE,
        sop_uid=header.text("SOPInstanceUID") or header.path.name,
        rows=header.short("Rows"),
        columns=header.short("Columns"),
        spacing_mm=spacing,
        thickness_mm=header.number("SliceThickness") or 1.0,
        position=header.numbers("ImagePositionPatient", 3),
        row=cosines[:3],
        column=cosines[3:],
        image_type=header.texts("ImageType"),
        clocks=_classic_clocks(header),
        order={k: v for k in _ORDER_TAGS if (v := header.number(k)) is not None},
        echo_time=header.number("EchoTime"),
        repetition_time=header.number("RepetitionTime"),
        flip_angle=header.number("FlipAngle"),
        b_value=header.b_value(),
        slope=1.0 if slope is None else slope,
        intercept=header.number("RescaleIntercept") or 0.0,
        pixels=header.stored_pixels(),
    )


def _classic_clocks(header: FileHeader) -> dict[str, float]:
    day = header.text("SeriesDate") or header.text("StudyDate")
    trigger = header.number("TriggerTime")
    clocks = {
        "ContentTime": _own_or_series_clock(header, "ContentDate", "ContentTime", day),
        "AcquisitionTime": _own_or_series_clock(header, "AcquisitionDate", "AcquisitionTime", day),
        "AcquisitionDateTime": seconds_of_datetime(header.text("AcquisitionDateTime")),
        "TriggerTime": None if trigger is None else trigger / 1000.0,
        "SeriesTime": _clock(day, header.text("SeriesTime")),
    }
    return {k: v for k, v in clocks.items() if v is not None}


def _own_or_series_clock(header: FileHeader, date: str, time: str, day: str) -> float | None:
    """A clock with its own date or, without one, that of its series or study."""
    own = header.text(date)
    clock = _clock(own or day, header.text(time))
    began = None if own or not header.text("SeriesDate") else _clock(day, header.text("SeriesTime"))
    # An image that seems half a day older than its series was acquired on the next day.
    return clock + DAY_S if None not in (clock, began) and clock < began - DAY_S / 2 else clock


# ---- enhanced: many frames per file ------------------------------------------------------------------------------
def _enhanced_frames(path: Path, syntax: str, series: str) -> Iterator[Frame]:
    with open(path, "rb") as file:
        ds = pydicom.dcmread(file, stop_before_pixels=True, force=True)
        place = _enhanced_pixel_place(file, syntax)
    pixels = _enhanced_pixels(ds, syntax, place)
    shared = ds.get("SharedFunctionalGroupsSequence", [None])[0]
    for index, group in enumerate(ds.PerFrameFunctionalGroupsSequence):
        yield _enhanced_frame(path, index, ds, series, _Groups(group, shared), pixels)


def _enhanced_pixel_place(file, syntax: str) -> tuple[int, int] | None:
    """Offset and length of native pixel data behind the header that pydicom has just read."""
    if syntax not in NATIVE_SYNTAXES:
        return None
    implicit, order = syntax == "1.2.840.10008.1.2", "big" if syntax.endswith("1.2.2") else "little"
    head = file.read(8 if implicit else 12)
    if len(head) < 8 or int.from_bytes(head[:2], order) != 0x7FE0:
        return None
    return file.tell(), int.from_bytes(head[-4:], order)


def _enhanced_pixels(ds: pydicom.Dataset, syntax: str, place: tuple[int, int] | None) -> StoredPixels:
    if int(ds.get("SamplesPerPixel", 1)) != 1:
        raise ValueError("color instead of gray pixels")
    allocated = int(ds.BitsAllocated)
    stored = int(ds.get("BitsStored", allocated))
    offset, n_bytes = place or (None, 0)
    return StoredPixels(
        syntax=syntax,
        offset=offset,
        n_bytes=n_bytes,
        bits_allocated=allocated,
        bits_stored=stored,
        high_bit=int(ds.get("HighBit", stored - 1)),
        signed=int(ds.get("PixelRepresentation", 0)) == 1,
        little_endian=not syntax.endswith("1.2.2"),
    )


class _Groups:
    """The functional groups of one frame, its own before those that all frames share.

    Legacy converted images keep the attributes of the classic image in two "unassigned" groups.
    """

    def __init__(self, own: pydicom.Dataset, shared: pydicom.Dataset | None) -> None:
        self._owners = [g for g in (own, shared) if g is not None]
        self._unassigned = [
            self.item(f"Unassigned{which}ConvertedAttributesSequence") for which in ("PerFrame", "Shared")
        ]

    def item(self, name: str) -> pydicom.Dataset:
        for owner in self._owners:
            if name in owner and owner[name].value:
                return owner[name].value[0]
        return pydicom.Dataset()

    def converted(self, keyword: str, ds: pydicom.Dataset):
        """A classic attribute, of the frame or of the whole file."""
        for owner in (*self._unassigned, ds):
            if owner.get(keyword) not in (None, ""):
                return owner.get(keyword)
        return None


def _enhanced_frame(path, index, ds, series, groups: _Groups, pixels: StoredPixels) -> Frame:
    cosines = [float(v) for v in groups.item("PlaneOrientationSequence").ImageOrientationPatient]
    position = tuple(float(v) for v in groups.item("PlanePositionSequence").ImagePositionPatient)
    measures = groups.item("PixelMeasuresSequence")
    spacing = tuple(float(v) for v in measures.PixelSpacing)
    if len(cosines) != 6 or not np.isfinite([*cosines, *position, *spacing]).all() or min(spacing) <= 0:
        raise ValueError("position, orientation or pixel spacing is not usable")
    rescale = groups.item("PixelValueTransformationSequence") or ds
    slope = _number(rescale.get("RescaleSlope"))
    frame_type = groups.item("MRImageFrameTypeSequence").get("FrameType") or ds.get("ImageType") or []
    timing = groups.item("MRTimingAndRelatedParametersSequence")
    echo_time = groups.item("MREchoSequence").get("EffectiveEchoTime")
    return Frame(
        path=path,
        index=index,
        study_uid=str(ds.get("StudyInstanceUID", "")),
        series_uid=series,
        sop_class=str(ds.SOPClassUID),
        sop_uid=str(ds.get("SOPInstanceUID", path.name)),
        rows=int(ds.Rows),
        columns=int(ds.Columns),
        spacing_mm=spacing,
        thickness_mm=_number(measures.get("SliceThickness")) or 1.0,
        position=position,
        row=tuple(cosines[:3]),
        column=tuple(cosines[3:]),
        image_type=tuple(str(v) for v in frame_type),
        clocks=_enhanced_clocks(ds, groups),
        order=_enhanced_order(ds, groups, index),
        echo_time=_number(echo_time if echo_time is not None else groups.converted("EchoTime", ds)),
        repetition_time=_number(timing.get("RepetitionTime") or groups.converted("RepetitionTime", ds)),
        flip_angle=_number(timing.get("FlipAngle") or groups.converted("FlipAngle", ds)),
        b_value=_number(groups.item("MRDiffusionSequence").get("DiffusionBValue")),
        slope=1.0 if slope is None else slope,
        intercept=_number(rescale.get("RescaleIntercept")) or 0.0,
        pixels=pixels,
    )


def _enhanced_clocks(ds: pydicom.Dataset, groups: _Groups) -> dict[str, float]:
    content = groups.item("FrameContentSequence")
    trigger = _number(groups.item("CardiacSynchronizationSequence").get("NominalCardiacTriggerDelayTime"))
    if trigger is None:
        trigger = _number(groups.converted("TriggerTime", ds))
    series_day = groups.converted("SeriesDate", ds) or ds.get("StudyDate")
    offset = groups.item("TemporalPositionSequence").get("TemporalPositionTimeOffset")
    clocks = {
        "FrameAcquisitionDateTime": seconds_of_datetime(content.get("FrameAcquisitionDateTime")),
        "FrameReferenceDateTime": seconds_of_datetime(content.get("FrameReferenceDateTime")),
        "TemporalPositionTimeOffset": _number(offset),
        "TriggerTime": None if trigger is None else trigger / 1000.0,
        "AcquisitionDateTime": seconds_of_datetime(groups.converted("AcquisitionDateTime", ds)),
        "SeriesTime": _clock(series_day, groups.converted("SeriesTime", ds)),
    }
    for keyword, date in (("ContentTime", "ContentDate"), ("AcquisitionTime", "AcquisitionDate")):
        clocks[keyword] = _clock(groups.converted(date, ds) or series_day, groups.converted(keyword, ds))
    return {k: v for k, v in clocks.items() if v is not None}


def _enhanced_order(ds: pydicom.Dataset, groups: _Groups, index: int) -> dict[str, float]:
    content = groups.item("FrameContentSequence")
    numbers = {
        "TemporalPositionIdentifier": content.get("TemporalPositionIndex"),
        "AcquisitionNumber": content.get("FrameAcquisitionNumber"),
    }
    for keyword, value in numbers.items():
        numbers[keyword] = _number(value if value is not None else groups.converted(keyword, ds))
    # Frames of one file follow each other; files follow their own instance numbers.
    numbers["InstanceNumber"] = (_number(ds.get("InstanceNumber")) or 0.0) * 1e6 + index + 1
    return {k: v for k, v in numbers.items() if v is not None}


# ---- values ------------------------------------------------------------------------------------------------------
def _clock(date, time) -> float | None:
    seconds = seconds_of_day(time)
    if seconds is None:
        return None
    day = day_number(date)
    return seconds if day is None else day * DAY_S + seconds


def _number(value) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(number) else None


def _joined(value) -> str:
    """A value of one or several parts as text."""
    if value is None or isinstance(value, str):
        return value or ""
    return " ".join(str(v) for v in value)


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:140]


def _resolution_s(ds: pydicom.Dataset) -> float | None:
    duration = _number(ds.get("AcquisitionDuration"))
    milliseconds = _number(ds.get("TemporalResolution"))
    microseconds = _number(_ge_duration(ds))
    for value in (duration, milliseconds and milliseconds / 1e3, microseconds and microseconds / 1e6):
        if value and value > 0:
            return float(value)
    return None


def _ge_duration(ds: pydicom.Dataset):
    """GE's private acquisition duration in microseconds; a float that archives without GE's dictionary pass on raw."""
    element = ds.get(_GE_DURATION_US)
    if element is None or not str(ds.get("Manufacturer", "")).upper().startswith("GE"):
        return None
    if isinstance(element.value, bytes) and len(element.value) == 4:
        return float(np.frombuffer(element.value, dtype="<f4")[0])
    return element.value


def _age_years(text) -> float | None:
    text = str(text or "").strip().upper()
    if len(text) < 2 or not text[:-1].isdigit():
        return None
    per_year = {"Y": 1.0, "M": 12.0, "W": 52.18, "D": 365.25}.get(text[-1])
    return int(text[:-1]) / per_year if per_year else None
