"""Selection of features: nothing is found in noise, planted features are found, nothing leaks between folds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from IITHModuleLib.features import FeatureRow
from IITHModuleLib.heterogeneity.feature_matrix import FeatureKey
from IITHModuleLib.kinetic_curves import kinetic_curve_features
from IITHModuleLib.resources import resource_path
from IITHModuleLib.training import nested
from IITHModuleLib.training.cohort import with_curves
from IITHModuleLib.training.nested import cross_validate, discrimination, null_check, paper_order
from IITHModuleLib.training.recipe import load_recipe
from IITHModuleLib.training.selection import fit_steps, grouped_folds, oversample
from SubregionHabitatLib.errors import InputError
from support.planted import planted_cohort

SELECTING = ("zhou-model1", "zhou-model2", "zhou-model3", "zhou-prm", "zhou-gprm", "wang-radscore")


def quick(name: str):
    """The steps of a shipped protocol with fewer inner folds and penalties."""
    return replace(load_recipe(name).steps, lasso_folds=5, n_penalties=20)


def test_shipped_protocols_are_the_papers_recipes():
    for name in (*SELECTING, "logistic", "cox"):
        recipe = load_recipe(name)
        assert recipe.kind == ("cox" if name in ("wang-radscore", "cox") else "logistic")
        if name in SELECTING:
            assert (recipe.steps.icc, recipe.steps.p_below, recipe.steps.lasso_folds) == (0.75, 0.05, 10)
            assert recipe.steps.neighbors == (5 if name.startswith("zhou") else None)
    assert [v.name for v in load_recipe("zhou-prm").clinical] == ["ki67_high", "lvi"]
    assert load_recipe("zhou-prm").clinical[0].at_least == 20
    assert [v.name for v in load_recipe("zhou-gprm").clinical][2:] == ["vaf_REL", "vaf_MED23"]
    assert load_recipe("wang-radscore").groups["at_years"] == 5
    model3 = load_recipe("zhou-model3")
    assert model3.block_of(FeatureKey("habitat2", "phase1", "wavelet-LLH_glcm_Id")) == 0
    assert model3.block_of(FeatureKey("lesion", "phases", "original_glcm_Id_curve_mean")) == 1
    assert model3.block_of(FeatureKey("lesion", "phase1", "original_glcm_Id")) is None


@pytest.mark.parametrize(("name", "survival"), [("zhou-model1", False), ("wang-radscore", True)])
def test_nothing_is_found_in_noise_but_by_the_papers_order(name, survival):
    """Small form of Testing/check_noise.py: 3 cohorts of 100 patients with 300 features of noise."""
    steps = quick(name)
    honest, optimistic = [], []
    for seed in range(3):
        cohort = planted_cohort(40 + seed, 100, 300, survival=survival)
        honest.append(discrimination(cohort, cross_validate(cohort, steps, 4, 1, seed)[0]))
        _, scores, patients = paper_order(cohort, steps, 5, seed)
        optimistic.append(discrimination(patients, scores[0]))
    assert abs(np.mean(honest) - 0.5) < 0.12  # about two standard errors of the mean at this size
    assert min(optimistic) > 0.65
    assert min(optimistic) - max(honest) > 0.1


@pytest.mark.parametrize(("name", "survival"), [("zhou-model1", False), ("wang-radscore", True)])
def test_planted_features_are_found_and_hold_outside(name, survival):
    steps = quick(name)
    cohort = planted_cohort(11, 260, 80, effect=2.0, survival=survival)
    fit = fit_steps(cohort, steps, np.random.default_rng(0))
    strongest = fit.columns[np.argsort(-np.abs(fit.coefficients))][:3]
    assert set(strongest.tolist()) == {0, 1, 2}
    assert (fit.coefficients[np.isin(fit.columns, [0, 1, 2])] > 0).all()
    inside = cross_validate(cohort, steps, 4, 1, 0)[0]
    new = planted_cohort(12, 600, 80, effect=2.0, survival=survival)
    outside = discrimination(new, fit.scores(new))
    assert outside > 0.72
    assert outside == pytest.approx(discrimination(cohort, inside), abs=0.07)


def test_no_step_sees_a_test_patient(monkeypatch):
    """Every call of the steps gets patients of one training fold, and SMOTE adds none of another."""
    cohort = planted_cohort(1, 80, 30, effect=2.0)
    cohort = replace(cohort, group=np.arange(80) // 2)
    seen = []
    monkeypatch.setattr(nested, "fit_steps", lambda part, steps, rng: seen.append(part) or fit_steps(part, steps, rng))
    cross_validate(cohort, quick("zhou-model1"), 4, 1, 0)
    assert len(seen) == 4
    for part in seen:
        assert 40 < part.n < 80
        left_out = set(range(40)) - set(part.group.tolist())
        assert len(left_out) == (80 - part.n) / 2
        assert len(np.unique(part.group)) * 2 == part.n  # both exams of a patient, or none


def test_folds_keep_patients_together_and_share_the_events():
    cohort = planted_cohort(3, 90, 2)
    cohort = replace(cohort, group=np.arange(90) // 3, event=np.repeat((np.arange(30) % 3 == 0).astype(float), 3))
    folds = grouped_folds(cohort, 5, np.random.default_rng(0))
    assert sorted(np.concatenate(folds).tolist()) == list(range(90))
    for fold in folds:
        assert fold.size == 18
        assert cohort.event[fold].sum() == 6
        assert len(set(cohort.group[fold])) == 6


def test_smote_evens_out_and_the_probabilities_are_recalibrated():
    cohort = planted_cohort(5, 400, 20, effect=1.5)
    rng = np.random.default_rng(0)
    keep = np.sort(np.concatenate([np.flatnonzero(cohort.event == 0), np.flatnonzero(cohort.event == 1)[:40]]))
    rare = cohort.take(keep)
    rows, outcome = oversample(rare.values, rare.event, 5, rng)
    assert outcome.mean() == 0.5
    assert (rows[: rare.n] == rare.values).all()
    fit = fit_steps(rare, quick("zhou-model1"), rng)
    probability = 1 / (1 + np.exp(-fit.scores(rare)))
    assert probability.mean() == pytest.approx(rare.event.mean(), abs=0.03)


def test_permuted_outcomes_find_nothing_and_keep_patients_whole():
    cohort = planted_cohort(6, 120, 5, effect=3.0)
    steps = load_recipe("logistic").steps
    draws = null_check(cohort, steps, 4, 12, 0, lambda message: None)
    assert discrimination(cohort, cross_validate(cohort, steps, 4, 1, 0)[0]) > draws.max()
    assert draws.mean() == pytest.approx(0.5, abs=0.06)
    paired = replace(cohort, group=np.arange(120) // 2, event=np.repeat(cohort.event[::2], 2))
    shuffled = paired.shuffled(np.random.default_rng(0)).event
    assert (shuffled[::2] == shuffled[1::2]).all()
    assert shuffled.sum() == paired.event.sum()


def test_clinical_values_join_the_score_as_one_linear_model():
    cohort = planted_cohort(7, 200, 40, effect=2.0, n_clinical=1)
    fit = fit_steps(cohort, quick("zhou-prm"), np.random.default_rng(1))
    assert fit.clinical.tolist() == [0]
    assert fit.coefficients.size == fit.columns.size + 1
    score = fit.scores(cohort)
    probability = 1 / (1 + np.exp(-score))
    assert probability.mean() == pytest.approx(cohort.event.mean(), abs=0.02)
    # the coefficient of the value is that of the fit: the score moves by it where the value does
    other = replace(cohort, clinical=1 - cohort.clinical)
    moved = fit.scores(other) - score
    assert np.abs(moved) == pytest.approx(np.full(200, abs(fit.coefficients[-1]) / fit.sd[-1]), rel=1e-9)


def test_curves_over_phases_are_those_of_a_single_case():
    rng = np.random.default_rng(8)
    keys = tuple(FeatureKey("lesion", f"phase{t}", f"original_glcm_{n}") for t in range(5) for n in ("Id", "Idm"))
    values = rng.normal(size=(6, 10))
    values[2, keys.index(FeatureKey("lesion", "phase3", "original_glcm_Id"))] = np.nan
    new_keys, new_values = with_curves(keys, values)
    for row, found in zip(values, new_values, strict=True):
        case = [
            FeatureRow(*k, None if np.isnan(v) else float(v), "1", "flat" if np.isnan(v) else "")
            for k, v in zip(keys, row, strict=True)
        ]
        for expected in kinetic_curve_features(case):
            value = found[new_keys.index((expected.region, expected.image, expected.feature))]
            if expected.value is None:
                assert np.isnan(value)
            else:
                assert value == pytest.approx(expected.value, rel=1e-12)
    three, _ = with_curves(keys[:6], values[:, :6])
    assert {k.feature.rpartition("_")[2] for k in three[6:]} == {"mean", "variance", "skewness"}
    short = values.copy()
    short[0, 8:] = np.nan
    with pytest.raises(InputError, match="number of phases"):
        with_curves(keys, short)


def test_protocols_with_wrong_steps_are_refused(tmp_path):
    text = resource_path("Protocols", "zhou-model1.json").read_text()
    for old, new, word in (
        ('"step": "zscore"', '"step": "rank"', "not a valid protocol"),
        ('"estimator": "lasso"', '"estimator": "firth"', "lasso"),
        ('"p_below": 0.05', '"p_below": 5', "not a valid protocol"),
    ):
        assert old in text
        (tmp_path / "p.json").write_text(text.replace(old, new))
        with pytest.raises(InputError, match=word):
            load_recipe(tmp_path / "p.json")
