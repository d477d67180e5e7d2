"""The sections of a survival report that show one analysis each."""

from __future__ import annotations

from ..report_numbers import decimals, number, percent, signed, whole
from .figures_survival_curves import p_text
from .page import Pictures, Text, picture_of, table
from .table_one_view import p_cell

Figures = dict[str, object]


def interval(e: dict, places: int = 3, key: str = "value") -> str:
    """A value with its 95 % interval."""
    return f"{decimals(e[key], places)} ({decimals(e['low'], places)} to {decimals(e['high'], places)})"


def curves_section(content: dict, figures: Figures):
    """Kaplan-Meier curves and survival at the horizons."""
    groups, outcome = content["groups"], content["outcome"]["label"]
    yield Pictures(
        (
            picture_of(
                figures["kaplan-meier"],
                "Kaplan-Meier curves: "
                + "; ".join(f"{c['group']} n={c['n']}, {c['n_events']} events" for c in groups["curves"]),
                f"Kaplan-Meier curves of {outcome} with 95 % bands (log-log); ticks: censored patients; below: "
                "patients at "
                f"risk. Groups: {groups['rule']}.",
            ),
        )
    )
    head = ["Group", "Patients", "Events", "Expected events", "Median (years)"]
    head += [f"Survival at {h:g} years (95 % interval; at risk)" for h in content["horizons_years"]]
    rows = []
    for curve, expected in zip(groups["curves"], groups["log_rank"]["expected"], strict=True):
        median = "not reached" if curve["median_years"] is None else decimals(curve["median_years"], 2)
        cells = [curve["group"], whole(curve["n"]), whole(curve["n_events"]), decimals(expected, 1), median]
        for at in curve["at"]:
            known = at["survival"] is not None
            cells.append(
                f"{percent(at['survival'])} ({percent(at['low'])} to {percent(at['high'])}; {at['at_risk']})"
                if known
                else at["reason"]
            )
        rows.append(cells)
    test = groups["log_rank"]
    caption = (
        f"Log-rank χ² {decimals(test['chi_square'], 2)} on {test['degrees']} degrees of freedom, {p_text(test['p'])}."
    )
    yield table(caption, head, rows, numeric=range(1, 5))


def forest_rows(rows: list[dict]) -> list[dict]:
    """Rows of a forest plot: numbers per SD."""
    return [
        {
            "label": r["name"] + (", per SD" if r.get("per_sd") else ""),
            **{k: (r.get("per_sd") or r)[k] for k in ("hazard_ratio", "low", "high")},
            "p": r["p"],
        }
        for r in rows
    ]


def cox_section(content: dict, figures: Figures):
    """Hazard ratios of each variable alone and together."""
    multi = content["cox"]["multivariable"]
    yield table(
        "Each variable alone, on every patient for whom it is known.",
        [
            "Variable",
            "Patients (events)",
            "Hazard ratio (95 % interval)",
            "p",
            "Per SD",
            "C-index",
            "p of proportional hazards",
        ],
        _univariable_rows(content["cox"]["univariable"]),
        numeric=(3, 5, 6),
    )
    yield table(
        f"All together: {multi['n']:,} patients, {multi['n_events']} events, "
        f"{decimals(multi['events_per_coefficient'], 1)} events per coefficient. Likelihood ratio χ² "
        f"{decimals(multi['likelihood_ratio'], 2)} on {multi['degrees']} degrees of freedom, {p_text(multi['p'])}; "
        f"proportional hazards of the whole model {p_text(multi['proportional_p'])}.",
        ["Variable", "Hazard ratio (95 % interval)", "p", "Per SD", "Variance inflation", "p of proportional hazards"],
        [
            (
                r["name"],
                _ratio(r),
                p_cell(r["p"]),
                _ratio(r["per_sd"]) if r.get("per_sd") else "",
                decimals(r["vif"], 2),
                p_cell(r["proportional_p"]),
            )
            for r in multi["rows"]
        ],
        numeric=(2, 4, 5),
    )
    yield Pictures(
        (
            picture_of(
                figures["forest"],
                "Forest plot of the multivariable model",
                "Hazard ratios of the model of all variables with 95 % intervals; numbers per standard deviation.",
            ),
        )
    )
    yield Text(
        (
            "Efron's method for ties, Wald intervals and p; proportional hazards by the score test of R's cox.zph with "
            "time on the Kaplan-Meier scale.",
        ),
        True,
    )


def _univariable_rows(entries: list[dict]):
    for entry in entries:
        if not entry["rows"]:
            yield (entry["label"], "", entry["reason"], "", "", "", "")
        for k, r in enumerate(entry["rows"]):
            first = k == 0
            yield (
                r["name"],
                f"{entry['n']:,} ({entry['n_events']})" if first else "",
                _ratio(r),
                p_cell(r["p"]),
                _ratio(r["per_sd"]) if r.get("per_sd") else "",
                decimals(entry["concordance"], 3) if first else "",
                p_cell(r["proportional_p"]),
            )


def _ratio(row: dict) -> str:
    return f"{number(row['hazard_ratio'])} ({number(row['low'])} to {number(row['high'])})"


def discrimination_section(content: dict, figures: Figures):
    """C-index and time-dependent ROC."""
    performance = content["performance"]
    cv = performance["cross_validation"]
    yield table(
        f"C-index out of fold: mean over {cv['repeats']} repeats of {cv['folds']}-fold cross-validation, bootstrap "
        "interval. "
        "Apparent: on the patients that the model was fitted to.",
        ["Model", "C-index (95 % interval)", "Apparent", "Coefficients", "Likelihood ratio χ²", "p", "AIC"],
        [
            (
                d["model"],
                interval(d, key="c"),
                decimals(d["c_apparent"], 3),
                whole(d["n_coefficients"]),
                decimals(d["likelihood_ratio"], 2),
                p_cell(d["p"]),
                decimals(d["aic"], 1),
            )
            for d in performance["discrimination"]
        ],
        numeric=(2, 3, 4, 5, 6),
    )
    if "time-roc" in figures:
        yield Pictures(
            (
                picture_of(
                    figures["time-roc"],
                    "Time-dependent ROC curves",
                    "Time-dependent ROC (cumulative cases, dynamic controls, Kaplan-Meier estimator) of the "
                    "out-of-fold "
                    "predictions.",
                ),
            )
        )
    yield table(
        "Area under the time-dependent ROC curve with bootstrap intervals.",
        ["Model", "Years", "AUC (95 % interval)", "Events by then", "Still followed"],
        [
            (r["model"], f"{r['years']:g}", interval(r, key="auc"), whole(r["n_events_by_then"]), whole(r["n_at_risk"]))
            if r["auc"] is not None
            else (r["model"], f"{r['years']:g}", r["reason"], "", "")
            for r in performance["time_roc"]
        ],
        numeric=(1, 3, 4),
    )


def calibration_section(content: dict, figures: Figures):
    """Predicted against observed survival."""
    performance = content["performance"]
    slope = performance["calibration_slope"]
    yield Pictures(
        (
            picture_of(
                figures["calibration"],
                "Calibration of predicted survival",
                f"Predicted and observed survival of {slope['model']}, out of fold: Kaplan-Meier in fifths of the "
                "prediction, and a smooth curve (Cox model of cubic splines).",
            ),
        )
    )
    yield Text(
        (
            f"Calibration slope {decimals(slope['slope'], 2)} (95 % interval {decimals(slope['low'], 2)} to "
            f"{decimals(slope['high'], 2)}); 1 is ideal, below 1 the predictions are too extreme.",
        )
    )
    rows = []
    for entry in performance["calibration"]:
        for k, g in enumerate(entry["groups"], start=1):
            observed = g.get("reason") or f"{percent(g['observed'])} ({percent(g['low'])} to {percent(g['high'])})"
            rows.append((f"{entry['years']:g} years, fifth {k}", whole(g["n"]), percent(g["predicted"]), observed))
    yield table("", ["Group", "Patients", "Predicted survival", "Observed (95 % interval)"], rows, numeric=(1, 2))


def decisions_section(content: dict, figures: Figures):
    """Net benefit."""
    yield Pictures(
        (
            picture_of(
                figures["decision-curve"],
                "Decision curves",
                "Net benefit per patient of acting on those whose predicted risk reaches the threshold, out of fold, "
                "against acting on everybody or nobody. A model is of use only where its line is the highest.",
            ),
        )
    )


def nomogram_section(content: dict, figures: Figures):
    """The nomogram."""
    yield Pictures(
        (
            picture_of(
                figures["nomogram"],
                "Nomogram",
                f"Nomogram of {content['nomogram']['model']}: read the points of each value on the top axis, add them, "
                "and "
                "read survival below the total. Fitted to all patients and not validated elsewhere: not for decisions "
                "about a patient.",
            ),
        )
    )


def calls_block(content: dict):
    """What calling the highest group positive would mean."""
    names = ("sensitivity", "specificity", "ppv", "npv")
    rows = []
    for c in content["confusion"]:
        kinds = ("true_positive", "false_positive", "true_negative", "false_negative", "unknown")
        counts = " / ".join(f"{c[k]:,}" for k in kinds)
        estimates = ["cannot be computed" if c[n] is None else _shares(c[n]) for n in names]
        rows.append((f"{c['years']:g} years", counts, *estimates))
    return table(
        f"The group “{content['confusion'][0]['positive']}” called positive for an event by then. Predictive values by "
        "Kaplan-Meier, so that censored patients count as long as they were followed; bootstrap intervals of "
        "sensitivity "
        "and specificity.",
        [
            "Event within",
            "True + / false + / true − / false − / censored before",
            "Sensitivity",
            "Specificity",
            "Positive predictive value",
            "Negative predictive value",
        ],
        rows,
    )


def _shares(e: dict) -> str:
    return f"{percent(e['value'])} ({percent(e['low'])} to {percent(e['high'])})"


def added_section(content: dict):
    """What the model adds to the covariates."""
    a = content["performance"]["added_value"]
    d = a["c_difference"]
    yield Text(
        (
            f"{a['second']} against the covariates alone: likelihood ratio χ² {decimals(a['likelihood_ratio'], 2)} on "
            f"{a['degrees']} degrees of freedom, {p_text(a['p'])}; out-of-fold C-index {signed(d['value'], 3)} (95 % "
            "interval "
            f"{signed(d['low'], 3)} to {signed(d['high'], 3)}).",
        )
    )
    rows = []
    for r in a["reclassification"]:
        if r["idi"] is None:
            rows.append((f"{r['years']:g} years", r["reason"], "", ""))
        else:
            rows.append((f"{r['years']:g} years", *(interval(r[k]) for k in ("idi", "nri", "nri_half"))))
    yield table(
        "Reclassification by out-of-fold risks under censoring (inverse weights), bootstrap intervals. Two conventions "
        "of "
        "the continuous NRI are in use; both are given.",
        ["Event within", "IDI", "NRI>0 (Pencina)", "Half of it (survIDINRI)"],
        rows,
    )


def subgroup_rows(entries: list[dict]) -> list[dict]:
    """Rows of the forest plot of subgroups."""
    rows = []
    for entry in entries:
        p = entry["interaction"]["p"]
        rows.append(
            {"label": entry["variable"], "heading": True, "note": "" if p is None else f"interaction {p_text(p)}"}
        )
        for r in entry["rows"]:
            fitted = r["row"] or {}
            rows.append(
                {
                    "label": f"{r['level']} (n = {r['n']}, {r['n_events']} events)",
                    "indent": True,
                    "hazard_ratio": fitted.get("hazard_ratio"),
                    "low": fitted.get("low"),
                    "high": fitted.get("high"),
                    "p": fitted.get("p"),
                    "note": r["reason"] and "too few events",
                }
            )
    return rows


def subgroups_section(content: dict, figures: Figures):
    """The score within subgroups."""
    yield Pictures(
        (
            picture_of(
                figures["subgroups"],
                "Hazard ratio of the score in subgroups",
                "Hazard ratio per standard deviation of the score within subgroups; interaction: likelihood-ratio test "
                "of "
                "score × subgroup. Not adjusted for the number of subgroups looked at.",
            ),
        )
    )
