"""The features of a case as inputs of a logistic or Cox model that was trained on features."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from SubregionHabitatLib.errors import InputError

from .case_values import CaseValue, CaseValues
from .feature_values import CURVE_IMAGE, feature_key, is_feature_name
from .features import FeatureRow, FeatureTable
from .model_file import Model, ModelFeature


def feature_names(model: Model) -> list[str]:
    """The inputs of ``model`` that are features, named region|image|feature."""
    return [n for n in dict.fromkeys(f.name for form in model.forms for f in form.features) if is_feature_name(n)]


def with_features(model: Model, values: CaseValues, features: FeatureTable | Mapping | None) -> CaseValues:
    """``values`` and the features that ``model`` reads, each with its reason where it is missing.

    features: of the case as extracted, or key -> value of one row of a table. Raises InputError when they were made
    with another preset than in training, or in another unit.
    """
    wanted = {f.name: f for form in model.forms for f in form.features if is_feature_name(f.name)}
    if not wanted:
        return values
    if features is None:
        return {
            **values,
            **{n: CaseValue(None, f.unit, "measured", "no features were extracted") for n, f in wanted.items()},
        }
    found = dict(values)
    if isinstance(features, FeatureTable):
        check_preset(model, features.preset, features.preset_digest)
        rows = {(r.region, r.image, r.feature): r for r in features.rows}
        if any(feature_key(name)[1] == CURVE_IMAGE for name in wanted):
            from .kinetic_curves import kinetic_curve_features

            rows |= {(r.region, r.image, r.feature): r for r in kinetic_curve_features(features)}
        for name, feature in wanted.items():
            found[name] = _from_row(model, feature, rows.get(feature_key(name)))
        return found
    for name, feature in wanted.items():
        value = features.get(feature_key(name))
        missing = value is None or not np.isfinite(value)
        reason = "it has no value in the table" if missing else None
        found[name] = CaseValue(None if missing else float(value), feature.unit, "table", reason)
    return found


def check_preset(model: Model, preset: str, digest: str) -> None:
    """InputError unless the features were made with the preset of the model; an unknown one is taken as it is."""
    for form in model.forms:
        for feature in form.features:
            name, _, used = feature.preset.partition(":")
            if is_feature_name(feature.name) and used and digest and used != digest:
                raise InputError(
                    f"Model {model.id} was made with the preset {name} ({used[:8]}), these features with {preset} "
                    f"({digest[:8]}); extract them with the same preset."
                )


def _from_row(model: Model, feature: ModelFeature, row: FeatureRow | None) -> CaseValue:
    if row is None:
        return CaseValue(None, feature.unit, "measured", "it is not in the case's feature table")
    if row.value is None:
        return CaseValue(None, feature.unit, "measured", row.reason or "no reason was recorded")
    if row.unit != feature.unit and feature.preset != "unknown":
        raise InputError(
            f"Model {model.id} reads {feature.name} in '{feature.unit}', but the case has it in '{row.unit}'; extract "
            "it with the settings of training."
        )
    return CaseValue(float(row.value), feature.unit, "measured")
