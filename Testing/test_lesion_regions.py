"""Points, boxes and balls in mm on anisotropic and oblique grids, and unions of regions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from SubregionHabitatLib.errors import InputError
from SubregionHabitatLib.lesion_points import nearest_voxel, parse_point, point_lps
from SubregionHabitatLib.lesion_voi import union_of, voi_from_box, voi_from_center_size, voi_from_seed
from SubregionHabitatLib.masks import RegionMask
from support.exams import make_geometry

SAGITTAL = (0.0, 0.0, -1.0, 1.0, 0.0, 0.0, 0.0, -1.0, 0.0)


def _oblique():
    a, b = np.radians([25, -15])
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    return tuple((about_z @ about_x).ravel())


GRIDS = {
    "axial": make_geometry((14, 20, 22), (0.8, 0.9, 2.5), (-10, 5, 30)),
    "sagittal": make_geometry((14, 20, 22), (0.7, 0.7, 2.0), (40, -60, 10), SAGITTAL),
    "oblique": make_geometry((14, 20, 22), (0.8, 0.9, 2.5), (-10, 5, 30), _oblique()),
}


def _centres(geometry):
    return geometry.lps_of(np.argwhere(np.ones(geometry.shape, bool))).reshape(*geometry.shape, 3)


# ---- points ----------------------------------------------------------------------------------------------------
def test_points_in_three_spaces_meet():
    geometry = GRIDS["sagittal"]
    assert parse_point(" 3, 4 ,5") == (3.0, 4.0, 5.0)
    lps = point_lps((3, 4, 5), "index", geometry)
    assert lps == pytest.approx(tuple(geometry.lps_of(np.array([[5, 4, 3]]))[0]))
    assert point_lps((-lps[0], -lps[1], lps[2]), "ras", geometry) == pytest.approx(lps)
    assert point_lps(lps, "lps", geometry) == pytest.approx(lps)
    assert nearest_voxel(lps, geometry) == (5, 4, 3)
    assert nearest_voxel(np.add(lps, 0.3), geometry) == (5, 4, 3)


@pytest.mark.parametrize("text", ["", "1,2", "1,2,3,4", "a,b,c", "1,2,nan", "1,2,inf"])
def test_points_that_are_none_are_refused(text):
    with pytest.raises(InputError, match=r"The seed .* is not three numbers; write for example 12\.5,-30,8"):
        parse_point(text, "seed")


def test_unknown_spaces_and_points_outside_are_refused():
    geometry = GRIDS["axial"]
    with pytest.raises(InputError, match="space 'mni' of the seed is unknown"):
        point_lps((1, 2, 3), "mni", geometry, "seed")
    with pytest.raises(InputError, match="point must be three finite numbers"):
        point_lps((1, float("nan"), 3), "lps", geometry)
    with pytest.raises(
        InputError, match=r"seed \(900\.0, 0\.0, 0\.0\) mm LPS lies outside the image; check .* LPS, RAS"
    ):
        nearest_voxel((900, 0, 0), geometry)


# ---- boxes -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", GRIDS)
def test_a_box_holds_the_voxels_whose_centres_lie_in_it(name):
    geometry = GRIDS[name]
    centres = _centres(geometry)
    a, b = centres[4, 5, 6] + [0.2, -0.1, 0.3], centres[9, 15, 17] + [0.1, 0.4, -0.2]
    expected = ((centres >= np.minimum(a, b)) & (centres <= np.maximum(a, b))).all(axis=-1)
    assert 10 < expected.sum() < expected.size / 2
    for swap in itertools.product([False, True], repeat=3):
        first, second = np.where(swap, b, a), np.where(swap, a, b)
        found = voi_from_box(geometry, first, second)
        assert np.array_equal(found.mask, expected)
    assert found.notes == ()
    again = voi_from_center_size(geometry, (a + b) / 2, np.abs(b - a))
    assert np.array_equal(again.mask, expected)


@pytest.mark.parametrize("name", GRIDS)
def test_a_box_along_the_image_is_a_block_of_voxels(name):
    geometry = GRIDS[name]
    centres = _centres(geometry)
    found = voi_from_box(geometry, centres[4, 15, 6], centres[9, 5, 17], axes="image")
    expected = np.zeros(geometry.shape, bool)
    expected[4:10, 5:16, 6:18] = True
    assert np.array_equal(found.mask, expected)
    middle = (centres[4, 15, 6] + centres[9, 5, 17]) / 2
    size = np.array([11, 10, 5]) * geometry.spacing_mm
    assert np.array_equal(voi_from_center_size(geometry, middle, size, axes="image").mask, expected)


def test_corners_on_voxel_centres_count_whatever_their_last_digits():
    geometry = make_geometry((10, 10, 10), (0.1 + 0.2, 0.7, 1.1), (0.1, 0.2, 0.3))
    a, b = geometry.lps_of(np.array([[2, 2, 2], [7, 7, 7]]))
    for wobble in (0, 1e-9, -1e-9):
        assert voi_from_box(geometry, a + wobble, b - wobble).mask.sum() == 6**3


def test_a_box_beyond_the_image_is_noted_and_outside_it_refused():
    geometry = GRIDS["axial"]
    far = geometry.lps_of(np.array([[5, 5, 100]]))[0]
    found = voi_from_box(geometry, geometry.lps_of(np.array([[2, 2, 2]]))[0], far)
    assert found.mask.sum() == 4 * 4 * 20
    assert found.notes[0].endswith("reaches beyond the image; the part inside it is used.")
    with pytest.raises(InputError, match=r"box .* lies outside the image; check the coordinates"):
        voi_from_box(geometry, far, far + 5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda g: voi_from_box(g, (0, 0, 0), (1, 1, 1), axes="diagonal"), "box axes 'diagonal' are unknown"),
        (lambda g: voi_from_box(g, (0, 0), (1, 1, 1)), "corner of the box must be three finite numbers"),
        (
            lambda g: voi_from_box(g, (-9.9, 5.1, 30.1), (-9.8, 5.2, 30.2)),
            "holds no voxel of the image; make it larger",
        ),
        (lambda g: voi_from_center_size(g, (0, 10, 40), (5, 0, 5)), "must be three positive numbers of mm"),
        (lambda g: voi_from_center_size(g, (0, 10, 40), (5, 5)), "must be three positive numbers of mm"),
        (lambda g: voi_from_seed(g, (0, 10, 40), 0), "radius around the seed must be a positive number"),
        (lambda g: voi_from_seed(g, (0, 10, 40), float("nan")), "radius around the seed must be a positive number"),
        (lambda g: voi_from_seed(g, (0, 10, 40), 5, "star"), "VOI shape 'star' is unknown"),
        (lambda g: voi_from_seed(g, (0, 10, 400), 5), r"seed \(0\.0, 10\.0, 400\.0\) mm LPS lies outside the image"),
        (
            lambda g: voi_from_seed(g, (0, 10, 40), 5, within=np.zeros(g.shape, bool)),
            "seed .* lies outside the breast mask",
        ),
    ],
)
def test_regions_that_cannot_be_made_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make(GRIDS["axial"])


# ---- balls -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("radius", [2.6, 6.0, 40.0])
def test_a_ball_is_round_in_mm(name, radius):
    geometry = GRIDS[name]
    centres = _centres(geometry)
    seed = centres[6, 9, 10] + [0.2, 0.3, -0.4]
    expected = np.linalg.norm(centres - seed, axis=-1) <= radius
    found = voi_from_seed(geometry, seed, radius)
    assert np.array_equal(found.mask, expected)
    assert bool(found.notes) == (radius == 40.0)
    within = np.arange(geometry.shape[2]) >= 8
    inside = voi_from_seed(geometry, seed, radius, within=np.broadcast_to(within, geometry.shape))
    assert np.array_equal(inside.mask, expected & within)
    box = voi_from_seed(geometry, seed, radius, "box")
    assert np.array_equal(box.mask, (np.abs(centres - seed) <= radius).all(axis=-1))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-40, 60), min_size=6, max_size=6), st.sampled_from(sorted(GRIDS)))
def test_any_two_corners_give_the_brute_force_box_or_one_clear_refusal(values, name):
    geometry = GRIDS[name]
    a, b = np.array(values[:3]), np.array(values[3:])
    centres = _centres(geometry)
    low, high = np.minimum(a, b) - 1e-5, np.maximum(a, b) + 1e-5
    expected = ((centres >= low) & (centres <= high)).all(axis=-1)
    if expected.any():
        assert np.array_equal(voi_from_box(geometry, a, b).mask, expected)
        return
    with pytest.raises(InputError, match=r"lies outside the image|holds no voxel of the image"):
        voi_from_box(geometry, a, b)


# ---- unions ----------------------------------------------------------------------------------------------------
def test_regions_are_taken_together():
    first = RegionMask(np.eye(3, dtype=bool)[None], "a.nrrd", notes=("one",))
    second = RegionMask(np.fliplr(np.eye(3, dtype=bool))[None], "b.nrrd", notes=("two",))
    both = union_of([first, second])
    assert both.mask.sum() == 5
    assert (both.source, both.notes) == ("omit regions", ("one", "two"))
    assert union_of([first]).source == "a.nrrd"
    assert union_of([]) is None
    with pytest.raises(InputError, match="omit regions lie on different grids"):
        union_of([first, RegionMask(np.ones((2, 2, 2), bool), "c.nrrd")])
