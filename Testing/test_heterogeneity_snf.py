"""Network fusion, spectral clustering and label propagation against the R packages SNFtool 2.3.1 and Spectrum 1.1.

Numbers marked R were printed by those packages' own code (R 4.2) on the same input.
"""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from IITHModuleLib.heterogeneity.label_propagation import group_predict, propagate
from IITHModuleLib.heterogeneity.snf import (
    affinity,
    fuse_networks,
    fused_network,
    squared_distances,
    standardize,
)
from IITHModuleLib.heterogeneity.spectral import eigengap_number, spectral_clusters
from SubregionHabitatLib.errors import InputError
from support.data import require_data


@pytest.fixture(scope="module")
def views():
    """SNFtool's Data1 and Data2: 200 items, two columns each."""
    return [np.genfromtxt(require_data("reference", f"d{i}.csv"), delimiter=",", skip_header=1) for i in (1, 2)]


@pytest.fixture(scope="module")
def r_labels():
    return np.loadtxt(require_data("reference", "snf_expected_labels.csv")).astype(int)


def _third(views):
    first, second = views
    return np.stack([first[:, 0] * second[:, 1], first[:, 1] - second[:, 0], np.sin(first[:, 0])], axis=1)


def test_affinity_equals_snftool(views):
    w = affinity(squared_distances(standardize(views[0])), 13, 0.4)
    assert w[0, 1] == pytest.approx(1.05883257152e-10, rel=5e-12)
    assert w.sum() == pytest.approx(14579.3818135, rel=5e-12)
    assert np.array_equal(w, w.T)


def test_fused_network_equals_snftool_entry_by_entry(views):
    w = fused_network(views, 13, 0.4, 20)
    expected = np.loadtxt(require_data("reference", "snf_expected_fused.csv"), delimiter=",")
    assert np.abs(w - expected).max() < 1e-14
    assert w[0, 1] == pytest.approx(6.05304590888e-4, rel=5e-12)
    assert w.sum() == pytest.approx(200, rel=1e-12)
    assert np.trace(w) == pytest.approx(100, rel=1e-12)


def test_unsquared_distances_give_the_other_known_numbers(views):
    networks = [affinity(np.sqrt(squared_distances(standardize(v))), 13, 0.4) for v in views]
    assert networks[0][0, 1] == pytest.approx(7.22700944515e-07, rel=5e-12)
    assert networks[0].sum() == pytest.approx(2148.56783349, rel=5e-12)
    assert fuse_networks(networks, 13, 20)[0, 1] == pytest.approx(6.73380696481e-4, rel=5e-12)


def test_three_views_other_parameters_equal_r(views):
    w = fused_network([*views, _third(views)], k=10, sigma=0.5, iterations=15)
    assert w[0, 1] == pytest.approx(1.37279684548108e-03, rel=1e-13)
    assert w[2, 149] == pytest.approx(5.55577581239447e-04, rel=1e-13)
    assert (w**2).sum() == pytest.approx(51.2365479348807, rel=1e-13)
    for k, sizes in ((2, [90, 110]), (3, [52, 64, 84]), (4, [43, 48, 51, 58]), (5, [28, 29, 36, 42, 65])):
        assert sorted(np.bincount(spectral_clusters(w, k)).tolist()) == sizes, k
    number, values = eigengap_number(w)
    assert number == 2
    assert values[1:6] == pytest.approx(
        [0.765133026558, 0.730284230757, 0.725316496111, 0.709539974614, 0.692286199332], abs=1e-11
    )


def test_clusters_equal_snftool(views, r_labels):
    w = fused_network(views)
    labels = spectral_clusters(w, 2)
    assert sorted(np.bincount(labels).tolist()) == [99, 101]
    assert adjusted_rand_score(labels, r_labels) == 1.0
    assert eigengap_number(w)[0] == 2


def test_fusion_as_written_in_the_paper_by_plain_loops(views):
    """The definition once more, element by element, on 30 items."""
    small = [standardize(v[:30]) for v in views]
    n, k, sigma, steps = 30, 6, 0.5, 4

    def kernel(x):
        d = ((x[:, None] - x[None]) ** 2).sum(axis=2)
        near = [sorted(np.delete(d[i], i))[:k] for i in range(n)]
        w = np.zeros((n, n))
        for i in range(n):
            for j in range(n):
                width = sigma * ((np.mean(near[i]) + np.mean(near[j])) / 3 + d[i, j] / 3)
                w[i, j] = np.exp(-(d[i, j] ** 2) / (2 * width**2)) / (np.sqrt(2 * np.pi) * width)
        return w

    def normal(w):
        p = np.zeros((n, n))
        for i in range(n):
            for j in range(n):
                p[i, j] = 0.5 if i == j else w[i, j] / (2 * (w[i].sum() - w[i, i]))
        return (p + p.T) / 2

    def nearest(p):
        s = np.zeros((n, n))
        for i in range(n):
            kept = np.argsort(p[i])[-k:]
            s[i, kept] = p[i, kept] / p[i, kept].sum()
        return s

    p = [normal(kernel(x)) for x in small]
    s = [nearest(q) for q in p]
    for _ in range(steps):
        p = [normal(s[0] @ p[1] @ s[0].T), normal(s[1] @ p[0] @ s[1].T)]
    assert np.abs(fused_network(small, k, sigma, steps) - normal((p[0] + p[1]) / 2)).max() < 1e-12


def test_the_order_of_patients_does_not_matter_to_the_network(views):
    order = np.random.default_rng(0).permutation(200)
    w = fused_network(views)
    again = fused_network([v[order] for v in views])
    assert np.abs(again - w[np.ix_(order, order)]).max() < 1e-12


def test_label_propagation_equals_snftool(views, r_labels):
    """Every fifth item as new: SNFtool's groupPredict (method 1) gives all 40 their own label."""
    new = np.arange(2, 200, 5)
    known = np.setdiff1d(np.arange(200), new)
    found = group_predict([v[known] for v in views], [v[new] for v in views], r_labels[known])
    assert found.tolist() == [1] * 20 + [2] * 20


def test_propagation_on_a_chain_reaches_the_harmonic_solution():
    """Between two known ends, membership of a chain's inner nodes falls in equal steps (a random walk's hit chance)."""
    order = [0, 2, 3, 4, 1]  # ends first, because known rows come first
    network = np.zeros((5, 5))
    for a, b in itertools.pairwise(order):
        network[a, b] = network[b, a] = 1.0
    membership = propagate(network, np.eye(2))
    assert membership[[2, 3, 4], 0] == pytest.approx([0.75, 0.5, 0.25], abs=1e-12)


def test_group_names_may_be_anything_and_ties_go_to_the_lower():
    rng = np.random.default_rng(3)
    train = [np.r_[rng.normal(0, 0.1, (8, 2)), rng.normal(9, 0.1, (8, 2))] for _ in range(2)]
    test = [np.array([[0.0, 0.0], [9.0, 9.0]]) for _ in range(2)]
    assert group_predict(train, test, np.repeat(["low", "other"], 8), k=4).tolist() == ["low", "other"]


def test_a_thousand_patients_take_well_under_twenty_seconds():
    rng = np.random.default_rng(1)
    views = [rng.normal(size=(1000, 40)), rng.normal(size=(1000, 160))]
    start = time.perf_counter()
    w = fused_network(views)
    seconds = time.perf_counter() - start
    assert w.shape == (1000, 1000)
    assert w.sum() == pytest.approx(1000, rel=1e-9)
    assert seconds < 20


def test_two_cliques_are_found_and_isolated_patients_do_no_harm():
    network = np.kron(np.eye(2), np.ones((10, 10))) + 1e-6
    assert adjusted_rand_score(np.repeat([0, 1], 10), spectral_clusters(network, 2)) == 1.0
    alone = np.zeros((21, 21))
    alone[:20, :20] = network
    assert set(spectral_clusters(alone, 2).tolist()) <= {0, 1}


@pytest.mark.parametrize(
    ("call", "part"),
    [
        (lambda d: affinity(d, 5), "need at least 6 patients, there are 5"),
        (lambda d: affinity(d, 2, 0.0), "sigma"),
        (lambda d: fuse_networks([d]), "at least two views"),
        (lambda d: fuse_networks([d, np.ones((4, 4))], 2), "different numbers of patients"),
        (lambda d: fuse_networks([d, d], 2, 0), "0 iterations"),
        (lambda d: spectral_clusters(d, 1), "into 1 clusters"),
        (lambda d: spectral_clusters(d, 5), "into 5 clusters"),
        (lambda d: eigengap_number(d[:3, :3]), "at least 4"),
        (lambda d: group_predict([d], [], np.zeros(5)), "same views"),
        (lambda d: group_predict([d], [d[:, :2]], np.zeros(5)), "does not match"),
        (lambda d: group_predict([d], [np.full((1, 5), np.nan)], np.zeros(5)), "missing values"),
    ],
)
def test_what_cannot_be_done_is_refused_with_a_remedy(call, part):
    with pytest.raises(InputError, match=part):
        call(np.ones((5, 5)))
