"""PyRadiomics called plainly, and how far another table of features lies from it."""

from __future__ import annotations

import logging
import math
import warnings

import numpy as np
import pytest
import SimpleITK as sitk

from SubregionHabitatLib.geometry import Geometry
from SubregionHabitatLib.volume_io import to_sitk


def pyradiomics_features(
    image: np.ndarray,
    mask: np.ndarray,
    geometry: Geometry,
    image_types: dict | None = None,
    shape: bool = True,
    **settings,
) -> dict[str, float]:
    """Every feature of ``image`` (Z, Y, X) in ``mask`` by PyRadiomics; image_types: its name -> its own settings."""
    radiomics = pytest.importorskip("radiomics", reason="PyRadiomics, the reference, is not installed")
    from radiomics.featureextractor import RadiomicsFeatureExtractor

    radiomics.setVerbosity(60)
    # Its loggers write a warning per image even so.
    logging.getLogger("radiomics").setLevel(logging.CRITICAL)
    extractor = RadiomicsFeatureExtractor(additionalInfo=False, geometryTolerance=1e-3, **settings)
    if image_types is not None:
        extractor.disableAllImageTypes()
        extractor.enableImageTypes(**image_types)
    extractor.enableFeatureClassByName("shape", shape)
    itk_image, itk_mask = to_sitk(image, geometry), to_sitk(mask, geometry)
    assert itk_image.GetPixelID() == (sitk.sitkFloat32 if image.dtype == np.float32 else sitk.sitkFloat64)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {name: float(value) for name, value in extractor.execute(itk_image, itk_mask).items()}


def relative_differences(found: dict[str, float], expected: dict[str, float]) -> dict[str, float]:
    """Feature -> |found - expected| over the larger; 0 where both are equal or both NaN, inf where one is NaN."""
    assert set(found) == set(expected)
    return {name: _relative(found[name], expected[name]) for name in expected}


def _relative(a: float, b: float) -> float:
    if a == b or (math.isnan(a) and math.isnan(b)):
        return 0.0
    difference = abs(a - b) / max(abs(a), abs(b))
    return math.inf if math.isnan(difference) else difference


def above(found: dict[str, float], expected: dict[str, float], tolerance: float) -> dict[str, tuple]:
    """Feature -> (found, expected) of those that differ by more than ``tolerance``, relatively."""
    return {
        name: (found[name], expected[name])
        for name, difference in relative_differences(found, expected).items()
        if not difference <= tolerance
    }
