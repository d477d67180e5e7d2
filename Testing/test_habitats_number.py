"""The number of habitats by silhouette and by the gap statistic."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.metrics import silhouette_score

from SubregionHabitatLib.errors import InputError
from SubregionHabitatLib.habitat_clustering import cluster_rows
from SubregionHabitatLib.habitat_number import choose_k, mean_silhouette
from SubregionHabitatLib.habitat_parameters import HabitatParameters
from SubregionHabitatLib.habitats import find_habitats
from SubregionHabitatLib.kmeans import kmeans
from support.zone_exams import slabs, zone_maps


def _clusters(k, n=150, spread=0.4, seed=0):
    rng = np.random.default_rng(seed)
    corners = np.array([[0, 0, 0, 0], [6, 0, 0, 0], [0, 6, 0, 0], [0, 0, 6, 0], [0, 0, 0, 6], [6, 6, 6, 6]], float)
    return np.concatenate([rng.normal(c, spread, size=(n, 4)) for c in corners[:k]])


def _choose(rows, method, **change):
    parameters = HabitatParameters(choose_k=method, n_init=5, **change)
    return choose_k(rows, parameters, lambda r, k: cluster_rows(r, k, parameters)[0])


@pytest.mark.parametrize("k", [2, 3, 4, 5, 6])
def test_silhouette_equals_scikit_learns(k):
    rows = np.random.default_rng(k).normal(size=(300, 4))
    labels = kmeans(rows, k, 3, 0)[0]
    assert mean_silhouette(cdist(rows, rows), labels) == pytest.approx(silhouette_score(rows, labels), abs=1e-12)


def test_silhouette_of_lone_members_is_zero():
    rows = np.array([[0.0], [1.0], [10.0]])
    labels = np.array([0, 0, 1])
    assert mean_silhouette(cdist(rows, rows), labels) == pytest.approx(silhouette_score(rows, labels))


@pytest.mark.parametrize("method", ["silhouette", "gap"])
@pytest.mark.parametrize("k", [2, 3, 4, 5])
def test_the_true_number_of_clusters_is_found(method, k):
    choice = _choose(_clusters(k), method)
    assert choice.k == k
    assert choice.candidates == (2, 3, 4, 5, 6)
    assert len(choice.values) == 5
    assert choice.notes == ()


def test_gap_equals_its_definition():
    rows = _clusters(3, n=60)
    choice = _choose(rows, "gap")
    ordered = rows[np.lexsort(rows.T)]
    rng = np.random.default_rng(choice.seed)
    centre = ordered.mean(axis=0)
    axes = np.linalg.svd(ordered - centre, full_matrices=False)[2]
    turned = (ordered - centre) @ axes.T
    logs = []
    for _ in range(20):
        uniform = rng.uniform(turned.min(axis=0), turned.max(axis=0), size=turned.shape) @ axes
        logs.append([np.log(kmeans(uniform, k, 5, choice.seed)[2]) for k in choice.candidates])
    own = [np.log(kmeans(ordered, k, 5, choice.seed)[2]) for k in choice.candidates]
    assert choice.values == pytest.approx(np.mean(logs, axis=0) - own, abs=1e-9)
    assert choice.errors == pytest.approx(np.std(logs, axis=0) * np.sqrt(1.05), abs=1e-9)


def test_gap_says_when_there_are_no_clusters():
    rows = np.random.default_rng(1).uniform(size=(400, 4))
    assert any("do not form separate clusters" in note for note in _choose(rows, "gap").notes)


def test_choice_looks_at_a_seeded_sample_whatever_the_order():
    rows = _clusters(4, n=400, spread=1.0)
    first = _choose(rows, "silhouette", choose_k_rows=300)
    assert first.n_rows == 300
    shuffled = rows[np.random.default_rng(0).permutation(len(rows))]
    assert _choose(shuffled, "silhouette", choose_k_rows=300) == first
    other = _choose(rows, "silhouette", choose_k_rows=300, seed=1)
    assert other.values != first.values
    assert other.k == first.k


@pytest.mark.parametrize("mode", ["per_tumour", "two_level"])
@pytest.mark.parametrize("method", ["silhouette", "gap"])
def test_habitats_with_chosen_k_record_the_choice(mode, method):
    zones = slabs((12, 10, 10))
    found = find_habitats(
        zone_maps(zones, noise=1.0), np.ones(zones.shape, bool), HabitatParameters(mode=mode, choose_k=method, k=5)
    )
    assert found.k_choice.method == method
    assert found.k_choice.k == found.parameters.k == len(found.names) == 3
    assert np.array_equal(found.labels, zones)


def test_small_lesions_try_fewer_habitats_and_too_small_ones_are_refused():
    lesion = np.zeros((12, 6, 6), bool)
    lesion[1::4, :2, :6] = True
    found = find_habitats(zone_maps(slabs()), lesion, HabitatParameters(choose_k="silhouette"))
    assert found.k_choice.candidates == (2, 3)
    assert found.parameters.k == 3
    with pytest.raises(InputError, match="cannot be chosen from 20 voxels or supervoxels; set k yourself"):
        choose_k(np.random.default_rng(0).normal(size=(20, 4)), HabitatParameters(choose_k="gap"), None, 10)
    with pytest.raises(InputError, match="cannot be chosen from 50"):
        choose_k(np.ones((50, 4)), HabitatParameters(choose_k="gap"), None)
    with pytest.raises(InputError, match="set choose_k to 'silhouette' or 'gap'"):
        choose_k(_clusters(2), HabitatParameters(), None)
