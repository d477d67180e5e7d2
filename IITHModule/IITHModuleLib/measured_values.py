"""The standard values that models read, taken from what was measured on the images and what the user gave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from SubregionHabitatLib.analysis import ImagingResult
from SubregionHabitatLib.exam import DceExam
from SubregionHabitatLib.lesion import FtvParameters

from .case_values import KNOWN_VALUES, CaseValue


def case_values(exam: DceExam, imaging: ImagingResult, clinical: Mapping[str, CaseValue]) -> dict[str, CaseValue]:
    """The standard values of a case that models read, each with its source or the reason why it is missing."""
    lesion = imaging.lesion
    values = {
        "ftv_mm3": _ftv_value(imaging),
        "lesion_volume_mm3": CaseValue(lesion.volume_cc * 1000.0, "mm3", f"measured, lesion {lesion.made_by}"),
        "enhancing_fraction": CaseValue(
            lesion.enhancing_fraction_first_post, "1", "measured", lesion.enhancing_fraction_reason
        ),
    }
    age = exam.source.patient_age_years
    if age is not None and KNOWN_VALUES["age_years"].low <= age <= KNOWN_VALUES["age_years"].high:
        values["age_years"] = CaseValue(age, "years", "DICOM header")
    values.update(clinical)
    for name in KNOWN_VALUES:
        values.setdefault(name, CaseValue(None, KNOWN_VALUES[name].unit, "user", "not given"))
    return values


def _ftv_value(imaging: ImagingResult) -> CaseValue:
    """FTV for the models, only when it was measured by the thresholds that their definition names."""
    # Whether the background test is needed depends on the VOI, so its mode may differ; everything else may not.
    used = replace(imaging.parameters.ftv, background=FtvParameters().background)
    same = used == FtvParameters()
    if not same:
        return CaseValue(None, "mm3", "measured", "it was measured with other thresholds than the models were made for")
    return CaseValue(imaging.lesion.ftv_cc * 1000.0, "mm3", "measured")
