"""Sections of a model card: selection, checks, net benefit, null check, and the reporting items it answers."""

from __future__ import annotations


def card_parts(form: dict, performance: dict) -> list[str]:
    """What was selected, warnings about the fit, net benefit and the null check, where the model has them."""
    return [*_selection(performance), *_checks(performance), *_net_benefit(performance), *_null_check(performance)]


def _selection(performance: dict) -> list[str]:
    selection = performance.get("selection")
    if not selection:
        return []
    lines = ["### Selection", "", "| step | features left |", "|---|---|"]
    lines += [f"| {name.replace('|', chr(92) + '|')} | {n:,} |" for name, n in selection["passed"].items()]
    return [*lines, ""]


def _checks(performance: dict) -> list[str]:
    checks = performance.get("checks")
    if not checks:
        return []
    lines = ["### Checks of the fit", "", f"Events per input: {checks['events_per_variable']:.1f}"]
    lines[-1] += f" ({checks['n_candidates']:,} candidates)." if checks.get("n_candidates") else "."
    known = {name: value for name, value in checks["vif"].items() if value is not None}
    if known:
        name = max(known, key=known.get)
        lines.append(f"Largest variance inflation: {known[name]:.2f} ({name.replace('|', chr(92) + '|')}).")
    warnings = [f"- **Warning:** {text.replace('|', chr(92) + '|')}" for text in checks["warnings"]]
    return [*lines, "", *(warnings or ["No warning."]), ""]


def _net_benefit(performance: dict) -> list[str]:
    rows = [(_inside(performance), performance["internal"].get("decision_curve"))]
    rows += [(e["name"], e.get("decision_curve")) for e in performance["external"]]
    rows = [(name, curve) for name, curve in rows if curve]
    if not rows:
        return []
    about = "Net benefit per 100 patients at a threshold: model / calling everybody; calling nobody is 0."
    lines = ["### Decision curve", "", about, ""]
    shown = (0.1, 0.2, 0.3, 0.4, 0.5)
    lines += [f"| patients | {' | '.join(f'{t:g}' for t in shown)} |", "|---" * (len(shown) + 1) + "|"]
    for name, curve in rows:
        cells = []
        for threshold in shown:
            if threshold in curve["thresholds"]:
                k = curve["thresholds"].index(threshold)
                cells.append(f"{100 * curve['model'][k]:.1f} / {100 * curve['everyone'][k]:.1f}")
            else:
                cells.append("not known")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return [*lines, "", *[_useful(name, curve) for name, curve in rows], ""]


def _inside(performance: dict) -> str:
    curve = performance["internal"].get("decision_curve") or {}
    return "training, apparent" if curve.get("apparent") else "training, out of fold"


def _useful(name: str, curve: dict) -> str:
    better = [
        t
        for t, model, everyone in zip(curve["thresholds"], curve["model"], curve["everyone"], strict=True)
        if model > max(everyone, 0.0) + 1e-12
    ]
    if not better:
        return f"- {name}: at no threshold better than calling everybody or nobody."
    return f"- {name}: better than calling everybody or nobody at thresholds between {better[0]:g} and {better[-1]:g}."


def _null_check(performance: dict) -> list[str]:
    check, metric = performance["internal"].get("null_check"), performance["metric"]
    if not check:
        return []
    return [
        "### Null check",
        "",
        f"With the outcomes dealt out at random {check['n']} times, the same steps and folds give "
        f"{'an' if metric == 'AUC' else 'a'} {metric} of {check['mean']:.3f} "
        f"({check['low']:.3f} to {check['high']:.3f}); as good as with the real outcomes in a share of "
        f"{check['p']:.2g} (which cannot be below {1 / (1 + check['n']):.2g}).",
        "",
    ]


def reporting_items(content: dict) -> list[str]:
    """Which items of TRIPOD+AI (BMJ 2024;385:e078378) and METRICS (Insights Imaging 2024;15:8) the card answers, from
    what the model holds; what it does not hold is said to be missing."""
    form = content["forms"][0]
    performance = form["performance"]
    tested = [e["name"] for e in performance["external"] if "discrimination" in e]
    inside = performance["internal"]
    outside = f"yes: {', '.join(tested)}" if tested else "no"
    compared = ", ".join(c["name"] for c in performance["comparisons"]) or "nothing"
    curve = "yes" if inside.get("decision_curve") else "no"
    steps = "; ".join(content["training"].get("steps", [])) or "inputs fixed beforehand"
    events = f"{form['n']} patients, {form['n_events']} events"
    selects = bool(performance.get("selection"))
    rows = [
        ("TRIPOD+AI 4, 8", "objective, outcome", content["outcome"]["definition"]),
        ("TRIPOD+AI 5, 6", "source of data, participants", "Training data, above"),
        ("TRIPOD+AI 9", "predictors, units, definitions", "Inputs, above"),
        ("TRIPOD+AI 10", "sample size", events + _per_input(performance)),
        ("TRIPOD+AI 11", "missing data", "rows left out are counted; a missing input is refused at prediction"),
        ("TRIPOD+AI 12", "model building, internal validation", inside["method"]),
        ("TRIPOD+AI 13", "class imbalance", _imbalance(content)),
        ("TRIPOD+AI 14", "fairness", "not assessed: no subgroups of patients were compared"),
        ("TRIPOD+AI 15", "model output, groups", form["groups"]["rule"]),
        ("TRIPOD+AI 18", "open science", "protocol, command, digests and seed, above; the code is open"),
        ("TRIPOD+AI 22", "full model", "model.json: every coefficient, and intercept or baseline survival"),
        ("TRIPOD+AI 23", "performance with intervals", "Discrimination, Calibration and Decision curve, above"),
        ("TRIPOD+AI 26", "limitations", "Limits, below"),
        ("METRICS 2-4", "eligibility, reference standard, centers", "as far as Training data, above, tells"),
        ("METRICS 8-13", "segmentation, preprocessing, extraction", _presets(content)),
        ("METRICS 14-15", "unstable and redundant features", steps if selects else "not needed: few fixed inputs"),
        ("METRICS 16", "dimensionality", events + _per_input(performance)),
        ("METRICS 18", "data partitioning", _leakage(content, inside)),
        ("METRICS 19", "confounding", "not assessed beyond the comparisons"),
        ("METRICS 20-22", "metrics, uncertainty, calibration", f"yes; decision curve: {curve}"),
        ("METRICS 23-25", "comparison with simpler models", compared),
        ("METRICS 26-27", "internal and external testing", f"internal yes; external {outside}"),
        ("METRICS 28-30", "availability of data, code, model", "model and code open; data: see Licence"),
    ]
    about = (
        "Answers to TRIPOD+AI and METRICS, written from the fitted model; what needs a judgment about a study is left "
        "to its authors."
    )
    lines = ["## Reporting items", "", about, "", "| item | about | answer |", "|---|---|---|"]
    lines += [f"| {item} | {about} | {answer.replace('|', chr(92) + '|')} |" for item, about, answer in rows]
    return [*lines, ""]


def _per_input(performance: dict) -> str:
    checks = performance.get("checks")
    return f", {checks['events_per_variable']:.1f} per input" if checks else ""


def _imbalance(content: dict) -> str:
    resampled = any(step.startswith("smote") for step in content["training"].get("steps", []))
    return "SMOTE inside the folds; probabilities recalibrated" if resampled else "left as it is"


def _presets(content: dict) -> str:
    presets = sorted({f["preset"].partition(":")[0] for form in content["forms"] for f in form["features"]})
    return f"preset or measuring rule: {', '.join(presets)}"


def _leakage(content: dict, inside: dict) -> str:
    if content["training"].get("paper_order"):
        return "LEAKS by design (paper's order), see the first limit"
    return (
        "every step inside the folds"
        if "nested" in inside["method"]
        else "inputs fixed beforehand; fits inside the folds"
    )
