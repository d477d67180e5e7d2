"""HoVer-Net's JSON of nuclei: outlines to shape features.

Features of a closed polygon: area, perimeter, circularity 4 pi A / P^2, major and minor axis and eccentricity of the
ellipse with the same second moments, solidity (area over that of the convex hull), and mean and SD of the absolute
curvature along the outline (the CurvMean and CurvStd of Su 2023).
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np

from IITHModuleLib.table_file import read_bounded
from SubregionHabitatLib.errors import InputError

from .cell_tables import ALL_CLASSES, CellMeasurements

MAX_BYTES = 2_000_000_000
# HoVer-Net's PanNuke types.
PANNUKE = {
    0: "unlabeled",
    1: "neoplastic",
    2: "inflammatory",
    3: "connective",
    4: "dead",
    5: "non-neoplastic epithelial",
}


def read_hovernet(path: Path, into: CellMeasurements, length: int | None = None) -> None:
    """Add the nuclei of one image; the patient is the file's name without its ending, or its first ``length``
    characters. Raises InputError for another file."""
    path = Path(path)
    data = read_bounded(path, MAX_BYTES)
    try:
        nuclei = json.loads(data)["nuc"]
        rows = [
            (int(n["type"]) if n.get("type") is not None else None, np.asarray(n["contour"], float))
            for n in nuclei.values()
        ]
        whole = [(t, c) for t, c in rows if c.ndim == 2 and c.shape[1] == 2 and len(c) >= 5 and np.isfinite(c).all()]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise InputError(f'{path.name} is no HoVer-Net file ("nuc" with contours); give its JSON output.') from None
    if not whole:
        raise InputError(f"{path.name} holds no nucleus with an outline; give HoVer-Net's JSON output.")
    if len(whole) < len(rows):
        into.notes.append(f"{len(rows) - len(whole):,} nuclei of {path.name} have no usable outline and were left out")
    patient = path.stem[:length] if length else path.stem
    shapes = [(PANNUKE.get(t, f"type {t}") if t is not None else ALL_CLASSES, outline_features(c)) for t, c in whole]
    for name in dict.fromkeys(t for t, _ in shapes):
        mine = [s for t, s in shapes if t == name]
        into.add(patient, name, {k: np.array([s[k] for s in mine]) for k in mine[0]}, len(mine))
    into.sources.append(
        {
            "name": path.name,
            "rows": len(whole),
            "sha256": hashlib.sha256(data).hexdigest(),
            "patient_column": "file name",
        }
    )


def outline_features(points: np.ndarray) -> dict[str, float]:
    """Shape features of a polygon (K, 2) in pixels; NaN where a shape has no area."""
    x, y = points.T
    x1, y1 = np.roll(x, -1), np.roll(y, -1)
    cross = x * y1 - x1 * y
    area = cross.sum() / 2
    perimeter = float(np.hypot(x1 - x, y1 - y).sum())
    if abs(area) < 1e-9 or perimeter <= 0:
        names = (
            "area",
            "perimeter",
            "circularity",
            "major_axis",
            "minor_axis",
            "eccentricity",
            "solidity",
            "curvature_mean",
            "curvature_sd",
        )
        return dict.fromkeys(names, float("nan"))
    cx, cy = ((x + x1) * cross).sum() / (6 * area), ((y + y1) * cross).sum() / (6 * area)
    u, v, u1, v1 = x - cx, y - cy, x1 - cx, y1 - cy
    c = u * v1 - u1 * v
    xx = (c * (u * u + u * u1 + u1 * u1)).sum() / (12 * area)
    yy = (c * (v * v + v * v1 + v1 * v1)).sum() / (12 * area)
    xy = (c * (u * v1 + 2 * u * v + 2 * u1 * v1 + u1 * v)).sum() / (24 * area)
    values = np.linalg.eigvalsh([[xx, xy], [xy, yy]])
    major, minor = 4 * np.sqrt(max(values[1], 0.0)), 4 * np.sqrt(max(values[0], 0.0))
    curvature = _curvature(points)
    return {
        "area": float(abs(area)),
        "perimeter": perimeter,
        "circularity": float(4 * np.pi * abs(area) / perimeter**2),
        "major_axis": float(major),
        "minor_axis": float(minor),
        "eccentricity": float(np.sqrt(max(0.0, 1 - (minor / major) ** 2))) if major > 0 else float("nan"),
        "solidity": float(abs(area) / _hull_area(points)),
        "curvature_mean": float(curvature.mean()),
        "curvature_sd": float(curvature.std()),
    }


def _curvature(points: np.ndarray) -> np.ndarray:
    """Absolute curvature (1/pixel) at each vertex: turning angle over the mean length of the two edges."""
    edges = np.roll(points, -1, axis=0) - points
    lengths = np.hypot(*edges.T)
    kept = lengths > 0
    edges, lengths = edges[kept], lengths[kept]
    before, before_length = np.roll(edges, 1, axis=0), np.roll(lengths, 1)
    cross = before[:, 0] * edges[:, 1] - before[:, 1] * edges[:, 0]
    turn = np.arctan2(cross, (before * edges).sum(axis=1))
    return np.abs(turn) / ((lengths + before_length) / 2)


def _hull_area(points: np.ndarray) -> float:
    from scipy.spatial import ConvexHull, QhullError

    try:
        return float(ConvexHull(points).volume)
    except QhullError:  # all points on one line
        return float("nan")
