"""What is done to an exam before it is measured: breast mask, bias field, motion. Each step can be left out."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from .bias_field import BiasFieldParameters, bias_field_summary, correct_bias, estimate_bias_field
from .body import AIR_SHARE_OF_P99, body_mask
from .exam import DceExam
from .masks import RegionMask
from .progress import Part, Progress, Silent
from .registration import RegistrationParameters, RegistrationResult, enhancing_voxels, register_phases


@dataclass(frozen=True)
class PreparationParameters:
    """registration: how phases are brought onto one another (mode "none" leaves them); n4: whether one bias field is

    divided out of every phase, and bias_field how it is estimated; air_share_of_p99: see body."""

    registration: RegistrationParameters = field(default_factory=RegistrationParameters)
    n4: bool = False
    bias_field: BiasFieldParameters = field(default_factory=BiasFieldParameters)
    air_share_of_p99: float = AIR_SHARE_OF_P99


@dataclass(frozen=True)
class PreparedExam:
    """exam: ready to be measured; body: (Z, Y, X) bool, everything but air; registration: None where left out;

    bias_field: summary of the correction, None where left out; warnings: one sentence per oddity."""

    exam: DceExam
    body: np.ndarray
    registration: RegistrationResult | None
    bias_field: dict | None
    warnings: tuple[str, ...]

    def to_json(self) -> dict:
        return {
            "registration": {"mode": "none"} if self.registration is None else self.registration.to_json(),
            "bias_field": self.bias_field,
        }


def prepare_exam(
    exam: DceExam,
    parameters: PreparationParameters | None = None,
    lesion: RegionMask | None = None,
    voi: RegionMask | None = None,
    progress: Progress | None = None,
    early: int | None = None,
) -> PreparedExam:
    """Correct the bias field, then register the phases, as asked for; without either the exam comes back as it is.

    early: the early phase where the user chose it; phases are registered onto it unless the parameters name another.
    The lesion as drawn, or what enhances in the VOI, does not drive the registration. Raises InputError for whatever
    cannot be prepared.
    """
    parameters = parameters or PreparationParameters()
    progress = progress or Silent()
    body = body_mask(exam.signal[0], parameters.air_share_of_p99)
    summary = None
    if parameters.n4:
        bias = estimate_bias_field(exam.signal[0], exam.geometry, body, parameters.bias_field, Part(progress, 0.0, 0.3))
        exam = correct_bias(exam, bias)
        summary = bias_field_summary(bias, body, parameters.bias_field)
    registration = None
    if parameters.registration.mode != "none":
        still = lesion.mask if lesion is not None else None
        if still is None and voi is not None:
            still = enhancing_voxels(exam, voi.mask, parameters.registration.fixed_phase or early)
        wanted = parameters.registration
        if wanted.fixed_phase is None and early is not None:
            wanted = replace(wanted, fixed_phase=early)
        registration = register_phases(exam, wanted, body, still, Part(progress, 0.3, 1.0))
        exam = registration.exam
    warnings = () if registration is None else registration.warnings
    return PreparedExam(exam, body, registration, summary, tuple(warnings))
