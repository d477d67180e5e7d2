"""Lasso paths of logistic and Cox models with exact zeros, and the choice of the penalty by cross-validation.

The objective is glmnet's: mean negative log likelihood + penalty * sum of absolute coefficients on z-scored columns,
ties in time by Breslow, an intercept without penalty. It is solved by Newton steps whose quadratic problem is solved
over the active columns exactly, until the optimality conditions hold for every column.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from SubregionHabitatLib.errors import InputError

TOLERANCE = 1e-8  # of the optimality conditions, on the scale of the gradient
ROUGH = 1e-5  # enough to choose a penalty by
_MAX_NEWTON = 60
_MAX_SWEEPS = 2000
# glmnet ends a path where another step explains next to nothing more.
_LEAST_GAIN, _MOST_EXPLAINED = 1e-5, 0.999


class LogisticLoss:
    """Mean negative log likelihood of a 0/1 outcome (N,); the model has an intercept."""

    has_intercept = True

    def __init__(self, outcome: np.ndarray) -> None:
        self.outcome = np.asarray(outcome, dtype=float)
        self.n = self.outcome.size
        share = self.outcome.mean()
        if not 0 < share < 1:
            raise InputError("Every patient has the same outcome; a model needs patients with and without it.")
        self.null_predictor = float(np.log(share / (1 - share)))
        self.null_value = self.value(np.full(self.n, self.null_predictor))

    def value(self, predictor: np.ndarray) -> float:
        return float(np.mean(np.logaddexp(0, predictor) - self.outcome * predictor))

    def gradient(self, predictor: np.ndarray) -> np.ndarray:
        """(N,) derivative by the linear predictor."""
        return (1 / (1 + np.exp(-predictor)) - self.outcome) / self.n

    def curvature(self, predictor: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """(A, A) second derivative by the coefficients of ``columns`` (N, A)."""
        p = 1 / (1 + np.exp(-predictor))
        return columns.T @ ((p * (1 - p) / self.n)[:, None] * columns)


class CoxLoss:
    """Mean negative log partial likelihood (Breslow's ties) of times and events (N,); without intercept."""

    has_intercept = False
    null_predictor = 0.0

    def __init__(self, times: np.ndarray, events: np.ndarray) -> None:
        times, events = np.asarray(times, dtype=float), np.asarray(events, dtype=float)
        if not events.any():
            raise InputError("No patient has an event; a Cox model needs events.")
        self.n = times.size
        self._order = np.argsort(times, kind="stable")
        ordered, self._event = times[self._order], events[self._order]
        # Of every patient: the first row of its risk set, and the last row that shares its time.
        self._first = np.searchsorted(ordered, ordered, side="left")
        self._last = np.searchsorted(ordered, ordered, side="right") - 1
        self.null_value = self.value(np.zeros(self.n))
        # Log likelihood of the saturated model; not 0 where events share a time (glmnet's deviance counts it).
        tied = np.unique(ordered[self._event > 0], return_counts=True)[1]
        self.saturated = -float(np.sum(tied * np.log(tied)))

    def value(self, predictor: np.ndarray) -> float:
        ordered = predictor[self._order]
        top = ordered.max()
        risk = np.cumsum(np.exp(ordered - top)[::-1])[::-1][self._first]
        return float(np.sum(self._event * (np.log(risk) + top - ordered)) / self.n)

    def deviance(self, predictor: np.ndarray) -> float:
        """Twice the distance from the saturated model."""
        return 2 * (self.saturated + self.n * self.value(predictor))

    def _parts(self, predictor: np.ndarray):
        ordered = predictor[self._order]
        weight = np.exp(ordered - ordered.max())
        risk = np.cumsum(weight[::-1])[::-1][self._first]
        return weight, risk

    def gradient(self, predictor: np.ndarray) -> np.ndarray:
        weight, risk = self._parts(predictor)
        share = np.cumsum(self._event / risk)[self._last]
        result = np.empty(self.n)
        result[self._order] = (weight * share - self._event) / self.n
        return result

    def curvature(self, predictor: np.ndarray, columns: np.ndarray) -> np.ndarray:
        weight, risk = self._parts(predictor)
        ordered = columns[self._order]
        share = np.cumsum(self._event / risk)[self._last]
        weighted = np.cumsum((weight[:, None] * ordered)[::-1], axis=0)[::-1][self._first]
        mean = weighted / risk[:, None]
        return (ordered.T @ ((weight * share)[:, None] * ordered) - mean.T @ (self._event[:, None] * mean)) / self.n


Loss = LogisticLoss | CoxLoss


@dataclass(frozen=True)
class LassoPath:
    """penalties (L,) falling; coefficients (L, P) of the columns as given; intercepts (L,), 0 for Cox."""

    penalties: np.ndarray
    coefficients: np.ndarray
    intercepts: np.ndarray

    def predictors(self, columns: np.ndarray) -> np.ndarray:
        """Linear predictors (L, N) of rows (N, P)."""
        return self.intercepts[:, None] + self.coefficients @ columns.T


def largest_penalty(loss: Loss, columns: np.ndarray) -> float:
    """The smallest penalty at which every coefficient is 0."""
    return float(np.abs(columns.T @ loss.gradient(np.full(loss.n, loss.null_predictor))).max())


def penalty_grid(loss: Loss, columns: np.ndarray, n: int = 100, least_share: float | None = None) -> np.ndarray:
    """``n`` penalties from the largest down to ``least_share`` of it (as glmnet: 1e-4, or 0.01 where P >= N)."""
    if least_share is None:
        least_share = 0.01 if columns.shape[1] >= len(columns) else 1e-4
    return largest_penalty(loss, columns) * np.geomspace(1, least_share, n)


def lasso_path(
    loss: Loss, columns: np.ndarray, penalties: Sequence[float], stop_early: bool = False, tolerance: float = TOLERANCE
) -> LassoPath:
    """Coefficients for each penalty (falling) of columns (N, P), which should be standardized.

    stop_early: end the path where glmnet would, so that it may be shorter than ``penalties``; tolerance: of the
    optimality conditions (glmnet's own default is near ROUGH).
    """
    columns = np.ascontiguousarray(columns, dtype=float)
    penalties = np.asarray(penalties, dtype=float)
    solver = _Solver(loss, columns, tolerance)
    coefficients, intercepts, explained = [], [], 0.0
    for k, penalty in enumerate(penalties):
        solver.solve(float(penalty))
        coefficients.append(solver.full())
        intercepts.append(solver.intercept)
        now = 1 - loss.value(solver.predictor) / loss.null_value
        if stop_early and k >= 5 and (now - explained < _LEAST_GAIN * now or now > _MOST_EXPLAINED):
            break
        explained = now
    return LassoPath(penalties[: len(coefficients)], np.array(coefficients), np.array(intercepts))


class _Solver:
    """One path: the active columns and their coefficients carry over from penalty to penalty."""

    def __init__(self, loss: Loss, columns: np.ndarray, tolerance: float) -> None:
        self.loss, self.columns, self.tolerance = loss, columns, tolerance
        self.active = np.empty(0, dtype=int)
        self.coefficients = np.empty(0)
        self.intercept = loss.null_predictor
        self.predictor = np.full(loss.n, loss.null_predictor)

    def full(self) -> np.ndarray:
        result = np.zeros(self.columns.shape[1])
        result[self.active] = self.coefficients
        return result

    def solve(self, penalty: float) -> None:
        while True:
            self._newton(penalty)
            gradient = self.columns.T @ self.loss.gradient(self.predictor)
            gradient[self.active] = 0
            broken = np.flatnonzero(np.abs(gradient) > penalty + self.tolerance)
            if not broken.size:
                keep = self.coefficients != 0
                self.active, self.coefficients = self.active[keep], self.coefficients[keep]
                return
            # The worst first: most of the others are repaired with them.
            worst = broken[np.argsort(-np.abs(gradient[broken]))[:10]]
            self.active = np.concatenate([self.active, worst])
            self.coefficients = np.concatenate([self.coefficients, np.zeros(worst.size)])

    def _newton(self, penalty: float) -> None:
        loss = self.loss
        chosen = self.columns[:, self.active]
        if loss.has_intercept:
            chosen = np.column_stack([np.ones(loss.n), chosen])
        if not chosen.shape[1]:
            return
        free = int(loss.has_intercept)
        b = np.concatenate([[self.intercept] * free, self.coefficients])
        penalties = np.full(b.size, penalty)
        penalties[:free] = 0
        eta = chosen @ b
        objective = loss.value(eta) + penalties @ np.abs(b)
        for _ in range(_MAX_NEWTON):
            gradient = chosen.T @ loss.gradient(eta)
            if _violation(b, gradient, penalties) < self.tolerance:
                break
            curvature = loss.curvature(eta, chosen)
            curvature[np.diag_indices_from(curvature)] += 1e-10
            target = _signed_search(curvature, gradient, b, penalties)
            step = 1.0
            while True:
                trial = b + step * (target - b)
                trial_eta = chosen @ trial
                value = loss.value(trial_eta) + penalties @ np.abs(trial)
                if value <= objective + 1e-14 or step < 1e-6:
                    break
                step /= 2
            b, eta, objective = trial, trial_eta, value
        if free:
            self.intercept = float(b[0])
        self.coefficients, self.predictor = b[free:], eta


def _violation(b: np.ndarray, gradient: np.ndarray, penalties: np.ndarray) -> float:
    off = np.where(b != 0, np.abs(gradient + penalties * np.sign(b)), np.maximum(np.abs(gradient) - penalties, 0))
    return float(off.max())


def _signed_search(curvature, gradient, start, penalties) -> np.ndarray:
    """Minimum of the quadratic model at ``start`` plus the penalties, by feature-sign search (Lee et al., NIPS 2006).

    With the signs fixed the minimum over the columns in the model is a linear system; a column whose sign would flip
    leaves at the best point on the way, and the column that breaks its condition most enters.
    """
    b = start.copy()
    linear = gradient - curvature @ start
    free = penalties == 0
    inside = free | (b != 0)
    signs = np.sign(b)
    signs[free] = 0
    for _ in range(_MAX_SWEEPS):
        place = np.flatnonzero(inside)
        if place.size:
            system, right = curvature[np.ix_(place, place)], -(linear[place] + (penalties * signs)[place])
            target = np.linalg.solve(system, right)
            here = b[place]
            flips = (target * signs[place] < 0) & ~free[place]
            if flips.any():
                best = _best_on_the_way(system, linear[place], penalties[place], here, target, flips)
                b[place] = best
                zero = place[(np.abs(best) < 1e-14) & ~free[place]]
                b[zero], signs[zero], inside[zero] = 0.0, 0.0, False
                changed = inside & ~free
                signs[changed] = np.sign(b[changed])
                continue
            b[place] = target
        slope = linear + curvature @ b
        broken = np.where(inside, 0.0, np.abs(slope) - penalties)
        worst = int(np.argmax(broken))
        if broken[worst] <= 0.1 * TOLERANCE:
            return b
        inside[worst], signs[worst] = True, -np.sign(slope[worst])
    return b


def _best_on_the_way(system, linear, penalties, here, target, flips) -> np.ndarray:
    """The point with the lowest objective among the target and the sign changes between here and there."""
    points = [target]
    for k in np.flatnonzero(flips):
        # A column that just entered at 0 and would move the other way leaves again: its step is 0.
        point = here + here[k] / (here[k] - target[k]) * (target - here)
        point[k] = 0.0
        points.append(point)
    values = [linear @ x + 0.5 * x @ system @ x + penalties @ np.abs(x) for x in points]
    return points[int(np.argmin(values))]


@dataclass(frozen=True)
class PenaltyChoice:
    """Cross-validated deviance per event (Cox) or patient (logistic) of each penalty, and which penalty it suggests.

    at_minimum, one_se: places on the grid; the second is the largest penalty within one standard error.
    """

    penalties: np.ndarray
    deviance: np.ndarray
    spread: np.ndarray
    at_minimum: int
    one_se: int


def choose_penalty(
    penalties: np.ndarray, folds: Sequence[np.ndarray], fold_deviance: Callable[[np.ndarray, np.ndarray], tuple]
) -> PenaltyChoice:
    """glmnet's choice. fold_deviance(train_rows, test_rows) -> (total deviance (L,), weight of the fold).

    The deviance of the folds is averaged with their weights (events, or patients).
    """
    everyone = np.sort(np.concatenate(folds))
    totals, weights = [], []
    for test in folds:
        total, weight = fold_deviance(np.setdiff1d(everyone, test, assume_unique=True), test)
        if weight > 0:
            totals.append(total / weight)
            weights.append(weight)
    if len(totals) < 2:
        raise InputError("Fewer than two folds hold events; use fewer folds or more patients.")
    raw, weight = np.array(totals), np.array(weights, dtype=float)[:, None]
    mean = (weight * raw).sum(axis=0) / weight.sum()
    spread = np.sqrt((weight * (raw - mean) ** 2).sum(axis=0) / weight.sum() / (len(raw) - 1))
    best = int(np.argmin(mean))
    within = int(np.flatnonzero(mean <= mean[best] + spread[best])[0])
    return PenaltyChoice(np.asarray(penalties), mean, spread, best, within)


def cox_deviance(times, events, predictors: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Deviance (L,) that the left-out patients add: that of everybody minus that of the training rows, for linear
    predictors (L, N) of everybody by a model of the training rows (van Houwelingen's cross-validated likelihood)."""
    everybody, inside = CoxLoss(times, events), CoxLoss(times[train], events[train])
    return np.array([everybody.deviance(p) - inside.deviance(p[train]) for p in predictors])
