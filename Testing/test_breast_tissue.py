"""Fibroglandular tissue, its enhancement and the reference regions of radiomics, against simulated truth."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pytest

from SubregionHabitatLib.background_enhancement import THRESHOLDS_PERCENT, background_enhancement
from SubregionHabitatLib.breast_mask import BreastMask, breast_mask
from SubregionHabitatLib.errors import Cancelled, InputError
from SubregionHabitatLib.fat_reference import FatReference
from SubregionHabitatLib.fibroglandular import (
    FibroglandularParameters,
    FibroglandularTissue,
    fibroglandular_tissue,
    lesion_side,
    parenchyma_regions,
)
from SubregionHabitatLib.ring import peritumoral_ring
from SubregionHabitatLib.simulation import PulseSequence, SimulationParameters, simulate_exam
from support.data import require_data
from support.exams import make_geometry

FIBROGLANDULAR = 3
GRID = {"shape": (48, 110, 110), "spacing_mm": (1.5, 1.5, 2.8), "phase_starts_s": (0.0, 130.0, 220.0)}
BOTH = {"shape": (44, 90, 200), "spacing_mm": (1.8, 1.8, 3.0), "orientation": "axial", "bilateral": True}
BRIGHT_FAT = {"sequence": PulseSequence(fat_signal_share=1.0), "bits_stored": 16}
EXAMS = {
    "suppressed": {"seed": 1},
    "suppressed, bias field": {"seed": 3, "bias_field": 0.3},
    "bright": {"seed": 5, "bias_field": 0.3, **BRIGHT_FAT},
    "dense": {"seed": 8, "fibroglandular_share": 0.5},
    "bilateral": {"seed": 12, **BOTH},
    "bilateral right": {"seed": 13, "laterality": "R", **BOTH, **BRIGHT_FAT},
}


@functools.lru_cache(maxsize=6)
def measured(name):
    truth = simulate_exam(SimulationParameters(**{**GRID, **EXAMS[name]}))
    exam = truth.exam
    breast = breast_mask(exam.signal, exam.geometry)
    ring = peritumoral_ring(truth.truth_lesion, exam.geometry, 5.0).mask
    tissue = fibroglandular_tissue(exam.signal[0], exam.geometry, breast, truth.truth_lesion | ring)
    return truth, breast, ring, tissue


def percent_enhancement(signal):
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(signal[0] > 0, 100 * (signal[1] - signal[0]) / signal[0], np.nan)


def dice(a, b):
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


@pytest.mark.parametrize("name", EXAMS)
def test_tissue_agrees_with_the_truth(name):
    truth, breast, ring, tissue = measured(name)
    expected = (truth.truth_tissue == FIBROGLANDULAR) & ~ring
    assert dice(tissue.mask, expected) >= 0.92
    assert tissue.reason is None
    assert tissue.notes == ()
    assert not (tissue.mask & (truth.truth_lesion | ring)).any()
    assert not (tissue.mask & ~breast.breast).any()
    assert (tissue.gland_level > tissue.border > tissue.fat_level) == truth.parameters.sequence.fat_suppressed


def test_fatty_breast_keeps_its_little_tissue():
    truth = simulate_exam(SimulationParameters(**GRID, seed=9, fibroglandular_share=0.04))
    breast = breast_mask(truth.exam.signal, truth.exam.geometry)
    tissue = fibroglandular_tissue(truth.exam.signal[0], truth.exam.geometry, breast, truth.truth_lesion)
    # Ligaments and vessels, which the truth does not count, are a larger part of so little tissue.
    assert dice(tissue.mask, truth.truth_tissue == FIBROGLANDULAR) > 0.84


@pytest.mark.parametrize("name", ["suppressed", "bright", "bilateral"])
def test_enhancement_agrees_with_the_noiseless_truth(name):
    truth, breast, ring, tissue = measured(name)
    results = background_enhancement(
        percent_enhancement(truth.exam.signal), tissue, truth.truth_lesion, truth.exam.geometry, breast, ring
    )
    noiseless = percent_enhancement(truth.noiseless)
    for result in results:
        part = breast.sides or {truth.parameters.laterality: breast.breast}
        assert result.missing == {}
        assert 0 <= result.tissue_share <= 1
        assert len(part) == len(results)
    ipsilateral = results[0]
    true_tissue = (truth.truth_tissue == FIBROGLANDULAR) & ~ring
    if breast.sides:
        true_tissue &= breast.sides["left"]
    assert ipsilateral.side == "ipsilateral"
    assert ipsilateral.median_percent == pytest.approx(np.median(noiseless[true_tissue]), abs=1.5)
    assert ipsilateral.tissue_cc == pytest.approx(
        true_tissue.sum() * truth.exam.geometry.voxel_volume_mm3 / 1000, rel=0.15
    )
    assert ipsilateral.lesion_percent == pytest.approx(noiseless[truth.truth_lesion].mean(), rel=0.02)
    assert ipsilateral.lesion_to_background == ipsilateral.lesion_percent / ipsilateral.mean_percent
    shares = [ipsilateral.share_above[t] for t in THRESHOLDS_PERCENT]
    assert shares == sorted(shares, reverse=True)


def test_bilateral_exams_have_both_sides_and_the_lesions_is_ipsilateral():
    for name, side in (("bilateral", "left"), ("bilateral right", "right")):
        truth, breast, ring, tissue = measured(name)
        assert lesion_side(truth.truth_lesion, truth.exam.geometry, breast) == side
        regions = parenchyma_regions(truth.truth_lesion, ring, tissue, truth.exam.geometry, breast)
        assert list(regions) == ["tumor", "peritumor_ring", "ipsilateral_parenchyma", "contralateral_parenchyma"]
        other = {"left": "right", "right": "left"}[side]
        assert not (regions["ipsilateral_parenchyma"] & ~breast.sides[side]).any()
        assert not (regions["contralateral_parenchyma"] & ~breast.sides[other]).any()
        assert sum(mask.astype(int) for mask in regions.values()).max() == 1


def test_single_breast_has_no_contralateral_region():
    truth, breast, ring, tissue = measured("suppressed")
    regions = parenchyma_regions(truth.truth_lesion, ring, tissue, truth.exam.geometry, breast)
    assert list(regions) == ["tumor", "peritumor_ring", "ipsilateral_parenchyma"]


def hand_made(shape=(4, 10, 10)):
    """A breast, a tissue of 100 voxels and a lesion of 40 whose numbers can be worked out by hand."""
    geometry = make_geometry(shape, spacing=(1.0, 2.0, 2.5))
    grid = make_geometry((4, 4, 4), spacing=(25.0, 25.0, 25.0))
    fat = FatReference(np.ones(grid.shape, dtype=np.float32), True, 1.0, 2.0)
    nothing = np.zeros(shape, dtype=bool)
    breast = BreastMask(np.ones(shape, dtype=bool), nothing, nothing, {}, "left", fat, grid, 0.0, "automatic")
    tissue, lesion = nothing.copy(), nothing.copy()
    tissue[0], lesion[2, :4] = True, True
    return geometry, breast, FibroglandularTissue(tissue, 1.0, 3.0, 2.0), lesion


def test_numbers_by_hand():
    geometry, breast, tissue, lesion = hand_made()
    pe = np.zeros(geometry.shape)
    pe[0] = np.arange(100).reshape(10, 10)
    pe[0, 0, 0] = np.nan
    pe[lesion] = 150.0
    (result,) = background_enhancement(pe, tissue, lesion, geometry, breast)
    assert result.breast_cc == pytest.approx(400 * 5 / 1000)
    assert result.tissue_cc == pytest.approx(0.5)
    assert result.tissue_share == pytest.approx(0.25)
    assert result.mean_percent == pytest.approx(50.0)
    assert result.median_percent == pytest.approx(50.0)
    assert result.share_above[10] == pytest.approx(89 / 99)
    assert result.share_above[90] == pytest.approx(9 / 99)
    assert result.share_above[100] == 0
    assert result.lesion_to_background == pytest.approx(3.0)
    assert result.to_json()["share_above_percent"]["90"] == pytest.approx(9 / 99, abs=1e-4)


def test_what_cannot_be_computed_is_missing_with_a_reason():
    geometry, breast, tissue, lesion = hand_made()
    still = np.full(geometry.shape, 0.2)
    (result,) = background_enhancement(still, tissue, lesion, geometry, breast)
    assert result.lesion_to_background is None
    assert "a ratio to it says nothing" in result.missing["lesion_to_background"]
    undefined = np.where(lesion, np.nan, 20.0)
    (result,) = background_enhancement(undefined, tissue, lesion, geometry, breast)
    assert result.lesion_percent is None
    assert result.mean_percent == 20.0
    assert result.missing["lesion_to_background"] == "enhancement is undefined in the whole lesion"
    few = dataclasses.replace(tissue, mask=tissue.mask & (np.indices(geometry.shape)[1] < 3))
    (result,) = background_enhancement(np.full(geometry.shape, 20.0), few, lesion, geometry, breast)
    assert result.mean_percent is None
    assert "30 voxels with enhancement, under 50" in result.missing["mean_percent"]
    none = FibroglandularTissue(np.zeros(geometry.shape, dtype=bool), None, None, None, "parenchyma cannot be told")
    (result,) = background_enhancement(np.full(geometry.shape, 20.0), none, lesion, geometry, breast)
    assert result.tissue_cc is None
    assert result.missing["fibroglandular_cc"] == "parenchyma cannot be told"
    assert result.to_json()["fibroglandular_share"] is None


def test_even_breast_has_no_tissue_and_says_why():
    rng = np.random.default_rng(0)
    geometry, breast, _, _ = hand_made((20, 30, 30))
    pre = rng.normal(1.0, 0.05, geometry.shape).astype(np.float32)
    tissue = fibroglandular_tissue(pre, geometry, breast)
    assert not tissue.mask.any()
    assert tissue.reason == "hardly any tissue in the breast differs from fat"
    dark = fibroglandular_tissue(pre * 0.1, geometry, breast)
    assert dark.reason == "the breast holds too little fat to tell parenchyma from it"


def test_border_lies_halfway_between_fat_and_tissue():
    geometry, breast, _, _ = hand_made((20, 30, 30))
    rng = np.random.default_rng(1)
    share = np.clip((np.indices(geometry.shape)[2] - 15) / 10 + 0.5, 0, 1)
    pre = (1 + 2 * share + rng.normal(0, 0.02, geometry.shape)).astype(np.float32)
    parameters = FibroglandularParameters(smoothing_mm=0.0, skin_margin_mm=0.0)
    tissue = fibroglandular_tissue(pre, geometry, breast, parameters=parameters)
    assert tissue.fat_level == pytest.approx(1.0, abs=0.05)
    assert tissue.border == pytest.approx((tissue.fat_level + tissue.gland_level) / 2, abs=1e-3)
    assert tissue.gland_level == pytest.approx(3.0, abs=0.1)
    assert np.array_equal(tissue.mask[:, :, :14].any(axis=(0, 1)), np.zeros(14, dtype=bool))
    assert tissue.mask[:, :, 17:].all()


class Stop:
    def step(self, fraction, message):
        raise Cancelled


def test_refusals_and_cancel():
    geometry, breast, _, lesion = hand_made()
    pre = np.ones(geometry.shape, dtype=np.float32)
    with pytest.raises(Cancelled):
        fibroglandular_tissue(pre, geometry, breast, progress=Stop())
    with pytest.raises(InputError, match=r"The pre-contrast image has the array shape .* bring it onto its grid"):
        fibroglandular_tissue(pre[1:], geometry, breast)
    with pytest.raises(InputError, match=r"The excluded region has the array shape"):
        fibroglandular_tissue(pre, geometry, breast, lesion[1:])
    with pytest.raises(InputError, match=r"fibroglandular parameter border_share must lie between 0.2 and 0.8"):
        FibroglandularParameters(border_share=0.9)
    both = dataclasses.replace(breast, side="both", midline_mm=0.0, sides={"left": lesion, "right": lesion})
    with pytest.raises(InputError, match=r"The lesion is empty, so its side is unknown; draw the lesion"):
        lesion_side(np.zeros_like(lesion), geometry, both)


def test_real_sagittal_exam():
    from SubregionHabitatLib.exam_files import read_exam

    exam = read_exam([require_data("ucsf-br-06", "image_dce_3dfgre_orig")])
    breast = breast_mask(exam.signal, exam.geometry)
    tissue = fibroglandular_tissue(exam.signal[0], exam.geometry, breast)
    # Bright parenchyma seen in the image at slice 24; plain fat in front of the muscle at slice 31.
    assert tissue.mask[24, 95:120, 85:100].mean() > 0.8
    assert tissue.mask[31, 105:115, 150:170].mean() < 0.05
    assert 0.05 < tissue.mask.sum() / breast.breast.sum() < 0.15
