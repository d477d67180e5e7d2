"""Consensus clustering: which clusters survive when part of the items is left out (Monti et al., Mach Learn
2003;52:91).

As the R package ConsensusClusterPlus: items are subsampled, clustered by a tree, and for every k the share of
subsamples in which two items were together, of those that held both, is their consensus. The number of clusters is
read from how much the area under the distribution of consensus values still grows.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

import numpy as np

from SubregionHabitatLib.errors import InputError

from .tree import build_tree, cut_tree

N_BINS = 100
# R's hist() moves its borders by this share of a bin, so that rounding does not throw values over them.
_BORDER = 1e-7 / N_BINS


@dataclass(frozen=True)
class ConsensusParameters:
    """max_clusters >= 3: k runs from 2 to it; n_resamples; item_share: of the items in each subsample; linkage:
    inside a subsample; final_linkage: of the consensus matrix; min_growth: k is final when the area grows by less
    than this share for k + 1."""

    max_clusters: int = 8
    n_resamples: int = 1000
    item_share: float = 0.8
    linkage: str = "average"
    final_linkage: str = "average"
    min_growth: float = 0.10
    seed: int = 0

    def __post_init__(self) -> None:
        if self.max_clusters < 3 or self.n_resamples < 1 or not 0 < self.item_share <= 1 or self.seed < 0:
            raise InputError(
                "Consensus clustering needs at least 3 clusters to compare, 1 resample and an item share above 0 and "
                "up to 1; correct the parameters."
            )

    def to_json(self) -> dict:
        return asdict(self)


@dataclass(frozen=True)
class Consensus:
    """What came out for k = 2..max_clusters.

    matrices: k -> (N, N) consensus 0..1; areas, growth: k -> area under the distribution function, and its relative
    growth from k - 1 (for k = 2 the area itself); labels: k -> (N,) clusters; n_clusters: the number by the rule;
    settled: False when the area still grew at max_clusters.
    """

    matrices: dict[int, np.ndarray] = field(repr=False)
    areas: dict[int, float]
    growth: dict[int, float]
    labels: dict[int, np.ndarray] = field(repr=False)
    n_clusters: int
    settled: bool


def consensus_clusters(distances: np.ndarray, parameters: ConsensusParameters | None = None) -> Consensus:
    """Consensus of N items from their distances (N, N).

    max_clusters is lowered where a subsample has fewer items. Raises InputError when fewer than 3 clusters can be
    compared.
    """
    parameters = parameters or ConsensusParameters()
    n = len(distances)
    size = int(np.floor(n * parameters.item_share + 1e-9))
    top = min(parameters.max_clusters, size - 1)
    if top < 3:
        raise InputError(
            f"{n} items are too few for consensus clustering; give at least 5, or set the number of groups."
        )
    together, sampled = _counts(distances, size, top, parameters)
    with np.errstate(invalid="ignore", divide="ignore"):
        matrices = {k: np.where(sampled > 0, m / sampled, 0.0) for k, m in together.items()}
    for m in matrices.values():
        np.fill_diagonal(m, 1.0)
    areas = {k: _area(m) for k, m in matrices.items()}
    growth = {k: areas[k] if k == 2 else (areas[k] - areas[k - 1]) / areas[k - 1] for k in areas}
    number, settled = _number(growth, parameters.min_growth)
    labels = {k: cut_tree(build_tree(1 - m, parameters.final_linkage), k) for k, m in matrices.items()}
    return Consensus(matrices, areas, growth, labels, number, settled)


def _counts(distances, size, top, parameters) -> tuple[dict[int, np.ndarray], np.ndarray]:
    """How often two items were in one cluster, for every k, and in one subsample: (N, N) each."""
    n = len(distances)
    rng = np.random.default_rng(parameters.seed)
    together = {k: np.zeros((n, n)) for k in range(2, top + 1)}
    sampled = np.zeros((n, n))
    block = max(1, 2000 // top)
    for start in range(0, parameters.n_resamples, block):
        number = min(block, parameters.n_resamples - start)
        present = np.zeros((n, number), dtype=np.float32)
        members = {k: np.zeros((n, number, k), dtype=np.float32) for k in together}
        for r in range(number):
            chosen = np.sort(rng.choice(n, size, replace=False))
            present[chosen, r] = 1
            tree = build_tree(distances[np.ix_(chosen, chosen)], parameters.linkage)
            for k, member in members.items():
                member[chosen, r, cut_tree(tree, k)] = 1
        sampled += present @ present.T
        for k, member in members.items():
            flat = member.reshape(n, -1)
            together[k] += flat @ flat.T
    return together, sampled


def _area(matrix: np.ndarray) -> float:
    """Area under the distribution function of the consensus values below the diagonal, from a histogram of 100 bins."""
    values = np.sort(matrix[np.tril_indices(len(matrix), -1)])
    borders = np.arange(1, N_BINS + 1) / N_BINS
    return float(np.searchsorted(values, borders + _BORDER, side="right").mean() / values.size)


def _number(growth: dict[int, float], min_growth: float) -> tuple[int, bool]:
    for k in sorted(growth)[1:]:
        if growth[k] < min_growth:
            return k - 1, True
    return max(growth), False
