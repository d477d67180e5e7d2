"""Feature extraction in a process of its own, for Slicer: what ``extract_features`` gives, without its window waiting.

Arrays go over as .npy files and the rest as JSON; nothing is pickled. The process is this module, run with -m.
"""

from __future__ import annotations

import csv
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from SubregionHabitatLib.errors import InputError
from SubregionHabitatLib.exam import DceExam
from SubregionHabitatLib.geometry import Geometry
from SubregionHabitatLib.kinetics import KineticMaps
from SubregionHabitatLib.progress import Progress, Silent
from SubregionHabitatLib.python_child import Step, run_python

from .features import FeatureRow, FeatureTable, extract_features
from .presets import load_preset
from .untrusted_json import read_json

MODULE = "IITHModuleLib.feature_child"
REQUEST, ROWS, MADE_BY = "request.json", "features.csv", "made_by.json"
MAX_BYTES = 10_000_000
_STEP = "step "


def extract_in_child(
    exam: DceExam,
    maps: KineticMaps,
    regions: Mapping[str, np.ndarray],
    preset: str | Path,
    engine: str,
    reference: np.ndarray | None = None,
    progress: Progress | None = None,
    images: Sequence[str] | None = None,
) -> FeatureTable:
    """The table of ``extract_features``, computed in a child process; preset and engine by name.

    Raises InputError as that does, and whatever ``progress.step`` raises, after the child was ended.
    """
    with tempfile.TemporaryDirectory(prefix="iith-features-") as name:
        folder, progress = Path(name), progress or Silent()
        progress.step(0.0, "handing the exam over")
        _write_request(folder, exam, maps, regions, preset, engine, reference, images)
        progress.step(0.0, "starting")
        run_python(MODULE, [str(folder)], progress, _read_step)
        return _read_table(folder)


def _write_request(folder: Path, exam, maps, regions, preset, engine, reference, images) -> None:
    np.save(folder / "signal.npy", exam.signal)
    for index, (_, array) in enumerate(maps.items()):
        np.save(folder / f"map{index}.npy", array)
    for index, mask in enumerate(regions.values()):
        np.save(folder / f"region{index}.npy", mask)
    if reference is not None:
        np.save(folder / "reference.npy", reference)
    request = {
        "geometry": asdict(exam.geometry),
        "maps": maps.units(),
        "regions": list(regions),
        "preset": str(preset),
        "engine": engine,
        "images": None if images is None else list(images),
    }
    (folder / REQUEST).write_text(json.dumps(request), encoding="utf-8")


def _read_step(line: str) -> Step | None:
    if not line.startswith(_STEP):
        return None
    fraction, _, message = line[len(_STEP) :].partition(" ")
    return float(fraction), message


def _read_table(folder: Path) -> FeatureTable:
    with (folder / ROWS).open(encoding="utf-8", newline="") as stream:
        rows = [
            FeatureRow(r["region"], r["image"], r["feature"], _value(r["value"]), r["unit"], r["reason"])
            for r in csv.DictReader(stream)
        ]
    made_by, _ = read_json(folder / MADE_BY, "record of the features", MAX_BYTES)
    return FeatureTable(tuple(rows), **made_by)


def _value(text: str) -> float | None:
    return None if text == "" else float(text)


# --- in the child ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Exam:
    """What ``extract_features`` asks of an exam."""

    signal: np.ndarray
    geometry: Geometry

    @property
    def n_phases(self) -> int:
        return self.signal.shape[0]


@dataclass(frozen=True)
class _Maps:
    """What ``extract_features`` asks of the maps."""

    arrays: Mapping[str, np.ndarray]
    named_units: Mapping[str, str]

    def units(self) -> dict[str, str]:
        return dict(self.named_units)

    def items(self) -> list[tuple[str, np.ndarray]]:
        return list(self.arrays.items())


class _Printed:
    """Progress as lines for the parent."""

    def step(self, fraction: float, message: str) -> None:
        print(f"{_STEP}{fraction:.6f} {message}", flush=True)


def main(arguments: Sequence[str]) -> int:
    """Answer the request in the folder ``arguments[0]``; exit code 2 and one sentence where the input is at fault."""
    folder = Path(arguments[0])
    try:
        request, _ = read_json(folder / REQUEST, "request for features", MAX_BYTES)
        grid = request["geometry"]
        geometry = Geometry(*(tuple(grid[name]) for name in ("shape", "spacing_mm", "origin_mm", "direction")))
        units = request["maps"]
        reference = folder / "reference.npy"
        options = {} if request["images"] is None else {"images": request["images"]}
        table = extract_features(
            _Exam(_load(folder / "signal.npy"), geometry),
            _Maps({name: _load(folder / f"map{i}.npy") for i, name in enumerate(units)}, units),
            {name: np.array(_load(folder / f"region{i}.npy")) for i, name in enumerate(request["regions"])},
            load_preset(request["preset"]),
            request["engine"],
            np.array(_load(reference)) if reference.exists() else None,
            _Printed(),
            **options,
        )
    except InputError as error:
        print(f"iith features: {' '.join(str(error).split())}", flush=True)
        return 2
    table.write_csv(folder / ROWS)
    made_by = {name: getattr(table, name) for name in ("preset", "preset_digest", "engine", "engine_version")}
    (folder / MADE_BY).write_text(json.dumps(made_by), encoding="utf-8")
    return 0


def _load(path: Path) -> np.ndarray:
    """Mapped from the file, so that phases come into memory one at a time."""
    return np.load(path, mmap_mode="r", allow_pickle=False)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
