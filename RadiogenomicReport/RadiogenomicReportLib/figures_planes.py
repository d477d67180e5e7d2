"""Which slices a report shows and how they lie on the page: planes, radiological orientation, letters, crop.

Radiological convention: axial and coronal images show the patient's right on the left side, sagittal images the
anterior side on the left; head (or anterior, on axial images) is up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from SubregionHabitatLib.geometry import Geometry, bounding_box

# The patient's axes in LPS: (letter towards +, letter towards -).
_LETTERS = (("L", "R"), ("P", "A"), ("H", "F"))
# A second letter is shown where an axis leans by more than this towards it.
_LEAN = math.sin(math.radians(15))
# A plane turned by more than this from the patient's axes is called oblique.
_STRAIGHT = math.cos(math.radians(10))
# Plane by the patient axis (0 L, 1 P, 2 S) that it stands upright on: name, horizontal and vertical patient axis, and
# the sign of the patient axis towards the right and the lower edge.
_PLANES = {
    0: ("sagittal", (1, +1), (2, -1)),
    1: ("coronal", (0, +1), (2, -1)),
    2: ("axial", (0, +1), (1, +1)),
}


@dataclass(frozen=True)
class Plane:
    """One plane of the grid as it is shown.

    axis: array axis (0, 1, 2 = z, y, x) across which the slice is taken; horizontal, vertical: array axes that run
    along the image; flip_horizontal, flip_vertical: whether the array is mirrored to get the patient's orientation;
    spacing_mm: (horizontal, vertical); letters: (left, right, top, bottom).
    """

    name: str
    axis: int
    horizontal: int
    vertical: int
    flip_horizontal: bool
    flip_vertical: bool
    spacing_mm: tuple[float, float]
    letters: tuple[str, str, str, str]

    def slice_of(self, array: np.ndarray, index: int) -> np.ndarray:
        """The slice ``index`` of ``array`` (Z, Y, X), shape (vertical, horizontal), row 0 at the top."""
        image = np.take(array, index, axis=self.axis)
        if self.vertical > self.horizontal:
            image = image.T
        if self.flip_vertical:
            image = image[::-1]
        return image[:, ::-1] if self.flip_horizontal else image

    def size_mm(self, shape_zyx: tuple[int, int, int]) -> tuple[float, float]:
        """Width and height in mm of a whole slice of an array of this shape."""
        return shape_zyx[self.horizontal] * self.spacing_mm[0], shape_zyx[self.vertical] * self.spacing_mm[1]


@dataclass(frozen=True)
class View:
    """A slice of a plane and the square around the lesion that is shown of it.

    center_mm: (horizontal, vertical) position of the middle of the square, from the slice's upper left corner;
    side_mm: its side; lesion_area_cm2: area of the lesion on the slice.
    """

    plane: Plane
    index: int
    n_slices: int
    center_mm: tuple[float, float]
    side_mm: float
    lesion_area_cm2: float


def direction_letters(vector: np.ndarray) -> str:
    """The side of the patient towards which an LPS ``vector`` points: "R", "LA" ...; the nearest axis comes first."""
    vector = np.asarray(vector, dtype=float)
    vector = vector / np.linalg.norm(vector)
    order = sorted(range(3), key=lambda i: -abs(vector[i]))
    shown = [i for n, i in enumerate(order) if n == 0 or abs(vector[i]) > _LEAN]
    return "".join(_LETTERS[i][0 if vector[i] > 0 else 1] for i in shown)


def planes_of(geometry: Geometry, slice_axis: int = 0) -> tuple[Plane, ...]:
    """The three planes of a grid, the acquisition plane (across ``slice_axis``) first."""
    array_axis_of = _array_axis_of_patient_axis(geometry.direction_matrix)
    patient_axis_of = {array: patient for patient, array in enumerate(array_axis_of)}
    order = [slice_axis] + [axis for axis in range(3) if axis != slice_axis]
    return tuple(_plane(geometry, array_axis_of, patient_axis_of[axis]) for axis in order)


def _array_axis_of_patient_axis(direction: np.ndarray) -> tuple[int, int, int]:
    """For the patient axes (L, P, S) the array axis (z, y, x) that runs along each, each array axis used once."""

    def agreement(axes: tuple[int, int, int]) -> float:
        return sum(abs(direction[patient, 2 - axis]) for patient, axis in enumerate(axes))

    # The tie of a grid turned by 45 degrees goes to the first, always the same way.
    return max(permutations(range(3)), key=lambda axes: (round(agreement(axes), 9), tuple(-a for a in axes)))


def _plane(geometry: Geometry, array_axis_of: tuple[int, int, int], patient_axis: int) -> Plane:
    direction = geometry.direction_matrix
    name, (right, right_sign), (down, down_sign) = _PLANES[patient_axis]
    horizontal, vertical = array_axis_of[right], array_axis_of[down]
    to_right, to_bottom = direction[:, 2 - horizontal], direction[:, 2 - vertical]
    flip_horizontal = bool(to_right[right] * right_sign < 0)
    flip_vertical = bool(to_bottom[down] * down_sign < 0)
    to_right = -to_right if flip_horizontal else to_right
    to_bottom = -to_bottom if flip_vertical else to_bottom
    normal = np.cross(to_right, to_bottom)
    if abs(normal[patient_axis]) / np.linalg.norm(normal) < _STRAIGHT:
        name = f"oblique {name}"
    return Plane(
        name=name,
        axis=array_axis_of[patient_axis],
        horizontal=horizontal,
        vertical=vertical,
        flip_horizontal=flip_horizontal,
        flip_vertical=flip_vertical,
        spacing_mm=(geometry.spacing_zyx[horizontal], geometry.spacing_zyx[vertical]),
        letters=(
            direction_letters(-to_right),
            direction_letters(to_right),
            direction_letters(-to_bottom),
            direction_letters(to_bottom),
        ),
    )


def lesion_views(
    geometry: Geometry, lesion: np.ndarray, ring: np.ndarray, slice_axis: int = 0, context_mm: float = 8.0
) -> tuple[View, ...]:
    """One view per plane: the slice with the largest lesion area, all at one scale around lesion and ring.

    lesion, ring: (Z, Y, X) bool; context_mm: room around them. Raises ValueError for an empty lesion.
    """
    planes = planes_of(geometry, slice_axis)
    box = bounding_box(lesion | ring)
    extent = [(s.stop - s.start) * mm for s, mm in zip(box, geometry.spacing_zyx, strict=True)]
    side = max(extent) + 2 * context_mm
    return tuple(_view(plane, lesion, box, side) for plane in planes)


def _view(plane: Plane, lesion: np.ndarray, box: tuple[slice, slice, slice], side_mm: float) -> View:
    area = lesion.sum(axis=tuple(a for a in range(3) if a != plane.axis))
    index = largest_slice(area)
    return View(
        plane=plane,
        index=index,
        n_slices=lesion.shape[plane.axis],
        center_mm=(
            _middle(box[plane.horizontal], lesion.shape[plane.horizontal], plane.flip_horizontal) * plane.spacing_mm[0],
            _middle(box[plane.vertical], lesion.shape[plane.vertical], plane.flip_vertical) * plane.spacing_mm[1],
        ),
        side_mm=side_mm,
        lesion_area_cm2=float(area[index] * plane.spacing_mm[0] * plane.spacing_mm[1] / 100.0),
    )


def largest_slice(area: np.ndarray) -> int:
    """The slice with the largest area; the middle one of several equal ones. Raises ValueError when all are empty."""
    largest = np.flatnonzero(area == area.max())
    if area.max() <= 0:
        raise ValueError("no slice holds a lesion voxel")
    return int(largest[largest.size // 2])


def _middle(span: slice, n: int, flipped: bool) -> float:
    middle = (span.start + span.stop) / 2
    return n - middle if flipped else middle
