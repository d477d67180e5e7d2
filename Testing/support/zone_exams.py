"""Exams made of zones with one enhancement curve each, for tests of habitats and lesions."""

from __future__ import annotations

import numpy as np

from SubregionHabitatLib.kinetics import KineticMaps, compute_maps
from SubregionHabitatLib.timing import PhaseChoice

from .exams import make_exam

# Persistent, plateau and wash-out (labels 1, 2, 3); signal at 0, 90, 180 and 270 s.
CURVES = np.array([[100, 180, 190, 200], [100, 240, 245, 240], [100, 330, 290, 250]], float)
TIMES_S = (0.0, 90.0, 180.0, 270.0)
NO_ENHANCEMENT = np.array([100.0, 101.0, 102.0, 103.0])


def slabs(shape=(12, 6, 6)) -> np.ndarray:
    """Zones 1, 2, 3 as three slabs of equal thickness along z."""
    return np.repeat([1, 2, 3], shape[0] // 3)[:, None, None] * np.ones(shape, dtype=int)


def zone_exam(zones: np.ndarray, noise: float = 2.0, seed: int = 0, curves: np.ndarray = CURVES, **geometry):
    """An exam with ``curves[label - 1]`` where ``zones`` is a label and no enhancement where it is 0."""
    table = np.vstack([NO_ENHANCEMENT, curves])
    signal = np.moveaxis(table[zones], -1, 0)
    signal = signal + np.random.default_rng(seed).normal(0, noise, size=signal.shape)
    return make_exam(signal, TIMES_S, **geometry)


def zone_maps(zones: np.ndarray, noise: float = 2.0, seed: int = 0, **geometry) -> KineticMaps:
    """The kinetic maps of ``zone_exam``, early and late at 90 and 270 s."""
    return compute_maps(zone_exam(zones, noise, seed, **geometry), PhaseChoice(1, 3, "test"))
