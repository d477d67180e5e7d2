"""DICOM headers as one small record per image frame, the same for classic and enhanced multi-frame MR."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from pydicom.errors import InvalidDicomError

from .timing import DAY_S, day_number, seconds_of_datetime, seconds_of_day

MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"
ENHANCED_MR = ("1.2.840.10008.5.1.4.1.1.4.1", "1.2.840.10008.5.1.4.1.1.4.4")

_TAGS = [
    *("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "SeriesNumber", "SeriesDescription"),
    *("Modality", "ImageType", "Rows", "Columns", "PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient"),
    *("SliceThickness", "AcquisitionNumber", "InstanceNumber", "TemporalPositionIdentifier", "TriggerTime"),
    *("ContentDate", "ContentTime", "AcquisitionDate", "AcquisitionTime", "AcquisitionDateTime", "SeriesDate"),
    *("SeriesTime", "StudyDate", "RepetitionTime", "EchoTime", "FlipAngle", "ScanningSequence", "DiffusionBValue"),
    *("Manufacturer", "MagneticFieldStrength", "TemporalResolution", "AcquisitionDuration"),
    *("PatientAge", "PatientName", "PatientID", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
]
_GE_DURATION_US = (0x0019, 0x105A)
_GE_B_VALUE = (0x0043, 0x1039)


@dataclass(frozen=True)
class Frame:
    """One image plane. position, row, column: LPS mm and unit vectors; spacing_mm: (between rows, columns).

    clocks: tag keyword -> seconds (absolute where the date is known); order: keyword -> number that may tell
    phases apart.
    """

    path: Path
    index: int
    study_uid: str
    series_uid: str
    sop_uid: str
    rows: int
    columns: int
    spacing_mm: tuple[float, float]
    thickness_mm: float
    position: tuple[float, float, float]
    row: tuple[float, float, float]
    column: tuple[float, float, float]
    clocks: dict[str, float]
    order: dict[str, float]
    echo_time: float | None
    repetition_time: float | None
    flip_angle: float | None
    b_value: float | None


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


def scan_folder(folder: Path) -> FolderScan:
    """Read the headers of every DICOM file below ``folder`` (pixels are not read)."""
    frames: dict[str, list[Frame]] = {}
    headers: dict[str, SeriesHeader] = {}
    damaged: dict[Path, str] = {}
    seen: set[tuple[str, int]] = set()
    n_files = n_duplicates = 0
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        n_files += 1
        try:
            dataset = pydicom.dcmread(
                path, stop_before_pixels=True, specific_tags=[*_TAGS, _GE_DURATION_US, _GE_B_VALUE]
            )
        except InvalidDicomError:
            if path.suffix.lower() in (".dcm", ".ima"):
                damaged[path] = "not readable as DICOM"
            continue
        except Exception as error:  # a file cut off in its header fails in whatever element it was cut
            damaged[path] = f"damaged header ({type(error).__name__})"
            continue
        if dataset.get("SOPClassUID") is None or dataset.get("SeriesInstanceUID") is None:
            if path.name.upper() != "DICOMDIR":
                damaged[path] = "header ends early"
            continue
        series = str(dataset.SeriesInstanceUID)
        headers.setdefault(series, _header(dataset))
        try:
            found = list(_frames_of(path, dataset))
        except Exception as error:  # missing or malformed geometry
            if str(dataset.SOPClassUID) in (MR_IMAGE, *ENHANCED_MR):
                damaged[path] = f"unusable header ({type(error).__name__}: {error})"
            continue
        fresh = [f for f in found if (f.sop_uid, f.index) not in seen]
        n_duplicates += len(found) - len(fresh)
        seen.update((f.sop_uid, f.index) for f in fresh)
        frames.setdefault(series, []).extend(fresh)
    return FolderScan(frames, headers, damaged, n_files, n_duplicates)


def _header(ds: pydicom.Dataset) -> SeriesHeader:
    field = _number(ds.get("MagneticFieldStrength"))
    if field is not None and field > 100:  # written in gauss by older scanners
        field /= 10000.0
    return SeriesHeader(
        number=str(ds.get("SeriesNumber", "") or ""),
        description=str(ds.get("SeriesDescription", "") or ""),
        modality=str(ds.get("Modality", "") or ""),
        sop_class=str(ds.SOPClassUID),
        image_type=tuple(str(v).upper() for v in (ds.get("ImageType") or [])),
        scanning_sequence=str(ds.get("ScanningSequence", "") or ""),
        manufacturer=str(ds.get("Manufacturer", "") or ""),
        field_strength_t=field,
        temporal_resolution_s=_resolution_s(ds),
        patient_age_years=_age_years(ds.get("PatientAge")),
        identity={"PatientName": str(ds.get("PatientName", "") or ""), "PatientID": str(ds.get("PatientID", "") or "")},
    )


def _frames_of(path: Path, ds: pydicom.Dataset) -> Iterator[Frame]:
    sop_class = str(ds.SOPClassUID)
    if sop_class in ENHANCED_MR:
        shared = ds.get("SharedFunctionalGroupsSequence", [None])[0]
        for index, group in enumerate(ds.PerFrameFunctionalGroupsSequence):
            yield _enhanced_frame(path, index, ds, shared, group)
    elif sop_class == MR_IMAGE:
        yield _classic_frame(path, ds)


def _classic_frame(path: Path, ds: pydicom.Dataset) -> Frame:
    clocks = {}
    for keyword, date in (("ContentTime", "ContentDate"), ("AcquisitionTime", "AcquisitionDate")):
        clocks[keyword] = _clock(ds.get(date) or ds.get("SeriesDate") or ds.get("StudyDate"), ds.get(keyword))
    clocks["AcquisitionDateTime"] = seconds_of_datetime(ds.get("AcquisitionDateTime"))
    trigger = _number(ds.get("TriggerTime"))
    clocks["TriggerTime"] = None if trigger is None else trigger / 1000.0
    clocks["SeriesTime"] = _clock(ds.get("SeriesDate") or ds.get("StudyDate"), ds.get("SeriesTime"))
    b_value = _number(ds.get("DiffusionBValue"))
    return _frame(path, 0, ds, ds, ds, ds, clocks, ds, b_value)


def _enhanced_frame(path, index, ds, shared, group) -> Frame:
    def item(name: str) -> pydicom.Dataset:
        for owner in (group, shared):
            if owner is not None and name in owner and len(owner[name].value):
                return owner[name].value[0]
        return pydicom.Dataset()

    content = item("FrameContentSequence")
    clocks = {k: seconds_of_datetime(content.get(k)) for k in ("FrameAcquisitionDateTime", "FrameReferenceDateTime")}
    clocks["ContentTime"] = _clock(ds.get("ContentDate"), ds.get("ContentTime"))
    clocks["AcquisitionDateTime"] = seconds_of_datetime(ds.get("AcquisitionDateTime"))
    trigger = _number(item("CardiacSynchronizationSequence").get("NominalCardiacTriggerDelayTime"))
    clocks["TriggerTime"] = None if trigger is None else trigger / 1000.0
    order = pydicom.Dataset()
    order.TemporalPositionIdentifier = content.get("TemporalPositionIndex")
    order.AcquisitionNumber = content.get("FrameAcquisitionNumber")
    order.InstanceNumber = index + 1
    timing = item("MRTimingAndRelatedParametersSequence")
    timing.EchoTime = item("MREchoSequence").get("EffectiveEchoTime")
    b_value = _number(item("MRDiffusionSequence").get("DiffusionBValue"))
    return _frame(
        path, index, ds, item("PlanePositionSequence"), item("PlaneOrientationSequence"),
        item("PixelMeasuresSequence"), clocks, order, b_value, timing,
    )  # fmt: skip


def _frame(path, index, ds, place, plane, measures, clocks, order, b_value, timing=None) -> Frame:
    timing = ds if timing is None else timing
    cosines = [float(v) for v in plane.ImageOrientationPatient]
    position = tuple(float(v) for v in place.ImagePositionPatient)
    spacing = tuple(float(v) for v in measures.PixelSpacing)
    if not np.isfinite([*cosines, *position, *spacing]).all() or min(spacing) <= 0:
        raise ValueError("position, orientation or pixel spacing is not usable")
    return Frame(
        path=path,
        index=index,
        study_uid=str(ds.get("StudyInstanceUID", "")),
        series_uid=str(ds.SeriesInstanceUID),
        sop_uid=str(ds.get("SOPInstanceUID", path.name)),
        rows=int(ds.Rows),
        columns=int(ds.Columns),
        spacing_mm=spacing,
        thickness_mm=_number(measures.get("SliceThickness")) or 1.0,
        position=position,
        row=tuple(cosines[:3]),
        column=tuple(cosines[3:]),
        clocks={k: v for k, v in clocks.items() if v is not None},
        order=_order_numbers(order),
        echo_time=_number(timing.get("EchoTime")),
        repetition_time=_number(timing.get("RepetitionTime")),
        flip_angle=_number(timing.get("FlipAngle")),
        b_value=b_value,
    )


def _order_numbers(ds: pydicom.Dataset) -> dict[str, float]:
    keywords = ("TemporalPositionIdentifier", "AcquisitionNumber", "InstanceNumber")
    numbers = {k: _number(ds.get(k)) for k in keywords}
    return {k: v for k, v in numbers.items() if v is not None}


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


def _resolution_s(ds: pydicom.Dataset) -> float | None:
    duration = _number(ds.get("AcquisitionDuration"))
    milliseconds = _number(ds.get("TemporalResolution"))
    ge = ds.get(_GE_DURATION_US)
    microseconds = _number(ge.value) if ge is not None else None
    for value in (duration, milliseconds and milliseconds / 1e3, microseconds and microseconds / 1e6):
        if value:
            return float(value)
    return None


def _age_years(text) -> float | None:
    text = str(text or "").strip().upper()
    if len(text) < 2 or not text[:-1].isdigit():
        return None
    per_year = {"Y": 1.0, "M": 12.0, "W": 52.18, "D": 365.25}.get(text[-1])
    return int(text[:-1]) / per_year if per_year else None
