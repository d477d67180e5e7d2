"""How far predicted probabilities agree with what happened (Van Calster et al., BMC Medicine 2019;17:230)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit
from scipy.stats import norm

from SubregionHabitatLib.errors import InputError


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class LogisticCalibration:
    """slope: coefficient of the predicted log odds (1 is ideal, below 1 too extreme); intercept: calibration
    in the large, the shift of the log odds at slope 1 (0 is ideal); brier: mean squared error."""

    slope: Estimate
    intercept: Estimate
    brier: float


def brier_score(outcome: np.ndarray, probability: np.ndarray) -> float:
    """Mean of (probability - outcome)**2; 0 is perfect."""
    return float(np.mean((np.asarray(probability, float) - np.asarray(outcome, float)) ** 2))


def logistic_calibration(outcome: np.ndarray, probability: np.ndarray) -> LogisticCalibration:
    """Calibration slope, intercept and Brier score of probabilities (N,) strictly between 0 and 1."""
    import statsmodels.api as sm

    outcome, probability = np.asarray(outcome, float), np.asarray(probability, float)
    if not ((probability > 0) & (probability < 1)).all():
        raise InputError("Calibration needs probabilities strictly between 0 and 1; check the predictions.")
    log_odds = logit(probability)
    binomial = sm.families.Binomial()
    sloped = sm.GLM(outcome, sm.add_constant(log_odds, has_constant="add"), family=binomial).fit(tol=1e-12)
    shifted = sm.GLM(outcome, np.ones_like(outcome), family=binomial, offset=log_odds).fit(tol=1e-12)
    return LogisticCalibration(
        slope=wald(sloped.params[1], sloped.bse[1]),
        intercept=wald(shifted.params[0], shifted.bse[0]),
        brier=brier_score(outcome, probability),
    )


def shift_log_odds(probability: np.ndarray, shift: float) -> np.ndarray:
    """Probabilities after adding ``shift`` to their log odds (re-fitting only the intercept)."""
    return expit(logit(np.asarray(probability, float)) + shift)


def wald(value: float, standard_error: float) -> Estimate:
    half = norm.ppf(0.975) * float(standard_error)
    return Estimate(float(value), float(value) - half, float(value) + half)


def calibration_groups(outcome: np.ndarray, probability: np.ndarray, n_groups: int = 5) -> list[dict]:
    """Predicted and observed share in ``n_groups`` groups of equal size, with Wilson 95 % intervals."""
    outcome, probability = np.asarray(outcome, float), np.asarray(probability, float)
    rows = []
    for index in np.array_split(np.argsort(probability, kind="stable"), n_groups):
        observed = Estimate(outcome[index].mean(), *wilson_interval(int(outcome[index].sum()), index.size))
        rows.append(
            {
                "n": int(index.size),
                "predicted": float(probability[index].mean()),
                "observed": observed.value,
                "low": observed.low,
                "high": observed.high,
            }
        )
    return rows


def wilson_interval(successes: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    z = norm.ppf(0.975)
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return float(max(0.0, centre - half)), float(min(1.0, centre + half))


def kaplan_meier(times: np.ndarray, events: np.ndarray, grid: np.ndarray) -> list[dict]:
    """Kaplan-Meier survival with log-log 95 % intervals and the number at risk at each time of ``grid``.

    Times beyond the last follow-up are left out: nothing is known there.
    """
    from lifelines import KaplanMeierFitter

    times = np.asarray(times, float)
    grid = np.asarray([t for t in grid if t <= times.max()], float)
    fitter = KaplanMeierFitter().fit(times, np.asarray(events))
    survival = fitter.predict(grid).to_numpy() if grid.size > 1 else np.atleast_1d(fitter.predict(grid))
    band = fitter.confidence_interval_survival_function_
    step = np.searchsorted(band.index.to_numpy(), grid, side="right") - 1
    bounds = band.to_numpy()[step]
    rows = []
    for t, s, (low, high) in zip(grid, np.ravel(survival), bounds, strict=True):
        if s >= 1.0:  # before the first event the log-log interval is undefined
            low = high = 1.0
        rows.append(
            {
                "time_days": float(t),
                "survival": float(s),
                "low": float(low),
                "high": float(high),
                "at_risk": int((times >= t).sum()),
            }
        )
    return rows


def survival_calibration(times, events, predicted, horizon: float, n_groups: int = 5) -> list[dict]:
    """Mean predicted survival at ``horizon`` against Kaplan-Meier in groups of equal size of the prediction.

    A group not followed up to the horizon has no observed value and says so.
    """
    times, events, predicted = (np.asarray(v, float) for v in (times, events, predicted))
    rows = []
    for index in np.array_split(np.argsort(predicted, kind="stable"), n_groups):
        row = {"n": int(index.size), "predicted": float(predicted[index].mean())}
        observed = kaplan_meier(times[index], events[index], np.array([horizon]))
        if observed:
            row |= {"observed": observed[0]["survival"], "low": observed[0]["low"], "high": observed[0]["high"]}
            row["at_risk"] = observed[0]["at_risk"]
        else:
            row |= {"observed": None, "reason": "no patient of this group was followed up that long"}
        rows.append(row)
    return rows
