"""A box that may be turned as a volume of interest."""

from __future__ import annotations

import numpy as np
import pytest

from SubregionHabitatLib.errors import InputError
from SubregionHabitatLib.geometry import Geometry
from SubregionHabitatLib.lesion_roi import voi_from_turned_box
from SubregionHabitatLib.lesion_voi import voi_from_center_size


def rotation(x, y, z) -> np.ndarray:
    a, b, c = np.deg2rad((x, y, z))
    about_x = [[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]]
    about_y = [[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]]
    about_z = [[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]]
    return np.array(about_x) @ about_y @ about_z


def grid(turn=(0, 0, 0), flip=(1, 1, 1)) -> Geometry:
    direction = rotation(*turn) @ np.diag(flip)
    return Geometry((12, 20, 24), (1.5, 1.0, 2.5), (-10.0, 20.0, 5.0), tuple(direction.ravel().tolist()))


def placed(center, turn=(0, 0, 0), scale=1.0) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation(*turn) * scale, center
    return matrix


def centre_of(geometry: Geometry) -> np.ndarray:
    return geometry.lps_of(np.array([[5, 9, 11]]))[0]


@pytest.mark.parametrize("flip", [(1, 1, 1), (-1, 1, 1), (-1, -1, 1)])
@pytest.mark.parametrize("turn", [(0, 0, 0), (12, -20, 33)])
def test_an_unturned_box_is_the_box_between_two_corners(turn, flip):
    geometry, size = grid(turn, flip), (9.0, 7.0, 12.5)
    center = centre_of(geometry)
    region = voi_from_turned_box(geometry, placed(center), size)
    assert np.array_equal(region.mask, voi_from_center_size(geometry, center, size).mask)
    assert region.notes == ()
    assert "9.0 x 7.0 x 12.5 mm" in region.source


@pytest.mark.parametrize("box_turn", [(0, 0, 45), (30, -10, 20), (90, 0, 0)])
def test_a_turned_box_holds_the_voxels_whose_centres_are_inside(box_turn):
    geometry, size = grid((5, 9, -14)), np.array([14.0, 6.0, 9.0])
    center = centre_of(geometry) + np.array([0.3, -0.2, 0.4])
    region = voi_from_turned_box(geometry, placed(center, box_turn), size)
    axes = rotation(*box_turn)
    expected = np.zeros(geometry.shape, bool)
    for zyx in np.ndindex(*geometry.shape):
        offset = geometry.lps_of(np.array([zyx]))[0] - center
        expected[zyx] = all(abs(offset @ axes[:, i]) <= size[i] / 2 for i in range(3))
    assert np.array_equal(region.mask, expected)
    assert region.mask.sum() * geometry.voxel_volume_mm3 == pytest.approx(size.prod(), rel=0.25)


def test_the_scale_of_the_matrix_counts():
    geometry = grid()
    center = centre_of(geometry)
    doubled = voi_from_turned_box(geometry, placed(center, (10, 0, 0), 2.0), (4.0, 3.0, 5.0))
    plain = voi_from_turned_box(geometry, placed(center, (10, 0, 0)), (8.0, 6.0, 10.0))
    assert np.array_equal(doubled.mask, plain.mask)


def test_a_box_beyond_the_image_is_cut_and_says_so():
    geometry = grid()
    region = voi_from_turned_box(geometry, placed(geometry.lps_of(np.array([[0, 0, 0]]))[0]), (6.0, 6.0, 6.0))
    assert region.mask[0, 0, 0]
    assert any("reaches beyond" in note for note in region.notes)


def test_boxes_without_extent_voxels_or_overlap_are_refused():
    geometry = grid()
    center = centre_of(geometry)
    with pytest.raises(InputError, match="no extent"):
        voi_from_turned_box(geometry, placed(center), (5.0, 0.0, 5.0))
    with pytest.raises(InputError, match="outside the image"):
        voi_from_turned_box(geometry, placed(center + 500.0), (5.0, 5.0, 5.0))
    between = geometry.lps_of(np.array([[5.5, 9.5, 11.5]]))[0]
    with pytest.raises(InputError, match="holds no voxel"):
        voi_from_turned_box(geometry, placed(between), (0.2, 0.2, 0.2))
    with pytest.raises(ValueError, match="finite"):
        voi_from_turned_box(geometry, placed(center), (5.0, np.nan, 5.0))
