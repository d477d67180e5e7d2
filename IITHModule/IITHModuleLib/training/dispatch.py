"""Which code trains which kind of model: the one table in which every kind is entered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

from SubregionHabitatLib.errors import InputError

from ..untrusted_json import read_json
from .protocol import MAX_PROTOCOL_BYTES, SCHEMA, find_protocol

# Kind of a protocol -> module of this package with train_model(request) -> TrainedModel.
TRAINERS = {
    "logistic": "run",
    "cox": "run",
    "heterogeneity_index": "su_iith",
    "phenotype_centroid": "delta_phenotypes",
    "radiomics_logistic": "radiomics_run",
    "radiomics_cox": "radiomics_run",
}
# Options that only the kinds with a selection of features have a use for.
SELECTION_KINDS = ("radiomics_logistic", "radiomics_cox")
SELECTION_OPTIONS = (
    "paper_order", "event", "time_days", "horizon_years", "features", "values", "penalty", "model_id",
)  # fmt: skip


_OPTIONS = {
    "outcomes": "OUTCOMES", "features": "--feature", "values": "--value", "horizon_years": "--horizon",
    "model_id": "--id",
}  # fmt: skip


@dataclass(frozen=True)
class TrainingRequest:
    """What `iith train` was asked for; a kind refuses, by InputError, what it has no use for.

    outcomes: None where none was given; external: name -> further table; stable: list of reproducible features;
    visits: first and second visit of a kind that compares two, or the visits to train on. The rest is for kinds with a
    selection of features: paper_order replays the paper's order; event, time_days, horizon_years, features (patterns
    region|image|feature), values (NAME or NAME=COLUMN), penalty (an estimator) and model_id stand in for what the
    protocol says.
    """

    protocol: str | Path
    table: Path
    outcomes: Path | None
    out: Path
    external: Mapping[str, Path] = field(default_factory=dict)
    stable: Path | None = None
    visits: tuple[str, ...] | None = None
    overwrite: bool = False
    paper_order: bool = False
    event: str | None = None
    time_days: str | None = None
    horizon_years: float | None = None
    features: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    penalty: str | None = None
    model_id: str | None = None
    progress: Callable[[str], None] = lambda message: None

    def refuse(self, names: tuple[str, ...], kind: str) -> None:
        """Raise InputError when an option among ``names`` was given that this kind has no use for."""
        for name in names:
            if getattr(self, name):
                option = _OPTIONS.get(name, f"--{name.replace('_', '-')}")
                raise InputError(f"A protocol of the kind {kind} makes no use of {option}; leave it out.")


@dataclass(frozen=True)
class TrainedModel:
    """path: of the written model.json; text: summary for a terminal; content: the same as plain JSON types."""

    path: Path
    text: str
    content: dict


def train_model(request: TrainingRequest) -> TrainedModel:
    """Fit a model by the protocol's kind and write its folder. Raises InputError where anything does not fit."""
    kind = protocol_kind(request.protocol)
    if kind not in SELECTION_KINDS:
        request.refuse(SELECTION_OPTIONS, kind)
    return import_module(f".{TRAINERS[kind]}", __package__).train_model(request)


def protocol_kind(name_or_path: str | Path) -> str:
    """The kind a protocol makes; InputError when the file is no protocol or its kind is not in TRAINERS."""
    path = find_protocol(name_or_path)
    content, _ = read_json(path, "protocol", MAX_PROTOCOL_BYTES)
    if content.get("schema") != SCHEMA:
        raise InputError(f"{path} is not a protocol of the schema '{SCHEMA}'; copy one from Resources/Protocols.")
    kind = str(content.get("kind", ""))
    if kind not in TRAINERS:
        raise InputError(f"{path} makes the kind '{kind[:40]}'; this version trains {', '.join(TRAINERS)}.")
    return kind
