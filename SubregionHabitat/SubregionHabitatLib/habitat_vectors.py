"""The lesion's voxels as vectors of kinetic maps, and their scaling to z-scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from .errors import InputError
from .geometry import Geometry, bounding_box
from .habitat_parameters import HABITAT_FEATURES, MIN_VOXELS_PER_HABITAT


class HabitatMaps(Protocol):
    """What habitats need of KineticMaps: four maps (Z, Y, X), their grid and how they were made."""

    wis: np.ndarray
    wos: np.ndarray
    ser: np.ndarray
    pe_peak: np.ndarray
    geometry: Geometry
    peak_search: str
    wos_mode: str

    def units(self) -> dict[str, str]: ...


@dataclass(frozen=True)
class LesionVoxels:
    """The N voxels of a lesion in array order.

    box: the lesion's bounding box; inside: (z, y, x) bool in that box; vectors: (N, F) float64, columns ``features``;
    defined: (N,) bool, all features finite; notes: features left out and why.
    """

    box: tuple[slice, slice, slice]
    inside: np.ndarray
    vectors: np.ndarray
    features: tuple[str, ...]
    defined: np.ndarray
    notes: tuple[str, ...]

    def positions_mm(self, geometry: Geometry) -> np.ndarray:
        """LPS positions (n, 3) in mm of the defined voxels."""
        index = np.argwhere(self.inside)[self.defined] + [s.start for s in self.box]
        return geometry.lps_of(index)


@dataclass(frozen=True)
class Scaling:
    """Winsor limits, means and SDs, (F,) each, in the maps' units; an SD of 0 marks a map without spread."""

    features: tuple[str, ...]
    low: np.ndarray
    high: np.ndarray
    mean: np.ndarray
    sd: np.ndarray

    def clip(self, vectors: np.ndarray) -> np.ndarray:
        return np.clip(vectors, self.low, self.high)

    def z(self, vectors: np.ndarray) -> np.ndarray:
        """z-scores (N, F) of the clipped vectors; 0 where a map has no spread: it cannot tell voxels apart."""
        flat = self.sd == 0
        return np.where(flat, 0.0, (self.clip(vectors) - self.mean) / np.where(flat, 1.0, self.sd))

    def outside_share(self, vectors: np.ndarray) -> float:
        """Share of vectors with at least one map beyond the winsor limits."""
        return float(np.mean(((vectors < self.low) | (vectors > self.high)).any(axis=1)))

    def to_json(self) -> dict[str, dict[str, float]]:
        return {
            name: {key: float(getattr(self, key)[i]) for key in ("low", "high", "mean", "sd")}
            for i, name in enumerate(self.features)
        }


def lesion_voxels(maps: HabitatMaps, lesion: np.ndarray, k: int, wanted: tuple[str, ...] | None = None) -> LesionVoxels:
    """The vectors of the voxels of ``lesion`` (Z, Y, X) bool.

    wanted: the features to take, None for all that are defined somewhere in the lesion: slopes are undefined
    everywhere when the phase times are unknown. Raises InputError for an empty lesion, a wanted feature that is
    undefined everywhere, or fewer than 10 k voxels with all features defined.
    """
    if lesion.shape != maps.geometry.shape:
        raise InputError(
            f"The lesion has the array shape {lesion.shape}, the kinetic maps {maps.geometry.shape}; bring it onto "
            "their grid."
        )
    if not lesion.any():
        raise InputError("The lesion is empty, so it has no habitats; draw it or check the VOI.")
    box = bounding_box(lesion)
    inside = lesion[box]
    columns = {name: _column(maps, name, box, inside) for name in HABITAT_FEATURES}
    absent = tuple(name for name, column in columns.items() if not np.isfinite(column).any())
    missing = [name for name in wanted or () if name in absent]
    if missing:
        raise InputError(
            f"The habitat feature {', '.join(missing)} is undefined in the whole lesion; give the phase times, or "
            "choose other features."
        )
    features = wanted or tuple(name for name in HABITAT_FEATURES if name not in absent)
    vectors = np.stack([columns[name] for name in features], axis=1) if features else np.empty((int(inside.sum()), 0))
    defined = np.isfinite(vectors).all(axis=1) & bool(features)
    needed = MIN_VOXELS_PER_HABITAT * k
    if defined.sum() < needed:
        raise InputError(
            f"The lesion has {len(vectors)} voxels, {int(defined.sum())} of them with defined kinetic maps; "
            f"{k} habitats need at least {needed}. Draw the lesion larger or check the pre-contrast signal."
        )
    notes = ()
    if wanted is None and absent:
        notes = (
            f"Habitats rest on {', '.join(features)} alone: {', '.join(absent)} is undefined in the whole lesion "
            "(slopes need the phase times).",
        )
    return LesionVoxels(box, inside, vectors, features, defined, notes)


def _column(maps: HabitatMaps, name: str, box, inside: np.ndarray) -> np.ndarray:
    source = maps.wos if name == "washout_rate" else getattr(maps, name)
    values = source[box][inside].astype(np.float64)
    return -values if name == "washout_rate" else values


def feature_units(maps: HabitatMaps, features: tuple[str, ...]) -> dict[str, str]:
    """Feature name to unit; the wash-out rate has the unit of WOS."""
    units = maps.units()
    return {name: units["wos" if name == "washout_rate" else name] for name in features}


def fit_scaling(vectors: np.ndarray, winsor_percent: float, features: tuple[str, ...]) -> Scaling:
    """Winsor limits (percentiles w and 100 - w) of (N, F) vectors, and mean and SD after clipping to them.

    The result does not depend on the order of the rows, to the last bit.
    """
    columns = np.sort(np.ascontiguousarray(vectors.T), axis=1)
    low, high = np.percentile(columns, [winsor_percent, 100 - winsor_percent], axis=1)
    clipped = np.clip(columns, low[:, None], high[:, None])
    mean, sd = clipped.mean(axis=1), clipped.std(axis=1)
    flat = sd <= 1e-12 * np.maximum(np.abs(mean), 1.0)
    return Scaling(tuple(features), low, high, mean, np.where(flat, 0.0, sd))


def winsorised_z_scores(vectors: np.ndarray, winsor_percent: float) -> tuple[np.ndarray, dict]:
    """z-scores (N, 4) after pulling both tails in to their percentile, and the limits, means and SDs used."""
    scaling = fit_scaling(vectors, winsor_percent, HABITAT_FEATURES)
    return scaling.z(vectors), scaling.to_json()
