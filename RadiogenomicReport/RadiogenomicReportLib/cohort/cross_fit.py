"""Predictions of a Cox model for patients that it was not fitted to: repeated stratified cross-validation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from IITHModuleLib.statistics.resampling import stratified_folds
from IITHModuleLib.training.cox import breslow_baseline, fit_cox
from SubregionHabitatLib.errors import InputError


@dataclass(frozen=True)
class CrossFit:
    """predictors (repeats, N): log relative hazard of each patient by models that did not see him or her; survival:
    horizon -> predicted survival (N,) of the first repeat.

    Predictions are never averaged over the repeats: a patient's own outcome moves all those models the other way, and
    the average would let that show, as it does for leave-one-out (C falls by 0.05 for weak models).
    """

    predictors: np.ndarray
    survival: dict[float, np.ndarray]
    folds: int
    repeats: int

    @property
    def predictor(self) -> np.ndarray:
        """Log relative hazard (N,) of the first repeat."""
        return self.predictors[0]


def cross_fit(design, times, events, horizons, folds: int, repeats: int, seed: int) -> CrossFit:
    """Out-of-fold predictions; the folds depend on events and seed alone, so that models compare on the same ones.

    horizons in the unit of the times. A column that is constant within the training part of a fold does not count
    there. Raises InputError when a fold cannot be fitted.
    """
    design = np.asarray(design, float)
    rng = np.random.default_rng(seed)
    n = len(times)
    folds = int(min(folds, events.sum(), n - events.sum()))
    if folds < 2:
        raise InputError("Cross-validation needs at least two patients with and two without the event.")
    predictors, survival = np.zeros((repeats, n)), {h: np.zeros(n) for h in horizons}
    for repeat in range(repeats):
        for test in stratified_folds(events, folds, rng):
            train = np.setdiff1d(np.arange(n), test, assume_unique=True)
            varying = np.ptp(design[train], axis=0) > 0
            fit = fit_cox(design[train][:, varying], times[train], events[train])
            predictors[repeat, test] = fit.predictor(design[test][:, varying])
            if repeat:
                continue
            baseline = breslow_baseline(fit, design[train][:, varying], times[train], events[train])
            for h in horizons:
                survival[h][test] = np.exp(-baseline.at(h)[0] * np.exp(predictors[0, test]))
    return CrossFit(predictors, survival, folds, repeats)
