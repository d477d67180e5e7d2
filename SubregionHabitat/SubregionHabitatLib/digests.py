"""Digests that tell results and their sources apart."""

from __future__ import annotations

import hashlib

import numpy as np


def hash_uid(uid: str) -> str:
    """First 16 hexadecimal digits of the SHA-256 of a UID: enough to match results, no way back to the UID."""
    return hashlib.sha256(uid.encode()).hexdigest()[:16] if uid else ""


def digest(array: np.ndarray) -> str:
    """SHA-256 of an array's values in C order."""
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()
