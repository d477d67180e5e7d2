"""A phenotype model as a model folder: JSON ("iith-model/1", kind "phenotype_centroid") and a card."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .delta_features import DENOMINATORS
from .delta_phenotype import PhenotypeModel
from .feature_groups import FeatureGroup
from .frozen_model import ModelHead, card_head, card_tail, card_training, finite, key_from_json, key_to_json
from .model_format import ModelFormat

KIND = "phenotype_centroid"


def phenotypes_to_json(model: PhenotypeModel, head: ModelHead) -> dict:
    """Every number a new patient needs, as plain JSON types."""
    return FORMAT.content(model, head)


def load_phenotypes(path: str | Path) -> PhenotypeModel:
    """Read a model folder or model.json of this kind."""
    return FORMAT.load(path).model


def save_phenotypes(model: PhenotypeModel, head: ModelHead, folder: Path, overwrite: bool = False) -> Path:
    """Write the model folder, after checking that what is written can be read; returns the path of model.json."""
    return FORMAT.save(model, head, folder, overwrite)


def _to_json(model: PhenotypeModel) -> dict:
    columns = zip(model.keys, model.signs, model.means, model.sds, model.low, model.high, strict=True)
    return {
        "features": [
            key_to_json(key)
            | {
                "sign": int(sign),
                "mean": float(mean),
                "sd": float(sd),
                "low": float(low) if np.isfinite(low) else None,
                "high": float(high) if np.isfinite(high) else None,
            }
            for key, sign, mean, sd, low, high in columns
        ],
        "preset": {"name": model.preset, "sha256": model.preset_digest},
        "feature_groups": [
            {"features": g.columns.tolist(), "loadings": g.loadings.tolist(), "explained": g.explained}
            for g in model.groups
        ],
        "phenotypes": [
            {"name": name, "centroid": centroid.tolist(), "typical_change": change}
            for name, centroid, change in zip(model.names, model.centroids, model.typical_change, strict=True)
        ],
        "supported": model.supported,
        "cohort": model.training,
        "parameters": model.parameters,
        "warnings": list(model.warnings),
    }


def _build(content: dict) -> PhenotypeModel:
    features, phenotypes = content["features"], content["phenotypes"]
    groups = tuple(
        FeatureGroup(finite(g["features"]).astype(int), finite(g["loadings"]), float(finite(g["explained"])))
        for g in content["feature_groups"]
    )
    model = PhenotypeModel(
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
    _check(model)
    return model


def _check(model: PhenotypeModel) -> None:
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
    lines += ["", f"- Table digest (SHA-256): {cohort['table_sha256']}.", ""]
    lines += [*_card_sizes(content), *card_training(content), *card_tail(content)]
    return "\n".join(lines)


def _p_text(test: dict) -> str:
    """p of a simulation is never known to be 0."""
    return f"p = {test['p']:.3g}" if test["p"] > 0 else f"p < {1 / test['n_simulations']:.3g}"


def _card_sizes(content: dict) -> list[str]:
    """How lesion size changed in every phenotype, where the training knew it."""
    rows = content["training"].get("size_changes")
    if not rows:
        return []
    names = [p["name"] for p in content["phenotypes"]]
    lines = [
        "## Change of size beside it",
        "",
        f"| size | {' | '.join(f'median change, {n}' for n in names)} | Spearman with the mean component |",
        "|---" * (len(names) + 2) + "|",
    ]
    for row in rows:
        medians = [_percent(p["median_change_percent"], p["n"]) for p in row["phenotypes"]]
        rho = row["spearman_with_mean_component"]
        lines.append(f"| {row['size']} | {' | '.join(medians)} | {'not known' if rho is None else f'{rho:.2f}'} |")
    return [*lines, ""]


def _percent(value: float | None, n: int) -> str:
    return "not known" if value is None else f"{value:.1f} % (n = {n})"


def phenotype_text(model: PhenotypeModel, head: ModelHead) -> str:
    """The model in a few lines for a terminal."""
    counts = zip(model.names, model.training["n_per_phenotype"], model.typical_change, strict=True)
    lines = [
        f"{head.id} {head.version}  [{KIND}]",
        f"  {head.title}",
        f"  {len(model.keys)} features in {len(model.groups)} groups, {model.centroids.shape[1]} components; "
        f"{model.training['n']} patients",
        *(f"  {name}: {n} patients, median change {100 * change:.1f} %" for name, n, change in counts),
        f"  division {'supported' if model.supported else 'NOT supported'} by SigClust",
        *(f"  {warning}" for warning in model.warnings),
    ]
    return "\n".join(lines)


FORMAT = ModelFormat(KIND, "phenotype", _to_json, _build, _card)
