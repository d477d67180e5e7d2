"""Habitats: subregions of a tumor with alike perfusion, by k-means on the kinetic maps.

Zhou 2024 / Wu 2018: voxels described by (WIS, WOS, SER, PE), k = 3, named poor, moderate and high perfusion in order of
their centres. Here "per_tumour": the voxels of one lesion alone, so that volumes of different patients are not
comparable (algorithms.md section 3).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from .errors import InputError
from .geometry import bounding_box
from .kinetics import KineticMaps
from .kmeans import kmeans

# Order of the columns of the voxel vectors; wash-out rate is -WOS, so that all four rise with perfusion.
HABITAT_FEATURES = ("wis", "washout_rate", "ser", "pe_peak")
HABITAT_NAMES = {3: ("poor", "moderate", "high")}
MIN_VOXELS_PER_HABITAT = 10


@dataclass(frozen=True)
class HabitatParameters:
    """k: number of habitats (2..6); n_init: restarts; seed; winsor_percent: tails pulled in before z-scoring."""

    k: int = 3
    n_init: int = 20
    seed: int = 20260
    winsor_percent: float = 1.0

    def __post_init__(self) -> None:
        if not 2 <= self.k <= 6 or self.n_init < 1 or not 0 <= self.winsor_percent < 50:
            raise InputError(
                f"Habitats need k in 2..6, n_init >= 1 and winsor_percent in [0, 50); got k={self.k}, "
                f"n_init={self.n_init}, winsor_percent={self.winsor_percent}."
            )


@dataclass(frozen=True)
class Habitats:
    """labels: (Z, Y, X) uint8, 0 outside the lesion, 1..k in order of perfusion.

    centres: (k, 4) mean of each map in its own unit per habitat, columns HABITAT_FEATURES; centres_z: the same in
    z-scores; volumes_cc: (k,); monotone: whether all four centres rise from habitat 1 to k; n_filled: voxels with
    an undefined map that took the label of the nearest defined voxel; mode: "per_tumour".
    """

    labels: np.ndarray
    names: tuple[str, ...]
    centres: np.ndarray
    centres_z: np.ndarray
    volumes_cc: tuple[float, ...]
    monotone: bool
    n_filled: int
    inertia: float
    scaling: dict
    parameters: HabitatParameters
    mode: str = "per_tumour"


def habitats_per_tumour(maps: KineticMaps, lesion: np.ndarray, parameters: HabitatParameters | None = None) -> Habitats:
    """Cluster the voxels of one lesion, mask (Z, Y, X) bool.

    Voxels are winsorised and z-scored per map, clustered by k-means (k-means++ seeding, best of n_init), and the
    clusters ordered by the mean z of the four features. Raises InputError for fewer than 10 k lesion voxels with
    defined maps.
    """
    parameters = parameters or HabitatParameters()
    box = bounding_box(lesion)
    inside = lesion[box]
    vectors = voxel_vectors(maps, box)[inside]
    defined = np.isfinite(vectors).all(axis=1)
    needed = MIN_VOXELS_PER_HABITAT * parameters.k
    if defined.sum() < needed:
        raise InputError(
            f"The lesion has {int(inside.sum())} voxels, {int(defined.sum())} of them with defined kinetic maps; "
            f"{parameters.k} habitats need at least {needed}. Draw the lesion larger or check the pre-contrast signal."
        )
    scaled, scaling = winsorised_z_scores(vectors[defined], parameters.winsor_percent)
    clusters, centres_z, inertia = kmeans(scaled, parameters.k, parameters.n_init, parameters.seed)
    order = np.argsort(centres_z.mean(axis=1), kind="stable")
    rank = np.empty(parameters.k, dtype=np.uint8)
    rank[order] = np.arange(1, parameters.k + 1)
    flat = np.zeros(len(vectors), dtype=np.uint8)
    flat[defined] = rank[clusters]
    patch = np.zeros(inside.shape, dtype=np.uint8)
    patch[inside] = flat
    patch = _fill_from_nearest(patch, inside, maps.geometry.spacing_zyx)
    labels = np.zeros(lesion.shape, dtype=np.uint8)
    labels[box] = patch
    centres = np.array([vectors[defined][rank[clusters] == i + 1].mean(axis=0) for i in range(parameters.k)])
    cc = maps.geometry.voxel_volume_mm3 / 1000.0
    return Habitats(
        labels=labels,
        names=HABITAT_NAMES.get(parameters.k, tuple(f"habitat {i + 1}" for i in range(parameters.k))),
        centres=centres,
        centres_z=centres_z[order],
        volumes_cc=tuple(float(np.count_nonzero(patch == i + 1) * cc) for i in range(parameters.k)),
        monotone=bool(np.all(np.diff(centres_z[order], axis=0) > 0)),
        n_filled=int(np.count_nonzero(~defined)),
        inertia=float(inertia),
        scaling=scaling,
        parameters=parameters,
    )


def voxel_vectors(maps: KineticMaps, box: tuple[slice, slice, slice]) -> np.ndarray:
    """The voxel vectors (z, y, x, 4) inside ``box`` as float64, columns HABITAT_FEATURES."""
    columns = {
        "wis": maps.wis[box],
        "washout_rate": -maps.wos[box],
        "ser": maps.ser[box],
        "pe_peak": maps.pe_peak[box],
    }
    return np.stack([columns[name] for name in HABITAT_FEATURES], axis=-1).astype(np.float64)


def winsorised_z_scores(vectors: np.ndarray, winsor_percent: float) -> tuple[np.ndarray, dict]:
    """z-scores (N, F) after pulling both tails in to their percentile, and the limits, means and SDs used.

    A column without any spread becomes 0: it cannot tell voxels apart.
    """
    low, high = np.percentile(vectors, [winsor_percent, 100 - winsor_percent], axis=0)
    clipped = np.clip(vectors, low, high)
    mean, sd = clipped.mean(axis=0), clipped.std(axis=0)
    flat = sd <= 1e-12 * np.maximum(np.abs(mean), 1.0)
    scaled = np.where(flat, 0.0, (clipped - mean) / np.where(flat, 1.0, sd))
    scaling = {
        name: {"low": float(low[i]), "high": float(high[i]), "mean": float(mean[i]), "sd": float(sd[i])}
        for i, name in enumerate(HABITAT_FEATURES)
    }
    return scaled, scaling


def _fill_from_nearest(patch: np.ndarray, inside: np.ndarray, spacing_zyx) -> np.ndarray:
    """Give unlabelled voxels of the lesion the label of the nearest labelled one (distance in mm)."""
    missing = inside & (patch == 0)
    if not missing.any():
        return patch
    nearest = ndimage.distance_transform_edt(
        patch == 0, sampling=spacing_zyx, return_distances=False, return_indices=True
    )
    filled = patch.copy()
    filled[missing] = patch[tuple(n[missing] for n in nearest)]
    return filled
