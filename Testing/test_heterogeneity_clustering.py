"""Trees, consensus clustering, SigClust and agreement measures against R and scikit-learn.

Numbers marked R were printed by ConsensusClusterPlus 1.62 and sigclust 1.1.0 (R 4.2) on the same input.
"""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.cluster import AgglomerativeClustering, KMeans
from sklearn.metrics import adjusted_rand_score, cohen_kappa_score

from IITHModuleLib.heterogeneity.agreement import adjusted_rand, cohen_kappa
from IITHModuleLib.heterogeneity.consensus_clustering import ConsensusParameters, consensus_clusters
from IITHModuleLib.heterogeneity.sigclust import cluster_index, null_variances, sigclust
from IITHModuleLib.heterogeneity.tree import build_tree, correlation_distances, cut_tree, euclidean_distances
from IITHModuleLib.heterogeneity.two_means import two_means_index
from SubregionHabitatLib.errors import InputError
from support.data import require_data


@pytest.fixture(scope="module")
def sc():
    return np.genfromtxt(require_data("reference", "sc.csv"), delimiter=",", skip_header=1)


@pytest.fixture(scope="module")
def cloud():
    """One Gaussian cloud: no clusters."""
    return np.random.default_rng(7).normal(size=(80, 5)) * [3, 2, 1, 0.5, 0.2]


def test_ward_trees_equal_scikit_learn(sc):
    tree = build_tree(euclidean_distances(sc), "ward")
    for k in (2, 3, 5, 9):
        theirs = AgglomerativeClustering(k, linkage="ward").fit_predict(sc)
        assert adjusted_rand_score(cut_tree(tree, k), theirs) == 1.0, k


def test_average_linkage_on_correlations_equals_scikit_learn(sc):
    distances = correlation_distances(sc.T[:, :40])
    assert distances == pytest.approx(1 - np.corrcoef(sc.T[:, :40].T), abs=1e-12)
    labels = cut_tree(build_tree(distances, "average"), 4)
    theirs = AgglomerativeClustering(4, linkage="average", metric="precomputed").fit_predict(distances)
    assert adjusted_rand_score(labels, theirs) == 1.0


def test_cutting_gives_every_number_of_clusters_even_with_ties():
    tree = build_tree(euclidean_distances(np.zeros((6, 2))), "average")
    for k in range(1, 7):
        labels = cut_tree(tree, k)
        assert sorted(set(labels.tolist())) == list(range(k))
    assert cut_tree(tree, 6).tolist() == [0, 1, 2, 3, 4, 5]


def test_clusters_are_numbered_by_first_appearance():
    tree = build_tree(euclidean_distances(np.array([[9.0], [0.0], [9.1], [0.1], [5.0]])), "ward")
    assert cut_tree(tree, 3).tolist() == [0, 1, 0, 1, 2]


def test_consensus_areas_equal_consensusclusterplus(sc):
    """R: areas .5012 .6348 .7232 .7785 and growth .5012 .2665 .1393 .0765; both sides draw 500 random subsamples."""
    found = consensus_clusters(
        euclidean_distances(sc), ConsensusParameters(5, 500, 0.8, linkage="ward", final_linkage="ward", seed=0)
    )
    assert list(found.areas.values()) == pytest.approx([0.5012, 0.6348, 0.7232, 0.7785], abs=0.01)
    assert list(found.growth.values()) == pytest.approx([0.5012, 0.2665, 0.1393, 0.0765], abs=0.01)
    assert found.n_clusters == 4
    assert found.settled


def test_consensus_of_average_linkage_equals_consensusclusterplus(sc):
    """R with 4000 subsamples: .1164303 .4604566 .5320505 .5811556."""
    found = consensus_clusters(euclidean_distances(sc), ConsensusParameters(5, 1500, seed=1))
    assert list(found.areas.values()) == pytest.approx([0.1164303, 0.4604566, 0.5320505, 0.5811556], abs=0.006)


def test_consensus_matrix_counts_what_it_says():
    """Against a plain count on the same subsamples."""
    rng = np.random.default_rng(5)
    rows = rng.normal(size=(20, 3))
    distances = euclidean_distances(rows)
    parameters = ConsensusParameters(4, 30, 0.7, seed=2)
    found = consensus_clusters(distances, parameters)
    together, both = np.zeros((20, 20)), np.zeros((20, 20))
    draw = np.random.default_rng(2)
    for _ in range(30):
        chosen = np.sort(draw.choice(20, 14, replace=False))
        labels = cut_tree(build_tree(distances[np.ix_(chosen, chosen)], "average"), 3)
        for a, i in enumerate(chosen):
            for b, j in enumerate(chosen):
                both[i, j] += 1
                together[i, j] += labels[a] == labels[b]
    off = ~np.eye(20, dtype=bool) & (both > 0)
    assert found.matrices[3][off] == pytest.approx(together[off] / both[off])


def test_consensus_finds_clear_groups_and_repeats_with_its_seed():
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(c, 0.3, size=(15, 4)) for c in (0, 4, 8)])
    parameters = ConsensusParameters(6, 200, linkage="ward", final_linkage="ward")
    first, second = (consensus_clusters(euclidean_distances(rows), parameters) for _ in range(2))
    assert first.n_clusters == 3
    assert adjusted_rand_score(first.labels[3], np.repeat([0, 1, 2], 15)) == 1.0
    assert all(np.array_equal(first.matrices[k], second.matrices[k]) for k in first.matrices)
    assert set(np.unique(first.matrices[3])) == {0.0, 1.0}


def test_sigclust_equals_r_on_clusters(sc):
    found = sigclust(sc)
    assert found.cluster_index == pytest.approx(0.7147352, abs=5e-8)
    assert found.p <= 0.003
    assert found.p_gaussian < 0.002
    hard = sigclust(sc, eigenvalues="hard")
    assert null_variances(sc, hard.background_variance, "hard") == pytest.approx(
        [3.11346157854, 1.55005897917, *[1.37576208946] * 4], rel=1e-10
    )
    # R: p = 0.158; the standard error of both sides is 0.012.
    assert sigclust(sc, eigenvalues="sample").p == pytest.approx(0.158, abs=0.04)


def test_sigclust_equals_r_on_one_cloud(cloud):
    """R with 1000 simulations, icovest 1, 2, 3: p .362 .504 .269, mean index of the null .58794 .57567 .59859."""
    expected = {"soft": (0.362, 0.58794), "sample": (0.504, 0.57567), "hard": (0.269, 0.59859)}
    for rule, (p, mean) in expected.items():
        found = sigclust(cloud, eigenvalues=rule)
        assert found.cluster_index == pytest.approx(0.575443906209, abs=1e-11)
        assert found.p == pytest.approx(p, abs=0.06), rule
        assert found.simulated.mean() == pytest.approx(mean, abs=0.005), rule


def test_soft_eigenvalues_equal_r_where_the_total_can_be_kept(cloud):
    background = sigclust(cloud, n_simulations=10).background_variance
    assert null_variances(cloud, background, "soft") == pytest.approx(
        [7.725133864002, 3.071840622640, 0.541988293267, 0.493934586055, 0.493934586055], rel=1e-10
    )


def test_given_labels_are_tested_as_they_are(sc):
    labels = cut_tree(build_tree(euclidean_distances(sc), "ward"), 2)
    given = sigclust(sc, labels)
    assert given.labels_given
    within = sum(((sc[labels == k] - sc[labels == k].mean(axis=0)) ** 2).sum() for k in (0, 1))
    assert given.cluster_index == pytest.approx(within / ((sc - sc.mean(axis=0)) ** 2).sum(), rel=1e-12)
    assert given.cluster_index >= sigclust(sc).cluster_index
    assert sigclust(sc, np.random.default_rng(0).permutation(labels)).p == 1.0


def test_sigclust_keeps_its_level_on_clouds():
    rng = np.random.default_rng(11)
    p = [sigclust(rng.normal(size=(40, 3)), n_simulations=100, seed=i, n_starts=0).p for i in range(60)]
    assert np.mean(np.array(p) < 0.05) <= 0.10
    assert np.mean(p) > 0.4


def test_two_means_finds_what_scikit_learn_finds(sc):
    rng = np.random.default_rng(0)
    sets = np.stack([sc, rng.normal(size=sc.shape), np.r_[sc[:50] + 4, sc[50:]]])
    best = [KMeans(2, n_init=50, random_state=0).fit(x).inertia_ / ((x - x.mean(axis=0)) ** 2).sum() for x in sets]
    assert two_means_index(sets, rng, 50) == pytest.approx(best, rel=1e-9)
    assert two_means_index(np.ones((1, 9, 2)), rng, 1).tolist() == [1.0]
    assert two_means_index(np.repeat([[[0.0], [1.0]]], 3, axis=1), rng, 1).tolist() == [0.0]


def test_agreement_measures_equal_scikit_learn():
    rng = np.random.default_rng(4)
    for _ in range(20):
        a, b = rng.integers(0, 3, 40), rng.integers(0, 3, 40)
        assert adjusted_rand(a, b) == pytest.approx(adjusted_rand_score(a, b), abs=1e-12)
        assert cohen_kappa(a, b).kappa == pytest.approx(cohen_kappa_score(a, b), abs=1e-12)
    assert adjusted_rand([1, 1, 2, 2], ["x", "x", "y", "y"]) == 1.0
    assert cohen_kappa([1, 1], [1, 1]).kappa is None
    assert cohen_kappa([1, 1], [1, 1]).share == 1.0


@pytest.mark.parametrize(
    ("call", "part"),
    [
        (lambda: build_tree(np.zeros((3, 3)), "median"), "linkage 'median'"),
        (lambda: build_tree(np.zeros((1, 1)), "ward"), "at least two items"),
        (lambda: cut_tree(build_tree(np.ones((3, 3)), "ward"), 4), "into 4 clusters"),
        (lambda: consensus_clusters(np.ones((4, 4))), "too few for consensus"),
        (lambda: ConsensusParameters(max_clusters=2), "at least 3 clusters"),
        (lambda: sigclust(np.zeros((2, 2))), "at least 3"),
        (lambda: sigclust(np.ones((9, 2))), "all the same"),
        (lambda: sigclust(np.eye(5), eigenvalues="none"), "eigenvalue rule"),
        (lambda: sigclust(np.eye(5), n_simulations=1), "1 simulations"),
        (lambda: sigclust(np.full((5, 2), np.nan)), "complete rows"),
        (lambda: cluster_index(np.eye(5), np.zeros(5)), "two groups"),
        (lambda: adjusted_rand([1], [1, 2]), "patient by patient"),
        (lambda: cohen_kappa([], []), "patient by patient"),
    ],
)
def test_what_cannot_be_done_is_refused_with_a_remedy(call, part):
    with pytest.raises(InputError, match=part):
        call()
