"""The native engine against PyRadiomics 3.0.1 on the original image: every feature, relative 1e-9."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from IITHModuleLib.feature_engine import ENGINES, make_engine
from IITHModuleLib.features import IMAGE_NAMES, SHAPE_NAMES
from IITHModuleLib.native.gray_levels import bin_edges, discretise
from IITHModuleLib.native.region_layout import DIRECTIONS, region_layout
from SubregionHabitatLib.geometry import Geometry
from SubregionHabitatLib.volume_io import geometry_of
from support.data import require_data
from support.reference_radiomics import above, pyradiomics_features

SAME = 1e-9


def native(image, mask, geometry, bin_width=None, bin_count=None, shift=0.0) -> dict[str, float]:
    engine = make_engine("native")
    found = engine.image_features(image, mask, geometry, bin_width, bin_count, shift)
    return found | engine.shape_features(mask, geometry)


def plain_geometry(shape, spacing=(1.0, 1.0, 1.0)) -> Geometry:
    return Geometry(tuple(shape), tuple(spacing), (0.0, 0.0, 0.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))


def assert_same(image, mask, geometry, bin_width=None, bin_count=None, shift=0.0):
    binning = {"binCount": bin_count} if bin_width is None else {"binWidth": bin_width}
    # PyRadiomics refuses a mask without background, so one such gets a layer of it here.
    layer = (0, 1) if mask.all() else (0, 0)
    expected = pyradiomics_features(
        np.pad(image, layer), np.pad(mask, layer), plain_geometry(np.add(mask.shape, layer[1]), geometry.spacing_mm),
        voxelArrayShift=shift, **binning,
    )  # fmt: skip
    found = native(image, mask, geometry, bin_width, bin_count, shift)
    assert len(found) == 107
    assert above(found, expected, SAME) == {}


def test_native_is_the_default_engine_and_names_107_features():
    assert ENGINES[0] == "native"
    rng = np.random.default_rng(0)
    image = rng.normal(size=(5, 6, 7)).astype(np.float32)
    found = native(image, np.ones(image.shape, bool), plain_geometry(image.shape), bin_count=8)
    assert sorted(found) == sorted(SHAPE_NAMES + IMAGE_NAMES)


@pytest.mark.parametrize("binning", [{"bin_width": 25.0, "shift": 2000.0}, {"bin_count": 32}])
def test_breast1(binning):
    folder = require_data("pyradiomics-breast1")
    image = sitk.ReadImage(str(folder / "breast1_image.nrrd"))
    mask = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "breast1_label.nrrd"))) > 0
    assert_same(sitk.GetArrayFromImage(image).astype(np.float32), mask, geometry_of(image), **binning)


def test_published_baselines_of_breast1():
    """The 107 values that PyRadiomics publishes for its own case; the file holds 13 digits."""
    folder = require_data("pyradiomics-breast1")
    image = sitk.ReadImage(str(folder / "breast1_image.nrrd"))
    mask = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "breast1_label.nrrd"))) > 0
    found = native(sitk.GetArrayFromImage(image), mask, geometry_of(image), bin_width=25.0, shift=2000.0)
    compared = set()
    for family in ("shape", "firstorder", "glcm", "glrlm", "glszm", "gldm", "ngtdm"):
        with (folder / f"baseline_{family}.csv").open(newline="") as stream:
            for row in csv.DictReader(stream):
                if row["featureName"] in found:
                    expected = float(row["breast1"])
                    assert found[row["featureName"]] == pytest.approx(expected, rel=1e-9), row["featureName"]
                    compared.add(row["featureName"])
    assert compared == set(found)


def test_simulated_exam(simulated, simulated_imaging):
    exam = simulated.exam
    for region, mask in simulated_imaging.regions().items():
        binning = {"bin_width": 25.0} if region == "lesion" else {"bin_count": 16}
        assert_same(exam.signal[1], mask, exam.geometry, **binning)


def test_ucsf_exam(ucsf_imaging):
    exam, imaging = ucsf_imaging
    for mask in imaging.regions().values():
        assert_same(exam.signal[1], mask, exam.geometry, bin_width=5.0)


@st.composite
def small_cases(draw):
    """An image of a few voxels with a region of any shape in it, and how to bin it."""
    shape = draw(st.tuples(*[st.integers(1, 7)] * 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from(["scattered", "whole", "blocks", "plane", "sparse"]))
    mask = {
        "scattered": lambda: rng.random(shape) < rng.uniform(0.2, 1),
        "whole": lambda: np.ones(shape, bool),
        "blocks": lambda: _blocks(rng, shape),
        "plane": lambda: _plane(rng, shape),
        "sparse": lambda: rng.random(shape) < 0.1,
    }[kind]()
    image = rng.integers(0, draw(st.integers(1, 12)), shape) * draw(st.sampled_from([1.0, 7.3, 25.0]))
    if draw(st.booleans()):
        image = image + rng.normal(size=shape) * 10
    spacing = draw(st.tuples(*[st.sampled_from([0.5, 0.7, 1.0, 2.0, 3.3])] * 3))
    binning = draw(st.sampled_from([{"bin_width": 5.0}, {"bin_width": 25.0, "shift": 300.0}, {"bin_count": 8}]))
    return image.astype(np.float32), mask, spacing, binning


def _blocks(rng, shape):
    """Up to three boxes, which may touch, overlap, lie apart or be empty."""
    mask = np.zeros(shape, bool)
    for _ in range(3):
        mask[tuple(slice(*sorted(rng.integers(0, n + 1, 2))) for n in shape)] = True
    return mask


def _plane(rng, shape):
    mask = np.zeros(shape, bool)
    axis = rng.integers(0, 3)
    mask[tuple(n // 2 if a == axis else slice(None) for a, n in enumerate(shape))] = True
    return mask


def _width(mask):
    return [int(np.ptp(places)) + 1 for places in np.nonzero(mask)] if mask.any() else [0, 0, 0]


@settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.filter_too_much])
@given(small_cases().filter(lambda case: sum(n > 1 for n in _width(case[1])) > 1))
def test_small_volumes_of_every_shape(case):
    """PyRadiomics refuses regions that are one voxel wide in two directions; all others must agree."""
    image, mask, spacing, binning = case
    assert_same(image, mask, plain_geometry(image.shape, spacing), **binning)


def test_region_of_one_gray_level():
    image = np.full((4, 5, 6), 7.0, np.float32)
    mask = np.ones(image.shape, bool)
    assert_same(image, mask, plain_geometry(image.shape), bin_width=25.0)
    found = native(image, mask, plain_geometry(image.shape), bin_width=25.0)
    assert found["original_glcm_MCC"] == 1
    assert found["original_glcm_Correlation"] == 1
    assert found["original_ngtdm_Coarseness"] == 1e6
    assert found["original_firstorder_Kurtosis"] == 0


def test_region_without_neighbors_has_no_cooccurrence():
    image = np.arange(125, dtype=np.float32).reshape(5, 5, 5)
    mask = np.zeros(image.shape, bool)
    mask[0, 0, 0] = mask[2, 4, 1] = mask[4, 0, 4] = True
    found = native(image, mask, plain_geometry(image.shape), bin_width=25.0)
    assert np.isnan(found["original_glcm_Contrast"])
    assert found["original_ngtdm_Coarseness"] == 1e6
    assert_same(image, mask, plain_geometry(image.shape), bin_width=25.0)


def test_features_do_not_depend_on_what_lies_outside_the_region():
    rng = np.random.default_rng(1)
    image = rng.normal(size=(8, 9, 10)).astype(np.float32)
    mask = rng.random(image.shape) < 0.5
    changed = np.where(mask, image, 1000).astype(np.float32)
    geometry = plain_geometry(image.shape)
    assert native(image, mask, geometry, bin_count=8) == native(changed, mask, geometry, bin_count=8)


def test_bin_edges_and_levels():
    values = np.array([-3.0, 0.0, 4.9, 5.0, 12.0], np.float32)
    assert bin_edges(values, 5.0, None).tolist() == [-5, 0, 5, 10, 15, 20]
    levels = discretise(values, 5.0, None)
    assert levels.values.tolist() == [1, 2, 3, 4]
    assert levels.index.tolist() == [0, 1, 1, 2, 3]
    assert levels.counts.tolist() == [1, 2, 1, 1]
    fixed = discretise(np.array([0.0, 1.0, 2.0, 4.0]), None, 4)
    assert fixed.values[fixed.index].tolist() == [1, 2, 3, 4]


def test_lines_of_a_region_join_each_neighboring_pair_once():
    rng = np.random.default_rng(2)
    mask = rng.random((6, 7, 8)) < 0.4
    layout = region_layout(mask)
    zyx = np.argwhere(layout.mask)
    for direction, lines in zip(DIRECTIONS, layout.lines, strict=True):
        ordered = zyx[lines.order]
        assert np.array_equal(lines.order[lines.place], np.arange(layout.n_voxels))
        linked = lines.linked
        assert lines.n_unlinked == np.count_nonzero(~linked)
        pairs = {(tuple(a), tuple(b)) for a, b in zip(ordered[:-1][linked], ordered[1:][linked], strict=True)}
        inside = {tuple(v) for v in zyx}
        expected = {(v, tuple(np.add(v, direction))) for v in inside if tuple(np.add(v, direction)) in inside}
        assert pairs == expected
