"""A nomogram: points per value of each term, and what a total of points predicts.

points = 100 (b x - min b x) / (largest range of b x over the terms), so the term with the largest influence spans 0 to
100; the total gives back the linear predictor, and S0(t)^exp(predictor) the survival.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from SubregionHabitatLib.errors import InputError


@dataclass(frozen=True)
class NomogramTerm:
    """One axis. columns: the design columns of the term; for a number ``low`` and ``high`` are the ends of its axis,
    for a category ``levels`` holds (name, points), the reference level included."""

    name: str
    columns: tuple[int, ...]
    low: float | None
    high: float | None
    points_low: float | None
    points_high: float | None
    levels: tuple[tuple[str, float], ...] = ()

    @property
    def span(self) -> tuple[float, float]:
        """Smallest and largest points of the axis."""
        values = [p for _, p in self.levels] or [self.points_low, self.points_high]
        return min(values), max(values)


@dataclass(frozen=True)
class Nomogram:
    """terms; ``per_point``: linear predictor per point; ``offset``: linear predictor at 0 points."""

    terms: tuple[NomogramTerm, ...]
    coefficients: np.ndarray
    shift: np.ndarray
    per_point: float
    offset: float

    def points(self, design) -> np.ndarray:
        """Points of each term (N, terms) for design rows (N, P)."""
        parts = np.asarray(design, float) * self.coefficients
        sums = np.column_stack([parts[:, list(term.columns)].sum(axis=1) for term in self.terms])
        return (sums - self.shift) / self.per_point

    def predictor(self, total) -> np.ndarray:
        """Linear predictor (of the raw design, without centering) for totals of points."""
        return self.offset + self.per_point * np.asarray(total, float)

    def total(self, predictor) -> np.ndarray:
        """Total of points for linear predictors."""
        return (np.asarray(predictor, float) - self.offset) / self.per_point

    @property
    def largest_total(self) -> float:
        return float(sum(term.span[1] for term in self.terms))


def nomogram(design, coefficients, terms) -> Nomogram:
    """Nomogram of a linear model.

    design (N, P): the patients whose ranges the axes span; coefficients (P,) per unit of the design; terms: a list of
    (name, columns, level names or None). Level names, the reference first, mark a category in 0/1 columns.
    Raises InputError when no term has any influence.
    """
    design, coefficients = np.asarray(design, float), np.asarray(coefficients, float)
    lows, highs = [], []
    for _, columns, levels in terms:
        if levels is None:
            reached = design[:, columns[0]] * coefficients[columns[0]]
        else:
            reached = np.concatenate([[0.0], coefficients[list(columns)]])
        lows.append(reached.min())
        highs.append(reached.max())
    shift = np.array(lows)
    per_point = float(np.max(np.array(highs) - shift)) / 100
    if not per_point > 0:
        raise InputError("A nomogram needs a term with an influence; every coefficient is 0.")
    axes = []
    for (name, columns, levels), low in zip(terms, lows, strict=True):
        if levels is None:
            x = design[:, columns[0]]
            ends = [float((coefficients[columns[0]] * v - low) / per_point) for v in (x.min(), x.max())]
            axes.append(NomogramTerm(name, tuple(columns), float(x.min()), float(x.max()), *ends))
        else:
            values = np.concatenate([[0.0], coefficients[list(columns)]])
            named = tuple((str(n), float((v - low) / per_point)) for n, v in zip(levels, values, strict=True))
            axes.append(NomogramTerm(name, tuple(columns), None, None, None, None, named))
    return Nomogram(tuple(axes), coefficients, shift, per_point, float(shift.sum()))
