"""Where a voxel lies: grid size, spacing, origin and direction, always in LPS millimetres.

Index order: arrays are (Z, Y, X); ``spacing_mm``, ``origin_mm`` and the columns of ``direction`` follow
ITK's (x, y, z) order, as in SimpleITK and NRRD/NIfTI files.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .errors import InputError

# Positions that differ by less than this share of a voxel are the same position: DICOM decimal
# strings carry 4 to 6 significant digits, so exact equality would split one grid into many.
SAME_POSITION_VOXELS = 0.05


@dataclass(frozen=True)
class Geometry:
    """A regular voxel grid in patient space.

    shape: (Z, Y, X) number of voxels; spacing_mm: (x, y, z) > 0; origin_mm: LPS position of the centre of
    voxel (0, 0, 0); direction: 3x3 row-major, column k is the LPS unit vector of array axis x, y or z.
    """

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    origin_mm: tuple[float, float, float]
    direction: tuple[float, ...]

    def __post_init__(self) -> None:
        numbers = (*self.spacing_mm, *self.origin_mm, *self.direction)
        if len(self.direction) != 9 or not all(math.isfinite(v) for v in numbers):
            raise InputError("The image geometry holds missing or non-finite numbers; re-export the image.")
        if min(self.shape) < 1 or min(self.spacing_mm) <= 0:
            raise InputError(
                f"The image geometry is not usable (size {self.shape}, spacing {self.spacing_mm} mm); "
                "re-export the image with positive sizes and spacings."
            )
        if abs(np.linalg.det(self.direction_matrix)) < 1e-3:
            raise InputError("The image axes are parallel to each other; re-export the image.")

    @property
    def direction_matrix(self) -> np.ndarray:
        return np.asarray(self.direction, dtype=np.float64).reshape(3, 3)

    @property
    def spacing_zyx(self) -> tuple[float, float, float]:
        """Spacing in mm in array order (z, y, x), as scipy.ndimage wants it."""
        return self.spacing_mm[::-1]

    @property
    def voxel_volume_mm3(self) -> float:
        """Volume of one voxel in mm3; correct for sheared axes too (spacing product times |det|)."""
        return float(np.prod(self.spacing_mm) * abs(np.linalg.det(self.direction_matrix)))

    @property
    def index_to_lps(self) -> np.ndarray:
        """4x4 matrix from (i, j, k) = (x, y, z) index to LPS millimetres."""
        matrix = np.eye(4)
        matrix[:3, :3] = self.direction_matrix @ np.diag(self.spacing_mm)
        matrix[:3, 3] = self.origin_mm
        return matrix

    def lps_of(self, zyx: np.ndarray) -> np.ndarray:
        """LPS positions in mm, shape (N, 3), of (fractional) array indices ``zyx``, shape (N, 3)."""
        ijk = np.asarray(zyx, dtype=np.float64)[..., ::-1]
        matrix = self.index_to_lps
        return ijk @ matrix[:3, :3].T + matrix[:3, 3]

    def index_of(self, lps_mm: np.ndarray) -> np.ndarray:
        """Fractional array indices (z, y, x), shape (N, 3), of LPS positions in mm."""
        matrix = self.index_to_lps
        ijk = np.linalg.solve(matrix[:3, :3], (np.asarray(lps_mm, float) - matrix[:3, 3]).T).T
        return ijk[..., ::-1]

    def crop(self, box: tuple[slice, slice, slice]) -> Geometry:
        """The geometry of ``array[box]`` for (z, y, x) slices with explicit start and stop."""
        start = np.array([[s.start for s in box]], dtype=float)
        return Geometry(
            shape=tuple(s.stop - s.start for s in box),
            spacing_mm=self.spacing_mm,
            origin_mm=tuple(float(v) for v in self.lps_of(start)[0]),
            direction=self.direction,
        )

    def same_grid(self, other: Geometry) -> bool:
        """True when every voxel of both grids lies within SAME_POSITION_VOXELS voxels of its twin."""
        if self.shape != other.shape:
            return False
        corners = np.array(
            [[z, y, x] for z in (0, self.shape[0] - 1) for y in (0, self.shape[1] - 1) for x in (0, self.shape[2] - 1)]
        )
        distance = np.abs(self.lps_of(corners) - other.lps_of(corners)).max()
        return bool(distance <= SAME_POSITION_VOXELS * min(self.spacing_mm))

    def to_json(self) -> dict:
        return {
            "size_xyz": list(self.shape[::-1]),
            "spacing_mm": [round(v, 6) for v in self.spacing_mm],
            "origin_lps_mm": [round(v, 6) for v in self.origin_mm],
            "direction_lps": [round(v, 8) for v in self.direction],
        }


def bounding_box(mask: np.ndarray, margin: tuple[int, int, int] = (0, 0, 0)) -> tuple[slice, slice, slice]:
    """The (z, y, x) slices around the True voxels of ``mask``, grown by ``margin`` voxels, inside the array.

    Raises ValueError when the mask is empty.
    """
    box = []
    for axis, grow in enumerate(margin):
        occupied = np.flatnonzero(mask.any(axis=tuple(a for a in range(mask.ndim) if a != axis)))
        if occupied.size == 0:
            raise ValueError("bounding_box of an empty mask")
        box.append(slice(max(0, int(occupied[0]) - grow), min(mask.shape[axis], int(occupied[-1]) + grow + 1)))
    return tuple(box)


def margin_voxels(margin_mm: float, geometry: Geometry) -> tuple[int, int, int]:
    """How many voxels (z, y, x) are needed to hold ``margin_mm`` on each side."""
    return tuple(math.ceil(margin_mm / s - 1e-9) for s in geometry.spacing_zyx)
