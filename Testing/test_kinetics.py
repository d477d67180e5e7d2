"""Kinetic maps against hand values and closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from SubregionHabitatLib.errors import InputError
from SubregionHabitatLib.kinetics import compute_maps
from SubregionHabitatLib.timing import PhaseChoice
from support.exams import make_exam


def _maps(curve, times_s, early, late, **options):
    exam = make_exam(np.asarray(curve, float).reshape(len(curve), 1, 1, -1), times_s)
    return compute_maps(exam, PhaseChoice(early, late, "test"), **options)


def test_hand_values_of_a_three_point_curve():
    maps = _maps([[100], [250], [220]], (0, 120, 420), 1, 2)
    assert maps.pe_early.item() == 150
    assert maps.pe_peak.item() == 150
    assert maps.ser.item() == pytest.approx(1.25)
    assert maps.wis.item() == pytest.approx(1.5 / 2)
    assert maps.wos.item() == pytest.approx((220 - 250) / 100 / 5)
    assert maps.time_to_peak.item() == pytest.approx(2.0)


def test_wash_out_in_raw_signal_is_the_papers_formula():
    maps = _maps([[100], [250], [220]], (0, 120, 420), 1, 2, wos_mode="chitalia")
    assert maps.wos.item() == pytest.approx(-30 / 5)
    assert maps.wos_unit == "signal/min"


def test_persistent_uptake_has_no_wash_out():
    maps = _maps([[100], [150], [250]], (0, 120, 420), 1, 2)
    assert maps.wos.item() == 0
    assert maps.wis.item() == pytest.approx(1.5 / 7)
    assert maps.ser.item() == pytest.approx(50 / 150)


@pytest.mark.parametrize(("search", "peak", "minutes"), [("all_post", 300, 2), ("selected", 250, 1), ("early", 250, 1)])
def test_peak_search_sets(search, peak, minutes):
    maps = _maps([[100], [250], [300], [220], [210]], (0, 60, 120, 180, 240), 1, 3, peak_search=search)
    assert maps.pe_peak.item() == peak - 100
    assert maps.time_to_peak.item() == minutes
    assert maps.wos.item() == pytest.approx((220 - peak) / 100 / (3 - minutes))


def test_undefined_voxels_are_nan_and_never_zero():
    pre = [0, -5, 100, 100]
    late = [50, 50, 100, 101]
    maps = _maps([pre, [80, 80, 180, 180], late], (0, 60, 300), 1, 2)
    for name, array in maps.items():
        assert np.isnan(array[0, 0, :2]).all(), name
    assert np.isnan(maps.ser[0, 0, 2])
    assert maps.ser[0, 0, 3] == pytest.approx(80.0)
    assert np.isfinite(maps.pe_early[0, 0, 2:]).all()


def test_closed_form_on_random_curves():
    rng = np.random.default_rng(5)
    signal = rng.uniform(20, 2000, size=(6, 3, 4, 5)).astype(np.float32)
    times = (0, 70, 155, 240, 330, 420)
    exam = make_exam(signal, times)
    maps = compute_maps(exam, PhaseChoice(2, 5, "test"))
    s = signal.astype(np.float64)
    peak_at = 1 + s[1:].argmax(axis=0)
    peak = s[1:].max(axis=0)
    minutes = np.asarray(times) / 60
    assert np.allclose(maps.pe_peak, 100 * (peak - s[0]) / s[0], rtol=1e-6)
    assert np.allclose(maps.ser, (s[2] - s[0]) / (s[5] - s[0]), rtol=1e-6)
    assert np.allclose(maps.wis, (peak - s[0]) / s[0] / minutes[peak_at], rtol=1e-6)
    same = peak_at == 5
    assert (maps.wos[same] == 0).all()
    expected = (s[5] - peak)[~same] / s[0][~same] / (7.0 - minutes[peak_at][~same])
    assert np.allclose(maps.wos[~same], expected, rtol=1e-6)


@pytest.mark.parametrize("wos_mode", ["normalised", "chitalia"])
@pytest.mark.parametrize("n_voxels", [1, 2, 7, 2**17, 2**17 + 1, 3 * 2**17 - 1])
def test_every_voxel_of_any_number_of_blocks_is_mapped(n_voxels, wos_mode):
    """Peaks, undefined voxels and flat late signals lie where they are put, at even and odd places alike."""
    place = np.arange(n_voxels)
    signal = np.full((5, n_voxels), 120.0, dtype=np.float32)
    signal[0] = 100
    peak_at = 1 + place % 4
    signal[peak_at, place] = 300
    signal[0, place % 5 == 3] = 0
    signal[0, place % 7 == 6] = np.nan
    signal[4, place % 11 == 10] = 100
    pre, late = signal[0].astype(np.float64), signal[4].astype(np.float64)
    pre[~(pre > 0)] = np.nan
    peak = signal[1:].max(axis=0)
    peak_at = 1 + signal[1:].argmax(axis=0)
    times_s = np.array([0, 60, 150, 250, 400])
    maps = _maps(signal, tuple(times_s), 1, 4, wos_mode=wos_mode)
    undefined = np.isnan(pre)
    to_peak = np.where(undefined, np.nan, times_s[peak_at] / 60)
    rise = np.where(late == pre, np.nan, late - pre)
    slope = (late - peak) / np.where(peak_at == 4, np.inf, 400 / 60 - to_peak)
    expected = {
        "pe_early": 100 * (signal[1] - pre) / pre,
        "pe_peak": 100 * (peak - pre) / pre,
        "ser": (signal[1] - pre) / rise,
        "wis": (peak - pre) / pre / to_peak,
        "wos": slope / pre if wos_mode == "normalised" else np.where(undefined, np.nan, slope),
        "time_to_peak": to_peak,
    }
    for name, values in expected.items():
        np.testing.assert_allclose(getattr(maps, name).ravel(), values, rtol=1e-6, atol=0, err_msg=name)


def test_a_common_field_leaves_relative_maps_unchanged():
    rng = np.random.default_rng(6)
    signal = rng.uniform(50, 900, size=(4, 2, 6, 7))
    field = rng.uniform(0.5, 2.0, size=(2, 6, 7))
    choice = PhaseChoice(1, 3, "test")
    plain = compute_maps(make_exam(signal, (0, 60, 120, 180)), choice)
    biased = compute_maps(make_exam(signal * field, (0, 60, 120, 180)), choice)
    for name in ("pe_early", "pe_peak", "ser", "wis", "wos"):
        assert np.allclose(getattr(plain, name), getattr(biased, name), rtol=1e-3, atol=1e-3), name


def test_unknown_options_are_refused():
    with pytest.raises(InputError, match="Unknown peak search"):
        _maps([[1], [2], [3]], (0, 1, 2), 1, 2, peak_search="latest")


def _timed(curve, times_s, **timing):
    from dataclasses import replace

    exam = make_exam(np.asarray(curve, float).reshape(len(curve), 1, 1, -1), times_s)
    return replace(exam, timing=replace(exam.timing, **timing))


def test_time_zero_is_the_injection_where_it_is_known():
    """A pre-contrast phase 23 minutes before the first post-contrast one must not make wash-in look slow."""
    exam = _timed([[100], [250], [220]], (0, 1380, 1500), injection_s=1320.0)
    maps = compute_maps(exam, PhaseChoice(1, 2, "test"))
    assert maps.wis.item() == pytest.approx(1.5 / 1.0)
    assert maps.time_to_peak.item() == pytest.approx(1.0)
    assert maps.wos.item() == pytest.approx(-0.3 / 2.0)
    late = _timed([[100], [250], [220]], (0, 1380, 1500), injection_s=1380.0)
    with pytest.raises(InputError, match="injection at 1380 s does not come before the first post-contrast phase"):
        compute_maps(late, PhaseChoice(1, 2, "test"))


def test_without_times_slopes_are_missing_and_ratios_are_there():
    exam = _timed([[100], [250], [220]], (0, 1, 2), known=False, source="none", confidence="none")
    maps = compute_maps(exam, PhaseChoice(1, 2, "test"))
    assert maps.pe_early.item() == 150
    assert maps.ser.item() == pytest.approx(1.25)
    assert np.isnan([maps.wis.item(), maps.wos.item(), maps.time_to_peak.item()]).all()
