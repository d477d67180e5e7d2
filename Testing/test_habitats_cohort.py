"""Habitat centres of a cohort: fitting, applying, refusals, and result folders."""

from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pytest
from scipy.cluster import hierarchy
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from SubregionHabitatLib.errors import Cancelled, InputError
from SubregionHabitatLib.habitat_clustering import MAX_WARD_ROWS
from SubregionHabitatLib.habitat_cohort import fit_habitats_from_results
from SubregionHabitatLib.habitat_model import apply_habitats, fit_habitats, sample_of
from SubregionHabitatLib.habitats import HABITAT_FEATURES, HabitatParameters, find_habitats, habitats_per_tumour
from SubregionHabitatLib.kinetics import compute_maps
from SubregionHabitatLib.timing import PhaseChoice
from SubregionHabitatLib.volume_io import write_volume
from support.zone_exams import zone_exam, zone_maps

SHAPE = (10, 12, 12)
# Zones here are as thin as two voxels: the supervoxels must keep to the maps more than to a compact shape.
TWO_LEVEL = HabitatParameters(mode="two_level", compactness=1.0)


def patient(seed: int, shares=(1, 1, 1), noise=1.5):
    """Maps, lesion and true zones of one patient; zones are slabs along x, in the given proportion."""
    edges = np.cumsum(np.array(shares) / np.sum(shares))[:-1] * SHAPE[2]
    zones = 1 + np.searchsorted(edges, np.arange(SHAPE[2]), side="right")
    zones = np.broadcast_to(zones, SHAPE).copy()
    lesion = np.zeros(SHAPE, bool)
    lesion[1:-1, 1:-1, :] = True
    return zone_maps(zones * lesion, noise, seed), lesion, zones * lesion


COHORT = [(1, 1, 1), (4, 1, 1), (1, 4, 1), (1, 1, 4), (1, 0, 1), (0, 1, 1)]


@pytest.fixture(scope="module")
def cohort():
    return [patient(seed, shares) for seed, shares in enumerate(COHORT)]


@pytest.fixture(scope="module")
def model(cohort):
    return fit_habitats([sample_of(maps, lesion) for maps, lesion, _ in cohort])


@pytest.fixture(scope="module")
def two_level_model(cohort):
    return fit_habitats([sample_of(maps, lesion, TWO_LEVEL) for maps, lesion, _ in cohort], TWO_LEVEL)


# ---- fitting ---------------------------------------------------------------------------------------------------
def test_centres_are_those_of_scikit_learn_on_the_pooled_z_scores(cohort, model):
    pooled = np.concatenate(
        [np.stack([m.wis, -m.wos, m.ser, m.pe_peak], axis=-1)[lesion].astype(float) for m, lesion, _ in cohort]
    )
    low, high = np.percentile(pooled, [1, 99], axis=0)
    clipped = np.clip(pooled, low, high)
    z = (clipped - clipped.mean(axis=0)) / clipped.std(axis=0)
    other = KMeans(3, n_init=20, random_state=0, tol=0, max_iter=1000).fit(z)
    order = np.argsort(other.cluster_centers_.mean(axis=1))
    assert np.allclose(model.centres_z, other.cluster_centers_[order], atol=1e-9)
    assert model.inertia == pytest.approx(other.inertia_, rel=1e-6)
    assert np.allclose(model.scaling.low, low)
    assert np.allclose(model.scaling.high, high)
    assert model.training.n_exams == 6
    assert model.training.n_rows == model.training.n_voxels == len(pooled)
    assert model.training.shares == pytest.approx(np.bincount(other.labels_)[order] / len(pooled))
    assert model.features == HABITAT_FEATURES
    assert model.units == {"wis": "1/min", "washout_rate": "1/min", "ser": "1", "pe_peak": "%"}
    assert (model.peak_search, model.wos_mode, model.monotone) == ("all_post", "normalised", True)
    assert model.notes == ("The habitat centres rest on 6 exams only.",)


def test_a_large_lesion_gives_no_more_than_its_share_and_the_same_each_time(cohort):
    parameters = HabitatParameters(mode="cohort", max_voxels_per_exam=200)
    maps, lesion, _ = cohort[0]
    sample = sample_of(maps, lesion, parameters)
    assert sample.vectors.shape == (200, 4)
    assert sample.n_voxels == 960
    every = sample_of(maps, lesion).vectors
    assert len({tuple(v) for v in sample.vectors} & {tuple(v) for v in every}) == 200
    assert np.array_equal(sample.vectors, sample_of(maps, lesion, parameters).vectors)
    other = sample_of(maps, lesion, dataclasses.replace(parameters, seed=1))
    assert not np.array_equal(sample.vectors, other.vectors)
    pooled = fit_habitats([sample_of(m, mask, parameters) for m, mask, _ in cohort], parameters)
    assert pooled.training.n_rows == 1200
    assert pooled.training.n_voxels == 960 * 6


def test_neither_the_order_of_exams_nor_the_layout_of_voxels_matters(cohort, model):
    samples = [sample_of(maps, lesion) for maps, lesion, _ in cohort]
    assert fit_habitats(samples[::-1]).digest == model.digest
    maps, lesion, _ = cohort[0]
    flipped = dataclasses.replace(
        maps, **{name: getattr(maps, name)[::-1, :, ::-1] for name in ("wis", "wos", "ser", "pe_peak")}
    )
    assert sample_of(flipped, lesion[::-1, :, ::-1]).digest == samples[0].digest


def test_two_level_clusters_the_pooled_supervoxels_by_ward(cohort, two_level_model):
    samples = sorted((sample_of(m, lesion, TWO_LEVEL) for m, lesion, _ in cohort), key=lambda s: s.digest)
    means = np.concatenate([sample.vectors for sample in samples])
    z = two_level_model.scaling.z(means)
    labels = hierarchy.fcluster(hierarchy.linkage(z, "ward"), 3, "maxclust")
    centres = np.array([z[labels == i].mean(axis=0) for i in (1, 2, 3)])
    assert np.allclose(two_level_model.centres_z, centres[np.argsort(centres.mean(axis=1))], atol=1e-9)
    assert two_level_model.training.n_rows == len(means)
    assert two_level_model.training.n_voxels == 960 * 6
    for sample in samples:
        assert 20 <= len(sample.vectors) <= 40


def test_k_can_be_chosen_on_the_cohort(cohort):
    parameters = HabitatParameters(mode="cohort", k=5, choose_k="silhouette")
    fitted = fit_habitats([sample_of(m, lesion, parameters) for m, lesion, _ in cohort], parameters)
    assert fitted.k == fitted.parameters.k == fitted.k_choice.k == 3
    assert fitted.k_choice.n_rows == 1000


# ---- applying --------------------------------------------------------------------------------------------------
def test_every_patient_gets_the_same_meaning_of_a_label(cohort, model, two_level_model):
    for fitted, least in ((model, 1.0), (two_level_model, 0.95)):
        for maps, lesion, zones in cohort:
            found = apply_habitats(maps, lesion, fitted)
            assert np.mean(found.labels[lesion] == zones[lesion]) >= least
            assert not found.labels[~lesion].any()
            assert found.comparable
            assert found.model_digest == fitted.digest
            assert found.mode == fitted.parameters.mode


def test_an_absent_zone_has_volume_zero_where_per_tumour_would_invent_it(model):
    maps, lesion, zones = patient(77, (1, 0, 2))
    found = find_habitats(maps, lesion, model=model)
    assert np.array_equal(found.labels, zones)
    assert found.volumes_cc[1] == 0.0
    assert sum(found.volumes_cc) == pytest.approx(0.96)
    assert np.isnan(found.centres[1]).all()
    assert np.isfinite(found.centres_z).all()
    assert found.notes == ("No voxel of the lesion belongs to the habitat moderate; its volume is 0.",)
    assert habitats_per_tumour(maps, lesion).volumes_cc[1] > 0


def test_labels_are_those_of_the_nearest_centre(model):
    maps, lesion, _ = patient(78, (2, 1, 3), noise=20.0)
    found = apply_habitats(maps, lesion, model)
    vectors = np.stack([maps.wis, -maps.wos, maps.ser, maps.pe_peak], axis=-1)[lesion].astype(float)
    z = (np.clip(vectors, model.scaling.low, model.scaling.high) - model.scaling.mean) / model.scaling.sd
    squared = ((z[:, None] - model.centres_z) ** 2).sum(axis=-1)
    assert np.array_equal(found.labels[lesion], squared.argmin(axis=1) + 1)
    assert found.inertia == pytest.approx(squared.min(axis=1).sum())
    outside = ((vectors < model.scaling.low) | (vectors > model.scaling.high)).any(axis=1).mean()
    assert found.outside_training_share == pytest.approx(outside)
    assert outside > 0.2
    assert any("lies beyond the range of the exams" in note for note in found.notes)
    usual = apply_habitats(*patient(79)[:2], model)
    assert usual.outside_training_share < 0.2
    assert usual.notes == ()


def test_undefined_voxels_take_the_nearest_label_with_a_model_too(model):
    maps, lesion, zones = patient(80)
    wis = maps.wis.copy()
    wis[5, 5, 1] = np.nan
    found = apply_habitats(dataclasses.replace(maps, wis=wis), lesion, model)
    assert found.n_filled == 1
    assert np.array_equal(found.labels, zones)


@pytest.mark.parametrize("other", [{"peak_search": "selected"}, {"wos_mode": "chitalia"}])
def test_maps_made_in_another_way_are_refused(model, other):
    maps, lesion, _ = patient(81)
    exam = zone_exam(np.ones(SHAPE, int))
    changed = compute_maps(exam, PhaseChoice(1, 3, "test"), **other)
    name, value = next(iter(other.items()))
    flag = "--" + name.replace("_", "-")
    with pytest.raises(InputError, match=rf"fitted on maps with the .* these have '{value}'; .* {flag} "):
        apply_habitats(changed, lesion, model)
    with pytest.raises(InputError, match=r"units .*these have wis in 1/s"):
        apply_habitats(_SecondsMaps(**{f.name: getattr(maps, f.name) for f in dataclasses.fields(maps)}), lesion, model)


class _SecondsMaps(type(zone_maps(np.ones((3, 3, 3), int)))):
    def units(self):
        return {**super().units(), "wis": "1/s"}


def test_a_model_needs_all_its_maps(model):
    maps, lesion, _ = patient(82)
    blank = np.full_like(maps.wis, np.nan)
    with pytest.raises(InputError, match="feature wis is undefined in the whole lesion"):
        apply_habitats(dataclasses.replace(maps, wis=blank), lesion, model)
    few = np.zeros_like(lesion)
    few[2, 2, :10] = True
    with pytest.raises(
        InputError, match="10 voxels, 10 of them with defined kinetic maps; 3 habitats need at least 30"
    ):
        apply_habitats(maps, few, model)


# ---- refusals while fitting ------------------------------------------------------------------------------------
def test_cohorts_that_cannot_be_pooled_are_refused(cohort):
    samples = [sample_of(maps, lesion, source=f"exam {i}") for i, (maps, lesion, _) in enumerate(cohort)]

    def changed(**what):
        return dataclasses.replace(samples[1], **what)

    with pytest.raises(InputError, match="need at least 2 exams; got 1"):
        fit_habitats(samples[:1])
    with pytest.raises(InputError, match=r"exam [02] and exam [02] hold the same lesion"):
        fit_habitats([samples[0], dataclasses.replace(samples[0], source="exam 2")])
    for what, change in (
        ("the peak search", {"peak_search": "early"}),
        ("the wash-out mode", {"wos_mode": "chitalia"}),
        ("the units", {"units": {**samples[1].units, "wis": "1/s"}}),
        ("the mode", {"mode": "two_level"}),
    ):
        with pytest.raises(InputError, match=f"does not fit the cohort: {what} is .* elsewhere"):
            fit_habitats([samples[0], changed(**change)])
    untimed = changed(features=("ser", "pe_peak"), vectors=samples[1].vectors[:, 2:])
    with pytest.raises(InputError, match="does not fit the cohort: the features is"):
        fit_habitats([samples[0], untimed])
    with pytest.raises(InputError, match="exam 1 holds vectors of a wrong shape or undefined values"):
        fit_habitats([samples[0], changed(vectors=np.full((40, 4), np.nan))])
    with pytest.raises(InputError, match="give 20 vectors together; 3 habitats need at least 30"):
        fit_habitats([dataclasses.replace(s, vectors=s.vectors[:10]) for s in samples[:2]])
    flat = [dataclasses.replace(s, vectors=s.vectors * [1, 1, 0, 1]) for s in samples[:2]]
    with pytest.raises(InputError, match="feature ser has the same value in all exams"):
        fit_habitats(flat)
    many = [
        dataclasses.replace(s, mode="two_level", vectors=np.random.default_rng(i).normal(size=(MAX_WARD_ROWS, 4)))
        for i, s in enumerate(samples[:2])
    ]
    with pytest.raises(InputError, match="20000 supervoxels are too many for Ward's method"):
        fit_habitats(many, TWO_LEVEL)


def test_a_lesion_too_small_for_the_cohort_is_named(cohort):
    maps, lesion, _ = cohort[0]
    with pytest.raises(InputError, match=r"^case-7: The lesion has 12 voxels"):
        sample_of(
            maps, lesion & (np.arange(lesion.size).reshape(SHAPE) % SHAPE[2] == 0) & _first(lesion, 12), source="case-7"
        )


def _first(lesion, n):
    mask = np.zeros(lesion.shape, bool)
    rows = np.argwhere(lesion & (np.indices(SHAPE)[2] == 0))[:n]
    mask[tuple(rows.T)] = True
    return mask


# ---- result folders --------------------------------------------------------------------------------------------
def _write_result(folder, maps, lesion, schema="iith-case/1"):
    for kind in ("maps", "labels"):
        (folder / kind).mkdir(parents=True)
    for name, array in maps.items():
        write_volume(folder / "maps" / f"{name}.nrrd", array, maps.geometry)
    write_volume(folder / "labels" / "lesion.nrrd", lesion, maps.geometry)
    kinetics = {"peak_search": maps.peak_search, "wos_mode": maps.wos_mode, "units": maps.units()}
    (folder / "case.json").write_text(json.dumps({"schema": schema, "kinetics": kinetics}))
    return folder


@pytest.fixture(scope="module")
def results(cohort, tmp_path_factory):
    root = tmp_path_factory.mktemp("results")
    return [_write_result(root / f"case-{i}", maps, lesion) for i, (maps, lesion, _) in enumerate(cohort)]


def test_result_folders_give_the_same_model_as_the_maps_in_memory(results, model, two_level_model):
    assert fit_habitats_from_results(results).digest == model.digest
    again = fit_habitats_from_results([str(r) for r in results[::-1]], TWO_LEVEL)
    assert np.allclose(again.centres_z, two_level_model.centres_z, atol=1e-9)


def test_nothing_of_the_folder_names_goes_into_the_model(results):
    from SubregionHabitatLib.habitat_file import canonical_bytes

    text = canonical_bytes(fit_habitats_from_results(results)).decode()
    assert "case-" not in text
    assert str(results[0].parent) not in text


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "case.json").unlink(), "case-1 is not a complete result folder"),
        (lambda f: (f / "case.json").write_text("[" * 100_000), "case-1 is not a complete result folder"),
        (lambda f: (f / "case.json").write_text('{"schema": "iith-case/2"}'), "case-1 is not a complete result folder"),
        (lambda f: (f / "case.json").write_text('{"schema": "iith-case/1"}'), "case-1 is not a complete result folder"),
        (
            lambda f: (f / "case.json").write_text((f / "case.json").read_text().replace("all_post", "some")),
            "case.json of case-1 names an unknown peak search",
        ),
        (lambda f: (f / "maps" / "ser.nrrd").unlink(), r"case-1 has no maps/ser.nrrd; analyze the exam again"),
        (lambda f: (f / "maps" / "wis.nrrd").write_bytes(b"NRRD0004\n"), r"case-1: wis\.nrrd cannot be read"),
    ],
)
def test_spoiled_result_folders_are_named(results, tmp_path, spoil, message):
    broken = tmp_path / "case-1"
    shutil.copytree(results[1], broken)
    spoil(broken)
    with pytest.raises(InputError, match=message):
        fit_habitats_from_results([results[0], broken])


def test_empty_lesions_and_other_grids_are_named(results, cohort, tmp_path):
    maps, lesion, _ = cohort[1]
    empty = _write_result(tmp_path / "empty", maps, np.zeros_like(lesion))
    with pytest.raises(InputError, match="The lesion of the result empty is empty; analyze the exam again"):
        fit_habitats_from_results([results[0], empty])
    moved = _write_result(tmp_path / "moved", maps, lesion)
    write_volume(moved / "maps" / "ser.nrrd", maps.ser, dataclasses.replace(maps.geometry, origin_mm=(5.0, 0.0, 0.0)))
    with pytest.raises(InputError, match="map ser and the lesion of the result moved lie on different grids"):
        fit_habitats_from_results([results[0], moved])


def test_fitting_from_results_stops_when_asked(results):
    class Stop:
        def step(self, fraction, message):
            if "exam 2 of 6" in message:
                raise Cancelled

    with pytest.raises(Cancelled):
        fit_habitats_from_results(results, progress=Stop())


def test_simulated_cohort_recovers_the_truth_of_a_new_exam(simulated, simulated_imaging):
    """Centres from other simulated lesions of other zone shares label the default exam as its own truth does."""
    from SubregionHabitatLib.simulation import SimulationParameters, simulate_exam
    from SubregionHabitatLib.timing import choose_early_late

    samples = []
    for seed, shares in ((11, (0.6, 0.2, 0.2)), (12, (0.2, 0.2, 0.6))):
        other = simulate_exam(SimulationParameters(seed=seed, zone_shares=shares))
        maps = compute_maps(other.exam, choose_early_late(other.exam.times_s))
        samples.append(sample_of(maps, other.truth_lesion))
    found = apply_habitats(simulated_imaging.maps, simulated.truth_lesion, fit_habitats(samples))
    truth = simulated.truth_zones[simulated.truth_lesion]
    assert adjusted_rand_score(truth, found.labels[simulated.truth_lesion]) >= 0.95
    assert np.mean(truth == found.labels[simulated.truth_lesion]) >= 0.98
