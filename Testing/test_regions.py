"""Lesion rule, habitats, ring, interaction matrix and diameters on small arrays with known answers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from SubregionHabitatLib import lesion_surface
from SubregionHabitatLib.analysis import ImagingParameters, analyze_imaging
from SubregionHabitatLib.body import body_mask
from SubregionHabitatLib.errors import InputError
from SubregionHabitatLib.habitats import HabitatParameters, habitats_per_tumour, winsorised_z_scores
from SubregionHabitatLib.interaction import interaction_features, interaction_matrix, spatial_interaction
from SubregionHabitatLib.kinetics import compute_maps
from SubregionHabitatLib.kmeans import kmeans
from SubregionHabitatLib.lesion import FtvParameters, functional_tumor_volume, longest_diameter_mm
from SubregionHabitatLib.masks import RegionMask
from SubregionHabitatLib.ring import peritumoral_ring
from SubregionHabitatLib.timing import PhaseChoice
from support.exams import make_exam, make_geometry


# ---- functional tumor volume -----------------------------------------------------------------------------------
def _ftv(signal, voi, **parameters):
    exam = make_exam(signal, range(0, 100 * len(signal), 100))
    maps = compute_maps(exam, PhaseChoice(1, 2, "test"))
    return functional_tumor_volume(exam.signal[0], maps, RegionMask(voi, "VOI"), FtvParameters(**parameters)).mask


def test_ftv_equals_its_definition_written_as_loops():
    rng = np.random.default_rng(3)
    signal = rng.uniform(50, 150, size=(3, 5, 7, 6))
    signal[1:] *= rng.uniform(1.0, 3.0, size=(2, 5, 7, 6))
    voi = rng.random((5, 7, 6)) < 0.8
    found = _ftv(signal, voi, min_neighbours=6, min_ser=0.9)
    s = signal.astype(np.float32).astype(np.float64)
    threshold = 0.6 * np.percentile(s[0][voi], 95)
    bright = voi & (s[0] >= threshold) & (100 * (s[1] - s[0]) / s[0] >= 70)
    expected = np.zeros_like(voi)
    for z, y, x in np.argwhere(bright):
        block = bright[max(z - 1, 0) : z + 2, max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]
        ser = (s[1] - s[0])[z, y, x] / (s[2] - s[0])[z, y, x]
        expected[z, y, x] = block.sum() - 1 >= 6 and ser >= 0.9
    assert expected.sum() > 5
    assert np.array_equal(found, expected)


def test_one_bright_voxel_does_not_empty_the_ftv():
    signal = np.full((3, 6, 6, 6), 100.0)
    signal[1:] = 200.0
    signal[0, 0, 0, 0] = 1e5
    found = _ftv(signal, np.ones((6, 6, 6), bool))
    assert found.sum() == 6**3 - 1


def test_ftv_parameters_out_of_range_are_refused():
    with pytest.raises(InputError, match="background fraction"):
        FtvParameters(background_fraction=0)
    with pytest.raises(InputError, match="neighbour count"):
        FtvParameters(min_neighbours=27)
    with pytest.raises(InputError, match="Background mode"):
        FtvParameters(background="maybe")


# ---- diameter and volume ---------------------------------------------------------------------------------------
def test_longest_diameter_follows_spacing_and_direction():
    mask = np.zeros((9, 30, 30), dtype=bool)
    mask[4, 5:25, 10] = True
    turned = (0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0)
    for direction in ((1, 0, 0, 0, 1, 0, 0, 0, 1), turned):
        geometry = make_geometry(mask.shape, (0.7, 0.9, 3.0), direction=direction)
        assert longest_diameter_mm(mask, geometry) == pytest.approx(20 * 0.9)


def test_longest_diameter_of_a_ball():
    z, y, x = np.indices((21, 41, 41))
    ball = ((z - 10) * 2.0) ** 2 + (y - 20) ** 2 + (x - 20) ** 2 <= 15.2**2
    # Surface points lie half a voxel outside the outermost centres, up to 1 mm at each end along z.
    assert 30.4 - 0.5 < longest_diameter_mm(ball, make_geometry(ball.shape, (1, 1, 2))) < 30.4 + 2.0


# ---- k-means ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("seed", range(5))
def test_kmeans_agrees_with_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    rows = np.concatenate([rng.normal(m, 0.8, size=(400, 4)) for m in (-2, 0, 2.5)])
    labels, _, inertia = kmeans(rows, 3, 20, seed)
    other = KMeans(3, n_init=20, random_state=seed, tol=0, max_iter=1000).fit(rows)
    assert adjusted_rand_score(labels, other.labels_) == 1.0
    assert inertia == pytest.approx(other.inertia_, rel=1e-6)


def test_kmeans_on_more_rows_than_its_sample_reaches_the_same_optimum():
    rng = np.random.default_rng(11)
    rows = np.concatenate([rng.normal(m, 0.7, size=(12_000, 4)) for m in (-2, 0, 2.5)])
    labels, _, inertia = kmeans(rows, 3, 10, 0)
    other = KMeans(3, n_init=5, random_state=0).fit(rows)
    assert adjusted_rand_score(labels, other.labels_) > 0.9999
    assert inertia == pytest.approx(other.inertia_, rel=1e-6)


def test_kmeans_does_not_depend_on_row_order():
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(500, 4))
    order = rng.permutation(500)
    plain, shuffled = kmeans(rows, 3, 5, 7)[0], kmeans(rows[order], 3, 5, 7)[0]
    assert np.array_equal(plain[order], shuffled)


def test_identical_rows_do_not_break_kmeans():
    labels, centres, inertia = kmeans(np.ones((50, 4)), 3, 3, 0)
    assert np.isfinite(centres).all()
    assert inertia == 0
    assert len(labels) == 50


# ---- habitats --------------------------------------------------------------------------------------------------
def _three_zone_exam(noise=2.0, seed=0):
    """Slabs of 4 slices with persistent, plateau and wash-out curves."""
    rng = np.random.default_rng(seed)
    curves = np.array([[100, 180, 190, 200], [100, 240, 245, 240], [100, 330, 290, 250]], float)
    zones = np.repeat([1, 2, 3], 4)[:, None, None] * np.ones((12, 6, 6), int)
    signal = np.moveaxis(curves[zones - 1], -1, 0) + rng.normal(0, noise, size=(4, 12, 6, 6))
    return make_exam(signal, (0, 90, 180, 270)), zones


def test_habitats_are_named_in_order_of_perfusion():
    exam, zones = _three_zone_exam()
    maps = compute_maps(exam, PhaseChoice(1, 3, "test"))
    habitats = habitats_per_tumour(maps, np.ones(zones.shape, bool))
    assert np.array_equal(habitats.labels, zones)
    assert habitats.monotone
    assert habitats.names == ("poor", "moderate", "high")
    assert habitats.volumes_cc == pytest.approx((0.144, 0.144, 0.144))
    assert (np.diff(habitats.centres_z, axis=0) > 0).all()


def test_undefined_voxels_take_the_nearest_habitat():
    exam, zones = _three_zone_exam()
    signal = exam.signal.copy()
    signal[0, 5, 2, 2] = 0
    maps = compute_maps(make_exam(signal, exam.times_s), PhaseChoice(1, 3, "test"))
    habitats = habitats_per_tumour(maps, np.ones(zones.shape, bool))
    assert habitats.n_filled == 1
    assert habitats.labels[5, 2, 2] == 2


def test_too_few_voxels_for_habitats():
    exam, _ = _three_zone_exam()
    maps = compute_maps(exam, PhaseChoice(1, 3, "test"))
    lesion = np.zeros(exam.geometry.shape, bool)
    lesion[:3, :3, :3] = True
    with pytest.raises(InputError, match=r"27 voxels.*3 habitats need at least 30"):
        habitats_per_tumour(maps, lesion)


def test_habitat_parameters_are_checked():
    with pytest.raises(InputError, match=r"k in 2\.\.6"):
        HabitatParameters(k=7)


def test_winsorised_z_scores_have_no_outliers_and_flat_columns_vanish():
    rows = np.column_stack([np.r_[np.arange(100.0), 1e9], np.ones(101)])
    rows = np.column_stack([rows, rows])
    scaled, scaling = winsorised_z_scores(rows, 1.0)
    assert scaled.max() < 3
    assert (scaled[:, 1] == 0).all()
    assert scaling["wis"]["high"] < 1e8


# ---- ring ------------------------------------------------------------------------------------------------------
def test_ring_of_a_single_voxel_counts_by_millimetres():
    mask = np.zeros((21, 21, 21), dtype=bool)
    mask[10, 10, 10] = True
    ring = peritumoral_ring(mask, make_geometry(mask.shape, (3, 1, 1)), 5.0, distance_from="voxel_centres")
    assert ring.mask.sum() == 178
    assert ring.volume_cc == pytest.approx(0.534)
    assert not ring.mask[10, 10, 10]
    cubes = peritumoral_ring(mask, make_geometry(mask.shape), 5.0, distance_from="voxel_centres")
    assert cubes.mask.sum() == 514


def _ball(spacing, radius, offset):
    n = [2 * (math.ceil((radius + 6) / s) + 2) + 1 for s in spacing]
    axes = [(np.arange(m) - m // 2) * s + o for m, s, o in zip(n, spacing, offset, strict=True)]
    z, y, x = np.meshgrid(*axes, indexing="ij", sparse=True)
    return z**2 + y**2 + x**2 <= radius**2


@pytest.mark.parametrize("radius", [4.0, 8.0, 15.0])
@pytest.mark.parametrize("spacing", [(2, 1, 1), (1, 1, 1), (3, 1, 1), (2.4, 0.7, 0.7), (5, 1, 1), (2, 0.5, 0.5)])
def test_ring_has_the_volume_of_the_shell_around_the_ball(spacing, radius):
    ball = _ball(spacing, radius, np.array([0.31, -0.17, 0.42]) * spacing)
    geometry = make_geometry(ball.shape, spacing[::-1])
    shell = 4 / 3 * np.pi * ((radius + 5) ** 3 - radius**3) / 1000
    ring = peritumoral_ring(ball, geometry, 5.0)
    assert ring.volume_cc == pytest.approx(shell, rel=0.03)
    thin = peritumoral_ring(ball, geometry, 5.0, distance_from="voxel_centres")
    assert (ring.mask | ~thin.mask).all()


def test_ring_does_not_depend_on_how_many_points_are_placed_at_once(monkeypatch):
    ball = _ball((3, 1, 1), 8.0, (0.2, 0.1, 0.4))
    geometry = make_geometry(ball.shape, (1, 1, 3))
    whole = peritumoral_ring(ball, geometry, 5.0)
    monkeypatch.setattr(lesion_surface, "POINTS_AT_ONCE", 1000)
    assert np.array_equal(peritumoral_ring(ball, geometry, 5.0).mask, whole.mask)


def test_ring_of_a_lesion_that_fills_the_image_is_empty():
    ring = peritumoral_ring(np.ones((3, 4, 5), bool), make_geometry((3, 4, 5)), 5.0)
    assert not ring.mask.any()
    assert ring.volume_cc == 0


def test_ring_is_clipped_and_says_so():
    mask = np.zeros((15, 21, 21), dtype=bool)
    mask[7, 10, 10] = True
    allowed = np.zeros_like(mask)
    allowed[:, :11] = True
    ring = peritumoral_ring(mask, make_geometry(mask.shape), 5.0, [("air outside the body", allowed)])
    assert 0.5 < ring.kept_fraction < 0.7
    assert ring.clipped_by == {"air outside the body": pytest.approx(1 - ring.kept_fraction)}
    assert any("of the ring is kept (cut off: air outside the body" in note for note in ring.notes)
    assert not ring.mask[:, 11:].any()


def test_ring_at_the_edge_and_between_far_slices_is_noted():
    mask = np.zeros((5, 20, 20), dtype=bool)
    mask[2, 1, 10] = True
    geometry = make_geometry(mask.shape, (1, 1, 6))
    centers = peritumoral_ring(mask, geometry, 5.0, distance_from="voxel_centres")
    assert any("edge of the image" in note for note in centers.notes)
    assert any("only within the lesion's own slices" in note for note in centers.notes)
    assert not centers.mask[[0, 1, 3, 4]].any()
    surface = peritumoral_ring(mask, geometry, 5.0)
    assert any("between slices the ring rests on an interpolated surface" in note for note in surface.notes)
    assert surface.mask[[1, 3]].any(axis=(1, 2)).all()
    far = peritumoral_ring(mask, make_geometry(mask.shape, (1, 1, 11)), 5.0)
    assert any("only within the lesion's own slices" in note for note in far.notes)
    assert not far.mask[[0, 1, 3, 4]].any()


@pytest.mark.parametrize("radius", [0, -1, float("nan"), float("inf")])
def test_ring_radius_must_be_positive(radius):
    mask = np.ones((3, 3, 3), dtype=bool)
    with pytest.raises(InputError, match="ring radius"):
        peritumoral_ring(mask, make_geometry(mask.shape), radius)


# ---- interaction -----------------------------------------------------------------------------------------------
def _published_slice():
    labels = np.zeros((1, 5, 6), dtype=np.uint8)
    labels[0, 1:4, 1:3] = 1
    labels[0, 1:4, 3] = 2
    labels[0, 1:3, 4] = 3
    return labels


def test_interaction_matrix_of_the_published_slice():
    found = spatial_interaction(_published_slice(), 3, 2.0)
    assert found.matrix.tolist() == [[0, 19, 8, 9], [19, 22, 7, 0], [8, 7, 4, 5], [9, 0, 5, 2]]
    assert found.features["msi_contrast"] == pytest.approx(2.3225806452, abs=1e-10)
    assert found.features["msi_homogeneity"] == pytest.approx(0.5551075269, abs=1e-10)
    assert found.features["msi_correlation"] == pytest.approx(-0.1923076923, abs=1e-10)
    assert found.features["msi_energy"] == pytest.approx(0.1082206035, abs=1e-10)
    assert len(found.features) == 22
    assert found.features["msi_pair_volume_sr1"] == 44.0
    assert found.features["msi_pair_share_outside_sr3"] == pytest.approx(9 / 124)
    assert list(found.features)[4:13] == [
        f"msi_pair_volume_{n}"
        for n in ("sr1", "sr2", "sr3", "outside_sr1", "outside_sr2", "outside_sr3", "sr1_sr2", "sr1_sr3", "sr2_sr3")
    ]


def test_in_plane_neighbours_follow_the_slice_axis():
    labels = _published_slice()
    for axis in range(3):
        turned = np.moveaxis(labels, 0, axis)
        assert np.array_equal(interaction_matrix(turned, 3, slice_axis=axis), interaction_matrix(labels, 3))


@pytest.mark.parametrize(("neighbourhood", "n"), [("in_plane_8", 8), ("faces_6", 6), ("full_26", 26)])
def test_every_lesion_voxel_counts_each_of_its_neighbours(neighbourhood, n):
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 4, size=(6, 7, 8)).astype(np.uint8)
    matrix = interaction_matrix(labels, 3, neighbourhood=neighbourhood)
    assert matrix[1:].sum() == n * np.count_nonzero(labels)
    assert np.array_equal(matrix, matrix.T)
    assert matrix[0, 0] == 0


def test_interaction_without_variation_or_voxels_is_missing_with_a_reason():
    features, _, reasons = interaction_features(np.zeros((4, 4)), 1.0)
    assert np.isnan(features["msi_energy"])
    assert reasons["msi_energy"] == "no habitat voxel"
    lone = np.zeros((4, 4))
    lone[2, 2] = 5
    features, _, reasons = interaction_features(lone, 1.0)
    assert np.isnan(features["msi_correlation"])
    assert reasons == {"msi_correlation": "the labels do not vary"}
    assert features["msi_energy"] == 1.0


def test_labels_beyond_k_are_refused():
    with pytest.raises(InputError, match=r"Habitat labels must lie in 0\.\.3"):
        interaction_matrix(np.full((1, 2, 2), 4), 3)


# ---- body ------------------------------------------------------------------------------------------------------
def test_body_keeps_dark_tissue_that_is_enclosed_and_drops_air():
    image = np.zeros((8, 40, 40), dtype=np.float32)
    image[:, 8:32, 8:40] = 100.0
    image[:, 18:22, 18:22] = 0.0
    body = body_mask(image)
    assert body[:, 12:28, 12:36].all()
    assert not body[:, :5].any()
    assert body_mask(np.full((4, 20, 20), 50.0)).all()


# ---- the imaging half refuses what it cannot do -------------------------------------------------------------------
def test_a_drawn_lesion_is_kept_as_drawn_and_has_its_enhancing_fraction():
    exam, zones = _three_zone_exam(noise=0.0)
    lesion = np.ones(zones.shape, bool)
    result = analyze_imaging(
        exam, ImagingParameters(ftv=FtvParameters(pe_threshold_percent=100)), lesion=RegionMask(lesion, "drawn")
    )
    assert np.array_equal(result.lesion.mask, lesion)
    assert result.lesion.made_by == "drawn"
    assert result.lesion.enhancing_fraction_first_post == pytest.approx(2 / 3)
    assert result.lesion.ftv_cc == pytest.approx(2 / 3 * result.lesion.volume_cc)


def test_nothing_to_analyze_is_said_in_one_sentence():
    exam, zones = _three_zone_exam()
    with pytest.raises(InputError, match="Neither a VOI nor a lesion"):
        analyze_imaging(exam)
    with pytest.raises(InputError, match="is empty"):
        analyze_imaging(exam, voi=RegionMask(np.zeros(zones.shape, bool), "VOI"))
    with pytest.raises(InputError, match="has the array shape"):
        analyze_imaging(exam, voi=RegionMask(np.ones((2, 2, 2), bool), "VOI"))
    with pytest.raises(InputError, match=r"No voxel of the VOI .* lower --pe-threshold"):
        analyze_imaging(
            exam,
            ImagingParameters(ftv=FtvParameters(pe_threshold_percent=900)),
            voi=RegionMask(np.ones(zones.shape, bool), "VOI"),
        )


def test_ring_clipped_for_several_reasons_counts_each_voxel_once():
    mask = np.zeros((15, 21, 21), dtype=bool)
    mask[7, 10, 10] = True
    skin, wall = np.ones_like(mask), np.ones_like(mask)
    skin[:, :9] = False
    wall[:, :11, :10] = False
    geometry = make_geometry(mask.shape)
    full = peritumoral_ring(mask, geometry, 5.0).mask
    ring = peritumoral_ring(mask, geometry, 5.0, [("skin and air", skin), ("chest wall", wall)])
    assert ring.clipped_by["skin and air"] == pytest.approx((full & ~skin).sum() / full.sum())
    assert ring.clipped_by["chest wall"] == pytest.approx((full & skin & ~wall).sum() / full.sum())
    assert sum(ring.clipped_by.values()) == pytest.approx(1 - ring.kept_fraction)
    assert np.array_equal(ring.mask, full & skin & wall)
