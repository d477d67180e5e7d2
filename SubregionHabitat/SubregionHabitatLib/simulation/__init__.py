"""A simulated breast DCE-MRI exam with known kinetic zones: for demos, tests and simulated cohorts.

Every number that follows from the parameters is exact (analytic lesion and zones in millimetres, extended
Tofts kinetics, spoiled gradient echo signal, Rician noise); what looks like anatomy is decoration. A simulated
exam says so in its series description, patient name and truth file, and is never evidence about patients.
"""

from .dicom_writer import STANDARD_TIMING_TAGS, TIMING_TAGS, DicomOptions, write_dicom
from .exam import SimulatedExam, simulate_exam
from .lesion import SimulatedLesion
from .parameters import (
    DEFAULT_ZONES,
    TISSUE_NAMES,
    PulseSequence,
    SimulationParameters,
    Tissue,
    parameters_to_json,
)
from .truth import truth_record, write_simulated_exam, write_truth

__all__ = [
    "DEFAULT_ZONES",
    "STANDARD_TIMING_TAGS",
    "TIMING_TAGS",
    "TISSUE_NAMES",
    "DicomOptions",
    "PulseSequence",
    "SimulatedExam",
    "SimulatedLesion",
    "SimulationParameters",
    "Tissue",
    "parameters_to_json",
    "simulate_exam",
    "truth_record",
    "write_dicom",
    "write_simulated_exam",
    "write_truth",
]
