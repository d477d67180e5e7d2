"""Which connected parts are the lesion: largest, all, or the one at a seed; their table; manual edits."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.distance import pdist

from SubregionHabitatLib.errors import Cancelled, InputError
from SubregionHabitatLib.kinetics import compute_maps
from SubregionHabitatLib.lesion import (
    FtvParameters,
    LesionParameters,
    first_post_enhancement,
    functional_tumor_volume,
    lesion_as_drawn,
    lesion_from_ftv,
)
from SubregionHabitatLib.lesion_edits import combine_edits, edits_between, lesion_with_edits
from SubregionHabitatLib.lesion_parts import MAX_LISTED, keep_parts, lesion_parts
from SubregionHabitatLib.lesion_seed import lesion_from_seed, reaches_rim
from SubregionHabitatLib.lesion_voi import voi_from_seed
from SubregionHabitatLib.masks import RegionMask, read_region
from SubregionHabitatLib.timing import PhaseChoice, choose_early_late
from support.data import require_data
from support.exams import make_geometry
from support.zone_exams import zone_exam

PHASES = PhaseChoice(1, 3, "test")
SPACING = (0.8, 1.0, 2.0)
VOXEL_MM3 = 1.6


def three_foci(**geometry):
    """An exam with three enhancing blocks of 3x8x8, 2x5x6 and 1x3x3 voxels and its VOI."""
    zones = np.zeros((14, 40, 40), int)
    zones[4:7, 5:13, 5:13] = 3
    zones[5:7, 25:30, 20:26] = 2
    zones[10, 5:8, 30:33] = 3
    exam = zone_exam(zones, noise=0.5, spacing=SPACING, **geometry)
    return exam, compute_maps(exam, PHASES), zones, RegionMask(np.ones(zones.shape, bool), "VOI")


@pytest.fixture(scope="module")
def foci():
    return three_foci(origin=(-20.0, 30.0, 5.0))


def _lesion(foci, **parameters):
    exam, maps, _, voi = foci
    ftv = functional_tumor_volume(exam.signal[0], maps, voi, FtvParameters(min_neighbours=2))
    return lesion_from_ftv(ftv, exam.geometry, voi, FtvParameters(), LesionParameters(**parameters))


# ---- parts -----------------------------------------------------------------------------------------------------
def test_largest_part_by_default_with_the_others_in_the_table(foci):
    lesion = _lesion(foci)
    assert np.array_equal(lesion.mask, ndimage.label(foci[2], np.ones((3, 3, 3)))[0] == 1)
    assert lesion.n_components == 3
    assert [(p.n_voxels, p.kept) for p in lesion.parts] == [(192, True), (60, False)]
    assert lesion.notes == (
        "The lesion holds 74 % of the functional tumor volume; the rest lies in 2 separate parts of the VOI.",
    )


def test_multifocal_disease_keeps_every_part_of_the_smallest_volume(foci):
    geometry = foci[0].geometry
    lesion = _lesion(foci, keep="all")
    assert lesion.n_voxels == 252
    assert [(p.n_voxels, p.kept) for p in lesion.parts] == [(192, True), (60, True)]
    assert _lesion(foci, keep="all", min_component_mm3=9 * VOXEL_MM3).n_voxels == 261
    assert _lesion(foci, keep="all", min_component_mm3=9 * VOXEL_MM3 + 0.01).n_voxels == 252
    assert _lesion(foci, keep="all", min_component_mm3=0).n_voxels == 261
    first, second = lesion.parts
    assert first.volume_cc == pytest.approx(0.3072)
    assert first.centroid_lps_mm == pytest.approx(geometry.lps_of(np.array([[5, 8.5, 8.5]]))[0])
    assert second.centroid_lps_mm == pytest.approx(geometry.lps_of(np.array([[5.5, 27, 22.5]]))[0])
    # Surface points of a box are its face centres: opposite faces' outermost ones are the farthest apart.
    assert first.longest_diameter_mm == pytest.approx(_brute_diameter((3, 8, 8)))
    assert second.longest_diameter_mm == pytest.approx(_brute_diameter((2, 5, 6)))
    assert lesion.longest_diameter_mm > first.longest_diameter_mm + second.longest_diameter_mm
    with pytest.raises(InputError, match=r"None of the 3 enhancing parts reaches 1000 mm3 \(the largest has 307 mm3\)"):
        _lesion(foci, keep="all", min_component_mm3=1000)


def _brute_diameter(shape):
    """The largest distance between face centres of a block of voxels, by all pairs."""
    index = np.argwhere(np.ones(shape, bool)).astype(float)
    steps = 0.5 * np.vstack([np.eye(3), -np.eye(3)])
    faces = (index[:, None] + steps).reshape(-1, 3)
    outer = ((faces == -0.5) | (faces == np.array(shape) - 0.5)).any(axis=1)
    return pdist(faces[outer] * SPACING[::-1]).max()


def test_parts_touching_at_a_corner_are_one(foci):
    mask = np.zeros((4, 4, 4), bool)
    mask[0, 0, 0] = mask[1, 1, 1] = True
    mask[3, 3, 3] = True
    parts, n_parts = lesion_parts(mask, make_geometry(mask.shape))
    assert n_parts == 2
    assert [p.n_voxels for p in parts] == [2, 1]
    assert all(p.kept for p in parts)


def test_equal_parts_and_long_tables():
    mask = np.zeros((3, 60, 60), bool)
    mask[1, ::3, ::3] = True
    kept = keep_parts(mask, make_geometry(mask.shape), LesionParameters(min_component_mm3=1.0))
    assert kept.n_components == 400
    assert kept.mask.sum() == 1
    assert kept.mask[1, 0, 0]
    assert len(kept.parts) == 1 + MAX_LISTED
    assert kept.kept_share == pytest.approx(1 / 400)
    every = keep_parts(mask, make_geometry(mask.shape), LesionParameters(keep="all", min_component_mm3=1.0))
    assert (every.n_kept, len(every.parts), every.kept_share) == (400, MAX_LISTED, 1.0)
    parts, n_parts = lesion_parts(mask, make_geometry(mask.shape))
    assert (len(parts), n_parts) == (MAX_LISTED, 400)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keep": "some"}, "'some', is unknown; choose one of"),
        ({"min_component_mm3": -1}, "must be numbers >= 0; got -1"),
        ({"seed_search_mm": float("nan")}, "must be numbers >= 0"),
        ({"seed_radius_mm": 0}, "radius around the seed and its step must be positive"),
        ({"seed_step_mm": 0}, "radius around the seed and its step must be positive"),
        ({"seed_max_radius_mm": 10}, "largest radius not below the first"),
    ],
)
def test_lesion_parameters_out_of_range_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        LesionParameters(**change)


# ---- seed ------------------------------------------------------------------------------------------------------
def test_the_part_at_the_seed_inside_a_voi(foci):
    exam, maps, _, voi = foci
    ftv = functional_tumor_volume(exam.signal[0], maps, voi, FtvParameters())
    parameters = LesionParameters(keep="seed")
    at = exam.geometry.lps_of(np.array([[5, 27, 22]]))[0]
    found = lesion_from_ftv(ftv, exam.geometry, voi, FtvParameters(), parameters, at)
    assert found.n_voxels == 60
    with pytest.raises(InputError, match="keep the lesion part at the seed, give a seed point"):
        lesion_from_ftv(ftv, exam.geometry, voi, FtvParameters(), parameters)


OBLIQUE = tuple(np.array([[np.cos(0.5), -np.sin(0.5), 0], [np.sin(0.5), np.cos(0.5), 0], [0, 0, 1]]).ravel())


@pytest.mark.parametrize("direction", [(1, 0, 0, 0, 1, 0, 0, 0, 1), OBLIQUE], ids=["axial", "oblique"])
@pytest.mark.parametrize(("index", "label"), [((5, 8, 8), 1), ((5, 27, 22), 2), ((8, 11, 11), 1), ((5, 27, 19), 2)])
def test_the_part_that_holds_the_seed_or_lies_nearest(direction, index, label):
    exam, maps, zones, _ = three_foci(direction=direction)
    seed = exam.geometry.lps_of(np.array([index]))[0]
    lesion, voi = lesion_from_seed(exam.signal[0], maps, seed)
    expected = ndimage.label(zones, np.ones((3, 3, 3)))[0] == label
    assert np.array_equal(lesion.mask, expected)
    assert lesion.made_by == "ftv_seed"
    assert lesion.ftv_cc == pytest.approx(lesion.volume_cc) == pytest.approx(expected.sum() * VOXEL_MM3 / 1000)
    assert sum(lesion.ftv.ser_bins_cc) + lesion.ftv.ser_outside_bins_cc == pytest.approx(lesion.volume_cc)
    assert [p.kept for p in lesion.parts] == [True]
    assert voi.source.startswith("ball of 20 mm")
    assert lesion.notes == ()
    assert lesion.enhancing_fraction_first_post is None


def test_the_ball_grows_until_the_part_fits():
    zones = np.zeros((20, 60, 60), int)
    zones[8:12, 5:55, 28:32] = 3
    exam = zone_exam(zones, noise=0.5, spacing=(1.0, 1.0, 1.5))
    maps = compute_maps(exam, PHASES)
    seed = exam.geometry.lps_of(np.array([[10, 10, 30]]))[0]
    seen = []

    class Record:
        def step(self, fraction, message):
            seen.append(message)

    lesion, voi = lesion_from_seed(exam.signal[0], maps, seed, progress=Record())
    assert np.array_equal(lesion.mask, zones > 0)
    assert seen == [f"lesion within {r} mm of the seed" for r in (20, 30, 40, 50)]
    assert voi.source.startswith("ball of 50 mm")
    short, _ = lesion_from_seed(exam.signal[0], maps, seed, parameters=LesionParameters(seed_max_radius_mm=25))
    assert short.n_voxels < lesion.n_voxels
    points = exam.geometry.lps_of(np.argwhere(short.mask))
    assert np.linalg.norm(points - seed, axis=1).max() <= 25 + 1e-5
    assert short.notes[0].startswith("The enhancing part at the seed reaches the edge of the search region of 25 mm")


def test_the_search_stays_inside_the_breast_and_outside_omitted_voxels():
    zones = np.zeros((12, 40, 40), int)
    zones[4:8, 5:35, 18:22] = 3
    exam = zone_exam(zones, noise=0.5)
    maps = compute_maps(exam, PHASES)
    seed = exam.geometry.lps_of(np.array([[6, 10, 20]]))[0]
    breast = np.zeros(zones.shape, bool)
    breast[:, :25] = True
    lesion, _ = lesion_from_seed(exam.signal[0], maps, seed, within=breast)
    assert np.array_equal(lesion.mask, (zones > 0) & breast)
    # The breast's own border is no rim of the ball: nothing is left to grow into.
    assert lesion.notes == ()
    omit = RegionMask(np.broadcast_to(np.arange(40)[:, None] == 20, zones.shape), "vessel")
    lesion, _ = lesion_from_seed(exam.signal[0], maps, seed, omit=omit)
    expected = (zones > 0) & (np.arange(40)[:, None] < 20)
    assert np.array_equal(lesion.mask, expected)


def test_seeds_without_a_lesion_are_refused(foci):
    exam, maps, _, _ = foci

    def seed(z, y, x):
        return exam.geometry.lps_of(np.array([[z, y, x]]))[0]

    with pytest.raises(InputError, match=r"No enhancing part lies within 5 mm of the seed .* nearest is \d+ mm away"):
        lesion_from_seed(exam.signal[0], maps, seed(5, 20, 8))
    few = LesionParameters(seed_radius_mm=2, seed_step_mm=2)
    with pytest.raises(InputError, match=r"No voxel of the VOI .*ball of 2 mm around the seed"):
        lesion_from_seed(exam.signal[0], maps, seed(5, 20, 8), parameters=few)
    with pytest.raises(InputError, match="lies outside the image"):
        lesion_from_seed(exam.signal[0], maps, (500, 0, 0))
    far = LesionParameters(seed_search_mm=9.0)
    assert lesion_from_seed(exam.signal[0], maps, seed(5, 20, 8), parameters=far)[0].n_voxels == 192


def test_growing_stops_when_asked(foci):
    class Stop:
        def step(self, fraction, message):
            raise Cancelled

    exam, maps, _, _ = foci
    with pytest.raises(Cancelled):
        lesion_from_seed(exam.signal[0], maps, exam.geometry.lps_of(np.array([[5, 8, 8]]))[0], progress=Stop())


def test_rim_means_a_neighbour_outside_the_ball_but_inside_the_image():
    part = np.zeros((5, 5, 5), bool)
    part[0, 2, 2] = True
    voi = np.zeros_like(part)
    voi[:2, 1:4, 1:4] = True
    assert not reaches_rim(part, voi)
    voi[1, 3, 3] = False
    assert reaches_rim(part, voi)
    assert not reaches_rim(part, voi, within=voi)


def test_a_seed_in_the_simulated_lesion_finds_it(simulated, simulated_imaging):
    exam = simulated.exam
    lesion, _ = lesion_from_seed(exam.signal[0], simulated_imaging.maps, simulated.lesion.center_mm)
    overlap = 2 * (lesion.mask & simulated.truth_lesion).sum() / (lesion.n_voxels + simulated.truth_lesion.sum())
    assert overlap > 0.98
    assert lesion.notes == ()


def test_a_seed_in_the_real_lesion_finds_what_its_voi_gives(ucsf_exam):
    voi = read_region(require_data("ucsf-br-06", "mask"), ucsf_exam.geometry, "VOI")
    maps = compute_maps(ucsf_exam, choose_early_late(ucsf_exam.times_s))
    ftv = functional_tumor_volume(ucsf_exam.signal[0], maps, voi, FtvParameters())
    drawn = lesion_from_ftv(ftv, ucsf_exam.geometry, voi, FtvParameters()).mask
    seed = ucsf_exam.geometry.lps_of(np.array([[21, 131, 85]]))[0]
    found, _ = lesion_from_seed(ucsf_exam.signal[0], maps, seed)
    assert 2 * (found.mask & drawn).sum() / (found.n_voxels + drawn.sum()) > 0.97
    # A lesion of 94 mm: the largest ball does not hold it all, and that is said.
    assert found.notes[0].startswith("The enhancing part at the seed reaches the edge of the search region of 60 mm")


# ---- edits -----------------------------------------------------------------------------------------------------
def test_edits_survive_another_threshold():
    rng = np.random.default_rng(0)
    auto, edited, again = rng.random((3, 4, 5, 6)) < 0.5
    added, removed = edits_between(auto, edited)
    assert np.array_equal(combine_edits(auto, added, removed), edited)
    expected = (again | added) & ~removed
    assert np.array_equal(combine_edits(again, added, removed), expected)
    assert np.array_equal(combine_edits(auto), auto)
    both = np.ones_like(auto)
    both[0, 0, 0] = False
    assert combine_edits(np.ones_like(auto), both, both).sum() == 1


def test_an_edited_lesion_is_measured_anew_and_says_so(foci):
    exam, _, zones, voi = foci
    lesion = _lesion(foci)
    added = RegionMask(np.zeros(zones.shape, bool), "added.nrrd", notes=("The lesion was resampled.",))
    added.mask[7, 5:13, 5:13] = True
    removed = RegionMask(np.zeros(zones.shape, bool), "removed.nrrd")
    removed.mask[4, 5:13, 5:9] = True
    pe = first_post_enhancement(exam.signal)
    edited = lesion_with_edits(lesion, exam.geometry, pe, FtvParameters(), added, removed)
    assert np.array_equal(edited.mask, (lesion.mask | added.mask) & ~removed.mask)
    assert edited.made_by == "ftv_edited"
    assert edited.n_voxels == 192 + 64 - 32
    assert edited.volume_cc == pytest.approx(edited.n_voxels * VOXEL_MM3 / 1000)
    assert edited.ftv_cc == lesion.ftv_cc
    assert edited.enhancing_fraction_first_post == pytest.approx(160 / 224)
    assert edited.enhancing_fraction_reason is None
    assert [p.n_voxels for p in edited.parts] == [224]
    assert edited.notes[-2:] == (
        "The lesion was resampled.",
        "The lesion was edited by hand: 0.102 cc added, 0.0512 cc removed.",
    )
    twice = lesion_with_edits(edited, exam.geometry, pe, FtvParameters(), None, added)
    assert twice.made_by == "ftv_edited"
    assert twice.n_voxels == 160
    assert lesion_with_edits(lesion, exam.geometry, pe, FtvParameters(), removed=added) is lesion
    drawn = lesion_as_drawn(voi, lesion.ftv, pe, exam.geometry, FtvParameters())
    assert lesion_with_edits(drawn, exam.geometry, pe, FtvParameters(), removed=removed).made_by == "drawn_edited"


def test_edits_that_do_not_fit_are_refused():
    auto = np.ones((3, 3, 3), bool)
    with pytest.raises(InputError, match=r"added region has the array shape \(2, 2, 2\), the lesion \(3, 3, 3\)"):
        combine_edits(auto, np.ones((2, 2, 2), bool))
    with pytest.raises(InputError, match=r"removed region has the array shape"):
        combine_edits(auto, None, np.ones((2, 2, 2), bool))
    with pytest.raises(InputError, match="Nothing is left of the lesion after the edits"):
        combine_edits(auto, None, auto)
    with pytest.raises(InputError, match="must share a grid"):
        edits_between(auto, np.ones((2, 2, 2), bool))


def test_parameters_come_back_from_json():
    for parameters in (LesionParameters(keep="all"), FtvParameters(omitted="left_out")):
        assert type(parameters)(**dataclasses.asdict(parameters)) == parameters


def test_the_ball_is_the_voi_that_the_lesion_was_sought_in(foci):
    exam, maps, _, _ = foci
    seed = exam.geometry.lps_of(np.array([[5, 8, 8]]))[0]
    _, voi = lesion_from_seed(exam.signal[0], maps, seed)
    assert np.array_equal(voi.mask, voi_from_seed(exam.geometry, seed, 20.0).mask)
