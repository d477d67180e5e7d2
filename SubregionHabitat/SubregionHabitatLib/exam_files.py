"""An exam from whatever the user points at: a DICOM folder, one volume file per phase, or one file with all phases."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .errors import InputError
from .exam import DceExam, ExamSource, Timing, check_times
from .geometry import Geometry
from .progress import Progress, Silent
from .volume_io import is_volume_file, read_volume


def read_exam(
    paths: list[str | Path],
    times_s: tuple[float, ...] | None = None,
    series: str | None = None,
    progress: Progress | None = None,
    allow_no_times: bool = False,
) -> DceExam:
    """Read a DICOM folder (one path), one file with all phases (one path), or one volume per phase in order of time.

    times_s: phase times in seconds; they override what the exam says of itself. series: see read_dicom_exam.
    allow_no_times: an exam without times is read with ``timing.known`` False and times 0, 1, 2, ... that are its
    phases' order only, instead of being refused.
    """
    found = [Path(p) for p in paths]
    for path in found:
        if not path.exists():
            raise InputError(f"The exam {path.name} does not exist; check the path given.")
    if len(found) == 1 and found[0].is_dir():
        from .dicom_exam import read_dicom_exam

        return read_dicom_exam(found[0], times_s, series, progress, allow_no_times)
    if found and all(is_volume_file(p) for p in found):
        if len(found) == 1:
            return read_series_file(found[0], times_s, progress, allow_no_times)
        return read_phase_files(found, times_s, progress, allow_no_times)
    raise InputError(
        "The exam must be one DICOM folder, one NRRD or NIfTI file per phase in order of time, or one such file with "
        f"all phases; got {', '.join(p.name for p in found) or 'nothing'}."
    )


def read_series_file(
    path: Path,
    times_s: tuple[float, ...] | None = None,
    progress: Progress | None = None,
    allow_no_times: bool = False,
) -> DceExam:
    """One file with all phases, pre-contrast first: 4-D NIfTI or NRRD, a vector image, or a Slicer sequence.

    Times come from ``times_s``, else from a sequence index in s, ms or min. The step along the fourth axis of a
    NIfTI file is not taken for a time: converters fill it with the repetition time or with 1.
    """
    from .volume_series import read_phase_series

    found = read_phase_series(path, progress)
    n_phases = found.signal.shape[0]
    if times_s is not None:
        times, timing = _user_times(times_s, n_phases)
    elif found.times_s is not None:
        times, timing = found.times_s, found.timing
        check_times(times, n_phases)
    else:
        times, timing = _no_times(n_phases, f"{path.name} holds {n_phases} phases", found.hint, allow_no_times)
    return _exam(found.signal, times, found.geometry, timing, n_files=1)


def read_phase_files(
    paths: list[Path],
    times_s: tuple[float, ...] | None,
    progress: Progress | None = None,
    allow_no_times: bool = False,
) -> DceExam:
    """One 3-D volume per phase, pre-contrast first, all on one grid."""
    progress = progress or Silent()
    if len(paths) < 2:
        raise InputError(
            f"The exam {paths[0].name} holds one phase; give the pre-contrast and at least two post-contrast files."
        )
    if times_s is not None:
        times, timing = _user_times(times_s, len(paths))
    elif allow_no_times:
        times, timing = _no_times(len(paths), "Files per phase", "", True)
    else:
        raise InputError("Files per phase carry no times; give them with --times T0,T1,... in seconds.")
    signal, first = None, None
    for index, path in enumerate(paths):
        progress.step(index / len(paths), f"reading {path.name}")
        array, geometry = read_volume(path)
        if first is None:
            first = geometry
            signal = np.empty((len(paths), *array.shape), dtype=np.float32)
        if not geometry.same_grid(first):
            raise InputError(
                f"{path.name} has a different geometry than {paths[0].name}: {_grid(geometry)} against {_grid(first)}. "
                "Resample the phases onto one grid."
            )
        signal[index] = array
    return _exam(signal, times, first, timing, n_files=len(paths))


def probable_slice_axis(geometry: Geometry) -> int:
    """The array axis with the widest spacing, where slices were most likely stacked; axis 0 (Z) among equals."""
    spacing = geometry.spacing_zyx
    return int(np.argmax(np.asarray(spacing) > max(spacing) * 0.999))


def _exam(signal: np.ndarray, times: tuple[float, ...], geometry: Geometry, timing: Timing, n_files: int) -> DceExam:
    from .digests import digest

    if not all(np.isfinite(phase).all() for phase in signal):
        raise InputError("The phase files hold values that are not numbers; export the phases again.")
    return DceExam(
        signal=signal,
        times_s=times,
        geometry=geometry,
        timing=timing,
        source=ExamSource(kind="files", n_files=n_files, content_digest=digest(signal)),
        slice_axis=probable_slice_axis(geometry),
    )


def _user_times(times_s: tuple[float, ...], n_phases: int) -> tuple[tuple[float, ...], Timing]:
    check_times(times_s, n_phases)
    return tuple(float(t) for t in times_s), Timing("user", "high", phase_sources=("user",) * n_phases)


def _no_times(n_phases: int, what: str, hint: str, allowed: bool) -> tuple[tuple[float, ...], Timing]:
    if not allowed:
        because = f" ({hint})" if hint else ""
        raise InputError(
            f"{what} without acquisition times{because}; give them with --times T0,T1,... in seconds."
        )  # fmt: skip
    note = "The phases carry no times; they are taken in the order given, and slopes are not available."
    sources = ("none",) * n_phases
    times = tuple(float(k) for k in range(n_phases))
    return times, Timing("none", "none", notes=(note,), known=False, phase_sources=sources)


def _grid(geometry: Geometry) -> str:
    size = "x".join(str(n) for n in geometry.shape[::-1])
    spacing = "x".join(f"{s:.3g}" for s in geometry.spacing_mm)
    origin = ", ".join(f"{o:.1f}" for o in geometry.origin_mm)
    return f"{size} voxels of {spacing} mm at ({origin})"
