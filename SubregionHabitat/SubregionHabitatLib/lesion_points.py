"""Points that a user gives: in LPS or RAS millimetres or as a voxel index."""

from __future__ import annotations

import math

import numpy as np

from .errors import InputError
from .geometry import Geometry

# lps: DICOM, ITK and NRRD; ras: what Slicer shows; index: voxel (i, j, k) along x, y, z, first voxel 0.
POINT_SPACES = ("lps", "ras", "index")


def parse_point(text: str, what: str = "point") -> tuple[float, float, float]:
    """Three finite numbers from "x,y,z"; raises InputError that names ``what``."""
    try:
        values = tuple(float(part) for part in text.replace(";", ",").split(","))
    except ValueError:
        values = ()
    if len(values) != 3 or not all(math.isfinite(v) for v in values):
        raise InputError(f"The {what} {text[:60]!r} is not three numbers; write for example 12.5,-30,8.")
    return values


def point_lps(point, space: str, geometry: Geometry, what: str = "point") -> tuple[float, float, float]:
    """The LPS position in mm of a point given in one of POINT_SPACES; ``index`` counts voxels of ``geometry``."""
    if space not in POINT_SPACES:
        raise InputError(f"The space {space!r} of the {what} is unknown; choose one of {POINT_SPACES}.")
    values = np.asarray(point, dtype=np.float64).ravel()
    if values.shape != (3,) or not np.isfinite(values).all():
        raise InputError(f"The {what} must be three finite numbers; got {tuple(np.asarray(point).ravel()[:4])}.")
    if space == "ras":
        values = values * (-1, -1, 1)
    if space == "index":
        values = geometry.lps_of(values[::-1][None])[0]
    return tuple(float(v) for v in values)


def nearest_voxel(point_lps_mm, geometry: Geometry, what: str = "seed") -> tuple[int, int, int]:
    """The voxel (z, y, x) that holds a point; raises InputError when it lies outside the image."""
    values = point_lps(point_lps_mm, "lps", geometry, what)
    index = np.floor(geometry.index_of(np.array([values]))[0] + 0.5).astype(int)
    if (index < 0).any() or (index >= geometry.shape).any():
        raise InputError(
            f"The {what} {format_mm(values)} lies outside the image; check its coordinates and whether they are LPS, "
            "RAS or voxel indices."
        )
    return tuple(int(i) for i in index)


def format_mm(point) -> str:
    """A point for messages, for example "(12.5, -30.0, 8.0) mm LPS"."""
    return "(" + ", ".join(f"{v:.1f}" for v in point) + ") mm LPS"
