"""Nested, repeated, patient-grouped cross-validation of a whole selection, its optimism, and the paper's own order.

The paper's order selects (and oversamples) on all patients before it cross-validates the last step. On pure noise that
finds a good model; it is replayed for comparison only, and everything it makes is marked as optimistic.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from SubregionHabitatLib.errors import InputError

from ..statistics.auc import auc_delong
from ..statistics.concordance import harrell_c
from ..statistics.resampling import stratified_folds
from .cohort import Cohort
from .cox import fit_cox
from .lasso import ROUGH, CoxLoss, LogisticLoss, choose_penalty, cox_deviance, lasso_path, penalty_grid
from .logistic import fit_logistic
from .penalized import fit_firth
from .recipe import Steps
from .selection import Fit, fit_steps, grouped_folds, oversample, prepare

Progress = Callable[[str], None]


def cross_validate(
    cohort: Cohort, steps: Steps, folds: int, repeats: int, seed: int, progress: Progress = lambda message: None
) -> np.ndarray:
    """Out-of-fold linear predictors (repeats, N); every step is done anew in every fold."""
    rng = np.random.default_rng(seed)
    scores = np.empty((repeats, cohort.n))
    for repeat in range(repeats):
        for test in grouped_folds(cohort, folds, rng):
            train = np.setdiff1d(np.arange(cohort.n), test, assume_unique=True)
            scores[repeat, test] = fit_steps(cohort.take(train), steps, rng).scores(cohort.take(test))
        progress(f"cross-validation {repeat + 1} of {repeats}")
    return scores


def discrimination(cohort: Cohort, score: np.ndarray, rows: np.ndarray | slice = slice(None)) -> float:
    """AUC or Harrell's C of a score for the cohort's patients ``rows``; 0.5 where it is the same for all of them."""
    score = np.asarray(score, dtype=float)
    if np.ptp(score) < 1e-12:
        return 0.5
    if cohort.time_days is None:
        return auc_delong(cohort.event[rows], score).value
    return harrell_c(cohort.time_days[rows], cohort.event[rows], score)


def optimism(cohort: Cohort, steps: Steps, n_bootstrap: int, seed: int, apparent: float, progress: Progress) -> float:
    """Harrell's optimism of the whole selection: mean over bootstrap samples of patients of what a model gains on its
    own sample over the original patients."""
    rng = np.random.default_rng(seed)
    patients = np.unique(cohort.group)
    rows_of = {patient: np.flatnonzero(cohort.group == patient) for patient in patients}
    gains = []
    for k in range(n_bootstrap):
        drawn = rng.choice(patients, patients.size)
        rows = np.concatenate([rows_of[p] for p in drawn])
        group = np.concatenate([np.full(rows_of[p].size, p) for p in drawn])  # copies of a patient stay together
        sample = cohort.take(rows, group)
        if min(sample.event.sum(), sample.n - sample.event.sum()) < 4:
            continue
        try:
            fit = fit_steps(sample, steps, rng)
        except InputError:  # drawn patients that are too much alike to fit anything to
            continue
        gains.append(discrimination(sample, fit.scores(sample)) - discrimination(cohort, fit.scores(cohort)))
        if k % 10 == 9:
            progress(f"bootstrap {k + 1} of {n_bootstrap}")
    if len(gains) < n_bootstrap / 2:
        raise InputError(
            f"The model could be fitted to {len(gains)} of {n_bootstrap} bootstrap samples only: too few patients or "
            "events for it; use fewer inputs, or --penalty ridge."
        )
    return float(np.mean(gains))


def null_check(cohort: Cohort, steps: Steps, folds: int, n: int, seed: int, progress: Progress) -> np.ndarray:
    """Cross-validated AUC or C (n,) when the outcomes are dealt out at random: what the same steps find in nothing."""
    rng = np.random.default_rng(seed)
    found = []
    for k in range(n):
        shuffled = cohort.shuffled(rng)
        try:
            scores = cross_validate(shuffled, steps, folds, 1, int(rng.integers(2**31)))
        except InputError:
            continue  # a fold of these outcomes cannot be fitted
        found.append(discrimination(shuffled, scores[0]))
        progress(f"permuted outcomes {k + 1} of {n}")
    if not found:
        raise InputError("No permutation of the outcomes could be fitted; there are too few patients or events.")
    return np.array(found)


def paper_order(cohort: Cohort, steps: Steps, folds: int, seed: int) -> tuple[Fit, np.ndarray, Cohort]:
    """The papers' own order: oversample and select on all patients, then cross-validate the last step alone.

    Returns the model (last step refitted without penalty on what was selected, where there are events enough), scores
    of the "cross-validation" (1, M) and the patients they belong to, the synthetic ones of SMOTE included.
    """
    rng = np.random.default_rng(seed)
    steps = replace(steps, keep_random=True)  # of two that repeat each other the paper drops one at random
    columns, rows, outcome = _select_on_everybody(cohort, steps, rng)
    clinical = np.arange(cohort.clinical.shape[1])
    medians = np.nanmedian(cohort.values[:, columns], axis=0) if columns.size else np.empty(0)
    raw = np.column_stack([cohort.values[:, columns], cohort.clinical])
    filled = np.where(np.isnan(raw), np.concatenate([medians, np.zeros(clinical.size)]), raw)
    if not filled.shape[1]:
        raise InputError("No feature passed the paper's selection, so there is no model; check the table and outcome.")
    if cohort.time_days is not None:
        played, design = cohort, filled
        last = fit_cox(filled, cohort.time_days, cohort.event, 1e-3)
    else:
        design = np.column_stack([rows, _clinical_of(cohort, len(rows))]) if clinical.size else rows
        played = _synthetic(cohort, outcome)
        last = _last_step(filled, cohort.event)
    scores = np.empty((1, played.n))
    for test in stratified_folds(played.event, folds, rng):
        train = np.setdiff1d(np.arange(played.n), test, assume_unique=True)
        if cohort.time_days is not None:
            fold = fit_cox(design[train], played.time_days[train], played.event[train], 1e-3)
        else:
            fold = _last_step(design[train], played.event[train])
        scores[0, test] = fold.predictor(design[test])
    fit = Fit(
        columns, clinical, np.concatenate([medians, np.zeros(clinical.size)]), last.mean, last.sd, last.coefficients,
        getattr(last, "intercept", 0.0), last.covariance, last.log_likelihood,
        {"features": cohort.values.shape[1], "in the model": columns.size + clinical.size},
    )  # fmt: skip
    return fit, scores, played


def _last_step(design: np.ndarray, outcome: np.ndarray):
    """Plain logistic regression as in the paper; Firth's where the selected features separate the outcome."""
    try:
        with np.errstate(over="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # on the way to a separation that is then told apart
            return fit_logistic(design, outcome)
    except InputError:
        return fit_firth(design, outcome)


def _select_on_everybody(cohort: Cohort, steps: Steps, rng):
    """Places of the selected features, and the rows and outcomes (SMOTE's included) they were selected on."""
    found, rows, outcome = [], [], cohort.event
    for block in np.unique(cohort.blocks):
        place = np.flatnonzero(cohort.blocks == block)
        part = cohort.columns(place)
        if cohort.time_days is None and steps.neighbors is not None:
            part, outcome = _oversampled(part, steps, np.random.default_rng(int(rng.integers(2**31))))
        # Every block sees its own synthetic patients; for the joint last step only real ones can be lined up.
        prepared = prepare(part, steps, rng)
        used = (
            _lasso_on_everybody(part, prepared, steps, rng) if steps.lasso_folds else np.arange(prepared.columns.size)
        )
        found.append(place[prepared.columns[used]])
        rows.append(np.where(np.isnan(part.values), prepared_fill(part), part.values)[:, prepared.columns[used]])
    if len(rows) > 1:
        columns = np.concatenate(found)
        values = cohort.values[:, columns]
        values = np.where(np.isnan(values), np.nanmedian(values, axis=0), values) if columns.size else values
        if cohort.time_days is None and steps.neighbors is not None and columns.size:
            return columns, *oversample(values, cohort.event, steps.neighbors, rng)
        return columns, values, cohort.event
    return found[0] if found else np.empty(0, dtype=int), rows[0] if rows else np.empty((cohort.n, 0)), outcome


def prepared_fill(cohort: Cohort) -> np.ndarray:
    """Medians (P,) of the features; 0 where a feature has no value at all."""
    some = np.isfinite(cohort.values).any(axis=0)
    fill = np.zeros(cohort.values.shape[1])
    fill[some] = np.nanmedian(cohort.values[:, some], axis=0)
    return fill


def _oversampled(cohort: Cohort, steps: Steps, rng) -> tuple[Cohort, np.ndarray]:
    """The cohort with SMOTE's synthetic patients made from z-scores, as the paper's order has it."""
    fill = prepared_fill(cohort)
    values = np.where(np.isnan(cohort.values), fill, cohort.values)
    mean, sd = values.mean(axis=0), np.maximum(values.std(axis=0), 1e-12)
    z, outcome = oversample((values - mean) / sd, cohort.event, steps.neighbors, rng)
    n = len(outcome)
    made = Cohort(cohort.keys, z * sd + mean, (), np.empty((n, 0)), outcome, None, np.arange(n), cohort.blocks)
    return made, outcome


def _lasso_on_everybody(cohort: Cohort, prepared, steps: Steps, rng) -> np.ndarray:
    if not prepared.columns.size:
        return np.empty(0, dtype=int)
    z = prepared.z(cohort.values)
    survival = cohort.time_days is not None

    def loss(rows=slice(None)):
        if survival:
            return CoxLoss(cohort.time_days[rows], cohort.event[rows])
        return LogisticLoss(cohort.event[rows])

    grid = penalty_grid(loss(), z, steps.n_penalties, steps.least_share)

    def deviance(train, test):
        predictors = lasso_path(loss(train), z[train], grid, tolerance=ROUGH).predictors(z)
        if survival:
            return cox_deviance(cohort.time_days, cohort.event, predictors, train), cohort.event[test].sum()
        log_loss = np.logaddexp(0, predictors[:, test]) - cohort.event[test] * predictors[:, test]
        return 2 * log_loss.sum(axis=1), float(test.size)

    choice = choose_penalty(grid, stratified_folds(cohort.event, steps.lasso_folds, rng), deviance)
    best = choice.one_se if steps.one_se else choice.at_minimum
    return np.flatnonzero(lasso_path(loss(), z, grid[: best + 1]).coefficients[-1])


def _synthetic(cohort: Cohort, outcome: np.ndarray) -> Cohort:
    n = len(outcome)
    return replace(
        cohort, keys=(), values=np.empty((n, 0)), clinical_names=(), clinical=np.empty((n, 0)), event=outcome,
        time_days=None, group=np.arange(n), blocks=np.empty(0, dtype=int),
    )  # fmt: skip


def _clinical_of(cohort: Cohort, n: int) -> np.ndarray:
    """Clinical values of n rows whose first are the cohort's and the others synthetic: those get a patient's of the
    rarer outcome in turn, since a 0/1 value has nothing between."""
    rarer = 1.0 if cohort.event.mean() < 0.5 else 0.0
    donors = np.flatnonzero(cohort.event == rarer)
    extra = donors[np.arange(n - cohort.n) % donors.size]
    return np.vstack([cohort.clinical, cohort.clinical[extra]])
