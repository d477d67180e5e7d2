"""A volume of interest from a box that may be turned in space, as the ROI boxes of image viewers are."""

from __future__ import annotations

import numpy as np

from .errors import InputError
from .geometry import Geometry
from .lesion_points import format_mm
from .lesion_voi import ON_RIM_MM
from .masks import RegionMask


def voi_from_turned_box(geometry: Geometry, box_to_lps: np.ndarray, size: np.ndarray) -> RegionMask:
    """The voxels whose centres lie in a box, faces included.

    box_to_lps: 4x4 affine matrix from the box's own axes, with the box's centre at 0, to LPS mm; size: full extents
    along those axes. Raises InputError for a box without extent, outside the image or without a voxel centre.
    """
    size = np.asarray(size, dtype=np.float64).ravel()
    matrix = np.asarray(box_to_lps, dtype=np.float64)
    if size.shape != (3,) or matrix.shape != (4, 4) or not np.isfinite(matrix).all() or not np.isfinite(size).all():
        raise ValueError("a box needs three extents and a 4x4 matrix of finite numbers")
    scale = np.linalg.norm(matrix[:3, :3], axis=0)
    if (size * scale <= 0).any() or abs(np.linalg.det(matrix[:3, :3])) < 1e-12:
        raise InputError("The box has no extent along one of its axes; drag its faces apart around the lesion.")
    half = size / 2
    name = f"box of {' x '.join(f'{s:.1f}' for s in size * scale)} mm around {format_mm(matrix[:3, 3])}"
    signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
    corners = geometry.index_of((signs * half) @ matrix[:3, :3].T + matrix[:3, 3])
    last = np.array(geometry.shape) - 1
    outside = f"The {name} lies outside the image; move it onto the exam."
    if (corners.max(axis=0) < -0.5).any() or (corners.min(axis=0) > last + 0.5).any():
        raise InputError(outside)
    low = np.maximum(np.floor(corners.min(axis=0)), 0).astype(int)
    high = np.minimum(np.ceil(corners.max(axis=0)), last).astype(int)
    mask = np.zeros(geometry.shape, dtype=bool)
    to_box = np.linalg.inv(matrix)
    rows, columns = np.meshgrid(np.arange(low[1], high[1] + 1), np.arange(low[2], high[2] + 1), indexing="ij")
    for z in range(low[0], high[0] + 1):
        centres = geometry.lps_of(np.stack([np.full_like(rows, z), rows, columns], axis=-1))
        local = np.abs(centres @ to_box[:3, :3].T + to_box[:3, 3])
        inside = (local <= half + ON_RIM_MM / scale).all(axis=-1)
        mask[z, low[1] : high[1] + 1, low[2] : high[2] + 1] = inside
    if not mask.any():
        raise InputError(f"The {name} holds no voxel of the exam; make it larger.")
    beyond = (corners.min(axis=0) < -0.501).any() or (corners.max(axis=0) > last + 0.501).any()
    notes = (f"The {name} reaches beyond the image; the part inside it is used.",) if beyond else ()
    return RegionMask(mask, name, notes=notes)
