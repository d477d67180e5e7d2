"""What protocols that read feature tables have in common: reading the file, and the record of what a model was made
from."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

from ..heterogeneity.frozen_model import ModelHead
from ..resources import resource_path
from ..untrusted_json import check_schema, read_json
from .dispatch import TrainingRequest
from .protocol import MAX_PROTOCOL_BYTES, find_protocol
from .table import file_digest


def read_kind_protocol(name_or_path: str | Path, kind: str) -> tuple[dict, str, Path]:
    """Content, SHA-256 and path of a protocol, checked against its kind's JSON Schema; InputError where it fails."""
    path = find_protocol(name_or_path)
    content, digest = read_json(path, "protocol", MAX_PROTOCOL_BYTES)
    check_schema(content, resource_path("Schemas", f"iith-protocol-1-{kind}.schema.json"), path, "protocol")
    return content, digest, path


def table_record(request: TrainingRequest, tables: Mapping[str, dict] | None = None) -> list[dict]:
    """Role, file name and digest of every file used; never a folder of this machine.

    tables: role -> {"usual_path"}, which is shown where it names the same file.
    """
    roles = {"TABLE": request.table, "OUTCOMES": request.outcomes, "--stable": request.stable}
    rows = []
    for role, path in roles.items():
        if path is None:
            continue
        usual = (tables or {}).get(role, {}).get("usual_path", "")
        shown = usual if usual and Path(usual).name == Path(path).name else Path(path).name
        rows.append({"role": role, "file": shown, "sha256": file_digest(path)})
    return rows


def train_command(protocol: str, record: list[dict], *options: str, out: str = "MODEL") -> str:
    """The command that makes the model again from the files of ``record``."""
    by_role = {row["role"]: row["file"] for row in record}
    stable = ["--stable", by_role.pop("--stable")] if "--stable" in by_role else []
    return shlex.join(["iith", "train", protocol, *by_role.values(), *options, *stable, "--out", out])


def model_head(plan, training: dict) -> ModelHead:
    """The head of a model made by ``plan`` (id, title, version and texts of a protocol)."""
    texts = plan.texts
    return ModelHead(
        id=plan.id,
        title=plan.title,
        version=plan.version,
        intended_use=texts["intended_use"],
        limits=tuple(texts["limits"]),
        licence=dict(texts["licence"]),
        citations=tuple(texts["citations"]),
        training=training,
    )
