"""The breast mask against simulated truth, on every grid and kind of contrast, and on real exams."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pytest
from scipy import ndimage

from SubregionHabitatLib.breast_mask import BreastParameters, breast_mask, distance_mm, ring_allowed
from SubregionHabitatLib.chest_wall import WallParameters, aggregate
from SubregionHabitatLib.dicom_exam import read_dicom_exam
from SubregionHabitatLib.errors import Cancelled, InputError
from SubregionHabitatLib.geometry import Geometry
from SubregionHabitatLib.ring import peritumoral_ring
from SubregionHabitatLib.simulation import PulseSequence, SimulationParameters, simulate_exam
from support.data import require_data
from support.exams import make_geometry

AIR, SKIN, MUSCLE = 0, 1, 4
GRID = {"shape": (48, 110, 110), "spacing_mm": (1.5, 1.5, 2.8), "phase_starts_s": (0.0, 130.0, 220.0)}
BOTH = {"shape": (44, 90, 200), "spacing_mm": (1.8, 1.8, 3.0), "orientation": "axial", "bilateral": True}
BRIGHT_FAT = {"sequence": PulseSequence(fat_signal_share=1.0), "bits_stored": 16}
SMALL = {"breast_semi_axes_mm": (42.0, 55.0, 46.0), "lesion_radii_mm": (7.0,) * 3, "lesion_center_mm": (5.0, 28.0, 5.0)}

EXAMS = {
    "sagittal": {"seed": 1},
    "sagittal right": {"seed": 2, "laterality": "R"},
    "bias field": {"seed": 3, "bias_field": 0.3},
    "bright fat, bias field": {"seed": 5, "bias_field": 0.3, **BRIGHT_FAT},
    "large": {"seed": 6, "shape": (60, 120, 120), "breast_semi_axes_mm": (68.0, 108.0, 78.0)},
    "small": {"seed": 7, **SMALL},
    "dense": {"seed": 8, "fibroglandular_share": 0.5, "bias_field": 0.2},
    "dense, bright fat": {"seed": 8, "fibroglandular_share": 0.5, **BRIGHT_FAT},
    "fatty": {"seed": 9, "fibroglandular_share": 0.04},
    "oblique": {"seed": 10, "oblique_deg": (12.0, -9.0, 15.0)},
    "axial": {"seed": 11, "orientation": "axial", "shape": (50, 110, 110), "spacing_mm": (1.4, 1.4, 2.5)},
    "bilateral": {"seed": 12, "bias_field": 0.3, **BOTH},
    "bilateral, bright fat": {"seed": 13, **BOTH, **BRIGHT_FAT},
    "noisy": {"seed": 14, "noise_sigma": 40.0},
    "weak fat suppression": {"seed": 21, "sequence": PulseSequence(fat_signal_share=0.16)},
    "strong fat suppression": {"seed": 21, "sequence": PulseSequence(fat_signal_share=0.03)},
}


@functools.lru_cache(maxsize=4)
def simulated(name):
    return simulate_exam(SimulationParameters(**{**GRID, **EXAMS[name]}))


@functools.lru_cache(maxsize=4)
def found(name):
    exam = simulated(name).exam
    return breast_mask(exam.signal, exam.geometry)


def dice(a, b):
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


@pytest.mark.parametrize("name", EXAMS)
def test_breast_agrees_with_the_truth(name):
    truth, mask = simulated(name), found(name)
    assert dice(mask.breast, truth.truth_breast) >= 0.96
    assert mask.notes == ()
    assert mask.fat_suppressed == truth.parameters.sequence.fat_suppressed
    assert not (mask.breast & mask.skin).any()
    assert not (mask.breast & mask.behind).any()
    # Air and the chest behind the muscle are never breast; edges differ by voxels only.
    air = (truth.truth_tissue == AIR) & mask.breast
    assert air.sum() < 0.01 * mask.breast.sum()
    deep = mask.breast & np.isin(truth.truth_tissue, (5, 6))
    assert deep.sum() < 0.002 * mask.breast.sum()


@pytest.mark.parametrize("muscle_density", [0.4, 1.1])
def test_muscle_may_be_darker_or_brighter_than_parenchyma(muscle_density):
    tissues = dict(SimulationParameters().background_tissues)
    tissues["muscle"] = dataclasses.replace(tissues["muscle"], proton_density=muscle_density)
    truth = simulate_exam(SimulationParameters(**GRID, seed=21, background_tissues=tissues))
    mask = breast_mask(truth.exam.signal, truth.exam.geometry)
    assert dice(mask.breast, truth.truth_breast) >= 0.96


def test_pre_contrast_image_alone_is_enough():
    truth = simulated("bias field")
    alone = breast_mask(truth.exam.signal[0], truth.exam.geometry)
    assert dice(alone.breast, truth.truth_breast) >= 0.96
    assert dice(alone.breast, found("bias field").breast) >= 0.98


def test_scanner_units_do_not_matter():
    truth = simulated("bias field")
    scaled = breast_mask(truth.exam.signal[0] * np.float32(0.01), truth.exam.geometry)
    alone = breast_mask(truth.exam.signal[0], truth.exam.geometry)
    assert dice(scaled.breast, alone.breast) > 0.9999


def reordered(image, geometry, order, flips):
    """The same image with its array axes in another ``order`` and some of them turned round."""
    matrix, spacing = geometry.direction_matrix[:, ::-1], geometry.spacing_zyx
    columns, steps = [matrix[:, a] for a in order], [spacing[a] for a in order]
    image = np.transpose(image, order)
    first = np.zeros(3)
    for axis in flips:
        image = np.flip(image, axis)
        first[order[axis]] = geometry.shape[order[axis]] - 1
        columns[axis] = -columns[axis]
    direction = np.stack(columns[::-1], axis=1)
    origin = geometry.lps_of(first[None])[0]
    moved = Geometry(image.shape, tuple(steps[::-1]), tuple(map(float, origin)), tuple(map(float, direction.ravel())))
    return np.ascontiguousarray(image), moved


@pytest.mark.parametrize(("order", "flips"), [((2, 1, 0), ()), ((1, 2, 0), (0, 2)), ((0, 2, 1), (0, 1))])
def test_coronal_and_other_orders_of_axes_give_the_same_breast(order, flips):
    truth = simulated("sagittal")
    pre, geometry = truth.exam.signal[0], truth.exam.geometry
    image, moved = reordered(pre, geometry, order, flips)
    expected, _ = reordered(breast_mask(pre, geometry).breast, geometry, order, flips)
    assert dice(breast_mask(image, moved).breast, expected) > 0.9995


def test_sides_are_the_patients():
    truth, mask = simulated("bilateral"), found("bilateral")
    assert mask.side == "both"
    assert set(mask.sides) == {"left", "right"}
    assert np.array_equal(mask.sides["left"] | mask.sides["right"], mask.breast)
    assert not (mask.sides["left"] & mask.sides["right"]).any()
    assert abs(mask.midline_mm) < 8
    centres = {
        side: truth.exam.geometry.lps_of(np.argwhere(part).mean(axis=0)[None])[0, 0]
        for side, part in mask.sides.items()
    }
    # LPS: left is positive; the simulated breasts lie 78 mm from the middle.
    assert 55 < centres["left"] < 95
    assert -95 < centres["right"] < -55


@pytest.mark.parametrize(("name", "side"), [("sagittal", "left"), ("sagittal right", "right")])
def test_one_breast_has_one_side(name, side):
    assert found(name).side == side
    assert found(name).sides == {}
    assert found(name).midline_mm is None


def test_image_without_air_is_taken_whole_and_says_so():
    truth = simulated("sagittal")
    box = (slice(18, 30), slice(40, 70), slice(30, 60))
    mask = breast_mask(truth.exam.signal[(slice(None), *box)], truth.exam.geometry.crop(box))
    assert mask.breast.all()
    assert not mask.skin.any()
    assert "No air was found" in mask.notes[0]


def test_image_that_ends_inside_the_breast_says_so():
    truth = simulated("fatty")
    box = (slice(0, 48), slice(0, 110), slice(0, 55))
    mask = breast_mask(truth.exam.signal[(slice(None), *box)], truth.exam.geometry.crop(box))
    assert "reaches the back of the image" in mask.notes[0]
    assert dice(mask.breast, truth.truth_breast[box]) > 0.95


def test_air_of_many_coils_is_air():
    """The sum of squares of 16 coils: mean / SD of its noise is 8 instead of 1.9."""
    truth = simulated("sagittal")
    rng = np.random.default_rng(16)
    squares = truth.exam.signal.astype(np.float64) ** 2
    for _ in range(30):
        squares += rng.normal(0, truth.parameters.noise_sigma, squares.shape) ** 2
    mask = breast_mask(np.sqrt(squares).astype(np.float32), truth.exam.geometry)
    assert mask.notes == ()
    assert dice(mask.breast, truth.truth_breast) > 0.96


def test_dark_fat_of_a_real_crop_is_no_air():
    """Suppressed fat deep in the breast of UCSF-BR-06, darker than a quarter of the tissue and rather even."""
    exam = read_dicom_exam(require_data("ucsf-br-06"))
    box = (slice(12, 27), slice(78, 120), slice(82, 124))
    mask = breast_mask(exam.signal[(slice(None), *box)], exam.geometry.crop(box))
    assert "No air was found" in mask.notes[0]


def test_air_of_an_interpolated_image_is_air():
    """Resampled linearly by 0.37 voxels along each axis, which takes away most of the scatter of the air."""
    truth = simulated("sagittal")
    signal = np.stack([ndimage.shift(phase, 0.37, order=1, mode="nearest") for phase in truth.exam.signal])
    mask = breast_mask(signal, truth.exam.geometry)
    assert mask.notes == ()
    assert dice(mask.breast, ndimage.shift(truth.truth_breast.astype(float), 0.37, order=1) > 0.5) > 0.95


def test_zeroed_air_is_air():
    truth = simulated("sagittal")
    mask = breast_mask(truth.exam.signal * (truth.truth_tissue != AIR), truth.exam.geometry)
    assert dice(mask.breast, truth.truth_breast) >= 0.96


def test_own_mask_replaces_the_automatic_one():
    truth, automatic = simulated("sagittal"), found("sagittal")
    own = np.zeros(automatic.breast.shape, dtype=bool)
    own[10:30, 30:80, 20:70] = True
    mask = breast_mask(truth.exam.signal, truth.exam.geometry, own=own)
    assert np.array_equal(mask.breast, own)
    assert mask.made_by == "user"
    assert not (mask.skin & own).any()
    assert np.array_equal(mask.skin, automatic.skin & ~own)
    assert mask.notes == ("The breast mask was given by the user.",)


def test_skin_shell_has_its_thickness():
    # A ball of tissue: the shell between the radii 38 and 40 mm has 4/3 pi (40^3 - 38^3) mm3. Voxels of 1 x 1 x 2 mm
    # allow an error of 0.2 mm.
    geometry = make_geometry((90, 90, 45), spacing=(2.0, 1.0, 1.0), origin=(0.0, 0.0, 0.0))
    z, y, x = np.indices(geometry.shape)
    radius = np.sqrt((z - 44.5) ** 2 + (y - 44.5) ** 2 + (2 * x - 44) ** 2)
    ball = radius < 40
    shell = ball & (distance_mm(~ball, geometry) - 0.38 * 2 ** (1 / 3) <= 2)
    expected = 4 / 3 * np.pi * (40**3 - 38**3)
    assert abs(shell.sum() * geometry.voxel_volume_mm3 / expected - 1) < 0.10


@pytest.mark.parametrize("skin_mm", [0.0, 4.0])
def test_skin_thickness_is_a_parameter(skin_mm):
    truth = simulated("sagittal")
    default = found("sagittal")
    mask = breast_mask(truth.exam.signal, truth.exam.geometry, BreastParameters(skin_mm=skin_mm))
    assert mask.skin.any() == (skin_mm > 0)
    assert (mask.breast.sum() > default.breast.sum()) == (skin_mm < 2)
    assert np.array_equal(mask.breast | mask.skin | mask.behind, default.breast | default.skin | default.behind)


def test_ring_is_clipped_with_reasons():
    truth, mask = simulated("sagittal"), found("sagittal")
    other = np.zeros(mask.breast.shape, dtype=bool)
    lesion = truth.truth_lesion
    # A lesion that lies across the chest wall, one voxel from another lesion.
    middle = np.argwhere(mask.behind & (truth.truth_tissue == MUSCLE)).mean(axis=0).round().astype(int)
    front = int(np.flatnonzero(mask.behind[middle[0], middle[1]]).min())
    lesion = np.zeros(mask.breast.shape, dtype=bool)
    lesion[middle[0] - 2 : middle[0] + 3, middle[1] - 3 : middle[1] + 4, front - 6 : front] = True
    other[middle[0] - 2 : middle[0] + 3, middle[1] + 4 : middle[1] + 7, front - 6 : front] = True
    ring = peritumoral_ring(lesion, truth.exam.geometry, 5.0, ring_allowed(mask, other))
    assert set(ring.clipped_by) == {"chest wall", "other lesions"}
    assert ring.kept_fraction == pytest.approx(1 - sum(ring.clipped_by.values()))
    assert not (ring.mask & (mask.behind | other)).any()
    assert [name for name, _ in ring_allowed(mask)] == ["skin and air", "chest wall"]


def test_ring_under_the_skin_loses_skin_and_air():
    truth, mask = simulated("sagittal"), found("sagittal")
    z, y = 24, 55
    front = int(np.flatnonzero(mask.breast[z, y]).min())
    lesion = np.zeros(mask.breast.shape, dtype=bool)
    lesion[z - 1 : z + 2, y - 3 : y + 4, front : front + 6] = True
    lesion &= mask.breast
    ring = peritumoral_ring(lesion, truth.exam.geometry, 5.0, ring_allowed(mask))
    assert set(ring.clipped_by) == {"skin and air"}
    assert 0.1 < ring.clipped_by["skin and air"] < 0.6
    assert not (ring.mask & (mask.skin | ~(mask.breast | mask.behind))).any()


class StopAt:
    def __init__(self, fraction):
        self.fraction = fraction

    def step(self, fraction, message):
        if fraction >= self.fraction:
            raise Cancelled


@pytest.mark.parametrize("fraction", [0.0, 0.2, 0.4])
def test_work_can_be_cancelled(fraction):
    truth = simulated("sagittal")
    with pytest.raises(Cancelled):
        breast_mask(truth.exam.signal, truth.exam.geometry, progress=StopAt(fraction))


def test_refusals_name_thing_and_remedy():
    truth = simulated("sagittal")
    pre, geometry = truth.exam.signal[0], truth.exam.geometry
    with pytest.raises(InputError, match=r"The breast mask given is empty; draw the breast"):
        breast_mask(pre, geometry, own=np.zeros(pre.shape, dtype=bool))
    with pytest.raises(InputError, match=r"The breast mask given has the array shape .* bring it onto the exam's grid"):
        breast_mask(pre, geometry, own=np.ones((2, 2, 2), dtype=bool))
    with pytest.raises(InputError, match=r"The image has the array shape .* give the image on its grid"):
        breast_mask(pre[1:], geometry)
    with pytest.raises(InputError, match=r"holds no signal; check the pre-contrast phase"):
        breast_mask(np.zeros_like(pre), geometry)
    with pytest.raises(InputError, match=r"holds values that are not numbers; export it again"):
        breast_mask(np.full_like(pre, np.nan), geometry)
    with pytest.raises(InputError, match=r"coarse step of the breast mask must lie between 1 and 5 mm"):
        BreastParameters(coarse_mm=0.2)
    with pytest.raises(InputError, match=r"The fat signal 'dark' is unknown; choose one of"):
        breast_mask(pre, geometry, BreastParameters(fat_signal="dark"))
    with pytest.raises(InputError, match=r"chest wall parameters must be 0 or more"):
        WallParameters(slope_cost=-1)


def test_aggregation_finds_the_smooth_surface_behind_a_gap():
    # A surface rising one step per column is cheap; a gap without evidence and an isolated cheap spot must not move it.
    cost = np.ones((12, 30, 40), dtype=np.float32)
    truth = np.arange(30)
    cost[:, np.arange(30), truth] = 0
    cost[4:8, 12:18] = 1
    cost[2, 5, 35] = -0.5
    assert np.array_equal(np.argmin(aggregate(cost, 0.1), axis=2), np.broadcast_to(truth, (12, 30)))


def test_real_sagittal_exam_has_a_plausible_breast():
    from SubregionHabitatLib.exam_files import read_exam

    exam = read_exam([require_data("ucsf-br-06", "image_dce_3dfgre_orig")])
    mask = breast_mask(exam.signal, exam.geometry)
    assert mask.fat_suppressed
    assert mask.side == "left"
    cc = mask.breast.sum() * exam.geometry.voxel_volume_mm3 / 1000
    # Looked at slice by slice: 1,655 cc between skin and pectoral muscle, axilla included as far as the image goes.
    assert 1500 < cc < 1800
    # Parenchyma and lesion behind the nipple, the pectoral muscle, and air in front, at places read off the image.
    assert mask.breast[24, 110:130, 90:110].all()
    assert mask.behind[31, 90:115, 200:215].all()
    assert mask.behind[49, 100:150, 205:230].all()
    assert not (mask.breast | mask.behind)[31, 5:40, 5:40].any()
    # The front of the pectoral muscle, read off the signal along three rows (fat 11, muscle 22 to 30 units): columns
    # 174, 180 and 182 of 0.70 mm.
    for z, row, column in ((34, 120, 174), (44, 120, 180), (31, 100, 182)):
        assert abs(int(np.flatnonzero(mask.behind[z, row])[0]) - column) <= 3


def test_real_crop_without_chest_wall_is_almost_all_breast_and_says_so():
    from SubregionHabitatLib.volume_io import read_volume

    pre, geometry = read_volume(require_data("duke-153-crop", "pre.nrrd"))
    mask = breast_mask(pre.astype(np.float32), geometry)
    assert any("reaches the back of the image" in note for note in mask.notes)
    body = mask.breast | mask.skin | mask.behind
    assert mask.breast.sum() > 0.9 * body.sum()
    assert mask.fat_suppressed
    assert not mask.breast[:, :4, :20].any()
