"""Association of variables with groups or with a score: the test that fits the types, effect sizes, adjusted p values.

| | two groups | more groups | a score |
|---|---|---|---|
| number | Wilcoxon rank sum (or Welch t, Kolmogorov-Smirnov) | Kruskal-Wallis | Spearman |
| yes/no, category | chi-square, Fisher where counts are small | the same | Wilcoxon, Kruskal-Wallis |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np

from IITHModuleLib.statistics.group_tests import (
    TestResult,
    adjusted_p,
    chi_square,
    fisher,
    kolmogorov_smirnov,
    kruskal_wallis,
    needs_exact,
    rank_sum,
    spearman,
    welch_t,
)
from SubregionHabitatLib.errors import InputError

from ..clinical.variable_values import Variable

NUMBER_TESTS = {"wilcoxon": rank_sum, "t": welch_t, "ks": kolmogorov_smirnov}


def associate_with_groups(
    variables: Sequence[Variable], rows, labels, names: Sequence[str], number_test: str = "wilcoxon"
) -> list[dict]:
    """One test per variable between the groups ``labels`` (of the rows), with adjusted p values."""
    if number_test not in NUMBER_TESTS:
        raise InputError(f"'{number_test}' is no test for numbers; use one of {', '.join(NUMBER_TESTS)}.")
    return _with_adjusted([_by_group(v, rows, labels, names, number_test) for v in variables])


def associate_with_score(variables: Sequence[Variable], rows, score: np.ndarray) -> list[dict]:
    """One test per variable against a score (rows,), with adjusted p values."""
    results = []
    for variable in variables:
        values, known = variable.values[rows], variable.known[rows] & np.isfinite(score)
        if variable.kind in ("number", "time"):
            results.append(spearman(values.astype(float), score))
            continue
        texts = np.array(variable.texts(), dtype=object)[rows][known]
        levels = variable.levels if variable.kind == "category" else ("no", "yes")
        groups = [score[known][texts == level] for level in levels if (texts == level).any()]
        if len(groups) < 2:
            results.append(
                TestResult("none", int(known.sum()), reason="the variable has the same value in every patient")
            )
        elif len(groups) == 2:
            results.append(rank_sum(*groups))
        else:
            results.append(kruskal_wallis(groups))
    return _with_adjusted(results)


def _by_group(variable: Variable, rows, labels, names, number_test: str) -> TestResult:
    values, known = variable.values[rows], variable.known[rows]
    if variable.kind in ("number", "time"):
        groups = [values[known & (labels == n)].astype(float) for n in names]
        return NUMBER_TESTS[number_test](*groups) if len(groups) == 2 else kruskal_wallis(groups)
    table = contingency(variable, rows, labels, names)
    return fisher(table) if needs_exact(table) else chi_square(table)


def contingency(variable: Variable, rows, labels, names: Sequence[str]) -> np.ndarray:
    """Counts (levels, groups) of a yes/no or category variable; missing values are in no cell."""
    texts = np.array(variable.texts(), dtype=object)[rows]
    levels = variable.levels if variable.kind == "category" else ("no", "yes")
    return np.array([[int(((texts == level) & (labels == n)).sum()) for n in names] for level in levels])


def _with_adjusted(results: list[TestResult]) -> list[dict]:
    adjusted = adjusted_p([r.p for r in results])
    return [
        asdict(result) | {"adjusted_p": float(q) if np.isfinite(q) else None}
        for result, q in zip(results, adjusted, strict=True)
    ]


def correlation_matrix(variables: Sequence[Variable], rows) -> np.ndarray:
    """Spearman correlations (K, K) of numbers and yes/no variables over their common patients; NaN where undefined."""
    k = len(variables)
    matrix = np.full((k, k), np.nan)
    for i in range(k):
        matrix[i, i] = 1.0
        for j in range(i):
            rho = spearman(variables[i].values[rows].astype(float), variables[j].values[rows].astype(float)).effect
            matrix[i, j] = matrix[j, i] = np.nan if rho is None else rho
    return matrix
