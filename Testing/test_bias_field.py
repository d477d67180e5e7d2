"""Bias field: found where it is simulated, harmless to ratios, and one for all phases."""

from __future__ import annotations

import dataclasses
import json
import re
import time

import numpy as np
import pytest
import SimpleITK as sitk

from SubregionHabitatLib.bias_field import (
    BiasFieldParameters,
    bias_field_summary,
    correct_bias,
    estimate_bias_field,
)
from SubregionHabitatLib.errors import Cancelled, InputError
from SubregionHabitatLib.kinetics import compute_maps
from SubregionHabitatLib.simulation import PulseSequence, SimulationParameters, simulate_exam
from SubregionHabitatLib.timing import choose_early_late
from support.exams import make_geometry

GRID = SimulationParameters(
    seed=1, shape=(38, 90, 76), spacing_mm=(1.5, 1.5, 3.0), phase_starts_s=(0.0, 130.0, 400.0), bias_field=0.6
)
WITHOUT_FAT_SUPPRESSION = dataclasses.replace(GRID, sequence=PulseSequence(fat_signal_share=1.0, gain=3000.0))


@pytest.fixture(scope="module")
def biased():
    return simulate_exam(GRID)


@pytest.fixture(scope="module")
def field(biased):
    return estimate_bias_field(biased.exam.signal[0], biased.exam.geometry, biased.truth_breast)


def _true_field(parameters):
    """The simulated receive field, mean 1 in the breast; nan in air."""
    flat = simulate_exam(dataclasses.replace(parameters, bias_field=0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        true = simulate_exam(parameters).noiseless[0].astype(float) / flat.noiseless[0]
    return true / true[flat.truth_breast].mean()


@pytest.mark.parametrize("parameters", [GRID, WITHOUT_FAT_SUPPRESSION])
def test_simulated_field_is_recovered(parameters):
    simulated = simulate_exam(parameters)
    breast = simulated.truth_breast
    found = estimate_bias_field(simulated.exam.signal[0], simulated.exam.geometry, breast)
    true = _true_field(parameters)[breast]
    left = found[breast] / true
    assert true.std() > 0.06
    # What is left is below a third of what was there, and the field has the right shape.
    assert left.std() / left.mean() < true.std() / 3
    assert np.corrcoef(np.log(found[breast]), np.log(true))[0, 1] > 0.95


def test_flat_image_gets_a_weak_field():
    """N4 takes some of the anatomy for a field: 3 % of spread with four levels (the default), less with three."""
    flat = simulate_exam(dataclasses.replace(GRID, bias_field=0.0))
    spread = [
        estimate_bias_field(
            flat.exam.signal[0], flat.exam.geometry, flat.truth_breast, BiasFieldParameters(levels=levels)
        )[flat.truth_breast].std()
        for levels in (4, 3)
    ]
    assert spread[0] < 0.035
    assert spread[1] < 0.6 * spread[0]


def test_field_is_positive_and_1_on_average(biased, field):
    assert field.dtype == np.float32
    assert field.shape == biased.exam.geometry.shape
    assert field.min() > 0
    assert field[biased.truth_breast].mean(dtype=float) == pytest.approx(1.0, abs=1e-6)


def test_percent_enhancement_and_ser_stay_in_double_precision(biased, field):
    """In double precision the division cancels altogether."""
    signal = biased.exam.signal.astype(np.float64)
    corrected = signal / field.astype(np.float64)
    inside = (signal[0] > 0) & (np.abs(signal[2] - signal[0]) > 0.05 * signal[0])
    for before, after in zip(_ratios(signal, inside), _ratios(corrected, inside), strict=True):
        assert np.abs(after - before).max() < 1e-11 * np.abs(before).max()


def test_percent_enhancement_and_ser_stay_in_the_exam(biased, field):
    """The exam holds float32: rounding the quotients moves PE and SER of enhancing tissue by less than 1e-6 of them.

    Both divide by or subtract nearly equal signals where nothing enhances, and rounding counts for more there.
    """
    corrected = correct_bias(biased.exam, field)
    assert corrected.signal.dtype == np.float32
    lesion = biased.truth_lesion
    phases = choose_early_late(biased.exam.times_s)
    # In double precision from here, so that only the exam's own rounding counts.
    pe_before, ser_before = _ratios(biased.exam.signal.astype(float), lesion)
    pe_after, ser_after = _ratios(corrected.signal.astype(float), lesion)
    assert np.abs(pe_after / pe_before - 1).max() < 1e-6
    assert np.abs(ser_after / ser_before - 1).max() < 1e-6
    # The maps themselves, which are float32 and in percent, agree to their own precision.
    maps, moved = compute_maps(biased.exam, phases), compute_maps(corrected, phases)
    assert moved.pe_early[lesion] == pytest.approx(maps.pe_early[lesion], rel=1e-6)
    assert moved.ser[lesion] == pytest.approx(maps.ser[lesion], rel=1e-6)
    assert moved.wis[lesion] == pytest.approx(maps.wis[lesion], rel=1e-6)


def _ratios(signal, where):
    pre, early, late = (signal[t][where] for t in range(3))
    return (early - pre) / pre, (early - pre) / (late - pre)


def test_every_phase_is_divided_by_the_same_field(biased, field):
    corrected = correct_bias(biased.exam, field)
    for phase in range(biased.exam.n_phases):
        assert np.array_equal(corrected.signal[phase], biased.exam.signal[phase] / field)
    assert corrected.times_s == biased.exam.times_s
    assert corrected.geometry == biased.exam.geometry


def test_field_per_phase_is_refused(biased, field):
    with pytest.raises(InputError, match=r"A bias field per phase was given; it would change the enhancement curves\."):
        correct_bias(biased.exam, np.stack([field] * 3))


def test_unusable_fields_are_refused(biased, field):
    with pytest.raises(InputError, match=r"The bias field has the array shape \(2, 2, 2\), the exam \(38, 90, 76\)"):
        correct_bias(biased.exam, np.ones((2, 2, 2)))
    for bad in (0.0, -1.0, np.nan, np.inf):
        spoiled = field.copy()
        spoiled[0, 0, 0] = bad
        with pytest.raises(InputError, match="The bias field holds values that are not above 0"):
            correct_bias(biased.exam, spoiled)


def test_equal_bits_for_any_number_of_threads(biased, field):
    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    for threads in (1, 2):
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
        try:
            again = estimate_bias_field(biased.exam.signal[0], biased.exam.geometry, biased.truth_breast)
            assert sitk.ProcessObject.GetGlobalDefaultNumberOfThreads() == threads
        finally:
            sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)
        assert np.array_equal(again, field)


def test_scale_of_the_signal_does_not_matter(biased, field):
    scaled = estimate_bias_field(8.0 * biased.exam.signal[0], biased.exam.geometry, biased.truth_breast)
    assert scaled == pytest.approx(field, rel=2e-3)


def test_zero_and_negative_signal_does_not_count(biased):
    pre = biased.exam.signal[0].copy()
    hole = biased.truth_breast & (np.indices(pre.shape).sum(axis=0) % 97 == 0)
    pre[hole] = -50.0
    found = estimate_bias_field(pre, biased.exam.geometry, biased.truth_breast)
    assert np.isfinite(found).all()
    assert found.min() > 0
    rest = biased.truth_breast & ~hole
    assert found[rest].mean(dtype=float) == pytest.approx(1.0, abs=1e-6)


def test_constant_image_has_no_field():
    geometry = make_geometry((12, 12, 12))
    assert np.array_equal(estimate_bias_field(np.full((12, 12, 12), 7.0), geometry), np.ones((12, 12, 12)))


def test_few_thick_slices():
    """Four slices of 8 mm with a field along x: nothing is thinned away."""
    geometry = make_geometry((4, 60, 60), spacing=(1.0, 1.0, 8.0))
    tissue = np.where(np.random.default_rng(0).random(geometry.shape) < 0.5, 100.0, 200.0)
    true = np.exp(np.linspace(-0.3, 0.3, 60))
    inside = np.ones(geometry.shape, dtype=bool)
    found = estimate_bias_field(tissue * true, geometry, inside)
    assert np.corrcoef(found.mean(axis=(0, 1)), true)[0, 1] > 0.98


def test_cancel_and_progress(biased):
    seen = []

    class Record:
        def step(self, fraction, message):
            seen.append(fraction)

    estimate_bias_field(biased.exam.signal[0], biased.exam.geometry, biased.truth_breast, progress=Record())
    assert seen == sorted(seen)
    assert seen[-1] == 1.0
    begun = []

    class Stop:
        def step(self, fraction, message):
            begun.append(time.perf_counter())
            raise Cancelled("stop")

    with pytest.raises(Cancelled):
        estimate_bias_field(biased.exam.signal[0], biased.exam.geometry, biased.truth_breast, progress=Stop())
    assert time.perf_counter() - begun[0] < 2.0


def test_summary_is_plain_data(biased, field):
    summary = json.loads(json.dumps(bias_field_summary(field, biased.truth_breast, BiasFieldParameters())))
    values = field[biased.truth_breast]
    assert summary["field_p1"] == pytest.approx(np.percentile(values, 1), abs=1e-4)
    assert summary["field_coefficient_of_variation"] == pytest.approx(values.std() / values.mean(), abs=1e-4)
    assert summary["parameters"]["shrink"] == 4
    assert summary["parameters"]["levels"] == 4
    assert summary["parameters"]["iterations"] == 50


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shrink": 0}, "The bias field parameter shrink is 0; give 1 or more."),
        ({"levels": 7}, "The bias field parameter levels is 7; give 6 or less."),
        ({"control_points": 3}, "The bias field parameter control_points is 3; give 4 or more."),
        ({"convergence": 0.0}, "The bias field parameter convergence is 0.0; give above 0."),
        ({"fwhm": float("nan")}, "The bias field parameter fwhm is nan; give above 0."),
    ],
)
def test_bad_parameters_are_refused(changes, message):
    with pytest.raises(InputError, match=re.escape(message)):
        BiasFieldParameters(**changes)


def test_bad_input_is_refused(biased):
    pre, geometry = biased.exam.signal[0], biased.exam.geometry
    with pytest.raises(InputError, match="The pre-contrast image for the bias field has the array shape"):
        estimate_bias_field(pre[1:], geometry)
    with pytest.raises(InputError, match="The mask for the bias field has the array shape"):
        estimate_bias_field(pre, geometry, biased.truth_breast[1:])
    with pytest.raises(InputError, match="has 0 voxels with signal, 100 are needed"):
        estimate_bias_field(pre, geometry, np.zeros(geometry.shape, dtype=bool))
    with pytest.raises(InputError, match="has 0 voxels with signal, 100 are needed"):
        estimate_bias_field(-pre, geometry, biased.truth_breast)
    spoiled = pre.copy()
    spoiled[0, 0, 0] = np.nan
    with pytest.raises(InputError, match="The pre-contrast image holds values that are not numbers"):
        estimate_bias_field(spoiled, geometry, biased.truth_breast)
