"""How much a feature varies between patients: the MAD filter of Su 2023 (MAD > 1)."""

from __future__ import annotations

import numpy as np

from SubregionHabitatLib.errors import InputError

from .snf import standardize

MAD_SCALES = ("raw", "zscore")
MAD_THRESHOLD_SU2023 = 1.0
# Makes the MAD of a Gaussian its SD (Leys 2013; R's mad()).
GAUSSIAN_CONSISTENCY = 1.4826


def median_absolute_deviation(values: np.ndarray) -> np.ndarray:
    """1.4826 * median |x - median x| of every column of ``values`` (N, P); in the units of the values."""
    return GAUSSIAN_CONSISTENCY * np.median(np.abs(values - np.median(values, axis=0)), axis=0)


def highly_variable(values: np.ndarray, threshold: float = MAD_THRESHOLD_SU2023, scale: str = "raw") -> np.ndarray:
    """(P,) bool: columns of ``values`` (N, P) whose MAD exceeds ``threshold``.

    The paper does not say on which scale. "raw" depends on each feature's unit; "zscore" measures z-scored columns,
    where a Gaussian has a MAD of 1, so it keeps columns with lighter tails than that.
    """
    if scale not in MAD_SCALES:
        raise InputError(f"The scale {scale!r} of the MAD filter is unknown; choose one of {', '.join(MAD_SCALES)}.")
    if scale == "zscore":
        values = standardize(values)
    return median_absolute_deviation(values) > threshold
