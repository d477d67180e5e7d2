"""The patient table as a page shows it."""

from __future__ import annotations

from collections.abc import Sequence

from ..report_numbers import decimals, number, percent, whole
from .figures_survival_curves import p_value
from .page import Table, table


def table_one_block(entries: list[dict], names: Sequence[str], sizes: Sequence[int]) -> Table:
    """Median (quartiles) of numbers, counts (percent of the known) of categories, overall and by group."""
    head = ["Variable", "Missing", f"All (n = {sum(sizes):,})"]
    head += [f"{name} (n = {size:,})" for name, size in zip(names, sizes, strict=True)]
    head += ["p", "Adjusted p", "Test", "Effect (95 % interval)"]
    rows, strong = [], []
    for entry in entries:
        test = entry["test"]
        last = (
            p_cell(test["p"]),
            p_cell(test["adjusted_p"]),
            test["test"] if not test["reason"] else test["reason"],
            effect(test),
        )
        unit = f" ({entry['unit'].replace('mm3', 'mm³')})" if entry["unit"] else ""
        missing = whole(entry["missing"]) if entry["missing"] else "0"
        if entry["kind"] in ("number", "time"):
            cells = [
                f"{number(s['median'])} ({number(s['q1'])} to {number(s['q3'])})" if s["n"] else "none"
                for s in entry["summary"]
            ]
            rows.append((entry["label"] + unit, missing, *cells, *last))
            continue
        levels = list(entry["summary"][0]["counts"])
        if levels == ["yes"]:
            rows.append((entry["label"], missing, *(_count(s, "yes") for s in entry["summary"]), *last))
            continue
        strong.append(len(rows))
        rows.append((entry["label"], missing, *("" for _ in entry["summary"]), *last))
        rows += [
            (f"\u2003{level}", "", *(_count(s, level) for s in entry["summary"]), "", "", "", "") for level in levels
        ]
    caption = (
        "Median (quartiles) or number (percent of those known). p adjusted over this table after Benjamini and "
        "Hochberg; "
        "in a cohort that was cut by a model, variables of the model differ by construction."
    )
    width = 3 + len(names)
    return table(caption, head, rows, numeric=(1, width, width + 1), strong=strong)


def _count(summary: dict, level: str) -> str:
    k, n = summary["counts"].get(level, 0), summary["n"]
    return f"{k:,} ({percent(k / n, 0)})" if n else "none"


def effect(test: dict) -> str:
    """An effect with its name and interval."""
    if test["effect"] is None:
        return ""
    places = 2 if test["effect_name"] != "difference of means" else 3
    bounds = (
        (decimals(test["low"], places), decimals(test["high"], places))
        if places == 2
        else (number(test["low"]), number(test["high"]))
    )
    value = decimals(test["effect"], places) if places == 2 else number(test["effect"])
    return f"{test['effect_name']} {value} ({bounds[0]} to {bounds[1]})"


def p_cell(p: float | None) -> str:
    """A p value in a cell; empty where there is none."""
    return "" if p is None else p_value(p)
