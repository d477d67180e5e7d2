"""Physics of the simulated exam against closed forms and independent integration."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate, stats

from SubregionHabitatLib.geometry import Geometry
from SubregionHabitatLib.simulation.parameters import PulseSequence
from SubregionHabitatLib.simulation.signal_model import receive_field, rician, spoiled_gradient_echo
from SubregionHabitatLib.simulation.tofts import (
    extended_tofts,
    parker_blood_concentration,
    plasma_concentration,
)


def test_parker_values_worked_by_hand():
    # At the first peak: 0.809/(0.0563 sqrt(2 pi)) + 0.330/(0.132 sqrt(2 pi)) exp(-0.19454^2 / (2 0.132^2)) + 7e-6.
    assert parker_blood_concentration(0.17046) == pytest.approx(5.732581 + 0.336662 + 0.000007, abs=2e-6)
    # Late, only the exponential is left: 1.05 exp(-0.1685 * 5).
    assert parker_blood_concentration(5.0) == pytest.approx(1.05 * math.exp(-0.8425), rel=1e-9)
    assert parker_blood_concentration(-0.01) == 0
    assert plasma_concentration(5.0) == pytest.approx(1.05 * math.exp(-0.8425) / 0.58, rel=1e-9)


def test_parker_first_pass_is_the_highest_point():
    minutes = np.linspace(0, 6, 6001)
    blood = parker_blood_concentration(minutes)
    assert minutes[blood.argmax()] == pytest.approx(0.173, abs=0.001)
    assert blood.max() == pytest.approx(6.08, abs=0.01)
    assert (blood >= 0).all()


def test_tofts_equals_the_closed_form_of_an_exponential_input():
    decay, minutes = 0.3, np.array([0.2, 1.0, 3.0, 7.0])
    for ktrans, ve, vp in [(0.1, 0.6, 0.01), (1.3, 0.4, 0.08), (0.02, 0.05, 0.0)]:
        kep = ktrans / ve
        expected = vp * np.exp(-decay * minutes) + ktrans * (np.exp(-kep * minutes) - np.exp(-decay * minutes)) / (
            decay - kep
        )
        found = extended_tofts(minutes, ktrans, ve, vp, plasma=lambda t: np.exp(-decay * np.asarray(t)))
        np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize(("ktrans", "ve", "vp"), [(0.08, 0.65, 0.01), (0.2, 0.5, 0.025), (0.9, 0.46, 0.06)])
def test_tofts_equals_the_differential_equation(ktrans, ve, vp):
    minutes = np.array([0.1, 0.3, 0.8333, 2.3333, 5.3333])
    solution = integrate.solve_ivp(
        lambda t, c: ktrans * plasma_concentration(t) - ktrans / ve * c,
        (0, minutes[-1]),
        [0.0],
        t_eval=minutes,
        rtol=1e-10,
        atol=1e-12,
        max_step=0.01,
    )
    expected = solution.y[0] + vp * plasma_concentration(minutes)
    np.testing.assert_allclose(extended_tofts(minutes, ktrans, ve, vp), expected, rtol=1e-7)


def test_many_voxels_give_what_single_voxels_give():
    generator = np.random.default_rng(3)
    ktrans = np.concatenate([[0.0], generator.uniform(0.01, 2.0, 999)])
    ve = np.concatenate([[0.0], generator.uniform(0.05, 0.9, 999)])
    minutes = np.array([-1.0, 0.5, 4.0])
    together = extended_tofts(minutes, ktrans, ve, 0.03)
    some = [0, 1, 250, 777, 999]
    alone = np.stack([extended_tofts(minutes, ktrans[i], ve[i], 0.03) for i in some], axis=1)
    np.testing.assert_allclose(together[:, some], alone, rtol=1e-6, atol=1e-12)
    assert (together[0] == 0).all()
    np.testing.assert_allclose(together[1:, 0], 0.03 * plasma_concentration(minutes[1:]))


def test_gradient_echo_equals_repeated_pulses():
    """Magnetisation followed pulse by pulse to the steady state gives the signal equation."""
    sequence = PulseSequence(repetition_time_ms=6.0, echo_time_ms=2.5, flip_angle_deg=15.0, gain=1000.0)
    t1_s, density, r2star, concentration = 1.2, 0.8, 25.0, 0.7
    r1 = 1 / t1_s + sequence.relaxivity_r1 * concentration
    angle, magnetisation = math.radians(15), 1.0
    for _ in range(5000):
        magnetisation = 1 + (magnetisation * math.cos(angle) - 1) * math.exp(-0.006 * r1)
    decay = math.exp(-0.0025 * (r2star + sequence.relaxivity_r2star * concentration))
    expected = 1000 * density * magnetisation * math.sin(angle) * decay
    assert spoiled_gradient_echo(concentration, t1_s, density, r2star, sequence) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("amplitude", [0.0, 15.0, 240.0])
def test_noise_has_the_moments_of_the_rice_distribution(amplitude):
    sigma, n = 8.0, 2_000_000
    sample = rician(np.full(n, amplitude, np.float32), sigma, np.random.default_rng(11)).astype(np.float64)
    mean, variance = stats.rice.stats(amplitude / sigma, scale=sigma)
    assert sample.mean() == pytest.approx(mean, abs=4 * math.sqrt(variance / n))
    assert sample.var() == pytest.approx(variance, rel=0.01)


def test_no_noise_leaves_the_signal():
    signal = np.array([0.0, 3.25, 700.5], np.float32)
    np.testing.assert_array_equal(rician(signal, 0.0, np.random.default_rng(0)), signal)


def test_receive_field_spans_its_amplitude_smoothly():
    grid = Geometry((20, 30, 40), (1.0, 1.0, 2.0), (0.0, 0.0, 0.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
    field = receive_field(grid, 0.25, np.random.default_rng(5))
    assert field.max() == pytest.approx(1.25, rel=1e-5)
    assert field.min() == pytest.approx(0.8, rel=1e-5)
    assert max(np.abs(np.diff(field, axis=axis)).max() for axis in range(3)) < 0.1
