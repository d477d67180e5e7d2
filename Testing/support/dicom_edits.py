"""Ways to spoil or rearrange a written DICOM exam, for tests of the reader."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pydicom


def edit_files(folder: Path, change: Callable[[pydicom.Dataset], object]) -> int:
    """Apply ``change`` to every DICOM file of ``folder``; a file for which it returns False is removed."""
    kept = 0
    for path in sorted(folder.rglob("*.dcm")):
        dataset = pydicom.dcmread(path)
        if change(dataset) is False:
            path.unlink()
            continue
        dataset.save_as(path)
        kept += 1
    return kept


def phase_of(dataset: pydicom.Dataset) -> int:
    """The phase number, 1.., that the simulator wrote."""
    return int(dataset.AcquisitionNumber)
