"""Seeded smooth random fields defined in millimetres, so that they do not depend on the grid that samples them."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

# The lattice that holds the field, in units of the correlation length.
_LATTICE_SHARE = 0.5


class SmoothNoise:
    """A Gaussian random field of mean 0 and SD 1 over a box in LPS millimetres.

    correlation_mm: about the distance over which values are alike; low_mm, high_mm: corners of the box.
    Points outside the box take the value at its border.
    """

    def __init__(
        self, generator: np.random.Generator, correlation_mm: float, low_mm: np.ndarray, high_mm: np.ndarray
    ) -> None:
        self._step = correlation_mm * _LATTICE_SHARE
        self._low = np.asarray(low_mm, dtype=np.float64)
        size = np.ceil((np.asarray(high_mm) - self._low) / self._step).astype(int) + 2
        lattice = ndimage.gaussian_filter(generator.standard_normal(tuple(size)), 1.0, mode="wrap")
        self._lattice = ((lattice - lattice.mean()) / lattice.std()).astype(np.float32)

    def at(self, lps_mm: np.ndarray) -> np.ndarray:
        """Values (N,) float32 at LPS points (N, 3)."""
        index = ((lps_mm - self._low) / self._step).T
        return ndimage.map_coordinates(self._lattice, index, order=1, mode="nearest", output=np.float32)
