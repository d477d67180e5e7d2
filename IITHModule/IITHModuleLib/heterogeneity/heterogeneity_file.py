"""The heterogeneity index as a model folder: JSON ("iith-model/1", kind "heterogeneity_index") and a card."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .frozen_model import ModelHead, finite, key_from_json, key_to_json
from .heterogeneity_index import GROUPS, HeterogeneityIndex
from .index_card import index_card
from .model_format import ModelFormat
from .volume_dependence import VolumeDependence

KIND = "heterogeneity_index"


def index_to_json(index: HeterogeneityIndex, head: ModelHead) -> dict:
    """Every number a new case needs, as plain JSON types."""
    return FORMAT.content(index, head)


def index_from_json(content: dict, path: Path) -> HeterogeneityIndex:
    """The index in a model.json's content; raises InputError, naming ``path``, for anything that is not sound."""
    return FORMAT.parse(content, path)[1]


def load_index(path: str | Path) -> HeterogeneityIndex:
    """Read a model folder or model.json of this kind."""
    return FORMAT.load(path).model


def save_index(index: HeterogeneityIndex, head: ModelHead, folder: Path, overwrite: bool = False) -> Path:
    """Write the model folder, after checking that what is written can be read; returns the path of model.json."""
    return FORMAT.save(index, head, folder, overwrite)


def _to_json(index: HeterogeneityIndex) -> dict:
    return {
        "features": [
            key_to_json(key)
            | {
                "sign": int(index.signs[k]),
                "mean": float(index.means[k]),
                "sd": float(index.sds[k]),
                "in_network": bool(index.in_network[k]),
                "usual": [float(v) for v in index.usual[:, k]],
                "group_mean_z": [float(v) for v in index.group_means[:, k]],
            }
            for k, key in enumerate(index.keys)
        ],
        "preset": {"name": index.preset, "sha256": index.preset_digest},
        "signature": {"name": index.signature, "sha256": index.signature_digest},
        "groups": {"names": list(GROUPS), "cut": index.cut, "rule": "Youden cut of HI against network groups"},
        "hi_quantiles": [float(q) for q in index.hi_quantiles],
        "distance_quantiles": [float(q) for q in index.distance_quantiles],
        "volume_dependence": index.volume.to_json(),
        "cohort": index.training,
        "parameters": index.parameters,
        "warnings": list(index.warnings),
    }


def _build(content: dict) -> HeterogeneityIndex:
    features = content["features"]
    index = HeterogeneityIndex(
        keys=tuple(key_from_json(f) for f in features),
        signs=finite([f["sign"] for f in features]).astype(int),
        means=finite([f["mean"] for f in features]),
        sds=finite([f["sd"] for f in features]),
        in_network=np.array([f["in_network"] is True for f in features]),
        usual=finite([f["usual"] for f in features]).T,
        group_means=finite([f["group_mean_z"] for f in features]).T,
        distance_quantiles=finite(content["distance_quantiles"]),
        cut=float(finite(content["groups"]["cut"])),
        hi_quantiles=finite(content["hi_quantiles"]),
        preset=str(content["preset"]["name"]),
        preset_digest=str(content["preset"]["sha256"]),
        signature=str(content["signature"]["name"]),
        signature_digest=str(content["signature"]["sha256"]),
        parameters=dict(content["parameters"]),
        training=dict(content["cohort"]),
        volume=VolumeDependence(**content["volume_dependence"]),
        warnings=tuple(map(str, content["warnings"])),
    )
    _check(index)
    return index


def _check(index: HeterogeneityIndex) -> None:
    if not index.keys or len(set(index.keys)) != len(index.keys):
        raise ValueError("it has no features or one twice")
    if not (index.sds > 0).all():
        raise ValueError("an SD is not positive")
    if not np.isin(index.signs, (-1, 1)).all():
        raise ValueError("a sign is not -1 or 1")
    for name in ("hi_quantiles", "distance_quantiles"):
        quantiles = getattr(index, name)
        if quantiles.shape != (101,) or (np.diff(quantiles) < 0).any():
            raise ValueError(f"{name} are not 101 ascending numbers")
    if index.usual.shape != (2, len(index.keys)) or (index.usual[0] > index.usual[1]).any():
        raise ValueError("a usual range is not two ascending numbers")
    if index.group_means.shape != (2, len(index.keys)):
        raise ValueError("group_mean_z are not two numbers per feature")
    if not all(part is None or isinstance(part, int | float) for part in (index.volume.rho, index.volume.p)):
        raise ValueError("the correlation with volume is not a number")
    for name in ("neighbors", "sigma", "iterations"):
        if not float(finite(index.parameters[name])) > 0:
            raise ValueError(f"the parameter {name} is not positive")


FORMAT = ModelFormat(KIND, "heterogeneity", _to_json, _build, index_card)
