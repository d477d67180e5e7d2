"""Properties that hold for every exam: invariance to scale, bias and orientation, and no surprises on odd input."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from IITHModuleLib.any_model import open_model, score_all
from IITHModuleLib.derived_rows import with_derived_rows
from IITHModuleLib.measured_values import case_values
from IITHModuleLib.model_file import shipped_models
from SubregionHabitatLib.analysis import DrawnRegions, analyze_imaging
from SubregionHabitatLib.errors import InputError
from SubregionHabitatLib.geometry import Geometry
from SubregionHabitatLib.kinetics import compute_maps
from SubregionHabitatLib.masks import RegionMask
from SubregionHabitatLib.timing import PhaseChoice
from support.exams import make_exam, make_geometry

RELAXED = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)


@RELAXED
@given(st.integers(0, 10_000), st.sampled_from([2.0**k for k in range(-6, 7)]))
def test_a_common_scale_leaves_relative_maps_unchanged_to_the_last_bit(seed, scale):
    rng = np.random.default_rng(seed)
    signal = rng.integers(1, 3000, size=(4, 3, 4, 5)).astype(np.float32)
    choice = PhaseChoice(1, 3, "test")
    plain = compute_maps(make_exam(signal, (0, 60, 130, 200)), choice)
    scaled = compute_maps(make_exam(signal * np.float32(scale), (0, 60, 130, 200)), choice)
    for name, array in plain.items():
        assert np.array_equal(array, getattr(scaled, name), equal_nan=True), name


@RELAXED
@given(st.integers(0, 10_000), st.floats(0.01, 50.0))
def test_a_smooth_field_common_to_all_phases_leaves_relative_maps_unchanged(seed, strength):
    rng = np.random.default_rng(seed)
    signal = rng.uniform(100, 3000, size=(4, 3, 4, 5))
    field = 1 + strength * rng.random((3, 4, 5))
    choice = PhaseChoice(1, 3, "test")
    plain = compute_maps(make_exam(signal, (0, 60, 130, 200)), choice)
    biased = compute_maps(make_exam(signal * field, (0, 60, 130, 200)), choice)
    for name in ("pe_early", "pe_peak", "wis"):
        # float32 keeps 7 digits of each signal; PE is their difference.
        assert np.allclose(getattr(plain, name), getattr(biased, name), rtol=1e-5, atol=1e-3), name
    # SER divides by a difference of signals, of which float32's rounding takes its share.
    highest, difference = signal.max(axis=0), np.abs(signal[3] - signal[0])
    share = 4 * np.finfo(np.float32).eps * highest / difference
    assert (np.abs(plain.ser - biased.ser) <= share * (1 + np.abs(plain.ser)) + 1e-6 * np.abs(plain.ser)).all()


@pytest.fixture(scope="module")
def small():
    from SubregionHabitatLib.simulation import SimulationParameters, simulate_exam

    exam = simulate_exam(
        SimulationParameters(seed=9, shape=(24, 60, 60), spacing_mm=(2.4, 2.4, 5.0), lesion_radii_mm=(12.0, 12.0, 12.0))
    )
    return exam, analyze_imaging(exam.exam, voi=RegionMask(exam.voi, "VOI"))


def _flipped(exam, region, axes):
    """The same physical exam stored with some array axes (Z, Y, X) reversed."""
    geometry = exam.geometry
    corner = [geometry.shape[a] - 1 if a in axes else 0 for a in range(3)]
    direction = geometry.direction_matrix.copy()
    for a in axes:
        direction[:, 2 - a] *= -1
    turned = Geometry(
        geometry.shape,
        geometry.spacing_mm,
        tuple(geometry.lps_of(np.array([corner], float))[0]),
        tuple(direction.ravel()),
    )
    signal = np.ascontiguousarray(np.flip(exam.signal, [a + 1 for a in axes]))
    return replace(exam, signal=signal, geometry=turned), np.ascontiguousarray(np.flip(region, axes))


@pytest.mark.parametrize("axes", [(0,), (1,), (2,), (0, 1), (0, 1, 2)])
def test_flipped_axes_give_the_same_physical_result(small, axes):
    exam, result = small
    turned_exam, voi = _flipped(exam.exam, exam.voi, axes)
    turned = analyze_imaging(turned_exam, voi=RegionMask(voi, "VOI"))
    assert np.array_equal(np.flip(turned.lesion.mask, axes), result.lesion.mask)
    assert np.array_equal(np.flip(turned.habitats.labels, axes), result.habitats.labels)
    assert np.array_equal(np.flip(turned.ring.mask, axes), result.ring.mask)
    assert turned.lesion.longest_diameter_mm == pytest.approx(result.lesion.longest_diameter_mm)
    assert turned.interaction.features == pytest.approx(result.interaction.features)
    breast = np.flip(turned.reference, axes)
    assert np.sum(breast != result.reference) < 1e-4 * result.reference.sum()


@pytest.fixture(scope="module")
def in_drawn_breast(small):
    """The regions with a given breast, and the result with them."""
    exam, _ = small
    regions = DrawnRegions(voi=RegionMask(exam.voi, "VOI"), breast=RegionMask(exam.truth_breast, "breast"))
    return regions, analyze_imaging(exam.exam, regions=regions)


@RELAXED
@given(st.integers(0, 10_000))
def test_a_turned_patient_gives_the_same_result(small, in_drawn_breast, seed):
    """Any rotation of the grid in patient space: only geometry changes, so every number stays.

    The breast is given: an automatic mask looks for it in front of a patient who lies in the scanner as patients do
    (test_breast_mask.py turns that together with its axes).
    """
    exam, _ = small
    regions, result = in_drawn_breast
    rotation = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
    geometry = exam.exam.geometry
    turned = replace(
        exam.exam,
        geometry=replace(
            geometry,
            direction=tuple((rotation @ geometry.direction_matrix).ravel()),
            origin_mm=tuple(rotation @ np.array(geometry.origin_mm)),
        ),
    )
    again = analyze_imaging(turned, regions=regions)
    assert np.array_equal(again.habitats.labels, result.habitats.labels)
    assert np.array_equal(again.ring.mask, result.ring.mask)
    assert again.lesion.volume_cc == pytest.approx(result.lesion.volume_cc)
    assert again.lesion.longest_diameter_mm == pytest.approx(result.lesion.longest_diameter_mm, rel=1e-6)


_SIGNALS = st.sampled_from(["noise", "zeros", "constant", "huge", "tiny", "negative", "steps", "one voxel"])


def _analyze_or_refusal(exam, region, drawn):
    try:
        return analyze_imaging(exam, voi=None if drawn else region, lesion=region if drawn else None), None
    except InputError as error:
        return None, str(error)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(_SIGNALS, st.integers(0, 10_000), st.integers(3, 6), st.booleans())
def test_finite_input_gives_a_result_or_one_clear_sentence(kind, seed, n_phases, drawn):
    """Nothing but InputError ever comes out, and no score is silently not a number."""
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 9, size=3))
    signal = {
        "noise": lambda: rng.normal(100, 60, size=(n_phases, *shape)),
        "zeros": lambda: np.zeros((n_phases, *shape)),
        "constant": lambda: np.full((n_phases, *shape), 77.0),
        "huge": lambda: rng.uniform(1e30, 3e38, size=(n_phases, *shape)),
        "tiny": lambda: rng.uniform(1e-40, 1e-30, size=(n_phases, *shape)),
        "negative": lambda: -rng.uniform(1, 100, size=(n_phases, *shape)),
        "steps": lambda: rng.integers(0, 4, size=(n_phases, *shape)) * 100.0,
        "one voxel": lambda: np.where(rng.random((n_phases, *shape)) < 0.02, 500.0, 100.0),
    }[kind]()
    exam = make_exam(signal, range(0, 90 * n_phases, 90), spacing=(0.9, 1.1, 2.5))
    region = RegionMask(rng.random(shape) < 0.9, "region")
    result, refusal = _analyze_or_refusal(exam, region, drawn)
    if result is None:
        assert refusal.endswith(".")
        assert "\n" not in refusal
        return
    assert set(np.unique(result.habitats.labels)) <= {0, 1, 2, 3}
    assert np.array_equal(result.habitats.labels > 0, result.lesion.mask)
    assert np.isfinite([result.lesion.volume_cc, result.lesion.longest_diameter_mm, result.ring.volume_cc]).all()
    models = [open_model(m) for m in shipped_models()]
    for score in score_all(models, case_values(exam, result, {}), with_derived_rows(None, result)):
        assert (score.value is None) == (score.refusal is not None)
        assert score.value is None or np.isfinite(score.value)


def test_reversed_slice_order_on_disk_gives_the_same_array(small, tmp_path):
    import pydicom

    from SubregionHabitatLib.dicom_exam import read_dicom_exam
    from SubregionHabitatLib.simulation import write_dicom
    from support.dicom_edits import edit_files

    exam, _ = small
    write_dicom(exam, tmp_path)
    edit_files(tmp_path, lambda ds: setattr(ds, "InstanceNumber", 1000 - int(ds.InstanceNumber)))
    for path in tmp_path.glob("*.dcm"):
        path.rename(tmp_path / f"{pydicom.dcmread(path).InstanceNumber:05d}.img")
    found = read_dicom_exam(tmp_path)
    assert np.array_equal(found.signal, exam.exam.signal)
    assert found.geometry.same_grid(exam.exam.geometry)


def test_anisotropic_geometry_is_honoured_by_every_volume(small):
    exam, result = small
    stretched = replace(exam.exam, geometry=make_geometry(exam.exam.geometry.shape, (2.4, 2.4, 10.0)))
    again = analyze_imaging(stretched, voi=RegionMask(exam.voi, "VOI"))
    assert again.lesion.volume_cc == pytest.approx(2 * result.lesion.volume_cc)
    assert again.ring.mask.sum() < result.ring.mask.sum()
