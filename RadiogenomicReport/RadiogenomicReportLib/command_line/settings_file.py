"""Settings of the imaging half from a JSON file: a few of them, all of them, or those of an earlier ``case.json``."""

from __future__ import annotations

from pathlib import Path

from IITHModuleLib.untrusted_json import read_json
from SubregionHabitatLib.errors import InputError

MAX_BYTES = 10_000_000
# What a case file keeps beside the imaging settings in "parameters".
_NOT_IMAGING = {"radiomics"}


def with_settings_file(parameters, path: Path | None):
    """``parameters`` (ImagingParameters) with the values of the file, which may name any part of them.

    The file holds the settings as ``case.json`` writes them under "parameters", or a whole ``case.json``. Raises
    InputError for a file that cannot be read, an unknown name or a value of the wrong kind or range.
    """
    if path is None:
        return parameters
    from SubregionHabitatLib.imaging_settings import settings_from_json, settings_to_json

    wanted = read_json(path, "settings file", MAX_BYTES)[0]
    if "schema" in wanted and isinstance(wanted.get("parameters"), dict):
        wanted = wanted["parameters"]
    wanted = {name: value for name, value in wanted.items() if name not in _NOT_IMAGING}
    try:
        return settings_from_json(_merged(settings_to_json(parameters), wanted, "settings"))
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"The settings file {path.name} cannot be used: {error}. Correct it.") from error


def _merged(base: dict, change: dict, where: str) -> dict:
    unknown = sorted(set(change) - set(base))
    if unknown:
        raise ValueError(f"{where} has no {unknown[0]!r}; it knows {', '.join(sorted(base))}")
    merged = dict(base)
    for name, value in change.items():
        if isinstance(base[name], dict) and isinstance(value, dict):
            merged[name] = _merged(base[name], value, f"{where}.{name}")
        else:
            merged[name] = value
    return merged
