"""Where the shipped models, protocols and schemas lie: source checkout, installed package or Slicer."""

from __future__ import annotations

from pathlib import Path

from SubregionHabitatLib.errors import InputError

_HERE = Path(__file__).resolve().parent


def resources_folder() -> Path:
    """The folder that holds Models, Protocols and Schemas.

    Looked for, in this order: ``IITHResources`` beside this package (installed by pip), ``Resources/IITH``
    beside this package (a Slicer install, where all modules share one folder), and ``Resources`` in a folder
    above (a source checkout). Raises InputError when there is none.
    """
    candidates = [_HERE.parent / "IITHResources", _HERE.parent / "Resources" / "IITH"]
    candidates += [folder / "Resources" for folder in list(_HERE.parents)[1:4]]
    for folder in candidates:
        if (folder / "Models").is_dir():
            return folder
    raise InputError("The shipped Resources folder (with Models inside) was not found; reinstall IITH.")


def resource_path(*parts: str) -> Path:
    """A path inside the resources folder, for example ``resource_path("Models", "pcr-ispy2-v1")``."""
    return resources_folder().joinpath(*parts)
