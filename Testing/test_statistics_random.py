"""Every statistic on 200 small random data sets against an independent implementation or its definition written out."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy.stats import chi2, kruskal, ks_2samp

from IITHModuleLib.statistics.auc import auc_delong
from IITHModuleLib.statistics.collinearity import variance_inflation
from IITHModuleLib.statistics.concordance import harrell_c
from IITHModuleLib.statistics.confusion import confusion, survival_confusion
from IITHModuleLib.statistics.cox_table import cox_table
from IITHModuleLib.statistics.decision_curve import decision_curve, survival_decision_curve
from IITHModuleLib.statistics.group_tests import (
    _largest_distance,
    _resampled_kruskal,
    adjusted_p,
    chi_square,
    fisher,
    kolmogorov_smirnov,
    kruskal_wallis,
    rank_sum,
    spearman,
    welch_t,
)
from IITHModuleLib.statistics.nomogram import nomogram
from IITHModuleLib.statistics.reclassification import reclassification, survival_reclassification
from IITHModuleLib.statistics.survival_groups import log_rank, survival_curve
from IITHModuleLib.statistics.time_roc import time_roc
from SubregionHabitatLib.errors import InputError

N_SETS = 200


def follow_up(seed: int, n_columns: int = 2):
    """20 to 60 patients with tied times, censoring and a design of mixed columns."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(20, 61))
    design = rng.normal(size=(n, n_columns))
    design[:, -1] = rng.integers(0, 2, n)
    hazard = np.exp(0.5 * design[:, 0] - 0.4 * design[:, -1])
    times = np.ceil(rng.exponential(8 / hazard)) + 1
    censored = np.ceil(rng.uniform(2, 20, n))
    return np.minimum(times, censored), (times <= censored).astype(float), design


def product_limit(times, events, at: float) -> float:
    """Kaplan-Meier by its definition."""
    survival = 1.0
    for t in sorted(set(times[(events == 1) & (times <= at)])):
        survival *= 1 - ((times == t) & (events == 1)).sum() / (times >= t).sum()
    return survival


@pytest.mark.parametrize("seed", range(N_SETS))
def test_survival_curve_and_log_rank_by_definition(seed):
    times, events, design = follow_up(seed)
    curve = survival_curve(times, events)
    for at in (0.0, 3.0, 7.5, times.max()):
        assert curve.at(at)["survival"] == pytest.approx(product_limit(times, events, at), abs=1e-12)
        assert curve.at(at)["at_risk"] == (times >= at).sum()
    assert curve.at(times.max() + 1) is None
    group = design[:, -1]
    if not 0 < group.sum() < group.size or not events.any():
        return
    difference = variance = 0.0
    for t in np.unique(times[events == 1]):
        r, r1 = (times >= t).sum(), ((times >= t) & (group == 1)).sum()
        d, d1 = ((times == t) & (events == 1)).sum(), ((times == t) & (events == 1) & (group == 1)).sum()
        difference += d1 - d * r1 / r
        variance += d * r1 / r * (1 - r1 / r) * (r - d) / (r - 1) if r > 1 else 0.0
    if variance < 1e-9:
        return
    found = log_rank(times, events, group)
    assert found.chi_square == pytest.approx(difference**2 / variance, rel=1e-9)
    assert found.p == pytest.approx(chi2.sf(difference**2 / variance, 1), rel=1e-9)
    assert found.observed[1] - found.expected[1] == pytest.approx(difference, abs=1e-9)


@pytest.mark.parametrize("seed", range(N_SETS))
def test_cox_agrees_with_statsmodels(seed):
    from statsmodels.duration.hazard_regression import PHReg

    times, events, design = follow_up(seed)
    if events.sum() < 8 or not 4 < design[:, -1].sum() < len(design) - 4:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        other = PHReg(times, design, status=events, ties="efron").fit(maxiter=200, gtol=1e-12)
    if np.abs(other.params).max() > 5:
        return  # separated: the two programs stop at different places of a flat likelihood
    found = cox_table(design, ["x", "group"], times, events)
    assert [r.coefficient for r in found.rows] == pytest.approx(other.params, rel=1e-5, abs=1e-6)
    assert [r.standard_error for r in found.rows] == pytest.approx(other.bse, rel=1e-4)
    assert found.log_likelihood == pytest.approx(other.llf, abs=1e-7)
    assert [r.p for r in found.rows] == pytest.approx(other.pvalues, rel=1e-3, abs=1e-9)
    assert [r.low for r in found.rows] == pytest.approx(np.exp(other.conf_int()[:, 0]), rel=1e-4)
    risk = design @ other.params
    assert found.concordance == pytest.approx(harrell_by_pairs(times, events, risk), abs=1e-6)


def harrell_by_pairs(times, events, risk) -> float:
    concordant = comparable = 0.0
    for i in range(times.size):
        for j in range(times.size):
            if events[i] and (times[i] < times[j] or (times[i] == times[j] and not events[j])):
                comparable += 1
                concordant += 1.0 if risk[i] > risk[j] else 0.5 if risk[i] == risk[j] else 0.0
    return concordant / comparable


@pytest.mark.parametrize("seed", range(N_SETS))
def test_concordance_by_pairs(seed):
    times, events, design = follow_up(seed)
    risk = np.round(design[:, 0], 1)
    assert harrell_c(times, events, risk) == pytest.approx(harrell_by_pairs(times, events, risk), abs=1e-6)


@pytest.mark.parametrize("seed", range(N_SETS))
def test_time_roc_and_reclassification_by_definition(seed):
    times, events, design = follow_up(seed, 3)
    at, marker = 6.0, np.round(design[:, 0], 1)
    if not ((times <= at) & (events == 1)).any() or not (times > at).any():
        with pytest.raises(InputError):
            time_roc(times, events, marker, at)
        return
    overall = product_limit(times, events, at)
    roc = time_roc(times, events, marker, at)
    for cut, sensitivity, false_positive in zip(roc.cuts, roc.sensitivity, roc.one_minus_specificity, strict=True):
        above = marker > cut
        within = product_limit(times[above], events[above], at) if above.any() else 0.0
        assert sensitivity == pytest.approx((1 - within) * above.mean() / (1 - overall), abs=1e-12)
        assert false_positive == pytest.approx(within * above.mean() / overall, abs=1e-12)
    x, y = [1.0, *roc.one_minus_specificity], [1.0, *roc.sensitivity]
    assert roc.auc == pytest.approx(sum((x[k] - x[k + 1]) * (y[k] + y[k + 1]) / 2 for k in range(len(x) - 1)))
    first, second = 1 / (1 + np.exp(-design[:, 0])), 1 / (1 + np.exp(-design[:, 1]))
    case, control = (times < at) & (events == 1), times >= at
    if case.any() and control.any():
        weight = [1 / still_observed(times, events, t) for t in times[case]]
        rise = second - first
        found = survival_reclassification(times, events, first, second, at)
        assert found.idi == pytest.approx(np.average(rise[case], weights=weight) - rise[control].mean(), abs=1e-9)
        assert found.nri_half == pytest.approx(
            np.average(rise[case] > 0, weights=weight) - (rise[control] > 0).mean(), abs=1e-9
        )


def still_observed(times, events, at: float) -> float:
    """Share not yet censored at a time; deaths leave the risk set before censorings of the same time."""
    share = 1.0
    for t in sorted(set(times[(events == 0) & (times <= at)])):
        left = (times >= t).sum() - ((times == t) & (events == 1)).sum()
        share *= 1 - ((times == t) & (events == 0)).sum() / left
    return share


@pytest.mark.parametrize("seed", range(N_SETS))
def test_yes_no_outcomes_agree_with_scikit_learn_and_dcurves(seed):
    from sklearn.metrics import confusion_matrix, roc_auc_score

    rng = np.random.default_rng(seed)
    n = int(rng.integers(12, 50))
    outcome, risk = rng.integers(0, 2, n), np.round(rng.uniform(0.01, 0.99, n), 2)
    second = np.clip(risk + rng.normal(0, 0.1, n), 0.01, 0.99)
    if min(outcome.sum(), (1 - outcome).sum()) < 2:
        return
    assert auc_delong(outcome, risk).value == pytest.approx(roc_auc_score(outcome, risk), abs=1e-12)
    called = (risk >= 0.4).astype(int)
    found = confusion(outcome, called)
    tn, fp, fn, tp = confusion_matrix(outcome, called).ravel()
    assert (found.true_negative, found.false_positive, found.false_negative, found.true_positive) == (tn, fp, fn, tp)
    if tp + fp:
        assert found.ppv.value == pytest.approx(tp / (tp + fp))
    if tn + fn:
        assert found.npv.value == pytest.approx(tn / (tn + fn))
    curve = decision_curve(outcome, risk, [0.2, 0.5])
    for threshold, benefit in zip((0.2, 0.5), curve.model, strict=True):
        expected = sum(
            1 if o else -threshold / (1 - threshold) for o, r in zip(outcome, risk, strict=True) if r >= threshold
        )
        assert benefit == pytest.approx(expected / n, abs=1e-12)
    moves = reclassification(outcome, risk, second)
    up, down = second > risk, second < risk
    case, control = outcome == 1, outcome == 0
    assert moves.nri == pytest.approx(
        up[case].mean() - down[case].mean() + down[control].mean() - up[control].mean(), abs=1e-12
    )
    assert moves.idi == pytest.approx((second - risk)[case].mean() - (second - risk)[control].mean(), abs=1e-12)


@pytest.mark.parametrize("seed", range(0, N_SETS, 20))
def test_survival_decision_curve_agrees_with_dcurves(seed):
    import pandas as pd
    from dcurves import dca

    times, events, design = follow_up(seed)
    risk = np.round(1 / (1 + np.exp(-design[:, 0])), 2)
    at = 6.0
    frame = pd.DataFrame({"time": times, "event": events, "risk": risk})
    thresholds = np.array([0.2, 0.4])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            other = dca(
                data=frame,
                outcome="event",
                modelnames=["risk"],
                thresholds=thresholds,
                time=at,
                time_to_outcome_col="time",
            )
        except Exception:
            pytest.skip("dcurves itself fails on this data set")
    expected = other[other.model == "risk"].sort_values("threshold").net_benefit.to_numpy()
    found = survival_decision_curve(times, events, risk, at, thresholds).model
    for a, b in zip(found, expected, strict=True):
        if np.isfinite(a) and np.isfinite(b):
            assert a == pytest.approx(b, abs=1e-9)


@pytest.mark.parametrize("seed", range(N_SETS))
def test_survival_decision_curve_and_confusion_by_definition(seed):
    times, events, design = follow_up(seed)
    risk, at = 1 / (1 + np.exp(-design[:, 0])), 6.0
    called = risk >= 0.5
    if not 0 < called.sum() < called.size or times[called].max() < at or times.max() < at:
        return
    failed = 1 - product_limit(times[called], events[called], at)
    share = called.mean()
    curve = survival_decision_curve(times, events, risk, at, [0.5])
    assert curve.model[0] == pytest.approx(failed * share - (1 - failed) * share, abs=1e-12)
    found = survival_confusion(times, events, called, at, n_bootstrap=2)
    assert found.ppv.value == pytest.approx(failed, abs=1e-12)
    if times[~called].max() >= at:
        other = 1 - product_limit(times[~called], events[~called], at)
        assert found.npv.value == pytest.approx(1 - other, abs=1e-12)
        case = failed * share + other * (1 - share)
        if 0 < case < 1:
            assert found.sensitivity.value == pytest.approx(failed * share / case, abs=1e-12)
            assert found.specificity.value == pytest.approx((1 - other) * (1 - share) / (1 - case), abs=1e-12)
    known = found.true_positive + found.false_positive + found.true_negative + found.false_negative
    assert known + found.unknown == times.size
    assert found.unknown == ((times < at) & (events == 0)).sum()


@pytest.mark.parametrize("seed", range(N_SETS))
def test_tests_of_two_variables_by_definition(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 9, rng.integers(5, 15)), rng.integers(2, 11, rng.integers(5, 15))
    found = rank_sum(a, b)
    larger = np.mean([[1.0 if y > x else 0.5 if y == x else 0.0 for x in a] for y in b])
    assert found.effect == pytest.approx(larger, abs=1e-12)
    assert found.statistic == pytest.approx(larger * a.size * b.size, abs=1e-9)
    n = a.size + b.size
    ties = np.unique(np.concatenate([a, b]), return_counts=True)[1]
    spread = np.sqrt(a.size * b.size / 12 * (n + 1 - (ties**3 - ties).sum() / (n * (n - 1))))
    distance = max(0.0, abs(found.statistic - a.size * b.size / 2) - 0.5)
    assert found.p == pytest.approx(min(1.0, chi2.sf((distance / spread) ** 2, 1)), abs=1e-9)
    table = rng.integers(1, 12, (2, 3))
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    statistic = ((table - expected) ** 2 / expected).sum()
    crossed = chi_square(table)
    assert (crossed.statistic, crossed.p) == (pytest.approx(statistic), pytest.approx(chi2.sf(statistic, 2)))
    assert crossed.low <= crossed.effect <= crossed.high
    size = min(a.size, b.size)
    x, y = a[:size] + rng.uniform(0, 0.1, size), b[:size] + rng.uniform(0, 0.1, size)
    ranks = np.argsort(np.argsort(x)), np.argsort(np.argsort(y))
    rho = 1 - 6 * ((ranks[0] - ranks[1]) ** 2).sum() / (size * (size**2 - 1))
    assert spearman(x, y).effect == pytest.approx(rho, abs=1e-12)
    p = np.round(rng.uniform(size=12), 2)
    order = np.argsort(p)
    wanted = np.empty(12)
    for rank, k in enumerate(order):
        wanted[k] = min(1.0, *(p[order[j]] * 12 / (j + 1) for j in range(rank, 12)))
    assert adjusted_p(p) == pytest.approx(wanted, abs=1e-12)


def test_bootstrap_statistics_are_those_of_scipy():
    rng = np.random.default_rng(0)
    groups = [rng.integers(0, 6, n).astype(float) for n in (12, 20, 15)]
    draws = _resampled_kruskal(groups, np.random.default_rng(4))
    again = np.random.default_rng(4)
    drawn = [g[again.integers(0, g.size, (draws.size, g.size))] for g in groups]
    for k in range(0, draws.size, 20):
        assert draws[k] == pytest.approx(kruskal(*(d[k] for d in drawn)).statistic, rel=1e-9)
    assert _largest_distance(groups[0], groups[1]) == pytest.approx(ks_2samp(groups[0], groups[1]).statistic, abs=1e-12)
    result = kruskal_wallis(groups)
    assert result.low <= result.effect <= result.high or result.effect < 0.1
    assert kolmogorov_smirnov(groups[0], groups[1]).p == pytest.approx(ks_2samp(groups[0], groups[1]).pvalue)
    t = welch_t(groups[0], groups[1])
    assert t.effect == pytest.approx(groups[1].mean() - groups[0].mean())
    assert t.low < t.effect < t.high


@pytest.mark.parametrize("seed", range(N_SETS))
def test_fisher_by_enumeration(seed):
    from math import comb

    rng = np.random.default_rng(seed)
    table = rng.integers(0, 8, (2, 2))
    if (table.sum(axis=0) == 0).any() or (table.sum(axis=1) == 0).any():
        return
    (a, b), (c, d) = table.tolist()

    def chance(k: int) -> float:
        return comb(a + b, k) * comb(c + d, a + c - k) / comb(a + b + c + d, a + c)

    possible = range(max(0, a - d), min(a + b, a + c) + 1)
    expected = sum(chance(k) for k in possible if chance(k) <= chance(a) * (1 + 1e-7))
    assert fisher(table).p == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("seed", range(N_SETS))
def test_variance_inflation_and_nomogram_by_definition(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(20, 40))
    design = rng.normal(size=(n, 3))
    design[:, 2] = rng.integers(0, 2, n)
    design[:, 1] += 0.8 * design[:, 0]
    for k, found in enumerate(variance_inflation(design)):
        others = np.column_stack([np.ones(n), np.delete(design, k, axis=1)])
        residual = design[:, k] - others @ np.linalg.lstsq(others, design[:, k], rcond=None)[0]
        assert found == pytest.approx(design[:, k].var() / residual.var(), rel=1e-9)
    beta = rng.normal(size=3)
    scale = nomogram(design, beta, [("a", (0,), None), ("b", (1,), None), ("c", (2,), ["no", "yes"])])
    points = scale.points(design)
    assert points.min() == pytest.approx(0, abs=1e-9)
    assert max(term.span[1] for term in scale.terms) == pytest.approx(100)
    assert scale.predictor(points.sum(axis=1)) == pytest.approx(design @ beta, abs=1e-9)
    largest = max(np.ptp(design[:, 0] * beta[0]), np.ptp(design[:, 1] * beta[1]), abs(beta[2]))
    assert points[:, 0] == pytest.approx(100 * (design[:, 0] * beta[0] - (design[:, 0] * beta[0]).min()) / largest)
