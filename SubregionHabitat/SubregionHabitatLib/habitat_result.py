"""Habitats as they are handed on: labels in order of perfusion, volumes, centres and how they came about."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from .habitat_number import KChoice
from .habitat_parameters import HABITAT_FEATURES, HabitatParameters, habitat_names
from .habitat_vectors import HabitatMaps, LesionVoxels, Scaling


@dataclass(frozen=True)
class Habitats:
    """labels: (Z, Y, X) uint8, 0 outside the lesion, 1..k in order of perfusion.

    centres: (k, 4) mean of each map in its own unit over the lesion's voxels of each habitat, columns HABITAT_FEATURES,
    NaN for a feature that is not used or a habitat without voxels; centres_z: (k, 4) the cluster centres in z-scores,
    NaN for a feature that is not used; volumes_cc: (k,), 0 for an empty habitat; monotone: whether all centres rise
    from habitat 1 to k; n_filled: voxels with an undefined map that took the label of the nearest defined voxel;
    inertia: sum of squared z-distances of voxels (supervoxels) to their centre; scaling: per used feature winsor
    limits, mean and SD; parameters: those used, k as found; mode: one of HABITAT_MODES; features: the maps used.
    k_choice: how k was chosen, None where it was given; n_supervoxels: None where there are none; model_digest: of the
    cohort model that gave the centres, None where they come from this lesion alone; outside_training_share: share of
    voxels (supervoxels) beyond that model's winsor limits; notes: one sentence per oddity.
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
    features: tuple[str, ...] = HABITAT_FEATURES
    k_choice: KChoice | None = None
    n_supervoxels: int | None = None
    model_digest: str | None = None
    outside_training_share: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def comparable(self) -> bool:
        """Whether volumes may be compared between patients: only where the centres come from a cohort."""
        return self.model_digest is not None


def perfusion_rank(centres_z: np.ndarray) -> np.ndarray:
    """The habitat number 1..k (uint8) of every cluster: order of the mean z of its centre (k, F)."""
    order = np.argsort(centres_z.mean(axis=1), kind="stable")
    rank = np.empty(len(order), dtype=np.uint8)
    rank[order] = np.arange(1, len(order) + 1)
    return rank


def is_monotone(centres_z: np.ndarray) -> bool:
    """Whether every feature rises from each habitat to the next; centres (k, F) in order."""
    return bool(np.all(np.diff(centres_z, axis=0) > 0))


def habitats_of(
    maps: HabitatMaps,
    voxels: LesionVoxels,
    defined_labels: np.ndarray,
    centres_z: np.ndarray,
    scaling: Scaling,
    parameters: HabitatParameters,
    inertia: float,
    notes: tuple[str, ...] = (),
    **how,
) -> Habitats:
    """Habitats from the label 1..k of every defined voxel; centres_z (k, F) in order of perfusion.

    ``how``: further fields of Habitats (mode, k_choice, n_supervoxels, model_digest, outside_training_share).
    """
    k = len(centres_z)
    labels, patch = _label_volume(maps, voxels, defined_labels)
    vectors = voxels.vectors[voxels.defined]
    means = np.full((k, vectors.shape[1]), np.nan)
    for i in range(k):
        mine = vectors[defined_labels == i + 1]
        if len(mine):
            means[i] = mine.mean(axis=0)
    cc = maps.geometry.voxel_volume_mm3 / 1000.0
    counts = np.bincount(patch.ravel(), minlength=k + 1)[1:]
    names = habitat_names(k)
    empty = [name for name, count in zip(names, counts, strict=True) if count == 0]
    if empty:
        notes = (*notes, f"No voxel of the lesion belongs to the habitat {' or '.join(empty)}; its volume is 0.")
    return Habitats(
        labels=labels,
        names=names,
        centres=_all_columns(means, voxels.features),
        centres_z=_all_columns(centres_z, voxels.features),
        volumes_cc=tuple(float(count * cc) for count in counts),
        monotone=is_monotone(centres_z),
        n_filled=int(np.count_nonzero(~voxels.defined)),
        inertia=float(inertia),
        scaling=scaling.to_json(),
        parameters=parameters,
        features=voxels.features,
        notes=(*voxels.notes, *notes),
        **how,
    )


def _label_volume(maps: HabitatMaps, voxels: LesionVoxels, defined_labels: np.ndarray):
    """The labels on the whole grid and in the lesion's box; undefined voxels take the nearest label in mm."""
    flat = np.zeros(len(voxels.vectors), dtype=np.uint8)
    flat[voxels.defined] = defined_labels
    patch = np.zeros(voxels.inside.shape, dtype=np.uint8)
    patch[voxels.inside] = flat
    missing = voxels.inside & (patch == 0)
    if missing.any():
        nearest = ndimage.distance_transform_edt(
            patch == 0, sampling=maps.geometry.spacing_zyx, return_distances=False, return_indices=True
        )
        patch[missing] = patch[tuple(n[missing] for n in nearest)]
    labels = np.zeros(maps.geometry.shape, dtype=np.uint8)
    labels[voxels.box] = patch
    return labels, patch


def _all_columns(values: np.ndarray, features: tuple[str, ...]) -> np.ndarray:
    full = np.full((len(values), len(HABITAT_FEATURES)), np.nan)
    full[:, [HABITAT_FEATURES.index(name) for name in features]] = values
    return full
