"""The few named transforms a model may apply to a value. Names only: nothing in a file is evaluated."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

TRANSFORMS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "identity": lambda x: np.asarray(x, dtype=float),
    "log": lambda x: np.log(np.asarray(x, dtype=float)),
}


def needs_positive(transform: str) -> bool:
    """True when the transform is undefined at 0 and below."""
    return transform == "log"
