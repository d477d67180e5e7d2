"""How good a fitted form is: the two kinds of model behind one interface.

A Task knows how to fit features to its outcome, how to measure discrimination with an interval, and how to
compare two scores of the same patients. evaluate.py does the rest for both kinds alike.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import expit
from scipy.stats import norm

from ..statistics.auc import auc_delong, compare_auc
from ..statistics.calibration import (
    calibration_groups,
    kaplan_meier,
    logistic_calibration,
    shift_log_odds,
    survival_calibration,
    wald,
)
from ..statistics.concordance import ConcordancePairs
from ..statistics.resampling import out_of_fold
from .cox import CoxFit, breslow_baseline, calibration_slope, fit_cox
from .logistic import LogisticFit, fit_logistic
from .table import Patients

DAYS_PER_YEAR = 365.25
N_INTERVAL_BOOTSTRAP = 500


def interval(value: float, low: float, high: float, method: str) -> dict:
    return {"value": value, "low": low, "high": high, "interval": method}


def estimate(e) -> dict:
    return {"value": e.value, "low": e.low, "high": e.high}


@dataclass(frozen=True)
class Resampling:
    folds: int
    repeats: int
    bootstrap: int
    seed: int


class _ResampledTask:
    """What both kinds of outcome do alike; ``fit`` is the kind's own."""

    def __init__(self, resampling: Resampling) -> None:
        self.resampling = resampling

    def out_of_fold(self, design: np.ndarray, patients: Patients) -> np.ndarray:
        """Out-of-fold linear predictors (repeats, N)."""
        r = self.resampling
        return out_of_fold(
            patients.event,
            lambda train, test: self.fit(design, patients, train).predictor(design[test]),
            r.folds,
            r.repeats,
            r.seed,
        )


class LogisticTask(_ResampledTask):
    """Yes/no outcome; discrimination is the AUC."""

    metric = "AUC"

    def with_repeats(self, repeats: int) -> LogisticTask:
        """The same task with fewer repeats of the cross-validation."""
        return LogisticTask(replace(self.resampling, repeats=repeats))

    def fit(self, design: np.ndarray, patients: Patients, rows=slice(None)) -> LogisticFit:
        return fit_logistic(design[rows], patients.event[rows])

    def discrimination(self, patients: Patients, score: np.ndarray) -> dict:
        auc = auc_delong(patients.event, score)
        return interval(auc.value, auc.low, auc.high, "DeLong")

    def quick(self, patients: Patients, rows: np.ndarray, score: np.ndarray) -> float:
        return auc_delong(patients.event[rows], score).value

    def cross_validated(self, patients: Patients, scores: np.ndarray) -> dict:
        """Mean over repeats of the pooled AUC; the interval uses the mean DeLong variance."""
        results = [auc_delong(patients.event, s) for s in scores]
        value = float(np.mean([r.value for r in results]))
        half = norm.ppf(0.975) * np.sqrt(np.mean([r.variance for r in results]))
        return interval(value, value - half, min(1.0, value + half), "DeLong, mean over repeats")

    def difference(self, patients: Patients, first: np.ndarray, second: np.ndarray) -> dict:
        d = compare_auc(patients.event, first, second)
        return {"value": d.value, "low": d.low, "high": d.high, "p": d.p, "test": "DeLong, paired"}

    def calibration_inside(self, patients: Patients, fit, design, scores: np.ndarray) -> dict:
        probability = expit(scores.mean(axis=0))
        c = logistic_calibration(patients.event, probability)
        return {
            "based_on": "out-of-fold predictions, averaged over repeats",
            "slope": estimate(c.slope),
            "intercept": estimate(c.intercept),
            "brier": float(np.mean([np.mean((expit(s) - patients.event) ** 2) for s in scores])),
            "brier_without_model": float(patients.event.mean() * (1 - patients.event.mean())),
            "groups": calibration_groups(patients.event, probability, 10),
        }

    def calibration_outside(self, training: Patients, design, fit, patients: Patients, score: np.ndarray) -> dict:
        probability = expit(score)
        c = logistic_calibration(patients.event, probability)
        shifted = shift_log_odds(probability, c.intercept.value)
        again = logistic_calibration(patients.event, shifted)
        return {
            "slope": estimate(c.slope),
            "intercept": estimate(c.intercept),
            "brier": c.brier,
            "brier_without_model": float(patients.event.mean() * (1 - patients.event.mean())),
            "predicted_mean": float(probability.mean()),
            "observed": float(patients.event.mean()),
            "groups": calibration_groups(patients.event, probability, 5),
            "after_intercept_refit": {
                "shift": c.intercept.value,
                "slope": estimate(again.slope),
                "brier": again.brier,
                "groups": calibration_groups(patients.event, shifted, 5),
            },
        }


class CoxTask(_ResampledTask):
    """Time to event; discrimination is Harrell's C."""

    metric = "C-index"

    def __init__(self, resampling: Resampling, horizons_years: list[float]) -> None:
        super().__init__(resampling)
        self.horizons_years = [float(h) for h in horizons_years]

    def with_repeats(self, repeats: int) -> CoxTask:
        """The same task with fewer repeats of the cross-validation."""
        return CoxTask(replace(self.resampling, repeats=repeats), self.horizons_years)

    def fit(self, design: np.ndarray, patients: Patients, rows=slice(None)) -> CoxFit:
        return fit_cox(design[rows], patients.time_days[rows], patients.event[rows])

    def _pairs(self, patients: Patients, score: np.ndarray) -> ConcordancePairs:
        return ConcordancePairs(patients.time_days, patients.event, score)

    def discrimination(self, patients: Patients, score: np.ndarray) -> dict:
        pairs = self._pairs(patients, score)
        low, high = np.percentile(pairs.bootstrap(N_INTERVAL_BOOTSTRAP, self.resampling.seed), [2.5, 97.5])
        return interval(pairs.value(), float(low), float(high), f"bootstrap, {N_INTERVAL_BOOTSTRAP} resamples")

    def quick(self, patients: Patients, rows: np.ndarray, score: np.ndarray) -> float:
        from lifelines.utils import concordance_index

        return float(concordance_index(patients.time_days[rows], -score, patients.event[rows]))

    def cross_validated(self, patients: Patients, scores: np.ndarray) -> dict:
        """Mean over repeats of the pooled C; the interval uses the bootstrap standard error of one repeat."""
        value = float(np.mean([self._pairs(patients, s).value() for s in scores]))
        draws = self._pairs(patients, scores[0]).bootstrap(N_INTERVAL_BOOTSTRAP, self.resampling.seed)
        half = norm.ppf(0.975) * draws.std(ddof=1)
        return interval(value, value - half, min(1.0, value + half), "bootstrap standard error")

    def difference(self, patients: Patients, first: np.ndarray, second: np.ndarray) -> dict:
        # The same seed draws the same resamples for both, so the difference is a paired one.
        one, two = self._pairs(patients, first), self._pairs(patients, second)
        draws = one.bootstrap(N_INTERVAL_BOOTSTRAP, self.resampling.seed) - two.bootstrap(
            N_INTERVAL_BOOTSTRAP, self.resampling.seed
        )
        value, spread = one.value() - two.value(), float(draws.std(ddof=1))
        e = wald(value, spread)
        p = float(2 * norm.sf(abs(value) / spread)) if spread > 0 else 1.0
        return estimate(e) | {"p": p, "test": f"paired bootstrap, {N_INTERVAL_BOOTSTRAP} resamples"}

    def calibration_inside(self, patients: Patients, fit, design, scores: np.ndarray) -> dict:
        slopes = [calibration_slope(s, patients.time_days, patients.event) for s in scores]
        slope = wald(float(np.mean([s[0] for s in slopes])), float(np.mean([s[1] for s in slopes])))
        return {
            "based_on": "slope from out-of-fold predictions, mean over repeats; predicted survival is that of the "
            "fitted model on its own patients",
            "slope": estimate(slope),
            "horizons": self._horizons(patients, design, fit, patients, fit.predictor(design), n_groups=5),
        }

    def calibration_outside(self, training: Patients, design, fit, patients: Patients, score: np.ndarray) -> dict:
        slope = wald(*calibration_slope(score, patients.time_days, patients.event))
        return {
            "slope": estimate(slope),
            "horizons": self._horizons(training, design, fit, patients, score, n_groups=3),
        }

    def _horizons(self, training, design, fit, patients: Patients, score: np.ndarray, n_groups: int) -> list[dict]:
        baseline = breslow_baseline(fit, design, training.time_days, training.event)
        rows = []
        for years in self.horizons_years:
            days = years * DAYS_PER_YEAR
            predicted = np.exp(-baseline.at(days)[0] * np.exp(score))
            row = {"years": years, "predicted_mean": float(predicted.mean())}
            observed = kaplan_meier(patients.time_days, patients.event, np.array([days]))
            if observed:
                row |= {k: observed[0][k] for k in ("low", "high", "at_risk")} | {"observed": observed[0]["survival"]}
                groups = survival_calibration(patients.time_days, patients.event, predicted, days, n_groups)
                row["groups"] = groups
            else:
                row |= {"observed": None, "reason": "no patient was followed up that long"}
            rows.append(row)
        return rows
