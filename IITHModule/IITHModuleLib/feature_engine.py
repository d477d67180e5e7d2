"""The one small interface behind which radiomic features are computed, and the engines that implement it."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from SubregionHabitatLib.errors import InputError
from SubregionHabitatLib.geometry import Geometry

# The first is the default.
ENGINES = ("native", "pyradiomics")


class FeatureEngine(Protocol):
    """Computes features of one region of one prepared image. Names are PyRadiomics' ("original_glcm_Contrast")."""

    name: str

    def version(self) -> str:
        """Version text for the provenance."""

    def shape_features(self, mask: np.ndarray, geometry: Geometry) -> dict[str, float]:
        """Shape features of ``mask`` (Z, Y, X) bool."""

    def image_features(
        self,
        image: np.ndarray,
        mask: np.ndarray,
        geometry: Geometry,
        bin_width: float | None,
        bin_count: int | None,
        voxel_array_shift: float,
    ) -> dict[str, float]:
        """First-order and texture features of ``image`` (Z, Y, X) inside ``mask``; exactly one kind of binning."""


def make_engine(name: str) -> FeatureEngine:
    """The engine called ``name``; raises InputError when it is unknown or not installed."""
    if name not in ENGINES:
        raise InputError(f"The feature engine {name} is unknown; choose one of {', '.join(ENGINES)}.")
    if name == "pyradiomics":
        return PyRadiomicsEngine()
    from .native.engine import NativeEngine

    return NativeEngine()


class PyRadiomicsEngine:
    """PyRadiomics 3.0.1 (or SlicerRadiomics' copy of it), called on images that are already prepared."""

    name = "pyradiomics"

    def __init__(self) -> None:
        try:
            import radiomics
        except ImportError as error:
            raise InputError(
                "PyRadiomics is not installed; use the engine native, or install PyRadiomics (in Slicer: the extension "
                "SlicerRadiomics)."
            ) from error
        radiomics.setVerbosity(50)
        self._radiomics = radiomics

    def version(self) -> str:
        return str(self._radiomics.__version__)

    def shape_features(self, mask: np.ndarray, geometry: Geometry) -> dict[str, float]:
        return self._execute(mask.astype(np.float32), mask, geometry, ("shape",), {"binWidth": 1.0})

    def image_features(self, image, mask, geometry, bin_width, bin_count, voxel_array_shift) -> dict[str, float]:
        binning = {"binCount": bin_count} if bin_width is None else {"binWidth": bin_width}
        classes = ("firstorder", "glcm", "glrlm", "glszm", "gldm", "ngtdm")
        return self._execute(
            image, mask, geometry, classes, {**binning, "voxelArrayShift": voxel_array_shift, "distances": [1]}
        )

    def _execute(self, image, mask, geometry, classes, settings) -> dict[str, float]:
        from radiomics.featureextractor import RadiomicsFeatureExtractor

        from SubregionHabitatLib.volume_io import to_sitk

        if mask.all():
            # PyRadiomics refuses a mask without background, so such a region gets a layer of it behind.
            image, mask = np.pad(image, (0, 1)), np.pad(mask, (0, 1))
        extractor = RadiomicsFeatureExtractor(
            additionalInfo=False, symmetricalGLCM=True, label=1, geometryTolerance=1e-3, **settings
        )
        extractor.disableAllFeatures()
        for name in classes:
            extractor.enableFeatureClassByName(name)
        with np.errstate(all="ignore"):
            found = extractor.execute(to_sitk(image, geometry), to_sitk(mask, geometry))
        return {str(name): float(np.asarray(value)) for name, value in found.items()}
