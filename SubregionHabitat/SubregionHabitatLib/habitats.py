"""Habitats: subregions of a tumor with alike perfusion, by clustering the kinetic maps.

Zhou 2024 / Wu 2018: voxels described by (WIS, WOS, SER, PE), k = 3, named poor, moderate and high perfusion in order of
their centres. Three modes (algorithms.md section 3): "per_tumour" and "two_level" look at one lesion alone, so that
volumes of different patients are not comparable; "cohort" (and "two_level" with a model) takes the centres that
``habitat_model.fit_habitats`` found on many exams.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .errors import InputError
from .habitat_clustering import cluster_rows, with_chosen_k
from .habitat_model import HabitatModel, apply_habitats
from .habitat_parameters import (
    HABITAT_FEATURES,
    HABITAT_MODES,
    MIN_VOXELS_PER_HABITAT,
    HabitatParameters,
    habitat_names,
)
from .habitat_result import Habitats, habitats_of, perfusion_rank
from .habitat_two_level import lesion_supervoxels
from .habitat_vectors import fit_scaling, lesion_voxels, winsorised_z_scores
from .kinetics import KineticMaps
from .progress import Part, Progress, Silent

__all__ = [
    "HABITAT_FEATURES",
    "HABITAT_MODES",
    "MIN_VOXELS_PER_HABITAT",
    "HabitatParameters",
    "Habitats",
    "find_habitats",
    "habitat_names",
    "habitats_per_tumour",
    "habitats_two_level",
    "winsorised_z_scores",
]


def find_habitats(
    maps: KineticMaps,
    lesion: np.ndarray,
    parameters: HabitatParameters | None = None,
    model: HabitatModel | None = None,
    progress: Progress | None = None,
) -> Habitats:
    """The habitats of one lesion, mask (Z, Y, X) bool, in the mode asked for.

    With a ``model`` its own parameters apply and ``parameters`` are not looked at. Raises InputError for mode "cohort"
    without a model, and whatever the modes refuse.
    """
    parameters = parameters or HabitatParameters()
    if model is not None:
        return apply_habitats(maps, lesion, model, progress)
    if parameters.mode == "cohort":
        raise InputError(
            "Habitats of the mode 'cohort' need a fitted habitat model (--habitat-model); make one with `iith "
            "habitats`, or use the mode 'per_tumour'."
        )
    find = habitats_two_level if parameters.mode == "two_level" else habitats_per_tumour
    return find(maps, lesion, parameters, progress)


def habitats_per_tumour(
    maps: KineticMaps,
    lesion: np.ndarray,
    parameters: HabitatParameters | None = None,
    progress: Progress | None = None,
) -> Habitats:
    """Cluster the voxels of one lesion, mask (Z, Y, X) bool.

    Voxels are winsorised and z-scored per map, clustered by k-means (k-means++ seeding, best of n_init), and the
    clusters ordered by the mean z of the features. Raises InputError for fewer than 10 k lesion voxels with
    defined maps.
    """
    parameters = replace(parameters or HabitatParameters(), mode="per_tumour")
    progress = progress or Silent()
    voxels = lesion_voxels(maps, lesion, parameters.k, parameters.features)
    vectors = voxels.vectors[voxels.defined]
    scaling = fit_scaling(vectors, parameters.winsor_percent, voxels.features)
    rows = scaling.z(vectors)
    parameters, choice = with_chosen_k(rows, parameters, MIN_VOXELS_PER_HABITAT, Part(progress, 0.0, 0.4))
    clusters, centres_z, inertia = cluster_rows(rows, parameters.k, parameters, Part(progress, 0.4, 1.0))
    rank = perfusion_rank(centres_z)
    return habitats_of(
        maps,
        voxels,
        rank[clusters],
        centres_z[np.argsort(rank)],
        scaling,
        parameters,
        inertia,
        choice.notes if choice else (),
        mode="per_tumour",
        k_choice=choice,
    )


def habitats_two_level(
    maps: KineticMaps,
    lesion: np.ndarray,
    parameters: HabitatParameters | None = None,
    progress: Progress | None = None,
) -> Habitats:
    """Supervoxels of one lesion, their mean vectors clustered by Ward's method or k-means, labels mapped back.

    Raises InputError for fewer than 10 k lesion voxels with defined maps.
    """
    parameters = replace(parameters or HabitatParameters(), mode="two_level")
    progress = progress or Silent()
    voxels = lesion_voxels(maps, lesion, parameters.k, parameters.features)
    parts = lesion_supervoxels(maps, voxels, parameters, Part(progress, 0.0, 0.6))
    scaling = fit_scaling(parts.means, parameters.winsor_percent, voxels.features)
    rows = scaling.z(parts.means)
    parameters, choice = with_chosen_k(rows, parameters, 2, Part(progress, 0.6, 0.8))
    clusters, centres_z, inertia = cluster_rows(rows, parameters.k, parameters, Part(progress, 0.8, 1.0))
    rank = perfusion_rank(centres_z)
    return habitats_of(
        maps,
        voxels,
        rank[clusters][parts.labels],
        centres_z[np.argsort(rank)],
        scaling,
        parameters,
        inertia,
        choice.notes if choice else (),
        mode="two_level",
        k_choice=choice,
        n_supervoxels=len(parts.means),
    )
