"""Cox tables, proportional hazards, log-rank and curves against values printed by R's survival 3 on the same file."""

from __future__ import annotations

import numpy as np
import pytest

from IITHModuleLib.statistics.cox_table import cox_table, nested_test
from IITHModuleLib.statistics.group_tests import chi_square, fisher
from IITHModuleLib.statistics.proportional_hazards import proportional_hazards
from IITHModuleLib.statistics.subgroups import subgroup_analysis
from IITHModuleLib.statistics.survival_groups import log_rank, median_follow_up, survival_curve
from SubregionHabitatLib.errors import InputError
from support.data import require_data


@pytest.fixture(scope="module")
def cohort():
    """Times, events and the first three features of glmnet's Cox example."""
    table = np.loadtxt(require_data("reference", "cox.csv"), delimiter=",", skiprows=1)
    return table[:, 0], table[:, 1], table[:, 2:5]


def test_cox_table_is_that_of_coxph(cohort):
    times, events, x = cohort
    table = cox_table(x, ["x1", "x2", "x3"], times, events)
    assert [r.coefficient for r in table.rows] == pytest.approx([0.248630195, -0.454238297, 0.070717118], abs=2e-7)
    assert [r.standard_error for r in table.rows] == pytest.approx([0.036785756, 0.096373321, 0.048429320], abs=1e-8)
    assert [r.p for r in table.rows] == pytest.approx([1.390707e-11, 2.437130e-06, 1.442316e-01], rel=1e-4)
    assert table.null_log_likelihood == pytest.approx(-420.389430267, abs=1e-8)
    assert table.log_likelihood == pytest.approx(-389.461518126, abs=1e-8)
    assert table.concordance == pytest.approx(0.73554657915, abs=1e-9)
    # exp(coef -+ 1.959964 se)
    assert (table.rows[0].low, table.rows[0].high) == pytest.approx((1.1930719, 1.3781320), abs=2e-7)
    assert table.likelihood_ratio == pytest.approx(2 * (420.389430267 - 389.461518126), abs=1e-7)


@pytest.mark.parametrize(
    ("scale", "single", "overall"),
    [
        ("km", [0.046807233787, 0.004233910319, 0.798173522968], 0.966933188087),
        ("rank", [0.0412137998967, 0.0006062699416, 0.9002797031112], 1.0528977406982),
        ("identity", [0.004030490566, 0.003816767525, 0.410558302505], 0.472465358848),
    ],
)
def test_proportional_hazards_are_those_of_cox_zph(cohort, scale, single, overall):
    times, events, x = cohort
    fit = cox_table(x, ["x1", "x2", "x3"], times, events).fit
    found = proportional_hazards(x, times, events, fit.coefficients / fit.sd, scale)
    assert found.chi_square == pytest.approx(single, abs=1e-6)
    assert found.global_chi_square == pytest.approx(overall, abs=1e-6)


def test_curves_and_log_rank_are_those_of_survfit_and_survdiff(cohort):
    times, events, x = cohort
    group = np.searchsorted(np.quantile(x[:, 0], [1 / 3, 2 / 3]), x[:, 0])
    test = log_rank(times, events, group)
    assert test.chi_square == pytest.approx(30.1091306757, abs=1e-9)
    assert test.expected == pytest.approx((49.123438, 30.595620, 23.280942), abs=1e-6)
    assert test.observed == (24, 39, 40)
    curves = [survival_curve(times[group == k], events[group == k]) for k in range(3)]
    medians = [(c.median, c.median_low, c.median_high) for c in curves]
    assert medians == [(1.41, 1.13, 2.06), (0.54, 0.18, 0.69), (0.25, 0.21, 0.47)]
    at = curves[0].at(0.2)
    assert (at["survival"], at["low"], at["high"]) == pytest.approx((0.88954817, 0.7544777, 0.95253948), abs=1e-7)
    assert [c.number_at_risk(0.5) for c in curves] == [29, 23, 13]
    assert log_rank(times, events, x[:, 0] > 0).chi_square == pytest.approx(37.34514, abs=5e-6)


def test_a_median_along_one_half_is_the_middle_of_the_stretch_as_in_r():
    curve = survival_curve([1.0, 2, 3, 4], [1.0, 1, 1, 1])
    assert curve.median == 2.5
    assert survival_curve([1.0, 2, 3], [0.0, 0, 1]).median == 3
    assert survival_curve([1.0, 2, 3], [1.0, 0, 0]).median is None
    assert median_follow_up([1.0, 2, 3, 4], [1.0, 0, 0, 0]) == 3


def test_exact_and_chi_square_tests_are_those_of_r():
    exact = fisher([[3, 8], [9, 2]])
    assert exact.p == pytest.approx(0.02997312285, abs=1e-9)
    assert (exact.effect, exact.low, exact.high) == pytest.approx((0.0961195, 0.00634813, 0.84056197), rel=1e-3)
    plain = chi_square([[10, 20], [30, 15]])
    assert (plain.statistic, plain.p) == pytest.approx((8.0357142857, 0.0045863921), abs=1e-9)


def test_interaction_is_the_likelihood_ratio_of_the_crossed_model(cohort):
    times, events, x = cohort
    levels = np.where(x[:, 1] > 0, "b", "a")
    rows, interaction = subgroup_analysis(times, events, x[:, 0], "x2", levels)
    assert [(r.level, r.n) for r in rows] == [("a", int((x[:, 1] <= 0).sum())), ("b", int((x[:, 1] > 0).sum()))]
    group = (levels == "b").astype(float)
    smaller = cox_table(np.column_stack([x[:, 0], group]), ["x", "g"], times, events)
    larger = cox_table(np.column_stack([x[:, 0], group, x[:, 0] * group]), ["x", "g", "xg"], times, events)
    assert interaction.p == pytest.approx(nested_test(smaller, larger).p)
    few, none = subgroup_analysis(times[:20], events[:20] * 0 + (np.arange(20) < 3), x[:20, 0], "v", ["a", "b"] * 10)
    assert all("too few" in r.reason for r in few)
    assert none.p is None


def test_models_without_events_or_groups_are_refused(cohort):
    times, events, x = cohort
    with pytest.raises(InputError, match="needs events"):
        cox_table(x, ["a", "b", "c"], times, events * 0)
    with pytest.raises(InputError, match="at least two groups"):
        log_rank(times, events, np.zeros(times.size))
    with pytest.raises(InputError, match="at least one event"):
        log_rank(times, events * 0, x[:, 0] > 0)
