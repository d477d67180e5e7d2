"""AUC, DeLong and the Youden cut against R's pROC (aSAH data), scikit-learn and brute force."""

from __future__ import annotations

import numpy as np
import pytest

from IITHModuleLib.statistics.auc import at_cut, auc_delong, compare_auc, youden_cut
from SubregionHabitatLib.errors import InputError
from support.data import require_data


@pytest.fixture(scope="module")
def asah() -> np.ndarray:
    """Columns: outcome (poor 1), s100b, wfns."""
    return np.loadtxt(require_data("reference", "asah.csv"), delimiter=",", skiprows=1)


def test_auc_and_its_variance_agree_with_proc(asah):
    s100b, wfns = auc_delong(asah[:, 0], asah[:, 1]), auc_delong(asah[:, 0], asah[:, 2])
    assert s100b.value == pytest.approx(0.7313686, abs=5e-8)
    assert wfns.value == pytest.approx(0.8236789, abs=5e-8)
    assert s100b.variance == pytest.approx(0.002668682, abs=5e-10)
    assert (s100b.low, s100b.high) == (pytest.approx(0.6301182, abs=5e-8), pytest.approx(0.8326189, abs=5e-8))


def test_paired_comparison_agrees_with_proc(asah):
    difference = compare_auc(asah[:, 0], asah[:, 1], asah[:, 2])
    assert difference.z == pytest.approx(-2.208984, abs=5e-7)
    assert difference.p == pytest.approx(0.02717578, abs=5e-9)
    assert difference.value == pytest.approx(0.7313686 - 0.8236789, abs=1e-7)


def test_youden_cut_agrees_with_proc(asah):
    cut = youden_cut(asah[:, 0], asah[:, 1])
    assert cut.value == pytest.approx(0.205, abs=1e-12)
    called = asah[:, 1] >= 0.205
    assert cut.sensitivity == called[asah[:, 0] == 1].mean()
    assert cut.specificity == (~called)[asah[:, 0] == 0].mean()
    assert at_cut(asah[:, 0], asah[:, 1], cut.value) == cut


def test_ties_count_one_half_as_in_scikit_learn():
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(3)
    outcome, score = rng.integers(0, 2, 300), rng.integers(0, 6, 300)
    assert auc_delong(outcome, score).value == pytest.approx(roc_auc_score(outcome, score), abs=1e-12)


def test_delong_variance_agrees_with_its_definition():
    rng = np.random.default_rng(4)
    outcome = rng.integers(0, 2, 40)
    score = rng.normal(size=40) + outcome
    positive, negative = score[outcome == 1], score[outcome == 0]
    wins = (positive[:, None] > negative[None, :]).astype(float)
    expected = wins.mean(axis=1).var(ddof=1) / len(positive) + wins.mean(axis=0).var(ddof=1) / len(negative)
    assert auc_delong(outcome, score).variance == pytest.approx(expected, rel=1e-12)


def test_two_scores_that_rank_alike_do_not_differ():
    outcome = np.array([0, 0, 1, 0, 1, 1])
    score = np.array([0.1, 0.3, 0.2, 0.5, 0.6, 0.9])
    difference = compare_auc(outcome, score, score**3)
    assert (difference.value, difference.z, difference.p) == (0.0, 0.0, 1.0)


@pytest.mark.parametrize(
    ("outcome", "score", "word"),
    [
        ([0, 1, 1], [1, 2], "length"),
        ([0, 1, 2, 1], [1, 2, 3, 4], "0 or 1"),
        ([0, 1, 0, 1], [1, 2, np.nan, 4], "finite"),
        ([0, 0, 0, 1], [1, 2, 3, 4], "at least two"),
    ],
)
def test_unusable_input_is_refused_in_one_sentence(outcome, score, word):
    with pytest.raises(InputError, match=word):
        auc_delong(outcome, score)


def test_a_cut_needs_two_different_scores():
    with pytest.raises(InputError, match="same score"):
        youden_cut(np.array([0, 0, 1, 1]), np.ones(4))
