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
def _triangle_table() -> tuple[np.ndarray, np.ndarray]:
    """For each cube 0..127 how many triangles it has, and their corners (128, 5, 3 corners, 3 axes) in voxels."""
    corners = np.zeros((128, 5, 3, 3))
    count = np.zeros(128, dtype=np.intp)
    for cube, edges in enumerate(triangles()):
        count[cube] = len(edges)
        corners[cube, : len(edges)] = EDGES[edges] / 2.0
    return count, corners


def area_and_volume(cubes: np.ndarray, spacing: np.ndarray) -> tuple[float, float]:
    """Area and signed volume of the mesh.

    Added up triangle by triangle in PyRadiomics' order: where the mesh of a few voxels that touch in corners folds
    onto itself, its volume is nothing but the rounding of that sum.
    """
    place = np.argwhere((cubes != 0) & (cubes != 255))
    number = cubes[tuple(place.T)]
    flipped = (number & 0x80) != 0
    kind = np.where(flipped, number ^ 0xFF, number)
    count, corners = _triangle_table()
    n = count[kind]
    cube = np.repeat(np.arange(len(kind)), n)
    rank = np.arange(len(cube)) - np.repeat(np.cumsum(n) - n, n)
    a, b, c = np.moveaxis((place[cube][:, None, :] + corners[kind[cube], rank]) * spacing, (1, 2), (0, 1))
    towards_origin = _cross(a, b) * c
    volume = np.where(flipped[cube], -1, 1) * (towards_origin[0] + towards_origin[1] + towards_origin[2])
    across = _cross(a - c, b - c) ** 2
    area = 0.5 * np.sqrt(across[0] + across[1] + across[2])
    # cumsum adds one by one, sum does not
    return float(np.cumsum(area)[-1]), float(np.cumsum(volume)[-1] / 6)


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cross products of vectors (3, n)."""
    return np.stack([a[1] * b[2] - b[1] * a[2], a[2] * b[0] - b[2] * a[0], a[0] * b[1] - b[0] * a[1]])


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
    """The two ends of a longest distance in a plane are ends of their rows, so only these are compared.

    Planes come in the order of their bounding boxes' diagonals, until none that is left can hold a longer distance.
    """
    ends = _row_ends(points, axis=next(a for a in (2, 1, 0) if a != axis))
    ends = ends[np.argsort(ends[:, axis], kind="stable")]
    starts = np.flatnonzero(np.diff(ends[:, axis], prepend=-1))
    extent = np.maximum.reduceat(ends, starts) - np.minimum.reduceat(ends, starts)
    diagonal = np.linalg.norm(extent / 2.0 * spacing, axis=1)
    planes, longest = np.split(ends, starts[1:]), 0.0
    for plane in np.argsort(-diagonal, kind="stable"):
        # a hair's breadth, as the two lengths are rounded differently
        if diagonal[plane] * (1 + 1e-9) < longest:
            break
        longest = max(longest, _longest_of_all(planes[plane], spacing))
    return longest


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


def principal_variances(mask: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Eigenvalues, ascending, of the covariance of the voxel centres in mm2, computed as PyRadiomics does.

    For a flat region the smallest is 0 or rounding noise around it; noise below 0 becomes 0. Two that are noise may be
    a pair of complex numbers.
    """
    centres = np.argwhere(mask) * spacing[None, :]
    centres -= np.mean(centres, axis=0)
    centres /= np.sqrt(len(centres))
    values = np.linalg.eigvals(np.dot(centres.T.copy(), centres))
    values[(values < 0) & (values > -1e-10)] = 0
    values.sort()
    return values


def _axis_length(variance: np.number) -> float:
    return float((np.sqrt(variance) * 4).real) if variance.real >= 0 else float("nan")


def _root_of_ratio(smaller: np.number, larger: np.number) -> float:
    if smaller.real < 0 or larger.real <= 0:
        return float("nan")
    return float(np.sqrt(smaller / larger).real)
