"""The 14 shape features (PyRadiomics 3.0.1, ``shape.py`` and ``cshape.c``)."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from .marching_cubes_table import CORNERS, EDGES, triangles


def shape_features(mask: np.ndarray, spacing_zyx: tuple[float, float, float]) -> dict[str, float]:
    """Shape of a region ``mask`` (Z, Y, X) bool, cropped to it; spacing in mm; lengths in mm, areas mm2, volumes mm3.

    The surface runs halfway between voxels inside and outside. A diameter "in the slice plane" joins mesh points of
    equal z, "column" equal y, "row" equal x. Axis lengths are 4 times the roots of the eigenvalues of the voxel
    centres' covariance.
    """
    spacing = np.asarray(spacing_zyx, dtype=np.float64)
    padded = np.pad(mask, 1)
    cubes = cube_numbers(padded)
    area, volume = area_and_volume(cubes, spacing)
    in_slice, column, row, longest = diameters(cubes, spacing)
    least, minor, major = principal_variances(padded, spacing)
    return {
        "Elongation": _root_of_ratio(minor, major),
        "Flatness": _root_of_ratio(least, major),
        "LeastAxisLength": _axis_length(least),
        "MajorAxisLength": _axis_length(major),
        "Maximum2DDiameterColumn": column,
        "Maximum2DDiameterRow": row,
        "Maximum2DDiameterSlice": in_slice,
        "Maximum3DDiameter": longest,
        "MeshVolume": volume,
        "MinorAxisLength": _axis_length(minor),
        "Sphericity": float((36 * np.pi * volume**2) ** (1.0 / 3.0) / area),
        "SurfaceArea": area,
        "SurfaceVolumeRatio": area / volume if volume else float("nan"),
        "VoxelVolume": float(mask.sum() * (spacing[0] * spacing[2] * spacing[1])),
    }


def cube_numbers(padded: np.ndarray) -> np.ndarray:
    """For each 2x2x2 cube of voxels (shape of ``padded`` less one) the number whose bits are its corners."""
    nz, ny, nx = (n - 1 for n in padded.shape)
    number = np.zeros((nz, ny, nx), dtype=np.uint8)
    for bit, (z, y, x) in enumerate(CORNERS):
        number |= padded[z : z + nz, y : y + ny, x : x + nx].astype(np.uint8) << np.uint8(bit)
    return number


@lru_cache(maxsize=1)
def _triangle_points() -> tuple[np.ndarray, ...]:
    """For each cube number 0..127 its triangles' corners (n, 3 corners, 3 axes), in voxels."""
    return tuple(EDGES[edges] / 2.0 for edges in triangles())


def area_and_volume(cubes: np.ndarray, spacing: np.ndarray) -> tuple[float, float]:
    """Area and signed volume of the mesh.

    Each kind of cube has one area; its volume towards the origin is linear in the cube's place, so the number of
    cubes of each kind and the sum of their places are all that is needed.
    """
    place = np.argwhere((cubes != 0) & (cubes != 255))
    number = cubes[tuple(place.T)].astype(int)
    sign = np.where(number & 0x80, -1.0, 1.0)
    kind = np.where(number & 0x80, number ^ 0xFF, number)
    position = place * spacing
    count = np.bincount(kind, minlength=128)
    signed = np.bincount(kind, weights=sign, minlength=128)
    moved = np.stack([np.bincount(kind, weights=sign * position[:, a], minlength=128) for a in range(3)], axis=1)
    area = volume = 0.0
    for k, points in enumerate(_triangle_points()):
        if count[k] and len(points):
            a, b, c = np.moveaxis(points * spacing, 1, 0)
            area += count[k] * np.linalg.norm(np.cross(a - c, b - c), axis=1).sum() / 2
            volume += signed[k] * (np.cross(a, b) * c).sum()
            volume += moved[k] @ (np.cross(a, b) + np.cross(b, c) + np.cross(c, a)).sum(0)
    return float(area), float(volume / 6)


def mesh_points(cubes: np.ndarray) -> np.ndarray:
    """The points of the mesh (n, 3) in half voxels as (z, y, x) integers, each once.

    Every cube owns the points on the three edges that meet in its last corner (7th, seen from the background).
    """
    flipped = np.where(cubes & 0x80, cubes ^ 0xFF, cubes)
    found = []
    for corner, edge in ((6, 6), (4, 7), (3, 11)):
        found.append(np.argwhere(flipped & (1 << corner)) * 2 + EDGES[edge])
    return np.concatenate(found)


def diameters(cubes: np.ndarray, spacing: np.ndarray) -> tuple[float, float, float, float]:
    """Longest distances in mm between mesh points of equal z, of equal y, of equal x, and between any two."""
    points = mesh_points(cubes)
    in_planes = [_longest_in_planes(points, axis, spacing) for axis in range(3)]
    return (*in_planes, _longest(points, spacing))


def _longest_in_planes(points: np.ndarray, axis: int, spacing: np.ndarray) -> float:
    """The two ends of a longest distance in a plane are ends of their rows, so only these are compared."""
    ends = _row_ends(points, axis=next(a for a in (2, 1, 0) if a != axis))
    ends = ends[np.argsort(ends[:, axis], kind="stable")]
    starts = np.flatnonzero(np.diff(ends[:, axis], prepend=-1))
    return max(_longest_of_all(part, spacing) for part in np.split(ends, starts[1:]))


def _row_ends(points: np.ndarray, axis: int) -> np.ndarray:
    """The first and last point of every row along ``axis``."""
    others = [a for a in range(3) if a != axis]
    order = np.lexsort((points[:, axis], points[:, others[1]], points[:, others[0]]))
    points = points[order]
    same_row = (points[1:, others] == points[:-1, others]).all(1)
    first = np.append(True, ~same_row)
    last = np.append(~same_row, True)
    return points[first | last]


def _longest(points: np.ndarray, spacing: np.ndarray) -> float:
    """Longest distance between any two points, which are corners of the convex hull."""
    from scipy.spatial import ConvexHull

    # A mesh encloses at least one voxel, so its points never lie in one plane.
    return _longest_of_all(points[ConvexHull(points * spacing).vertices], spacing)


def _longest_of_all(points: np.ndarray, spacing: np.ndarray) -> float:
    from scipy.spatial.distance import pdist

    return float(np.sqrt(pdist(points / 2.0 * spacing, "sqeuclidean").max())) if len(points) > 1 else 0.0


def principal_variances(mask: np.ndarray, spacing: np.ndarray) -> tuple[float, float, float]:
    """Eigenvalues, ascending, of the covariance of the voxel centres in mm2, computed as PyRadiomics does.

    For a flat region the smallest is 0 or rounding noise around it; noise below 0 becomes 0.
    """
    centres = np.argwhere(mask) * spacing[None, :]
    centres -= np.mean(centres, axis=0)
    centres /= np.sqrt(len(centres))
    # The general solver may answer in complex numbers whose imaginary parts are rounding.
    values = np.linalg.eigvals(np.dot(centres.T.copy(), centres)).real.copy()
    values[(values < 0) & (values > -1e-10)] = 0
    values.sort()
    return tuple(float(v) for v in values)


def _axis_length(variance: float) -> float:
    return float(np.sqrt(variance) * 4) if variance >= 0 else float("nan")


def _root_of_ratio(smaller: float, larger: float) -> float:
    return float(np.sqrt(smaller / larger)) if smaller >= 0 and larger > 0 else float("nan")
