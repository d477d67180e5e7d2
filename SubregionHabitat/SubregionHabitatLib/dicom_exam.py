"""A DICOM folder read into a DceExam: phases in order of time, with the tag each time came from."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .dicom_choice import DynamicSet, find_dynamic_set
from .dicom_frames import FolderScan, scan_folder
from .dicom_phases import PhaseFrames
from .dicom_pixels import Placed, fill_planes
from .dicom_times import order_phases
from .digests import digest, hash_uid
from .errors import InputError
from .exam import DceExam, ExamSource
from .progress import Part, Progress, Silent
from .volume_io import VOLUME_SUFFIXES

PACKED_SUFFIXES = (".gz", ".zip", ".tar", ".tgz", ".7z", ".bz2")


def read_dicom_exam(
    folder: str | Path,
    times_s: tuple[float, ...] | None = None,
    series: str | None = None,
    progress: Progress | None = None,
    allow_no_times: bool = False,
) -> DceExam:
    """Find and read the dynamic exam below ``folder``.

    times_s: phase times in seconds that override the headers; series: series numbers or UIDs to choose among, with
    "@left", "@right" or "@2" behind them to choose among several exams of one series; allow_no_times: where no times
    are known, keep the phases' order with ``timing.known`` False instead of refusing.
    Raises InputError for whatever is missing or contradictory; the sentence names file or series.
    """
    folder = Path(folder)
    progress = progress or Silent()
    progress.step(0.0, "reading DICOM headers")
    scan = scan_folder(folder, Part(progress, 0.0, 0.3))
    if not scan.headers:
        raise InputError(_no_images(folder, scan))
    chosen, left_out = _find(scan, series)
    _refuse_damaged(scan, chosen)
    phases, times, timing = order_phases(chosen, scan, times_s, allow_no_times)
    signal = _read_signal(phases, chosen, Part(progress, 0.3, 1.0))
    return DceExam(
        signal=signal,
        times_s=times,
        geometry=chosen.geometry,
        timing=timing,
        source=_source(chosen, phases, scan, left_out, signal),
        slice_axis=0,
    )


def _find(scan: FolderScan, series: str | None) -> tuple[DynamicSet, tuple[str, ...]]:
    """The dynamic exam; where it is not whole, the message also names a file that could not be used."""
    try:
        return find_dynamic_set(scan, series)
    except InputError as error:
        if not scan.damaged:
            raise
        path, reason = next(iter(scan.damaged.items()))
        raise InputError(
            f"{error} {len(scan.damaged)} files cannot be used (first: {path.name} is {reason})."
        ) from error  # fmt: skip


def _no_images(folder: Path, scan: FolderScan) -> str:
    if scan.n_files == 0:
        return f"The exam folder {folder.name} is empty; give the folder with the exam's DICOM files."
    names = [p.name.lower() for p in folder.rglob("*")]
    volumes = sum(name.endswith(VOLUME_SUFFIXES) for name in names)
    packed = sum(name.endswith(PACKED_SUFFIXES) for name in names) - sum(name.endswith(".nii.gz") for name in names)
    remedy = "give the folder with the exam's DICOM files"
    if volumes:
        remedy = f"its {volumes} NRRD or NIfTI files have to be named one by one in order of time, with --times"
    elif packed > 0:
        remedy = f"unpack its {packed} compressed files (.gz, .zip, .tar) first"
    return f"The exam folder {folder.name} holds no readable DICOM image; {remedy}."


def _refuse_damaged(scan: FolderScan, chosen: DynamicSet) -> None:
    """A damaged file beside the chosen series may be one of its slices, so it stops the run."""
    folders = {f.path.parent for p in chosen.phases for f in p.frames}
    for path, reason in scan.damaged.items():
        if path.parent in folders:
            raise InputError(f"The file {path.name} beside the dynamic series is {reason}; restore or remove it.")


def _read_signal(phases: list[PhaseFrames], chosen: DynamicSet, progress: Progress) -> np.ndarray:
    """Signal (T, Z, Y, X) float32; each file is opened once."""
    signal = np.empty((len(phases), *chosen.geometry.shape), dtype=np.float32)
    by_file: dict[Path, list[Placed]] = {}
    for t, phase in enumerate(phases):
        for z, frame in enumerate(phase.frames):
            by_file.setdefault(frame.path, []).append((frame, signal[t, z]))
    for done, (path, placed) in enumerate(by_file.items()):
        if done % 32 == 0:
            progress.step(done / len(by_file), "reading images")
        fill_planes(path, placed)
    return signal


def _source(
    chosen: DynamicSet, phases: list[PhaseFrames], scan: FolderScan, left_out: tuple[str, ...], signal: np.ndarray
) -> ExamSource:
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
        frames=tuple(phase.frames for phase in phases),
    )
