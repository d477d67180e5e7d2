"""Background parenchymal enhancement (BPE): how much the fibroglandular tissue itself enhances.

Shares of the tissue above a series of enhancement thresholds, mean and median, and how far the lesion stands out of it.
A number that cannot be computed is missing with a reason.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .breast_mask import BreastMask
from .fibroglandular import FibroglandularTissue, by_side
from .geometry import Geometry

THRESHOLDS_PERCENT = tuple(range(10, 101, 10))
MIN_VOXELS = 50
# Below this mean enhancement in percent a ratio to the background says nothing.
MIN_BACKGROUND_PERCENT = 1.0


@dataclass(frozen=True)
class BackgroundEnhancement:
    """Of one breast, or of all that is in the image.

    side: "ipsilateral" or "contralateral"; breast_cc, tissue_cc: volumes in cc; tissue_share: tissue / breast, 0..1;
    mean_percent, median_percent: enhancement of the tissue at the early phase; share_above: threshold in percent to
    share of the tissue above it, 0..1; lesion_percent: mean enhancement of the lesion; lesion_to_background:
    lesion_percent / mean_percent; missing: name of a number that is None to the reason.
    """

    side: str
    breast_cc: float | None
    tissue_cc: float | None
    tissue_share: float | None
    mean_percent: float | None
    median_percent: float | None
    share_above: dict[int, float]
    lesion_percent: float | None
    lesion_to_background: float | None
    missing: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict:
        """Plain numbers for the case file; None stands beside its reason in ``missing``."""
        return {
            "side": self.side,
            "breast_cc": _rounded(self.breast_cc, 3),
            "fibroglandular_cc": _rounded(self.tissue_cc, 3),
            "fibroglandular_share": _rounded(self.tissue_share, 4),
            "mean_percent": _rounded(self.mean_percent, 3),
            "median_percent": _rounded(self.median_percent, 3),
            "share_above_percent": {str(k): round(v, 4) for k, v in self.share_above.items()},
            "lesion_mean_percent": _rounded(self.lesion_percent, 3),
            "lesion_to_background": _rounded(self.lesion_to_background, 3),
            "missing": dict(self.missing),
        }


def background_enhancement(
    pe_early: np.ndarray,
    tissue: FibroglandularTissue,
    lesion: np.ndarray,
    geometry: Geometry,
    breast: BreastMask,
    ring: np.ndarray | None = None,
) -> tuple[BackgroundEnhancement, ...]:
    """BPE of the lesion's breast and, on bilateral exams, of the other one.

    pe_early: percent enhancement at the early phase (Z, Y, X), NaN where undefined; lesion and ring (Z, Y, X) bool are
    left out of the tissue. The lesion's enhancement is compared with the background of either side.
    """
    outside = ~lesion if ring is None else ~(lesion | ring)
    tissues = by_side(tissue.mask & outside, lesion, geometry, breast)
    breasts = by_side(breast.breast, lesion, geometry, breast)
    lesion_percent = _mean(pe_early[lesion])
    return tuple(
        _measure(
            side,
            pe_early,
            tissues[side],
            None if breast.made_by == "body" else breasts[side],
            lesion_percent,
            geometry,
            tissue.reason,
        )
        for side in tissues
    )


def _measure(side, pe_early, tissue, breast, lesion_percent, geometry, reason) -> BackgroundEnhancement:
    cc = geometry.voxel_volume_mm3 / 1000.0
    breast_cc, n = None if breast is None else float(breast.sum() * cc), int(tissue.sum())
    missing = {}
    if breast is None:
        missing["breast_cc"] = reason
    if lesion_percent is None:
        missing["lesion_mean_percent"] = "enhancement is undefined in the whole lesion"
    if reason is not None:
        for name in ("fibroglandular_cc", "fibroglandular_share"):
            missing[name] = reason
    values = pe_early[tissue]
    values = values[np.isfinite(values)].astype(np.float64)
    if reason is not None or values.size < MIN_VOXELS:
        why = reason or f"the fibroglandular tissue has {values.size} voxels with enhancement, under {MIN_VOXELS}"
        for name in ("mean_percent", "median_percent", "share_above_percent", "lesion_to_background"):
            missing[name] = why
        tissue_cc = None if reason else n * cc
        share = None if reason or not breast_cc else n * cc / breast_cc
        return BackgroundEnhancement(side, breast_cc, tissue_cc, share, None, None, {}, lesion_percent, None, missing)
    mean = float(values.mean())
    ratio = None
    if lesion_percent is None:
        missing["lesion_to_background"] = missing["lesion_mean_percent"]
    elif mean < MIN_BACKGROUND_PERCENT:
        missing["lesion_to_background"] = (
            f"the background enhances by {mean:.2g} %, under {MIN_BACKGROUND_PERCENT:g} %: a ratio to it says nothing"
        )
    else:
        ratio = lesion_percent / mean
    return BackgroundEnhancement(
        side=side,
        breast_cc=breast_cc,
        tissue_cc=n * cc,
        tissue_share=n * cc / breast_cc if breast_cc else None,
        mean_percent=mean,
        median_percent=float(np.median(values)),
        share_above={t: float(np.mean(values > t)) for t in THRESHOLDS_PERCENT},
        lesion_percent=lesion_percent,
        lesion_to_background=ratio,
        missing=missing,
    )


def _mean(values: np.ndarray) -> float | None:
    finite = values[np.isfinite(values)]
    return float(finite.mean(dtype=np.float64)) if finite.size else None


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
