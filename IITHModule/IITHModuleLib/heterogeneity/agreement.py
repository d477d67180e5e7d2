"""How far two groupings of the same patients agree."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from SubregionHabitatLib.errors import InputError


@dataclass(frozen=True)
class Agreement:
    """share: of patients in the same group, 0..1; kappa: Cohen's, 1 perfect, 0 as by chance, None when only one group
    occurs and chance alone agrees."""

    share: float
    kappa: float | None
    n: int

    def to_json(self) -> dict:
        return asdict(self)


def cohen_kappa(first: np.ndarray, second: np.ndarray) -> Agreement:
    """Agreement of two label lists (N,) that name the groups alike (Cohen 1960)."""
    first, second = np.asarray(first), np.asarray(second)
    if first.shape != second.shape or first.ndim != 1 or not first.size:
        raise InputError("Two groupings are compared patient by patient; give one group per patient in both.")
    share = float(np.mean(first == second))
    names = np.union1d(first, second)
    chance = float(sum(np.mean(first == name) * np.mean(second == name) for name in names))
    return Agreement(share, None if chance >= 1 else (share - chance) / (1 - chance), int(first.size))


def adjusted_rand(first: np.ndarray, second: np.ndarray) -> float:
    """Adjusted Rand index of two label lists (N,): 1 for the same partition whatever its names, about 0 by chance."""
    first, second = np.asarray(first), np.asarray(second)
    if first.shape != second.shape or first.ndim != 1 or not first.size:
        raise InputError("Two groupings are compared patient by patient; give one group per patient in both.")
    table = np.zeros((np.unique(first).size, np.unique(second).size))
    np.add.at(table, (np.unique(first, return_inverse=True)[1], np.unique(second, return_inverse=True)[1]), 1)

    def pairs(counts):
        return float((counts * (counts - 1) / 2).sum())

    both, rows, columns = pairs(table), pairs(table.sum(axis=1)), pairs(table.sum(axis=0))
    total = first.size * (first.size - 1) / 2
    expected = rows * columns / total if total else 0.0
    largest = (rows + columns) / 2
    return 1.0 if largest == expected else (both - expected) / (largest - expected)
