"""The simulated exam: exact truth, anatomy, promised kinetics, seeds and refusals."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from SubregionHabitatLib.errors import InputError
from SubregionHabitatLib.simulation import (
    DEFAULT_ZONES,
    TISSUE_NAMES,
    PulseSequence,
    SimulatedLesion,
    SimulationParameters,
    Tissue,
    simulate_exam,
)

SMALL = {"shape": (32, 80, 80), "spacing_mm": (2.0, 2.0, 4.0)}


@pytest.fixture(scope="module")
def default():
    return simulate_exam(SimulationParameters(seed=7))


def lesion_of_radii(radii, pattern="core_and_sectors", shares=(0.25, 0.35, 0.40)):
    return SimulatedLesion((0.0, 0.0, 0.0), radii, pattern, shares, 30.0, 2)


def fine_points(radii, step):
    axes = [np.arange(-r, r, step) + step / 2 for r in radii]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)


@pytest.mark.parametrize("pattern", ["core_and_sectors", "concentric", "slabs"])
def test_zone_volumes_are_the_shares_of_the_ellipsoid(pattern):
    lesion = lesion_of_radii((8.0, 10.0, 13.0), pattern)
    counts = np.bincount(lesion.zone_at(fine_points(lesion.radii_mm, 0.25)).ravel(), minlength=4)[1:]
    assert lesion.volume_mm3 == pytest.approx(4 / 3 * math.pi * 8 * 10 * 13)
    np.testing.assert_allclose(counts * 0.25**3, lesion.zone_volumes_mm3, rtol=0.003)


def test_an_empty_zone_share_leaves_that_zone_out():
    for pattern in ("core_and_sectors", "concentric", "slabs"):
        lesion = lesion_of_radii((9.0, 9.0, 9.0), pattern, (0.0, 0.4, 0.6))
        assert set(np.unique(lesion.zone_at(fine_points(lesion.radii_mm, 0.5)))) == {0, 2, 3}


def test_ring_volume_of_a_sphere_and_of_a_prolate_spheroid():
    sphere = lesion_of_radii((11.0, 11.0, 11.0))
    assert sphere.ring_volume_mm3(5.0) == pytest.approx(4 / 3 * math.pi * (16**3 - 11**3), rel=1e-12)
    a, c, d = 8.0, 14.0, 5.0
    focal = math.sqrt(c * c - a * a)
    surface = 2 * math.pi * a * a * (1 + c * c / (a * focal) * math.asin(focal / c))
    curvature = 2 * math.pi * (c + a * a / focal * math.log((c + focal) / a))
    expected = surface * d + curvature * d**2 + 4 / 3 * math.pi * d**3
    assert lesion_of_radii((a, a, c)).ring_volume_mm3(d) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    "grid",
    [
        {},
        {"orientation": "axial"},
        {"oblique_deg": (8.0, -5.0, 12.0), "laterality": "R"},
        {"spacing_mm": (0.9, 0.9, 3.0), "shape": (48, 180, 180)},
    ],
)
def test_lesion_truth_fits_the_analytic_shape(grid):
    simulated = simulate_exam(SimulationParameters(**grid))
    geometry, lesion = simulated.exam.geometry, simulated.lesion
    voxel = geometry.voxel_volume_mm3
    sampled = simulated.zone_shares.sum(axis=(1, 2, 3), dtype=np.float64) * voxel
    np.testing.assert_allclose(sampled, lesion.zone_volumes_mm3, rtol=0.01)
    assert sampled.sum() == pytest.approx(lesion.volume_mm3, rel=0.003)
    assert simulated.truth_lesion.sum() * voxel == pytest.approx(lesion.volume_mm3, rel=0.03)
    centroid = geometry.lps_of(np.argwhere(simulated.truth_lesion)).mean(axis=0)
    np.testing.assert_allclose(centroid, lesion.center_mm, atol=0.25)
    np.testing.assert_array_equal(
        lesion.zone_at(geometry.lps_of(np.argwhere(simulated.truth_lesion))),
        simulated.truth_zones[simulated.truth_lesion],
    )
    assert simulated.ring_inside_breast


def test_the_grid_does_not_change_the_anatomy():
    """Every second voxel of a fine grid lies on a coarse grid; both hold the same tissue and zones there."""
    fine = simulate_exam(SimulationParameters(shape=(65, 161, 161), spacing_mm=(1.0, 1.0, 2.0), noise_sigma=0.0))
    coarse = simulate_exam(SimulationParameters(shape=(33, 81, 81), spacing_mm=(2.0, 2.0, 4.0), noise_sigma=0.0))
    np.testing.assert_array_equal(fine.truth_zones[::2, ::2, ::2], coarse.truth_zones)
    assert (fine.truth_tissue[::2, ::2, ::2] == coarse.truth_tissue).mean() > 0.9999
    difference = np.abs(fine.noiseless[:, ::2, ::2, ::2] - coarse.noiseless)
    assert np.quantile(difference, 0.999) < 0.1


def test_slices_lie_as_their_name_says():
    sagittal = simulate_exam(SimulationParameters(**SMALL)).exam.geometry.direction_matrix
    np.testing.assert_array_equal(sagittal, [[0, 0, -1], [1, 0, 0], [0, -1, 0]])
    axial = simulate_exam(SimulationParameters(orientation="axial", **SMALL)).exam.geometry.direction_matrix
    np.testing.assert_array_equal(axial, np.eye(3))


def test_left_and_right_breast_lie_on_their_side():
    for side, sign in (("L", 1), ("R", -1)):
        simulated = simulate_exam(SimulationParameters(laterality=side, **SMALL))
        points = simulated.exam.geometry.lps_of(np.argwhere(simulated.truth_breast))
        assert (sign * points[:, 0] > 0).all()


def test_from_air_over_skin_to_the_chest(default):
    """Along a line from the front through the lesion, tissues come in the order of a breast."""
    z, y, _ = np.round(default.exam.geometry.index_of(np.array([default.lesion.center_mm]))[0]).astype(int)
    names = [TISSUE_NAMES[code] for code in default.truth_tissue[z, y]]
    order = [names.index(name) for name in ("air", "skin", "lesion", "muscle", "lung")]
    assert order == sorted(order)
    assert not default.truth_breast[np.isin(default.truth_tissue, [0, 1, 4, 5, 6])].any()
    assert default.truth_breast[default.truth_lesion].all()


def test_parenchyma_has_the_share_asked_for():
    for share in (0.0, 0.1, 0.3):
        simulated = simulate_exam(SimulationParameters(fibroglandular_share=share, vessels=False, **SMALL))
        away = simulated.truth_breast & ~simulated.truth_lesion
        found = (simulated.truth_tissue[away] == TISSUE_NAMES.index("fibroglandular")).mean()
        assert found == pytest.approx(share, abs=0.04)


def test_two_breasts_hold_one_lesion():
    simulated = simulate_exam(
        SimulationParameters(bilateral=True, orientation="axial", shape=(32, 80, 160), spacing_mm=(2.0, 2.0, 4.0))
    )
    geometry = simulated.exam.geometry
    x = geometry.lps_of(np.argwhere(simulated.truth_breast))[:, 0]
    assert 0.8 < (x > 0).sum() / (x < 0).sum() < 1.25
    assert (geometry.lps_of(np.argwhere(simulated.truth_lesion))[:, 0] > 0).all()


def test_region_of_interest_holds_the_lesion_and_stays_in_the_breast(default):
    assert default.voi[default.truth_lesion].all()
    assert not default.voi[~default.truth_breast].any()
    assert 3 < default.voi.sum() / default.truth_lesion.sum() < 20
    blood = default.truth_tissue == TISSUE_NAMES.index("blood")
    assert not (default.voi & blood).any()


def test_zones_rise_in_perfusion_and_have_their_curves(default):
    pre, *post = default.noiseless[:, default.truth_lesion].astype(np.float64)
    zones = default.truth_zones[default.truth_lesion]
    peak = np.max(post, axis=0)
    minutes = np.array(default.exam.times_s)[1:] / 60
    early, late = 100 * (post[1] / pre - 1), 100 * (post[3] / pre - 1)
    maps = {
        "PE": 100 * (peak / pre - 1),
        "WIS": (peak / pre - 1) / minutes[np.argmax(post, axis=0)],
        "SER": early / late,
        "wash-out": (peak - post[3]) / pre,
    }
    for name, values in maps.items():
        means = [values[zones == zone].mean() for zone in (1, 2, 3)]
        assert means[0] < means[1] < means[2], (name, means)
    for zone in (1, 2, 3):
        assert early[zones == zone].min() > 80
    assert maps["SER"][zones == 1].max() < 0.95
    moderate = maps["SER"][zones == 2].mean()
    assert 0.95 < moderate < 1.2
    assert maps["SER"][zones == 3].min() > 1.1


def test_background_enhances_little(default):
    pre, post = default.noiseless[0].astype(np.float64), default.noiseless[1:].max(axis=0)
    for name, most in (("fibroglandular", 30), ("fat", 25), ("muscle", 20), ("skin", 30)):
        region = default.truth_tissue == TISSUE_NAMES.index(name)
        assert 100 * (post[region] / pre[region] - 1).max() < most, name


def test_default_noise_gives_the_signal_to_noise_ratio_of_a_scanner(default):
    parenchyma = default.truth_tissue == TISSUE_NAMES.index("fibroglandular")
    noise = (default.exam.signal[0] - default.noiseless[0])[parenchyma]
    assert noise.std() == pytest.approx(8.0, rel=0.02)
    assert 25 < default.noiseless[0][parenchyma].mean() / noise.std() < 40


def test_signal_holds_the_integers_of_the_pixels(default):
    signal = default.exam.signal
    assert signal.dtype == np.float32
    np.testing.assert_array_equal(signal, np.rint(signal))
    assert signal.min() >= 0
    assert signal.max() <= 4095


def test_without_noise_the_exam_is_the_rounded_truth():
    simulated = simulate_exam(SimulationParameters(noise_sigma=0.0, **SMALL))
    np.testing.assert_array_equal(simulated.exam.signal, np.rint(simulated.noiseless))


def test_seed_decides_everything():
    first, again = (simulate_exam(SimulationParameters(seed=4, **SMALL)) for _ in range(2))
    other = simulate_exam(SimulationParameters(seed=5, **SMALL))
    assert first.exam.signal.tobytes() == again.exam.signal.tobytes()
    assert first.truth_tissue.tobytes() == again.truth_tissue.tobytes()
    assert (first.truth_tissue != other.truth_tissue).mean() > 0.01
    assert (first.exam.signal != other.exam.signal).mean() > 0.5


def test_noise_and_field_leave_the_truth_alone():
    plain = simulate_exam(SimulationParameters(seed=4, **SMALL))
    noisy = simulate_exam(SimulationParameters(seed=4, noise_sigma=20.0, **SMALL))
    np.testing.assert_array_equal(plain.noiseless, noisy.noiseless)
    field = simulate_exam(SimulationParameters(seed=4, bias_field=0.3, **SMALL))
    np.testing.assert_array_equal(plain.truth_tissue, field.truth_tissue)
    body = plain.noiseless[0] > 0
    ratio = field.noiseless[:, body] / plain.noiseless[:, body]
    np.testing.assert_allclose(ratio, ratio[:1].repeat(len(ratio), axis=0), rtol=1e-5)
    assert 1.05 < ratio.max() <= 1.3001
    assert 1 / 1.3001 <= ratio.min() < ratio.max() - 0.1


def test_heterogeneity_scales_the_contrast_between_zones():
    none = SimulationParameters(heterogeneity=0.0).effective_zones()
    assert len({round(zone.ktrans_per_min, 12) for zone in none}) == 1
    logarithms = [math.log(zone.ktrans_per_min) for zone in DEFAULT_ZONES]
    expected = math.exp(0.25 * logarithms[0] + 0.35 * logarithms[1] + 0.40 * logarithms[2])
    assert none[0].ktrans_per_min == pytest.approx(expected)
    full = SimulationParameters().effective_zones()
    for found, given in zip(full, DEFAULT_ZONES, strict=True):
        np.testing.assert_allclose(dataclasses.astuple(found), dataclasses.astuple(given), rtol=1e-12)


def test_partial_volume_mixes_only_at_borders():
    hard = simulate_exam(SimulationParameters(noise_sigma=0.0, **SMALL))
    soft = simulate_exam(SimulationParameters(noise_sigma=0.0, partial_volume=True, **SMALL))
    pure = (hard.zone_shares == 1).any(axis=0) | (hard.zone_shares.sum(axis=0) == 0)
    mixed = ~pure
    np.testing.assert_allclose(soft.noiseless[:, pure], hard.noiseless[:, pure], rtol=0.15)
    assert np.abs(soft.noiseless[2, mixed] - hard.noiseless[2, mixed]).mean() > 20
    np.testing.assert_array_equal(hard.truth_zones, soft.truth_zones)


def test_fat_is_bright_without_suppression():
    sequence = PulseSequence(fat_signal_share=1.0, gain=5000.0)
    simulated = simulate_exam(SimulationParameters(sequence=sequence, **SMALL))
    fat, gland = (
        simulated.noiseless[0][simulated.truth_tissue == TISSUE_NAMES.index(name)].mean()
        for name in ("fat", "fibroglandular")
    )
    assert fat > 1.5 * gland


def test_a_ring_that_meets_the_skin_is_reported():
    simulated = simulate_exam(SimulationParameters(lesion_center_mm=(10.0, 70.0, 5.0), **SMALL))
    assert not simulated.ring_inside_breast


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"lesion_center_mm": (10.0, 95.0, 0.0)}, "leaves the breast"),
        ({"lesion_radii_mm": (0.2, 0.2, 0.2)}, "no voxel centre"),
        ({"sequence": PulseSequence(gain=90000.0)}, "lower the gain"),
    ],
)
def test_impossible_exams_are_refused(values, words):
    with pytest.raises(InputError, match=words):
        simulate_exam(SimulationParameters(**SMALL, **values))


@pytest.mark.parametrize(
    "values",
    [
        {"seed": -1},
        {"shape": (1, 80, 80)},
        {"spacing_mm": (1.0, 0.0, 2.0)},
        {"orientation": "coronal"},
        {"laterality": "B"},
        {"lesion_radii_mm": (11.0, -1.0, 11.0)},
        {"zone_pattern": "stripes"},
        {"zone_shares": (0.5, 0.5, 0.5)},
        {"heterogeneity": 3.0},
        {"phase_starts_s": (0.0,)},
        {"phase_starts_s": (0.0, 60.0, 220.0)},
        {"injection_s": 10.0},
        {"noise_sigma": -1.0},
        {"noise_sigma": math.nan},
        {"bias_field": 2.0},
        {"bits_stored": 8},
        {"background_tissues": {}},
    ],
)
def test_parameters_out_of_range_are_refused(values):
    with pytest.raises(InputError):
        SimulationParameters(**values)


def test_impossible_tissues_and_sequences_are_refused():
    with pytest.raises(InputError, match="ve"):
        Tissue(ktrans_per_min=0.1, ve=0.0, vp=0.0, t1_s=1.0)
    with pytest.raises(InputError, match="repetition time"):
        PulseSequence(repetition_time_ms=1.0, echo_time_ms=2.0)
