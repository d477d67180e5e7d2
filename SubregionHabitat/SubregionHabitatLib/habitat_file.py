"""Habitat models as JSON files ("iith-habitats/1"), checked in full before they are used.

A file format of its own: "iith-model/1" describes scores (outcome, coefficients, performance), of which habitat centres
have none. The published schema is Resources/Schemas/iith-habitats-1.schema.json; the checks here need no jsonschema and
go further (finite numbers, units, order).
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import asdict, fields
from itertools import pairwise
from pathlib import Path

import numpy as np

from .errors import InputError
from .habitat_model import HabitatModel, HabitatTraining
from .habitat_number import KChoice
from .habitat_parameters import HABITAT_FEATURES, HabitatParameters, habitat_names
from .habitat_vectors import Scaling
from .kinetics import PEAK_SEARCHES, WOS_MODES
from .whole_file import write_whole_text

SCHEMA = "iith-habitats/1"
KIND = "habitat_centres"
RESEARCH_USE = "Research use only. Not a medical device; not for diagnosis or treatment decisions."
MAX_BYTES = 1_000_000
MAX_TEXT = 500
_DIGEST = re.compile(r"^[0-9a-f]{64}$")
_UNITS = {"wis": ("1/min",), "washout_rate": ("1/min", "signal/min"), "ser": ("1",), "pe_peak": ("%",)}


def habitat_model_to_json(model: HabitatModel) -> dict:
    """The model as a dictionary of plain JSON types."""
    scaling = model.scaling.to_json()
    return {
        "schema": SCHEMA,
        "kind": KIND,
        "research_use": RESEARCH_USE,
        "software": model.software,
        "peak_search": model.peak_search,
        "wos_mode": model.wos_mode,
        "features": [{"name": n, "unit": model.units[n], **scaling[n]} for n in model.features],
        "habitats": [
            {"name": name, "centre_z": [float(v) for v in centre], "training_share": share}
            for name, centre, share in zip(model.names, model.centres_z, model.training.shares, strict=True)
        ],
        "monotone": model.monotone,
        "inertia": float(model.inertia),
        "training": {key: getattr(model.training, key) for key in ("n_exams", "n_rows", "n_voxels", "digest")},
        "k_choice": None if model.k_choice is None else _plain(asdict(model.k_choice)),
        "parameters": _plain(asdict(model.parameters)),
        "notes": list(model.notes),
    }


def canonical_bytes(model: HabitatModel) -> bytes:
    """The model's content in one fixed spelling, for its digest."""
    return json.dumps(habitat_model_to_json(model), sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def save_habitat_model(model: HabitatModel, path: str | Path) -> None:
    """Write the model file; it appears only when it is complete. Raises InputError when it cannot be written."""
    text = json.dumps(habitat_model_to_json(model), indent=1, allow_nan=False) + "\n"
    write_whole_text(Path(path), text, "habitat model")


def load_habitat_model(path: str | Path) -> HabitatModel:
    """Read and check a habitat model.

    Raises InputError, one sentence naming the file and the remedy, for anything that is not a sound model: another
    schema, a missing or extra key, an unknown feature, unit or order, lists of different length, numbers that are not
    finite, limits or SDs that are impossible, centres that are not in order of perfusion.
    """
    path = Path(path)
    content = _read(path)
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        found = str(content.get("schema"))[:40] if isinstance(content, dict) else "none"
        raise InputError(
            f"{path.name} has the schema '{found}', not '{SCHEMA}'; give a habitat model made by `iith habitats`."
        )
    try:
        return _build(content)
    except _Unsound as problem:
        raise InputError(f"{path.name} is not a sound habitat model: {problem}; use the file as it was made.") from None
    except InputError as error:
        raise InputError(f"{path.name} is not a sound habitat model: {error}") from None


class _Unsound(Exception):
    """What is wrong with a model file, as a part of a sentence."""


def _read(path: Path) -> object:
    try:
        if not path.is_file():
            raise InputError(f"The habitat model {path.name} does not exist; check the path given.")
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path.name} cannot be read ({error.strerror}); give a habitat model file.") from None
    if len(data) > MAX_BYTES:
        raise InputError(
            f"{path.name} is larger than {MAX_BYTES:,} bytes, so it is no habitat model; give another file."
        )
    try:
        return json.loads(data.decode("utf-8"), parse_constant=_refuse_constant, object_pairs_hook=_no_double_keys)
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:120]
        raise InputError(f"{path.name} is not a valid JSON file ({reason}); get the file again.") from None


def _refuse_constant(name: str) -> float:
    raise ValueError(f"it holds {name}, which is not a number")


def _no_double_keys(pairs: list) -> dict:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("it holds one key twice")
    return dict(pairs)


def _build(content: dict) -> HabitatModel:
    _keys(content, _TOP_KEYS, "the top level")
    if content["kind"] != KIND:
        raise _Unsound(f"its kind is not '{KIND}'")
    peak_search = _one_of(content["peak_search"], PEAK_SEARCHES, "peak_search")
    wos_mode = _one_of(content["wos_mode"], WOS_MODES, "wos_mode")
    scaling, units = _scaling(content["features"], wos_mode)
    parameters = _parameters(content["parameters"])
    centres, shares = _habitats(content["habitats"], scaling.features)
    if parameters.k != len(centres):
        raise _Unsound(f"parameters name {parameters.k} habitats, the file holds {len(centres)}")
    if parameters.features is not None and parameters.features != scaling.features:
        raise _Unsound("parameters name other features than the file holds")
    model = HabitatModel(
        scaling=scaling,
        centres_z=centres,
        units=units,
        peak_search=peak_search,
        wos_mode=wos_mode,
        parameters=parameters,
        training=_training(content["training"], shares),
        inertia=_number(content["inertia"], "inertia", least=0.0),
        k_choice=_k_choice(content["k_choice"], parameters),
        notes=tuple(_text(note, "notes") for note in _list(content["notes"], "notes")),
        software=_text(content["software"], "software"),
    )
    if content["monotone"] is not model.monotone:
        raise _Unsound("monotone does not agree with the centres")
    return model


def _scaling(entries: object, wos_mode: str) -> tuple[Scaling, dict[str, str]]:
    rows = [_keys(e, ("name", "unit", "low", "high", "mean", "sd"), "a feature") for e in _list(entries, "features")]
    names = tuple(_one_of(row["name"], HABITAT_FEATURES, "a feature's name") for row in rows)
    if not names or names != tuple(n for n in HABITAT_FEATURES if n in names):
        raise _Unsound(f"its features are not some of {', '.join(HABITAT_FEATURES)}, once each and in this order")
    units = {
        name: _one_of(row["unit"], _UNITS[name], f"the unit of {name}") for name, row in zip(names, rows, strict=True)
    }
    if "washout_rate" in units and (units["washout_rate"] == "1/min") != (wos_mode == "normalised"):
        raise _Unsound("the unit of washout_rate does not fit wos_mode")
    values = {key: np.array([_number(row[key], key) for row in rows]) for key in ("low", "high", "mean", "sd")}
    for i, name in enumerate(names):
        low, high, mean, sd = (values[key][i] for key in ("low", "high", "mean", "sd"))
        if not (low < high and low <= mean <= high and 0 < sd <= high - low):
            raise _Unsound(f"limits, mean and SD of {name} are impossible")
    return Scaling(names, **values), units


def _habitats(entries: object, features: tuple[str, ...]) -> tuple[np.ndarray, tuple[float, ...]]:
    rows = [_keys(e, ("name", "centre_z", "training_share"), "a habitat") for e in _list(entries, "habitats")]
    if tuple(row["name"] for row in rows) != habitat_names(len(rows)):
        raise _Unsound(f"its {len(rows)} habitats are not named {', '.join(habitat_names(len(rows)))[:80]}")
    centres = [[_number(v, "centre_z") for v in _list(row["centre_z"], "centre_z")] for row in rows]
    if any(len(centre) != len(features) for centre in centres):
        raise _Unsound(f"a centre does not have {len(features)} values, one per feature")
    array = np.array(centres, dtype=float).reshape(len(rows), len(features))
    if any(a > b for a, b in pairwise(array.mean(axis=1))):
        raise _Unsound("its centres are not in order of perfusion")
    if len(np.unique(array, axis=0)) < len(array):
        raise _Unsound("two habitats have the same centre")
    shares = tuple(_number(row["training_share"], "training_share", 0.0, 1.0) for row in rows)
    if abs(sum(shares) - 1) > 1e-6:
        raise _Unsound("its training shares do not add up to 1")
    return array, shares


def _parameters(entry: object) -> HabitatParameters:
    names = tuple(field.name for field in fields(HabitatParameters))
    values = dict(_keys(entry, names, "parameters"))
    for name, kinds in _PARAMETER_TYPES.items():
        if type(values[name]) not in kinds:
            raise _Unsound(f"the parameter {name} is of the wrong type")
    for name in ("winsor_percent", "compactness"):
        values[name] = _number(values[name], name)
    if values["features"] is not None:
        values["features"] = tuple(_text(name, "features") for name in values["features"])
    parameters = HabitatParameters(**values)
    if parameters.mode == "per_tumour":
        raise _Unsound("its mode is 'per_tumour', which has no centres to share")
    return parameters


def _training(entry: object, shares: tuple[float, ...]) -> HabitatTraining:
    row = _keys(entry, ("n_exams", "n_rows", "n_voxels", "digest"), "training")
    counts = {key: _whole(row[key], key) for key in ("n_exams", "n_rows", "n_voxels")}
    if not isinstance(row["digest"], str) or not _DIGEST.match(row["digest"]):
        raise _Unsound("the training digest is not a SHA-256")
    return HabitatTraining(**counts, shares=shares, digest=row["digest"])


def _k_choice(entry: object, parameters: HabitatParameters) -> KChoice | None:
    if entry is None:
        if parameters.choose_k != "no":
            raise _Unsound("k_choice is missing though k was chosen from the data")
        return None
    row = _keys(entry, tuple(field.name for field in fields(KChoice)), "k_choice")
    candidates = tuple(_whole(k, "a candidate k") for k in _list(row["candidates"], "candidates"))
    values = tuple(_number(v, "k_choice") for v in _list(row["values"], "values"))
    errors = tuple(_number(v, "k_choice", 0.0) for v in _list(row["errors"], "errors"))
    if row["method"] != parameters.choose_k or row["k"] != parameters.k or parameters.k not in candidates:
        raise _Unsound("k_choice does not fit the parameters")
    if len(values) != len(candidates) or len(errors) not in (0, len(candidates)):
        raise _Unsound("k_choice does not have one value per candidate")
    return KChoice(
        method=row["method"],
        candidates=candidates,
        values=values,
        errors=errors,
        k=parameters.k,
        n_rows=_whole(row["n_rows"], "n_rows"),
        seed=_whole(row["seed"], "seed", least=0),
        notes=tuple(_text(note, "notes") for note in _list(row["notes"], "notes")),
    )


_TOP_KEYS = (
    "schema", "kind", "research_use", "software", "peak_search", "wos_mode", "features", "habitats", "monotone",
    "inertia", "training", "k_choice", "parameters", "notes",
)  # fmt: skip
_PARAMETER_TYPES = {
    "k": (int,),
    "n_init": (int,),
    "seed": (int,),
    "winsor_percent": (int, float),
    "mode": (str,),
    "features": (list, type(None)),
    "choose_k": (str,),
    "choose_k_rows": (int,),
    "max_voxels_per_exam": (int,),
    "supervoxels": (int, type(None)),
    "compactness": (int, float),
    "second_level": (str,),
}


def _keys(entry: object, names: tuple[str, ...], where: str) -> dict:
    if not isinstance(entry, dict):
        raise _Unsound(f"{where} is not an object")
    missing = [name for name in names if name not in entry]
    extra = [str(name)[:40] for name in entry if name not in names]
    if missing or extra:
        raise _Unsound(
            f"{where} has the keys missing: {', '.join(missing) or 'none'}; extra: {', '.join(extra)[:120] or 'none'}"
        )
    return entry


def _list(value: object, where: str) -> list:
    if not isinstance(value, list) or len(value) > 100:
        raise _Unsound(f"{where} is not a short list")
    return value


def _number(value: object, where: str, least: float = -math.inf, most: float = math.inf) -> float:
    if type(value) not in (int, float) or not math.isfinite(value) or not least <= value <= most:
        raise _Unsound(f"{where} is not a usable number")
    return float(value)


def _whole(value: object, where: str, least: int = 1) -> int:
    if type(value) is not int or not least <= value <= 10**15:
        raise _Unsound(f"{where} is not a usable whole number")
    return value


def _text(value: object, where: str) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT or not value.isprintable():
        raise _Unsound(f"{where} is not a short text")
    return value


def _one_of(value: object, known: tuple[str, ...], where: str) -> str:
    if not isinstance(value, str) or value not in known:
        raise _Unsound(f"{where} is not one of {', '.join(known)}")
    return value


def _plain(value):
    if isinstance(value, dict):
        return {key: _plain(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value
