"""Multiregional spatial interaction (MSI): how often habitats touch each other and the outside.

Wu 2018, as in the WuLabMDA demo and the count of Zhou 2024: a symmetric (k+1) x (k+1) matrix M and, for k = 3, 22
features (4 second-order, 18 first-order). Section 4 of algorithms.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from .errors import InputError
from .geometry import bounding_box

NEIGHBOURHOODS = ("in_plane_8", "faces_6", "full_26")


@dataclass(frozen=True)
class Interaction:
    """matrix: (k+1, k+1) pair counts, index 0 = outside the lesion; features: ordered name -> value (NaN where

    undefined, with its reason in ``reasons``); units: name -> unit."""

    matrix: np.ndarray
    features: dict[str, float]
    units: dict[str, str]
    reasons: dict[str, str]
    neighbourhood: str


def spatial_interaction(
    labels: np.ndarray,
    k: int,
    voxel_volume_mm3: float,
    slice_axis: int = 0,
    neighbourhood: str = "in_plane_8",
) -> Interaction:
    """MSI matrix and features of habitat ``labels`` (Z, Y, X), 0 outside, 1..k inside.

    slice_axis: the array axis across which slices were acquired; "in_plane_8" counts the eight neighbours within a
    slice, "faces_6" and "full_26" count in three dimensions.
    """
    matrix = interaction_matrix(labels, k, slice_axis, neighbourhood)
    features, units, reasons = interaction_features(matrix, voxel_volume_mm3)
    return Interaction(matrix, features, units, reasons, neighbourhood)


def interaction_matrix(
    labels: np.ndarray, k: int, slice_axis: int = 0, neighbourhood: str = "in_plane_8"
) -> np.ndarray:
    """For every lesion voxel, 1 is added to M[its label, label of each neighbour]; M[0, 0] = 0; M symmetric."""
    if labels.size and (labels.max() > k or labels.min() < 0):
        raise InputError(f"Habitat labels must lie in 0..{k}; found {int(labels.min())}..{int(labels.max())}.")
    matrix = np.zeros((k + 1, k + 1), dtype=np.int64)
    if not labels.any():
        return matrix
    padded = np.pad(labels[bounding_box(labels > 0)].astype(np.intp), 1)
    core = (slice(1, -1),) * 3
    centre = padded[core]
    inside = centre > 0
    for offset in _offsets(slice_axis, neighbourhood):
        shifted = padded[tuple(slice(1 + o, n - 1 + o) for o, n in zip(offset, padded.shape, strict=True))]
        pairs = np.bincount(centre[inside] * (k + 1) + shifted[inside], minlength=(k + 1) ** 2)
        matrix += pairs.reshape(k + 1, k + 1)
    matrix[0, :] = matrix[:, 0]
    return matrix


def interaction_features(
    matrix: np.ndarray, voxel_volume_mm3: float
) -> tuple[dict[str, float], dict[str, str], dict[str, str]]:
    """The features of an MSI matrix: values, units and reasons of missing ones, by name.

    Order: 4 second-order (MATLAB graycoprops), then pair counts x voxel volume on the diagonal and off it, then the
    same as shares of all pairs. A "pair volume" is a neighbour-pair count times the voxel volume, about eight times
    the true volume for a habitat's own pairs: true volumes are reported apart from this.
    """
    k = matrix.shape[0] - 1
    features, units, reasons = {}, {}, {}
    total = float(matrix.sum())
    if total > 0:
        second, reasons = _second_order(matrix / total)
        features.update(second)
    else:
        names = ("contrast", "homogeneity", "correlation", "energy")
        features.update({f"msi_{n}": float("nan") for n in names})
        reasons = {f"msi_{n}": "no habitat voxel" for n in names}
    units.update(dict.fromkeys(features, "1"))
    borders = [(i, j) for i, j in product(range(k + 1), repeat=2) if i < j]
    named = [(f"sr{i}", matrix[i, i]) for i in range(1, k + 1)]
    named += [(f"{'outside' if i == 0 else f'sr{i}'}_sr{j}", matrix[i, j]) for i, j in borders]
    for name, count in named:
        features[f"msi_pair_volume_{name}"] = float(count * voxel_volume_mm3)
        units[f"msi_pair_volume_{name}"] = "mm3"
    for name, count in named:
        key = f"msi_pair_share_{name}"
        features[key] = float(count / total) if total else float("nan")
        units[key] = "1"
        if not total:
            reasons[key] = "no habitat voxel"
    return features, units, reasons


def _second_order(p: np.ndarray) -> tuple[dict[str, float], dict[str, str]]:
    """MATLAB graycoprops of the normalised matrix p; homogeneity uses 1/(1+|i-j|)."""
    i, j = np.indices(p.shape)
    mean_i, mean_j = (i * p).sum(), (j * p).sum()
    sd_i = np.sqrt((((i - mean_i) ** 2) * p).sum())
    sd_j = np.sqrt((((j - mean_j) ** 2) * p).sum())
    reasons = {}
    if sd_i * sd_j > 0:
        correlation = float((((i - mean_i) * (j - mean_j)) * p).sum() / (sd_i * sd_j))
    else:
        correlation = float("nan")
        reasons["msi_correlation"] = "the labels do not vary"
    return {
        "msi_contrast": float((((i - j) ** 2) * p).sum()),
        "msi_homogeneity": float((p / (1 + np.abs(i - j))).sum()),
        "msi_correlation": correlation,
        "msi_energy": float((p**2).sum()),
    }, reasons


def _offsets(slice_axis: int, neighbourhood: str) -> list[tuple[int, int, int]]:
    if neighbourhood not in NEIGHBOURHOODS or slice_axis not in (0, 1, 2):
        raise InputError(
            f"Neighbourhood {neighbourhood!r} or slice axis {slice_axis} is unknown; use one of {NEIGHBOURHOODS} and "
            "an axis 0, 1 or 2."
        )
    steps = [o for o in product((-1, 0, 1), repeat=3) if any(o)]
    if neighbourhood == "in_plane_8":
        return [o for o in steps if o[slice_axis] == 0]
    if neighbourhood == "faces_6":
        return [o for o in steps if sum(map(abs, o)) == 1]
    return steps
