"""Background parenchymal enhancement as part of a case, where it was asked for."""

from __future__ import annotations

from SubregionHabitatLib.analysis import ImagingResult
from SubregionHabitatLib.background_enhancement import background_enhancement
from SubregionHabitatLib.breast_mask import breast_mask
from SubregionHabitatLib.errors import InputError
from SubregionHabitatLib.fibroglandular import fibroglandular_tissue
from SubregionHabitatLib.progress import Part, Progress, Silent


def add_background(case: dict, imaging: ImagingResult, progress: Progress | None = None) -> dict:
    """The case with "background_enhancement": one entry per breast in the image (see BackgroundEnhancement.to_json).

    Lesion and ring are left out of the tissue. Where no breast is found the entry is empty and a warning says why.
    """
    progress = progress or Silent()
    exam = imaging.exam
    try:
        breast = breast_mask(exam.signal, exam.geometry, progress=Part(progress, 0.0, 0.8))
        tissue = fibroglandular_tissue(
            exam.signal[0], exam.geometry, breast, imaging.lesion.mask, progress=Part(progress, 0.8, 1.0)
        )
    except InputError as error:
        warning = f"Background enhancement was not measured: {error}"
        return {**case, "background_enhancement": [], "warnings": [*case["warnings"], warning]}
    found = background_enhancement(
        imaging.maps.pe_early, tissue, imaging.lesion.mask, exam.geometry, breast, imaging.ring.mask
    )
    notes = [*breast.notes, *tissue.notes]
    return {
        **case,
        "background_enhancement": [entry.to_json() for entry in found],
        "warnings": [*case["warnings"], *notes],
    }
