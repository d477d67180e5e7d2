"""Changes between two visits, feature groups, phenotypes of simulated cohorts, new patients and model files."""

from __future__ import annotations

import json
from dataclasses import replace

import jsonschema
import numpy as np
import pytest
from scipy import stats
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score

from IITHModuleLib.features import FeatureRow, FeatureTable
from IITHModuleLib.heterogeneity.delta_features import delta_features, winsorised
from IITHModuleLib.heterogeneity.delta_phenotype import PhenotypeParameters, fit_delta_phenotypes
from IITHModuleLib.heterogeneity.feature_groups import group_components, project, well_spread
from IITHModuleLib.heterogeneity.feature_matrix import FeatureKey
from IITHModuleLib.heterogeneity.frozen_model import ModelHead
from IITHModuleLib.heterogeneity.iith_signature import load_signature
from IITHModuleLib.heterogeneity.phenotype_file import load_phenotypes, phenotypes_to_json, save_phenotypes
from IITHModuleLib.heterogeneity.phenotype_score import score_phenotype
from IITHModuleLib.heterogeneity.size_change import LesionSize, size_changes
from IITHModuleLib.resources import resource_path
from SubregionHabitatLib.errors import CaseRefused, InputError
from support.heterogeneity_cohorts import matrix, patient_names, permuted_columns, two_visits

HEAD = ModelHead("simulated-phenotypes", "Phenotypes of simulated patients", limits=("Simulated patients.",))
QUICK = PhenotypeParameters(n_resamples=200, n_simulations=300)


def _changes(n=80, seed=0, **options):
    first, second, truth = two_visits(n, seed, **options)
    return delta_features(first, second, load_signature("delta-chitalia2023").signs_of(first.keys)), truth


@pytest.fixture(scope="module")
def cohort():
    changes, truth = _changes()
    return fit_delta_phenotypes(changes, QUICK), changes, truth


def _case(visit, row):
    return dict(zip(visit.keys, visit.values[row].tolist(), strict=True))


def test_change_is_signed_relative_and_never_divides_by_zero():
    keys = [FeatureKey("lesion", "ser", f"original_glcm_F{i}") for i in range(5)]
    first = matrix([[2.0, -2.0, 4.0, 0.0, 1.0]], keys)
    second = matrix([[3.0, -1.0, 2.0, 5.0, np.nan]], keys)
    signs = np.array([1, 1, -1, 1, 1])
    found = delta_features(first, second, signs)
    assert found.matrix.values[0, :3] == pytest.approx([0.5, 0.5, 0.5])
    assert np.isnan(found.matrix.values[0, 3:]).all()
    assert found.n_undefined == 1  # the missing one is missing, not undefined
    literal = delta_features(first, second, signs, "literal").matrix.values[0, :3]
    assert literal == pytest.approx([0.5, -0.5, 0.5])


def test_turning_a_feature_before_the_ratio_would_change_nothing():
    """Why the sign is applied to the change: (-b + a)/(-a) = (b - a)/a."""
    keys = [FeatureKey("lesion", "ser", "original_glcm_Id")]
    first, second = matrix([[0.4]], keys), matrix([[0.3]], keys)
    turned_first, turned_second = matrix([[-0.4]], keys), matrix([[-0.3]], keys)
    plain = delta_features(first, second, np.array([1]), "literal").matrix.values
    turned = delta_features(turned_first, turned_second, np.array([1]), "literal").matrix.values
    assert turned == pytest.approx(plain)
    signed = delta_features(first, second, np.array([-1])).matrix.values
    assert signed == pytest.approx(-plain)


def test_visits_are_matched_by_patient_and_feature_and_two_dimensional_features_left_out():
    first, second, _ = two_visits(12, 3)
    signs = load_signature("delta-chitalia2023").signs_of(first.keys)
    whole = delta_features(first, second, signs)
    turned = second.rows([5, 3, 1]).columns(np.arange(len(second.keys))[::-1])
    found = delta_features(first, turned, signs)
    assert found.matrix.patients == tuple(first.patients[i] for i in (1, 3, 5))
    assert found.matrix.values == pytest.approx(whole.matrix.values[[1, 3, 5]])
    flat = FeatureKey("lesion", "mask", "original_shape_Maximum2DDiameterSlice")
    more = [matrix(np.c_[m.values, np.ones(12)], [*m.keys, flat]) for m in (first, second)]
    signs = load_signature("delta-chitalia2023").signs_of(more[0].keys)
    assert flat not in delta_features(*more, signs).matrix.keys


def test_filters_measure_skewness_and_spread_as_scipy_does():
    rng = np.random.default_rng(0)
    skewed = np.r_[np.zeros(99), 40.0] + 0.01 * rng.normal(size=100)
    columns = np.stack([rng.normal(size=100), skewed, -skewed, rng.standard_t(1.2, size=100)], axis=1)
    z = (columns - columns.mean(axis=0)) / columns.std(axis=0, ddof=1)
    iqr = np.subtract(*np.percentile(z, [75, 25], axis=0))
    kept, reasons = well_spread(z)
    assert kept.tolist() == [True, False, False, False]
    assert reasons[1] == f"skewness {stats.skew(z[:, 1]):.2f} is beyond 5"
    assert reasons[2] == f"interquartile range {iqr[2]:.2f} is below 1"
    assert "skewness" in well_spread(z, skewness_rule="absolute")[1][2]
    assert well_spread(z, max_skewness=99, min_iqr=0)[0].all()


def test_components_equal_scikit_learn_and_point_to_more_heterogeneity():
    rng = np.random.default_rng(1)
    z = rng.normal(size=(60, 3)) @ rng.normal(size=(3, 12)) + 0.4 * rng.normal(size=(60, 12))
    z = (z - z.mean(axis=0)) / z.std(axis=0, ddof=1)
    labels = np.repeat([0, 1, 2], [5, 6, 1])
    groups = group_components(z, labels, 0.85)
    for group, label in zip(groups, range(3), strict=True):
        pca = PCA().fit(z[:, labels == label])
        number = int(np.argmax(np.cumsum(pca.explained_variance_ratio_) > 0.85)) + 1
        assert group.loadings.shape[1] == number
        assert group.explained == pytest.approx(pca.explained_variance_ratio_[:number].sum(), rel=1e-10)
        assert np.abs(group.loadings.T) == pytest.approx(np.abs(pca.components_[:number]), abs=1e-9)
        assert (group.loadings.sum(axis=0) >= 0).all()
    scores = project(z, groups)
    assert scores.shape[1] == sum(g.loadings.shape[1] for g in groups)
    assert scores[:, -1] == pytest.approx(z[:, -1])


def test_winsorising_uses_the_percentiles():
    values = np.arange(101.0)[:, None]
    clipped, low, high = winsorised(values, 5)
    assert (low[0], high[0], clipped.min(), clipped.max()) == (5, 95, 5, 95)
    assert np.array_equal(winsorised(values, 0)[0], values)


def test_simulated_decreasing_and_increasing_cohorts_are_separated(cohort):
    found, _, truth = cohort
    assert adjusted_rand_score(found.labels, truth) >= 0.9
    assert found.model.names == ("decreasing", "increasing")
    assert found.model.supported
    assert found.splits[0].test.p < 0.01
    assert found.model.typical_change[0] < -0.1
    assert found.model.typical_change[1] > 0.1
    assert found.labels[truth == 1].mean() > 0.9  # "increasing" are those that were made to increase
    assert len(found.model.groups) == 4
    images = [{found.model.keys[i].image for i in group.columns} for group in found.model.groups]
    assert sorted(len(i) for i in images) == [1, 1, 1, 1]


def test_permuted_labels_are_not_separated(cohort):
    found, _, truth = cohort
    rng = np.random.default_rng(0)
    chance = [adjusted_rand_score(found.labels, rng.permutation(truth)) for _ in range(200)]
    assert abs(np.mean(chance)) < 0.01
    assert max(chance) < 0.2


def test_shuffled_changes_have_no_supported_phenotypes(cohort):
    _, changes, truth = cohort
    shuffled = replace(changes, matrix=permuted_columns(changes.matrix, 1))
    found = fit_delta_phenotypes(shuffled, replace(QUICK, n_feature_groups=4))
    assert abs(adjusted_rand_score(found.labels, truth)) < 0.1
    assert not found.model.supported
    assert "not supported (SigClust p =" in found.model.warnings[0]


def test_one_cloud_of_changes_is_called_one_cloud():
    changes, _ = _changes(seed=4, effect=0.0)
    found = fit_delta_phenotypes(changes, QUICK)
    assert not found.model.supported
    assert not found.splits[0].significant


def test_phenotype_names_are_relative_and_a_warning_says_so():
    first, second, _ = two_visits(60, 6)
    signs = load_signature("delta-chitalia2023").signs_of(first.keys)
    falling = matrix(second.values - signs * 0.8 * np.abs(first.values), second.keys)
    found = fit_delta_phenotypes(delta_features(first, falling, signs), replace(QUICK, n_feature_groups=4))
    assert max(found.model.typical_change) < 0
    assert any("falls in both phenotypes" in w for w in found.model.warnings)


def test_result_repeats_with_its_seed_and_numbers_can_be_set(cohort):
    found, changes, _ = cohort
    again = fit_delta_phenotypes(changes, QUICK)
    assert np.array_equal(found.labels, again.labels)
    assert np.array_equal(found.model.centroids, again.model.centroids)
    fixed = fit_delta_phenotypes(changes, replace(QUICK, n_feature_groups=3, n_phenotypes=3, test_ward_labels=True))
    assert len(fixed.model.groups) == 3
    assert fixed.model.names == ("phenotype 1", "phenotype 2", "phenotype 3")
    assert fixed.feature_consensus is None
    assert [s.n_clusters for s in fixed.splits] == [2, 3]
    assert all(s.test.labels_given for s in fixed.splits)
    means = [fixed.scores[fixed.labels == k].mean() for k in range(3)]
    assert means == sorted(means)


def test_discovery_patients_come_back_to_their_nearest_centroid(cohort):
    found, *_ = cohort
    first, second, _ = two_visits(80, 0)
    for row in range(0, 80, 7):
        score = score_phenotype(found.model, _case(first, row), _case(second, row))
        assert score.components == pytest.approx(found.scores[row].tolist(), rel=1e-8, abs=1e-8)
        distances = np.linalg.norm(found.model.centroids - found.scores[row], axis=1)
        assert score.distances == pytest.approx(distances.tolist())
        assert score.phenotype == found.model.names[int(np.argmin(distances))]
        assert score.distance_ratio == pytest.approx(distances.min() / distances.max())


def test_new_patients_get_the_phenotype_they_were_made_with(cohort):
    found, *_ = cohort
    first, second, truth = two_visits(60, 77)
    scores = [score_phenotype(found.model, _case(first, i), _case(second, i)) for i in range(60)]
    assert adjusted_rand_score([s.phenotype for s in scores], truth) >= 0.9
    assert np.median([s.distance_ratio for s in scores]) < 0.6


def test_a_patient_between_the_centroids_is_called_unclear(cohort):
    model = cohort[0].model
    middle = model.centroids.mean(axis=0)
    z = np.zeros(len(model.keys))
    start = 0
    for group in model.groups:
        width = group.loadings.shape[1]
        z[group.columns] = group.loadings @ middle[start : start + width]
        start += width
    change = z * model.sds + model.means
    first = dict.fromkeys(model.keys, 1.0)
    second = {k: 1.0 + s * c for k, s, c in zip(model.keys, model.signs, change, strict=True)}
    score = score_phenotype(model, first, second)
    assert score.distance_ratio == pytest.approx(1.0, abs=1e-6)
    assert any("between two phenotypes" in w for w in score.warnings)


def test_missing_changes_count_as_average_up_to_a_tenth(cohort):
    model = cohort[0].model
    first, second, _ = two_visits(80, 0)
    n = len(model.keys)
    before, after = _case(first, 0), _case(second, 0)
    gone, zero = model.keys[0], model.keys[1]
    score = score_phenotype(model, before | {gone: None, zero: 0.0}, after)
    assert {m.key: m.reason for m in score.missing} == {
        gone: "first visit: it has no value",
        zero: "the first value is about 0, so there is no relative change",
    }
    with pytest.raises(CaseRefused, match=f"lacks {n // 10 + 1}, more than 10 %"):
        score_phenotype(model, before, after | dict.fromkeys(model.keys[: n // 10 + 1]))
    with pytest.raises(CaseRefused, match="more than 5 SD"):
        score_phenotype(model, before, {k: 100 * v for k, v in after.items()})


def test_other_presets_are_refused(cohort):
    model = cohort[0].model
    rows = tuple(FeatureRow(*k, 1.0, "1", "") for k in model.keys)
    other = FeatureTable(rows, "other", "e" * 64, "native", "1")
    with pytest.raises(InputError, match="same preset"):
        score_phenotype(model, other, other)
    first, second, _ = two_visits(12, 3)
    with pytest.raises(InputError, match="same preset"):
        delta_features(first, replace(second, preset="other", preset_digest="e" * 64), np.ones(len(first.keys)))


@pytest.mark.parametrize("winsor_percent", [0.0, 2.0])
def test_model_folder_keeps_every_digit_and_fits_its_schema(winsor_percent, cohort, tmp_path):
    _, changes, _ = cohort
    parameters = replace(QUICK, winsor_percent=winsor_percent, n_feature_groups=4, n_phenotypes=2)
    model = fit_delta_phenotypes(changes, parameters).model
    path = save_phenotypes(model, HEAD, tmp_path / "model")
    content = json.loads(path.read_text())
    schema = json.loads(resource_path("Schemas", "iith-model-1-phenotype_centroid.schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(content)
    loaded = load_phenotypes(path)
    assert phenotypes_to_json(loaded, HEAD) == content
    first, second, _ = two_visits(80, 0)
    for row in (0, 1):
        cases = (_case(first, row), _case(second, row))
        assert score_phenotype(loaded, *cases).to_json() == score_phenotype(model, *cases).to_json()
    card = (tmp_path / "model" / "MODEL_CARD.md").read_text()
    assert "Research use only" in card
    assert "p < 0.00333" in card  # 300 simulations, none as extreme
    assert not any(name in path.read_text() for name in patient_names(3))


@pytest.mark.parametrize(
    "damage",
    [
        lambda c: c.update(kind="heterogeneity_index"),
        lambda c: c["features"][0].update(sd=0),
        lambda c: c["features"][0].update(sign=0),
        lambda c: c["features"][0].update(low=2, high=1),
        lambda c: c["features"].append(c["features"][0]),
        lambda c: c["features"].pop(),
        lambda c: c["feature_groups"].pop(),
        lambda c: c["feature_groups"][0].update(features=c["feature_groups"][1]["features"]),
        lambda c: c["feature_groups"][0]["loadings"].pop(),
        lambda c: c["feature_groups"][0]["loadings"][0].append(1.0),
        lambda c: c["phenotypes"][0]["centroid"].pop(),
        lambda c: c["phenotypes"].pop(),
        lambda c: c["phenotypes"][0].update(name="increasing"),
        lambda c: c["parameters"].update(denominator="none"),
        lambda c: c.pop("cohort"),
    ],
)
@pytest.mark.parametrize("with_schema", [True, False])
def test_damaged_models_are_refused_by_name_with_and_without_the_schema(
    damage, with_schema, cohort, tmp_path, monkeypatch
):
    content = json.loads(json.dumps(phenotypes_to_json(cohort[0].model, HEAD)))
    damage(content)
    (tmp_path / "model.json").write_text(json.dumps(content))
    if not with_schema:
        monkeypatch.setattr("IITHModuleLib.heterogeneity.frozen_model.check_schema", lambda *a: None)
    with pytest.raises(InputError, match=r"model\.json"):
        load_phenotypes(tmp_path)


def test_size_changes_stand_beside():
    ftv, diameter = size_changes(LesionSize(20.0, 40.0), LesionSize(5.0, 30.0))
    assert (ftv.change_percent, diameter.change_percent) == (-75.0, -25.0)
    ftv, diameter = size_changes(LesionSize(0.0, None), LesionSize(5.0, 30.0))
    assert (ftv.change_percent, ftv.reason) == (None, "it is 0 at the first visit")
    assert (diameter.change_percent, diameter.reason) == (None, "not measured at the first visit")


@pytest.mark.parametrize(
    ("call", "part"),
    [
        (lambda c: fit_delta_phenotypes(replace(c, matrix=c.matrix.rows(range(9))), QUICK), "at least 10 patients"),
        (lambda c: fit_delta_phenotypes(c, replace(QUICK, min_iqr=9.0)), "Only 0 features vary"),
        (lambda c: fit_delta_phenotypes(c, replace(QUICK, winsor_percent=50)), "Winsorising at 50 %"),
        (lambda c: fit_delta_phenotypes(c, replace(QUICK, skewness_rule="x")), "skewness rule 'x'"),
        (lambda c: fit_delta_phenotypes(c, replace(QUICK, n_feature_groups=2, explained=1.5)), "explained share"),
        (lambda c: fit_delta_phenotypes(c, replace(QUICK, n_feature_groups=9999)), "cannot be cut into 9999"),
        (lambda c: PhenotypeParameters(n_phenotypes=1), "One phenotype is no grouping"),
        (lambda c: PhenotypeParameters(significance=0), "significance level"),
        (lambda c: PhenotypeParameters(sigclust_eigenvalues="x"), "eigenvalue rule"),
        (lambda c: delta_features(c.matrix, c.matrix, np.ones(1)), "1 directions"),
        (lambda c: delta_features(c.matrix, c.matrix, np.zeros(len(c.matrix.keys))), "0 usable features"),
        (lambda c: delta_features(c.matrix, c.matrix, np.ones(len(c.matrix.keys)), "x"), "denominator 'x'"),
    ],
)
def test_what_cannot_be_done_is_refused_with_a_remedy(call, part, cohort):
    with pytest.raises(InputError, match=part):
        call(cohort[1])
