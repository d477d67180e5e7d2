"""Who neighbours whom inside a region: worked out once per region and shared by every image."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

# The 13 directions of distance 1, one of each opposite pair, as (z, y, x) and in PyRadiomics' order: means over
# directions are sums of rounded numbers, so the order belongs to the definition.
DIRECTIONS = (
    *((1, y, x) for y in (1, 0, -1) for x in (1, 0, -1)),
    *((0, 1, x) for x in (1, 0, -1)),
    (0, 0, 1),
)


@dataclass(frozen=True)
class Lines:
    """The region's voxels strung along one direction.

    order: positions (n,) intp of the voxels, line by line and along each line; place: where in that each voxel is, so
    that order[place] counts from 0 to n - 1; linked: order[k] and order[k + 1] are neighbors, (n - 1,) bool;
    n_unlinked: how many are not; has_line: some line holds two voxels or more.
    """

    order: np.ndarray
    place: np.ndarray
    linked: np.ndarray
    n_unlinked: int
    has_line: bool

    @property
    def has_pairs(self) -> bool:
        return self.n_unlinked < len(self.linked)


@dataclass(frozen=True)
class RegionLayout:
    """Positions of a region's voxels, in C order.

    mask: the region cropped to it; flat: index of each voxel in that crop, flattened after padding it with one voxel
    of background on every side; padded_shape: shape of the padded crop; places: index of each voxel in the flattened
    image; lines: one per direction.
    """

    mask: np.ndarray
    flat: np.ndarray
    padded_shape: tuple[int, int, int]
    places: np.ndarray
    image_shape: tuple[int, int, int]
    lines: tuple[Lines, ...]

    @property
    def n_voxels(self) -> int:
        return len(self.flat)

    @property
    def n_extended_axes(self) -> int:
        """In how many directions the region is wider than one voxel."""
        return sum(n > 1 for n in self.mask.shape)

    @property
    def padded_size(self) -> int:
        return int(np.prod(self.padded_shape))

    @cached_property
    def ordinal(self) -> np.ndarray:
        """For each element of the flattened padded crop: which voxel of the region it is (-1 outside)."""
        found = np.full(self.padded_size, -1, dtype=np.int32)
        found[self.flat] = np.arange(self.n_voxels, dtype=np.int32)
        return found

    def shift(self, direction: tuple[int, int, int]) -> int:
        """Distance in the flattened padded crop to the neighbor in ``direction``; positive for DIRECTIONS."""
        _, ny, nx = self.padded_shape
        return (direction[0] * ny + direction[1]) * nx + direction[2]

    @cached_property
    def n_neighbors(self) -> np.ndarray:
        """For each voxel the number of its 26 neighbors inside the region."""
        return self.sum_around(np.ones(self.n_voxels, dtype=np.int16)) - 1

    def dense(self, values: np.ndarray) -> np.ndarray:
        """The flattened padded crop with ``values`` (n,) inside the region and 0 outside."""
        array = np.zeros(self.padded_size, dtype=values.dtype)
        array[self.flat] = values
        return array

    def sum_around(self, values: np.ndarray) -> np.ndarray:
        """For each voxel the sum of ``values`` (n,) over the 3x3x3 voxels around it, itself included."""
        total = self.dense(values)
        for direction in ((0, 0, 1), (0, 1, 0), (1, 0, 0)):
            shift = self.shift(direction)
            summed = total.copy()
            summed[shift:] += total[:-shift]
            summed[:-shift] += total[shift:]
            total = summed
        return total[self.flat]

    def values(self, image: np.ndarray) -> np.ndarray:
        """The values (n,) of ``image`` (Z, Y, X) inside the region."""
        if image.shape != self.image_shape:
            raise ValueError(f"an image of {image.shape} for a region of {self.image_shape}")
        return np.ascontiguousarray(image).reshape(-1).take(self.places)


def region_layout(mask: np.ndarray) -> RegionLayout:
    """The layout of the region ``mask`` (Z, Y, X) bool, which holds at least one voxel."""
    from SubregionHabitatLib.geometry import bounding_box

    box = bounding_box(mask)
    inner = np.ascontiguousarray(mask[box])
    zyx = np.argwhere(inner)
    padded = tuple(n + 2 for n in inner.shape)
    return RegionLayout(
        mask=inner,
        flat=np.ravel_multi_index(tuple((zyx + 1).T), padded),
        padded_shape=padded,
        places=np.flatnonzero(mask),
        image_shape=mask.shape,
        lines=tuple(_lines(zyx, inner.shape, d) for d in DIRECTIONS),
    )


def _lines(zyx: np.ndarray, shape: tuple[int, int, int], direction: tuple[int, int, int]) -> Lines:
    """A voxel's line is named by where it meets the first axis along which the direction moves."""
    axis = next(a for a in range(3) if direction[a])
    along = zyx[:, axis]
    reach = shape[axis]
    line = np.zeros(len(zyx), dtype=np.int64)
    for other in range(3):
        if other != axis:
            line = line * (shape[other] + 2 * reach) + zyx[:, other] - direction[other] * along + reach
    key = line * (reach + 1) + along
    order = np.argsort(key, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    key, line = key[order], line[order]
    linked = key[1:] == key[:-1] + 1
    n_unlinked = len(linked) - int(np.count_nonzero(linked))
    return Lines(order, place, linked, n_unlinked, bool((line[1:] == line[:-1]).any()))
