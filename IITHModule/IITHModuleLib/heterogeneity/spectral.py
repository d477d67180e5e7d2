"""Spectral clustering of a network of patients, and how many clusters its eigenvalues suggest.

Clusters: normalised Laplacian (type 3 of SNFtool), rows of unit length, and the discretisation of Yu & Shi (ICCV 2003)
from SNFtool's fixed start, so the result has no randomness. Number: the eigengap rule of Spectrum 1.1, which leaves
the first gap out.
"""

from __future__ import annotations

import numpy as np
from scipy import linalg

from SubregionHabitatLib.errors import InputError

_EPS = np.finfo(np.float64).eps
DISCRETISATION_STEPS = 20


def spectral_clusters(network: np.ndarray, n_clusters: int) -> np.ndarray:
    """Cluster of every patient, (N,) int 0..n_clusters-1, from a symmetric non-negative network (N, N).

    A cluster may stay empty. Raises InputError unless 2 <= n_clusters < N.
    """
    n = len(network)
    if not 2 <= n_clusters < n:
        raise InputError(f"{n} patients cannot be put into {n_clusters} clusters; choose 2 or more, below {n}.")
    # Smallest eigenvalues of I - A are the largest of A = D^-1/2 W D^-1/2.
    values, vectors = linalg.eigh(_scaled(network), subset_by_index=[n - n_clusters, n - 1])
    return _discretised(vectors[:, np.argsort(-values, kind="stable")])


def eigengap_number(network: np.ndarray, max_clusters: int = 10) -> tuple[int, np.ndarray]:
    """Number of clusters, 2..max_clusters, before the widest eigenvalue gap, and the eigenvalues, descending.

    The gap between the first and second eigenvalue, which always speaks for one cluster, is not looked at. Reading the
    rule on the fused network is this tool's choice: Spectrum applies it to a kernel of its own.
    """
    n = len(network)
    if n < 4 or max_clusters < 2:
        raise InputError(f"{n} patients and at most {max_clusters} clusters leave no choice; give at least 4 and 2.")
    shown = min(max_clusters + 1, n)
    values = linalg.eigh(_scaled(network), eigvals_only=True, subset_by_index=[n - shown, n - 1])[::-1]
    gaps = values[:-1] - values[1:]
    return int(np.argmax(np.abs(gaps[1:]))) + 2, values


def _scaled(network: np.ndarray) -> np.ndarray:
    degree = network.sum(axis=1)
    root = 1 / np.sqrt(np.where(degree == 0, _EPS, degree))
    scaled = root[:, None] * network * root[None, :]
    return (scaled + scaled.T) / 2


def _discretised(vectors: np.ndarray) -> np.ndarray:
    """Labels (N,) from eigenvectors (N, k): the rotation that brings the rows nearest to the coordinate axes."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    rows = vectors / np.where(length == 0, 1.0, length)
    n, k = rows.shape
    rotation = _start(rows)
    last = 0.0
    labels = np.zeros(n, dtype=int)
    for _ in range(DISCRETISATION_STEPS):
        labels = np.argmax(rows @ rotation, axis=1)
        left, singular, right = np.linalg.svd(np.eye(k)[labels].T @ rows)
        cut = 2 * (n - singular.sum())
        if abs(cut - last) < _EPS:
            break
        last = cut
        rotation = right.T @ left.T
    return labels


def _start(rows: np.ndarray) -> np.ndarray:
    """Rows far apart from each other, from the patient in the middle of the list on."""
    n, k = rows.shape
    rotation = np.zeros((k, k))
    rotation[:, 0] = rows[max(round(n / 2) - 1, 0)]
    closeness = np.zeros(n)
    for j in range(1, k):
        closeness += np.abs(rows @ rotation[:, j - 1])
        rotation[:, j] = rows[int(np.argmin(closeness))]
    return rotation
