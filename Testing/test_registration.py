"""Motion between phases: undone where it is known, left alone where there is none."""

from __future__ import annotations

import dataclasses
import json
import sys
import time

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from SubregionHabitatLib.breast_region import find_breast
from SubregionHabitatLib.displacement import displacement_field, jacobian_determinant
from SubregionHabitatLib.errors import Cancelled, InputError
from SubregionHabitatLib.exam import DceExam
from SubregionHabitatLib.kinetics import compute_maps
from SubregionHabitatLib.lesion import FtvParameters, functional_tumor_volume
from SubregionHabitatLib.masks import RegionMask
from SubregionHabitatLib.preparation import PreparationParameters, prepare_exam
from SubregionHabitatLib.progress import Silent
from SubregionHabitatLib.registration import RegistrationParameters, enhancing_voxels, register_phases
from SubregionHabitatLib.registration_apply import apply_transform
from SubregionHabitatLib.registration_region import motion_region
from SubregionHabitatLib.simulation import SimulationParameters, simulate_exam
from SubregionHabitatLib.timing import choose_early_late
from support.exams import make_exam, make_geometry
from support.motion import combined, moved_exam, rigid_motion, smooth_motion

IN_PLANE_MM = 1.5
# The default breast on a coarse grid, cropped, pre-contrast and two post-contrast phases: seconds instead of a minute.
SMALL = SimulationParameters(
    seed=3, shape=(38, 90, 76), spacing_mm=(IN_PLANE_MM, IN_PLANE_MM, 3.0), phase_starts_s=(0.0, 130.0, 400.0)
)
# Enough to move something, too little to be good: for tests of everything but accuracy.
HASTY = RegistrationParameters(mode="bspline", samples=1000, linear_iterations=5, bspline_iterations=2)


@pytest.fixture(scope="module")
def small():
    return simulate_exam(SMALL)


@pytest.fixture(scope="module")
def motions(small):
    return {p: combined(rigid_motion(small, 5, 3, 10 + p), smooth_motion(small, 6, 20 + p)) for p in (0, 2)}


@pytest.fixture(scope="module")
def moved(small, motions):
    return moved_exam(small, motions, seed=5)


@pytest.fixture(scope="module")
def prepared(small, moved):
    """Registered in the breast mask that is found on the moved exam itself."""
    parameters = PreparationParameters(registration=RegistrationParameters(mode="bspline"))
    return prepare_exam(moved, parameters, RegionMask(small.truth_lesion, "lesion"))


@pytest.fixture(scope="module")
def registered(prepared):
    return prepared.registration


@dataclasses.dataclass(frozen=True)
class Coarse:
    """Every second voxel in-plane of the moved exam, with its masks: for everything but accuracy."""

    exam: DceExam
    breast: np.ndarray
    lesion: np.ndarray


@pytest.fixture(scope="module")
def coarse(small, moved):
    thin = (slice(None), slice(None, None, 2), slice(None, None, 2))
    signal = np.ascontiguousarray(moved.signal[(slice(None), *thin)])
    x, y, z = moved.geometry.spacing_mm
    geometry = dataclasses.replace(moved.geometry, shape=signal.shape[1:], spacing_mm=(2 * x, 2 * y, z))
    exam = dataclasses.replace(moved, signal=signal, geometry=geometry)
    return Coarse(exam, small.truth_breast[thin], small.truth_lesion[thin])


def _breast(simulated):
    index = np.argwhere(simulated.truth_breast)
    return index, simulated.exam.geometry.lps_of(index)


def _target_error(simulated, motion, transform):
    index, lps = _breast(simulated)
    shift = displacement_field(transform, simulated.exam.geometry)[tuple(index.T)]
    return motion.target_error_mm(lps, lps + shift)


def _maps_and_ftv(simulated, exam):
    maps = compute_maps(exam, choose_early_late(exam.times_s))
    ftv = functional_tumor_volume(exam.signal[0], maps, RegionMask(simulated.voi, "VOI"), FtvParameters())
    return maps, ftv.mask


@pytest.mark.parametrize("phase", [0, 2])
def test_known_rigid_and_smooth_motion_is_undone(phase, small, moved, motions, registered):
    _, lps = _breast(small)
    before = np.linalg.norm(motions[phase].displacement(lps), axis=1)
    assert before.mean() > 4
    found = next(p for p in registered.phases if p.phase == phase)
    after = _target_error(small, motions[phase], found.transform)
    assert after.mean() <= 0.2 * before.mean()
    assert after.mean() < IN_PLANE_MM
    # The lesion, left out of the fit, follows its surroundings.
    assert after[small.truth_lesion[small.truth_breast]].mean() < IN_PLANE_MM
    assert [stage.name for stage in found.stages] == ["rigid", "affine", "bspline"]
    assert found.stages[-1].kept
    # The displacement reported is that of the transform, in the mask.
    mask = find_breast(moved).breast | small.truth_lesion
    lengths = np.linalg.norm(displacement_field(found.transform, small.exam.geometry), axis=-1)[mask]
    assert found.displacement_mm["mean"] == pytest.approx(lengths.mean(), rel=1e-5)
    assert found.displacement_mm["max"] == pytest.approx(lengths.max(), rel=1e-5)


def test_the_breast_mask_is_that_of_the_registered_exam(small, moved, prepared):
    assert prepared.breast.made_by == "automatic"
    assert prepared.registration.mask_source == "given"
    truth = small.truth_breast
    first, last = (
        2 * np.sum(mask & truth) / (mask.sum() + truth.sum())
        for mask in (find_breast(moved).breast, prepared.breast.breast)
    )
    assert last >= 0.95
    assert last > first


def test_registered_lesion_enhances_as_without_motion(small, moved, registered):
    still_maps, still = _maps_and_ftv(small, moved_exam(small, {}, seed=5))
    _, unregistered = _maps_and_ftv(small, moved)
    maps, found = _maps_and_ftv(small, registered.exam)
    assert found.sum() == pytest.approx(still.sum(), rel=0.03)
    assert 2 * (found & still).sum() / (found.sum() + still.sum()) > 0.97
    # The motion is one that matters, so that the agreement above means something.
    assert abs(unregistered.sum() - still.sum()) / still.sum() > 0.03
    lesion = small.truth_lesion
    assert np.nanmean(maps.pe_early[lesion]) == pytest.approx(np.nanmean(still_maps.pe_early[lesion]), rel=0.03)


def test_fixed_phase_and_grid_stay(moved, registered):
    assert registered.fixed_phase == 1
    assert np.array_equal(registered.exam.signal[1], moved.signal[1])
    assert registered.exam.signal.dtype == np.float32
    assert registered.exam.geometry == moved.geometry
    assert registered.exam.times_s == moved.times_s
    assert not np.array_equal(registered.exam.signal[0], moved.signal[0])


@pytest.mark.parametrize("phase", [0, 2])
def test_exam_without_motion_keeps_every_bit(phase, small):
    exam = moved_exam(small, {}, seed=7)
    # Two phases at a time; fewer would be no exam.
    kept = sorted([phase, 1])
    still = dataclasses.replace(exam, signal=exam.signal[kept], times_s=tuple(exam.times_s[k] for k in kept))
    still = dataclasses.replace(still, times_s=tuple(t - still.times_s[0] for t in still.times_s))
    breast = find_breast(still).breast
    result = register_phases(still, RegistrationParameters(mode="bspline"), breast, small.truth_lesion)
    assert np.array_equal(result.exam.signal, still.signal)
    for phase in result.phases:
        assert not phase.moved
        assert [stage.kept for stage in phase.stages] == [False, False, False]
        assert phase.displacement_mm == {"mean": 0.0, "median": 0.0, "p95": 0.0, "max": 0.0}
        assert phase.jacobian_lesion == (1.0, 1.0)
    assert result.warnings == ()


@pytest.mark.parametrize("shift_mm", [0.7, 5.0])
def test_rigid_motion_on_an_oblique_grid(shift_mm):
    oblique = simulate_exam(
        dataclasses.replace(SMALL, shape=(40, 90, 90), oblique_deg=(7.0, -5.0, 11.0), orientation="axial")
    )
    motion = rigid_motion(oblique, shift_mm, 3.0 if shift_mm > 1 else 0.3, seed=4)
    exam = moved_exam(oblique, {0: motion}, seed=6)
    result = register_phases(exam, RegistrationParameters(mode="rigid"), oblique.truth_breast, oblique.truth_lesion)
    pre, late = result.phases
    assert _target_error(oblique, motion, pre.transform).mean() < 0.2
    assert pre.jacobian_lesion == pytest.approx((1.0, 1.0), abs=1e-4)
    # The other phase did not move and is left alone.
    assert not late.moved
    assert np.array_equal(result.exam.signal[2], exam.signal[2])


def test_equal_bits_for_any_number_of_threads(coarse):
    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    results = []
    for workers, threads in ((1, 1), (2, 2)):
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
        try:
            wanted = dataclasses.replace(HASTY, workers=workers)
            results.append(register_phases(coarse.exam, wanted, coarse.breast, coarse.lesion))
            assert sitk.ProcessObject.GetGlobalDefaultNumberOfThreads() == threads
        finally:
            sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)
    first, second = results
    assert first.phases[0].moved
    assert first.phases[1].moved
    assert np.array_equal(first.exam.signal, second.exam.signal)
    assert first.to_json() == second.to_json()


def test_another_seed_draws_other_voxels(coarse):
    first, second = (
        register_phases(coarse.exam, dataclasses.replace(HASTY, mode="rigid", seed=seed), coarse.breast, coarse.lesion)
        for seed in (0, 1)
    )
    assert first.phases[0].displacement_mm != second.phases[0].displacement_mm


def test_record_and_warnings(coarse):
    wanted = dataclasses.replace(HASTY, jacobian_range=(0.999, 1.001), doubtful_mm=2.0)
    result = register_phases(coarse.exam, wanted, coarse.breast, coarse.lesion)
    text = " ".join(result.warnings)
    assert "changes volumes in the lesion by factors of" in text
    assert "(accepted: 0.999 to 1.001)" in text
    assert "more than a breast is likely to move" in text
    record = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert (record["mode"], record["fixed_phase"], record["mask"]) == ("bspline", 1, "given")
    assert [phase["phase"] for phase in record["phases"]] == [0, 2]
    assert record["phases"][0]["stages"][0]["name"] == "rigid"
    assert record["parameters"]["grid_spacing_mm"] == 30.0
    assert record["parameters"]["min_metric_gain"] == 0.02


def test_without_masks_the_body_is_used_and_said_so(coarse):
    result = register_phases(coarse.exam, dataclasses.replace(HASTY, mode="rigid"))
    assert result.mask_source == "body"
    assert any("no breast mask was given" in w for w in result.warnings)
    assert any("without a lesion to leave out" in w for w in result.warnings)
    assert result.phases[0].jacobian_lesion is None


def test_none_touches_nothing(moved):
    result = register_phases(moved)
    assert result.exam is moved
    assert (result.mode, result.phases, result.mask_source) == ("none", (), "none")


def test_constant_phase_is_left_with_a_warning(coarse):
    signal = coarse.exam.signal.copy()
    signal[2] = 5.0
    exam = dataclasses.replace(coarse.exam, signal=signal)
    result = register_phases(exam, dataclasses.replace(HASTY, mode="rigid"), coarse.breast, coarse.lesion)
    assert np.array_equal(result.exam.signal[2], signal[2])
    assert any("Phase 2 could not be registered in full" in w for w in result.warnings)


class _CancelAt:
    """Raises Cancelled at the first step beyond a share of the work, and remembers when."""

    def __init__(self, share: float) -> None:
        self.share, self.at = share, None

    def step(self, fraction: float, message: str) -> None:
        if fraction >= self.share:
            self.at = time.perf_counter()
            raise Cancelled("stop")


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5])
def test_cancel_within_two_seconds_and_silently(share, coarse, capfd):
    hook, threads = sys.excepthook, sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    progress = _CancelAt(share)
    with pytest.raises(Cancelled):
        register_phases(coarse.exam, RegistrationParameters(mode="bspline"), coarse.breast, coarse.lesion, progress)
    assert time.perf_counter() - progress.at < 2.0
    assert sys.excepthook is hook
    assert sitk.ProcessObject.GetGlobalDefaultNumberOfThreads() == threads
    assert "Traceback" not in capfd.readouterr().err


def test_progress_rises_to_one(coarse):
    seen = []

    class Record:
        def step(self, fraction, message):
            seen.append(fraction)

    register_phases(coarse.exam, HASTY, coarse.breast, coarse.lesion, Record())
    assert seen == sorted(seen)
    assert seen[0] == 0.0
    assert seen[-1] == 1.0


def test_enhancing_voxels_of_a_voi_are_the_lesion(small):
    found = enhancing_voxels(small.exam, small.voi)
    lesion = small.truth_lesion
    assert (found & lesion).sum() >= 0.99 * lesion.sum()
    # One voxel of blur around what enhances; a vessel may cross the corner of the VOI.
    enhancing = lesion | (small.truth_tissue == small.tissue_names.index("blood"))
    assert not (found & ~ndimage.binary_dilation(enhancing, np.ones((3, 3, 3)))).any()
    assert not (found & ~small.voi).any()
    assert not enhancing_voxels(small.exam, np.zeros_like(lesion)).any()


def test_shift_by_one_voxel_resamples_exactly():
    """Inside the margin every voxel takes its neighbor's value; at the edge of the image and beyond the fade none."""
    geometry = make_geometry((20, 24, 60), spacing=(1.0, 1.5, 2.0))
    signal = np.random.default_rng(0).uniform(50, 100, geometry.shape).astype(np.float32)
    mask = np.zeros(geometry.shape, dtype=bool)
    mask[2:18, 2:22, :20] = True
    region = motion_region(mask, None, geometry, 2.0, 0.0, 10.0)
    out = signal.copy()
    shift = sitk.TranslationTransform(3, (-1.0, 0.0, 0.0))
    applied = apply_transform(signal, shift, geometry, region, "linear", 5.0, out, Silent())
    assert np.allclose(out[2:18, 2:22, 1:22], signal[2:18, 2:22, 0:21], rtol=1e-6)
    assert np.array_equal(out[:, :, 0], signal[:, :, 0])
    assert np.array_equal(out[:, :, 32:], signal[:, :, 32:])
    assert not np.allclose(out[10, 10, 24:28], signal[10, 10, 24:28])
    assert applied.outside_fraction == pytest.approx(1 / 20)
    assert applied.displacement_mm["mean"] == pytest.approx(1.0)
    cubic = signal.copy()
    apply_transform(signal, shift, geometry, region, "bspline", 5.0, cubic, Silent())
    assert np.allclose(cubic[2:18, 2:22, 1:22], signal[2:18, 2:22, 0:21], rtol=1e-4)
    assert cubic.min() >= signal.min()
    assert cubic.max() <= signal.max()


def test_jacobian_of_a_scaling_on_an_oblique_grid():
    turn = np.linalg.qr(np.random.default_rng(1).standard_normal((3, 3)))[0]
    geometry = make_geometry((8, 9, 10), (0.7, 1.1, 3.0), (5, 6, 7), tuple(turn.ravel()))
    transform = sitk.AffineTransform(3)
    matrix = np.array([[1.2, 0.1, 0.0], [0.0, 0.9, 0.05], [0.02, 0.0, 1.1]])
    transform.SetMatrix(matrix.ravel().tolist())
    values = jacobian_determinant(displacement_field(transform, geometry), geometry)
    assert values == pytest.approx(np.full(geometry.shape, np.linalg.det(matrix)), rel=1e-5)


def test_mirroring_is_seen_as_folding():
    geometry = make_geometry((6, 6, 6))
    transform = sitk.AffineTransform(3)
    transform.SetMatrix([-1, 0, 0, 0, 1, 0, 0, 0, 1])
    assert jacobian_determinant(displacement_field(transform, geometry), geometry) == pytest.approx(-1.0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mode": "demons"}, "The registration mode 'demons' is unknown; choose one of none, rigid, bspline."),
        ({"interpolation": "cubic"}, "The interpolation 'cubic' is unknown; choose one of linear, bspline."),
        ({"grid_spacing_mm": 0}, "The registration parameter grid_spacing_mm is 0; give above 0."),
        ({"samples": 10}, "The registration parameter samples is 10; give 1000 or more."),
        ({"workers": 0}, "The registration parameter workers is 0; give 1 or more."),
        ({"seed": -1}, "The registration parameter seed is -1; give 0 or more."),
        ({"smoothing_mm": float("nan")}, "The registration parameter smoothing_mm is nan; give above 0."),
        ({"jacobian_range": (1.1, 1.3)}, "give a range around 1."),
    ],
)
def test_bad_parameters_are_refused(changes, message):
    with pytest.raises(InputError, match=_literal(message)):
        RegistrationParameters(**changes)


def test_bad_input_is_refused(moved, small):
    wanted = dataclasses.replace(HASTY, mode="rigid")
    mask = small.truth_breast
    with pytest.raises(InputError, match=r"The breast mask for registration has the array shape \(2, 2, 2\)"):
        register_phases(moved, wanted, np.ones((2, 2, 2), bool))
    with pytest.raises(InputError, match=r"The lesion for registration has the array shape \(2, 2, 2\)"):
        register_phases(moved, wanted, mask, np.ones((2, 2, 2), bool))
    with pytest.raises(InputError, match="The breast mask for registration has 0 voxels, but 1000 are needed"):
        register_phases(moved, wanted, np.zeros_like(mask))
    with pytest.raises(InputError, match="Too little of the breast lies outside the lesion"):
        register_phases(moved, wanted, mask, np.ones_like(mask))
    with pytest.raises(InputError, match="The fixed phase 3 does not exist; choose a phase from 0 to 2"):
        register_phases(moved, dataclasses.replace(wanted, fixed_phase=3), mask)
    with pytest.raises(InputError, match="The exam has 3 voxels along one axis; registration needs at least 4"):
        register_phases(make_exam(np.ones((3, 3, 20, 20)), (0, 100, 200)), wanted)
    signal = moved.signal.copy()
    signal[0, 17, 36, 36] = np.nan
    with pytest.raises(InputError, match="The phases hold values that are not numbers"):
        register_phases(dataclasses.replace(moved, signal=signal), wanted, mask)


def _literal(message: str) -> str:
    import re

    return re.escape(message)
