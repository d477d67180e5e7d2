"""Folder names for the exams of a cohort: readable, safe on every file system, one for each exam."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence

MAX_LENGTH = 80
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
# Device names, which Windows refuses whatever follows the dot.
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def exam_names(exams: Sequence[tuple[str, str]]) -> list[str]:
    """A folder name for each (patient, visit): ``patient_visit`` with other characters than A-Z a-z 0-9 . _ - replaced.

    A name that had to be changed, or that two exams would share where upper and lower case are one, ends in a digest of
    patient and visit. Names therefore do not depend on the order of the exams.
    """
    simple = [_simple(patient, visit) for patient, visit in exams]
    shared = Counter(name.lower() for name, _ in simple)
    return [
        f"{name}-{_digest(*exam)}" if changed or shared[name.lower()] > 1 else name
        for exam, (name, changed) in zip(exams, simple, strict=True)
    ]


def _simple(patient: str, visit: str) -> tuple[str, bool]:
    wanted = f"{patient}_{visit}" if visit else patient
    name = _UNSAFE.sub("-", wanted)[:MAX_LENGTH].strip(".-") or "exam"
    if _RESERVED.fullmatch(name):
        name = f"exam-{name}"
    return name, name != wanted


def _digest(patient: str, visit: str) -> str:
    # The length keeps ("a", "bc") and ("ab", "c") apart.
    text = f"{len(patient)}:{patient}{visit}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]
