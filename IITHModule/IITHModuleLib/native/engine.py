"""The native feature engine: every feature of a region from its layout and its gray levels."""

from __future__ import annotations

import hashlib

import numpy as np

from SubregionHabitatLib.geometry import Geometry

from .first_order import first_order_features
from .glcm import glcm_features
from .gldm import gldm_features
from .glrlm import glrlm_features
from .glszm import glszm_features
from .gray_levels import discretise
from .line_counts import line_counts
from .ngtdm import ngtdm_features
from .region_layout import RegionLayout, region_layout
from .shape import shape_features

# Raised with every change that moves a value; part of the provenance of every result.
VERSION = "1.1 (PyRadiomics 3.0.1 conventions)"
# Layouts kept: the regions of one case, on two working grids.
_KEPT_LAYOUTS = 16


class NativeEngine:
    """Implements ``FeatureEngine``; keeps the layouts of the last regions it was given."""

    name = "native"

    def __init__(self) -> None:
        self._layouts: dict[bytes, RegionLayout] = {}
        # Read-only masks stay what they are, so they are known again without looking into them.
        self._seen: dict[int, tuple[np.ndarray, RegionLayout]] = {}

    def version(self) -> str:
        return VERSION

    def shape_features(self, mask: np.ndarray, geometry: Geometry) -> dict[str, float]:
        """Shape features "original_shape_..." of ``mask`` (Z, Y, X) bool; spacing from ``geometry``."""
        found = shape_features(self.layout(mask).mask, geometry.spacing_zyx)
        return {f"original_shape_{name}": value for name, value in found.items()}

    def image_features(
        self,
        image: np.ndarray,
        mask: np.ndarray,
        geometry: Geometry,
        bin_width: float | None,
        bin_count: int | None,
        voxel_array_shift: float,
    ) -> dict[str, float]:
        """The 93 features "original_<family>_<name>" of ``image`` (Z, Y, X) inside ``mask``.

        The image's floating-point type is that of the bin edges, as in PyRadiomics.
        """
        volume = float(np.multiply.reduce(geometry.spacing_mm))
        return region_features(self.layout(mask), image, volume, bin_width, bin_count, voxel_array_shift)

    def layout(self, mask: np.ndarray) -> RegionLayout:
        """The layout of ``mask``, made once per region."""
        known, layout = self._seen.get(id(mask), (None, None))
        if known is mask:
            return layout
        key = hashlib.sha256(np.packbits(mask).tobytes() + repr(mask.shape).encode()).digest()
        if key not in self._layouts:
            while len(self._layouts) >= _KEPT_LAYOUTS:
                self._layouts.pop(next(iter(self._layouts)))
            self._layouts[key] = region_layout(mask)
        if not mask.flags.writeable:
            if len(self._seen) >= _KEPT_LAYOUTS:
                self._seen.clear()
            self._seen[id(mask)] = mask, self._layouts[key]
        return self._layouts[key]


def region_features(
    layout: RegionLayout,
    image: np.ndarray,
    voxel_volume_mm3: float,
    bin_width: float | None,
    bin_count: int | None,
    voxel_array_shift: float = 0.0,
) -> dict[str, float]:
    """First-order and texture features of one image in one region; names "original_<family>_<name>"."""
    intensities = layout.values(image)
    levels = discretise(intensities, bin_width, bin_count)
    counts = line_counts(layout, levels)
    families = {
        "firstorder": first_order_features(intensities, levels, voxel_volume_mm3, voxel_array_shift),
        "glcm": glcm_features(layout, levels, counts),
        "glrlm": glrlm_features(layout, levels, counts),
        "glszm": glszm_features(layout, levels, counts.equal),
        "gldm": gldm_features(levels, counts.equal),
        "ngtdm": ngtdm_features(layout, levels),
    }
    return {
        f"original_{family}_{name}": float(value)
        for family, found in families.items()
        for name, value in sorted(found.items())
    }
