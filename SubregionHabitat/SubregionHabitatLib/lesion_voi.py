"""Volumes of interest without a drawing: a box between two corners, a ball or box around a point, unions.

All sizes are in mm of patient space; a voxel belongs to a region when its centre does.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .errors import InputError
from .geometry import Geometry
from .lesion_points import format_mm, nearest_voxel, point_lps
from .masks import RegionMask

# patient: the box lies along left-right, posterior-anterior and head-foot; image: along the image's axes.
BOX_AXES = ("patient", "image")
VOI_SHAPES = ("ball", "box")
# Centres that lie on the rim must not depend on the last digits of a header.
ON_RIM_MM = 1e-5
# Voxels by which more centres are looked at than the bounds of a region ask for.
LOOK_AROUND = 1e-3


def voi_from_box(geometry: Geometry, corner_a_lps, corner_b_lps, axes: str = "patient") -> RegionMask:
    """The voxels between two opposite corners in LPS mm, edges included.

    axes: "patient", a box along the LPS axes also in oblique images, or "image", along the image's own axes. Raises
    InputError for corners that are not points, a box outside the image or one without a voxel centre.
    """
    if axes not in BOX_AXES:
        raise InputError(f"The box axes {axes!r} are unknown; choose one of {BOX_AXES}.")
    a = np.array(point_lps(corner_a_lps, "lps", geometry, "corner of the box"))
    b = np.array(point_lps(corner_b_lps, "lps", geometry, "corner of the box"))
    name = f"box {format_mm(np.minimum(a, b))} to {format_mm(np.maximum(a, b))}"
    if axes == "image":
        ends = geometry.index_of(np.stack([a, b]))
        tolerance = ON_RIM_MM / np.array(geometry.spacing_zyx)
        low, high = ends.min(axis=0) - tolerance, ends.max(axis=0) + tolerance
        return _region(geometry, low, high, None, name)
    low, high = np.minimum(a, b), np.maximum(a, b)
    corners = np.array(
        [[(low, high)[i][0], (low, high)[j][1], (low, high)[k][2]] for i in (0, 1) for j in (0, 1) for k in (0, 1)]
    )
    index = geometry.index_of(corners)

    def inside(points: np.ndarray) -> np.ndarray:
        return ((points >= low - ON_RIM_MM) & (points <= high + ON_RIM_MM)).all(axis=-1)

    return _region(geometry, index.min(axis=0) - LOOK_AROUND, index.max(axis=0) + LOOK_AROUND, inside, name)


def voi_from_center_size(geometry: Geometry, center_lps, size_mm, axes: str = "patient") -> RegionMask:
    """A box by its centre (LPS mm) and full extents (mm) along the patient's (L, P, S) or the image's (x, y, z) axes.

    Raises InputError for sizes that are not positive, and as ``voi_from_box``.
    """
    center = np.array(point_lps(center_lps, "lps", geometry, "centre of the box"))
    size = np.asarray(size_mm, dtype=np.float64).ravel()
    if size.shape != (3,) or not np.isfinite(size).all() or (size <= 0).any():
        raise InputError(f"The size of the box must be three positive numbers of mm; got {tuple(size[:4])}.")
    half = size / 2 if axes == "patient" else geometry.direction_matrix @ (size / 2)
    return voi_from_box(geometry, center - half, center + half, axes)


def voi_from_seed(
    geometry: Geometry, seed_lps, radius_mm: float, shape: str = "ball", within: np.ndarray | None = None
) -> RegionMask:
    """A ball of ``radius_mm`` around a seed (LPS mm), or the box along the patient's axes that holds it.

    within: (Z, Y, X) bool the region must stay inside, for example the breast. Raises InputError for a seed outside the
    image or outside ``within``, or a radius that is not positive.
    """
    if shape not in VOI_SHAPES:
        raise InputError(f"The VOI shape {shape!r} is unknown; choose one of {VOI_SHAPES}.")
    if not np.isfinite(radius_mm) or radius_mm <= 0:
        raise InputError(f"The radius around the seed must be a positive number of mm; got {radius_mm}.")
    at = nearest_voxel(seed_lps, geometry)
    seed = np.array(point_lps(seed_lps, "lps", geometry, "seed"))
    if within is not None and not within[at]:
        raise InputError(
            f"The seed {format_mm(seed)} lies outside the breast mask; move it into the breast or leave the mask off."
        )
    name = f"{shape} of {radius_mm:g} mm around the seed {format_mm(seed)}"
    if shape == "box":
        region = voi_from_box(geometry, seed - radius_mm, seed + radius_mm)
    else:
        # How many voxels the ball spans along each axis, for any direction matrix: the rows of the inverse matrix.
        reach = radius_mm * np.linalg.norm(np.linalg.inv(geometry.index_to_lps[:3, :3]), axis=1)[::-1]
        index = geometry.index_of(seed[None])[0]

        def inside(points: np.ndarray) -> np.ndarray:
            return ((points - seed) ** 2).sum(axis=-1) <= (radius_mm + ON_RIM_MM) ** 2

        region = _region(geometry, index - reach - LOOK_AROUND, index + reach + LOOK_AROUND, inside, name)
    # The seed's own voxel, in ``within``, is the nearest of all and so always part of a region that holds any.
    mask = region.mask if within is None else region.mask & within
    return RegionMask(mask, name, notes=region.notes)


def union_of(regions: Sequence[RegionMask], source: str = "omit regions") -> RegionMask | None:
    """All regions together, None when there are none; for several omit regions or lesions."""
    if not regions:
        return None
    shapes = {region.mask.shape for region in regions}
    if len(shapes) > 1:
        raise InputError(f"The {source} lie on different grids; bring them onto the exam's grid.")
    mask = np.logical_or.reduce([region.mask for region in regions])
    notes = tuple(note for region in regions for note in region.notes)
    return RegionMask(mask, regions[0].source if len(regions) == 1 else source, notes=notes)


def _region(geometry: Geometry, low, high, inside, name: str) -> RegionMask:
    """The voxels with index (z, y, x) in [low, high] for whose LPS centres (.., 3) ``inside`` holds (None: all)."""
    first = np.maximum(np.ceil(low), 0).astype(int)
    last = np.minimum(np.floor(high), np.array(geometry.shape) - 1).astype(int)
    if (high < -0.5).any() or (low > np.array(geometry.shape) - 0.5).any():
        raise InputError(f"The {name} lies outside the image; check the coordinates and whether they are LPS or RAS.")
    mask = np.zeros(geometry.shape, dtype=bool)
    rows, columns = np.meshgrid(np.arange(first[1], last[1] + 1), np.arange(first[2], last[2] + 1), indexing="ij")
    for z in range(first[0], last[0] + 1):
        patch = mask[z, first[1] : last[1] + 1, first[2] : last[2] + 1]
        if inside is None:
            patch[...] = True
        elif patch.size:
            patch[...] = inside(geometry.lps_of(np.stack([np.full_like(rows, z), rows, columns], axis=-1)))
    if not mask.any():
        raise InputError(f"The {name} holds no voxel of the image; make it larger.")
    beyond = (low < -0.5 - 2 * LOOK_AROUND).any() or (high > np.array(geometry.shape) - 0.5 + 2 * LOOK_AROUND).any()
    notes = (f"The {name} reaches beyond the image; the part inside it is used.",) if beyond else ()
    return RegionMask(mask, name, notes=notes)
