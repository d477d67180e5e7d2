"""Contrast agent concentration in tissue: Parker's arterial input function and the extended Tofts model."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.interpolate import CubicSpline

# Parker et al., Magn Reson Med 2006;56:993-1000, table 1: mmol min, min, min, mmol, 1/min, 1/min, min.
PARKER_AREA = (0.809, 0.330)
PARKER_CENTER = (0.17046, 0.365)
PARKER_WIDTH = (0.0563, 0.132)
PARKER_ALPHA = 1.050
PARKER_BETA = 0.1685
PARKER_SLOPE = 38.078
PARKER_DELAY = 0.483
HEMATOCRIT = 0.42

# Simpson intervals per convolution: 0.1 s steps over 7 minutes, ample for the first pass (width 3.4 s).
_INTERVALS = 4096
# Above this many distinct kep the convolution is tabulated in log kep and interpolated (error below 1e-7).
_TABLE_SIZE = 256


def parker_blood_concentration(minutes: np.ndarray) -> np.ndarray:
    """Population concentration in whole blood, mM, ``minutes`` after arrival (Parker 2006, eq. 1); 0 before."""
    t = np.asarray(minutes, dtype=np.float64)
    later = np.maximum(t, 0.0)
    bolus = sum(
        area / (width * math.sqrt(2 * math.pi)) * np.exp(-((later - center) ** 2) / (2 * width**2))
        for area, center, width in zip(PARKER_AREA, PARKER_CENTER, PARKER_WIDTH, strict=True)
    )
    wash_out = PARKER_ALPHA * np.exp(-PARKER_BETA * later) / (1 + np.exp(-PARKER_SLOPE * (later - PARKER_DELAY)))
    return np.where(t >= 0, bolus + wash_out, 0.0)


def plasma_concentration(minutes: np.ndarray) -> np.ndarray:
    """Concentration in plasma, mM: whole blood over 1 - hematocrit (0.42)."""
    return parker_blood_concentration(minutes) / (1 - HEMATOCRIT)


def extended_tofts(
    minutes: np.ndarray,
    ktrans_per_min: np.ndarray | float,
    ve: np.ndarray | float,
    vp: np.ndarray | float,
    plasma: Callable[[np.ndarray], np.ndarray] = plasma_concentration,
) -> np.ndarray:
    """Tissue concentration in mM, shape (T, *voxels), of the extended Tofts model.

    Ct(t) = vp Cp(t) + Ktrans * integral_0^t Cp(u) exp(-(Ktrans/ve)(t-u)) du (Tofts, JMRI 1997;7:91-101).
    minutes: (T,) since arrival, 0 or less gives 0; the parameters broadcast together to the voxel shape; where
    ktrans is 0 only the plasma term is left, whatever ve is.
    """
    times = np.atleast_1d(np.asarray(minutes, dtype=np.float64))
    ktrans, ve, vp = np.broadcast_arrays(*(np.asarray(v, dtype=np.float64) for v in (ktrans_per_min, ve, vp)))
    kep = np.where(ktrans > 0, ktrans / np.where(ve > 0, ve, 1.0), 0.0)
    leakage = _convolution(times, kep.ravel(), plasma).reshape(times.shape + kep.shape)
    in_plasma = np.where(times > 0, plasma(times), 0.0).reshape(times.shape + (1,) * kep.ndim)
    return vp * in_plasma + ktrans * leakage


def _convolution(times: np.ndarray, kep: np.ndarray, plasma: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """integral_0^t Cp(u) exp(-kep (t-u)) du in mM min, shape (T, N)."""
    unique, position = np.unique(kep, return_inverse=True)
    positive = unique[unique > 0]
    if positive.size <= _TABLE_SIZE:
        return _simpson(times, unique, plasma)[:, position]
    nodes = np.linspace(math.log(positive[0]), math.log(positive[-1]), _TABLE_SIZE)
    table = CubicSpline(nodes, _simpson(times, np.exp(nodes), plasma), axis=1)
    without_return = _simpson(times, unique[unique <= 0], plasma)
    return np.concatenate([without_return, table(np.log(positive))], axis=1)[:, position]


def _simpson(times: np.ndarray, kep: np.ndarray, plasma: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    result = np.zeros((times.size, kep.size))
    weights = np.full(_INTERVALS + 1, 2.0)
    weights[1::2] = 4.0
    weights[[0, -1]] = 1.0
    for row, t in enumerate(times):
        if t <= 0:
            continue
        u = np.linspace(0.0, t, _INTERVALS + 1)
        weighted = plasma(u) * weights * (t / _INTERVALS / 3)
        result[row] = np.exp(-np.outer(kep, t - u)) @ weighted
    return result
