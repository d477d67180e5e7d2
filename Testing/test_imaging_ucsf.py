"""The real exam UCSF-BR-06 against the maps and the volume that its own institution computed."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest

from SubregionHabitatLib.analysis import analyze_imaging
from SubregionHabitatLib.masks import read_region
from support.data import require_data


def _institution_map(folder: str) -> np.ndarray:
    """A derived map as (Z, Y, X), sorted along the slice normal without the reader under test."""
    files = [pydicom.dcmread(p) for p in sorted(require_data("ucsf-br-06", folder).glob("*.dcm"))]
    cosines = np.array(files[0].ImageOrientationPatient, float).reshape(2, 3)
    normal = np.cross(cosines[0], cosines[1])
    files.sort(key=lambda f: float(np.dot(np.array(f.ImagePositionPatient, float), normal)))
    return np.stack([f.pixel_array * float(f.get("RescaleSlope", 1.0)) for f in files])


@pytest.fixture(scope="module")
def result(ucsf_exam):
    voi = read_region(require_data("ucsf-br-06", "mask"), ucsf_exam.geometry, "VOI")
    return analyze_imaging(ucsf_exam, voi=voi)


def test_the_dynamic_series_is_found_beside_derived_maps(ucsf_exam):
    assert ucsf_exam.source.n_files == 180
    assert ucsf_exam.signal.shape == (3, 60, 256, 256)
    assert ucsf_exam.times_s == (0.0, 407.0, 761.0)
    assert ucsf_exam.timing.source == "ContentTime"
    left_out = " ".join(ucsf_exam.source.left_out)
    assert left_out.count("a derived image") == 2
    assert "modality SEG" in left_out
    assert ucsf_exam.geometry.spacing_mm == pytest.approx((0.703125, 0.703125, 2.0), abs=1e-5)


def test_pe_early_equals_the_institutions_map_on_every_voxel(result):
    reference = _institution_map("image_dce_pe1")
    positive = reference > 0
    assert positive.sum() == 151_027
    assert np.array_equal(np.floor(result.maps.pe_early[positive]), reference[positive])


def test_ser_agrees_with_the_institutions_map(result):
    reference = _institution_map("image_dce_ser")
    positive = reference > 0
    assert positive.sum() == 41_596
    difference = np.abs(result.maps.ser[positive].astype(np.float64) - reference[positive])
    # UCSF stores SER in steps of 0.001, so rounding alone reaches 0.0005; 1e-6 is float32's own rounding.
    within = difference <= 0.0005 + 1e-6
    assert within.mean() >= 0.999
    assert (result.maps.ser[positive][~within] > 3).all()


def test_functional_tumor_volume_over_the_voi(result, ucsf_exam):
    reference = _institution_map("image_dce_ser") > 0
    found = result.lesion.ftv.mask
    dice = 2 * (found & reference).sum() / (found.sum() + reference.sum())
    assert dice >= 0.99
    assert result.lesion.ftv_cc == pytest.approx(41.1, rel=0.02)
    assert result.lesion.ftv.background_signal is None
    assert result.lesion.volume_cc < result.lesion.ftv_cc
    assert result.lesion.made_by == "ftv"


def test_applying_the_background_threshold_twice_would_lose_volume(ucsf_exam, result):
    """The figure the specification gives for the mistake: 35.7 cc."""
    from SubregionHabitatLib.lesion import FtvParameters, functional_tumor_volume

    voi = read_region(require_data("ucsf-br-06", "mask"), ucsf_exam.geometry, "VOI")
    twice = functional_tumor_volume(ucsf_exam.signal[0], result.maps, voi, FtvParameters(background="on"))
    assert twice.background_signal == pytest.approx(40.8)
    assert twice.mask.sum() * ucsf_exam.geometry.voxel_volume_mm3 / 1000 == pytest.approx(35.7, abs=0.1)
