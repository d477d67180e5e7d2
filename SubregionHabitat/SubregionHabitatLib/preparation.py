"""What is done to an exam before it is measured: breast mask, bias field, motion. Each step can be left out."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from .bias_field import BiasFieldParameters, bias_field_summary, correct_bias, estimate_bias_field
from .body import AIR_SHARE_OF_P99
from .breast_mask import BreastMask, BreastParameters, after_bias_field
from .breast_region import Marks, find_breast
from .exam import DceExam
from .masks import RegionMask
from .progress import Part, Progress, Silent
from .registration import RegistrationParameters, RegistrationResult, enhancing_voxels, register_phases


@dataclass(frozen=True)
class PreparationParameters:
    """registration: how phases are brought onto one another (mode "none" leaves them); n4: whether one bias field is

    divided out of every phase, and bias_field how it is estimated; breast: how the breast mask is found;
    air_share_of_p99: of the body that stands in for it, see body."""

    registration: RegistrationParameters = field(default_factory=RegistrationParameters)
    n4: bool = False
    bias_field: BiasFieldParameters = field(default_factory=BiasFieldParameters)
    breast: BreastParameters = field(default_factory=BreastParameters)
    air_share_of_p99: float = AIR_SHARE_OF_P99


@dataclass(frozen=True)
class PreparedExam:
    """exam: ready to be measured; breast: its breast, or what stands in for it; registration: None where left out;

    bias_field: summary of the correction, None where left out; warnings: one sentence per oddity."""

    exam: DceExam
    breast: BreastMask
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
    breast: RegionMask | None = None,
    seed_lps: tuple[float, float, float] | None = None,
) -> PreparedExam:
    """Find the breast, correct the bias field, register the phases, as asked for; else the exam comes back as it is.

    early: the early phase where the user chose it; phases are registered onto it unless the parameters name another.
    The lesion as drawn, or what enhances in the VOI, does not drive the registration. breast: the user's own mask;
    lesion, voi and seed_lps (LPS mm) are what an automatic one must fit. An automatic mask is found anew once phases
    were moved. Raises InputError for whatever cannot be prepared.
    """
    parameters = parameters or PreparationParameters()
    progress = progress or Silent()
    marks = Marks(lesion, voi, seed_lps)

    def find(of: DceExam, part: Progress) -> BreastMask:
        return find_breast(of, parameters.breast, breast, marks, parameters.air_share_of_p99, part)

    found = find(exam, Part(progress, 0.0, 0.15))
    bias, summary = None, None
    if parameters.n4:
        bias = estimate_bias_field(
            exam.signal[0], exam.geometry, found.breast, parameters.bias_field, Part(progress, 0.15, 0.4)
        )
        exam = correct_bias(exam, bias)
        summary = {"mask": found.made_by, **bias_field_summary(bias, found.breast, parameters.bias_field)}
    registration = None
    if parameters.registration.mode != "none":
        registration = _register(exam, parameters.registration, found.breast, lesion, voi, early, progress)
        exam = registration.exam
        if any(phase.moved for phase in registration.phases):
            # N4 evens out muscle and fat too, so the chest wall is sought where it stands out: under the bias field.
            seen = exam if bias is None else replace(exam, signal=exam.signal * bias)
            found = find(seen, Part(progress, 0.9, 1.0))
    if bias is not None:
        found = after_bias_field(found, bias, exam.geometry)
    warnings = (*found.notes, *(() if registration is None else registration.warnings))
    return PreparedExam(exam, found, registration, summary, warnings)


def _register(exam, wanted: RegistrationParameters, mask: np.ndarray, lesion, voi, early, progress):
    still = lesion.mask if lesion is not None else None
    if still is None and voi is not None:
        still = enhancing_voxels(exam, voi.mask, wanted.fixed_phase or early)
    if wanted.fixed_phase is None and early is not None:
        wanted = replace(wanted, fixed_phase=early)
    return register_phases(exam, wanted, mask, still, Part(progress, 0.4, 0.9))
