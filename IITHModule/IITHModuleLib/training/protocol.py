"""Reading a training protocol ("iith-protocol/1"): plain data, checked, with nothing to evaluate."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from SubregionHabitatLib.errors import InputError

from ..case_values import KNOWN_VALUES
from ..resources import resource_path
from ..transforms import TRANSFORMS
from ..untrusted_json import check_schema, read_json

SCHEMA = "iith-protocol/1"
MAX_PROTOCOL_BYTES = 200_000


@dataclass(frozen=True)
class FeatureChoice:
    """A standard value and the transform a form applies to it."""

    name: str
    transform: str


@dataclass(frozen=True)
class Comparison:
    """Another set of features fitted to the same patients, to see what the form's features add."""

    name: str
    features: tuple[FeatureChoice, ...]


@dataclass(frozen=True)
class FormPlan:
    name: str
    features: tuple[FeatureChoice, ...]
    comparisons: tuple[Comparison, ...]


@dataclass(frozen=True)
class ExternalPlan:
    """A test set: which tables, rows and columns; None where the training's own definition holds.

    forms: names of the forms it tests; empty means all.
    """

    name: str
    tables: tuple[str, ...]
    keep: tuple[dict, ...]
    leave_out: tuple[dict, ...]
    values: dict
    outcome: dict
    forms: tuple[str, ...]
    note: str


@dataclass(frozen=True)
class Protocol:
    """How a model is made. Every key is explained in Resources/Schemas/iith-protocol-1.schema.json."""

    id: str
    version: str
    kind: str
    title: str
    outcome: dict
    join_on: str
    tables: dict
    keep: tuple[dict, ...]
    leave_out: tuple[dict, ...]
    values: dict
    forms: tuple[FormPlan, ...]
    groups: dict
    external: tuple[ExternalPlan, ...]
    seed: int
    folds: int
    repeats: int
    bootstrap: int
    texts: dict = field(repr=False)
    digest: str


def find_protocol(name_or_path: str | Path) -> Path:
    """The file of a shipped protocol's name, or the path as given; InputError for an unknown name."""
    path = Path(name_or_path)
    if path.suffix != ".json" and not path.exists():
        path = resource_path("Protocols", f"{path.name}.json")
        if not path.is_file():
            shipped = ", ".join(sorted(p.stem for p in resource_path("Protocols").glob("*.json")))
            raise InputError(f"There is no protocol '{name_or_path}'; shipped are {shipped}, or give a JSON file.")
    return path


@contextmanager
def complete_protocol(path: Path, example: str) -> Iterator[None]:
    """Building a protocol from its content: what it lacks becomes one InputError, to be compared with ``example``."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{path} is not a complete protocol ({type(error).__name__}: {error}); compare it with {example} in "
            "Resources/Protocols."
        ) from None


def load_protocol(name_or_path: str | Path) -> Protocol:
    """A shipped protocol by name, or any protocol by path; InputError when it is not sound."""
    path = find_protocol(name_or_path)
    content, digest = read_json(path, "protocol", MAX_PROTOCOL_BYTES)
    if content.get("schema") != SCHEMA:
        raise InputError(f"{path} is not a protocol of the schema '{SCHEMA}'; copy one from Resources/Protocols.")
    check_schema(content, resource_path("Schemas", "iith-protocol-1.schema.json"), path, "protocol")
    with complete_protocol(path, "one"):
        protocol = _build(content, digest)
    _check(protocol, path)
    return protocol


def _build(content: dict, digest: str) -> Protocol:
    resampling = content["resampling"]
    return Protocol(
        id=content["id"],
        version=content["version"],
        kind=content["kind"],
        title=content["title"],
        outcome=content["outcome"],
        join_on=content["join_on"],
        tables=content.get("tables", {}),
        keep=tuple(content["keep"]),
        leave_out=tuple(content.get("leave_out", [])),
        values=content["values"],
        forms=tuple(
            FormPlan(
                form["name"],
                _features(form["features"]),
                tuple(Comparison(c["name"], _features(c["features"])) for c in form.get("comparisons", [])),
            )
            for form in content["forms"]
        ),
        groups=content["groups"],
        external=tuple(
            ExternalPlan(
                name=e["name"],
                tables=tuple(e["tables"]),
                keep=tuple(e.get("keep", [])),
                leave_out=tuple(e.get("leave_out", [])),
                values=content["values"] | e.get("values", {}),
                outcome=content["outcome"] | e.get("outcome", {}),
                forms=tuple(e.get("forms", [])),
                note=e.get("note", ""),
            )
            for e in content.get("external", [])
        ),
        seed=int(resampling["seed"]),
        folds=int(resampling["folds"]),
        repeats=int(resampling["repeats"]),
        bootstrap=int(resampling["bootstrap"]),
        texts=content["texts"],
        digest=digest,
    )


def _features(entries: list) -> tuple[FeatureChoice, ...]:
    return tuple(FeatureChoice(e["name"], e["transform"]) for e in entries)


def _check(protocol: Protocol, path: Path) -> None:
    choices = [c for form in protocol.forms for c in form.features]
    choices += [c for form in protocol.forms for other in form.comparisons for c in other.features]
    for choice in choices:
        if choice.name not in KNOWN_VALUES:
            raise InputError(f"{path}: '{choice.name}' is not a standard value; use one of {', '.join(KNOWN_VALUES)}.")
        if choice.transform not in TRANSFORMS:
            raise InputError(f"{path}: '{choice.transform}' is not a transform; use one of {', '.join(TRANSFORMS)}.")
        if choice.name not in protocol.values:
            raise InputError(f"{path}: 'values' does not say how to get {choice.name}; add it.")
    wanted = {"youden": 2, "tertiles": 3}.get(protocol.groups["rule"])
    if wanted is None or len(protocol.groups["names"]) != wanted:
        raise InputError(f"{path}: the rule {protocol.groups['rule']} needs {wanted} group names; correct 'groups'.")
    if (protocol.kind == "cox") != ("time_days" in protocol.outcome):
        raise InputError(f"{path}: a cox protocol needs outcome.time_days and a logistic one must not have it.")
    if (protocol.kind == "cox") != (protocol.groups["rule"] == "tertiles"):
        raise InputError(f"{path}: use the group rule 'youden' with logistic and 'tertiles' with cox protocols.")
    if protocol.kind == "cox" and not protocol.outcome.get("horizons_years"):
        raise InputError(f"{path}: a cox protocol needs outcome.horizons_years, for example [3, 5]; add it.")
    names = {form.name for form in protocol.forms}
    for external in protocol.external:
        if not set(external.forms) <= names:
            raise InputError(f"{path}: the external set '{external.name}' names a form that does not exist.")
