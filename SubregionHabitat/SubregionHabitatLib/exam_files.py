"""An exam from whatever the user points at: a DICOM folder, or one NRRD/NIfTI file per phase."""

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
) -> DceExam:
    """Read a DICOM folder (one path), or per-phase volumes in order of time with ``times_s`` in seconds."""
    found = [Path(p) for p in paths]
    for path in found:
        if not path.exists():
            raise InputError(f"The exam {path.name} does not exist; check the path given.")
    if len(found) == 1 and found[0].is_dir():
        from .dicom_exam import read_dicom_exam

        return read_dicom_exam(found[0], times_s, series, progress)
    if all(is_volume_file(p) for p in found):
        return read_phase_files(found, times_s, progress)
    raise InputError(
        "The exam must be one DICOM folder, or one NRRD or NIfTI file per phase in order of time; got "
        + ", ".join(p.name for p in found)
        + "."
    )


def read_phase_files(paths: list[Path], times_s: tuple[float, ...] | None, progress: Progress | None = None) -> DceExam:
    """One 3-D volume per phase, pre-contrast first, all on one grid."""
    from .dicom_exam import digest

    progress = progress or Silent()
    if len(paths) < 2:
        raise InputError(
            f"The exam {paths[0].name} holds one phase; give the pre-contrast and at least two post-contrast files."
        )
    if times_s is None:
        raise InputError("Files per phase carry no times; give them with --times T0,T1,... in seconds.")
    check_times(times_s, len(paths))
    arrays, first = [], None
    for index, path in enumerate(paths):
        progress.step(index / len(paths), f"reading {path.name}")
        array, geometry = read_volume(path)
        first = first or geometry
        if not geometry.same_grid(first):
            raise InputError(
                f"{path.name} has a different geometry than {paths[0].name}: {_grid(geometry)} against {_grid(first)}. "
                "Resample the phases onto one grid."
            )
        arrays.append(array.astype(np.float32))
    signal = np.stack(arrays)
    if not np.isfinite(signal).all():
        raise InputError("The phase files hold values that are not numbers; export the phases again.")
    return DceExam(
        signal=signal,
        times_s=tuple(float(t) for t in times_s),
        geometry=first,
        timing=Timing("user", "high"),
        source=ExamSource(kind="files", n_files=len(paths), content_digest=digest(signal)),
        slice_axis=probable_slice_axis(first),
    )


def probable_slice_axis(geometry: Geometry) -> int:
    """The array axis with the widest spacing, where slices were most likely stacked; axis 0 (Z) among equals."""
    spacing = geometry.spacing_zyx
    return int(np.argmax(np.asarray(spacing) > max(spacing) * 0.999))


def _grid(geometry: Geometry) -> str:
    size = "x".join(str(n) for n in geometry.shape[::-1])
    spacing = "x".join(f"{s:.3g}" for s in geometry.spacing_mm)
    origin = ", ".join(f"{o:.1f}" for o in geometry.origin_mm)
    return f"{size} voxels of {spacing} mm at ({origin})"
