"""Uniform local binary patterns of every slice, as scikit-image computes them for PyRadiomics' "lbp-2D"."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from .image_patch import ImagePatch

_SAMPLES = 8
_ANGLES = 2 * np.pi * np.arange(_SAMPLES) / _SAMPLES
# Where a circle of radius 1 is sampled, as (row, column), rounded as scikit-image does.
_CIRCLE = np.stack([np.round(-np.sin(_ANGLES), 5), np.round(np.cos(_ANGLES), 5)], axis=1)


def uniform_patterns(patch: ImagePatch) -> np.ndarray:
    """Values 0 to 9 over ``patch.inner``, slice by slice (z), in the patch's own floating-point type.

    A pattern counts the samples that are not below the centre if they form at most one stretch, else it is 9. Outside
    the image there is 0. Ties between equal voxels are decided by the rounding of the interpolation, which depends on
    the row's and column's number in the whole image: therefore these are used.
    """
    outer, inner = patch.around_inner((0, 2, 2))
    image = patch.image[outer].astype(np.float64)
    lacking = [_lacking(s, o, n) for s, o, n in zip(patch.inner[1:], outer[1:], patch.image.shape[1:], strict=True)]
    image = np.pad(image, [(0, 0), *lacking])
    rows, columns = (slice(s.start + lack[0], s.stop + lack[0]) for s, lack in zip(inner[1:], lacking, strict=True))
    centre = image[:, rows, columns]
    row_numbers, column_numbers = (
        np.arange(s.start, s.stop, dtype=np.float64) + start
        for s, start in zip(patch.inner[1:], patch.start[1:], strict=True)
    )
    signs = [_sample(image, rows, columns, row_numbers, column_numbers, offset) - centre >= 0 for offset in _CIRCLE]
    changes = sum((a != b).astype(np.int8) for a, b in pairwise(signs))
    count = sum(sign.astype(np.int8) for sign in signs)
    return np.where(changes <= 2, count, _SAMPLES + 1).astype(patch.image.dtype)


def _lacking(inner: slice, outer: slice, size: int) -> tuple[int, int]:
    """How many of two voxels beyond ``inner`` the piece does not have on either side."""
    return 2 - (inner.start - outer.start), 2 - (outer.stop - inner.stop)


def _sample(image, rows, columns, row_numbers, column_numbers, offset) -> np.ndarray:
    """The image (padded by two voxels) at ``offset`` from every voxel, bilinear."""
    row, column = row_numbers + offset[0], column_numbers + offset[1]
    top, left = np.floor(row), np.floor(column)
    dr, dc = (row - top)[:, None], (column - left)[None, :]

    def at(row_step: int, column_step: int) -> np.ndarray:
        return image[
            :,
            rows.start + row_step : rows.stop + row_step,
            columns.start + column_step : columns.stop + column_step,
        ]

    up, west = int(top[0] - row_numbers[0]), int(left[0] - column_numbers[0])
    down, east = int(np.ceil(row[0]) - row_numbers[0]), int(np.ceil(column[0]) - column_numbers[0])
    upper = (1 - dc) * at(up, west) + dc * at(up, east)
    lower = (1 - dc) * at(down, west) + dc * at(down, east)
    return (1 - dr) * upper + dr * lower
