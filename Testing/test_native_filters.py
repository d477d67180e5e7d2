"""The native engine's filtered images against PyRadiomics called plainly on the whole image, relative 1e-6."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from IITHModuleLib.feature_engine import make_engine
from IITHModuleLib.native.image_filters import (
    POINTWISE,
    WAVELETS,
    expand_image_types,
    filtered_images,
    image_type_groups,
    log_sigma_mm,
    reach_voxels,
)
from IITHModuleLib.native.image_patch import ImagePatch, cut_patch, wrapped_part
from SubregionHabitatLib.errors import InputError
from SubregionHabitatLib.geometry import Geometry, bounding_box
from support.reference_radiomics import above, pyradiomics_features

SAME = 1e-6
LOGS = tuple(f"log-sigma-{k}-0-mm-3D" for k in (1, 2, 3, 4, 5))
ALL = ("original", *WAVELETS, "gradient", *POINTWISE, *LOGS)
ALL_OF_PYRADIOMICS = {
    "Original": {},
    "Wavelet": {},
    "Gradient": {},
    "Square": {},
    "SquareRoot": {},
    "Logarithm": {},
    "Exponential": {},
    "LoG": {"sigma": [1.0, 2.0, 3.0, 4.0, 5.0]},
}


def patch_of(image: np.ndarray, mask: np.ndarray, geometry: Geometry, image_types) -> ImagePatch:
    """Only as much of the image as the filters say they need."""
    margin = np.max([reach_voxels(t, geometry.spacing_zyx) for t in image_types], axis=0)
    return cut_patch(image, bounding_box(mask), tuple(int(n) for n in margin), geometry.spacing_zyx)


def native_features(image, mask, geometry, image_types, bin_width=None, bin_count=None) -> dict[str, float]:
    engine = make_engine("native")
    inside = mask[bounding_box(mask)]
    found = {}
    for group in image_type_groups(image_types):
        for name, filtered in filtered_images(patch_of(image, mask, geometry, group), group):
            values = engine.image_features(filtered, inside, geometry, bin_width, bin_count, 0.0)
            found.update({name + feature[len("original") :]: value for feature, value in values.items()})
    return found


def test_every_filter_on_the_ucsf_exam(ucsf_imaging):
    """19 image types, 1767 features of the largest habitat, from a piece of the image as from all of it."""
    exam, imaging = ucsf_imaging
    image, mask = exam.signal[1], imaging.regions()["habitat2"]
    expected = pyradiomics_features(image, mask, exam.geometry, ALL_OF_PYRADIOMICS, shape=False, binWidth=5.0)
    found = native_features(image, mask, exam.geometry, ALL, bin_width=5.0)
    assert len(found) == 19 * 93
    assert above(found, expected, SAME) == {}


@pytest.mark.parametrize("shape", [(12, 15, 17), (9, 16, 14), (7, 8, 9)])
def test_regions_at_the_edge_of_the_image(shape):
    """Wavelets continue on the other side, after a copied layer where the size is odd."""
    rng = np.random.default_rng(sum(shape))
    image = (rng.normal(size=shape) * 40).astype(np.float32)
    mask = np.zeros(shape, bool)
    mask[:3, -6:, 1:6] = rng.random((3, 6, 5)) < 0.9
    geometry = Geometry(shape, (0.8, 0.8, 2.0), (0.0, 0.0, 0.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
    expected = pyradiomics_features(image, mask, geometry, ALL_OF_PYRADIOMICS, shape=False, binCount=16)
    found = native_features(image, mask, geometry, ALL, bin_count=16)
    assert above(found, expected, SAME) == {}


def test_filtered_voxels_are_those_of_the_whole_image(simulated):
    """Not only features: every voxel, from the smallest piece and from the whole image, whatever the filter."""
    image = simulated.exam.signal[1]
    geometry = simulated.exam.geometry
    mask = np.zeros(image.shape, bool)
    middle = tuple(slice(n // 2 - 3, n // 2 + 4) for n in image.shape)
    mask[middle] = True
    everything = tuple(slice(0, n) for n in image.shape)
    whole = cut_patch(image, everything, (0, 0, 0), geometry.spacing_zyx)
    types = (*ALL, "lbp-2D")
    pieces = {t: next(filtered_images(patch_of(image, mask, geometry, (t,)), (t,)))[1] for t in types}
    for name, filtered in filtered_images(whole, types):
        assert pieces[name].dtype == filtered.dtype
        if log_sigma_mm(name) is None:
            assert np.array_equal(pieces[name], filtered[middle]), name
        else:
            # single bits of float32 may round the other way
            assert np.abs(pieces[name] - filtered[middle]).max() <= 1e-6 * np.ptp(filtered), name
            assert np.mean(pieces[name] != filtered[middle]) < 1e-2, name


def test_pointwise_filters_by_hand():
    image = np.array([[[-4.0, 0.0, 1.0, 9.0, 16.0]]], np.float32)
    patch = cut_patch(image, (slice(0, 1), slice(0, 1), slice(0, 5)), (0, 0, 0), (1, 1, 1))
    found = {name: values.ravel() for name, values in filtered_images(patch, POINTWISE)}
    assert patch.peak == 16
    assert found["square"] == pytest.approx([1, 0, 1 / 16, 81 / 16, 16])
    assert found["squareroot"] == pytest.approx([-8, 0, 4, 12, 16])
    assert found["logarithm"] == pytest.approx(
        16 * np.array([-np.log(5), 0, np.log(2), np.log(10), np.log(17)]) / np.log(17)
    )
    assert found["exponential"] == pytest.approx(16 ** np.array([-4 / 16, 0, 1 / 16, 9 / 16, 1]))


def test_local_binary_patterns_equal_scikit_image():
    """Values that scikit-image 0.22 gives (P=8, R=1, uniform) on three gray levels, where ties are many."""
    image = np.random.default_rng(5).integers(0, 3, size=(1, 6, 7)).astype(np.float32)
    expected = [
        [1, 9, 8, 0, 9, 5, 3],
        [8, 1, 8, 8, 5, 9, 4],
        [8, 8, 8, 8, 8, 0, 8],
        [2, 1, 8, 8, 9, 8, 0],
        [8, 9, 9, 1, 8, 4, 9],
        [2, 9, 1, 3, 8, 0, 3],
    ]
    whole = cut_patch(image, (slice(0, 1), slice(0, 6), slice(0, 7)), (0, 0, 0), (1, 1, 1))
    assert next(filtered_images(whole, ["lbp-2D"]))[1][0].astype(int).tolist() == expected
    piece = cut_patch(image, (slice(0, 1), slice(2, 5), slice(1, 6)), (0, 2, 2), (1, 1, 1))
    assert next(filtered_images(piece, ["lbp-2D"]))[1][0].astype(int).tolist() == [row[1:6] for row in expected[2:5]]


def test_log_needs_an_image_larger_than_its_sigma():
    image = np.random.default_rng(0).normal(size=(3, 20, 20)).astype(np.float32)
    box = tuple(slice(0, n) for n in image.shape)
    assert next(filtered_images(cut_patch(image, box, (0, 0, 0), (1, 1, 1)), ["log-sigma-1-0-mm-3D"]))[1] is None


def test_axes_near_the_edge_are_taken_whole_and_padded_as_pyradiomics_does():
    (z, y, x), inner = wrapped_part((4, 5, 60), (slice(0, 3), slice(1, 5), slice(20, 24)))
    assert z.tolist() == [0, 1, 2, 3]
    assert y.tolist() == [0, 1, 2, 3, 4, 0]
    assert x.tolist() == list(range(12, 32))
    assert inner == (slice(0, 3), slice(1, 5), slice(8, 12))
    assert wrapped_part((60, 60, 60), (slice(20, 30),) * 3) is None


def test_image_types_expand_and_are_checked():
    assert len(expand_image_types(["original", "wavelet"])) == 9
    assert log_sigma_mm("log-sigma-2-5-mm-3D") == 2.5
    for wrong in (["magic"], ["original", "original"], ["log-sigma-0-0-mm-3D"], ["lbp-3D"], ["wavelet", "wavelet-LLL"]):
        with pytest.raises(InputError, match="image type"):
            expand_image_types(wrong)


def test_missing_pywavelets_is_said_clearly(monkeypatch):
    monkeypatch.setitem(sys.modules, "pywt", None)
    image = np.zeros((20, 20, 20), np.float32)
    patch = cut_patch(image, (slice(9, 11),) * 3, (8, 8, 8), (1, 1, 1))
    with pytest.raises(InputError, match="PyWavelets"):
        next(filtered_images(patch, ["wavelet-LLL"]))
