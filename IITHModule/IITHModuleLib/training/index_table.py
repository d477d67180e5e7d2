"""The features of a heterogeneity index: a feature table of `iith batch`, or columns of any patient table by recipe."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from SubregionHabitatLib.errors import InputError

from ..heterogeneity.exam_table import read_exam_table
from ..heterogeneity.feature_matrix import FeatureKey, FeatureMatrix
from ..kinetic_rows import composition_entropy, ser_composition
from .table import read_table

SEPARATOR = "|"
RECIPES = ("column", "ratio", "entropy", "ser_entropy")
SCALES = {"identity": lambda x: x, "log": lambda x: np.log(np.where(x > 0, x, np.nan))}


def read_features(path: Path, columns: Mapping[str, dict], spec: dict, join_on: str) -> FeatureMatrix:
    """One row per patient. columns: "region|image|feature" -> recipe; empty for a table of `iith batch` as it is.

    Recipes: column {column, scale}, ratio {numerator, denominator, at_most}, entropy {of: shares made before},
    ser_entropy {of: [share above the low cut, above the high cut]}; scale "identity" or "log". A value that cannot be
    computed is missing. Raises InputError, naming the table, for what does not fit.
    """
    if not columns:
        return read_exam_table(path).one_per_patient()
    frame = read_table(path, spec, join_on)
    made: dict[str, np.ndarray] = {}
    for name, recipe in columns.items():
        made[name] = _column(frame, name, recipe, made, path)
    keys = tuple(FeatureKey(*name.split(SEPARATOR)) for name in made)
    return FeatureMatrix(tuple(frame[join_on]), keys, np.column_stack(list(made.values())))


def _column(frame, name: str, recipe: dict, made: dict[str, np.ndarray], path: Path) -> np.ndarray:
    kind = recipe.get("take")
    if name.count(SEPARATOR) != 2 or kind not in RECIPES:
        raise InputError(f"The protocol makes '{name[:80]}' by '{str(kind)[:40]}'; use {', '.join(RECIPES)}.")
    if kind == "column":
        return _finite(SCALES[recipe.get("scale", "identity")](_numbers(frame, recipe["column"], path)))
    if kind == "ratio":
        denominator = _numbers(frame, recipe["denominator"], path)
        ratio = _numbers(frame, recipe["numerator"], path) / np.where(denominator != 0, denominator, np.nan)
        return _finite(np.minimum(ratio, recipe.get("at_most", np.inf)))
    missing = [n for n in recipe["of"] if n not in made]
    if missing:
        raise InputError(f"The protocol makes '{name[:80]}' of {missing[0][:80]}, which has to come before it.")
    parts = [made[n] for n in recipe["of"]]
    with np.errstate(invalid="ignore"):
        if kind == "ser_entropy":
            return _finite(composition_entropy(ser_composition(*parts)))
        return _finite(composition_entropy(np.stack(parts, axis=-1)))


def _numbers(frame, column: str, path: Path) -> np.ndarray:
    import pandas as pd

    if column not in frame.columns:
        raise InputError(f"The table {path} has no column {column}; give the table the protocol was written for.")
    try:
        return pd.to_numeric(frame[column]).to_numpy(float)
    except (ValueError, TypeError):
        raise InputError(f"The column {column} of {path} holds text that is no number; correct the table.") from None


def _finite(values: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(values), values, np.nan)
