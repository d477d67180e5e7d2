"""Association of all variables with groups or a score: tests, patient table, correlations, and their page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from SubregionHabitatLib.errors import InputError

from ..clinical.patient_table import PatientTable
from ..clinical.variable_values import Variable
from ..report_numbers import whole
from .associations import NUMBER_TESTS, associate_with_groups, associate_with_score, correlation_matrix
from .figures_association import finite, heat_map, volcano
from .page import Items, Page, Pictures, Section, Text, Tiles, picture_of, table
from .report_folder import provenance_sentences, write_report_folder
from .survival_folder import cell, table_one_rows
from .table_one import table_one
from .table_one_view import effect, p_cell, table_one_block

SCHEMA = "iith-association/1"
RECORD = ("association.json", SCHEMA)
MAX_HEAT_MAP, MAX_TABLE_ONE = 60, 40


@dataclass(frozen=True)
class AssociationPlan:
    """Exactly one of group and score. variables: names, empty for everything usable in the tables; number_test: what
    compares a number between two groups (wilcoxon, t, ks)."""

    group: str | None = None
    score: str | None = None
    variables: tuple[str, ...] = ()
    number_test: str = "wilcoxon"
    title: str = ""

    def __post_init__(self) -> None:
        if (self.group is None) == (self.score is None):
            raise InputError("Name exactly one of --group and --score.")
        if self.number_test not in NUMBER_TESTS:
            raise InputError(f"'{self.number_test}' is no test for numbers; use one of {', '.join(NUMBER_TESTS)}.")


def analyze_associations(patients: PatientTable, plan: AssociationPlan) -> dict:
    """Test every variable against the group or score, with p values adjusted over all of them (Benjamini-Hochberg).

    Variables that cannot be read are left out and named. Raises InputError where the group or score does not fit.
    """
    target = patients.variable(plan.group or plan.score)
    rows = target.known
    if rows.sum() < 4:
        raise InputError(f"{target.label} is known for {int(rows.sum())} patients; a comparison needs at least 4.")
    variables, skipped = _variables(patients, plan)
    content = {
        "schema": SCHEMA,
        "title": plan.title,
        "target": {"name": target.name, "label": target.label, "kind": "group" if plan.group else "score"},
        "patients": {
            "in_table": len(patients),
            "n": int(rows.sum()),
            "notes": [*patients.mapping.notes, *patients.notes],
        },
        "skipped": skipped,
    }
    if plan.group:
        labels, names = _labels(target, rows)
        tests = associate_with_groups(variables, rows, labels, names, plan.number_test)
        sizes = [int((labels == n).sum()) for n in names]
        content["groups"] = {"names": list(names), "sizes": sizes}
        content["table_one"] = table_one(variables[:MAX_TABLE_ONE], rows, labels, names)
    else:
        if target.kind not in ("number", "yes_no"):
            raise InputError(f"{target.label} is no number, so it cannot be a score; use --group.")
        tests = associate_with_score(variables, rows, target.values[rows].astype(float))
        content["table_one"] = []
    content["tests"] = [
        {"variable": v.name, "label": v.label, "unit": v.unit, "kind": v.kind} | t
        for v, t in zip(variables, tests, strict=True)
    ]
    chosen = _for_heat_map(target, variables, tests)
    content["correlations"] = {
        "labels": [v.label for v in chosen],
        "matrix": [[None if np.isnan(v) else float(v) for v in row] for row in correlation_matrix(chosen, rows)],
    }
    return content


def _variables(patients: PatientTable, plan: AssociationPlan) -> tuple[list[Variable], list[str]]:
    target = plan.group or plan.score
    names = plan.variables or patients.usable_names()
    variables, skipped = [], []
    for name in dict.fromkeys(names):
        if name == target:
            continue
        try:
            variable = patients.variable(name)
        except InputError as error:
            if plan.variables:
                raise
            skipped.append(f"{name}: {error}")
            continue
        if variable.known.sum() < 4:
            skipped.append(f"{name}: known for {int(variable.known.sum())} patients only")
        else:
            variables.append(variable)
    if not variables:
        raise InputError("No variable is left to compare; name some with --with.")
    return variables, skipped


def _labels(target: Variable, rows) -> tuple[np.ndarray, tuple[str, ...]]:
    texts = np.array(target.texts(), dtype=object)[rows].astype(str)
    found = set(texts.tolist())
    order = target.levels if target.kind == "category" else ("no", "yes") if target.kind in ("yes_no", "event") else ()
    names = tuple(n for n in order if n in found) or tuple(sorted(found))
    if not 2 <= len(names) <= 6:
        raise InputError(f"The groups of {target.label} number {len(names)}; a comparison takes 2 to 6 groups.")
    return texts, names


def _for_heat_map(target: Variable, variables: Sequence[Variable], tests: list[dict]) -> list[Variable]:
    """The score and the numbers with the smallest p values."""
    numbers = [
        (t["p"] if t["p"] is not None else 2.0, k)
        for k, (v, t) in enumerate(zip(variables, tests, strict=True))
        if v.kind != "category"
    ]
    kept = sorted(k for _, k in sorted(numbers)[:MAX_HEAT_MAP])
    first = [target] if target.kind in ("number", "yes_no") else []
    return [*first, *(variables[k] for k in kept)]


def association_figures(content: dict) -> dict:
    """Heat map and volcano plot by file name. Call inside ``report_style()``."""
    figures = {}
    matrix = np.array([[finite(v) for v in row] for row in content["correlations"]["matrix"]])
    if len(matrix) > 1:
        figures["correlations"] = heat_map(matrix, content["correlations"]["labels"])
    shown = [t for t in content["tests"] if t["p"] is not None and t["standardized"] is not None]
    if len(shown) > 1:
        figures["volcano"] = volcano(
            [t["standardized"] for t in shown],
            [t["p"] for t in shown],
            [t["adjusted_p"] for t in shown],
            [t["label"] for t in shown],
            _axis_label(content),
        )
    return figures


def _axis_label(content: dict) -> str:
    if content["target"]["kind"] == "score":
        return f"Effect on a scale of −1 to 1 (with {content['target']['label']})"
    names = content["groups"]["names"]
    if len(names) == 2:
        return f"Effect on a scale of −1 to 1 (positive: higher in {names[1][:24]})"
    return "Effect on a scale of 0 to 1 (several groups: no direction)"


def association_page(content: dict, figures: dict) -> Page:
    """The page of an analysis. Call inside ``report_style()``."""
    tests = sorted(content["tests"], key=lambda t: 2.0 if t["p"] is None else t["p"])
    found = [t for t in tests if t["adjusted_p"] is not None and t["adjusted_p"] < 0.05]
    label = content["target"]["label"]
    counts = content["patients"]
    tiles = Tiles(
        (
            ("Patients", whole(counts["n"]), "", f"of {counts['in_table']:,}, {label} known"),
            ("Variables", whole(len(tests)), "", "tested"),
            ("Associated", whole(len(found)), "", "adjusted p below 0.05"),
        )
    )
    limits = ["Associations of one cohort, without adjustment for other variables; nothing here says what causes what."]
    limits += [f"Left out: {text}" for text in content["skipped"][:20]]
    sections = [
        Section("summary", "Summary", (tiles, Items("What limits these numbers", tuple(limits), kind="limits")))
    ]
    if content["table_one"]:
        block = table_one_block(content["table_one"], content["groups"]["names"], content["groups"]["sizes"])
        sections.append(Section("patients", "Patients", (block,)))
    captions = {
        "volcano": (
            "Volcano plot",
            "Each variable's effect and p value; named: the smallest p values among those found.",
        ),
        "correlations": (
            "Correlation heat map",
            f"Spearman correlations of the numbers (at most {MAX_HEAT_MAP}, smallest p values first chosen).",
        ),
    }
    for name, (title, caption) in captions.items():
        if name in figures:
            sections.append(Section(name, title, (Pictures((picture_of(figures[name], title, caption),)),)))
    rows = [
        (t["label"], whole(t["n"]), p_cell(t["p"]), p_cell(t["adjusted_p"]), t["reason"] or t["test"], effect(t))
        for t in tests[:200]
    ]
    caption = "All tests by p value" + (
        f"; the first 200 of {len(tests):,}, the rest in tables/tests.csv." if len(tests) > 200 else "."
    )
    block = table(
        caption, ["Variable", "Patients", "p", "Adjusted p", "Test", "Effect (95 % interval)"], rows, numeric=(1, 2, 3)
    )
    sections.append(Section("tests", "All tests", (block,)))
    methods = Text(provenance_sentences(content["provenance"]), True)
    sections.append(Section("methods", "Methods and provenance", (methods,)))
    title = content["title"] or f"Associations with {label}"
    return Page(title, f"{counts['n']:,} patients; this page names no patient.", tuple(sections))


def write_associations(
    target: Path, content: dict, patients: PatientTable, plan: AssociationPlan, overwrite: bool
) -> Path:
    """Write report, numbers and figures to a folder that is whole or absent; InputError where it cannot be written."""
    return write_report_folder(
        target, RECORD, content, plan, patients, association_figures, association_page, association_tables, overwrite
    )


_TEST = (
    "variable",
    "label",
    "unit",
    "kind",
    "test",
    "n",
    "statistic",
    "p",
    "adjusted_p",
    "effect_name",
    "effect",
    "low",
)
_TEST_TAIL = ("high", "standardized", "reason")


def association_tables(content: dict) -> dict[str, tuple[list[str], list[list[str]]]]:
    """The numbers of the page as tables: name -> (header, rows)."""
    head = [*_TEST, *_TEST_TAIL]
    tables = {"tests": (head, [[cell(t[h]) for h in head] for t in content["tests"]])}
    if content["table_one"]:
        tables["table_one"] = table_one_rows(content["table_one"], content["groups"]["names"])
    labels = content["correlations"]["labels"]
    rows = [[n, *(cell(v) for v in row)] for n, row in zip(labels, content["correlations"]["matrix"], strict=True)]
    tables["correlations"] = (["variable", *labels], rows)
    return tables
