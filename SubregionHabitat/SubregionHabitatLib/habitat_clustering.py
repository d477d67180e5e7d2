"""Grouping z-scores into habitats: k-means or Ward's method, with k as given or chosen from the data."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.cluster import hierarchy

from .errors import InputError
from .habitat_number import KChoice, choose_k
from .habitat_parameters import HabitatParameters
from .kmeans import kmeans
from .progress import Progress, Silent

# Ward's method holds all pairwise distances: 8 bytes each, 0.4 GB at this number.
MAX_WARD_ROWS = 10_000
# Restarts while k is chosen: every k is fitted many times there.
CHOICE_STARTS = 5


def with_chosen_k(
    rows: np.ndarray, parameters: HabitatParameters, smallest_group: int, progress: Progress | None = None
) -> tuple[HabitatParameters, KChoice | None]:
    """The parameters with k as chosen from ``rows``, where that was asked for, and how it was chosen."""
    if parameters.choose_k == "no":
        return parameters, None
    fewer_starts = replace(parameters, n_init=min(parameters.n_init, CHOICE_STARTS))
    choice = choose_k(rows, parameters, lambda r, k: cluster_rows(r, k, fewer_starts)[0], smallest_group, progress)
    return replace(parameters, k=choice.k), choice


def cluster_rows(
    rows: np.ndarray, k: int, parameters: HabitatParameters, progress: Progress | None = None
) -> tuple[np.ndarray, np.ndarray, float]:
    """Cluster z-scores (N, F): labels 0..k-1, centres (k, F), sum of squares; by Ward where two-level asks for it.

    Raises InputError where Ward's method would need too much memory.
    """
    if parameters.mode != "two_level" or parameters.second_level == "kmeans":
        return kmeans(rows, k, parameters.n_init, parameters.seed, progress)
    if len(rows) > MAX_WARD_ROWS:
        raise InputError(
            f"{len(rows)} supervoxels are too many for Ward's method (at most {MAX_WARD_ROWS}); set second_level to "
            "'kmeans' or take fewer exams."
        )
    if len(rows) < k:
        raise InputError(f"{len(rows)} supervoxels cannot make {k} habitats; take a larger lesion or more supervoxels.")
    (progress or Silent()).step(0.0, "Ward clustering")
    order = np.lexsort(rows.T)
    found = hierarchy.fcluster(hierarchy.linkage(rows[order], method="ward"), k, criterion="maxclust") - 1
    labels = np.empty(len(rows), dtype=np.intp)
    labels[order] = found
    if len(np.unique(labels)) < k:
        raise InputError(f"The supervoxels' kinetics are too alike for {k} habitats; choose fewer habitats.")
    centres = np.array([rows[labels == i].mean(axis=0) for i in range(k)])
    return labels, centres, float(((rows - centres[labels]) ** 2).sum())
