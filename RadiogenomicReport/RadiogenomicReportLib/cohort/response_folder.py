"""Report and result folder of the prediction of a yes/no outcome."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..clinical.patient_table import PatientTable
from ..figures_style import INK, MUTED
from ..report_numbers import decimals, number, percent, signed, whole
from .figures_prediction import nomogram_figure, panels
from .figures_survival_curves import COLORS, DASHES, forest_figure, p_text
from .page import Items, Page, Pictures, Section, Text, Tiles, picture_of, table
from .report_folder import provenance_sentences, write_report_folder
from .response_analysis import SCHEMA, ResponsePlan
from .survival_folder import cell, table_one_rows
from .table_one_view import p_cell, table_one_block

RECORD = ("response.json", SCHEMA)


def response_figures(content: dict) -> dict:
    """All figures by file name. Call inside ``report_style()``."""
    rows = [
        {
            "label": r["name"] + (", per SD" if r.get("per_sd") else ""),
            "p": r["p"],
            "hazard_ratio": (r.get("per_sd") or r)["odds_ratio"],
            **{k: (r.get("per_sd") or r)[k] for k in ("low", "high")},
        }
        for r in content["logistic"]["rows"]
    ]
    return {
        "roc-calibration": _roc_and_calibration(content),
        "decision-curve": _decision(content),
        "forest": forest_figure(rows, "Odds ratio", "Odds ratio"),
        "nomogram": nomogram_figure(content["nomogram"]),
    }


def _roc_and_calibration(content: dict):
    figure, (left, right) = panels(2)
    left.plot([0, 1], [0, 1], color=MUTED, lw=1, ls=":")
    for entry, color, dash in zip(content["discrimination"], COLORS, DASHES, strict=False):
        label = f"{entry['model'][:42]}\nAUC {decimals(entry['auc'], 3)}"
        left.plot(entry["one_minus_specificity"], entry["sensitivity"], color=color, ls=dash, lw=1.7, label=label)
    left.set_title("ROC", fontsize=10)
    left.set_xlabel("1 − specificity")
    left.set_ylabel("Sensitivity")
    left.legend(frameon=False, fontsize=7.6, loc="lower right")
    groups = content["calibration"]["groups"]
    predicted, observed = [g["predicted"] for g in groups], [g["observed"] for g in groups]
    errors = [[g["observed"] - g["low"] for g in groups], [g["high"] - g["observed"] for g in groups]]
    right.plot([0, 1], [0, 1], color=MUTED, lw=1, ls=":", label="ideal")
    right.errorbar(
        predicted,
        observed,
        yerr=np.maximum(errors, 0),
        fmt="o",
        color=COLORS[0],
        capsize=3,
        label="fifths of the patients",
    )
    top = min(1.0, max(*predicted, *(g["high"] for g in groups)) + 0.05)
    right.set_xlim(0, top)
    right.set_ylim(0, top)
    right.set_title("Calibration", fontsize=10)
    right.set_xlabel("Predicted probability")
    right.set_ylabel("Observed share (95 % interval)")
    right.legend(frameon=False, fontsize=8, loc="upper left")
    return figure


def _decision(content: dict):
    figure, (axes,) = panels(1)
    curves = content["decision_curves"]
    axes.plot(curves[0]["thresholds"], curves[0]["everyone"], color=MUTED, lw=1.2, ls="--", label="act on everybody")
    axes.axhline(0, color=INK, lw=1, label="act on nobody")
    for curve, color, dash in zip(curves, COLORS, DASHES, strict=False):
        axes.plot(curve["thresholds"], curve["net_benefit"], color=color, ls=dash, lw=1.6, label=curve["model"][:42])
    top = max(max(c["net_benefit"]) for c in curves)
    axes.set_ylim(-0.25 * top, 1.08 * top)
    axes.set_xlim(0, 1)
    axes.set_xlabel("Probability at which one would act")
    axes.set_ylabel("Net benefit per patient")
    axes.legend(frameon=False, fontsize=7.6, loc="upper right")
    return figure


def response_page(content: dict, figures: dict) -> Page:
    """The page of an analysis. Call inside ``report_style()``."""
    counts, main, label = content["patients"], content["discrimination"][0], content["outcome"]["label"]
    tiles = Tiles(
        (
            ("Patients", whole(counts["n"]), "", f"of {counts['in_table']:,} in the tables"),
            (
                "With the outcome",
                whole(counts["n_events"]),
                "",
                f"{label}, {percent(counts['n_events'] / counts['n'])}",
            ),
            (
                "AUC",
                decimals(main["auc"], 3),
                "",
                f"{decimals(main['low'], 3)} to {decimals(main['high'], 3)}, {main['predictions']}",
            ),
        )
    )
    nothing = "Nothing was found that limits these numbers beyond the general limits of observational data."
    limits = Items("What limits these numbers", tuple(content["warnings"]), nothing, "limits")
    sizes = [counts["n"] - counts["n_events"], counts["n_events"]]
    sections = [
        Section("summary", "Summary", (tiles, limits)),
        Section(
            "patients",
            "Patients",
            (
                Items("Left out", tuple(counts["left_out"]), "No patient was left out."),
                table_one_block(content["table_one"], ("no", "yes"), sizes),
            ),
        ),
        Section("model", "Logistic regression", tuple(_model(content, figures))),
        Section("performance", "Discrimination and calibration", tuple(_performance(content, figures))),
        Section(
            "decisions",
            "Decision curve",
            (_picture(figures, "decision-curve", "Decision curve", "Net benefit, out of fold."),),
        ),
        Section("calls", "Predictive values", (_calls(content),)),
        Section(
            "nomogram",
            "Nomogram",
            (_picture(figures, "nomogram", "Nomogram", "Fitted to all patients, not validated elsewhere."),),
        ),
        Section("methods", "Methods and provenance", tuple(_methods(content))),
    ]
    subtitle = f"{counts['n']:,} patients, {counts['n_events']:,} with the outcome; this page names no patient."
    return Page(content["title"] or f"Cohort report: {label}", subtitle, tuple(sections))


def _picture(figures: dict, name: str, alt: str, caption: str) -> Pictures:
    return Pictures((picture_of(figures[name], alt, caption),))


def _ratio(row: dict | None) -> str:
    return "" if row is None else f"{number(row['odds_ratio'])} ({number(row['low'])} to {number(row['high'])})"


def _model(content: dict, figures: dict):
    fitted = content["logistic"]
    yield table(
        f"{fitted['model']}: likelihood ratio χ² {decimals(fitted['likelihood_ratio'], 2)} on {fitted['degrees']} "
        "degrees of "
        f"freedom, {p_text(fitted['p'])}; {decimals(fitted['events_per_coefficient'], 1)} events per coefficient.",
        ["Variable", "Odds ratio (95 % interval)", "p", "Per SD", "Variance inflation"],
        [
            (r["name"], _ratio(r), p_cell(r["p"]), _ratio(r.get("per_sd")), decimals(r["vif"], 2))
            for r in fitted["rows"]
        ],
        numeric=(2, 4),
    )
    yield _picture(figures, "forest", "Forest plot", "Odds ratios with 95 % intervals; numbers per standard deviation.")


def _performance(content: dict, figures: dict):
    rows = [
        (
            d["model"],
            f"{decimals(d['auc'], 3)} ({decimals(d['low'], 3)} to {decimals(d['high'], 3)})",
            d["predictions"],
            decimals(d["apparent"], 3),
        )
        for d in content["discrimination"]
    ]
    head = ["Model", "AUC (95 % interval, DeLong)", "Predictions", "Apparent"]
    yield table("Mean over the repeats of the cross-validation.", head, rows, numeric=(3,))
    comparison = content["comparison"]
    if comparison is not None:
        d = comparison["delong"]
        moves = "; ".join(
            f"{name} {decimals(comparison[key]['value'], 3)} ({decimals(comparison[key]['low'], 3)} to "
            f"{decimals(comparison[key]['high'], 3)})"
            for key, name in (("idi", "IDI"), ("nri", "NRI>0 (Pencina)"), ("nri_half", "half of it"))
        )
        yield Text(
            (
                f"All variables against the covariates alone: AUC {signed(d['value'], 3)} (95 % interval "
                f"{signed(d['low'], 3)} to "
                f"{signed(d['high'], 3)}), DeLong {p_text(d['p'])}; likelihood ratio {p_text(comparison['p'])}. "
                f"{moves}.",
            )
        )
    yield _picture(figures, "roc-calibration", "ROC and calibration", "Out-of-fold predictions of the first repeat.")
    c = content["calibration"]
    yield Text(
        (
            f"Calibration slope {decimals(c['slope']['value'], 2)} ({decimals(c['slope']['low'], 2)} to "
            f"{decimals(c['slope']['high'], 2)}; 1 is ideal), intercept {signed(c['intercept']['value'], 2)} (0 is "
            "ideal), Brier "
            f"score {decimals(c['brier'], 3)}.",
        )
    )


def _calls(content: dict):
    c = content["confusion"]
    names = (
        ("sensitivity", "Sensitivity"),
        ("specificity", "Specificity"),
        ("ppv", "Positive predictive value"),
        ("npv", "Negative predictive value"),
    )
    rows = [
        (
            title,
            "cannot be computed"
            if c[n] is None
            else f"{percent(c[n]['value'])} ({percent(c[n]['low'])} to {percent(c[n]['high'])})",
        )
        for n, title in names
    ]
    counts = f"{c['true_positive']} / {c['false_positive']} / {c['true_negative']} / {c['false_negative']}"
    rows.insert(0, ("True + / false + / true − / false −", counts))
    what = c["model"] if content["discrimination"][0]["predictions"] != "out of fold" else "Out-of-fold probability"
    caption = f"{what} at or above {number(c['cut'])} called positive ({c['rule']}); Wilson intervals."
    return table(caption, ["", "Value (95 % interval)"], rows)


def _methods(content: dict):
    yield Text(provenance_sentences(content["provenance"]), True)


def write_response(target: Path, content: dict, patients: PatientTable, plan: ResponsePlan, overwrite: bool) -> Path:
    """Write report, numbers and figures to a folder that is whole or absent; InputError where it cannot be written."""
    return write_report_folder(
        target, RECORD, content, plan, patients, response_figures, response_page, response_tables, overwrite
    )


def response_tables(content: dict) -> dict[str, tuple[list[str], list[list[str]]]]:
    """The numbers of the page as tables: name -> (header, rows)."""
    terms = ["term", "name", "unit", "coefficient", "standard_error", "odds_ratio", "low", "high", "z", "p", "vif"]
    models = ["model", "auc", "low", "high", "apparent", "predictions"]
    return {
        "logistic": (terms, [[cell(r[h]) for h in terms] for r in content["logistic"]["rows"]]),
        "discrimination": (models, [[cell(d[h]) for h in models] for d in content["discrimination"]]),
        "table_one": table_one_rows(content["table_one"], ["no", "yes"]),
    }
