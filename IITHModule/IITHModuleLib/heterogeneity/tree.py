"""Agglomerative trees: Ward's method (R's ward.D2) and average linkage, and cutting them into exactly k clusters."""

from __future__ import annotations

import numpy as np
from scipy.cluster import hierarchy
from scipy.spatial.distance import pdist, squareform

from SubregionHabitatLib.errors import InputError

LINKAGES = ("ward", "average", "complete", "single")


def euclidean_distances(rows: np.ndarray) -> np.ndarray:
    """Distances (N, N) between the rows of an (N, P) array."""
    return squareform(pdist(rows))


def correlation_distances(columns: np.ndarray) -> np.ndarray:
    """1 - Pearson correlation (P, P), 0..2, between the columns of an (N, P) array; columns must vary."""
    distances = np.clip(1 - np.corrcoef(columns, rowvar=False), 0.0, 2.0)
    distances = np.atleast_2d(distances)
    np.fill_diagonal(distances, 0.0)
    return (distances + distances.T) / 2


def build_tree(distances: np.ndarray, linkage: str) -> np.ndarray:
    """The merges (N-1, 4), in scipy's form, from distances (N, N). "ward" is ward.D2: heights are distances, not
    squares.

    Raises InputError for an unknown linkage or fewer than two items.
    """
    if linkage not in LINKAGES:
        raise InputError(f"The linkage {linkage!r} is unknown; choose one of {', '.join(LINKAGES)}.")
    if len(distances) < 2:
        raise InputError("A tree needs at least two items; add patients or features.")
    return hierarchy.linkage(squareform(distances, checks=False), method=linkage)


def cut_tree(tree: np.ndarray, n_clusters: int) -> np.ndarray:
    """Clusters (N,) int 0..n_clusters-1, numbered by first appearance as R's cutree does; ties never lose a cluster.

    Raises InputError unless 1 <= n_clusters <= N.
    """
    n = len(tree) + 1
    if not 1 <= n_clusters <= n:
        raise InputError(f"A tree of {n} items cannot be cut into {n_clusters} clusters; choose 1 to {n}.")
    merge_number = np.arange(n - 1, dtype=float)
    labels = hierarchy.fcluster(tree, n - n_clusters - 0.5, criterion="monocrit", monocrit=merge_number)
    _, first, index = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[index]
