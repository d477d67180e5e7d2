"""SigClust: is a split into two clusters more than what one Gaussian cloud would give?

Liu et al., JASA 2008;103:1281; Huang et al., J Comput Graph Stat 2015;24:975 (soft threshold), with the choices of the
R package sigclust 1.1.0: the index is the two-means within-cluster over total sum of squares, the null a Gaussian whose
variances are the sample's eigenvalues, raised to the background noise.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.stats import norm

from SubregionHabitatLib.errors import InputError

from .two_means import two_means_index
from .variability import GAUSSIAN_CONSISTENCY

# How the null's eigenvalues are estimated, by the number of R's argument icovest.
EIGENVALUES = {"soft": 1, "sample": 2, "hard": 3}
_TAU_STEPS = 100
_OBSERVED_STARTS = 50
_BLOCK_NUMBERS = 4_000_000


@dataclass(frozen=True)
class SigClust:
    """cluster_index: observed, 0..1, small for two clear clusters; p: share of simulations at or below it;
    p_gaussian: by a normal fitted to them; labels_given: the split was given, not searched."""

    cluster_index: float
    p: float
    p_gaussian: float
    n_simulations: int
    eigenvalues: str
    background_variance: float
    labels_given: bool
    simulated: np.ndarray = field(repr=False)

    def to_json(self) -> dict:
        return {
            "cluster_index": self.cluster_index,
            "p": self.p,
            "p_gaussian": self.p_gaussian,
            "n_simulations": self.n_simulations,
            "eigenvalues": self.eigenvalues,
            "background_variance": self.background_variance,
            "labels_given": self.labels_given,
        }


def sigclust(
    data: np.ndarray,
    labels: np.ndarray | None = None,
    n_simulations: int = 1000,
    eigenvalues: str = "soft",
    seed: int = 0,
    n_starts: int = 2,
) -> SigClust:
    """Test of two clusters in ``data`` (N, P): those of two-means, or the given ``labels`` (N,) of two values.

    A given split is compared with the best splits of the null, as in R (labflag = 1). n_starts: random two-means starts
    per simulation, besides the principal axis. Raises InputError for fewer than 3 rows, no spread, or labels that are
    not two groups.
    """
    data = np.asarray(data, dtype=np.float64)
    if data.ndim != 2 or len(data) < 3 or not np.isfinite(data).all():
        raise InputError("SigClust needs at least 3 complete rows; leave incomplete patients out.")
    if eigenvalues not in EIGENVALUES:
        raise InputError(f"The eigenvalue rule {eigenvalues!r} is unknown; choose one of {', '.join(EIGENVALUES)}.")
    if n_simulations < 10:
        raise InputError(f"{n_simulations} simulations say nothing about a p-value; use at least 10.")
    if np.ptp(data, axis=0).max() == 0:
        raise InputError("SigClust was given rows that are all the same; there is nothing to split.")
    rng = np.random.default_rng(seed)
    background = (GAUSSIAN_CONSISTENCY * float(np.median(np.abs(data - np.median(data))))) ** 2
    variances = null_variances(data, background, eigenvalues)
    if labels is None:
        observed = float(two_means_index(data[None], rng, _OBSERVED_STARTS)[0])
    else:
        observed = cluster_index(data, labels)
    simulated = _simulate(variances, len(data), n_simulations, n_starts, rng)
    return SigClust(
        cluster_index=observed,
        p=float(np.mean(simulated <= observed)),
        p_gaussian=float(norm.cdf(observed, simulated.mean(), simulated.std(ddof=1))),
        n_simulations=n_simulations,
        eigenvalues=eigenvalues,
        background_variance=background,
        labels_given=labels is not None,
        simulated=simulated,
    )


def cluster_index(data: np.ndarray, labels: np.ndarray) -> float:
    """Within-group over total sum of squares of ``data`` (N, P) split by ``labels`` (N,) of exactly two values."""
    labels = np.asarray(labels)
    names = np.unique(labels)
    if labels.shape != (len(data),) or names.size != 2:
        raise InputError("SigClust tests a split into two groups; give one of two labels per patient.")
    within = sum(((data[labels == name] - data[labels == name].mean(axis=0)) ** 2).sum() for name in names)
    return float(within / ((data - data.mean(axis=0)) ** 2).sum())


def null_variances(data: np.ndarray, background: float, rule: str = "soft") -> np.ndarray:
    """Variances (P,) of the null Gaussian along its axes, descending.

    "sample": the sample's eigenvalues; "hard": none below ``background``; "soft": all lowered by tau, then none below
    background, with the tau that makes the first one's share of the whole largest, up to the tau that keeps the total.
    (Where no tau keeps the total, R's package lowers the axes by two different amounts; here it is one.)
    """
    values = np.linalg.eigvalsh(np.atleast_2d(np.cov(data, rowvar=False)))[::-1].clip(min=0.0)
    if rule == "sample":
        return values
    if rule == "hard":
        return np.maximum(values, background)
    taus = np.arange(_TAU_STEPS) / _TAU_STEPS * _power_keeping_tau(values, background)
    lowered = np.maximum(values[None, :] - taus[:, None], background)
    return lowered[int(np.argmax(lowered[:, 0] / lowered.sum(axis=1)))]


def _power_keeping_tau(values: np.ndarray, background: float) -> float:
    """How far the eigenvalues above the background must come down to pay for raising those below it."""
    above = values - background
    owed = float(-above[above < 0].sum())
    spare = np.sort(above[above > 0])
    if owed <= 0 or spare.size == 0:
        return 0.0
    # Sum of min(tau, spare) is piecewise linear in tau, with its corners at the spare values.
    n_full = np.arange(spare.size)
    paid = np.concatenate([[0.0], np.cumsum(spare)[:-1]])
    tau = (owed - paid) / (spare.size - n_full)
    fits = np.flatnonzero(tau <= spare)
    return float(tau[fits[0]]) if fits.size else float(spare[-1])


def _simulate(variances, n, n_simulations, n_starts, rng) -> np.ndarray:
    sd = np.sqrt(variances)
    block = max(1, min(n_simulations, _BLOCK_NUMBERS // (n * sd.size)))
    parts = []
    for start in range(0, n_simulations, block):
        size = min(block, n_simulations - start)
        parts.append(two_means_index(rng.standard_normal((size, n, sd.size)) * sd, rng, n_starts))
    return np.concatenate(parts)
