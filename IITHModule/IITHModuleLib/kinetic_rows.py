"""Kinetic heterogeneity of the lesion as rows of the feature table: shares by PE and SER, time-to-peak composition.

Defined as the columns of Duke-Breast-Cancer-MRI whose meaning was shown on one of its exams (docs/methods.md): first
pass = first post-contrast phase minus pre-contrast; SER with the third post-contrast phase as late phase where there is
one, else the last. The phases are counted, not chosen by time, so the rows do not depend on the early/late rule.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from .features import FeatureRow

KINETIC_IMAGE = "kinetic"
PE_THRESHOLD_PERCENT = 70.0
SER_CUTS = (0.9, 1.3)
DUKE_LATE_PHASE = 3
MIN_POST_PHASES_FOR_PEAK = 3
KINETIC_UNITS = {
    "kinetic_enhancement_ShareAbove70Percent": "1",
    "kinetic_enhancement_MeanPercent": "%",
    "kinetic_enhancement_CoefficientOfVariation": "1",
    "kinetic_enhancement_LogKurtosis": "1",
    "kinetic_ser_ShareAbove0.9": "1",
    "kinetic_ser_ShareAbove1.3": "1",
    "kinetic_ser_Entropy": "bit",
    "kinetic_timetopeak_ShareFirst": "1",
    "kinetic_timetopeak_ShareMiddle": "1",
    "kinetic_timetopeak_ShareLast": "1",
    "kinetic_timetopeak_Entropy": "bit",
    "kinetic_size_LogVolume": "ln mm3",
}


def kinetic_rows(
    signal: np.ndarray, lesion: np.ndarray, voxel_volume_mm3: float, enhancing_reason: str | None = None
) -> tuple[FeatureRow, ...]:
    """One row per name of KINETIC_UNITS, region "lesion", image "kinetic"; missing ones with their reason.

    signal: (T, Z, Y, X) with the pre-contrast phase first; lesion: (Z, Y, X) bool; enhancing_reason: why the share
    above 70 % tells nothing here (the lesion was made by that rule), None where it does.
    """
    voxels = np.asarray(signal[:, lesion], dtype=np.float64)
    found: dict[str, float | str] = {}
    for part in (_enhancement(voxels, enhancing_reason), _ser(voxels), _time_to_peak(voxels)):
        found.update(part)
    volume = voxels.shape[1] * voxel_volume_mm3
    found["kinetic_size_LogVolume"] = math.log(volume) if volume > 0 else "the lesion is empty"
    return tuple(
        FeatureRow("lesion", KINETIC_IMAGE, name, None, unit, found[name])
        if isinstance(found[name], str)
        else FeatureRow("lesion", KINETIC_IMAGE, name, float(found[name]), unit)
        for name, unit in KINETIC_UNITS.items()
    )


def composition_entropy(shares: np.ndarray) -> np.ndarray:
    """Shannon entropy in bits of shares along the last axis; they are scaled to add to 1, an empty share adds 0."""
    shares = np.asarray(shares, dtype=np.float64)
    p = shares / shares.sum(axis=-1, keepdims=True)
    return -np.sum(np.where(p > 0, p * np.log2(np.where(p > 0, p, 1.0)), 0.0), axis=-1)


def ser_composition(above_low: np.ndarray, above_high: np.ndarray) -> np.ndarray:
    """Shares (..., 3) of persistent, plateau and wash-out from the shares above the two SER cuts."""
    return np.stack([1 - above_low, np.maximum(above_low - above_high, 0), above_high], axis=-1)


def _enhancement(voxels: np.ndarray, enhancing_reason: str | None) -> Iterator[tuple[str, float | str]]:
    from scipy.stats import kurtosis

    rise = voxels[1] - voxels[0]
    positive = voxels[0] > 0
    percent = 100 * rise[positive] / voxels[0][positive]
    undefined = "no lesion voxel has a pre-contrast signal above 0"
    share = float(np.mean(percent > PE_THRESHOLD_PERCENT)) if percent.size else undefined
    yield "kinetic_enhancement_ShareAbove70Percent", enhancing_reason or share
    yield "kinetic_enhancement_MeanPercent", float(percent.mean()) if percent.size else undefined
    flat = rise.size < 2 or np.ptp(rise) == 0
    mean = rise.mean() if rise.size else 0.0
    why_flat = "the first pass is the same in every voxel"
    spread = float(rise.std() / mean) if mean > 0 else "the lesion does not enhance at the first post-contrast phase"
    yield "kinetic_enhancement_CoefficientOfVariation", spread
    yield "kinetic_enhancement_LogKurtosis", why_flat if flat else math.log(kurtosis(rise, fisher=False))


def _ser(voxels: np.ndarray) -> Iterator[tuple[str, float | str]]:
    names = [f"kinetic_ser_ShareAbove{cut:g}" for cut in SER_CUTS]
    last = len(voxels) - 1
    reason = "SER needs at least two post-contrast phases" if last < 2 else ""
    if not reason:
        late = voxels[min(DUKE_LATE_PHASE, last)] - voxels[0]
        defined = late != 0
        ser = (voxels[1] - voxels[0])[defined] / late[defined]
        reason = "" if ser.size else "no lesion voxel has a defined SER"
    if reason:
        yield from ((name, reason) for name in (*names, "kinetic_ser_Entropy"))
        return
    above = [np.mean(ser > cut) for cut in SER_CUTS]
    yield from zip(names, map(float, above), strict=True)
    yield "kinetic_ser_Entropy", float(composition_entropy(ser_composition(*above)))


def _time_to_peak(voxels: np.ndarray) -> Iterator[tuple[str, float | str]]:
    names = [f"kinetic_timetopeak_Share{place}" for place in ("First", "Middle", "Last")]
    n_post = len(voxels) - 1
    if n_post < MIN_POST_PHASES_FOR_PEAK or not voxels.shape[1]:
        reason = f"time to peak at first, middle and last needs {MIN_POST_PHASES_FOR_PEAK} post-contrast phases"
        yield from ((name, reason) for name in (*names, "kinetic_timetopeak_Entropy"))
        return
    peak = voxels[1:].argmax(axis=0)
    first, last = np.mean(peak == 0), np.mean(peak == n_post - 1)
    shares = (float(first), float(1 - first - last), float(last))
    yield from zip(names, shares, strict=True)
    yield "kinetic_timetopeak_Entropy", float(composition_entropy(np.maximum(shares, 0)))
