"""The patient table of a paper: every variable overall and by group, with the right test and adjusted p values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..clinical.variable_values import Variable
from .associations import associate_with_groups


def table_one(variables: Sequence[Variable], rows: np.ndarray, labels: np.ndarray, names: Sequence[str]) -> list[dict]:
    """One entry per variable. rows (N,) of bool: the patients; labels (rows,): their groups, in the order of ``names``.

    A number is summarized by median and quartiles, a category by counts; p is adjusted by Benjamini and Hochberg over
    the table. Missing values are counted, never filled.
    """
    entries = []
    tests = associate_with_groups(variables, rows, labels, names)
    for variable, test in zip(variables, tests, strict=True):
        values, known = variable.values[rows], variable.known[rows]
        sets = [np.ones(len(labels), dtype=bool), *(labels == n for n in names)]
        entries.append(
            {
                "variable": variable.name,
                "label": variable.label,
                "unit": variable.unit,
                "kind": variable.kind,
                "missing": int((~known).sum()),
                "summary": [_summary(variable, values[s & known]) for s in sets],
                "test": test,
            }
        )
    return entries


def _summary(variable: Variable, values: np.ndarray) -> dict:
    n = len(values)
    if variable.kind in ("number", "time"):
        if not n:
            return {"n": 0, "median": None, "q1": None, "q3": None}
        q1, median, q3 = (float(v) for v in np.percentile(values.astype(float), [25, 50, 75]))
        return {"n": n, "median": median, "q1": q1, "q3": q3}
    if variable.kind == "category":
        counts = {level: int((values == level).sum()) for level in variable.levels}
    else:
        counts = {"yes": int((values == 1).sum())}
    return {"n": n, "counts": counts}
