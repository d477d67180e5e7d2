"""Habitat centres from result folders: the maps and lesions that ``iith analyze`` wrote for many exams."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .errors import InputError
from .geometry import Geometry, bounding_box
from .habitat_model import HabitatModel, HabitatSample, fit_habitats, sample_of
from .habitat_parameters import HabitatParameters
from .kinetics import PEAK_SEARCHES, WOS_MODES
from .progress import Part, Progress, Silent
from .volume_io import read_volume

CASE_SCHEMA = "iith-case/1"
MAX_CASE_BYTES = 50_000_000
_MAPS = ("wis", "wos", "ser", "pe_peak")


@dataclass(frozen=True)
class SavedMaps:
    """The four maps of a result folder, cut to the lesion's bounding box."""

    wis: np.ndarray
    wos: np.ndarray
    ser: np.ndarray
    pe_peak: np.ndarray
    geometry: Geometry
    peak_search: str
    wos_mode: str
    saved_units: dict[str, str]

    def units(self) -> dict[str, str]:
        return self.saved_units


def fit_habitats_from_results(
    result_folders: Sequence[str | Path],
    parameters: HabitatParameters | None = None,
    progress: Progress | None = None,
) -> HabitatModel:
    """Fit habitat centres on the result folders of many exams, one folder at a time in memory.

    Read are ``maps/{wis,wos,ser,pe_peak}.nrrd``, ``labels/lesion.nrrd`` and, from ``case.json``, how the maps were
    made; no name or path goes into the model. Raises InputError, naming the folder, for a folder that is no result or
    whose lesion is too small, and whatever ``fit_habitats`` refuses.
    """
    progress = progress or Silent()
    folders = [Path(folder) for folder in result_folders]
    samples = []
    for done, folder in enumerate(folders):
        progress.step(0.7 * done / len(folders), f"maps of exam {done + 1} of {len(folders)}")
        samples.append(sample_of_result(folder, parameters))
    return fit_habitats(samples, parameters, Part(progress, 0.7, 1.0))


def sample_of_result(folder: str | Path, parameters: HabitatParameters | None = None) -> HabitatSample:
    """What one result folder gives to a cohort."""
    folder = Path(folder)
    maps, lesion = read_saved_maps(folder)
    return sample_of(maps, lesion, parameters, source=folder.name)


def read_saved_maps(folder: Path) -> tuple[SavedMaps, np.ndarray]:
    """Maps and lesion (bool) of a result folder in the lesion's bounding box; InputError where they are unusable."""
    kinetics = _kinetics(folder)
    lesion, geometry = _volume(folder, "labels", "lesion")
    lesion = lesion > 0
    if not lesion.any():
        raise InputError(f"The lesion of the result {folder.name} is empty; analyze the exam again.")
    box = bounding_box(lesion)
    maps = {}
    for name in _MAPS:
        array, grid = _volume(folder, "maps", name)
        if not grid.same_grid(geometry):
            raise InputError(
                f"The map {name} and the lesion of the result {folder.name} lie on different grids; analyze the "
                "exam again."
            )
        # A copy, so that the whole map can be let go.
        maps[name] = array[box].copy()
    return SavedMaps(**maps, geometry=geometry.crop(box), **kinetics), lesion[box]


def _kinetics(folder: Path) -> dict:
    path = folder / "case.json"
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_CASE_BYTES + 1)
        if len(data) > MAX_CASE_BYTES:
            raise ValueError("too large")
        case = json.loads(data.decode("utf-8"))
        if case["schema"] != CASE_SCHEMA:
            raise ValueError("another schema")
        kinetics = case["kinetics"]
        found = {
            "peak_search": kinetics["peak_search"],
            "wos_mode": kinetics["wos_mode"],
            "saved_units": {name: kinetics["units"][name] for name in _MAPS},
        }
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise InputError(
            f"{folder.name} is not a complete result folder (no usable case.json); give folders written by "
            "`iith analyze`."
        ) from None
    units = found["saved_units"].values()
    if (
        found["peak_search"] not in PEAK_SEARCHES
        or found["wos_mode"] not in WOS_MODES
        or not all(isinstance(unit, str) and len(unit) < 20 for unit in units)
    ):
        raise InputError(
            f"The case.json of {folder.name} names an unknown peak search, wash-out mode or unit; analyze the exam "
            "again."
        )
    return found


def _volume(folder: Path, kind: str, name: str) -> tuple[np.ndarray, Geometry]:
    path = folder / kind / f"{name}.nrrd"
    if not path.is_file():
        raise InputError(f"The result {folder.name} has no {kind}/{name}.nrrd; analyze the exam again.")
    try:
        return read_volume(path)
    except InputError as error:
        raise InputError(f"{folder.name}: {error}") from None
