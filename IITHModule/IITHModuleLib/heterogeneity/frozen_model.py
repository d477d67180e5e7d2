"""What heterogeneity models have in common as files: a head that says what they are, and a folder of JSON and card.

Schema "iith-model/1", kinds "heterogeneity_index" and "phenotype_centroid"; plain data, nothing that executes.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from SubregionHabitatLib.errors import InputError

from ..model_file import MAX_ANY_MODEL_BYTES, SCHEMA, find_model
from ..model_folder import whole_model_folder
from ..resources import resource_path
from ..untrusted_json import check_schema, read_json
from .feature_matrix import FeatureKey

RESEARCH_USE = "Research use only; not for decisions about a patient."
# A case is refused when more than this share of its inputs is missing, or far outside training.
MAX_BAD_SHARE = 0.10
FAR_OUTSIDE_Z = 5.0
_ID = re.compile(r"^[a-z0-9][a-z0-9.-]{0,63}$")


@dataclass(frozen=True)
class ModelHead:
    """What a model is and what it may be used for. licence: {"name", "non_commercial", "detail"}.

    training: anything about the patients that is worth telling and names none of them, for example
    {"tables": [{"file", "sha256"}]}. Raises InputError for an id that is no plain name.
    """

    id: str
    title: str
    version: str = "1.0.0"
    intended_use: str = RESEARCH_USE
    limits: tuple[str, ...] = ("It has not been tested on patients other than those it was made from.",)
    licence: dict = field(
        default_factory=lambda: {"name": "not stated", "non_commercial": True, "detail": "Terms of the training data."}
    )
    citations: tuple[str, ...] = ()
    training: dict = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not _ID.match(self.id):
            raise InputError(
                f"The model id {self.id[:60]!r} is not usable; use small letters, digits, dots and hyphens."
            )

    def to_json(self, kind: str) -> dict:
        return {
            "schema": SCHEMA,
            "id": self.id,
            "version": self.version,
            "kind": kind,
            "title": self.title,
            "intended_use": self.intended_use,
            "limits": list(self.limits),
            "licence": dict(self.licence),
            "citations": list(self.citations),
            "training": dict(self.training),
        }


def head_from_json(content: dict) -> ModelHead:
    return ModelHead(
        id=str(content["id"]),
        title=str(content["title"]),
        version=str(content["version"]),
        intended_use=str(content["intended_use"]),
        limits=tuple(map(str, content["limits"])),
        licence=dict(content["licence"]),
        citations=tuple(map(str, content["citations"])),
        training=dict(content["training"]),
    )


def key_to_json(key: FeatureKey) -> dict:
    return {"region": key.region, "image": key.image, "feature": key.feature}


def key_from_json(entry: dict) -> FeatureKey:
    return FeatureKey(str(entry["region"]), str(entry["image"]), str(entry["feature"]))


def finite(values: object) -> np.ndarray:
    """The numbers of a JSON list (of lists) as float64; ValueError for anything that is not a finite number."""
    array = np.asarray(values)
    if array.dtype.kind not in "iuf" or not np.isfinite(array).all():
        raise ValueError("a list holds something that is not a finite number")
    return array.astype(np.float64)


def read_model(path: str | Path, kind: str) -> tuple[dict, str, Path]:
    """Content, SHA-256 and path of the model.json at ``path`` (a file, a folder or the id of a shipped model), checked
    against its JSON Schema.

    Raises InputError, one sentence naming the file, when it is not a model of this kind.
    """
    path = find_model(path)
    content, digest = read_json(path, "model file", MAX_ANY_MODEL_BYTES)
    if content.get("schema") != SCHEMA or content.get("kind") != kind:
        found = f"schema '{str(content.get('schema'))[:40]}', kind '{str(content.get('kind'))[:40]}'"
        raise InputError(f"{path} has {found}, not '{SCHEMA}', '{kind}'; give a model of that kind.")
    check_schema(content, resource_path("Schemas", f"iith-model-1-{kind}.schema.json"), path, "model file")
    return content, digest, path


def write_model_folder(content: dict, card: str, folder: Path, overwrite: bool = False) -> Path:
    """Write model.json and MODEL_CARD.md so that ``folder`` is either whole or as before; returns the path of the JSON.

    Raises InputError when the folder is not empty, unless it is a model and ``overwrite`` is set.
    """
    folder = Path(folder)
    with whole_model_folder(folder, overwrite) as work:
        text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
        (work / "model.json").write_text(text + "\n", encoding="utf-8")
        (work / "MODEL_CARD.md").write_text(card, encoding="utf-8")
    return folder / "model.json"


def card_head(content: dict) -> list[str]:
    """The lines every card of these kinds begins with."""
    rule = "Research use only. Not a medical device; not for decisions about a patient."
    if content["licence"].get("non_commercial"):
        rule += " **Non-commercial use only** (see Licence)."
    head = f"`{content['id']}` version {content['version']}, kind `{content['kind']}`. {rule}"
    return [f"# {content['title']}", "", head, "", f"Intended use: {content['intended_use']}", ""]


def card_training(content: dict) -> list[str]:
    """Which tables the model was made from and how, where the training says it."""
    training = content["training"]
    if not training.get("tables"):
        return []
    lines = ["## Training data", "", *([training["summary"], ""] if training.get("summary") else [])]
    lines += ["| table | file | SHA-256 |", "|---|---|---|"]
    lines += [f"| {t['role']} | `{t['file']}` | `{t['sha256'][:16]}...` |" for t in training["tables"]]
    if training.get("command"):
        lines += ["", "Made by", "", "```", training["command"], "```"]
    if training.get("protocol"):
        lines += ["", f"Protocol `{training['protocol']}`, seed {training.get('seed', 0)}."]
    return [*lines, ""]


def card_tail(content: dict) -> list[str]:
    lines = ["## Limits, and what is not known", "", *[f"- {limit}" for limit in content["limits"]], ""]
    lines += [f"- {warning}" for warning in content["warnings"]] + [""] if content["warnings"] else []
    licence = content["licence"]
    lines += ["## Licence and citation", "", f"{licence.get('name')}. {licence.get('detail', '')}", ""]
    return [*lines, *[f"- {c}" for c in content["citations"]], ""]
