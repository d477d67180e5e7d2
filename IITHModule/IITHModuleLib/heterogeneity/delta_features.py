"""Change of every feature between two visits, without registering the visits to each other (Chitalia 2023).

The paper turns features so that higher means more heterogeneous and then takes (f2 - f1)/f1; turning a feature before a
ratio changes nothing, so the direction is applied to the change: delta = sign * (f2 - f1)/|f1|.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from SubregionHabitatLib.errors import InputError

from .feature_matrix import FeatureMatrix, check_same_preset

DENOMINATORS = ("absolute", "literal")
# First-visit values closer to 0 than this have no relative change.
SMALLEST_FIRST = 1e-8


@dataclass(frozen=True)
class DeltaFeatures:
    """matrix: relative changes (1 = +100 %), NaN where undefined; signs (P,): +1 or -1, already applied; n_undefined:
    cells without a change because the first value is about 0 (not because a value is missing)."""

    matrix: FeatureMatrix
    signs: np.ndarray = field(repr=False)
    n_undefined: int


def delta_features(
    first: FeatureMatrix, second: FeatureMatrix, signs: np.ndarray, denominator: str = "absolute"
) -> DeltaFeatures:
    """Changes from ``first`` to ``second`` visit, of the patients and features that both hold.

    signs (P,): of the columns of ``first``, +1 when higher means more heterogeneous, -1 when less, 0 leaves the feature
    out. denominator: "absolute" |f1|, or "literal" f1 as printed, which turns the meaning around where f1 is negative.
    Raises InputError for different presets or nothing in common.
    """
    if denominator not in DENOMINATORS:
        raise InputError(f"The denominator {denominator!r} is unknown; choose one of {', '.join(DENOMINATORS)}.")
    if len(signs) != len(first.keys):
        raise InputError(f"{len(signs)} directions were given for {len(first.keys)} features; give one per feature.")
    check_same_preset((first.preset, first.preset_digest), (second.preset, second.preset_digest), "The first visit")
    there = set(second.patients)
    patients = [p for p in first.patients if p in there]
    shared = set(second.keys)
    columns = [i for i, (key, sign) in enumerate(zip(first.keys, signs, strict=True)) if key in shared and sign != 0]
    if not patients or not columns:
        raise InputError(
            f"The visits share {len(patients)} patients and {len(columns)} usable features; give both visits of the "
            "same patients, extracted alike."
        )
    keys = [first.keys[i] for i in columns]
    before, after = (m.aligned(patients, keys).values for m in (first, second))
    sign = np.asarray(signs)[columns].astype(float)
    values = relative_change(before, after, sign, denominator)
    undefined = np.isnan(values) & np.isfinite(before) & np.isfinite(after)
    matrix = replace(first, patients=tuple(patients), keys=tuple(keys), values=values)
    return DeltaFeatures(matrix, sign.astype(int), int(undefined.sum()))


def relative_change(before: np.ndarray, after: np.ndarray, sign: np.ndarray, denominator: str) -> np.ndarray:
    """sign * (after - before) / |before| (or before, literal); NaN where a value is missing or ``before`` about 0."""
    base = np.where(np.abs(before) < SMALLEST_FIRST, np.nan, before)
    return sign * (after - before) / (np.abs(base) if denominator == "absolute" else base)


def winsorised(values: np.ndarray, percent: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Columns (N, P) pulled in to their ``percent`` and 100 - percent percentiles, and these limits (P,).

    0 leaves them as they are (limits: the column's range).
    """
    if not 0 <= percent < 50:
        raise InputError(f"Winsorising at {percent:g} % is not possible; give 0 to below 50.")
    low, high = np.nanpercentile(values, [percent, 100 - percent], axis=0)
    return np.clip(values, low, high), low, high
