"""How far an index follows lesion volume: always reported, because many texture features grow with size."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from scipy import stats

from SubregionHabitatLib.errors import InputError

from .feature_matrix import FeatureMatrix

VOLUME_FEATURES = ("original_shape_VoxelVolume", "original_shape_MeshVolume")
LESION_REGION = "lesion"


@dataclass(frozen=True)
class VolumeDependence:
    """Spearman's rho (-1..1) of the index with volume, its two-sided p, the number of patients, and the source of the
    volumes; rho and p are None with a reason when they cannot be had."""

    rho: float | None
    p: float | None
    n: int
    source: str
    reason: str = ""

    def to_json(self) -> dict:
        return asdict(self)


def volume_dependence(
    matrix: FeatureMatrix, index: np.ndarray, volumes_mm3: np.ndarray | None = None
) -> VolumeDependence:
    """Spearman correlation of ``index`` (N,) with lesion volume, given or found in ``matrix``; rows in the same
    order."""
    volumes, source = volumes_mm3, "given"
    if volumes is None:
        volumes, source = _lesion_volumes(matrix)
    if volumes is None:
        return VolumeDependence(None, None, 0, "none", "no lesion volumes were given or are in the feature table")
    volumes = np.asarray(volumes, dtype=float)
    if volumes.shape != index.shape:
        raise InputError(f"{volumes.size} volumes were given for {index.size} patients; give one per patient.")
    known = np.isfinite(volumes) & np.isfinite(index)
    n = int(known.sum())
    if n < 4 or np.ptp(volumes[known]) == 0 or np.ptp(index[known]) == 0:
        return VolumeDependence(None, None, n, source, "a rank correlation needs at least 4 patients that differ")
    result = stats.spearmanr(index[known], volumes[known])
    return VolumeDependence(float(result.statistic), float(result.pvalue), n, source)


def _lesion_volumes(matrix: FeatureMatrix) -> tuple[np.ndarray | None, str]:
    for name in VOLUME_FEATURES:
        for column, key in enumerate(matrix.keys):
            if key.region == LESION_REGION and key.feature == name:
                return matrix.values[:, column], str(key)
    return None, "none"
