"""Two-level habitats: supervoxels of each lesion first, their mean kinetics clustered second (Wu's group).

Level one makes 30 to 80 supervoxels of one lesion from z-scores within that lesion; level two clusters the supervoxels'
mean vectors, of one lesion or pooled over a cohort, by Ward's method or k-means.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .habitat_parameters import HabitatParameters
from .habitat_vectors import HabitatMaps, LesionVoxels, fit_scaling
from .progress import Progress
from .supervoxels import supervoxel_count, supervoxels


@dataclass(frozen=True)
class LesionSupervoxels:
    """labels: the supervoxel 0..m-1 of every defined voxel; means: (m, F) their mean vectors in the maps' units,

    of values winsorised within the lesion: a single SER beyond all bounds would carry its whole supervoxel away."""

    labels: np.ndarray
    means: np.ndarray


def lesion_supervoxels(
    maps: HabitatMaps, voxels: LesionVoxels, parameters: HabitatParameters, progress: Progress | None = None
) -> LesionSupervoxels:
    """Supervoxels of one lesion and their mean vectors."""
    vectors = voxels.vectors[voxels.defined]
    scaling = fit_scaling(vectors, parameters.winsor_percent, voxels.features)
    n = parameters.supervoxels or supervoxel_count(len(vectors))
    labels = supervoxels(
        scaling.z(vectors),
        voxels.positions_mm(maps.geometry),
        np.argwhere(voxels.inside)[voxels.defined],
        n,
        maps.geometry.voxel_volume_mm3,
        parameters.compactness,
        progress,
    )
    counts = np.bincount(labels)
    clipped = scaling.clip(vectors)
    sums = np.stack([np.bincount(labels, weights=column) for column in clipped.T], axis=1)
    return LesionSupervoxels(labels, sums / counts[:, None])
