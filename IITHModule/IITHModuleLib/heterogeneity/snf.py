"""Similarity network fusion: several views of the same patients become one network of who resembles whom.

Wang et al., Nat Methods 2014;11:333, with the conventions of the R package SNFtool 2.3.1, which Su 2023 used: squared
Euclidean distances, the normal density as affinity, and K nearest neighbors that count the patient itself in the
diffusion. Su 2023: K = 13, sigma = 0.4, 20 iterations, views first-order and texture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import sparse

from SubregionHabitatLib.errors import InputError

K_SU2023, SIGMA_SU2023, ITERATIONS_SU2023 = 13, 0.4, 20
_EPS = np.finfo(np.float64).eps


def standardize(view: np.ndarray) -> np.ndarray:
    """Columns of ``view`` (N, P) with mean 0 and SD 1 (ddof 1); a column without spread becomes 0."""
    view = np.asarray(view, dtype=np.float64)
    sd = view.std(axis=0, ddof=1)
    return (view - view.mean(axis=0)) / np.where(sd == 0, 1.0, sd)


def squared_distances(view: np.ndarray) -> np.ndarray:
    """Squared Euclidean distances (N, N) between the rows of ``view`` (N, P)."""
    lengths = np.einsum("ij,ij->i", view, view)
    return np.maximum(lengths[:, None] + lengths[None, :] - 2 * (view @ view.T), 0.0)


def affinity(distances: np.ndarray, k: int = K_SU2023, sigma: float = SIGMA_SU2023) -> np.ndarray:
    """Affinity (N, N) of patients from their squared distances (N, N).

    The kernel's width at a pair is sigma times the mean of three lengths: the distance itself and the two patients'
    mean distances to their k nearest others. Raises InputError unless 1 <= k < N and sigma > 0.
    """
    n = len(distances)
    _check_k(k, n)
    if not sigma > 0:
        raise InputError(f"The width sigma of the similarity kernel is {sigma:g}; give a number above 0.")
    distances = (distances + distances.T) / 2
    np.fill_diagonal(distances, 0.0)
    near = np.partition(distances, range(k + 1), axis=1)[:, 1 : k + 1].mean(axis=1) + _EPS
    width = np.maximum((near[:, None] + near[None, :] + distances) / 3 + _EPS, _EPS) * sigma
    density = np.exp(-((distances / width) ** 2) / 2) / (math.sqrt(2 * math.pi) * width)
    return (density + density.T) / 2


def fuse_networks(
    affinities: Sequence[np.ndarray], k: int = K_SU2023, iterations: int = ITERATIONS_SU2023
) -> np.ndarray:
    """The fused network (N, N): symmetric, diagonal 0.5 before the last symmetrisation, rows summing to about 1.

    Every view diffuses through its own k nearest neighbors (itself among them) over the mean of the other views, all
    at once, ``iterations`` times. Raises InputError for fewer than two views or views of different patients.
    """
    if len(affinities) < 2:
        raise InputError("Similarity network fusion needs at least two views of the patients; give a second one.")
    if len({a.shape for a in affinities}) > 1:
        raise InputError("The views hold different numbers of patients; give every view of the same patients.")
    if iterations < 1:
        raise InputError(f"Network fusion with {iterations} iterations does nothing; give 1 or more.")
    _check_k(k, len(affinities[0]))
    networks = [_normalized(a) for a in affinities]
    local = [_nearest(network, k) for network in networks]
    for _ in range(iterations):
        total = sum(networks)
        others = [(total - network) / (len(networks) - 1) for network in networks]
        networks = [_normalized(_diffused(s, p)) for s, p in zip(local, others, strict=True)]
    return _normalized(sum(networks) / len(networks))


def fused_network(
    views: Sequence[np.ndarray],
    k: int = K_SU2023,
    sigma: float = SIGMA_SU2023,
    iterations: int = ITERATIONS_SU2023,
) -> np.ndarray:
    """From feature views (N, P_v), standardised here, to the fused network (N, N)."""
    networks = [affinity(squared_distances(standardize(view)), k, sigma) for view in views]
    return fuse_networks(networks, k, iterations)


def _check_k(k: int, n: int) -> None:
    if not 1 <= k < n:
        raise InputError(
            f"{k} nearest neighbors need at least {k + 1} patients, there are {n}; lower the number of neighbors or "
            "add patients."
        )


def _normalized(network: np.ndarray) -> np.ndarray:
    """Off-diagonal rows summing to one half, one half on the diagonal, then made symmetric."""
    diagonal = network.diagonal()
    others = network.sum(axis=1) - diagonal
    others = np.where(others == 0, 1.0, others)
    network = network / (2 * others[:, None])
    np.fill_diagonal(network, 0.5)
    return (network + network.T) / 2


def _nearest(network: np.ndarray, k: int) -> sparse.csr_array:
    """The k largest entries of every row, divided by their sum; among ties the later columns are kept."""
    n = len(network)
    columns = np.sort(np.argsort(network, axis=1, kind="stable")[:, -k:], axis=1)
    kept = np.take_along_axis(network, columns, axis=1)
    kept = kept / kept.sum(axis=1, keepdims=True)
    return sparse.csr_array((kept.ravel(), columns.ravel(), np.arange(0, n * k + 1, k)), shape=(n, n))


def _diffused(local: sparse.csr_array, network: np.ndarray) -> np.ndarray:
    return local @ (local @ network.T).T
