"""Mean enhancement over time of each region, with its spread."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .exam import DceExam
from .geometry import bounding_box


@dataclass(frozen=True)
class EnhancementCurve:
    """Enhancement in percent of the pre-contrast signal at each phase, over the voxels of one region.

    mean, sd, q25, q75: (T,); n_voxels: voxels with a positive pre-contrast signal.
    """

    region: str
    times_s: tuple[float, ...]
    mean: tuple[float, ...]
    sd: tuple[float, ...]
    q25: tuple[float, ...]
    q75: tuple[float, ...]
    n_voxels: int


def enhancement_curves(exam: DceExam, regions: Mapping[str, np.ndarray]) -> tuple[EnhancementCurve, ...]:
    """One curve per region (name -> mask (Z, Y, X) bool) that has a voxel with positive pre-contrast signal."""
    curves = []
    for name, mask in regions.items():
        if not mask.any():
            continue
        box = bounding_box(mask)
        voxels = exam.signal[(slice(None), *box)][:, mask[box]].astype(np.float64)
        voxels = voxels[:, voxels[0] > 0]
        if voxels.shape[1] == 0:
            continue
        percent = 100.0 * (voxels - voxels[0]) / voxels[0]
        q25, q75 = np.percentile(percent, [25, 75], axis=1)
        curves.append(
            EnhancementCurve(
                region=name,
                times_s=tuple(exam.times_s),
                mean=tuple(percent.mean(axis=1).tolist()),
                sd=tuple(percent.std(axis=1).tolist()),
                q25=tuple(q25.tolist()),
                q75=tuple(q75.tolist()),
                n_voxels=int(percent.shape[1]),
            )
        )
    return tuple(curves)
