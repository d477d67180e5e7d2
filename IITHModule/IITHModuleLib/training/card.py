"""MODEL_CARD.md, written from the fitted model alone: no number in it is typed by hand."""

from __future__ import annotations

import math

from .card_parts import card_parts, reporting_items
from .evaluate import p_text, statements


def model_card(content: dict, figures: list[tuple[str, str]]) -> str:
    """The card of a model.json's content; figures are (relative path, caption)."""
    parts = [
        *_head(content),
        *_inputs(content),
        *_training(content),
        *[line for form in content["forms"] for line in _form(content, form)],
        *_range(content),
        "## Limits, and what is not known",
        "",
        *[f"- {limit}" for limit in content["limits"]],
        "",
        *reporting_items(content),
        *_figures(figures),
        "## Licence and citation",
        "",
        f"{content['licence']['name']}. {content['licence']['detail']}",
        "",
        *[f"- {c}" for c in content["citations"]],
        "",
    ]
    return "\n".join(parts)


def _head(content: dict) -> list[str]:
    rule = "Research use only. Not a medical device; not for decisions about a patient."
    if content["licence"]["non_commercial"]:
        rule += " **Non-commercial use only** (see Licence)."
    return [
        f"# {content['title']}",
        "",
        f"`{content['id']}` version {content['version']}, kind `{content['kind']}`. {rule}",
        "",
        "## What it is",
        "",
        content["training"]["summary"],
        "",
        f"Outcome: {content['outcome']['definition']}",
        "",
        f"Intended use: {content['intended_use']}",
        "",
        "This card is written by `iith train` from the fitted model.",
        "",
    ]


def _inputs(content: dict) -> list[str]:
    features = {f["name"]: f for form in content["forms"] for f in form["features"]}
    lines = ["## Inputs", "", "| input | unit | enters as | meaning |", "|---|---|---|---|"]
    for f in features.values():
        enters = "itself" if f["transform"] == "identity" else f["transform"]
        lines.append(f"| `{_cell(f['name'])}` | {f['unit']} | {enters} | {f['definition']} |")
    if len(content["forms"]) > 1:
        names = [f'"{form["name"]}"' for form in content["forms"]]
        lines += ["", f"Forms, in order: {', '.join(names)}. The first whose inputs are all there is used."]
    return [*lines, "", "A missing input is refused, never replaced by a number.", ""]


def _training(content: dict) -> list[str]:
    training = content["training"]
    lines = ["## Training data", "", training["description"], "", "| table | file | SHA-256 |", "|---|---|---|"]
    lines += [f"| {t['role']} | `{t['file']}` | `{t['sha256'][:16]}...` |" for t in training["tables"]]
    lines += ["", "Made by", "", "```", training["command"], "```", ""]
    if training.get("steps"):
        order = "in the paper's order, on all patients" if training["paper_order"] else "each inside every fold"
        lines += [f"Steps, {order}: {'; '.join(training['steps'])}.", ""]
    return [*lines, f"Protocol `{training['protocol']}`, seed {training['seed']}.", ""]


def _form(content: dict, form: dict) -> list[str]:
    performance = form["performance"]
    lines = [f'## Form "{form["name"]}"', "", f"n = {form['n']}, events = {form['n_events']}."]
    if form["rows_left_out"]:
        lines += ["", "Left out of training, or changed:", "", *[f"- {reason}" for reason in form["rows_left_out"]]]
    return [
        *lines,
        "",
        *_coefficients(content, form),
        *_discrimination(form, performance),
        *_calibration(content, performance),
        *card_parts(form, performance),
        *_comparisons(performance),
        *_sensitivity(performance),
    ]


def _coefficients(content: dict, form: dict) -> list[str]:
    ratio = "odds ratio per SD" if content["kind"] == "logistic" else "hazard ratio per SD"
    lines = [
        f"| term | coefficient per SD | standard error | p | {ratio} | mean | SD |",
        "|---|---|---|---|---|---|---|",
    ]
    if "intercept" in form:
        error = f"{form['covariance']['matrix'][0][0] ** 0.5:.4f}" if "covariance" in form else ""
        lines.append(f"| intercept | {form['intercept']:.4f} | {error} | | | | |")
    for f in form["features"]:
        name = f["name"] if f["transform"] == "identity" else f"{f['transform']} {f['name']}"
        error = p = ""
        if "standard_error" in f:
            error = f"{f['standard_error']:.4f}"
            p = _bare_p(math.erfc(abs(f["coefficient"] / f["standard_error"]) / math.sqrt(2)))
        lines.append(
            f"| {_cell(name)} | {f['coefficient']:.4f} | {error} | {p} | "
            f"{math.exp(f['coefficient']):.3f} | {f['mean']:.4g} | {f['sd']:.4g} |"
        )
    if "covariance" not in form:
        lines += ["", "A lasso has no standard errors, so predictions of this form have no interval."]
    groups = form["groups"]
    cuts = ", ".join(f"{c:.4g}" for c in groups["cuts"])
    lines += ["", f"Groups {', '.join(groups['names'])}: cut at {cuts} ({groups['scale']}); {groups['rule']}."]
    for h in form.get("horizons", []):
        lines += [
            "",
            f"Baseline survival at {h['years']} years (all inputs at the training mean): {h['baseline_survival']:.3f}.",
        ]
    hazards = form["performance"].get("proportional_hazards_p")
    if hazards:
        tests = ", ".join(f"{name} {p_text(p)}" for name, p in hazards.items())
        broken = [name for name, p in hazards.items() if p < 0.05]
        reading = (
            f"the effect of {', '.join(broken)} changes with time, so the predictions average over it"
            if broken
            else "no sign that an effect changes with time"
        )
        lines += [
            "",
            f"Proportional hazards (scaled Schoenfeld residuals against the rank of time): {tests}; {reading}.",
        ]
    return [*lines, ""]


def _cell(name: str) -> str:
    """A name with bars as a cell of a table."""
    return name.replace("|", "\\|")


def _ci(m: dict, digits: int = 3) -> str:
    return f"{m['value']:.{digits}f} ({m['low']:.{digits}f} to {m['high']:.{digits}f})"


def _discrimination(form: dict, performance: dict) -> list[str]:
    metric, inside = performance["metric"], performance["internal"]
    lines = [
        f"### Discrimination ({metric}, 95 % interval)",
        "",
        f"| patients | n | events | {metric} |",
        "|---|---|---|---|",
    ]
    optimistic = inside["cross_validated"].get("optimistic")
    name = "training, paper's order, OPTIMISTIC" if optimistic else "training, cross-validated"
    lines.append(f"| {name} | {form['n']} | {form['n_events']} | {_ci(inside['cross_validated'])} |")
    if "leak_free" in inside:
        lines.append(
            f"| training, the same steps inside the folds | {form['n']} | {form['n_events']} | "
            f"{_ci(inside['leak_free'])} |"
        )
    lines.append(f"| training, apparent | {form['n']} | {form['n_events']} | {_ci(inside['apparent'])} |")
    lines.append(
        f"| training, optimism-corrected | {form['n']} | {form['n_events']} | {inside['optimism_corrected']:.3f} |"
    )
    notes = [f"Inside: {inside['method']}."]
    for e in performance["external"]:
        if "not_tested" in e:
            notes.append(f"{e['name']}: not tested, because {e['not_tested']}.")
            continue
        lines.append(f"| {e['name']} (not trained on) | {e['n']} | {e['n_events']} | {_ci(e['discrimination'])} |")
        notes.append(f"{e['name']}: {e['note']}")
        if e["left_out"]:
            notes.append(f"Left out of {e['name']}: {'; '.join(e['left_out'])}.")
    if not performance["external"]:
        notes.append("This form has not been tested on patients of another source.")
    if "at_cut" in inside:
        notes.append(_at_cut("the training patients (apparent)", inside["at_cut"]))
        if "at_cut_out_of_fold" in inside:
            notes.append(_at_cut("the training patients (predictions out of fold)", inside["at_cut_out_of_fold"]))
        notes += [_at_cut(e["name"], e["at_cut"]) for e in performance["external"] if "at_cut" in e]
    return [*lines, "", *[f"- {n}" for n in notes], ""]


def _at_cut(where: str, values: dict) -> str:
    parts = []
    for name in ("accuracy", "sensitivity", "specificity"):
        if name in values:
            interval = (
                f" ({values[name + '_low']:.3f} to {values[name + '_high']:.3f})" if name + "_low" in values else ""
            )
            parts.append(f"{name} {values[name]:.3f}{interval}")
    return f"At the cut, in {where}: {', '.join(parts)}."


def _calibration(content: dict, performance: dict) -> list[str]:
    lines = ["### Calibration", ""]
    inside = performance["internal"]["calibration"]
    rows = [("training", inside)] + [
        (e["name"], e["calibration"]) for e in performance["external"] if "calibration" in e
    ]
    lines.append(f"Training: {inside['based_on']}.")
    if content["kind"] == "logistic":
        lines += ["", "| patients | slope | intercept | Brier | Brier of the mean |", "|---|---|---|---|---|"]
        for name, c in rows:
            lines.append(
                f"| {name} | {_ci(c['slope'])} | {_ci(c['intercept'])} | "
                f"{c['brier']:.4f} | {c['brier_without_model']:.4f} |"
            )
        lines.append("")
        for name, c in rows[1:]:
            refit = c["after_intercept_refit"]
            lines.append(
                f"- {name}: predicted {c['predicted_mean']:.3f}, observed {c['observed']:.3f}; after re-fitting only "
                f"the intercept (shift {refit['shift']:+.3f}) the slope is {refit['slope']['value']:.3f} and "
                f"Brier {refit['brier']:.4f}."
            )
        return [*lines, ""]
    lines += [
        "",
        "| patients | slope | years | predicted | observed (Kaplan-Meier) | at risk |",
        "|---|---|---|---|---|---|",
    ]
    for name, c in rows:
        for h in c["horizons"]:
            seen = "not known" if h["observed"] is None else f"{h['observed']:.3f} ({h['low']:.3f} to {h['high']:.3f})"
            lines.append(
                f"| {name} | {_ci(c['slope'])} | {h['years']:g} | {h['predicted_mean']:.3f} | {seen} | "
                f"{h.get('at_risk', 0)} |"
            )
    return [*lines, ""]


def _comparisons(performance: dict) -> list[str]:
    if not performance["comparisons"]:
        return []
    metric = performance["metric"]
    lines = ["### Comparison with simpler models", ""]
    lines += [f"| model | {metric}, cross-validated | this form minus it | p |", "|---|---|---|---|"]
    for c in performance["comparisons"]:
        lines.append(f"| {c['name']} | {_ci(c['cross_validated'])} | {_difference(c['difference'])} |")
    for e in performance["external"]:
        for c in e.get("comparisons", []):
            lines.append(
                f"| {c['name']}, in {e['name']} | {_ci(c['discrimination'])} | {_difference(c['difference'])} |"
            )
    return [*lines, "", *[f"- {sentence}" for sentence in statements(performance)], ""]


def _difference(d: dict) -> str:
    return f"{d['value']:+.3f} ({d['low']:+.3f} to {d['high']:+.3f}) | {_bare_p(d['p'])}"


def _bare_p(p: float) -> str:
    """The p value for a table column headed p."""
    return p_text(p)[1:].removeprefix("=")


def _sensitivity(performance: dict) -> list[str]:
    lines = [_alternative(performance["metric"], extra) for extra in performance.get("sensitivity", [])]
    return ["### Sensitivity", "", *lines, ""] if lines else []


def _alternative(metric: str, extra: dict) -> str:
    terms = ", ".join(
        f"{name} {b:.4f} per SD ({p_text(extra['wald_p'][name])})" for name, b in extra["coefficients_per_sd"].items()
    )
    return (
        f"- With {extra['what']} (n = {extra['n']}, events = {extra['n_events']}): apparent {metric} "
        f"{extra['apparent']:.3f}, coefficients {terms}."
    )


def _range(content: dict) -> list[str]:
    lines = [
        "## Range",
        "",
        "Inputs outside the 1st to 99th training percentile are scored and flagged as extrapolation; so are "
        "combinations rarer than 99 % of the training patients (Mahalanobis distance).",
        "",
        "| form | input | 1st percentile | median | 99th percentile |",
        "|---|---|---|---|---|",
    ]
    for form in content["forms"]:
        for f in form["features"]:
            q = f["training_quantiles"]
            lines.append(
                f"| {form['name']} | {_cell(f['name'])} ({f['unit']}) | {q[1]:.6g} | {q[4]:.6g} | {q[7]:.6g} |"
            )
    return [*lines, ""]


def _figures(figures: list[tuple[str, str]]) -> list[str]:
    if not figures:
        return []
    lines = ["## Figures", ""]
    for path, caption in figures:
        lines += [f"![{caption}]({path})", "", caption, ""]
    return lines
