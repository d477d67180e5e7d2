"""A phenotype model as a model folder: JSON ("iith-model/1", kind "phenotype_centroid") and a card."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from SubregionHabitatLib.errors import InputError

from .delta_features import DENOMINATORS
from .delta_phenotype import PhenotypeModel
from .feature_groups import FeatureGroup
from .frozen_model import (
    ModelHead,
    card_head,
    card_tail,
    finite,
    head_from_json,
    key_from_json,
    key_to_json,
    read_model,
    write_model_folder,
)

KIND = "phenotype_centroid"


def phenotypes_to_json(model: PhenotypeModel, head: ModelHead) -> dict:
    """Every number a new patient needs, as plain JSON types."""
    content = head.to_json(KIND)
    columns = zip(model.keys, model.signs, model.means, model.sds, model.low, model.high, strict=True)
    content["features"] = [
        key_to_json(key)
        | {
            "sign": int(sign),
            "mean": float(mean),
            "sd": float(sd),
            "low": float(low) if np.isfinite(low) else None,
            "high": float(high) if np.isfinite(high) else None,
        }
        for key, sign, mean, sd, low, high in columns
    ]
    content["preset"] = {"name": model.preset, "sha256": model.preset_digest}
    content["feature_groups"] = [
        {"features": g.columns.tolist(), "loadings": g.loadings.tolist(), "explained": g.explained}
        for g in model.groups
    ]
    content["phenotypes"] = [
        {"name": name, "centroid": centroid.tolist(), "typical_change": change}
        for name, centroid, change in zip(model.names, model.centroids, model.typical_change, strict=True)
    ]
    content["supported"] = model.supported
    content["cohort"] = model.training
    content["parameters"] = model.parameters
    content["warnings"] = list(model.warnings)
    return content


def phenotypes_from_json(content: dict, path: Path) -> PhenotypeModel:
    """The model in a model.json's content; raises InputError, naming ``path``, for anything that is not sound."""
    try:
        head_from_json(content)
        return _checked(_build(content))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise InputError(
            f"{path} is not a valid phenotype model ({type(error).__name__}: {str(error)[:120]}); use the file as it "
            "was published."
        ) from None


def load_phenotypes(path: str | Path) -> PhenotypeModel:
    """Read a model folder or model.json of this kind."""
    content, _, path = read_model(path, KIND)
    return phenotypes_from_json(content, path)


def save_phenotypes(model: PhenotypeModel, head: ModelHead, folder: Path, overwrite: bool = False) -> Path:
    """Write the model folder, after checking that what is written can be read; returns the path of model.json."""
    content = phenotypes_to_json(model, head)
    phenotypes_from_json(content, Path(folder) / "model.json")
    return write_model_folder(content, _card(content), folder, overwrite)


def _build(content: dict) -> PhenotypeModel:
    features, phenotypes = content["features"], content["phenotypes"]
    groups = tuple(
        FeatureGroup(finite(g["features"]).astype(int), finite(g["loadings"]), float(finite(g["explained"])))
        for g in content["feature_groups"]
    )
    return PhenotypeModel(
        keys=tuple(key_from_json(f) for f in features),
        signs=finite([f["sign"] for f in features]).astype(int),
        means=finite([f["mean"] for f in features]),
        sds=finite([f["sd"] for f in features]),
        low=np.array([-np.inf if f["low"] is None else float(finite(f["low"])) for f in features]),
        high=np.array([np.inf if f["high"] is None else float(finite(f["high"])) for f in features]),
        groups=groups,
        centroids=finite([p["centroid"] for p in phenotypes]),
        names=tuple(str(p["name"]) for p in phenotypes),
        typical_change=tuple(float(finite(p["typical_change"])) for p in phenotypes),
        supported=content["supported"] is True,
        preset=str(content["preset"]["name"]),
        preset_digest=str(content["preset"]["sha256"]),
        parameters=dict(content["parameters"]),
        training=dict(content["cohort"]),
        warnings=tuple(map(str, content["warnings"])),
    )


def _checked(model: PhenotypeModel) -> PhenotypeModel:
    n = len(model.keys)
    if not n or len(set(model.keys)) != n:
        raise ValueError("it has no features or one twice")
    if not (model.sds > 0).all() or not np.isin(model.signs, (-1, 1)).all() or (model.low > model.high).any():
        raise ValueError("an SD is not positive, a sign is not -1 or 1, or limits are crossed")
    if model.parameters["denominator"] not in DENOMINATORS:
        raise ValueError("the denominator is unknown")
    held = np.concatenate([g.columns for g in model.groups])
    if not np.array_equal(np.sort(held), np.arange(n)):
        raise ValueError("the feature groups do not hold every feature once")
    for g in model.groups:
        if g.loadings.ndim != 2 or len(g.loadings) != g.columns.size or not g.loadings.shape[1]:
            raise ValueError("the loadings of a feature group do not fit its features")
    components = sum(g.loadings.shape[1] for g in model.groups)
    if model.centroids.ndim != 2 or len(model.centroids) < 2 or model.centroids.shape[1] != components:
        raise ValueError(f"the centroids are not two or more points of {components} components")
    if len(set(model.names)) != len(model.names):
        raise ValueError("two phenotypes have one name")
    return model


def _card(content: dict) -> str:
    cohort = content["cohort"]
    lines = [
        *card_head(content),
        "## What it is",
        "",
        f"Phenotypes of the change of {len(content['features'])} features between two visits (preset "
        f"`{content['preset']['name']}`), from {cohort['n']} patients. A new patient gets the nearest centroid among "
        f"{sum(cohort['components_per_group'])} principal components of {len(content['feature_groups'])} groups.",
        "",
        "| phenotype | patients | median change |",
        "|---|---|---|",
    ]
    for phenotype, n in zip(content["phenotypes"], cohort["n_per_phenotype"], strict=True):
        lines.append(f"| {phenotype['name']} | {n} | {100 * phenotype['typical_change']:.1f} % |")
    lines += ["", "## Support by SigClust", ""]
    for split in cohort["splits"]:
        test = split["sigclust"]
        found = split["reason"] if test is None else f"{_p_text(test)}, cluster index {test['cluster_index']:.4f}"
        lines.append(f"- into {split['n_clusters']} clusters ({split['n_patients']} patients divided): {found}")
    lines += ["", f"- Table digest (SHA-256): {cohort['table_sha256']}.", "", *card_tail(content)]
    return "\n".join(lines)


def _p_text(test: dict) -> str:
    """p of a simulation is never known to be 0."""
    return f"p = {test['p']:.3g}" if test["p"] > 0 else f"p < {1 / test['n_simulations']:.3g}"
