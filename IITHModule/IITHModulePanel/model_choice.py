"""The models to choose from, and what the chosen ones read and lack. Only the module file imports it."""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Collection, Iterator, Sequence

from IITHModuleLib.model_inputs import CLINICAL, clinical_inputs, lack
from IITHModuleLib.resources import resource_path
from SubregionHabitatLib.errors import InputError

from .clinical_fields import lack_sentence


@functools.lru_cache(maxsize=1)
def shipped_models() -> dict[str, dict]:
    """Id -> content of the model files of this extension, for lists; a score reads and checks its file anew."""
    files = sorted(resource_path("Models").glob("*/model.json"))
    return {file.parent.name: json.loads(file.read_text(encoding="utf-8")) for file in files}


def model_forms(name: str) -> tuple:
    """Names of the clinical inputs of each form of a model, best form first. Raises InputError as open_model."""
    content = shipped_models().get(name)
    if content is None:
        from IITHModuleLib.any_model import open_model

        forms = getattr(open_model(name), "forms", ())
        return clinical_inputs([feature.name for feature in form.features] for form in forms)
    return clinical_inputs([feature["name"] for feature in form["features"]] for form in content.get("forms", ()))


def read_values(names: Sequence[str]) -> list[str]:
    """The standard values that models read and that no image tells; no names: all shipped models."""
    read = set()
    for name in names or shipped_models():
        with contextlib.suppress(InputError):  # told by missing_values
            read.update(value for form in model_forms(name) for value in form)
    return [name for name in CLINICAL if name in read]


def missing_values(names: Sequence[str], given: Collection[str]) -> Iterator[str]:
    """What each model lacks, one sentence for each that lacks something or cannot be read."""
    for name in names or shipped_models():
        try:
            found = lack(name, model_forms(name), given)
        except InputError as error:
            yield str(error)
            continue
        if found is not None:
            yield lack_sentence(found)
