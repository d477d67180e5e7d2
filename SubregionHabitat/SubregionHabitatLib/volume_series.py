"""All phases in one file: 4-D NIfTI and NRRD, vector images, and Slicer's sequences (.seq.nrrd)."""

from __future__ import annotations

import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import SimpleITK as sitk

from .errors import InputError
from .exam import Timing
from .geometry import Geometry
from .progress import Progress, Silent
from .sequence_times import importer_times, index_times
from .volume_io import geometry_of, read_image

MAX_HEADER_BYTES = 4_000_000
_MIN_REAL_STEP_S = 5.0


@dataclass(frozen=True)
class PhaseSeries:
    """signal: (T, Z, Y, X) float32; times_s, timing: None unless the file says when its phases were acquired;
    hint: what the file says instead, for the message that asks for times."""

    signal: np.ndarray
    geometry: Geometry
    times_s: tuple[float, ...] | None = None
    timing: Timing | None = None
    hint: str = ""


def read_phase_series(path: Path, progress: Progress | None = None) -> PhaseSeries:
    """Read a file that holds all phases, along a fourth axis or as the values of each voxel.

    The phase axis may come first or last in the file. Raises InputError when the file cannot be read, is no such
    image, or holds color.
    """
    progress = progress or Silent()
    progress.step(0.0, f"reading {path.name}")
    fields = _nrrd_fields(path) if path.name.lower().endswith((".nrrd", ".nhdr")) else {}
    image = _read(path, fields)
    _refuse_color(image, path)
    signal = _phases(image, path)
    progress.step(0.9, "checking values")
    times = _times(fields, signal.shape[0])
    geometry = _geometry(image)
    if times is None:
        return PhaseSeries(signal, geometry, hint=_hint(image, fields))
    return PhaseSeries(signal, geometry, *times)


def _read(path: Path, fields: dict[str, str]) -> sitk.Image:
    """The image; a NRRD phase axis that is not marked as a list (kind "time", or none) is marked in a copy first."""
    directions = re.findall(r"none|\([^)]*\)", fields.get("space directions", ""))
    kinds = fields.get("kinds", "").split()
    if fields.get("dimension") == "4" and not directions and not ("spacings" in fields and "list" in kinds):
        raise InputError(
            f"{path.name} does not say how large its voxels are and which axis holds the phases; save it with space "
            "directions and kinds (as Slicer does for a sequence)."
        )
    if directions.count("none") != 1 or len(directions) != 4 or path.suffix.lower() == ".nhdr":
        return read_image(path)
    marked = ["list" if d == "none" else "domain" for d in directions]
    if len(kinds) == 4 and kinds[directions.index("none")] not in ("time", "domain", "???", "none"):
        return read_image(path)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / path.name
        _copy_with_kinds(path, copy, " ".join(marked))
        return read_image(copy)


def _copy_with_kinds(path: Path, copy: Path, kinds: str) -> None:
    """The same NRRD file with another ``kinds`` field."""
    with open(path, "rb") as source, open(copy, "wb") as target:
        for line in iter(source.readline, b""):
            if not line.strip():
                target.write(f"kinds: {kinds}\n".encode() + line)
                break
            if not line.startswith(b"kinds:"):
                target.write(line)
        shutil.copyfileobj(source, target)


def _phases(image: sitk.Image, path: Path) -> np.ndarray:
    """(T, Z, Y, X) float32, copied phase by phase."""
    components, dimension = image.GetNumberOfComponentsPerPixel(), image.GetDimension()
    stored = sitk.GetArrayViewFromImage(image)
    if dimension == 3 and components > 1:
        stored = np.moveaxis(stored, -1, 0)
    elif dimension == 3:
        raise InputError(
            f"The exam {path.name} holds one phase; give the pre-contrast and at least two post-contrast files."
        )
    elif dimension != 4 or components != 1:
        raise InputError(
            f"{path.name} has {dimension} dimensions and {components} values per voxel; an exam needs one file per "
            "phase, or one file with the phases along a fourth axis."
        )
    if np.iscomplexobj(stored):
        raise InputError(f"{path.name} holds complex values; save the magnitude images.")
    signal = np.empty(stored.shape, dtype=np.float32)
    for t in range(len(signal)):
        signal[t] = stored[t]
    return signal


def _refuse_color(image: sitk.Image, path: Path) -> None:
    kinds = [image.GetMetaData(k).lower() for k in image.GetMetaDataKeys() if k.startswith("NRRD_kinds[")]
    if any("color" in kind for kind in kinds):
        raise InputError(f"{path.name} is a color image, not a dynamic exam; give the phases as gray values.")


def _geometry(image: sitk.Image) -> Geometry:
    if image.GetDimension() == 3:
        return geometry_of(image)
    direction = np.asarray(image.GetDirection()).reshape(4, 4)[:3, :3]
    return Geometry(
        shape=tuple(image.GetSize()[2::-1]),
        spacing_mm=tuple(image.GetSpacing()[:3]),
        origin_mm=tuple(image.GetOrigin()[:3]),
        direction=tuple(direction.ravel().tolist()),
    )


# ---- times -------------------------------------------------------------------------------------------------------
def _times(fields: dict[str, str], n_phases: int) -> tuple[tuple[float, ...], Timing] | None:
    found = None
    if "MultiVolume.FrameLabels" in fields:
        found = importer_times(
            fields.get("MultiVolume.FrameIdentifyingDICOMTagName", ""),
            fields.get("MultiVolume.FrameIdentifyingDICOMTagUnits", ""),
            fields["MultiVolume.FrameLabels"],
        )
    axis = _index_axis(fields)
    if found is None and axis is not None:
        values = [unquote(word) for word in fields[f"axis {axis} index values"].split()]
        found = index_times(*_index_name_and_unit(fields, axis), values)
    return found if found is not None and len(found[0]) == n_phases else None


def _index_axis(fields: dict[str, str]) -> int | None:
    for key in fields:
        match = re.fullmatch(r"axis (\d) index values", key)
        if match:
            return int(match.group(1))
    return None


def _index_name_and_unit(fields: dict[str, str], axis: int) -> tuple[str, str]:
    """Name and unit of the phase axis: the NRRD fields "labels" and "units", or keys that name the axis."""
    kinds = fields.get("kinds", "").split()
    # Files with several values per voxel count one axis more than their key says.
    listed = next((k for k, kind in enumerate(kinds) if kind.lower() in ("list", "time")), axis)
    name = fields.get(f"axis {axis} label") or _quoted(fields.get("labels", ""), listed)
    unit = fields.get(f"axis {axis} index unit") or fields.get(f"axis {axis} index units")
    return name, unit or _quoted(fields.get("units", ""), listed)


def _quoted(text: str, place: int) -> str:
    words = re.findall(r'"((?:[^"\\]|\\.)*)"', text)
    return words[place] if place < len(words) else ""


def _nrrd_fields(path: Path) -> dict[str, str]:
    """Fields and key/value pairs of a NRRD header, up to its first empty line."""
    fields: dict[str, str] = {}
    with open(path, "rb") as file:
        for raw in file.read(MAX_HEADER_BYTES).split(b"\n"):
            line = raw.decode("utf-8", errors="replace").rstrip("\r")
            if not line:
                break
            for separator in (":=", ": "):
                key, found, value = line.partition(separator)
                if found and not line.startswith("#"):
                    fields[key.strip()] = value.strip()
                    break
    return fields


def _hint(image: sitk.Image, fields: dict[str, str]) -> str:
    """What the file says about its phase axis when that is not times."""
    if _index_axis(fields) is not None or "MultiVolume.FrameLabels" in fields:
        return "its frames are numbered only"
    step = image.GetSpacing()[3] if image.GetDimension() == 4 else 0.0
    if step >= _MIN_REAL_STEP_S:
        return f"its header only states one step of {step:g} for all phases"
    return ""
