"""Simulated cohorts at the level of features: made-up numbers with known groups, never evidence about patients."""

from __future__ import annotations

import numpy as np

from IITHModuleLib.heterogeneity.feature_matrix import FeatureKey, FeatureMatrix
from IITHModuleLib.heterogeneity.iith_signature import load_signature

PRESET = ("simulated", "d" * 64)


def patient_names(n: int) -> tuple[str, ...]:
    return tuple(f"sim-{i:03d}" for i in range(n))


def matrix(values, keys, names=None) -> FeatureMatrix:
    values = np.asarray(values, dtype=float)
    return FeatureMatrix(names or patient_names(len(values)), tuple(keys), values, *PRESET)


def heterogeneity_cohort(n: int, seed: int, effect_sd: float = 2.0) -> tuple[FeatureMatrix, np.ndarray, np.ndarray]:
    """Features of homogeneous (0) and heterogeneous (1) lesions, their truth (n,) and lesion volumes in mm3.

    Three phases; heterogeneous lesions differ by ``effect_sd`` SDs in the direction of the signature. Every feature has
    a scale and an offset of its own; patients share some variation; volume has nothing to do with the truth.
    """
    scales = np.random.default_rng(99)
    rng = np.random.default_rng(seed)
    signature = load_signature()
    names = [f.feature for f in signature.features if f.feature != "firstorder_StandardDeviation"]
    keys = [FeatureKey("lesion", f"phase{t}", f"original_{name}") for t in (1, 2, 3) for name in names]
    signs = signature.signs_of(keys)
    truth = rng.permutation(np.arange(n) % 2)
    shared = 0.4 * rng.normal(size=(n, 1)) * signs
    z = (truth[:, None] - 0.5) * effect_sd * signs + shared + rng.normal(size=(n, len(keys)))
    scale, offset = 3 * np.exp(0.4 * scales.normal(size=len(keys))), 50 * scales.normal(size=len(keys))
    volumes = np.exp(8 + rng.normal(size=n))
    return matrix(z * scale + offset, keys), truth, volumes


def two_visits(n: int, seed: int, effect: float = 0.3, features_per_map: int = 30):
    """Two visits of n patients whose heterogeneity falls (0) or rises (1): first, second, truth (n,).

    ``effect``: relative change of every feature, in the direction of the shipped signs, beside a change that four
    groups of features have in common and a change of each feature alone.
    """
    scales = np.random.default_rng(98)
    rng = np.random.default_rng(seed)
    signature = load_signature("delta-chitalia2023")
    names = list(signature.signs())[:features_per_map]
    keys = [
        FeatureKey("lesion", image, f"original_{name}") for image in ("pe_peak", "ser", "wis", "wos") for name in names
    ]
    signs = signature.signs_of(keys)
    truth = rng.permutation(np.arange(n) % 2)
    first = np.exp(scales.normal(size=len(keys)) + 0.2 * rng.normal(size=(n, len(keys))))
    group = np.repeat(np.arange(4), len(names))
    change = (2 * truth[:, None] - 1) * effect + 0.12 * rng.normal(size=(n, 4))[:, group]
    change += 0.08 * rng.normal(size=(n, len(keys)))
    return matrix(first, keys), matrix(first * (1 + signs * change), keys), truth


def permuted_columns(given: FeatureMatrix, seed: int) -> FeatureMatrix:
    """Every feature shuffled over the patients on its own: the same values, no patient like another."""
    rng = np.random.default_rng(seed)
    return matrix(rng.permuted(given.values, axis=0), given.keys, given.patients)
