"""The signal of fat across an image: the yardstick by which breast tissue is told apart without absolute units.

Fat lies under the skin everywhere and makes up most of a breast; with fat suppression it is darker than parenchyma and
muscle, without it brighter. Its signal varies smoothly with the receive coil and the quality of the suppression.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .errors import InputError

FAT_SIGNALS = ("auto", "suppressed", "bright")
# Subcutaneous fat is sought this deep under the (coarse) surface: below the skin, above most parenchyma.
SUBCUTANEOUS_MM = (3.5, 10.0)
# Fat is not suppressed where hardly any tissue (this percentile) is this much brighter than subcutaneous fat.
BRIGHT_PERCENTILE = 97.0
BRIGHT_OVER_FAT = 1.4
# Signal within this factor of the current estimate counts as fat when its smooth field is fitted: first, in a wide
# range, a plane to fat under the skin; then a quadratic to all fat. There the range is narrow towards muscle and
# parenchyma (muscle is often only 1.5 times as bright as suppressed fat); away from them, where fat fades with the
# coil's reach, it is wide at first.
PLANE_FACTOR = 2.0
NARROW_FACTOR = 1.3
WIDE_FACTOR = 2.2
FIT_ROUNDS = 10
FIT_VOXELS = 40_000
# The fit trusts fat near the skin most: deep "fat" may be muscle. Weights fall by e over this depth.
FIT_DEPTH_MM = 35.0
# Correction of a smooth field is not taken beyond this factor from its middle.
MAX_FIELD = 4.0


@dataclass(frozen=True)
class FatReference:
    """signal: (Z, Y, X) float32, expected signal of fat after the noise floor is removed; suppressed: whether fat is

    darker than parenchyma; level: most common signal of

    subcutaneous fat; contrast: bright tissue over fat, the number by
    which ``suppressed`` was decided."""

    signal: np.ndarray
    suppressed: bool
    level: float
    contrast: float


def without_noise_floor(means: np.ndarray, air_level: float) -> np.ndarray:
    """Signal with the floor of magnitude noise removed in quadrature (Rician: E[M^2] = A^2 + 2 sigma^2), float32.

    ``air_level`` is the mean of the air, sigma * sqrt(pi / 2).
    """
    floor = (2 / np.sqrt(np.pi) * air_level) ** 2
    return np.sqrt(np.maximum(means.astype(np.float32) ** 2 - np.float32(floor), 0))


def find_fat(signal: np.ndarray, body: np.ndarray, depth_mm: np.ndarray, fat_signal: str = "auto") -> FatReference:
    """The fat reference of ``signal`` (noise floor removed) on the patient grid.

    fat_signal: "auto", or "suppressed" / "bright" where the sequence is known. Without a surface (a crop inside
    the breast) fat is the most common signal.
    """
    if fat_signal not in FAT_SIGNALS:
        raise InputError(f"The fat signal {fat_signal!r} is unknown; choose one of {FAT_SIGNALS}.")
    tissue = body & (signal > 0)
    if not tissue.any():
        raise InputError("The pre-contrast image holds no signal; check the pre-contrast phase.")
    under_skin = tissue & (depth_mm >= SUBCUTANEOUS_MM[0]) & (depth_mm <= SUBCUTANEOUS_MM[1])
    has_surface = under_skin.sum() >= 50
    level = _most_common(signal[under_skin if has_surface else tissue])
    deeper = tissue & (depth_mm >= SUBCUTANEOUS_MM[0])
    deeper = deeper if deeper.any() else tissue
    near = under_skin if has_surface else deeper
    depth = depth_mm if has_surface else np.zeros_like(depth_mm)
    flat = np.eye(10)[0] * np.log(level)
    plane = _fit(signal, near, depth, flat, 4, (PLANE_FACTOR, PLANE_FACTOR))
    contrast = float(np.percentile(signal[deeper] / _field(plane, deeper)[deeper], BRIGHT_PERCENTILE))
    suppressed = contrast > BRIGHT_OVER_FAT if fat_signal == "auto" else fat_signal == "suppressed"
    factors = (WIDE_FACTOR, NARROW_FACTOR) if suppressed else (NARROW_FACTOR, WIDE_FACTOR)
    field = _field(_fit(signal, deeper, depth, plane, 10, factors), deeper)
    return FatReference(field, suppressed, level, contrast)


def _most_common(values: np.ndarray) -> float:
    """Mode of the logarithm of ``values`` > 0."""
    logs = np.log(values)
    low, high = np.percentile(logs, [1, 99])
    counts, edges = np.histogram(logs, bins=64, range=(low - 1e-3, high + 1e-3))
    counts = np.convolve(counts, np.ones(5), mode="same")
    at = int(np.argmax(counts))
    return float(np.exp((edges[at] + edges[at + 1]) / 2))


def _fit(signal, where, depth_mm, coefficients, n_terms, factors) -> np.ndarray:
    """Coefficients of the first ``n_terms`` polynomial terms of position, fitted to the log signal ``where``.

    Least squares over the voxels within ``factors`` (below, above) of the current estimate, repeated in ever narrower
    ranges.
    """
    index = np.flatnonzero(where.ravel())
    index = index[:: max(1, index.size // FIT_VOXELS)]
    half = _half(signal.shape)
    terms = _terms(*((np.stack(np.unravel_index(index, signal.shape), axis=1) - half) / half).T)
    logs = np.log(signal.ravel()[index])
    weight = np.sqrt(np.exp(-np.maximum(depth_mm.ravel()[index], 0) / FIT_DEPTH_MM))
    # A small pull towards a flat field, so that corners without fat do not run away.
    pull = 0.02 * np.sqrt(index.size) * np.diag([0.0] + [1.0] * (n_terms - 1))
    below, above = np.log(factors)
    for _ in range(FIT_ROUNDS):
        off = logs - terms @ coefficients
        near = (off > -below) & (off < above)
        if near.sum() < 100:
            break
        # Normal equations: a few terms of order 1 on [-1, 1] are well conditioned, and this is ten times as fast.
        rows = terms[near, :n_terms] * weight[near, None]
        coefficients = np.zeros(terms.shape[1])
        coefficients[:n_terms] = np.linalg.solve(rows.T @ rows + pull.T @ pull, rows.T @ (logs[near] * weight[near]))
        below, above = (max(np.log(NARROW_FACTOR), 0.85 * width) for width in (below, above))
    return coefficients


def _field(coefficients: np.ndarray, tissue: np.ndarray) -> np.ndarray:
    """exp of the polynomial on the grid of ``tissue`` (Z, Y, X), kept within MAX_FIELD of its median in it."""
    half = _half(tissue.shape)
    axes = [(np.arange(n, dtype=np.float32) - h) / h for n, h in zip(tissue.shape, half, strict=True)]
    field = np.zeros(tissue.shape, dtype=np.float32)
    for c, term in zip(coefficients, _terms(*np.ix_(*axes)), strict=True):
        field += np.float32(c) * term
    middle = float(np.median(field[tissue]))
    return np.exp(np.clip(field, middle - np.log(MAX_FIELD), middle + np.log(MAX_FIELD)))


def _half(shape: tuple[int, int, int]) -> np.ndarray:
    return np.maximum((np.array(shape) - 1) / 2, 1)


def _terms(z, y, x):
    """The ten terms of a quadratic polynomial: columns for vectors, a list for open grids."""
    terms = [1 + 0 * z, z, y, x, z * y, y * x, z * x, z * z, y * y, x * x]
    return np.stack(terms, axis=1) if np.ndim(z) == 1 else terms
