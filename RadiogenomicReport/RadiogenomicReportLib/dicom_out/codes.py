"""Coded terms of the DICOM objects: SNOMED CT and DICOM codes where there are, a private scheme for the rest.

The DICOM context groups have no code for percent enhancement, signal enhancement ratio, the slopes of breast DCE-MRI,
habitats or functional tumor volume (checked against the code dictionary of pydicom 3.0.2); these carry the private
scheme 99IITH, whose name and owner every object states (PS3.3, C.12.1.1.2).
"""

from __future__ import annotations

import re

from highdicom.sr import CodedConcept

PRIVATE_SCHEME = "99IITH"
_MAX_VALUE, _MAX_MEANING = 16, 64


def private(value: str, meaning: str) -> CodedConcept:
    """A term of the private scheme; value and meaning are cut to what DICOM allows."""
    clean = re.sub(r"[^A-Za-z0-9_.-]+", "_", str(value))[:_MAX_VALUE] or "UNNAMED"
    return CodedConcept(clean, PRIVATE_SCHEME, plain_text(meaning, _MAX_MEANING) or clean)


def plain_text(text: object, length: int) -> str:
    """Text of one line without the characters that DICOM reserves (backslash, control characters)."""
    return re.sub(r"[\\\x00-\x1f\x7f\s]+", " ", str(text)).strip()[:length].strip()


# Regions.
ABNORMAL_STRUCTURE = CodedConcept("49755003", "SCT", "Morphologically Abnormal Structure")
NEOPLASM = CodedConcept("108369006", "SCT", "Neoplasm")
TISSUE = CodedConcept("85756007", "SCT", "Tissue")
BREAST = CodedConcept("76752008", "SCT", "Breast")
MRI_OF_BREAST = CodedConcept("241615005", "SCT", "MRI of breast")

# What is measured.
VOLUME = CodedConcept("118565006", "SCT", "Volume")
LONG_AXIS = CodedConcept("103339001", "SCT", "Long axis")
PROBABILITY = CodedConcept("122157", "DCM", "Probability")
FTV = private("FTV", "Functional tumor volume")
ENHANCING_FRACTION = private("ENH_FRACTION", "Enhancing fraction, first post-contrast phase")
SHARE_OF_LESION = private("LESION_SHARE", "Share of the lesion's volume")
RING_KEPT = private("RING_KEPT", "Share of the full ring that was kept")
RANGE_CHECK = private("RANGE_CHECK", "Case against the range of the model's training")
IN_RANGE = private("IN_RANGE", "Within the range of the training patients")
OUT_OF_RANGE = private("OUT_OF_RANGE", "Outside the range of the training patients")
GROUP = private("GROUP", "Group that the model puts the case in")
COMMENT = CodedConcept("121106", "DCM", "Comment")
MAPS = {
    "pe_early": private("PE_EARLY", "Percent enhancement, early post-contrast phase"),
    "pe_peak": private("PE_PEAK", "Percent enhancement at its peak"),
    "ser": private("SER", "Signal enhancement ratio"),
    "wis": private("WIS", "Wash-in slope"),
    "wos": private("WOS", "Wash-out slope (negative: wash-out)"),
    "time_to_peak": CodedConcept("113069", "DCM", "Time To Peak"),
}
MEAN = CodedConcept("373098007", "SCT", "Mean")
MEDIAN = CodedConcept("373099004", "SCT", "Median")
STANDARD_DEVIATION = CodedConcept("386136009", "SCT", "Standard Deviation")

# How objects relate.
SOURCE_IMAGE = CodedConcept("121322", "DCM", "Source image for image processing operation")
SEGMENTATION = CodedConcept("113076", "DCM", "Segmentation")
PERFUSION_ANALYSIS = CodedConcept("129104", "DCM", "Perfusion image analysis")
IMAGING_MEASUREMENT_REPORT = CodedConcept("126000", "DCM", "Imaging Measurement Report")

_UNITS = {
    "%": ("%", "percent"),
    "cc": ("cm3", "cubic centimeter"),
    "mm": ("mm", "millimeter"),
    "mm3": ("mm3", "cubic millimeter"),
    "min": ("min", "minute"),
    "1/min": ("/min", "per minute"),
    "1": ("1", "no units"),
    # UCUM has no word for the signal of an MR image; its arbitrary unit is the nearest.
    "signal/min": ("[arb'U]/min", "arbitrary unit per minute"),
}


def unit(name: str) -> CodedConcept:
    """The UCUM code of a unit as this program writes it; "1" (no units) for whatever is a plain number."""
    value, meaning = _UNITS.get(name, _UNITS["1"])
    return CodedConcept(value, "UCUM", meaning)
