"""Planes of a report: anatomical letters, radiological orientation, true proportions, choice of the slice."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from RadiogenomicReportLib.case_report import CasePictures
from RadiogenomicReportLib.figures_planes import direction_letters, largest_slice, lesion_views, planes_of
from RadiogenomicReportLib.figures_slices import display_window, map_pictures, scale_bar_mm, slice_pictures
from SubregionHabitatLib.geometry import Geometry
from support.report_cases import pixels

# Columns: LPS direction of the array's x, y and z axis.
AXIAL = np.eye(3)
SAGITTAL = np.array([[0, 0, -1], [1, 0, 0], [0, -1, 0]], dtype=float)
CORONAL = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]], dtype=float)
LETTERS = {
    "axial": ("R", "L", "A", "P"),
    "sagittal": ("A", "P", "H", "F"),
    "coronal": ("R", "L", "H", "F"),
}


def grid(direction, shape=(10, 12, 14), spacing=(0.7, 0.9, 2.5)):
    return Geometry(shape, spacing, (3.0, -5.0, 7.0), tuple(np.asarray(direction, float).ravel()))


@pytest.mark.parametrize(("direction", "name"), [(AXIAL, "axial"), (SAGITTAL, "sagittal"), (CORONAL, "coronal")])
@pytest.mark.parametrize("flips", list(itertools.product((1, -1), repeat=3)))
def test_letters_are_radiological_however_the_array_is_stored(direction, name, flips):
    planes = planes_of(grid(direction * np.array(flips)))
    assert planes[0].name == name
    assert {p.name: p.letters for p in planes} == LETTERS


@pytest.mark.parametrize("direction", [AXIAL, SAGITTAL, CORONAL])
@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, 1, -1), (1, -1, -1)])
def test_pixels_lie_where_the_letters_say(direction, flips):
    """The picture's last column is further to the side of the right letter than its first; same for rows."""
    geometry = grid(direction * np.array(flips))
    lps = geometry.lps_of(np.indices(geometry.shape).reshape(3, -1).T).reshape(*geometry.shape, 3)
    towards = {"L": (0, 1), "R": (0, -1), "P": (1, 1), "A": (1, -1), "H": (2, 1), "F": (2, -1)}
    for plane in planes_of(geometry):
        for letter, first, last in (
            (plane.letters[1], (0, 0), (0, -1)),
            (plane.letters[3], (0, 0), (-1, 0)),
            (plane.letters[0], (0, -1), (0, 0)),
            (plane.letters[2], (-1, 0), (0, 0)),
        ):
            axis, sign = towards[letter]
            shown = plane.slice_of(lps[..., axis], 2)
            assert sign * (shown[last] - shown[first]) > 1.0


def test_the_acquisition_plane_comes_first():
    for axis in range(3):
        planes = planes_of(grid(SAGITTAL), axis)
        assert planes[0].axis == axis
        assert sorted(p.axis for p in planes) == [0, 1, 2]
    assert planes_of(grid(SAGITTAL), 0)[0].name == "sagittal"


def test_oblique_axes_get_a_second_letter_and_the_plane_says_so():
    turned = Rotation.from_euler("z", 30, degrees=True).as_matrix()
    axial, *others = planes_of(grid(turned))
    assert axial.name == "axial"  # turned within its own plane
    # The row axis points to (cos 30, sin 30, 0): left and a bit posterior.
    assert axial.letters == ("RA", "LP", "AL", "PR")
    assert {p.name for p in others} == {"oblique sagittal", "oblique coronal"}
    tilted = planes_of(grid(Rotation.from_euler("x", 20, degrees=True).as_matrix()))
    assert tilted[0].name == "oblique axial"
    assert tilted[0].letters == ("R", "L", "AF", "PH")


def test_a_small_tilt_changes_neither_letters_nor_name():
    planes = planes_of(grid(Rotation.from_euler("xyz", (4, -3, 5), degrees=True).as_matrix()))
    assert {p.name: p.letters for p in planes} == LETTERS


@pytest.mark.parametrize(
    ("vector", "letters"),
    [((1, 0, 0), "L"), ((0, -1, 0), "A"), ((0, 0, 1), "H"), ((-0.6, 0.8, 0), "PR"), ((0.1, 0.05, -0.99), "F")],
)
def test_direction_letters(vector, letters):
    assert direction_letters(np.array(vector)) == letters


def test_spacing_follows_the_shown_axes():
    by_name = {p.name: p.spacing_mm for p in planes_of(grid(AXIAL, spacing=(0.7, 0.9, 2.5)))}
    assert by_name == {"axial": (0.7, 0.9), "coronal": (0.7, 2.5), "sagittal": (0.9, 2.5)}
    by_name = {p.name: p.spacing_mm for p in planes_of(grid(SAGITTAL, spacing=(0.7, 0.9, 2.5)))}
    assert by_name == {"sagittal": (0.7, 0.9), "axial": (2.5, 0.7), "coronal": (2.5, 0.9)}


def test_largest_slice_takes_the_middle_of_equal_ones_and_refuses_none():
    assert largest_slice(np.array([0, 3, 9, 9, 9, 1])) == 3
    assert largest_slice(np.array([0, 5, 9, 1])) == 2
    with pytest.raises(ValueError, match="no slice"):
        largest_slice(np.zeros(4))


def test_views_show_the_largest_area_at_one_scale_with_the_region_in_the_square():
    geometry = grid(SAGITTAL * np.array((1, -1, 1)), shape=(30, 60, 50), spacing=(1.0, 0.5, 3.0))
    lesion = np.zeros(geometry.shape, dtype=bool)
    lesion[10:14, 20:40, 30:38] = True
    lesion[12, 15:45, 28:40] = True
    ring = np.zeros_like(lesion)
    ring[8:16, 10:50, 24:44] = True
    views = lesion_views(geometry, lesion, ring & ~lesion, context_mm=5.0)
    sides = {v.side_mm for v in views}
    assert sides == {8 * 3.0 + 10}  # the longest extent is 8 slices of 3 mm
    assert views[0].index == 12
    assert views[0].lesion_area_cm2 == pytest.approx(30 * 12 * 0.5 / 100)
    for view in views:
        shown = view.plane.slice_of(ring | lesion, view.index)
        rows, columns = np.nonzero(shown)
        middle_h = (columns.min() + columns.max() + 1) / 2 * view.plane.spacing_mm[0]
        middle_v = (rows.min() + rows.max() + 1) / 2 * view.plane.spacing_mm[1]
        assert (middle_h, middle_v) == pytest.approx(view.center_mm)


def test_a_ball_is_drawn_round_in_every_plane_in_spite_of_thick_slices():
    geometry = grid(SAGITTAL, shape=(24, 90, 80), spacing=(0.6, 0.8, 2.4))
    index = np.indices(geometry.shape).reshape(3, -1).T
    middle = geometry.lps_of(np.array([[12.0, 45.0, 40.0]]))
    distance = np.linalg.norm(geometry.lps_of(index) - middle, axis=1).reshape(geometry.shape)
    ball = distance <= 18.0
    none = np.zeros(geometry.shape, dtype=bool)
    image = np.random.default_rng(3).normal(300, 5, geometry.shape)
    pictures = CasePictures(image, geometry, ball, ball.astype(np.uint8), none, {}, {}, 0)
    views = lesion_views(geometry, ball, none)
    for view, picture in zip(views, slice_pictures(pictures, ("poor",))[1:], strict=True):
        shown = pixels(picture.src)
        blue = shown[..., 2] - shown[..., 0] > 0.25  # the first habitat's color
        rows, columns = np.nonzero(blue)
        per_mm = shown.shape[0] / view.side_mm
        width, height = np.ptp(columns) / per_mm, np.ptp(rows) / per_mm
        # A ball of radius 18 mm is 36 mm wide, give or take the voxels at its border (and the outline's width).
        assert width == pytest.approx(36.0, abs=view.plane.spacing_mm[0] + 0.5)
        assert height == pytest.approx(36.0, abs=view.plane.spacing_mm[1] + 0.5)


def test_the_mirrored_array_gives_the_same_picture():
    """Storage order must not show: a mirrored array with the mirrored direction is the same patient."""
    rng = np.random.default_rng(5)
    shape = (12, 20, 16)
    lesion = np.zeros(shape, dtype=bool)
    lesion[4:8, 6:12, 5:11] = True
    lesion[5, 7:15, 5:9] = True
    habitats = np.where(lesion, rng.integers(1, 4, shape), 0).astype(np.uint8)
    image = rng.normal(100, 20, shape)
    none = np.zeros(shape, dtype=bool)
    geometry = grid(AXIAL, shape=shape)
    flipped = dataclasses.replace(
        geometry,
        direction=tuple((AXIAL * np.array((-1, 1, -1))).ravel()),
        origin_mm=tuple(float(v) for v in geometry.lps_of(np.array([[shape[0] - 1, 0, shape[2] - 1]]))[0]),
    )

    def drawn(geometry, turn):
        pictures = CasePictures(turn(image), geometry, turn(lesion), turn(habitats), none, {}, {}, 0)
        return [pixels(p.src) for p in slice_pictures(pictures, ("poor", "moderate", "high"))]

    straight = drawn(geometry, lambda a: a)
    mirrored = drawn(flipped, lambda a: a[::-1, :, ::-1])
    # The last slice chosen among equals may differ by storage order only where areas tie; here none do in-plane.
    for first, second in zip(straight[:2], mirrored[:2], strict=True):
        np.testing.assert_allclose(first, second, atol=2 / 255)


@pytest.mark.parametrize(("side", "length"), [(40.0, 5.0), (55.0, 10.0), (140.0, 20.0), (320.0, 50.0), (10.0, 2.0)])
def test_scale_bar_is_round_and_about_a_fifth(side, length):
    assert scale_bar_mm(side) == length


def test_display_window_survives_flat_and_empty_images():
    assert display_window(np.full(10, 7.0)) == (6.5, 7.5)
    assert display_window(np.full(10, np.nan)) == (0.0, 1.0)
    low, high = display_window(np.arange(1001.0))
    assert (low, high) == pytest.approx((10.0, 997.0))


def test_a_map_without_values_says_why_and_has_no_scale():
    """An exam without times has no slopes; a scale from 0 to 1 beside an empty map would read as zeros."""
    geometry = grid(AXIAL)
    lesion = np.zeros(geometry.shape, dtype=bool)
    lesion[3:7, 4:8, 4:9] = True
    values, none = np.where(lesion, 120.0, 1.0), np.full(geometry.shape, np.nan)
    maps = {"pe_peak": values, "ser": none, "wis": none, "wos": none}
    units = {"pe_peak": "%", "ser": "1", "wis": "1/min", "wos": "1/min"}
    pictures = CasePictures(values, geometry, lesion, lesion.astype(np.uint8), ~lesion, maps, units, 0)
    captions = [picture.caption for picture in map_pictures(pictures)]
    assert captions[0] == "Peak enhancement: enhancement at the highest phase"
    assert captions[1].endswith("not defined in any voxel of lesion and ring")
    assert [c.split(": ")[1] for c in captions[2:]] == [
        "not defined, because the times of the phases are not known"
    ] * 2
