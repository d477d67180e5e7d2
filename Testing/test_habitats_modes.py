"""Habitats of one lesion: per tumour and two-level, undefined maps, invariance to voxel order and orientation."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

from SubregionHabitatLib.errors import Cancelled, InputError
from SubregionHabitatLib.exam import DceExam
from SubregionHabitatLib.geometry import Geometry
from SubregionHabitatLib.habitats import (
    HABITAT_FEATURES,
    HabitatParameters,
    find_habitats,
    habitats_per_tumour,
    habitats_two_level,
)
from SubregionHabitatLib.kinetics import compute_maps
from SubregionHabitatLib.lesion import FtvParameters, functional_tumor_volume, lesion_from_ftv
from SubregionHabitatLib.masks import read_region
from SubregionHabitatLib.simulation import SimulationParameters, simulate_exam
from SubregionHabitatLib.timing import PhaseChoice, choose_early_late
from support.data import require_data
from support.exams import make_exam
from support.zone_exams import slabs, zone_exam, zone_maps

TWO_LEVEL = HabitatParameters(mode="two_level")


# ---- parameters ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 1}, r"k in 2\.\.6"),
        ({"seed": -1}, "seed >= 0"),
        ({"winsor_percent": 50}, r"winsor_percent in \[0, 50\)"),
        ({"mode": "global"}, "habitat mode 'global' is unknown"),
        ({"second_level": "dbscan"}, "second level 'dbscan' is unknown"),
        ({"choose_k": "elbow"}, "way to choose k 'elbow' is unknown"),
        ({"features": ("ser", "adc")}, "features ser, adc are not usable"),
        ({"features": ()}, r"features \(none\) are not usable"),
        ({"features": ("ser", "ser")}, "at most once"),
        ({"max_voxels_per_exam": 20}, r"max_voxels_per_exam of at least 10 k"),
        ({"choose_k_rows": 10}, "choose_k_rows of at least 100"),
        ({"supervoxels": 5}, "between 2 k and 1000"),
        ({"compactness": float("nan")}, "compactness must be a number >= 0"),
    ],
)
def test_habitat_parameters_out_of_range_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        HabitatParameters(**change)


def test_features_come_back_from_json_in_their_fixed_order():
    parameters = HabitatParameters(features=["pe_peak", "wis"])
    assert parameters.features == ("wis", "pe_peak")
    assert HabitatParameters(**dataclasses.asdict(parameters)) == parameters


# ---- per tumour ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("k", [2, 4, 5, 6])
def test_other_numbers_of_habitats_are_numbered_in_order_of_perfusion(k):
    habitats = habitats_per_tumour(zone_maps(slabs(), noise=6.0), np.ones((12, 6, 6), bool), HabitatParameters(k=k))
    assert habitats.names == tuple(f"habitat {i + 1}" for i in range(k))
    assert set(np.unique(habitats.labels)) == set(range(1, k + 1))
    means = habitats.centres_z.mean(axis=1)
    assert (np.diff(means) > 0).all()
    assert sum(habitats.volumes_cc) == pytest.approx(0.432)


def test_order_follows_mean_z_and_not_monotone_is_said():
    # The zone that washes out fastest enhances least: WIS and PE fall where SER and wash-out rise.
    curves = np.array([[100, 200, 210, 220], [100, 260, 262, 262], [100, 190, 150, 130]], float)
    zones = slabs()
    maps = compute_maps(zone_exam(zones, 1.0, curves=curves), PhaseChoice(1, 3, "test"))
    habitats = habitats_per_tumour(maps, np.ones(zones.shape, bool))
    assert not habitats.monotone
    order = np.argsort(habitats.centres_z.mean(axis=1))
    assert order.tolist() == [0, 1, 2]
    for label in (1, 2, 3):
        inside = habitats.labels == label
        expected = [np.mean(m[inside]) for m in (maps.wis, -maps.wos, maps.ser, maps.pe_peak)]
        assert habitats.centres[label - 1] == pytest.approx(expected, rel=1e-5)


def test_without_times_habitats_rest_on_what_is_defined_and_say_so():
    zones = slabs()
    exam = zone_exam(zones)
    untimed = dataclasses.replace(exam, timing=dataclasses.replace(exam.timing, known=False))
    maps = compute_maps(untimed, PhaseChoice(1, 3, "test"))
    assert np.isnan(maps.wis).all()
    for parameters in (HabitatParameters(), TWO_LEVEL):
        habitats = find_habitats(maps, np.ones(zones.shape, bool), parameters)
        assert habitats.features == ("ser", "pe_peak")
        assert np.array_equal(habitats.labels, zones)
        assert np.isnan(habitats.centres[:, :2]).all()
        assert np.isnan(habitats.centres_z[:, :2]).all()
        assert np.isfinite(habitats.centres[:, 2:]).all()
        assert habitats.n_filled == 0
        assert list(habitats.scaling) == ["ser", "pe_peak"]
        assert habitats.notes[0].startswith("Habitats rest on ser, pe_peak alone: wis, washout_rate is undefined")
    with pytest.raises(InputError, match="feature wis is undefined in the whole lesion; give the phase times"):
        habitats_per_tumour(maps, np.ones(zones.shape, bool), HabitatParameters(features=("wis", "ser")))


def test_chosen_features_alone_decide():
    zones = slabs()
    maps = zone_maps(zones)
    noise = np.random.default_rng(0).normal(size=zones.shape).astype(np.float32)
    spoiled = dataclasses.replace(maps, wis=noise, wos=noise[::-1])
    habitats = habitats_per_tumour(spoiled, np.ones(zones.shape, bool), HabitatParameters(features=("ser", "pe_peak")))
    assert np.array_equal(habitats.labels, zones)
    assert habitats.features == ("ser", "pe_peak")
    assert habitats.notes == ()


def test_refusals_name_the_lesion():
    maps = zone_maps(slabs())
    empty = np.zeros((12, 6, 6), bool)
    with pytest.raises(InputError, match="The lesion is empty, so it has no habitats"):
        find_habitats(maps, empty)
    with pytest.raises(InputError, match=r"array shape \(2, 2, 2\), the kinetic maps \(12, 6, 6\)"):
        find_habitats(maps, np.ones((2, 2, 2), bool))
    few = empty.copy()
    few[0, :, :4] = few[1, 0, :5] = True
    for parameters in (HabitatParameters(), TWO_LEVEL):
        with pytest.raises(
            InputError, match="29 voxels, 29 of them with defined kinetic maps; 3 habitats need at least 30"
        ):
            find_habitats(maps, few, parameters)
    dark = zone_exam(slabs())
    dark.signal[0] = 0.0
    with pytest.raises(InputError, match="432 voxels, 0 of them"):
        find_habitats(compute_maps(dark, PhaseChoice(1, 3, "test")), ~empty)
    with pytest.raises(InputError, match="mode 'cohort' need a fitted habitat model"):
        find_habitats(maps, ~empty, HabitatParameters(mode="cohort"))


def test_thirty_voxels_are_enough():
    lesion = np.zeros((12, 6, 6), bool)
    lesion[1::4, :2, :5] = True
    for parameters in (HabitatParameters(), TWO_LEVEL):
        habitats = find_habitats(zone_maps(slabs()), lesion, parameters)
        assert np.array_equal(habitats.labels[lesion], slabs()[lesion])
        assert not habitats.labels[~lesion].any()


def test_habitats_stop_when_asked():
    class Stop:
        def step(self, fraction, message):
            raise Cancelled

    for parameters in (HabitatParameters(), TWO_LEVEL):
        with pytest.raises(Cancelled):
            find_habitats(zone_maps(slabs()), np.ones((12, 6, 6), bool), parameters, progress=Stop())


@pytest.mark.parametrize("mode", ["per_tumour", "two_level"])
def test_progress_rises_to_the_end(mode):
    seen = []

    class Record:
        def step(self, fraction, message):
            seen.append(fraction)

    parameters = HabitatParameters(mode=mode, choose_k="silhouette")
    find_habitats(zone_maps(slabs()), np.ones((12, 6, 6), bool), parameters, progress=Record())
    assert seen == sorted(seen)
    assert 0 <= seen[0] < 0.1
    assert 0.5 < seen[-1] <= 1.0


# ---- two levels ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("second_level", ["ward", "kmeans"])
def test_two_level_finds_the_simulated_zones(simulated, simulated_imaging, second_level):
    parameters = HabitatParameters(mode="two_level", second_level=second_level)
    lesion = simulated.truth_lesion
    habitats = find_habitats(simulated_imaging.maps, lesion, parameters)
    assert adjusted_rand_score(simulated.truth_zones[lesion], habitats.labels[lesion]) >= 0.95
    assert np.mean(simulated.truth_zones[lesion] == habitats.labels[lesion]) >= 0.98
    assert habitats.monotone
    assert (habitats.mode, habitats.comparable) == ("two_level", False)
    assert 35 <= habitats.n_supervoxels <= 65


def test_two_level_withstands_noise_better_than_single_voxels():
    noisy = simulate_exam(SimulationParameters(seed=4, noise_sigma=30.0))
    maps = compute_maps(noisy.exam, choose_early_late(noisy.exam.times_s))
    lesion, truth = noisy.truth_lesion, noisy.truth_zones[noisy.truth_lesion]
    voxels = adjusted_rand_score(truth, habitats_per_tumour(maps, lesion).labels[lesion])
    parts = adjusted_rand_score(truth, habitats_two_level(maps, lesion).labels[lesion])
    assert parts > voxels


def test_every_supervoxel_lies_in_one_habitat_and_their_number_can_be_set():
    maps = zone_maps(slabs((12, 10, 10)), noise=30.0)
    lesion = np.ones((12, 10, 10), bool)
    habitats = habitats_two_level(maps, lesion, HabitatParameters(mode="two_level", supervoxels=24))
    assert 15 <= habitats.n_supervoxels <= 35
    assert habitats.parameters.supervoxels == 24


# ---- invariance ------------------------------------------------------------------------------------------------
def _turned(exam: DceExam, order, flips) -> DceExam:
    """The same physical exam stored with its axes in another order and direction."""
    signal = exam.signal.transpose(0, *(a + 1 for a in order))
    shape = np.array(exam.geometry.shape)
    matrix, spacing = exam.geometry.direction_matrix[:, ::-1], np.array(exam.geometry.spacing_zyx)
    start = np.where(flips, shape - 1, 0)
    origin = exam.geometry.lps_of(start[None])[0]
    columns = matrix * np.where(flips, -1, 1)
    # Axis `a` of the new array is old axis order[a].
    signal = np.flip(signal, [1 + order.index(a) for a in range(3) if flips[a]])
    geometry = Geometry(
        tuple(signal.shape[1:]),
        tuple(float(s) for s in spacing[list(order)][::-1]),
        tuple(float(v) for v in origin),
        tuple(float(v) for v in columns[:, list(order)][:, ::-1].ravel()),
    )
    return dataclasses.replace(exam, signal=np.ascontiguousarray(signal), geometry=geometry)


def _back(array: np.ndarray, order, flips) -> np.ndarray:
    array = np.flip(array, [order.index(a) for a in range(3) if flips[a]])
    return array.transpose(np.argsort(order))


@pytest.mark.parametrize("parameters", [HabitatParameters(), TWO_LEVEL], ids=["per_tumour", "two_level"])
def test_flipped_and_permuted_axes_give_the_same_physical_habitats(parameters):
    rng = np.random.default_rng(2)
    zones = slabs((12, 8, 10))
    angle = np.radians(20)
    direction = (np.cos(angle), -np.sin(angle), 0, np.sin(angle), np.cos(angle), 0, 0, 0, 1)
    exam = zone_exam(zones, noise=25.0, spacing=(0.8, 1.1, 2.0), origin=(-31.0, 12.0, 5.5), direction=direction)
    lesion = rng.random(zones.shape) < 0.9
    expected = find_habitats(compute_maps(exam, PhaseChoice(1, 3, "test")), lesion, parameters)
    for order, flips in itertools.product(
        [(0, 1, 2), (2, 0, 1), (1, 0, 2)], [(True, False, True), (False, True, False)]
    ):
        turned = _turned(exam, order, flips)
        corner = np.array([[3, 4, 5]])
        moved = [[int(np.where(flips, np.array(zones.shape) - 1 - corner[0], corner[0])[a]) for a in order]]
        assert np.allclose(turned.geometry.lps_of(np.array(moved)), exam.geometry.lps_of(corner))
        mask = np.flip(lesion.transpose(order), [order.index(a) for a in range(3) if flips[a]])
        found = find_habitats(compute_maps(turned, PhaseChoice(1, 3, "test")), mask, parameters)
        assert np.array_equal(_back(found.labels, order, flips), expected.labels), (order, flips)
        assert found.volumes_cc == pytest.approx(expected.volumes_cc)


def test_seed_does_not_change_habitats_of_the_simulated_exam(simulated_imaging):
    maps, lesion = simulated_imaging.maps, simulated_imaging.lesion.mask
    for seed in (1, 2, 3):
        found = habitats_per_tumour(maps, lesion, HabitatParameters(seed=seed))
        assert np.array_equal(found.labels, simulated_imaging.habitats.labels)


def test_seed_and_real_noise(ucsf_exam):
    voi = read_region(require_data("ucsf-br-06", "mask"), ucsf_exam.geometry, "VOI")
    maps = compute_maps(ucsf_exam, choose_early_late(ucsf_exam.times_s))
    ftv = functional_tumor_volume(ucsf_exam.signal[0], maps, voi, FtvParameters())
    lesion = lesion_from_ftv(ftv, ucsf_exam.geometry, voi, FtvParameters()).mask
    first, second = (habitats_per_tumour(maps, lesion, HabitatParameters(seed=s)) for s in (1, 2))
    assert second.inertia == pytest.approx(first.inertia, rel=1e-4)
    assert adjusted_rand_score(first.labels[lesion], second.labels[lesion]) > 0.9
    levels = [habitats_two_level(maps, lesion, HabitatParameters(mode="two_level", seed=s)) for s in (1, 2)]
    assert np.array_equal(levels[0].labels, levels[1].labels)
    assert 45 <= levels[0].n_supervoxels <= 75


# ---- whatever the values ---------------------------------------------------------------------------------------
@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(["wild", "flat", "steps"]), st.sampled_from(["per_tumour", "two_level"]))
def test_finite_signals_give_labels_everywhere_or_one_clear_refusal(seed, kind, mode):
    rng = np.random.default_rng(seed)
    shape = (4, 4, 5, 6)
    signal = {
        "wild": rng.uniform(-10, 1000, size=shape) ** 2 * rng.choice([1e-3, 1.0, 1e3], size=shape),
        "flat": np.full(shape, 100.0) * np.array([1, 2, 2, 2])[:, None, None, None],
        "steps": rng.integers(1, 4, size=shape) * 50.0,
    }[kind]
    maps = compute_maps(make_exam(signal, (0, 60, 120, 300)), PhaseChoice(1, 3, "test"))
    lesion = np.ones(shape[1:], bool)
    parameters = HabitatParameters(mode=mode, n_init=3)
    try:
        habitats = find_habitats(maps, lesion, parameters)
    except InputError:
        with pytest.raises(InputError, match=r"habitats need at least 30|too alike for 3 habitats"):
            find_habitats(maps, lesion, parameters)
        return
    assert ((habitats.labels >= 1) & (habitats.labels <= 3)).all()
    assert sum(habitats.volumes_cc) == pytest.approx(lesion.sum() / 1000)
    used = [HABITAT_FEATURES.index(name) for name in habitats.features]
    assert np.isfinite(habitats.centres_z[:, used]).all()
    assert np.isfinite(habitats.inertia)
