"""Signature, heterogeneity index of simulated cohorts, its frozen form, new cases, rising simulated heterogeneity."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import jsonschema
import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from IITHModuleLib.feature_engine import make_engine
from IITHModuleLib.features import (
    IMAGE_NAMES,
    SHAPE_NAMES,
    FeatureRow,
    FeatureTable,
    SourceImage,
    image_rows,
    shape_rows,
)
from IITHModuleLib.heterogeneity.feature_matrix import (
    FeatureKey,
    FeatureMatrix,
    complete_matrix,
    matrix_from_tables,
)
from IITHModuleLib.heterogeneity.frozen_model import ModelHead
from IITHModuleLib.heterogeneity.heterogeneity_file import index_to_json, load_index, save_index
from IITHModuleLib.heterogeneity.heterogeneity_index import (
    HeterogeneityParameters,
    fit_heterogeneity_index,
    heterogeneity_index,
)
from IITHModuleLib.heterogeneity.heterogeneity_score import (
    compare_routes,
    groups_by_network,
    score_cohort,
    score_heterogeneity,
)
from IITHModuleLib.heterogeneity.iith_signature import load_signature, signature_names
from IITHModuleLib.heterogeneity.variability import highly_variable, median_absolute_deviation
from IITHModuleLib.presets import load_preset
from IITHModuleLib.resources import resource_path
from SubregionHabitatLib.body import body_mask
from SubregionHabitatLib.errors import CaseRefused, InputError
from SubregionHabitatLib.simulation import SimulationParameters, simulate_exam
from support.data import REPOSITORY
from support.heterogeneity_cohorts import PRESET, heterogeneity_cohort, matrix, patient_names, permuted_columns

HEAD = ModelHead("simulated-iith", "Heterogeneity index of simulated patients", limits=("Simulated patients.",))


@pytest.fixture(scope="module")
def cohort():
    """120 training patients, fitted, and 60 new ones."""
    everyone, truth, volumes = heterogeneity_cohort(180, seed=1)
    training, new = everyone.rows(np.arange(120)), everyone.rows(np.arange(120, 180))
    fitted = fit_heterogeneity_index(training, volumes_mm3=volumes[:120])
    return fitted, training, new, truth, volumes


def test_signature_is_the_42_features_of_the_reconstruction():
    signature = load_signature("iith-su2023")
    names = [f.feature for f in signature.features]
    counts = {
        family: sum(n.startswith(family) for n in names)
        for family in ("firstorder", "glcm", "glrlm", "glszm", "gldm", "ngtdm")
    }
    assert counts == {"firstorder": 9, "glcm": 9, "glrlm": 7, "glszm": 7, "gldm": 8, "ngtdm": 2}
    known = {n.partition("_")[2] for n in (*IMAGE_NAMES, *SHAPE_NAMES)}
    assert set(names) - known == {"firstorder_StandardDeviation"}
    negative = {n for n, sign in signature.signs("su").items() if sign < 0}
    assert negative == {
        "firstorder_Uniformity",
        *(f"glcm_{n}" for n in ("JointEnergy", "Id", "Idm", "Idn", "Idmn")),
        "gldm_LargeDependenceEmphasis",
        "ngtdm_Coarseness",
    }
    math = signature.signs("math")
    assert math["glrlm_GrayLevelNonUniformityNormalized"] == math["glszm_GrayLevelNonUniformityNormalized"] == -1
    grows_with_size = {"glrlm_RunLengthNonUniformity", "glszm_SizeZoneNonUniformity", "gldm_DependenceNonUniformity"}
    assert not grows_with_size & set(math)


def test_delta_signature_covers_the_107_features():
    signature = load_signature("delta-chitalia2023")
    assert sorted(f.feature for f in signature.features) == sorted(
        n.partition("_")[2] for n in (*SHAPE_NAMES, *IMAGE_NAMES)
    )
    signs, su = signature.signs("su"), load_signature().signs("su")
    assert {n: signs[n] for n in su if n != "firstorder_StandardDeviation"} == {
        n: s for n, s in su.items() if n != "firstorder_StandardDeviation"
    }
    for name in ("shape_Sphericity", "glcm_MaximumProbability", "glrlm_LongRunEmphasis", "glszm_LargeAreaEmphasis"):
        assert signs[name] == -1
    assert not any("Maximum2DDiameter" in name for name in signs)


def test_shipped_signatures_satisfy_their_schema():
    schema = json.loads(resource_path("Schemas", "iith-signature-1.schema.json").read_text())
    for name in signature_names():
        jsonschema.Draft202012Validator(schema).validate(
            json.loads(resource_path("Signatures", f"{name}.json").read_text())
        )


def test_an_edited_signature_is_used(tmp_path):
    content = json.loads(resource_path("Signatures", "iith-su2023.json").read_text())
    content["features"] = content["features"][:3]
    content["features"][0]["sign_su"] = -1
    (tmp_path / "mine.json").write_text(json.dumps(content))
    signature = load_signature(tmp_path / "mine.json")
    keys = [
        FeatureKey("lesion", "ser", "original_firstorder_Entropy"),
        FeatureKey("ring", "ser", "wavelet-LLL_glcm_Id"),
    ]
    assert signature.signs_of(keys).tolist() == [-1, 0]
    assert signature.digest != load_signature().digest


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda c: c.update(schema="x"), "has the schema 'x'"),
        (lambda c: c["features"][0].update(sign_su=2), "is not a valid signature file"),
        (lambda c: c["features"][0].update(sign_su=True), "is not a valid signature file"),
        (lambda c: c["features"][0].update(confidence="high"), "is not a valid signature file"),
        (lambda c: c["features"][0].update(formula="x"), "is not a valid signature file"),
        (lambda c: c["features"].append(c["features"][0]), "one twice"),
        (lambda c: c.update(features=[]), "is not a valid signature file"),
        (lambda c: c.update(name="../x"), "is not a valid signature file"),
    ],
)
def test_a_damaged_signature_is_refused(change, part, tmp_path):
    content = json.loads(resource_path("Signatures", "iith-su2023.json").read_text())
    change(content)
    (tmp_path / "bad.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=part):
        load_signature(tmp_path / "bad.json")


def test_mad_is_that_of_r_and_its_scale_can_be_chosen():
    values = np.array([[1, 10], [2, 20], [3, 30], [4, 40], [100, 50.0]])
    assert median_absolute_deviation(values) == pytest.approx([1.4826, 14.826])
    assert highly_variable(values, 1.4826).tolist() == [False, True]
    z = (values - values.mean(axis=0)) / values.std(axis=0, ddof=1)
    expected = 1.4826 * np.median(np.abs(z - np.median(z, axis=0)), axis=0) > 0.5
    assert highly_variable(values, 0.5, "zscore").tolist() == expected.tolist() == [False, True]


def test_hi_is_the_signed_sum_of_z_scores():
    values = np.array([[1.0, 5.0, np.nan], [3.0, 1.0, 2.0]])
    hi = heterogeneity_index(values, np.array([1, -1, 1]), np.array([2.0, 3.0, 0.0]), np.array([1.0, 2.0, 4.0]))
    assert hi == pytest.approx([-1 - 1, 1 + 1 + 0.5])


def test_simulated_homogeneous_and_heterogeneous_lesions_are_separated(cohort):
    fitted, _, _, truth, _ = cohort
    assert adjusted_rand_score(fitted.labels, truth[:120]) >= 0.9
    assert fitted.eigengap_clusters == 2
    assert fitted.hi[truth[:120] == 1].mean() > fitted.hi[truth[:120] == 0].mean()
    assert adjusted_rand_score(fitted.hi >= fitted.index.cut, truth[:120]) >= 0.9
    assert fitted.hi_agreement.kappa >= 0.9


def test_permuted_labels_are_not_separated(cohort):
    fitted, _, _, truth, _ = cohort
    rng = np.random.default_rng(0)
    chance = [adjusted_rand_score(fitted.labels, rng.permutation(truth[:120])) for _ in range(200)]
    assert abs(np.mean(chance)) < 0.01
    assert max(chance) < 0.15


def test_shuffled_features_lose_the_groups(cohort):
    _, training, _, truth, _ = cohort
    for seed in range(3):
        found = fit_heterogeneity_index(permuted_columns(training, seed))
        assert abs(adjusted_rand_score(found.labels, truth[:120])) < 0.1
        assert abs(adjusted_rand_score(found.hi >= found.index.cut, truth[:120])) < 0.1


def test_volume_is_always_reported(cohort):
    fitted, training, _, _, volumes = cohort
    assert fitted.index.volume.n == 120
    assert abs(fitted.index.volume.rho) < 0.3
    tied = fit_heterogeneity_index(training, volumes_mm3=np.exp(fitted.hi / 100))
    assert tied.index.volume.rho == pytest.approx(1.0)
    assert any("follows lesion volume closely" in w for w in tied.index.warnings)
    none = fit_heterogeneity_index(training).index.volume
    assert none.rho is None
    assert "no lesion volumes" in none.reason
    key = FeatureKey("lesion", "mask", "original_shape_VoxelVolume")
    beside = matrix(np.c_[training.values, volumes[:120]], [*training.keys, key], training.patients)
    found = fit_heterogeneity_index(beside).index.volume
    assert found.rho == pytest.approx(fitted.index.volume.rho)
    assert found.source == "lesion mask original_shape_VoxelVolume"


def test_only_chosen_columns_take_part(cohort):
    _, training, *_ = cohort
    for parameters in (
        HeterogeneityParameters(images=("phase2",)),
        HeterogeneityParameters(stable=tuple(k for k in training.keys if k.image == "phase2")),
    ):
        found = fit_heterogeneity_index(training, parameters=parameters)
        assert {k.image for k in found.index.keys} == {"phase2"}
    some = training.columns([k.image == "phase1" for k in training.keys])
    maps = [k._replace(image="ser") for k in some.keys]
    maps_too = matrix(np.tile(some.values, 2), [*some.keys, *maps], training.patients)
    assert {k.image for k in fit_heterogeneity_index(maps_too).index.keys} == {"phase1"}
    everything = fit_heterogeneity_index(maps_too, parameters=HeterogeneityParameters(images=None, hi_features="all"))
    assert len(everything.index.keys) == len(maps_too.keys)
    assert 0 < everything.index.in_network.sum() <= len(maps_too.keys)


def test_frozen_index_gives_training_patients_their_own_hi(cohort):
    fitted, training, *_ = cohort
    scores = score_cohort(fitted.index, training).scores
    assert [s.value for s in scores] == pytest.approx(fitted.hi.tolist(), rel=1e-9, abs=1e-9)
    assert [s.group == "high" for s in scores] == (fitted.hi >= fitted.index.cut).tolist()
    middle = int(np.argsort(fitted.hi)[60])
    assert scores[middle].percentile_in_training == pytest.approx(50, abs=1.5)
    assert scores[middle].distance_to_cut == pytest.approx(fitted.hi[middle] - fitted.index.cut)


def test_new_patients_by_both_routes(cohort):
    fitted, training, new, truth, _ = cohort
    routes = compare_routes(fitted, training, new)
    assert adjusted_rand_score(routes.by_index, truth[120:]) >= 0.85
    assert adjusted_rand_score(routes.by_network, truth[120:]) >= 0.85
    assert routes.agreement.share == np.mean(routes.by_index == routes.by_network) >= 0.95
    again = groups_by_network(fitted.index, training, fitted.labels, new)
    assert np.array_equal(again, routes.by_network)


def test_missing_features_count_as_average_and_are_named(cohort):
    fitted, _, new, *_ = cohort
    case = dict(zip(new.keys, new.values[0].tolist(), strict=True))
    whole = score_heterogeneity(fitted.index, case)
    gone = fitted.index.keys[0]
    lacking = score_heterogeneity(fitted.index, case | {gone: None})
    i = 0
    z = (case[gone] - fitted.index.means[i]) / fitted.index.sds[i]
    assert lacking.value == pytest.approx(whole.value - fitted.index.signs[i] * z)
    assert [m.key for m in lacking.missing] == [gone]
    assert "1 of" in lacking.warnings[0]
    assert not whole.missing


def test_a_case_that_lacks_more_than_a_tenth_is_refused(cohort):
    fitted, _, new, *_ = cohort
    n = len(fitted.index.keys)
    case = dict(zip(new.keys, new.values[0].tolist(), strict=True))
    allowed = fitted.index.keys[: n // 10]
    assert len(score_heterogeneity(fitted.index, case | dict.fromkeys(allowed)).missing) == n // 10
    with pytest.raises(CaseRefused, match=f"lacks {n // 10 + 1}, more than 10 %"):
        score_heterogeneity(fitted.index, case | dict.fromkeys(fitted.index.keys[: n // 10 + 1]))


def test_a_case_from_another_world_is_refused(cohort):
    fitted, _, new, *_ = cohort
    n = len(fitted.index.keys)
    case = dict(zip(new.keys, new.values[0].tolist(), strict=True))
    far = {k: m + 6 * s for k, m, s in zip(fitted.index.keys, fitted.index.means, fitted.index.sds, strict=True)}
    some = dict(list(far.items())[: n // 10])
    assert score_heterogeneity(fitted.index, case | some).n_extreme == n // 10
    with pytest.raises(CaseRefused, match="more than 5 SD"):
        score_heterogeneity(fitted.index, case | dict(list(far.items())[: n // 10 + 1]))
    scored = score_cohort(fitted.index, matrix(np.stack([new.values[0], 1e6 + new.values[1]]), new.keys))
    assert scored.scores[0] is not None
    assert scored.scores[1] is None
    assert "more than 5 SD" in scored.refusals[1]


def test_model_folder_keeps_every_digit_and_fits_its_schema(cohort, tmp_path):
    fitted, _, new, *_ = cohort
    path = save_index(fitted.index, HEAD, tmp_path / "model")
    content = json.loads(path.read_text())
    schema = json.loads(resource_path("Schemas", "iith-model-1-heterogeneity_index.schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(content)
    loaded = load_index(tmp_path / "model")
    assert [s.value for s in score_cohort(loaded, new).scores] == [
        s.value for s in score_cohort(fitted.index, new).scores
    ]
    assert index_to_json(loaded, HEAD) == content
    card = (tmp_path / "model" / "MODEL_CARD.md").read_text()
    assert "Research use only" in card
    assert "Spearman correlation of HI with lesion volume" in card
    assert not any(name in path.read_text() for name in patient_names(3))
    with pytest.raises(InputError, match="not empty"):
        save_index(fitted.index, HEAD, tmp_path / "model")
    save_index(fitted.index, HEAD, tmp_path / "model", overwrite=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda c: c.update(schema="iith-model/2"),
        lambda c: c.update(kind="cox"),
        lambda c: c["features"].append(c["features"][0]),
        lambda c: c["features"][0].update(sd=0),
        lambda c: c["features"][0].update(sd=-1.0),
        lambda c: c["features"][0].update(sign=0),
        lambda c: c["features"][0].pop("mean"),
        lambda c: c["features"][0].update(mean="0"),
        lambda c: c["hi_quantiles"].reverse(),
        lambda c: c["hi_quantiles"].pop(),
        lambda c: c["groups"].update(cut=None),
        lambda c: c["parameters"].update(neighbors=0),
        lambda c: c["volume_dependence"].update(rho="high"),
        lambda c: c["volume_dependence"].update(extra=1),
        lambda c: c.update(features=[]),
    ],
)
@pytest.mark.parametrize("with_schema", [True, False])
def test_damaged_models_are_refused_by_name_with_and_without_the_schema(
    damage, with_schema, cohort, tmp_path, monkeypatch
):
    content = index_to_json(cohort[0].index, HEAD)
    damage(content)
    (tmp_path / "model.json").write_text(json.dumps(content))
    if not with_schema:
        monkeypatch.setattr("IITHModuleLib.heterogeneity.frozen_model.check_schema", lambda *a: None)
    with pytest.raises(InputError, match=r"model\.json"):
        load_index(tmp_path)


def test_gaps_in_training_are_filled_or_left_out_with_a_reason(cohort):
    _, training, *_ = cohort
    values = training.values.copy()
    values[:30, 0] = np.nan
    values[5, 1:60] = np.nan
    values[7, 3] = np.nan
    values[:, 9] = 4.0
    complete = complete_matrix(matrix(values, training.keys, training.patients), 0.1)
    assert complete.dropped_features == {
        training.keys[0]: "missing in 25 % of the patients",
        training.keys[9]: "the same in every patient",
    }
    assert list(complete.dropped_patients) == [training.patients[5]]
    assert complete.n_filled == 1
    row, column = complete.matrix.patients.index(training.patients[7]), complete.matrix.keys.index(training.keys[3])
    others = np.delete(values[:, 3], [5, 7])
    assert complete.matrix.values[row, column] == pytest.approx(others.mean())


def test_feature_tables_become_one_matrix():
    def table(values, preset=PRESET):
        rows = [FeatureRow("lesion", "ser", f"original_glcm_F{i}", v, "1", "") for i, v in values.items()]
        return FeatureTable(tuple(rows), *preset, "native", "1")

    made = matrix_from_tables({"a": table({0: 1.0, 1: None}), "b": table({1: 2.0, 2: 3.0})})
    assert [k.feature for k in made.keys] == ["original_glcm_F0", "original_glcm_F1", "original_glcm_F2"]
    assert np.isnan(made.values).tolist() == [[False, True, True], [True, False, False]]
    assert (made.preset, made.preset_digest) == PRESET
    with pytest.raises(InputError, match="different presets"):
        matrix_from_tables({"a": table({0: 1.0}), "b": table({0: 1.0}, ("other", "e" * 64))})


def test_a_case_of_another_preset_is_refused(cohort):
    fitted, *_ = cohort
    rows = tuple(FeatureRow(*k, 0.0, "1", "") for k in fitted.index.keys)
    with pytest.raises(InputError, match="extract them with the same preset"):
        score_heterogeneity(fitted.index, FeatureTable(rows, "other", "e" * 64, "native", "1"))
    other = replace(cohort[2], preset="other", preset_digest="e" * 64)
    with pytest.raises(InputError, match="extract them with the same preset"):
        score_cohort(fitted.index, other)


def test_the_documented_snippet_runs(cohort, tmp_path, monkeypatch, capsys):
    _, training, new, *_ = cohort

    def table(row):
        rows = (FeatureRow(*k, float(v), "1") for k, v in zip(training.keys, row, strict=True))
        return FeatureTable(tuple(rows), *PRESET, "native", "1")

    monkeypatch.chdir(tmp_path)
    text = (REPOSITORY / "docs" / "heterogeneity.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]
    names = {"tables": {p: table(r) for p, r in zip(training.patients, training.values, strict=True)}}
    exec(compile(code, "heterogeneity.md", "exec"), names | {"new_table": table(new.values[0])})  # noqa: S102
    printed = capsys.readouterr().out
    expected = score_cohort(cohort[0].index, new.rows([0])).scores[0]
    assert float(printed.split()[0]) == pytest.approx(expected.value)
    assert printed.split()[1] == expected.group


@pytest.mark.parametrize(
    ("call", "part"),
    [
        (lambda m: fit_heterogeneity_index(m.columns([0])), "No texture feature varies"),
        (lambda m: fit_heterogeneity_index(m.rows(range(10))), "13 nearest neighbors"),
        (lambda m: fit_heterogeneity_index(m, volumes_mm3=[1.0]), "1 lesion volumes"),
        (lambda m: fit_heterogeneity_index(m, parameters=HeterogeneityParameters(regions=("ring",))), "none of the"),
        (lambda m: fit_heterogeneity_index(m, parameters=HeterogeneityParameters(mad_scale="log")), "scale 'log'"),
        (lambda m: fit_heterogeneity_index(m, parameters=HeterogeneityParameters(sign_rule="x")), "sign rule 'x'"),
        (lambda m: fit_heterogeneity_index(m, parameters=HeterogeneityParameters(hi_features="x")), "hi_features"),
        (lambda m: m.aligned(["nobody"], m.keys), "nobody is not in the feature matrix"),
        (lambda m: FeatureMatrix(("a", "a"), m.keys[:1], np.ones((2, 1))), "patient a is in the feature matrix twice"),
        (lambda m: FeatureMatrix(("a",), m.keys[:1], np.full((1, 1), np.inf)), "infinite"),
        (lambda m: FeatureMatrix(("a",), m.keys[:2], np.ones((1, 1))), "one column per feature"),
        (lambda m: load_signature("nothing"), "signature nothing is unknown"),
        (lambda m: ModelHead("Bad Id", "x"), "model id"),
    ],
)
def test_what_cannot_be_done_is_refused_with_a_remedy(call, part, cohort):
    with pytest.raises(InputError, match=part):
        call(cohort[1])


HETEROGENEITY_STEPS = (0.0, 0.5, 1.0, 1.5, 2.0)
N_LESIONS = 3


@pytest.fixture(scope="module")
def rising():
    """Three simulated lesions, each in five steps of heterogeneity at one volume; native engine, every phase.

    The preset is the shipped default, mr_default.
    """
    preset = load_preset("mr_default")
    settings = preset.phases
    engine, tables = make_engine("native"), {}
    for lesion in range(N_LESIONS):
        for step in HETEROGENEITY_STEPS:
            made = simulate_exam(
                SimulationParameters(
                    seed=lesion,
                    shape=(24, 60, 60),
                    breast_semi_axes_mm=(30.0, 44.0, 30.0),
                    lesion_radii_mm=(7.0, 7.0, 7.0),
                    lesion_center_mm=(4.0, 20.0, 4.0),
                    vessels=False,
                    phase_starts_s=(0.0, 130.0, 220.0, 400.0),
                    heterogeneity=step,
                )
            )
            exam, regions = made.exam, {"lesion": made.truth_lesion}
            sources = [SourceImage(f"phase{t}", exam.signal[t], "z", settings) for t in range(exam.n_phases)]
            rows = shape_rows(exam.geometry, regions, settings, 50, engine)
            rows += image_rows(sources, exam.geometry, regions, 50, engine, body_mask(exam.signal[0]))
            tables[f"lesion{lesion} step{step}"] = FeatureTable(tuple(rows), *PRESET, "native", "")
    return matrix_from_tables(tables)


@pytest.mark.parametrize("sign_rule", ["su", "math"])
@pytest.mark.parametrize("hi_features", ["selected", "all"])
def test_hi_rises_with_simulated_heterogeneity_at_constant_volume(rising, sign_rule, hi_features):
    parameters = HeterogeneityParameters(sign_rule=sign_rule, hi_features=hi_features)
    found = fit_heterogeneity_index(rising, parameters=parameters)
    by_lesion = found.hi.reshape(N_LESIONS, len(HETEROGENEITY_STEPS))
    assert (np.diff(by_lesion, axis=1) > 0).all(), by_lesion.round(1).tolist()
    labels = found.labels.reshape(by_lesion.shape)
    assert (labels[:, 0] == 0).all()
    assert (labels[:, -1] == 1).all()
    volume = rising.keys.index(FeatureKey("lesion", "mask", "original_shape_VoxelVolume"))
    assert np.ptp(rising.values[:, volume]) == 0
    assert found.index.volume.rho is None  # one volume: no correlation can be had, and none is made up
