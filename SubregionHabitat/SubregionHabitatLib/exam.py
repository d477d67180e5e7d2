"""A DCE exam in memory: phases, their times and where those times came from."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from .errors import InputError
from .geometry import Geometry

if TYPE_CHECKING:
    from .dicom_frames import Frame


@dataclass(frozen=True)
class Timing:
    """Where the phase times come from and how far they can be trusted.

    source: DICOM keyword (for example "ContentTime"), "user", "file" or "none"; confidence: "high", "medium", "low"
    or "none"; temporal_resolution_s: duration of one phase where the header states it, else None; notes: one
    sentence per oddity found; known: False when the times are only the phases' order 0, 1, 2, ..., so that slopes
    cannot be computed; injection_s: start of the injection in seconds from the pre-contrast phase, None when not
    known; phase_sources: the tag that each phase's time came from; confirmed_by: other clocks that agree.
    """

    source: str
    confidence: str
    temporal_resolution_s: float | None = None
    notes: tuple[str, ...] = ()
    known: bool = True
    injection_s: float | None = None
    phase_sources: tuple[str, ...] = ()
    confirmed_by: tuple[str, ...] = ()


@dataclass(frozen=True)
class ExamSource:
    """What the exam was read from, without anything that names the patient.

    kind: "dicom", "files" or "nodes"; study_hash/series_hashes: salted-free SHA-256 prefixes of the UIDs, so
    that two results of one exam can be matched; left_out: one sentence per series that was not used; frames: of a
    DICOM exam, the image of every phase and slice, (T, Z) in the order of the signal, so that objects made of the exam
    can refer to it; in memory only.
    """

    kind: str
    description: str = ""
    manufacturer: str = ""
    field_strength_t: float | None = None
    n_files: int = 0
    study_hash: str = ""
    series_hashes: tuple[str, ...] = ()
    content_digest: str = ""
    left_out: tuple[str, ...] = ()
    patient_age_years: float | None = None
    identity: dict = field(default_factory=dict, repr=False)
    frames: tuple[tuple[Frame, ...], ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class DceExam:
    """A dynamic exam: signal (T, Z, Y, X) float32 in scanner units, T >= 2 phases in order of time.

    times_s: seconds from the pre-contrast phase (first is 0); slice_axis: the array axis (0, 1 or 2) across
    which the scanner stacked its slices, so that "in-plane" is known.
    Raises InputError when the parts do not fit together.
    """

    signal: np.ndarray
    times_s: tuple[float, ...]
    geometry: Geometry
    timing: Timing
    source: ExamSource
    slice_axis: int = 0

    def __post_init__(self) -> None:
        if self.signal.ndim != 4 or self.signal.shape[1:] != self.geometry.shape:
            raise InputError(
                f"The phases have the array shape {self.signal.shape}, which does not fit the grid "
                f"{self.geometry.shape}; give every phase on the same grid."
            )
        check_times(self.times_s, self.signal.shape[0])

    @property
    def n_phases(self) -> int:
        return self.signal.shape[0]


def check_times(times_s: tuple[float, ...], n_phases: int) -> None:
    """Raise InputError unless there are ``n_phases`` >= 2 finite, strictly increasing times (seconds)."""
    if n_phases < 2:
        raise InputError(
            f"The exam has {n_phases} phase; kinetic maps need the pre-contrast phase and at least one "
            "post-contrast phase. Add the missing phases."
        )
    if len(times_s) != n_phases:
        raise InputError(f"{len(times_s)} times were given for {n_phases} phases; give one time in seconds per phase.")
    for index, (first, second) in enumerate(pairwise(times_s)):
        if not (np.isfinite(first) and np.isfinite(second)):
            raise InputError(f"The times {list(times_s)} hold a value that is not a number; correct --times.")
        if second <= first:
            raise InputError(
                f"The phase times do not increase: phase {index + 1} is at {first:g} s and phase {index + 2} at "
                f"{second:g} s. Order the phases by time or correct --times."
            )
