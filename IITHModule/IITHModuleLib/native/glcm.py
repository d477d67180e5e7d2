"""The 24 gray level co-occurrence features (PyRadiomics 3.0.1, ``glcm.py``).

Several features are differences of nearly equal sums (information measures, correlation, cluster shade, the second
eigenvalue), and PyRadiomics tests some of them for exact equality. Where that happens, its order of summation is kept,
so that the same rounding falls out.
"""

from __future__ import annotations

import warnings

import numpy as np

from .gray_levels import GrayLevels
from .line_counts import LineCounts
from .region_layout import DIRECTIONS, RegionLayout

EPS = np.spacing(1)
# From this many levels on, the matrix behind MCC is made by a matrix product instead of level by level.
_MANY_LEVELS = 12
# Second eigenvalues below this are rounding noise, and are computed in PyRadiomics' own order of operations.
_NOISE = 1e-8


def cooccurrence(layout: RegionLayout, levels: GrayLevels, counts: LineCounts) -> np.ndarray:
    """Symmetrical probabilities (m, m, directions) of neighboring levels at distance 1; empty directions left out."""
    if not counts.pairs:
        return np.zeros((levels.n_levels, levels.n_levels, 0))
    joint = _like_reference(np.stack([pairs + pairs.T for pairs in counts.pairs], axis=2), layout, levels)
    joint /= joint.sum((0, 1))
    return joint


def _like_reference(counts: np.ndarray, layout: RegionLayout, levels: GrayLevels) -> np.ndarray:
    """The same numbers in the order in memory that PyRadiomics' array has.

    numpy adds in memory order, and cluster shade can be nothing but the rounding of that sum. PyRadiomics deletes
    empty levels and directions with numpy.delete, whose result is laid out by how many it deletes: one or several.
    """
    possible = sum(all(not d or n > 1 for d, n in zip(way, layout.mask.shape, strict=True)) for way in DIRECTIONS)
    n_deleted = possible - counts.shape[2]
    order = (0, 1) if levels.highest - levels.n_levels == 1 or n_deleted == 1 else (1, 0)
    order = (2, *order) if n_deleted > 1 else (*order, 2)
    laid_out = np.ascontiguousarray(counts.transpose(order), dtype=np.float64)
    return laid_out.transpose(np.argsort(order))


def glcm_features(layout: RegionLayout, levels: GrayLevels, counts: LineCounts) -> dict[str, float]:
    """Each feature of each direction's matrix, averaged over the directions; NaN without neighboring voxels."""
    p = cooccurrence(layout, levels, counts)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
        found = {**_joint_features(p, levels), **_marginal_features(p, levels), **_information_features(p)}
        means = np.nanmean(list(found.values()), axis=1)
        return dict(zip(found, means.tolist(), strict=True)) | {"MCC": _mcc(p)}


def _joint_features(p: np.ndarray, levels: GrayLevels) -> dict[str, np.ndarray]:
    grey = levels.values.astype(np.float64)
    i, j = grey[:, None, None], grey[None, :, None]
    ux = (i * p).sum((0, 1))
    uy = (j * p).sum((0, 1))
    from_mean = i + j - ux - uy
    squared = from_mean**2
    sx = (p * (i - ux) ** 2).sum((0, 1)) ** 0.5
    sy = (p * (j - uy) ** 2).sum((0, 1)) ** 0.5
    covariance = (p * (i - ux) * (j - uy)).sum((0, 1))
    correlation = covariance / (sx * sy + EPS)
    correlation[sx * sy == 0] = 1
    prominence = (p * squared**2).sum((0, 1))
    return {
        "Autocorrelation": (p * (i * j)).sum((0, 1)),
        "ClusterProminence": prominence,
        "ClusterShade": _shade(p, from_mean, squared, prominence),
        "ClusterTendency": (p * squared).sum((0, 1)),
        "Contrast": (p * np.abs(i - j) ** 2).sum((0, 1)),
        "Correlation": correlation,
        "JointAverage": ux,
        "JointEnergy": (p**2).sum((0, 1)),
        "MaximumProbability": p.max((0, 1)),
        "SumSquares": (p * (i - ux) ** 2).sum((0, 1)),
    }


def _shade(p: np.ndarray, from_mean: np.ndarray, squared: np.ndarray, prominence: np.ndarray) -> np.ndarray:
    """Third moment about the mean. One that nearly cancels is summed from powers, as PyRadiomics does."""
    shade = (p * (squared * from_mean)).sum((0, 1))
    if (np.abs(shade) < 1e-4 * prominence**0.75).any():
        shade = (p * from_mean**3).sum((0, 1))
    return shade


def _marginal_features(p: np.ndarray, levels: GrayLevels) -> dict[str, np.ndarray]:
    """Features of the distributions of the levels' difference (k = 0..Ng-1) and sum (2..2 Ng)."""
    grey = levels.values
    ng = levels.highest
    difference = _sums_by(np.abs(grey[:, None] - grey[None, :]), p, ng)
    total = _sums_by(grey[:, None] + grey[None, :], p, 2 * ng + 1)[2:]
    k = np.arange(ng, dtype=np.float64)[:, None]
    mean = (k * difference).sum(0)
    return {
        "DifferenceAverage": mean,
        "DifferenceEntropy": -(difference * np.log2(difference + EPS)).sum(0),
        "DifferenceVariance": (difference * (k - mean) ** 2).sum(0),
        "Id": (difference / (1 + k)).sum(0),
        "Idm": (difference / (1 + k**2)).sum(0),
        "Idmn": (difference / (1 + k**2 / ng**2)).sum(0),
        "Idn": (difference / (1 + k / ng)).sum(0),
        "InverseVariance": (difference[1:] / k[1:] ** 2).sum(0),
        "SumAverage": (np.arange(2, 2 * ng + 1, dtype=np.float64)[:, None] * total).sum(0),
        "SumEntropy": -(total * np.log2(total + EPS)).sum(0),
    }


def _sums_by(key: np.ndarray, p: np.ndarray, n_keys: int) -> np.ndarray:
    """Sums (n_keys, directions) of p over the matrix elements that share a key, added in C order."""
    n = p.shape[2]
    if n == 1:
        # one direction is contiguous in memory, and numpy then adds in pairs
        return np.array([p[key == k].sum(0) for k in range(n_keys)])
    code = (key.ravel()[:, None] * n + np.arange(n)).ravel()
    return np.bincount(code, weights=p.ravel(), minlength=n_keys * n).reshape(n_keys, n)


def _information_features(p: np.ndarray) -> dict[str, np.ndarray]:
    px, py = p.sum(1, keepdims=True), p.sum(0, keepdims=True)
    independent = px * py
    log_independent = np.log2(independent + EPS)
    hxy = -1 * (p * np.log2(p + EPS)).sum((0, 1))
    hxy1 = -1 * (p * log_independent).sum((0, 1))
    hxy2 = -1 * (independent * log_independent).sum((0, 1))
    hx = -1 * (px * np.log2(px + EPS)).sum((0, 1))
    hy = -1 * (py * np.log2(py + EPS)).sum((0, 1))
    larger = np.fmax(hx, hy)
    imc1 = hxy - hxy1
    imc1[larger != 0] /= larger[larger != 0]
    imc1[larger == 0] = 0
    imc2 = (1 - np.e ** (-2 * (hxy2 - hxy))) ** 0.5
    imc2[hxy2 == hxy] = 0
    return {"JointEntropy": hxy, "Imc1": imc1, "Imc2": imc2}


def _mcc(p: np.ndarray) -> float:
    """Maximal correlation coefficient: root of the second largest eigenvalue of Q; 1 for a single level.

    Directions in which the eigenvalue comes out negative are left out, as PyRadiomics does.
    """
    m, _, n = p.shape
    if m < 2:
        return 1.0
    if n == 0:
        return np.nan
    px, py = p.sum(1), p.sum(0)
    if m >= _MANY_LEVELS:
        joint = p.transpose(2, 0, 1)
        q = (joint / (px.T[:, :, None] * py.T[:, None, :] + EPS)) @ joint.transpose(0, 2, 1)
        second = np.sort(np.linalg.eigvals(q))[:, -2]
        if second.real.min() > _NOISE:
            return float(np.nanmean(np.sqrt(second)).real)
    q = p[:, None, 0] * p[None, :, 0] / (px[:, None] * py[None, None, 0] + EPS)
    for k in range(1, m):
        q += p[:, None, k] * p[None, :, k] / (px[:, None] * py[None, None, k] + EPS)
    second = np.sort(np.linalg.eigvals(q.transpose(2, 0, 1)))[:, -2]
    return float(np.nanmean(np.sqrt(second)).real)
