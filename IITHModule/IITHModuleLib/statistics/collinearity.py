"""How far features repeat each other: variance inflation and strong correlations."""

from __future__ import annotations

import numpy as np

from SubregionHabitatLib.errors import InputError

SEVERE_VIF = 10.0


def variance_inflation(design: np.ndarray) -> np.ndarray:
    """Variance inflation factor of each column (P,) of a design (N, P): the diagonal of the inverse correlation matrix.

    Infinite for columns that the others determine. Raises InputError for a constant column.
    """
    design = np.asarray(design, dtype=float)
    if design.ndim != 2 or len(design) < 2:
        raise InputError("Variance inflation needs a table with at least two rows.")
    if not (design.std(axis=0) > 0).all():
        raise InputError("A feature has the same value in every patient; leave it out.")
    if design.shape[1] == 1:
        return np.ones(1)
    correlation = np.corrcoef(design, rowvar=False)
    values, vectors = np.linalg.eigh(correlation)
    lost = values < 1e-10
    with np.errstate(divide="ignore"):
        factors = (vectors[:, ~lost] ** 2 / values[~lost]).sum(axis=1)
    factors[(vectors[:, lost] ** 2 > 1e-8).any(axis=1)] = np.inf
    return factors


def strong_pairs(design: np.ndarray, limit: float = 0.9) -> list[tuple[int, int, float]]:
    """Column pairs (i < j) with \\|Pearson correlation\\| above ``limit`` and that correlation, strongest first."""
    correlation = np.atleast_2d(np.corrcoef(np.asarray(design, dtype=float), rowvar=False))
    pairs = [
        (int(i), int(j), float(correlation[i, j])) for i, j in np.argwhere(np.triu(np.abs(correlation) > limit, 1))
    ]
    return sorted(pairs, key=lambda pair: -abs(pair[2]))
