"""The IBSI-1 digital phantom: this tool's values against the reference values, and the table in docs/radiomics.md."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from IITHModuleLib.feature_engine import make_engine
from IITHModuleLib.features import IMAGE_NAMES, SHAPE_NAMES
from SubregionHabitatLib.volume_io import geometry_of
from support.data import require_data
from support.ibsi_names import TAGS
from support.reference_radiomics import above, pyradiomics_features

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "radiomics.md"
# Features of PyRadiomics that IBSI has no reference value for.
NOT_IN_IBSI = {
    "original_firstorder_TotalEnergy",
    "original_glcm_MCC",
    "original_shape_Maximum2DDiameterColumn",
    "original_shape_Maximum2DDiameterRow",
    "original_shape_Maximum2DDiameterSlice",
}
# PyRadiomics defines these otherwise, and so does this tool.
DEVIATIONS = {
    "original_firstorder_Kurtosis",
    "original_shape_MinorAxisLength",
    "original_shape_LeastAxisLength",
}


@pytest.fixture(scope="module")
def phantom():
    image = sitk.ReadImage(str(require_data("ibsi-digital-phantom", "image", "phantom.nii.gz")))
    mask = sitk.GetArrayFromImage(sitk.ReadImage(str(require_data("ibsi-digital-phantom", "mask", "mask.nii.gz"))))
    return sitk.GetArrayFromImage(image).astype(np.float32), mask > 0, geometry_of(image)


@pytest.fixture(scope="module")
def found(phantom):
    image, mask, geometry = phantom
    engine = make_engine("native")
    return engine.image_features(image, mask, geometry, 1.0, None, 0.0) | engine.shape_features(mask, geometry)


@pytest.fixture(scope="module")
def reference():
    with require_data("ibsi-digital-phantom", "reference_values.csv").open(newline="") as stream:
        rows = {row["tag"]: row for row in csv.DictReader(stream, delimiter=";")}
    return {tag: (float(rows[tag]["reference value"]), float(rows[tag]["tolerance"])) for tag in TAGS.values()}


def agrees(value: float, reference: tuple[float, float]) -> bool:
    """Within IBSI's tolerance, or the same number at the three digits that IBSI gives."""
    expected, tolerance = reference
    return abs(value - expected) <= tolerance or float(f"{value:.3g}") == expected


def test_every_feature_is_compared_or_known_to_be_outside_ibsi():
    assert set(TAGS) | NOT_IN_IBSI == set(SHAPE_NAMES + IMAGE_NAMES)
    assert len(TAGS) == 102


def test_values_agree_with_the_reference_but_for_the_named_deviations(found, reference):
    assert {name for name, tag in TAGS.items() if not agrees(found[name], reference[tag])} == DEVIATIONS


def test_the_deviations_are_what_the_document_says(found, reference):
    # kurtosis is not excess
    assert agrees(found["original_firstorder_Kurtosis"] - 3, reference["stat_kurt"])
    # variances along the axes are divided by the number of voxels (74), IBSI's values by one less
    sample = np.sqrt(74 / 73)
    for axis in ("Major", "Minor", "Least"):
        name = f"original_shape_{axis}AxisLength"
        assert agrees(found[name] * sample, reference[TAGS[name]])


def test_values_are_pyradiomics_own(phantom, found):
    image, mask, geometry = phantom
    assert above(found, pyradiomics_features(image, mask, geometry, binWidth=1.0), 1e-9) == {}


def test_the_document_holds_these_values(found, reference):
    rows = re.findall(
        r"^\| (original_\w+) \| (\S+) \| (\S+) \| (\S+) \| (.*?) *\|$", DOCUMENT.read_text(), re.MULTILINE
    )
    assert {row[0] for row in rows} == set(TAGS)
    for name, value, expected, tolerance, note in rows:
        assert value == f"{found[name]:.4g}", name
        assert (float(expected), float(tolerance)) == reference[TAGS[name]], name
        assert bool(note) == (name in DEVIATIONS), name
