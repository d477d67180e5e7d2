"""One test per feature, all features at once: Welch's t for a yes/no outcome, Wald's test of a Cox model for times."""

from __future__ import annotations

import numpy as np
from scipy import stats

_MAX_NEWTON = 30


def welch_p(values: np.ndarray, outcome: np.ndarray) -> np.ndarray:
    """Two-sided p (P,) of Welch's t test of each column (N, P) between outcome 1 and 0; 1 for a constant column."""
    with np.errstate(invalid="ignore", divide="ignore"):
        p = stats.ttest_ind(values[outcome == 1], values[outcome == 0], equal_var=False, axis=0).pvalue
    return np.where(np.isfinite(p), p, 1.0)


def cox_p(values: np.ndarray, times: np.ndarray, events: np.ndarray, exact_below: float = 1.0) -> np.ndarray:
    """Two-sided Wald p (P,) of the Cox model of each standardized column (N, P) alone, Efron's ties.

    Columns whose score test (the log-rank test's kind, without a fit) gives a p above ``exact_below`` keep that p, so
    that a filter far below it costs one pass over most columns.

    A column whose estimate runs away (complete separation) gets the p of its last finite step, which is near 1, as in
    other software; one that is constant gets 1.
    """
    z, times, events = (np.asarray(v, dtype=float) for v in (values, times, events))
    _, score, information = _EfronSums(z, times, events).at(np.zeros(z.shape[1]))
    with np.errstate(invalid="ignore", divide="ignore"):
        p = np.where(information > 1e-12, stats.chi2.sf(score**2 / information, 1), 1.0)
    near = np.flatnonzero(p <= exact_below)
    if near.size:
        p[near] = _wald_p(_EfronSums(z[:, near], times, events), near.size)
    return p


def _wald_p(sums: _EfronSums, n: int) -> np.ndarray:
    beta = np.zeros(n)
    value, score, information = sums.at(beta)
    moving = np.ones(beta.size, dtype=bool)
    for _ in range(_MAX_NEWTON):
        with np.errstate(invalid="ignore", divide="ignore"):
            step = np.where(information > 1e-12, score / information, 0.0)
        step = np.clip(step, -2.0, 2.0) * moving
        trial, trial_score, trial_information = sums.at(beta + step)
        for _ in range(20):
            worse = moving & (trial < value - 1e-10)
            if not worse.any():
                break
            step = np.where(worse, step / 2, step)
            trial, trial_score, trial_information = sums.at(beta + step)
        beta, value, score, information = beta + step, trial, trial_score, trial_information
        moving = (np.abs(step) > 1e-8) & (np.abs(beta) < 20)
        if not moving.any():
            break
    z_score = np.abs(beta) * np.sqrt(np.maximum(information, 0))
    return np.where(information > 1e-12, 2 * stats.norm.sf(z_score), 1.0)


class _EfronSums:
    """Partial log likelihood, score and information of every column as a model of its own."""

    def __init__(self, z: np.ndarray, times: np.ndarray, events: np.ndarray) -> None:
        order = np.argsort(times, kind="stable")
        self.z, ordered, event = z[order], times[order], events[order] > 0
        moments, deaths = np.unique(ordered[event], return_counts=True)
        # One term per death: the risk set of its moment less a share of those who die then.
        self.first = np.repeat(np.searchsorted(ordered, moments, side="left"), deaths)
        self.last = np.repeat(np.searchsorted(ordered, moments, side="right"), deaths)
        self.share = np.concatenate([np.arange(d) / d for d in deaths])[:, None]
        self.event = event[:, None]
        self.total = self.z[event].sum(axis=0)

    def at(self, beta: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        weight = np.exp(np.clip(self.z * beta, -500, 500))
        zero = self._risk(weight)
        mean = self._risk(weight * self.z) / zero
        square = self._risk(weight * self.z**2) / zero
        return (
            beta * self.total - np.log(zero).sum(axis=0),
            self.total - mean.sum(axis=0),
            (square - mean**2).sum(axis=0),
        )

    def _risk(self, terms: np.ndarray) -> np.ndarray:
        """(deaths, P) sums over the risk sets in Efron's way."""
        padded = np.zeros((len(terms) + 1, terms.shape[1]))
        padded[:-1] = np.cumsum(terms[::-1], axis=0)[::-1]
        dying = np.zeros_like(padded)
        dying[:-1] = np.cumsum((terms * self.event)[::-1], axis=0)[::-1]
        return padded[self.first] - self.share * (dying[self.first] - dying[self.last])
