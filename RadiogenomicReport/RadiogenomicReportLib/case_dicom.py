"""The DICOM objects of a case as part of its result, and what the case says of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from SubregionHabitatLib.analysis import ImagingResult
from SubregionHabitatLib.errors import InputError
from SubregionHabitatLib.exam import DceExam

from .dicom_out.writer import FOLDER, CaseArrays, require_highdicom, write_dicom_objects
from .same_lattice import reordering

__all__ = ["FOLDER", "add_dicom", "arrays_on_exam", "case_arrays", "check_dicom_wanted"]

NOT_DICOM = (
    "The exam was not read from a DICOM folder, so there are no images that DICOM objects could refer to; leave "
    "--dicom out, or give the exam's DICOM folder."
)


def check_dicom_wanted(wanted: bool | None, exam: DceExam | None = None) -> None:
    """Raise InputError when DICOM objects were asked for by name and cannot be made.

    Without ``exam`` only the software is checked, which can be done before anything is read.
    """
    if not wanted:
        return
    require_highdicom()
    if exam is not None and not exam.source.frames:
        raise InputError(NOT_DICOM)


def case_arrays(imaging: ImagingResult) -> CaseArrays:
    units = {**imaging.maps.units(), "time_to_peak": "min"}
    return CaseArrays(
        lesion=imaging.lesion.mask,
        habitats=imaging.habitats.labels,
        ring=imaging.ring.mask,
        maps={name: getattr(imaging.maps, name) for name in units},
        units=units,
    )


def arrays_on_exam(arrays: CaseArrays, scene: DceExam, exam: DceExam) -> CaseArrays:
    """Arrays that lie on the grid of ``scene`` on that of the DICOM ``exam`` it was loaded from.

    Raises InputError when the two are not the same images, voxel for voxel.
    """
    order = reordering(scene.geometry, exam.geometry)
    same = order is not None and scene.signal.shape[0] == exam.signal.shape[0]
    if not same or not all(
        np.array_equal(order.apply(own), other) for own, other in zip(scene.signal, exam.signal, strict=True)
    ):
        raise InputError(
            "The DICOM images are not those of the exam in the scene (grid, phases or values differ); give the folder "
            "that the exam was loaded from."
        )
    return replace(
        arrays,
        lesion=order.apply(arrays.lesion),
        habitats=order.apply(arrays.habitats),
        ring=order.apply(arrays.ring),
        maps={name: order.apply(array) for name, array in arrays.maps.items()},
    )


def add_dicom(
    folder: Path,
    exam: DceExam,
    case: dict,
    arrays: CaseArrays,
    wanted: bool | None = None,
    identity: bool = False,
    map_extent: str = "lesion",
) -> dict:
    """Write the objects below ``folder`` and return the case with a "dicom" entry that says what was written.

    wanted: True (InputError where it cannot be done), False (nothing is written) or None (written where it can be; a
    reason, and a warning where the exam is DICOM, where it cannot).
    """
    check_dicom_wanted(wanted, exam)
    noted = {"files": [], "identity": None, "reason": None}
    warnings = list(case["warnings"])
    if wanted is False:
        noted["reason"] = "not asked for"
    elif not exam.source.frames:
        noted["reason"] = "the exam was not read from a DICOM folder"
    else:
        try:
            written = write_dicom_objects(folder / FOLDER, exam, case, arrays, identity, map_extent)
            noted["files"] = [f"{FOLDER}/{path.name}" for path in written]
            noted["identity"] = "copied from the exam" if identity else "replaced"
        except InputError as error:
            if wanted:
                raise
            noted["reason"] = str(error)
            warnings.append(f"No DICOM objects were written: {error}")
    return {**case, "dicom": noted, "warnings": warnings}
