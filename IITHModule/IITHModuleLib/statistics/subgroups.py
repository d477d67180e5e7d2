"""Does a score mean the same in every subgroup? Hazard ratio per subgroup and a test of interaction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from SubregionHabitatLib.errors import InputError

from .cox_table import CoxRow, cox_table, nested_test
from .survival_curve import check_follow_up


@dataclass(frozen=True)
class SubgroupRow:
    """The score's effect in one level of a variable; row is None with a reason where no model could be fitted."""

    variable: str
    level: str
    n: int
    n_events: int
    row: CoxRow | None
    reason: str | None = None


@dataclass(frozen=True)
class Interaction:
    """Likelihood-ratio test of score x variable beyond score + variable; p is None with a reason where impossible."""

    variable: str
    chi_square: float | None
    degrees: int | None
    p: float | None
    reason: str | None = None


MIN_EVENTS = 5


def subgroup_analysis(times, events, score, variable: str, levels) -> tuple[tuple[SubgroupRow, ...], Interaction]:
    """Hazard ratio per unit of ``score`` (N,) within each level of ``levels`` (N,), and the test of interaction.

    Levels with fewer than five events or patients without one get no estimate.
    """
    times, events, score = check_follow_up(times, events, score)
    levels = np.asarray([str(v) for v in levels])
    names = sorted(set(levels.tolist()))
    rows = []
    for name in names:
        member = levels == name
        n, n_events = int(member.sum()), int(events[member].sum())
        row, reason = None, None
        if n_events < MIN_EVENTS or n_events == n:
            reason = f"{n_events} events in {n} patients are too few for an estimate"
        else:
            try:
                row = cox_table(score[member][:, None], [name], times[member], events[member]).rows[0]
            except InputError:
                reason = "the Cox model could not be fitted"
        rows.append(SubgroupRow(variable, name, n, n_events, row, reason))
    return tuple(rows), _interaction(times, events, score, variable, levels, rows)


def _interaction(times, events, score, variable, levels, rows) -> Interaction:
    usable = [r.level for r in rows if r.row is not None]
    if len(usable) < 2:
        return Interaction(variable, None, None, None, "fewer than two subgroups have enough events")
    kept = np.isin(levels, usable)
    dummies = np.column_stack([(levels[kept] == name).astype(float) for name in usable[1:]])
    x = score[kept][:, None]
    plain, crossed = np.hstack([x, dummies]), np.hstack([x, dummies, x * dummies])
    try:
        fits = [cox_table(d, [str(k) for k in range(d.shape[1])], times[kept], events[kept]) for d in (plain, crossed)]
    except InputError:
        return Interaction(variable, None, None, None, "the Cox model with interaction could not be fitted")
    test = nested_test(*fits)
    return Interaction(variable, test.chi_square, test.degrees, test.p)
