"""Radiomic features of many patients as one matrix: a row per patient, a column per (region, image, feature)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from SubregionHabitatLib.errors import InputError

from ..features import FeatureTable


class FeatureKey(NamedTuple):
    """Which feature: region ("lesion"), image ("phase1", "ser", "mask") and PyRadiomics name ("original_glcm_Id")."""

    region: str
    image: str
    feature: str

    @property
    def image_type(self) -> str:
        """The filter, for example "original" or "wavelet-LLH"."""
        return self.feature.partition("_")[0]

    @property
    def plain_name(self) -> str:
        """Family and name without the filter, for example "glcm_Id"."""
        return self.feature.partition("_")[2]

    def __str__(self) -> str:
        return f"{self.region} {self.image} {self.feature}"


@dataclass(frozen=True)
class FeatureMatrix:
    """values: (N patients, P features) float64, NaN where missing; patients and keys are unique.

    preset, preset_digest: how the features were extracted ("" where unknown); matrices of different presets are never
    mixed. Raises InputError when the parts do not fit together.
    """

    patients: tuple[str, ...]
    keys: tuple[FeatureKey, ...]
    values: np.ndarray = field(repr=False)
    preset: str = ""
    preset_digest: str = ""

    def __post_init__(self) -> None:
        if self.values.shape != (len(self.patients), len(self.keys)):
            raise InputError(
                f"The feature matrix has the shape {self.values.shape} for {len(self.patients)} patients and "
                f"{len(self.keys)} features; give one row per patient and one column per feature."
            )
        for what, names in (("patient", self.patients), ("feature", self.keys)):
            if len(set(names)) != len(names):
                twice = next(n for n in names if names.count(n) > 1)
                raise InputError(f"The {what} {twice} is in the feature matrix twice; keep one of them.")
        if np.isinf(self.values).any():
            raise InputError("The feature matrix holds infinite values; write them as missing.")

    @property
    def digest(self) -> str:
        """SHA-256 of names and values, so that a model can say what it was made from."""
        text = "\n".join([*self.patients, *("\t".join(k) for k in self.keys), self.preset_digest])
        return hashlib.sha256(text.encode() + np.ascontiguousarray(self.values, dtype="<f8").tobytes()).hexdigest()

    def columns(self, chosen: Sequence[int] | np.ndarray) -> FeatureMatrix:
        """Only these columns: numbers, or a mask (P,) bool."""
        index = np.arange(len(self.keys))[np.asarray(chosen, dtype=bool if _is_mask(chosen) else int)]
        return replace(self, keys=tuple(self.keys[i] for i in index), values=self.values[:, index])

    def rows(self, chosen: Sequence[int] | np.ndarray) -> FeatureMatrix:
        """Only these patients: numbers, or a mask (N,) bool."""
        index = np.arange(len(self.patients))[np.asarray(chosen, dtype=bool if _is_mask(chosen) else int)]
        return replace(self, patients=tuple(self.patients[i] for i in index), values=self.values[index])

    def aligned(self, patients: Sequence[str], keys: Sequence[FeatureKey]) -> FeatureMatrix:
        """These patients and features in this order; raises InputError, naming the first, for what is not there."""
        row = {name: i for i, name in enumerate(self.patients)}
        column = {key: i for i, key in enumerate(self.keys)}
        for name in (*(p for p in patients if p not in row), *(k for k in keys if k not in column)):
            raise InputError(f"{name} is not in the feature matrix; extract it with the same preset and regions.")
        values = self.values[np.ix_([row[p] for p in patients], [column[k] for k in keys])]
        return replace(self, patients=tuple(patients), keys=tuple(keys), values=values)


def matrix_from_tables(tables: Mapping[str, FeatureTable]) -> FeatureMatrix:
    """One matrix from the feature tables of the patients; a feature that a table lacks is missing there.

    Columns come in the order of the first table that has them. Raises InputError without tables, or when they were made
    with different presets.
    """
    if not tables:
        raise InputError("No feature tables were given; extract features of at least one patient first.")
    presets = {(t.preset, t.preset_digest) for t in tables.values()}
    if len(presets) > 1:
        names = ", ".join(sorted(f"{name} ({digest[:8]})" for name, digest in presets))
        raise InputError(f"The feature tables were made with different presets: {names}; extract all with one.")
    keys = dict.fromkeys(FeatureKey(r.region, r.image, r.feature) for t in tables.values() for r in t.rows)
    column = {key: i for i, key in enumerate(keys)}
    values = np.full((len(tables), len(keys)), np.nan)
    for i, table in enumerate(tables.values()):
        for r in table.rows:
            if r.value is not None:
                values[i, column[FeatureKey(r.region, r.image, r.feature)]] = r.value
    ((preset, digest),) = presets
    return FeatureMatrix(tuple(tables), tuple(keys), values, preset, digest)


def check_same_preset(used: tuple[str, str], given: tuple[str, str], what: str) -> None:
    """InputError unless the (preset, digest) pairs agree; an unknown preset ("") is taken as it is."""
    if used[1] and given[1] and used != given:
        raise InputError(
            f"{what} was made with the preset {used[0]} ({used[1][:8]}), these features with {given[0]} "
            f"({given[1][:8]}); extract them with the same preset."
        )


@dataclass(frozen=True)
class CompleteMatrix:
    """A matrix without gaps.

    dropped_features, dropped_patients: name -> why; n_filled: cells filled with their column's mean, which is z = 0.
    """

    matrix: FeatureMatrix
    dropped_features: dict[FeatureKey, str]
    dropped_patients: dict[str, str]
    n_filled: int


def complete_matrix(matrix: FeatureMatrix, max_missing_share: float) -> CompleteMatrix:
    """Leave out features without spread or missing in more than ``max_missing_share`` (0..1) of the patients, then
    patients that lack more than that share of the rest; fill what is left with the column's mean.

    Raises InputError when fewer than two patients or no features remain.
    """
    missing = np.isnan(matrix.values)
    shares = missing.mean(axis=0) if len(matrix.patients) else np.ones(len(matrix.keys))
    reasons = {
        key: f"missing in {100 * share:.0f} % of the patients"
        for key, share in zip(matrix.keys, shares, strict=True)
        if share > max_missing_share or share == 1
    }
    kept = matrix.columns([k not in reasons for k in matrix.keys])
    kept, lost = _complete_patients(kept, max_missing_share)
    constant = _without_spread(kept.values)
    reasons |= {key: "the same in every patient" for key, flat in zip(kept.keys, constant, strict=True) if flat}
    kept = kept.columns(~constant)
    if len(kept.patients) < 2 or not kept.keys:
        raise InputError(
            f"After leaving out what is missing or constant, {len(kept.patients)} patients with {len(kept.keys)} "
            "features remain; give a more complete feature table."
        )
    gaps = np.isnan(kept.values)
    filled = np.where(gaps, np.nanmean(kept.values, axis=0), kept.values)
    return CompleteMatrix(replace(kept, values=filled), reasons, lost, int(gaps.sum()))


def _complete_patients(matrix: FeatureMatrix, max_missing_share: float) -> tuple[FeatureMatrix, dict[str, str]]:
    if not matrix.keys:
        return matrix, {}
    shares = np.isnan(matrix.values).mean(axis=1)
    lost = {
        patient: f"{100 * share:.0f} % of the features are missing"
        for patient, share in zip(matrix.patients, shares, strict=True)
        if share > max_missing_share
    }
    return matrix.rows(shares <= max_missing_share), lost


def _without_spread(values: np.ndarray) -> np.ndarray:
    """(P,) True where a column varies by less than rounding noise, or has fewer than two values."""
    if len(values) == 0:
        return np.ones(values.shape[1], dtype=bool)
    counted = np.isfinite(values).sum(axis=0) > 1
    result = np.ones(values.shape[1], dtype=bool)
    some = values[:, counted]
    low, high = np.nanmin(some, axis=0), np.nanmax(some, axis=0)
    result[counted] = high - low <= 1e-12 * np.maximum(np.abs(low), np.abs(high))
    return result


def _is_mask(chosen) -> bool:
    return np.asarray(chosen).dtype == bool
