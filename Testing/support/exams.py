"""Small exams made of numbers, for tests of single steps."""

from __future__ import annotations

import numpy as np

from SubregionHabitatLib.exam import DceExam, ExamSource, Timing
from SubregionHabitatLib.geometry import Geometry

IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


def make_geometry(shape, spacing=(1.0, 1.0, 1.0), origin=(0.0, 0.0, 0.0), direction=IDENTITY) -> Geometry:
    return Geometry(tuple(shape), tuple(spacing), tuple(origin), tuple(direction))


def make_exam(signal, times_s, **geometry) -> DceExam:
    """An exam of the given signal (T, Z, Y, X) and times in seconds."""
    array = np.asarray(signal, dtype=np.float32)
    return DceExam(
        signal=array,
        times_s=tuple(float(t) for t in times_s),
        geometry=make_geometry(array.shape[1:], **geometry),
        timing=Timing("user", "high"),
        source=ExamSource(kind="files"),
    )
