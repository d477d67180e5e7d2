"""Groups of new patients by their place in the network of known ones (route B for new cases).

SNFtool's group prediction, method 1: all patients are standardised together and fused into one network; the known
groups then spread along it while the known patients keep theirs (Zhu & Ghahramani 2002). The training features must be
at hand, and the answer for one new patient depends on the others given with it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from SubregionHabitatLib.errors import InputError

from .snf import ITERATIONS_SU2023, K_SU2023, SIGMA_SU2023, fused_network

PROPAGATION_STEPS = 1000


def group_predict(
    train_views: Sequence[np.ndarray],
    test_views: Sequence[np.ndarray],
    groups: np.ndarray,
    k: int = K_SU2023,
    sigma: float = SIGMA_SU2023,
    iterations: int = ITERATIONS_SU2023,
) -> np.ndarray:
    """Groups (N_test,) of the new patients, of the values in ``groups`` (N_train,).

    train_views and test_views: the same views in the same order, (N, P_v) each, without gaps. Ties go to the lower
    group. Raises InputError when views do not match or hold gaps.
    """
    if len(train_views) != len(test_views) or not len(train_views):
        raise InputError("The new patients need the same views as the training patients; give both sets of features.")
    joined = []
    for train, test in zip(train_views, test_views, strict=True):
        if train.shape[1] != test.shape[1] or len(train) != len(groups):
            raise InputError("A view of the new patients does not match the training view; give the same features.")
        joined.append(np.concatenate([train, test]))
        if not np.isfinite(joined[-1]).all():
            raise InputError("A view holds missing values; fill or leave them out before spreading the groups.")
    names, index = np.unique(np.asarray(groups), return_inverse=True)
    spread = propagate(fused_network(joined, k, sigma, iterations), np.eye(len(names))[index])
    return names[np.argmax(spread[len(groups) :], axis=1)]


def propagate(network: np.ndarray, known: np.ndarray, steps: int = PROPAGATION_STEPS) -> np.ndarray:
    """Membership (N, G) after ``steps`` of spreading along ``network`` (N, N); its first rows are ``known`` (M, G)."""
    transition = network / network.sum(axis=1, keepdims=True)
    membership = np.zeros((len(network), known.shape[1]))
    membership[: len(known)] = known
    for _ in range(steps):
        membership = transition @ membership
        membership[: len(known)] = known
    return membership
