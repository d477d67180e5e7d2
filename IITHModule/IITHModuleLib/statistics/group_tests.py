"""Tests between two variables, each with an effect size and its 95 % interval.

Which test fits which pair is decided in associations.py. Tests come from scipy and agree with R's wilcox.test, t.test,
ks.test, kruskal.test, chisq.test(correct = FALSE), fisher.test and cor.test; effect sizes are written out here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from SubregionHabitatLib.errors import InputError

from .auc import auc_delong

N_BOOTSTRAP = 200
EXACT_BELOW = 50


@dataclass(frozen=True)
class TestResult:
    """One test. effect has the meaning ``effect_name``; ``standardized`` is the same on a scale of -1..1 (or 0..1
    where it has no direction), so that tests of one kind can be drawn together. A number that cannot be computed is
    None, with the reason."""

    __test__ = False  # no test class of pytest

    test: str
    n: int
    statistic: float | None = None
    p: float | None = None
    effect_name: str = ""
    effect: float | None = None
    low: float | None = None
    high: float | None = None
    standardized: float | None = None
    reason: str | None = None


def rank_sum(first, second) -> TestResult:
    """Wilcoxon rank sum test of ``second`` against ``first``; effect: probability that a value of the second group
    is the larger one (ties count one half), with DeLong's interval.

    Exact below 50 values a group without ties, else normal with correction for continuity and ties, as R does.
    """
    first, second = _values(first), _values(second)
    if min(first.size, second.size) < 2:
        return _missing("Wilcoxon rank sum", first.size + second.size, "a group has fewer than two values")
    joined = np.concatenate([first, second])
    if np.ptp(joined) == 0:
        return _missing("Wilcoxon rank sum", joined.size, "all values are equal")
    untied = np.unique(joined).size == joined.size
    method = "exact" if untied and max(first.size, second.size) < EXACT_BELOW else "asymptotic"
    result = stats.mannwhitneyu(second, first, alternative="two-sided", method=method)
    auc = auc_delong(np.repeat([0, 1], [first.size, second.size]), joined)
    return TestResult(
        f"Wilcoxon rank sum ({'exact' if method == 'exact' else 'normal'})", joined.size, float(result.statistic),
        float(result.pvalue), "P(second > first)", auc.value, auc.low, auc.high, 2 * auc.value - 1,
    )  # fmt: skip


def welch_t(first, second) -> TestResult:
    """Welch's t test; effect: mean of the second minus mean of the first group."""
    first, second = _values(first), _values(second)
    n = first.size + second.size
    if min(first.size, second.size) < 2:
        return _missing("Welch t", n, "a group has fewer than two values")
    if np.ptp(first) == 0 and np.ptp(second) == 0:
        return _missing("Welch t", n, "the values of each group are equal")
    result = stats.ttest_ind(second, first, equal_var=False)
    interval = result.confidence_interval(0.95)
    pooled = np.sqrt(((first.size - 1) * first.var(ddof=1) + (second.size - 1) * second.var(ddof=1)) / (n - 2))
    difference = float(second.mean() - first.mean())
    # Cohen's d as a correlation, so that it lies in -1..1 like the other effects.
    d = difference / pooled
    return TestResult(
        "Welch t", n, float(result.statistic), float(result.pvalue), "difference of means", difference,
        float(interval.low), float(interval.high), float(d / np.sqrt(d * d + 4)),
    )  # fmt: skip


def kolmogorov_smirnov(first, second, seed: int = 0) -> TestResult:
    """Two-sample Kolmogorov-Smirnov test; effect: largest distance of the distributions, bootstrap interval."""
    first, second = _values(first), _values(second)
    if min(first.size, second.size) < 2:
        return _missing("Kolmogorov-Smirnov", first.size + second.size, "a group has fewer than two values")
    result = stats.ks_2samp(first, second, method="exact" if first.size * second.size < 10_000 else "asymp")
    rng = np.random.default_rng(seed)
    draws = [
        _largest_distance(rng.choice(first, first.size), rng.choice(second, second.size)) for _ in range(N_BOOTSTRAP)
    ]
    low, high = np.percentile(draws, [2.5, 97.5])
    distance = float(result.statistic)
    return TestResult(
        "Kolmogorov-Smirnov", first.size + second.size, distance, float(result.pvalue), "distance D", distance,
        float(low), float(high), distance,
    )  # fmt: skip


def _largest_distance(first: np.ndarray, second: np.ndarray) -> float:
    first, second = np.sort(first), np.sort(second)
    at = np.concatenate([first, second])
    share = [np.searchsorted(v, at, side="right") / v.size for v in (first, second)]
    return float(np.abs(share[0] - share[1]).max())


def kruskal_wallis(groups, seed: int = 0) -> TestResult:
    """Kruskal-Wallis test of three or more groups; effect: epsilon squared = H / (n - 1), with a bootstrap interval."""
    groups = [_values(g) for g in groups]
    n = sum(g.size for g in groups)
    if len(groups) < 2 or min(g.size for g in groups) < 2:
        return _missing("Kruskal-Wallis", n, "a group has fewer than two values")
    if np.ptp(np.concatenate(groups)) == 0:
        return _missing("Kruskal-Wallis", n, "all values are equal")
    result = stats.kruskal(*groups)
    low, high = np.nanpercentile(_resampled_kruskal(groups, np.random.default_rng(seed)) / (n - 1), [2.5, 97.5])
    effect = float(result.statistic / (n - 1))
    return TestResult(
        "Kruskal-Wallis", n, float(result.statistic), float(result.pvalue), "epsilon squared", effect, float(low),
        float(high), effect,
    )  # fmt: skip


def _resampled_kruskal(groups: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """Kruskal-Wallis H, corrected for ties, of N_BOOTSTRAP resamples within the groups; NaN where all are equal."""
    drawn = np.hstack([g[rng.integers(0, g.size, (N_BOOTSTRAP, g.size))] for g in groups])
    n = drawn.shape[1]
    ranks = stats.rankdata(drawn, axis=1)
    edges = np.cumsum([0, *(g.size for g in groups)])
    sums = np.add.reduceat(ranks, edges[:-1], axis=1)
    h = 12 / (n * (n + 1)) * (sums**2 / np.diff(edges)).sum(axis=1) - 3 * (n + 1)
    # The variance of the ranks says how much the ties take away.
    untied = ranks.var(axis=1) * 12 / (n * n - 1)
    return np.divide(h, untied, out=np.full(N_BOOTSTRAP, np.nan), where=untied > 1e-12)


def spearman(first, second) -> TestResult:
    """Spearman's rank correlation with its t-approximated p and the interval of Bonett & Wright
    (Psychometrika 2000;65:23)."""
    first, second = np.asarray(first, float), np.asarray(second, float)
    known = np.isfinite(first) & np.isfinite(second)
    first, second = first[known], second[known]
    if first.size < 4:
        return _missing("Spearman", first.size, "fewer than four pairs of values")
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return _missing("Spearman", first.size, "a variable has the same value in every patient")
    result = stats.spearmanr(first, second)
    rho = float(result.statistic)
    if abs(rho) >= 1 - 1e-12:
        low = high = rho
    else:
        half = stats.norm.ppf(0.975) * np.sqrt((1 + rho * rho / 2) / (first.size - 3))
        low, high = (float(v) for v in np.tanh(np.arctanh(rho) + np.array([-half, half])))
    return TestResult("Spearman", first.size, rho, float(result.pvalue), "rho", rho, low, high, rho)


def chi_square(table) -> TestResult:
    """Pearson's chi-square test without continuity correction of counts (R, C); effect: Cramer's V with the interval
    that inverts the noncentral chi-square distribution."""
    table = _counts(table)
    n = int(table.sum())
    if min(table.shape) < 2:
        return _missing("chi-square", n, "a variable has the same value in every patient")
    statistic, p, degrees, _ = stats.chi2_contingency(table, correction=False)
    scale = n * (min(table.shape) - 1)
    low, high = (
        min(1.0, np.sqrt((nc + degrees) / scale)) if nc > 0 else 0.0 for nc in _noncentrality(statistic, degrees)
    )
    v = float(np.sqrt(statistic / scale))
    return TestResult("chi-square", n, float(statistic), float(p), "Cramer's V", v, float(low), float(max(high, v)), v)


def _noncentrality(statistic: float, degrees: int) -> tuple[float, float]:
    """The noncentralities at which the statistic is the 97.5th and the 2.5th percentile; 0 where there is none."""
    from scipy.optimize import brentq

    def solve(share: float) -> float:
        if stats.chi2.cdf(statistic, degrees) < share:
            return 0.0
        top = statistic + 50 + 20 * np.sqrt(statistic + degrees)
        return float(brentq(lambda nc: stats.ncx2.cdf(statistic, degrees, nc) - share, 1e-12, top))

    return solve(0.975), solve(0.025)


def fisher(table, seed: int = 0) -> TestResult:
    """Fisher's exact test of counts (R, C). 2 x 2: effect is the conditional odds ratio with its exact interval, as in
    R; larger tables: p by 9,999 seeded random tables with the same margins, effect is Cramer's V as in chi_square."""
    table = _counts(table)
    n = int(table.sum())
    if min(table.shape) < 2:
        return _missing("Fisher exact", n, "a variable has the same value in every patient")
    if table.shape == (2, 2):
        p = float(stats.fisher_exact(table).pvalue)
        ratio = stats.contingency.odds_ratio(table, kind="conditional")
        interval = ratio.confidence_interval(0.95)
        chi = stats.chi2_contingency(table, correction=False).statistic
        sign = 1 if table[0, 0] * table[1, 1] >= table[0, 1] * table[1, 0] else -1
        return TestResult(
            "Fisher exact", n, None, p, "odds ratio", float(ratio.statistic), float(interval.low),
            float(interval.high), float(sign * np.sqrt(chi / n)),
        )  # fmt: skip
    size = chi_square(table)
    return TestResult(
        "Fisher-Freeman-Halton (Monte Carlo)", n, None, _random_tables(table, seed), size.effect_name, size.effect,
        size.low, size.high, size.standardized,
    )  # fmt: skip


def _random_tables(table: np.ndarray, seed: int, n_tables: int = 9999) -> float:
    """Share of random tables with the same margins that are no likelier than the observed one."""
    from scipy.special import gammaln

    drawn = stats.random_table(table.sum(axis=1), table.sum(axis=0), seed=np.random.default_rng(seed)).rvs(n_tables)
    observed, random = -gammaln(table + 1.0).sum(), -gammaln(drawn + 1.0).sum(axis=(1, 2))
    return float((1 + (random <= observed + 1e-7).sum()) / (n_tables + 1))


def needs_exact(table) -> bool:
    """Cochran's rule: an expected count below 1, or below 5 in more than a fifth of the cells (any cell of a 2 x 2)."""
    table = _counts(table)
    if min(table.shape) < 2:
        return False
    expected = stats.contingency.expected_freq(table)
    return bool((expected < 1).any() or (expected < 5).mean() > (0 if table.shape == (2, 2) else 0.2))


def adjusted_p(p_values) -> np.ndarray:
    """Benjamini-Hochberg adjusted p values (K,); missing ones stay missing and do not count."""
    from statsmodels.stats.multitest import multipletests

    p = np.array([np.nan if v is None else v for v in p_values], dtype=float)
    result = np.full(p.size, np.nan)
    known = np.isfinite(p)
    if known.any():
        result[known] = multipletests(p[known], method="fdr_bh")[1]
    return result


def _values(values) -> np.ndarray:
    values = np.asarray(values, float)
    return values[np.isfinite(values)]


def _counts(table) -> np.ndarray:
    """Whole counts without empty rows and columns."""
    table = np.asarray(table)
    if table.ndim != 2 or (table < 0).any() or not np.equal(np.mod(table, 1), 0).all():
        raise InputError("A contingency table holds whole counts; cross two columns of categories.")
    table = table.astype(int)
    return table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0]


def _missing(test: str, n: int, reason: str) -> TestResult:
    return TestResult(test, int(n), reason=reason)
