"""The inputs of a frozen model taken from one patient's features, and whether the model may speak about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from SubregionHabitatLib.errors import CaseRefused

from ..features import FeatureTable
from .feature_matrix import FeatureKey
from .frozen_model import FAR_OUTSIDE_Z, MAX_BAD_SHARE


@dataclass(frozen=True)
class MissingFeature:
    """An input the case lacks and why; it counts as z = 0, the training mean."""

    key: FeatureKey
    reason: str


def case_values(
    case: FeatureTable | Mapping[FeatureKey, float | None], keys: Sequence[FeatureKey]
) -> tuple[np.ndarray, tuple[MissingFeature, ...]]:
    """Values (P,) of ``keys``, NaN where missing, and the reasons."""
    if isinstance(case, FeatureTable):
        found = {FeatureKey(r.region, r.image, r.feature): (r.value, r.reason) for r in case.rows}
    else:
        found = {key: (value, "") for key, value in case.items()}
    values = np.full(len(keys), np.nan)
    missing = []
    for i, key in enumerate(keys):
        value, reason = found.get(key, (None, "not in the feature table"))
        if value is None or not np.isfinite(value):
            missing.append(MissingFeature(key, reason or "it has no value"))
        else:
            values[i] = value
    return values, tuple(missing)


def refuse_unlike(what: str, z: np.ndarray, n_missing: int) -> int:
    """How many z-scores (P,; NaN where missing) lie beyond FAR_OUTSIDE_Z.

    Raises CaseRefused when more than MAX_BAD_SHARE of the inputs is missing, or of those present lies that far out: the
    case then comes from another scanner, protocol or preset than the training patients.
    """
    n = len(z)
    if n_missing > MAX_BAD_SHARE * n:
        raise CaseRefused(
            f"{what} needs {n} features and the case lacks {n_missing}, more than {100 * MAX_BAD_SHARE:.0f} %; extract "
            "features of the same regions and images as in training."
        )
    extreme = int(np.sum(np.abs(z[np.isfinite(z)]) > FAR_OUTSIDE_Z))
    if extreme > MAX_BAD_SHARE * (n - n_missing):
        raise CaseRefused(
            f"{what} refuses this case: {extreme} of {n - n_missing} features lie more than {FAR_OUTSIDE_Z:g} SD from "
            "the training mean; check that scanner protocol and preset are those of the training patients."
        )
    return extreme
