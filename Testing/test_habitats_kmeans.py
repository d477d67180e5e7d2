"""k-means against scikit-learn's, and supervoxels against what they promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial.distance import cdist
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from SubregionHabitatLib import kmeans as module
from SubregionHabitatLib import supervoxels as supervoxel_module
from SubregionHabitatLib.errors import Cancelled
from SubregionHabitatLib.habitat_vectors import HABITAT_FEATURES, fit_scaling
from SubregionHabitatLib.kmeans import kmeans, nearest_centre
from SubregionHabitatLib.supervoxels import supervoxel_count, supervoxels
from support.exams import make_geometry
from support.zone_exams import slabs, zone_maps


def _blobs(n, spread, seed, means=(-2, 0, 2.5)):
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.normal(m, spread, size=(n, 4)) for m in means])


# ---- k-means ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("k", [2, 3, 4, 5, 6])
def test_same_optimum_as_scikit_learn_for_every_k(k):
    means = np.linspace(-6, 6, k)
    rows = _blobs(300, 0.7, k, means)
    labels, centres, inertia = kmeans(rows, k, 20, 1)
    other = KMeans(k, n_init=20, random_state=1, tol=0, max_iter=1000).fit(rows)
    assert adjusted_rand_score(labels, other.labels_) == 1.0
    assert inertia == pytest.approx(other.inertia_, rel=1e-6)
    assert np.allclose(np.sort(centres, axis=0), np.sort(other.cluster_centers_, axis=0), atol=1e-9)


def test_same_labels_as_scikit_learn_on_the_z_scores_of_a_simulated_lesion(simulated, simulated_imaging):
    maps, lesion = simulated_imaging.maps, simulated_imaging.lesion.mask
    vectors = np.stack([maps.wis, -maps.wos, maps.ser, maps.pe_peak], axis=-1)[lesion].astype(float)
    scaled = fit_scaling(vectors, 1.0, HABITAT_FEATURES).z(vectors)
    other = KMeans(3, n_init=20, random_state=5, tol=0, max_iter=1000).fit(scaled)
    assert adjusted_rand_score(other.labels_, simulated_imaging.habitats.labels[lesion]) == 1.0
    assert simulated_imaging.habitats.inertia == pytest.approx(other.inertia_, rel=1e-6)


def test_starts_on_a_sample_reach_the_optimum_of_all_rows(monkeypatch):
    monkeypatch.setattr(module, "START_ROWS", 3000)
    rows = _blobs(8000, 1.0, 3)
    labels, _, inertia = kmeans(rows, 3, 10, 0)
    other = KMeans(3, n_init=5, random_state=0, tol=0, max_iter=1000).fit(rows)
    assert inertia == pytest.approx(other.inertia_, rel=1e-6)
    assert adjusted_rand_score(labels, other.labels_) > 0.999


def test_optima_that_tie_on_the_sample_are_all_refined():
    starts = [(None, np.full((2, 1), i), inertia) for i, inertia in enumerate([1.005, 1.0, 1.0, 1.02, 1.001])]
    assert [int(c[0, 0]) for c in module._worth_refining(starts)] == [1, 4, 0]


def test_seed_and_row_order_do_not_change_clear_clusters():
    rows = _blobs(200, 0.6, 9)
    order = np.random.default_rng(1).permutation(len(rows))
    first = kmeans(rows, 3, 10, 0)
    for seed in range(1, 6):
        other = kmeans(rows[order], 3, 10, seed)
        assert adjusted_rand_score(first[0][order], other[0]) == 1.0
        assert other[2] == pytest.approx(first[2], rel=1e-12)


def test_nearest_centre_equals_all_distances():
    rng = np.random.default_rng(4)
    rows, centres = rng.normal(size=(40_000, 4)), rng.normal(size=(5, 4))
    labels, squared = nearest_centre(rows, centres)
    expected = cdist(rows, centres, "sqeuclidean")
    assert np.array_equal(labels, expected.argmin(axis=1))
    assert np.allclose(squared, expected.min(axis=1), rtol=1e-12)


def test_more_clusters_than_distinct_rows_still_gives_a_clustering():
    rows = np.repeat([[0.0], [1.0]], 10, axis=0)
    labels, _, inertia = kmeans(rows, 3, 3, 0)
    assert inertia == 0
    assert len(set(labels[:10]) & set(labels[10:])) == 0
    with pytest.raises(ValueError, match="2 rows cannot make 3 clusters"):
        kmeans(rows[:2], 3, 1, 0)


def test_kmeans_stops_when_asked():
    class Stop:
        def step(self, fraction, message):
            if fraction >= 0.5:
                raise Cancelled

    with pytest.raises(Cancelled):
        kmeans(_blobs(50, 1.0, 0), 3, 10, 0, Stop())


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(-5, 5), st.integers(-5, 5)), min_size=8, max_size=40), st.integers(2, 4))
def test_every_row_lies_with_its_nearest_centre(points, k):
    rows = np.array(points, dtype=float)
    labels, centres, inertia = kmeans(rows, k, 3, 0)
    distances = cdist(rows, centres, "sqeuclidean")
    assert np.isfinite(centres).all()
    assert np.allclose(distances[np.arange(len(rows)), labels], distances.min(axis=1))
    assert inertia == pytest.approx(distances.min(axis=1).sum())


# ---- scaling ---------------------------------------------------------------------------------------------------
def test_scaling_equals_its_definition_and_ignores_row_order():
    rng = np.random.default_rng(0)
    rows = rng.lognormal(size=(997, 4))
    scaling = fit_scaling(rows, 1.0, HABITAT_FEATURES)
    low, high = np.percentile(rows, [1, 99], axis=0)
    clipped = np.clip(rows, low, high)
    assert np.allclose(scaling.z(rows), (clipped - clipped.mean(axis=0)) / clipped.std(axis=0), atol=1e-12)
    again = fit_scaling(rows[rng.permutation(997)], 1.0, HABITAT_FEATURES)
    for key in ("low", "high", "mean", "sd"):
        assert np.array_equal(getattr(scaling, key), getattr(again, key)), key
    assert scaling.outside_share(rows) == np.mean(((rows < low) | (rows > high)).any(axis=1))


# ---- supervoxels -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("voxels", "count"), [(30, 30), (999, 30), (1000, 50), (9999, 50), (10_000, 60), (99_999, 60), (100_000, 80)]
)
def test_supervoxel_counts_by_lesion_size(voxels, count):
    assert supervoxel_count(voxels) == count


def _supervoxels_of(mask, geometry, z, n=50, compactness=2.0):
    index = np.argwhere(mask)
    return supervoxels(z, geometry.lps_of(index), index, n, geometry.voxel_volume_mm3, compactness)


def _ball(shape, spacing, radius):
    geometry = make_geometry(shape, spacing)
    middle = geometry.lps_of((np.array([shape]) - 1) / 2)[0]
    points = geometry.lps_of(np.argwhere(np.ones(shape, bool)))
    return (np.linalg.norm(points - middle, axis=1) <= radius).reshape(shape), geometry


def test_supervoxels_are_connected_compact_in_mm_and_about_as_many_as_asked_for():
    mask, geometry = _ball((13, 33, 33), (0.7, 0.7, 2.0), 11.0)
    z = np.random.default_rng(0).normal(size=(int(mask.sum()), 4)) * 0.05
    labels = _supervoxels_of(mask, geometry, z)
    assert 35 <= labels.max() + 1 <= 65
    volume = np.zeros(mask.shape, int)
    volume[mask] = labels + 1
    width = (mask.sum() * geometry.voxel_volume_mm3 / 50) ** (1 / 3)
    for label in range(1, volume.max() + 1):
        assert ndimage.label(volume == label, structure=np.ones((3, 3, 3)))[1] == 1
        extent = np.ptp(geometry.lps_of(np.argwhere(volume == label)), axis=0)
        # Without texture a supervoxel is a block about as wide in z (2 mm slices) as in the plane.
        assert (extent < 2.2 * width).all()


# Twenty sampled voxels per supervoxel place its centre less exactly than all of them.
@pytest.mark.parametrize(("sampled", "pure"), [(50_000, 1.0), (1000, 0.995)], ids=["all voxels", "a sample"])
def test_supervoxels_keep_to_the_borders_of_zones(monkeypatch, sampled, pure):
    monkeypatch.setattr(supervoxel_module, "SAMPLED_VOXELS", sampled)
    zones = slabs((12, 20, 20))
    maps = zone_maps(zones, noise=2.0)
    vectors = np.stack([maps.wis, -maps.wos, maps.ser, maps.pe_peak], axis=-1).reshape(-1, 4).astype(float)
    z = fit_scaling(vectors, 1.0, HABITAT_FEATURES).z(vectors)
    labels = _supervoxels_of(np.ones(zones.shape, bool), maps.geometry, z)
    assert 30 <= labels.max() + 1 <= 75
    table = np.zeros((labels.max() + 1, 4), int)
    np.add.at(table, (labels, zones.ravel()), 1)
    assert table.max(axis=1).sum() >= pure * zones.size


def test_supervoxels_do_not_depend_on_voxel_order():
    mask, geometry = _ball((9, 21, 21), (1.0, 1.0, 2.5), 9.0)
    z = np.random.default_rng(3).normal(size=(int(mask.sum()), 4))
    labels = _supervoxels_of(mask, geometry, z)
    order = np.random.default_rng(4).permutation(len(labels))
    index = np.argwhere(mask)[order]
    again = supervoxels(z[order], geometry.lps_of(index), index, 50, geometry.voxel_volume_mm3, 2.0)
    assert np.array_equal(labels[order], again)


def test_islands_stay_supervoxels_of_their_own():
    mask = np.zeros((3, 30, 30), bool)
    mask[:, :10, :10] = True
    mask[1, 25, 25] = True
    z = np.zeros((int(mask.sum()), 4))
    labels = _supervoxels_of(mask, make_geometry(mask.shape), z, n=12)
    island = np.flatnonzero((np.argwhere(mask) == (1, 25, 25)).all(axis=1))[0]
    assert np.count_nonzero(labels == labels[island]) == 1


def test_pure_noise_falls_back_to_the_cells_of_the_grid():
    mask, geometry = _ball((14, 34, 34), (1.0, 1.0, 2.0), 13.0)
    z = np.random.default_rng(5).normal(size=(int(mask.sum()), 4))
    labels = _supervoxels_of(mask, geometry, z, compactness=0.0)
    volume = np.zeros(mask.shape, int)
    volume[mask] = labels + 1
    assert 30 <= volume.max() <= 75
    for label in range(1, volume.max() + 1):
        assert ndimage.label(volume == label, structure=np.ones((3, 3, 3)))[1] == 1
