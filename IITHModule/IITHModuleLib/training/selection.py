"""Selecting features and fitting a model on one set of patients: every step sees these patients alone.

What is called on a training fold is called again, as a whole, on every other fold, so nothing of a test patient takes
part in imputation, scaling, selection, resampling, the choice of the penalty or recalibration.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from SubregionHabitatLib.errors import InputError

from ..statistics.resampling import stratified_folds
from .cohort import Cohort
from .cox import fit_cox
from .lasso import ROUGH, CoxLoss, LogisticLoss, PenaltyChoice, choose_penalty, cox_deviance, lasso_path, penalty_grid
from .logistic import fit_logistic
from .penalized import fit_firth, fit_ridge
from .recipe import Steps
from .univariate import cox_p, welch_p

_PRESCREEN = 0.25  # a score test this far from 0.05 never has a Wald test below it


@dataclass(frozen=True)
class Fit:
    """A linear model of K features and Q clinical values of a cohort.

    columns (K,): places among the cohort's keys; clinical (Q,): places among its clinical names; fill (K+Q,): training
    medians for missing values; mean, sd, coefficients (K+Q,): per SD, features first; covariance: of (intercept and)
    coefficients, None after a lasso, which has no standard errors; passed: step -> features left after it.
    """

    columns: np.ndarray
    clinical: np.ndarray
    fill: np.ndarray = field(repr=False)
    mean: np.ndarray = field(repr=False)
    sd: np.ndarray = field(repr=False)
    coefficients: np.ndarray
    intercept: float
    covariance: np.ndarray | None = field(repr=False)
    log_likelihood: float | None
    passed: dict[str, int]
    penalty: float | None = None

    def design(self, cohort: Cohort) -> np.ndarray:
        """(N, K+Q) values of the model's inputs, missing ones filled with the training median."""
        raw = np.column_stack([cohort.values[:, self.columns], cohort.clinical[:, self.clinical]])
        return np.where(np.isnan(raw), self.fill, raw)

    def predictor(self, design: np.ndarray) -> np.ndarray:
        """Linear predictor (N,) of rows of ``design``."""
        return self.intercept + ((design - self.mean) / self.sd) @ self.coefficients

    def scores(self, cohort: Cohort) -> np.ndarray:
        """Linear predictor (N,) of a cohort's patients."""
        return self.predictor(self.design(cohort))


@dataclass(frozen=True)
class _Prepared:
    """Features left before the lasso: places, fill, mean, sd and p (K,); ``passed`` counts."""

    columns: np.ndarray
    fill: np.ndarray
    mean: np.ndarray
    sd: np.ndarray
    p: np.ndarray
    passed: dict[str, int]

    def z(self, values: np.ndarray) -> np.ndarray:
        raw = values[:, self.columns]
        return (np.where(np.isnan(raw), self.fill, raw) - self.mean) / self.sd


def prepare(cohort: Cohort, steps: Steps, rng: np.random.Generator) -> _Prepared:
    """Impute, leave out what does not vary, z-score, univariate filter, correlation filter: of these patients alone."""
    missing = np.isnan(cohort.values)
    columns = np.flatnonzero(missing.mean(axis=0) <= steps.most_missing)
    values = cohort.values[:, columns]
    fill = np.median(values, axis=0)
    gaps = np.flatnonzero(np.isnan(fill))
    if gaps.size:
        fill[gaps] = np.nanmedian(values[:, gaps], axis=0)
        values = np.where(np.isnan(values), fill, values)
    mean, sd = values.mean(axis=0), values.std(axis=0)
    varies = sd > 1e-9 * np.maximum(np.abs(mean), 1e-300)
    passed = {"features": cohort.values.shape[1], "complete enough and not constant": int(varies.sum())}
    columns, fill, mean, sd = (a[varies] for a in (columns, fill, mean, sd))
    z = (values[:, varies] - mean) / sd
    p = np.ones(columns.size)
    if steps.p_below is not None and columns.size:
        p = _p_values(cohort, z, _PRESCREEN if steps.p_below < 0.1 else 1.0)
        keep = p < steps.p_below
        columns, fill, mean, sd, p, z = (a[..., keep] for a in (columns, fill, mean, sd, p, z))
        passed[f"univariate p < {steps.p_below:g}"] = int(keep.sum())
    if steps.correlation is not None and columns.size:
        order = rng.permutation(columns.size) if steps.keep_random else np.argsort(p, kind="stable")
        keep = _uncorrelated(z, order, steps.correlation)
        columns, fill, mean, sd, p = (a[keep] for a in (columns, fill, mean, sd, p))
        passed[f"|r| at most {steps.correlation:g}"] = int(keep.size)
    return _Prepared(columns, fill, mean, sd, p, passed)


def _p_values(cohort: Cohort, z: np.ndarray, exact_below: float) -> np.ndarray:
    if cohort.time_days is None:
        return welch_p(z, cohort.event)
    return cox_p(z, cohort.time_days, cohort.event, exact_below)


def _uncorrelated(z: np.ndarray, order: np.ndarray, limit: float) -> np.ndarray:
    """Places (ascending) of the columns kept: in ``order``, each that is not too close to one kept before."""
    unit = z / np.linalg.norm(z, axis=0)
    close = np.zeros(z.shape[1], dtype=bool)
    kept = []
    for j in order:
        if not close[j]:
            kept.append(j)
            close |= np.abs(unit.T @ unit[:, j]) > limit
    return np.sort(np.array(kept, dtype=int))


def grouped_folds(cohort: Cohort, n_folds: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Test rows of ``n_folds`` folds with similar shares of events; all exams of a patient fall into one fold."""
    patients, place = np.unique(cohort.group, return_inverse=True)
    event = np.zeros(patients.size)
    np.maximum.at(event, place, cohort.event)
    return [np.flatnonzero(np.isin(place, fold)) for fold in stratified_folds(event, n_folds, rng)]


def inner_folds(cohort: Cohort, n_folds: int, rng: np.random.Generator) -> list[np.ndarray]:
    """As grouped_folds, with fewer folds where there are fewer patients with (or without) the event."""
    patients, place = np.unique(cohort.group, return_inverse=True)
    event = np.zeros(patients.size)
    np.maximum.at(event, place, cohort.event)
    rarer = int(min(event.sum(), patients.size - event.sum()))
    if rarer < 2:
        raise InputError("Fewer than two patients with or without the event are in a training fold; use fewer folds.")
    return grouped_folds(cohort, min(n_folds, rarer), rng)


def oversample(z: np.ndarray, outcome: np.ndarray, neighbors: int, rng: np.random.Generator):
    """SMOTE: synthetic patients of the rarer outcome until both are equally many (imbalanced-learn)."""
    try:
        from imblearn.over_sampling import SMOTE
    except ImportError:
        raise InputError(
            "The step smote needs the package imbalanced-learn; run `pip install 'iith[train]'` or remove the step."
        ) from None
    rarer = int(min(outcome.sum(), len(outcome) - outcome.sum()))
    if 2 * rarer == len(outcome) or rarer < 2:
        return z, outcome
    seed = int(rng.integers(2**31))
    return SMOTE(k_neighbors=min(neighbors, rarer - 1), random_state=seed).fit_resample(z, outcome)


def _loss_and_rows(cohort: Cohort, prepared: _Prepared, steps: Steps, rng):
    """The loss and standardized rows that the lasso sees, and the shift of the log odds that undoes the resampling."""
    z = prepared.z(cohort.values)
    if cohort.time_days is not None:
        return CoxLoss(cohort.time_days, cohort.event), z, 0.0
    if steps.neighbors is None:
        return LogisticLoss(cohort.event), z, 0.0
    rows, outcome = oversample(z, cohort.event, steps.neighbors, rng)
    share, resampled = cohort.event.mean(), outcome.mean()
    return LogisticLoss(outcome), rows, float(np.log(share / (1 - share)) - np.log(resampled / (1 - resampled)))


def fit_steps(cohort: Cohort, steps: Steps, rng: np.random.Generator) -> Fit:
    """Every step of ``steps`` on these patients. Raises InputError when the model cannot be fitted."""
    if steps.lasso_folds is None:
        return _fit_all(cohort, prepare(cohort, steps, rng), steps)
    prepared = prepare(cohort, steps, rng)
    radscore, inside = _fit_lasso(cohort, prepared, steps, rng)
    if cohort.clinical.shape[1]:
        return _with_clinical(cohort, radscore, inside, steps)
    return _recalibrated(cohort, radscore, inside) if steps.recalibrate else radscore


def _fit_all(cohort: Cohort, prepared: _Prepared, steps: Steps) -> Fit:
    """Without lasso: all prepared features and clinical values by maximum likelihood, Firth or ridge."""
    n_terms = prepared.columns.size + cohort.clinical.shape[1]
    if not n_terms:
        return _empty(cohort, prepared.passed)
    if n_terms >= min(cohort.n, 100):
        raise InputError(
            f"{n_terms} features for {cohort.n} patients cannot be fitted without selection; name fewer by --feature, "
            "or use a protocol with the step lasso."
        )
    clinical = np.arange(cohort.clinical.shape[1])
    raw = np.column_stack([cohort.values[:, prepared.columns], cohort.clinical])
    fill = np.concatenate([prepared.fill, np.zeros(clinical.size)])
    fit = _estimate(np.where(np.isnan(raw), fill, raw), cohort, steps)
    return Fit(
        prepared.columns, clinical, fill, fit.mean, fit.sd, fit.coefficients, getattr(fit, "intercept", 0.0),
        fit.covariance, fit.log_likelihood, prepared.passed | {"in the model": n_terms},
    )  # fmt: skip


def _estimate(design: np.ndarray, cohort: Cohort, steps: Steps):
    if cohort.time_days is not None:
        penalty = steps.ridge if steps.estimator == "ridge" else 0.0
        return fit_cox(design, cohort.time_days, cohort.event, penalty)
    if steps.estimator == "firth":
        return fit_firth(design, cohort.event)
    if steps.estimator == "ridge":
        return fit_ridge(design, cohort.event, steps.ridge)
    try:
        return fit_logistic(design, cohort.event)
    except InputError as error:
        raise InputError(f"{str(error).rstrip('.')}; or give --penalty firth or ridge.") from None


def _empty(cohort: Cohort, passed: dict[str, int]) -> Fit:
    """The model without inputs: the share of events, or no difference in hazard."""
    none = np.empty(0)
    share = cohort.event.mean()
    intercept = float(np.log(share / (1 - share))) if cohort.time_days is None else 0.0
    return Fit(none.astype(int), none.astype(int), none, none, none, none, intercept, None, None,
               passed | {"in the model": 0})  # fmt: skip


def _fit_lasso(cohort: Cohort, prepared: _Prepared, steps: Steps, rng) -> tuple[Fit, np.ndarray]:
    """The lasso, its penalty chosen by folds in which everything is repeated; and the out-of-fold predictor (N,)."""
    if not prepared.columns.size:
        empty = _empty(cohort, prepared.passed)
        return empty, np.full(cohort.n, empty.intercept)
    loss, rows, shift = _loss_and_rows(cohort, prepared, steps, rng)
    grid = penalty_grid(loss, rows, steps.n_penalties, steps.least_share)
    choice, inside = penalty_by_folds(cohort, steps, grid, rng)
    best = choice.one_se if steps.one_se else choice.at_minimum
    path = lasso_path(loss, rows, grid[: best + 1])
    coefficients = path.coefficients[-1]
    used = np.flatnonzero(coefficients)
    if not used.size:
        return _empty(cohort, prepared.passed), inside[best]
    return (
        Fit(
            prepared.columns[used], np.empty(0, dtype=int), prepared.fill[used], prepared.mean[used],
            prepared.sd[used], coefficients[used], float(path.intercepts[-1] + shift), None, None,
            prepared.passed | {"in the model": used.size}, float(grid[best]),
        ),
        inside[best],
    )  # fmt: skip


def penalty_by_folds(cohort: Cohort, steps: Steps, grid: np.ndarray, rng) -> tuple[PenaltyChoice, np.ndarray]:
    """Cross-validated deviance of every penalty, all steps inside the folds, and out-of-fold predictors (L, N)."""
    inside = np.zeros((grid.size, cohort.n))

    def deviance(train: np.ndarray, test: np.ndarray):
        part = cohort.take(train)
        prepared = prepare(part, steps, rng)
        if prepared.columns.size:
            loss, rows, shift = _loss_and_rows(part, prepared, steps, rng)
            predictors = lasso_path(loss, rows, grid, tolerance=ROUGH).predictors(prepared.z(cohort.values)) + shift
        else:
            predictors = np.full((grid.size, cohort.n), _empty(part, {}).intercept)
        inside[:, test] = predictors[:, test]
        if cohort.time_days is not None:
            return cox_deviance(cohort.time_days, cohort.event, predictors, train), cohort.event[test].sum()
        log_loss = np.logaddexp(0, predictors[:, test]) - cohort.event[test] * predictors[:, test]
        return 2 * log_loss.sum(axis=1), float(test.size)

    choice = choose_penalty(grid, inner_folds(cohort, steps.lasso_folds, rng), deviance)
    return choice, inside


def _with_clinical(cohort: Cohort, radscore: Fit, inside: np.ndarray, steps: Steps) -> Fit:
    """Radiomic score and clinical values in one model.

    The score enters as it was out of fold: as fitted it would be too good on its own patients, and would be given too
    much weight. The weight of the score multiplies its coefficients, so that the result is one linear model.
    """
    clinical = cohort.clinical
    has_score = radscore.columns.size and np.ptp(inside) > 1e-9
    design = np.column_stack([inside, clinical]) if has_score else clinical
    how = Steps(estimator="maximum likelihood" if steps.estimator == "lasso" else steps.estimator, ridge=steps.ridge)
    if cohort.time_days is None and how.estimator == "maximum likelihood":
        how = Steps(estimator="firth")  # few events and rare values: finite where the likelihood has no maximum
    fit = _estimate(design, cohort, how)
    weight = float(fit.coefficients[0] / fit.sd[0]) if has_score else 0.0
    own = fit.coefficients[1:] if has_score else fit.coefficients
    mean, sd = fit.mean[-clinical.shape[1] :], fit.sd[-clinical.shape[1] :]
    intercept = 0.0
    if cohort.time_days is None:
        at_zero = fit.intercept - (weight * fit.mean[0] if has_score else 0.0)
        intercept = at_zero + weight * radscore.intercept
    kept = radscore.columns.size if has_score else 0
    return Fit(
        radscore.columns[:kept], np.arange(clinical.shape[1]),
        np.concatenate([radscore.fill[:kept], np.zeros(clinical.shape[1])]),
        np.concatenate([radscore.mean[:kept], mean]), np.concatenate([radscore.sd[:kept], sd]),
        np.concatenate([weight * radscore.coefficients[:kept], own]), intercept, None, None,
        radscore.passed | {"in the model": kept + clinical.shape[1]}, radscore.penalty,
    )  # fmt: skip


def _recalibrated(cohort: Cohort, fit: Fit, inside: np.ndarray) -> Fit:
    """Intercept and slope of the log odds fitted anew on out-of-fold predictions; a slope that is not positive says
    that nothing was learned, and then only the intercept is fitted."""
    if not fit.columns.size or np.ptp(inside) < 1e-9:
        return fit
    try:
        line = fit_logistic(inside[:, None], cohort.event)
        slope = float(line.coefficients[0] / line.sd[0])
    except InputError:
        return fit
    if slope <= 0:
        share = cohort.event.mean()
        shift = float(np.log(share / (1 - share)) - inside.mean())
        return _scaled(fit, 1.0, fit.intercept + shift)
    return _scaled(fit, slope, line.intercept - slope * float(line.mean[0]) + slope * fit.intercept)


def _scaled(fit: Fit, factor: float, intercept: float) -> Fit:
    return Fit(fit.columns, fit.clinical, fit.fill, fit.mean, fit.sd, fit.coefficients * factor, intercept, None, None,
               fit.passed, fit.penalty)  # fmt: skip
