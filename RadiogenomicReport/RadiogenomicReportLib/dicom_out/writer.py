"""The DICOM objects of a case into a folder."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from SubregionHabitatLib.digests import digest
from SubregionHabitatLib.errors import InputError
from SubregionHabitatLib.exam import DceExam
from SubregionHabitatLib.geometry import bounding_box, margin_voxels

FOLDER = "dicom"
# How much of the kinetic maps is written: around lesion and ring, the whole grid, or nothing.
MAP_EXTENTS = ("lesion", "whole", "none")
MAP_MARGIN_MM = 10.0


@dataclass(frozen=True)
class CaseArrays:
    """What the objects are made of, each (Z, Y, X) on the exam's grid.

    lesion, ring: bool; habitats: 0 outside, 1..k; maps: name -> float32 with NaN where undefined, with its unit in
    ``units``.
    """

    lesion: np.ndarray
    habitats: np.ndarray
    ring: np.ndarray
    maps: Mapping[str, np.ndarray]
    units: Mapping[str, str]

    def digests(self) -> tuple[str, ...]:
        regions = (self.lesion, self.habitats.astype(np.uint8), self.ring)
        return tuple(digest(array) for array in (*regions, *self.maps.values()))


def require_highdicom() -> None:
    """Raise InputError with the remedy where highdicom is not installed."""
    try:
        import highdicom  # noqa: F401
    except ImportError as error:
        raise InputError(
            "DICOM output needs the package highdicom, which is not installed; install it with pip install highdicom, "
            "or leave the DICOM output out."
        ) from error


def write_dicom_objects(
    folder: Path, exam: DceExam, case: dict, arrays: CaseArrays, identity: bool = False, map_extent: str = "lesion"
) -> list[Path]:
    """Write segmentation, parametric maps and measurement report of a case into ``folder`` (made if absent).

    exam: as read from DICOM, not yet corrected, with its frames; case: the content of case.json; identity: copy the
    patient's and the study's attributes instead of replacing them; map_extent: one of MAP_EXTENTS.
    The same exam, case and arrays give the same bytes. Raises InputError when the exam is not from DICOM or highdicom
    is absent.
    """
    require_highdicom()
    written: list[Path] = []
    try:
        with warnings.catch_warnings():
            # Odd but legal values of the source (a one-part name) are not this program's to complain about.
            warnings.filterwarnings("ignore", category=UserWarning, module="highdicom")
            warnings.filterwarnings("ignore", category=UserWarning, module="pydicom")
            for path in _write(folder, exam, case, arrays, identity, map_extent):
                written.append(path)
    except (ValueError, TypeError, AttributeError, KeyError, NotImplementedError) as error:
        for path in written:
            path.unlink(missing_ok=True)
        with suppress(OSError):  # made for these files alone
            folder.rmdir()
        # What a header of the exam holds can break the rules of DICOM in more ways than can be looked for.
        raise InputError(
            f"DICOM objects of this exam cannot be made ({type(error).__name__}: {str(error)[:120]}); correct the "
            "exam's headers, or leave the DICOM output out."
        ) from error
    return written


def _write(
    folder: Path, exam: DceExam, case: dict, arrays: CaseArrays, identity: bool, map_extent: str
) -> Iterator[Path]:
    """Write one object after the other; only one map is held at a time."""
    from .measurement_report import measurement_report
    from .parametric_maps import parametric_maps
    from .segmentation import regions_of, segmentation
    from .source import source_exam

    source = source_exam(exam, case, arrays.digests(), identity)
    regions = regions_of(case, arrays.lesion, arrays.habitats, arrays.ring)
    seeds = case.get("provenance", {}).get("seeds", {})
    seg = segmentation(source, regions, int(seeds.get("habitats", 0)))
    report = measurement_report(source, case, regions, seg)
    folder.mkdir(parents=True, exist_ok=True)
    yield _save(seg, folder / "segmentation.dcm")
    yield _save(report, folder / "measurements.dcm")
    if map_extent != "none":
        box = _map_box(exam, arrays, map_extent)
        for name, made in parametric_maps(source, arrays.maps, arrays.units, case, box):
            yield _save(made, folder / f"map_{name}.dcm")


def _map_box(exam: DceExam, arrays: CaseArrays, extent: str) -> tuple[slice, slice, slice]:
    if extent == "whole":
        return tuple(slice(0, n) for n in exam.geometry.shape)
    return bounding_box(arrays.lesion | arrays.ring, margin_voxels(MAP_MARGIN_MM, exam.geometry))


def _save(dataset, path: Path) -> Path:
    dataset.save_as(path)
    return path
