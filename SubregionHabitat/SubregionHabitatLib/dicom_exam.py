"""A DICOM folder read into a DceExam: phases in order of time, with the tag each time came from."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pydicom

from .dicom_frames import FolderScan, scan_folder
from .dicom_phases import CLOCK_TAGS, ORDER_TAGS, DynamicSet, PhaseFrames, find_dynamic_set
from .errors import InputError
from .exam import DceExam, ExamSource, Timing, check_times
from .progress import Progress, Silent
from .timing import unwrap_midnight

# Clock readings that span less than this over an exam are reconstruction times, not acquisition times (UCSF: 59 s).
MIN_SPAN_S = 59.0
MIN_STEP_S = 1.5
AGREEMENT_S = 15.0


def read_dicom_exam(
    folder: str | Path,
    times_s: tuple[float, ...] | None = None,
    series: str | None = None,
    progress: Progress | None = None,
) -> DceExam:
    """Find and read the dynamic exam below ``folder``.

    times_s: phase times in seconds that override the headers; series: series numbers or UIDs to choose among.
    Raises InputError for whatever is missing or contradictory; the sentence names file or series.
    """
    folder = Path(folder)
    progress = progress or Silent()
    progress.step(0.0, "reading DICOM headers")
    scan = scan_folder(folder)
    if not scan.headers:
        what = "is empty" if scan.n_files == 0 else "holds no readable DICOM image"
        raise InputError(f"The exam folder {folder.name} {what}; give the folder with the exam's DICOM files.")
    chosen, left_out = find_dynamic_set(scan, series)
    _refuse_damaged(scan, chosen)
    phases, timing = order_phases(chosen, scan, times_s)
    times = _relative(phases, timing, times_s)
    progress.step(0.2, "reading images")
    signal = _read_signal(phases, chosen, progress)
    return DceExam(
        signal=signal,
        times_s=times,
        geometry=chosen.geometry,
        timing=timing,
        source=_source(chosen, scan, left_out, signal),
        slice_axis=0,
    )


def order_phases(
    chosen: DynamicSet, scan: FolderScan, times_s: tuple[float, ...] | None
) -> tuple[list[PhaseFrames], Timing]:
    """The phases in order of time, and where the times come from.

    The first usable clock of CLOCK_TAGS is taken: known for every phase, strictly rising, and spread over more than
    a minute. Raises InputError when there is none and the user gave no times.
    """
    known_order = _known_order(chosen)
    usable: dict[str, tuple[list[PhaseFrames], list[float]]] = {}
    for tag in CLOCK_TAGS:
        ordered = _order_by_clock(chosen, known_order, tag)
        if ordered:
            usable[tag] = ordered
    resolution = scan.headers[chosen.phases[-1].series_uid].temporal_resolution_s
    notes = [f"{scan.n_duplicates} duplicate images were ignored."] if scan.n_duplicates else []
    if times_s is not None:
        check_times(times_s, len(chosen.phases))
        order = next(iter(usable.values()))[0] if usable else known_order
        return order, Timing("user", "high", resolution, tuple(notes))
    if not usable:
        raise InputError(
            f"The {len(chosen.phases)} phases carry no usable acquisition times (ContentTime, TriggerTime and "
            "AcquisitionTime are missing, equal or not increasing); give them with --times T0,T1,... in seconds."
        )
    tag, (order, clock) = next(iter(usable.items()))
    others = {t: c for t, (o, c) in usable.items() if t != tag and o == order and t != "SeriesTime"}
    differing = [t for t, c in others.items() if not _agree(clock, c)]
    notes += [
        f"Phase times from {tag} and {t} differ by more than {AGREEMENT_S:g} s; {tag} was used." for t in differing
    ]
    confidence = "high" if others and not differing else "medium"
    if tag == "SeriesTime":
        confidence = "low"
        notes.append("Phase times come from SeriesTime, the only clock that differs between phases.")
    return order, Timing(tag, confidence, resolution, tuple(notes))


def _known_order(chosen: DynamicSet) -> list[PhaseFrames]:
    """Phases by the numbers that scanners give them; only a hint where several series are involved."""
    indexed = list(enumerate(chosen.phases))
    if len(chosen.series_uids) > 1:
        return [p for _, p in indexed]
    for tag in ORDER_TAGS:
        numbers = [p.number(tag) for p in chosen.phases]
        if np.isfinite(numbers).all() and len(set(numbers)) == len(numbers):
            return sorted(chosen.phases, key=lambda p, tag=tag: p.number(tag))
    return [p for _, p in indexed]


def _order_by_clock(
    chosen: DynamicSet, known_order: list[PhaseFrames], tag: str
) -> tuple[list[PhaseFrames], list[float]] | None:
    """Phases and seconds by one clock, or None when the clock is not usable."""
    clock = [p.clock(tag) for p in known_order]
    if any(c is None for c in clock):
        return None
    order = known_order
    numbered = len(chosen.series_uids) == 1 and _numbered(chosen)
    if numbered:
        seconds = unwrap_midnight(clock)
    else:
        by_clock = sorted(range(len(clock)), key=lambda i: clock[i])
        order, seconds = [known_order[i] for i in by_clock], [clock[i] for i in by_clock]
    steps = np.diff(seconds)
    if np.any(steps < MIN_STEP_S) or seconds[-1] - seconds[0] < MIN_SPAN_S:
        return None
    return order, seconds


def _numbered(chosen: DynamicSet) -> bool:
    return any(
        len({p.number(tag) for p in chosen.phases}) == len(chosen.phases)
        and all(np.isfinite(p.number(tag)) for p in chosen.phases)
        for tag in ORDER_TAGS
    )


def _agree(first: list[float], second: list[float]) -> bool:
    gaps = np.abs(np.diff(first) - np.diff(second))
    return bool(np.all(gaps <= AGREEMENT_S))


def _relative(phases: list[PhaseFrames], timing: Timing, times_s: tuple[float, ...] | None) -> tuple[float, ...]:
    if times_s is not None:
        return tuple(float(t) for t in times_s)
    clock = unwrap_midnight([p.clock(timing.source) for p in phases])
    return tuple(round(c - clock[0], 3) for c in clock)


def _refuse_damaged(scan: FolderScan, chosen: DynamicSet) -> None:
    """A damaged file beside the chosen series may be one of its slices, so it stops the run."""
    folders = {f.path.parent for p in chosen.phases for f in p.frames}
    for path, reason in scan.damaged.items():
        if path.parent in folders:
            raise InputError(f"The file {path.name} beside the dynamic series is {reason}; restore or remove it.")


def _read_signal(phases: list[PhaseFrames], chosen: DynamicSet, progress: Progress) -> np.ndarray:
    """Rescaled pixels (T, Z, Y, X) float32; each file is opened once."""
    signal = np.empty((len(phases), *chosen.geometry.shape), dtype=np.float32)
    by_file: dict[Path, list[tuple[int, int, int]]] = {}
    for t, phase in enumerate(phases):
        for z, frame in enumerate(phase.frames):
            by_file.setdefault(frame.path, []).append((t, z, frame.index))
    for done, (path, places) in enumerate(by_file.items()):
        if done % 32 == 0:
            progress.step(0.2 + 0.8 * done / len(by_file), "reading images")
        _read_file(path, places, signal)
    return signal


def _read_file(path: Path, places: list[tuple[int, int, int]], signal: np.ndarray) -> None:
    try:
        dataset = pydicom.dcmread(path)
        pixels = dataset.pixel_array
    except Exception as error:  # truncated, compressed without a decoder, ...: whatever pydicom found
        raise InputError(
            f"The pixels of {path.name} cannot be read ({_short(error)}); the file may be truncated: restore it."
        ) from error
    pixels = pixels[None] if pixels.ndim == 2 else pixels
    for t, z, index in places:
        if index >= len(pixels) or pixels[index].shape != signal.shape[2:]:
            raise InputError(f"{path.name} holds fewer pixels than its header says; restore the file.")
        slope, intercept = _rescale(dataset, index)
        plane = signal[t, z]
        np.multiply(pixels[index], np.float32(slope), out=plane, casting="unsafe")
        if intercept:
            plane += np.float32(intercept)


def _rescale(ds: pydicom.Dataset, index: int) -> tuple[float, float]:
    owners = [ds]
    if "PerFrameFunctionalGroupsSequence" in ds:
        groups = [ds.PerFrameFunctionalGroupsSequence[index], *ds.get("SharedFunctionalGroupsSequence", [])]
        owners = [g.PixelValueTransformationSequence[0] for g in groups if "PixelValueTransformationSequence" in g]
    for owner in owners:
        if owner.get("RescaleSlope") is not None:
            return float(owner.RescaleSlope), float(owner.get("RescaleIntercept") or 0.0)
    return 1.0, 0.0


def _short(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:140]


def _source(chosen: DynamicSet, scan: FolderScan, left_out: tuple[str, ...], signal: np.ndarray) -> ExamSource:
    header = scan.headers[chosen.series_uids[0]]
    study = chosen.phases[0].frames[0].study_uid
    return ExamSource(
        kind="dicom",
        description=header.description,
        manufacturer=header.manufacturer,
        field_strength_t=header.field_strength_t,
        n_files=len({f.path for p in chosen.phases for f in p.frames}),
        study_hash=hash_uid(study),
        series_hashes=tuple(hash_uid(u) for u in chosen.series_uids),
        content_digest=digest(signal),
        left_out=left_out,
        patient_age_years=header.patient_age_years,
        identity=header.identity,
    )


def hash_uid(uid: str) -> str:
    """First 16 hexadecimal digits of the SHA-256 of a UID: enough to match results, no way back to the UID."""
    return hashlib.sha256(uid.encode()).hexdigest()[:16] if uid else ""


def digest(array: np.ndarray) -> str:
    """SHA-256 of an array's values in C order."""
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()
