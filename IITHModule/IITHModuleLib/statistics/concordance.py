"""Harrell's C-index with a bootstrap interval.

A pair counts when the earlier time is an event, or when the times are equal and exactly one of the two is an
event (that one counts as the earlier); tied risks count one half (Harrell, JAMA 1982;247:2543). lifelines and
R's survival give the same numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from SubregionHabitatLib.errors import InputError


@dataclass(frozen=True)
class Concordance:
    """C in 0..1, its bootstrap percentile 95 % interval and standard error."""

    value: float
    low: float
    high: float
    standard_error: float
    n: int
    n_events: int


class ConcordancePairs:
    """All comparable pairs of one set of patients, kept so that a bootstrap costs two matrix products.

    times (N,) in any one unit, events (N,) 0/1, risk (N,): higher means earlier failure. Memory is N x N
    times five bytes; more than 10,000 patients are refused.
    """

    def __init__(self, times: np.ndarray, events: np.ndarray, risk: np.ndarray) -> None:
        times, risk = np.asarray(times, float), np.asarray(risk, float)
        events = np.asarray(events).astype(bool)
        if not (times.shape == events.shape == risk.shape and times.ndim == 1):
            raise InputError("Times, events and scores differ in length; give one of each per patient.")
        if times.size > 10_000:
            raise InputError("The C-index interval takes at most 10,000 patients; give fewer rows.")
        if not (np.isfinite(times).all() and np.isfinite(risk).all()):
            raise InputError("Times and scores must be finite numbers; leave incomplete patients out.")
        earlier = times[:, None] < times[None, :]
        same_but_censored = (times[:, None] == times[None, :]) & ~events[None, :]
        self.comparable = (events[:, None] & (earlier | same_but_censored)).astype(np.float32)
        difference = risk[:, None] - risk[None, :]
        self.concordant = self.comparable * ((difference > 0) + 0.5 * (difference == 0)).astype(np.float32)
        self.n_events = int(events.sum())
        if not self.comparable.any():
            raise InputError("No two patients can be compared: there is no event before the last follow-up.")

    def value(self, weights: np.ndarray | None = None) -> float:
        """C with each patient counted ``weights`` times (default once); NaN without a comparable pair."""
        w = np.ones(len(self.comparable)) if weights is None else np.asarray(weights, float)
        w = w.astype(np.float32)
        total = float(w @ (self.comparable @ w))
        return float(w @ (self.concordant @ w)) / total if total else float("nan")

    def bootstrap(self, n_bootstrap: int, seed: int) -> np.ndarray:
        """C of ``n_bootstrap`` resamples with replacement."""
        n = len(self.comparable)
        rng = np.random.default_rng(seed)
        weights = np.stack([np.bincount(rng.integers(0, n, n), minlength=n) for _ in range(n_bootstrap)], axis=1)
        weights = weights.astype(np.float32)
        totals = (weights * (self.comparable @ weights)).sum(axis=0, dtype=float)
        sums = (weights * (self.concordant @ weights)).sum(axis=0, dtype=float)
        return sums[totals > 0] / totals[totals > 0]


def harrell_c(times: np.ndarray, events: np.ndarray, risk: np.ndarray) -> float:
    """Harrell's C of ``risk`` (higher = earlier failure)."""
    return ConcordancePairs(times, events, risk).value()


def harrell_c_interval(times, events, risk, n_bootstrap: int = 500, seed: int = 0) -> Concordance:
    """Harrell's C with the percentile bootstrap 95 % interval."""
    pairs = ConcordancePairs(times, events, risk)
    draws = pairs.bootstrap(n_bootstrap, seed)
    low, high = np.percentile(draws, [2.5, 97.5])
    return Concordance(
        pairs.value(), float(low), float(high), float(draws.std(ddof=1)), len(pairs.comparable), pairs.n_events
    )
