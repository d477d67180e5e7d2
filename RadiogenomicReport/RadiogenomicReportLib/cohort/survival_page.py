"""The cohort report of a survival analysis: what a page shows of its numbers."""

from __future__ import annotations

from ..figures_style import report_style
from ..report_numbers import decimals, number, whole
from .figures_prediction import calibration_figure, decision_figure, nomogram_figure, roc_figure
from .figures_survival_curves import forest_figure, km_figure
from .page import Items, Page, Section, Text, Tiles, table
from .survival_sections import (
    Figures,
    added_section,
    calibration_section,
    calls_block,
    cox_section,
    curves_section,
    decisions_section,
    discrimination_section,
    forest_rows,
    nomogram_section,
    subgroup_rows,
    subgroups_section,
)
from .table_one_view import p_cell, table_one_block


def survival_figures(content: dict) -> Figures:
    """All figures of an analysis by file name, drawn in the report's style. Call inside ``report_style()``."""
    performance, horizons = content["performance"], content["horizons_years"]
    figures = {"kaplan-meier": km_figure(content["groups"], content["outcome"]["label"])}
    figures["forest"] = forest_figure(forest_rows(content["cox"]["multivariable"]["rows"]), "Hazard ratio")
    if any(r["auc"] is not None for r in performance["time_roc"]):
        figures["time-roc"] = roc_figure(performance["time_roc"], horizons)
    figures["calibration"] = calibration_figure(performance["calibration"])
    figures["decision-curve"] = decision_figure(performance["decision_curves"], horizons)
    figures["nomogram"] = nomogram_figure(content["nomogram"])
    if content["subgroups"]:
        figures["subgroups"] = forest_figure(subgroup_rows(content["subgroups"]), "Hazard ratio per SD of the score")
    return figures


def survival_page(content: dict, figures: Figures) -> Page:
    """The page of an analysis with its figures. Call inside ``report_style()``."""
    outcome = content["outcome"]["label"]
    sections = [
        Section("summary", "Summary", (_tiles(content), _warning_block(content))),
        Section("curves", "Survival by group", tuple(curves_section(content, figures))),
        Section("patients", "Patients", tuple(_patients(content))),
        Section("cox", "Cox regression", tuple(cox_section(content, figures))),
        Section("discrimination", "Discrimination", tuple(discrimination_section(content, figures))),
        Section("calibration", "Calibration", tuple(calibration_section(content, figures))),
        Section("decisions", "Decision curves", tuple(decisions_section(content, figures))),
        Section("nomogram", "Nomogram", tuple(nomogram_section(content, figures))),
    ]
    if content["confusion"]:
        sections.append(Section("calls", "Predictive values", (calls_block(content),)))
    if content["performance"]["added_value"]:
        sections.append(Section("added", "Added value", tuple(added_section(content))))
    if content["subgroups"]:
        sections.append(Section("subgroups", "Subgroups", tuple(subgroups_section(content, figures))))
    sections.append(Section("methods", "Methods and provenance", tuple(_methods(content))))
    title = content["title"] or f"Cohort report: {outcome}"
    counts = content["patients"]
    subtitle = f"{counts['n']:,} patients, {counts['n_events']:,} events; this page names no patient."
    return Page(title, subtitle, tuple(sections))


def all_of(content: dict) -> tuple[Page, Figures]:
    """Page and figures together."""
    with report_style():
        figures = survival_figures(content)
        return survival_page(content, figures), figures


def _tiles(content: dict) -> Tiles:
    counts, main = content["patients"], content["performance"]["discrimination"][0]
    test = content["groups"]["log_rank"]
    follow_up = counts["median_follow_up_years"]
    return Tiles(
        (
            ("Patients", whole(counts["n"]), "", f"of {counts['in_table']:,} in the tables"),
            ("Events", whole(counts["n_events"]), "", content["outcome"]["label"]),
            ("Median follow-up", decimals(follow_up, 1), "years", "reverse Kaplan-Meier"),
            (
                "C-index",
                decimals(main["c"], 3),
                "",
                f"{decimals(main['low'], 3)} to {decimals(main['high'], 3)}, {main['predictions']}: {main['model']}",
            ),
            (
                "Log-rank",
                p_cell(test["p"]),
                "",
                f"p between {len(content['groups']['names'])} groups, χ² {number(test['chi_square'])}",
            ),
        )
    )


def _warning_block(content: dict) -> Items:
    nothing = "Nothing was found that limits these numbers beyond the general limits of observational data."
    return Items(
        "What limits these numbers", tuple(content["warnings"]), nothing, "limits" if content["warnings"] else "items"
    )


def _patients(content: dict):
    counts = content["patients"]
    yield Items("Left out", tuple(counts["left_out"]), "No patient was left out.")
    if counts["notes"]:
        yield Items("Notes on the tables", tuple(dict.fromkeys(counts["notes"])))
    if content["table_one"]:
        yield table_one_block(
            content["table_one"], content["groups"]["names"], [c["n"] for c in content["groups"]["curves"]]
        )


def _methods(content: dict):
    provenance = content["provenance"]
    yield table(
        "What was asked for.",
        ["Setting", "Value"],
        [
            (k, ", ".join(map(str, v)) if isinstance(v, (list, tuple)) else str(v))
            for k, v in provenance["plan"].items()
            if v not in (None, "", [], ())
        ],
    )
    yield table(
        "Tables read.",
        ["Table", "Rows", "SHA-256"],
        [(s["name"], whole(s["rows"]), s["sha256"]) for s in provenance["tables"]],
        numeric=(1,),
    )
    yield Text(
        (
            "Software: " + ", ".join(f"{k} {v}" for k, v in provenance["software"].items()) + ".",
            "Kaplan-Meier, log-rank and Cox regression by lifelines; time-dependent ROC after Heagerty 2000, IDI and "
            "NRI after "
            "Uno 2013, net benefit after Vickers 2008, calibration after Austin 2020, subgroup tests by likelihood "
            "ratio. "
            "docs/statistics.md defines every number.",
        ),
        True,
    )
