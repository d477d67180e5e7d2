"""Repeated stratified cross-validation and Harrell's optimism bootstrap, both seeded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from SubregionHabitatLib.errors import InputError

# fit_predict(train_rows, test_rows) -> scores of the test rows, by a model that saw only the training rows
FitPredict = Callable[[np.ndarray, np.ndarray], np.ndarray]


def stratified_folds(outcome: np.ndarray, n_folds: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Row numbers of ``n_folds`` test folds with nearly equal shares of outcome 1."""
    outcome = np.asarray(outcome).astype(int)
    counts = np.bincount(outcome, minlength=2)
    if min(counts) < n_folds:
        raise InputError(
            f"{n_folds}-fold cross-validation needs at least {n_folds} patients with and without the event; "
            f"there are {counts[1]} and {counts[0]}. Lower resampling.folds in the protocol."
        )
    fold = np.empty(outcome.size, dtype=int)
    for value in (0, 1):
        rows = rng.permutation(np.flatnonzero(outcome == value))
        fold[rows] = np.arange(rows.size) % n_folds
    return [np.flatnonzero(fold == k) for k in range(n_folds)]


def out_of_fold(outcome: np.ndarray, fit_predict: FitPredict, n_folds: int, n_repeats: int, seed: int) -> np.ndarray:
    """Scores (repeats, N), each made by a model that never saw the patient.

    The folds depend only on outcome and seed, so several models are compared on the same folds.
    """
    rng = np.random.default_rng(seed)
    n = len(outcome)
    scores = np.empty((n_repeats, n))
    for repeat in range(n_repeats):
        for test in stratified_folds(outcome, n_folds, rng):
            train = np.setdiff1d(np.arange(n), test, assume_unique=True)
            scores[repeat, test] = fit_predict(train, test)
    return scores


@dataclass(frozen=True)
class Optimism:
    """Apparent value, mean optimism over the bootstrap, and the difference of the two."""

    apparent: float
    optimism: float
    corrected: float
    n_bootstrap: int


def optimism_bootstrap(
    n: int,
    fit_score: Callable[[np.ndarray], Callable[[np.ndarray], np.ndarray]],
    metrics: dict[str, Callable[[np.ndarray, np.ndarray], float]],
    n_bootstrap: int,
    seed: int,
) -> dict[str, Optimism]:
    """Harrell's optimism correction (Stat Med 1996;15:361) of several metrics at once.

    fit_score(rows) fits on those rows (with repeats) and returns a function rows -> scores;
    metrics[name](rows, scores) measures it. One draw of the optimism is the bootstrap model on its own sample
    minus the same model on the original sample. The original model's own difference between the two samples,
    whose mean is zero, is subtracted from each draw: the mean stays, its noise falls several times.
    """
    everyone = np.arange(n)
    scorer = fit_score(everyone)
    apparent = {name: metric(everyone, scorer(everyone)) for name, metric in metrics.items()}
    draws: dict[str, list[float]] = {name: [] for name in metrics}
    rng = np.random.default_rng(seed)
    for _ in range(n_bootstrap):
        rows = rng.integers(0, n, n)
        refit = fit_score(rows)
        inside, outside, original = refit(rows), refit(everyone), scorer(rows)
        for name, metric in metrics.items():
            gained = metric(rows, inside) - metric(rows, original)
            lost = apparent[name] - metric(everyone, outside)
            draws[name].append(gained + lost)
    result = {}
    for name, values in draws.items():
        optimism = float(np.mean(values)) if values else 0.0
        result[name] = Optimism(apparent[name], optimism, apparent[name] - optimism, n_bootstrap)
    return result
