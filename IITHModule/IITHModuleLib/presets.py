"""Extraction presets: how intensities are normalised, resampled and binned before features are computed.

A preset is a readable JSON file under Resources/Presets (schema "iith-preset/1") with one section for phases and one
for kinetic maps. Sources of the shipped values: algorithms.md section 1.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from SubregionHabitatLib.errors import InputError

from .native.image_filters import expand_image_types
from .resources import resource_path
from .untrusted_json import read_json

MAX_BYTES = 1_000_000
SCHEMA = "iith-preset/1"
INTERPOLATORS = ("linear", "bspline", "nearest")


@dataclass(frozen=True)
class ImageSettings:
    """How one kind of image is prepared.

    normalize: z-score by mean and SD inside the reference mask, times ``scale``, clipped at ``clip_sd`` SDs;
    resample_mm: isotropic spacing, None keeps the exam's grid; bin_width in image units, or bin_count: exactly one;
    voxel_array_shift: added before energy features; clip_range: values pulled in first (SER: 0..3), by map name;
    image_types: the images features are computed on, the original and filtered ones, by their column names.
    """

    normalize: bool
    scale: float
    clip_sd: float | None
    resample_mm: float | None
    interpolator: str
    bin_width: float | None
    bin_count: int | None
    voxel_array_shift: float
    clip_range: dict[str, tuple[float, float]]
    image_types: tuple[str, ...] = ("original",)


@dataclass(frozen=True)
class Preset:
    """A named preset; digest: SHA-256 of the file's content, written into every result."""

    name: str
    description: str
    phases: ImageSettings
    maps: ImageSettings
    min_voxels: int
    digest: str


def preset_names() -> list[str]:
    return sorted(p.stem for p in resource_path("Presets").glob("*.json"))


def load_preset(name_or_path: str | Path) -> Preset:
    """A shipped preset by name, or a preset file by path. Raises InputError when it is unknown or malformed."""
    path = Path(name_or_path)
    if path.suffix != ".json":
        if str(name_or_path) not in preset_names():
            raise InputError(
                f"The preset {name_or_path} is unknown; choose one of {', '.join(preset_names())} or give a .json file."
            )
        path = resource_path("Presets", f"{name_or_path}.json")
    data, digest = read_json(path, "preset file", MAX_BYTES)
    try:
        return _parse(data, digest)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError) as error:
        raise InputError(
            f"The preset file {path.name} cannot be used ({type(error).__name__}: {error}); compare it with the "
            "shipped presets."
        ) from error


def _parse(data: dict, digest: str) -> Preset:
    if data.get("schema") != SCHEMA:
        raise ValueError(f"its schema is {data.get('schema')!r}, not {SCHEMA!r}")
    extra = set(data) - {"schema", "name", "description", "phases", "maps", "min_voxels"}
    if extra:
        raise ValueError(f"unknown keys {sorted(extra)}")
    return Preset(
        name=str(data["name"]),
        description=str(data["description"]),
        phases=_settings(data["phases"]),
        maps=_settings(data["maps"]),
        min_voxels=int(data["min_voxels"]),
        digest=digest,
    )


def _settings(data: dict) -> ImageSettings:
    settings = ImageSettings(
        normalize=bool(data["normalize"]),
        scale=float(data.get("scale", 1.0)),
        clip_sd=None if data.get("clip_sd") is None else float(data["clip_sd"]),
        resample_mm=None if data.get("resample_mm") is None else float(data["resample_mm"]),
        interpolator=str(data.get("interpolator", "linear")),
        bin_width=None if data.get("bin_width") is None else float(data["bin_width"]),
        bin_count=None if data.get("bin_count") is None else int(data["bin_count"]),
        voxel_array_shift=float(data.get("voxel_array_shift", 0.0)),
        clip_range={k: (float(v[0]), float(v[1])) for k, v in data.get("clip_range", {}).items()},
        image_types=expand_image_types([str(name) for name in data.get("image_types", ["original"])]),
    )
    extra = set(data) - {f.name for f in fields(ImageSettings)}
    if extra:
        raise ValueError(f"unknown keys {sorted(extra)}")
    if not settings.image_types:
        raise ValueError("image_types is empty; list at least original")
    if (settings.bin_width is None) == (settings.bin_count is None):
        raise ValueError("give bin_width or bin_count, exactly one of them")
    if settings.interpolator not in INTERPOLATORS:
        raise ValueError(f"interpolator must be one of {INTERPOLATORS}")
    positive = (settings.bin_width, settings.bin_count, settings.resample_mm, settings.scale)
    if any(v is not None and not v > 0 for v in positive):
        raise ValueError("bin width, bin count, spacing and scale must be positive")
    return settings
