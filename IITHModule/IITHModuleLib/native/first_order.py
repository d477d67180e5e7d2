"""The 18 first-order features (PyRadiomics 3.0.1, ``firstorder.py``)."""

from __future__ import annotations

import numpy as np

from .gray_levels import GrayLevels

EPS = np.spacing(1)


def first_order_features(
    intensities: np.ndarray, levels: GrayLevels, voxel_volume_mm3: float, shift: float
) -> dict[str, float]:
    """Features of the region's intensities (n,); ``shift`` is added for the three energy features only.

    Kurtosis is not excess (3 for a normal distribution); a flat region has skewness and kurtosis 0. Entropy and
    uniformity are those of the discretised intensities.
    """
    x = intensities.astype(np.float64)
    p10, p25, median, p75, p90 = np.percentile(x, [10, 25, 50, 75, 90])
    mean = x.mean()
    centred = x - mean
    middle = x[(x - p10 >= 0) & (x - p90 <= 0)]
    m2, m3, m4 = _moments(centred)
    spread = m2 if m2 != 0 else 1.0
    energy = ((x + shift) ** 2).sum()
    share = levels.counts / float(levels.counts.sum())
    return {
        "10Percentile": p10,
        "90Percentile": p90,
        "Energy": energy,
        "Entropy": -1.0 * (share * np.log2(share + EPS)).sum(),
        "InterquartileRange": p75 - p25,
        "Kurtosis": m4 / spread**2.0,
        "Maximum": x.max(),
        "MeanAbsoluteDeviation": np.abs(centred).mean(),
        "Mean": mean,
        "Median": median,
        "Minimum": x.min(),
        "Range": x.max() - x.min(),
        "RobustMeanAbsoluteDeviation": np.abs(middle - middle.mean()).mean() if len(middle) else np.nan,
        "RootMeanSquared": np.sqrt(energy / len(x)),
        "Skewness": m3 / spread**1.5,
        "TotalEnergy": energy * voxel_volume_mm3,
        "Uniformity": (share**2).sum(),
        "Variance": np.std(x) ** 2,
    }


def _moments(centred: np.ndarray) -> tuple[float, float, float]:
    """Second, third and fourth moment. A third one that nearly cancels is summed from powers, as PyRadiomics does."""
    squared = centred**2
    m2, m3, m4 = squared.mean(), (squared * centred).mean(), (squared * squared).mean()
    if abs(m3) < 1e-4 * m2**1.5:
        m3 = (centred**3).mean()
    return m2, m3, m4
