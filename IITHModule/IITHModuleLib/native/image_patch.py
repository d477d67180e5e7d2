"""The part of an image that is needed to filter it around the regions."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class ImagePatch:
    """A piece of an image, from which every filter gives what it would give on the whole image.

    image: (Z, Y, X) float32 or float64; inner: the part of it where results are wanted; start: index of the piece's
    first voxel in the whole image; whole_shape: size of that; peak: the largest absolute value of the whole image;
    spacing_zyx: mm; wrapped: the whole extent, padded to an even size, of every axis along which ``inner`` lies so
    near the image's edge that the wavelet continues on the other side, and where ``inner`` lies in that (else None).
    """

    image: np.ndarray
    inner: Box
    start: tuple[int, int, int]
    whole_shape: tuple[int, int, int]
    peak: float
    spacing_zyx: tuple[float, float, float]
    wrapped: np.ndarray | None = None
    wrapped_inner: Box | None = None

    def around_inner(self, margin: tuple[int, int, int]) -> tuple[Box, Box]:
        """``inner`` grown by ``margin`` as far as the piece reaches, and where ``inner`` lies in that."""
        outer = tuple(
            slice(max(0, s.start - m), min(n, s.stop + m))
            for s, m, n in zip(self.inner, margin, self.image.shape, strict=True)
        )
        return outer, tuple(slice(s.start - o.start, s.stop - o.start) for s, o in zip(self.inner, outer, strict=True))

    def narrowed(self, margin: tuple[int, int, int]) -> ImagePatch:
        """The same patch with no more than ``margin`` voxels around ``inner``."""
        outer, inner = self.around_inner(margin)
        return replace(
            self,
            image=np.ascontiguousarray(self.image[outer]),
            inner=inner,
            start=tuple(a + o.start for a, o in zip(self.start, outer, strict=True)),
        )


# Reach of the wavelet, coif1 with its six taps, and a little more.
WRAP = 8


def cut_patch(image: np.ndarray, box: Box, margin: tuple[int, int, int], spacing_zyx, peak=None) -> ImagePatch:
    """The patch of ``image`` for results inside ``box``, with ``margin`` voxels around it where the image has them.

    peak: the largest absolute value of the whole image, where it is known already.
    """
    outer = tuple(
        slice(max(0, s.start - m), min(n, s.stop + m)) for s, m, n in zip(box, margin, image.shape, strict=True)
    )
    wrapped = wrapped_part(image.shape, box)
    return ImagePatch(
        image=np.ascontiguousarray(image[outer]),
        inner=tuple(slice(s.start - o.start, s.stop - o.start) for s, o in zip(box, outer, strict=True)),
        start=tuple(o.start for o in outer),
        whole_shape=image.shape,
        peak=largest_magnitude(image) if peak is None else peak,
        spacing_zyx=tuple(spacing_zyx),
        wrapped=None if wrapped is None else image[np.ix_(*wrapped[0])],
        wrapped_inner=None if wrapped is None else wrapped[1],
    )


def wrapped_part(shape: tuple[int, int, int], box: Box) -> tuple[tuple[np.ndarray, ...], Box] | None:
    """Which voxels of each axis the wavelet needs, an even number, and where ``box`` lies in them.

    None unless the box lies near an edge. Along such an axis it is all of them, and for an odd size the first once
    more at the end, as PyRadiomics pads; the transform then meets the edge in the same order of operations.
    """
    near = [s.start <= WRAP or s.stop + WRAP >= n for s, n in zip(box, shape, strict=True)]
    if not any(near):
        return None
    indices, inner = [], []
    for s, n, at_edge in zip(box, shape, near, strict=True):
        if at_edge:
            indices.append(np.arange(n + n % 2) % n)
            inner.append(s)
        else:
            start, stop = s.start - WRAP, s.stop + WRAP
            indices.append(np.arange(start, stop + (stop - start) % 2))
            inner.append(slice(WRAP, WRAP + s.stop - s.start))
    return tuple(indices), tuple(inner)


def largest_magnitude(image: np.ndarray) -> float:
    """The largest absolute value, without a copy of the image."""
    return max(float(image.max()), -float(image.min()))
