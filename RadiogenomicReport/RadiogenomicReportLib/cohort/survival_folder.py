"""The result folder of a survival analysis: report, numbers as JSON and CSV, figures as SVG and PNG."""

from __future__ import annotations

import math
from pathlib import Path

from ..clinical.patient_table import PatientTable
from ..table_writer import number_cell
from .report_folder import write_report_folder
from .risk_groups import DAYS_PER_YEAR
from .survival_analysis import SCHEMA, SurvivalResult
from .survival_page import survival_figures, survival_page
from .survival_plan import SurvivalPlan

RECORD = ("survival.json", SCHEMA)


def write_survival(
    target: Path, result: SurvivalResult, table: PatientTable, plan: SurvivalPlan, show_identity: bool, overwrite: bool
) -> Path:
    """Write the folder; patients are named only with ``show_identity``, else by the line of their row.

    Raises InputError where the folder cannot be written or holds something else.
    """
    return write_report_folder(
        target, RECORD, result.content, plan, table, survival_figures, survival_page,
        lambda content: survival_tables(content) | {"patients": _patient_rows(result, table, show_identity)}, overwrite,
    )  # fmt: skip


def cell(value) -> str:
    """A cell: texts as they are, numbers with all digits, empty for what is missing."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    number = float(value)
    if not math.isfinite(number):
        return ""
    return str(int(number)) if isinstance(value, int) else number_cell(number)


def survival_tables(content: dict) -> dict[str, tuple[list[str], list[list[str]]]]:
    """The numbers of the page as tables: name -> (header, rows)."""
    performance = content["performance"]
    tables = {
        "kaplan_meier": _records(
            ["group", "years", "survival", "low", "high", "at_risk"],
            [
                {"group": c["group"], "years": y, "survival": s, "low": lo, "high": hi, "at_risk": r}
                for c in content["groups"]["curves"]
                for y, s, lo, hi, r in zip(c["years"], c["survival"], c["low"], c["high"], c["at_risk"], strict=True)
            ],
        ),
        "cox_univariable": _records(
            [*_COX, "n", "n_events", "concordance"],
            [
                r | {k: e[k] for k in ("n", "n_events", "concordance")}
                for e in content["cox"]["univariable"]
                for r in e["rows"]
            ],
        ),
        "cox_multivariable": _records([*_COX, "vif"], content["cox"]["multivariable"]["rows"]),
        "discrimination": _records(
            ["model", "c", "low", "high", "c_apparent", "n_coefficients", "likelihood_ratio", "p", "aic"],
            performance["discrimination"],
        ),
        "time_roc": _records(
            ["model", "years", "auc", "low", "high", "cut", "youden", "n_events_by_then", "n_at_risk", "reason"],
            performance["time_roc"],
        ),
        "calibration": _records(
            ["model", "years", "n", "predicted", "observed", "low", "high", "at_risk", "reason"],
            [g | {"model": e["model"], "years": e["years"]} for e in performance["calibration"] for g in e["groups"]],
        ),
        "decision_curve": _records(
            ["model", "years", "threshold", "net_benefit", "everyone"],
            [
                {"model": c["model"], "years": c["years"], "threshold": t, "net_benefit": b, "everyone": a}
                for c in performance["decision_curves"]
                for t, b, a in zip(c["thresholds"], c["net_benefit"], c["everyone"], strict=True)
            ],
        ),
        "nomogram": _nomogram_rows(content["nomogram"]),
        "subgroups": _records(
            ["variable", "level", "n", "n_events", "hazard_ratio", "low", "high", "p", "interaction_p", "reason"],
            [
                {
                    **r,
                    **(r["row"] or {}),
                    "variable": e["variable"],
                    "reason": r["reason"],
                    "interaction_p": e["interaction"]["p"],
                }
                for e in content["subgroups"]
                for r in e["rows"]
            ],
        ),
        "table_one": table_one_rows(content["table_one"], content["groups"]["names"]),
    }
    return {name: (head, rows) for name, (head, rows) in tables.items() if rows}


_COX = [
    "term",
    "name",
    "unit",
    "coefficient",
    "standard_error",
    "hazard_ratio",
    "low",
    "high",
    "z",
    "p",
    "proportional_p",
]


def _records(head: list[str], rows: list[dict]) -> tuple[list[str], list[list[str]]]:
    return head, [[cell(row.get(name)) for name in head] for row in rows]


def _nomogram_rows(content: dict) -> tuple[list[str], list[list[str]]]:
    rows = []
    for term in content["terms"]:
        if term["levels"]:
            rows += [[term["name"], level["level"], cell(level["points"])] for level in term["levels"]]
        else:
            rows += [[term["name"], cell(term[end]), cell(term[f"points_{end}"])] for end in ("low", "high")]
    for axis in content["survival"]:
        rows += [[f"survival at {axis['years']:g} years", cell(t["survival"]), cell(t["total"])] for t in axis["ticks"]]
    return ["axis", "value", "points"], rows


def table_one_rows(entries: list[dict], names: list[str]) -> tuple[list[str], list[list[str]]]:
    """The patient table with plain numbers."""
    head = [
        "variable",
        "label",
        "level",
        "group",
        "n_known",
        "count",
        "median",
        "q1",
        "q3",
        "missing",
        "test",
        "p",
        "adjusted_p",
        "effect_name",
        "effect",
        "low",
        "high",
        "reason",
    ]
    rows = []
    for e in entries:
        test = e["test"]
        tail = [test["test"], *(test[k] for k in ("p", "adjusted_p", "effect_name", "effect", "low", "high", "reason"))]
        for group, s in zip(["all", *names], e["summary"], strict=True):
            levels = s.get("counts", {"": None})
            for level, count in levels.items():
                line = [
                    e["variable"],
                    e["label"],
                    level,
                    group,
                    s["n"],
                    count,
                    s.get("median"),
                    s.get("q1"),
                    s.get("q3"),
                ]
                rows.append([cell(v) for v in (*line, e["missing"], *tail)])
    return head, rows


def _patient_rows(result: SurvivalResult, table: PatientTable, show_identity: bool):
    """Group, score, points and predicted survival of each patient that was used."""
    used = [k for k, inside in enumerate(result.table_rows) if inside]
    head = ["patient" if show_identity else "line", "group"]
    head += ["score"] if result.score is not None else []
    head += [f"points: {n}" for n in result.point_names] + (["total points"] if result.points is not None else [])
    head += [f"predicted survival at {d / DAYS_PER_YEAR:g} years, out of fold" for d in result.survival]
    rows = []
    for row, k in enumerate(used):
        cells = [table.patients[k] if show_identity else str(table.lines[k]), str(result.groups.labels[row])]
        if result.score is not None:
            cells.append(cell(float(result.score[row])))
        if result.points is not None:
            cells += [cell(float(v)) for v in result.points[row]] + [cell(float(result.points[row].sum()))]
        cells += [cell(float(v[row])) for v in result.survival.values()]
        rows.append(cells)
    return head, rows
