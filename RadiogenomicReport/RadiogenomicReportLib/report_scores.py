"""Score cards: what a report says about each model's answer for the case, and about the model itself."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np

from IITHModuleLib.any_model import ScorableModel, open_model
from IITHModuleLib.heterogeneity.index_model import KIND as INDEX_KIND
from IITHModuleLib.heterogeneity.index_model import SIMULATED_NOTE
from IITHModuleLib.model_file import shipped_models
from IITHModuleLib.resources import resource_path
from SubregionHabitatLib.errors import InputError

from .figures_survival import survival_picture
from .report_numbers import (
    NBSP,
    decimals,
    is_number,
    number,
    ordinal,
    percent,
    signed,
    unit_text,
    whole,
)
from .report_terms import INPUT_NAMES, input_definition, input_in_sentence, input_name, input_value_text
from .report_warnings import MAX_NAMED, needed_inputs

_INPUT_KEY = re.compile(rf"\b({'|'.join(INPUT_NAMES)})\b")
# An index may have a hundred inputs; the report shows those that weigh most in the case.
MAX_INPUTS = 12
_SCALES = {"logistic": "odds", "cox": "hazard", INDEX_KIND: "index"}
_KINETIC_KEY = re.compile(r"lesion kinetic kinetic_\w+(?:\.\d+)?")
_SOURCES = {
    "measured, lesion ftv": "measured (lesion by the FTV rule)",
    "measured, lesion drawn": "measured (lesion as drawn)",
}


def score_cards(case: dict) -> list[dict]:
    """One card per score of the case, ready for the template; every value is text, a number for a width, or None."""
    return [_card(score, _same_model(score)) for score in case["scores"]]


def _same_model(score: dict) -> ScorableModel | None:
    """The shipped model that made the score; None where it is not here, or no longer the same file."""
    try:
        if score["model_id"] not in shipped_models():
            return None
        model = open_model(resource_path("Models", score["model_id"]))
    except InputError:
        return None
    return model if model.digest == score["model_digest"] else None


def _card(score: dict, model: ScorableModel | None) -> dict:
    card = {
        "id": score["model_id"],
        "version": score["model_version"],
        "title": score["model_title"],
        "outcome": score["outcome"],
        "refused": bool(score["refusal"]),
        "licence": score["licence"],
        "licence_detail": model.licence["detail"] if model else "",
        "note": score["note"],
        "performance": _performance(score["performance"]),
        "headline_performance": headline_performance(score["performance"]),
        # Of a simulated reference the box above the number says it all.
        "verdict": "" if is_simulated_reference(score) else _in_words(score["performance"].get("verdict", "")),
        "use": model.intended_use if model else "",
        "limits": list(model.limits) if model else [],
        "model_here": model is not None,
        "result": headline_result(score),
        "simulated": is_simulated_reference(score),
        "people": _people(score),
        "verdict_label": "What it tells" if score["kind"] == INDEX_KIND else "What imaging adds",
    }
    if score["refusal"]:
        needed = needed_inputs(score)
        needs = [_need(m) for m in needed] if len(needed) <= MAX_NAMED else []
        return {**card, "needs": needs, "lacks_inputs": bool(needed), "refusal": score["refusal"]}
    form = _form(score, model)
    return {
        **card,
        "outside": score["in_range"]["overall"] is False,
        "outside_reasons": [_in_words(text) for text in score["warnings"] if text != SIMULATED_NOTE],
        "group": score["group"],
        "form": score["form"],
        "form_reason": _in_words(score["form_reason"]),
        "unit": score["unit"],
        "survival": [
            {"years": f"{s['years']:g}", "value": percent(s["probability"], 0), "ci": _range(s, percent_places=0)}
            for s in score["survival"]
        ],
        "percentile": ordinal(score["percentile_in_training"]),
        "strip": _strip(score, form),
        "cut_rule": score["cut_rule"],
        "cuts": [_cut_text(cut, score["cut_scale"]) for cut in score["cuts"]],
        "distance_to_cut": _distance_text(score),
        "contributions": _contributions(score),
        "range_check": _range_check(score),
        "scale": _SCALES[score["kind"]],
        "is_index": score["kind"] == INDEX_KIND,
        "more_inputs": max(0, len(score["contributions"]) - MAX_INPUTS),
        "picture": _survival_picture(score, form),
        "wants_picture": score["kind"] == "cox",
    }


def _form(score: dict, model: ScorableModel | None):
    """What of the model made the score: its form, or the index itself."""
    if model is None:
        return None
    if score["kind"] == INDEX_KIND:
        return _IndexForm(tuple(float(q) for q in model.index.hi_quantiles))
    return next((f for f in model.forms if f.name == score["form"]), None)


@dataclass(frozen=True)
class _IndexForm:
    """What a strip needs of a heterogeneity index."""

    score_quantiles: tuple[float, ...]


def is_simulated_reference(score: dict) -> bool:
    """Whether the model compares the case with simulated exams."""
    return SIMULATED_NOTE in (*score["warnings"], score["performance"].get("verdict", ""))


def _people(score: dict) -> str:
    """Whom the case is compared with."""
    return "simulated exams" if is_simulated_reference(score) else "training patients"


def _range_check(score: dict) -> str:
    """The range check in words; it stands before the number."""
    entries = score["contributions"]
    inside = sum(bool(c["in_range"]) for c in entries)
    text = f"Range check: {inside} of {len(entries)} inputs lie within the usual range of the {_people(score)}"
    if is_number(score["distance_percentile"]):
        text += f"; as a combination they are more unusual than {score['distance_percentile']:.0f}{NBSP}% of them"
    missing = len(score["inputs_missing"]) if score["kind"] == INDEX_KIND else 0
    if missing:
        text += f"; {missing} missing, counted as average"
    return text + "."


def headline_result(score: dict) -> dict:
    """The one line of a score: label, value and interval."""
    if score["refusal"]:
        return {"label": "not scored", "value": None, "ci": None}
    if score["kind"] == INDEX_KIND:
        place = f"{ordinal(score['percentile_in_training'])} percentile of the "
        place += "SIMULATED reference" if is_simulated_reference(score) else "training patients"
        return {"label": f"{score['unit']}; {place}", "value": decimals(score["value"], 1), "ci": None}
    low, high = score["ci95"] or (None, None)  # a lasso has no interval
    if score["kind"] == "logistic":
        return {
            "label": f"predicted {score['unit']}",
            "value": percent(score["value"], 0),
            "ci": None if low is None else f"{decimals(100 * low, 0)} to {percent(high, 0)}",
        }
    return {
        "label": f"predicted {score['unit']}",
        "value": f"{number(score['value'], 2)}×",
        "ci": None if low is None else f"{number(low, 2)} to {number(high, 2)}",
    }


def headline_performance(performance: dict) -> str:
    """Discrimination inside and outside in one line, with the patients it rests on."""
    internal, metric = performance["internal"], performance["metric"]
    if internal is None:
        return _in_words(performance.get("verdict", ""))
    parts = [f"{metric} {decimals(internal['value'], 2)} in training patients (n={whole(internal['n'])})"]
    tested = [e for e in performance["external"] if "not_tested" not in e]
    parts += [f"{decimals(e['value'], 2)} in {e['name']} (n={whole(e['n'])})" for e in tested]
    if not tested:
        parts.append("not tested on patients of another source")
    return "; ".join(parts)


def _performance(performance: dict) -> dict:
    rows = []
    if performance["internal"] is not None:
        rows.append({"name": performance.get("internal_name", "Training, cross-validated")})
        rows[0] |= _measured(performance["internal"])
    for external in performance["external"]:
        if "not_tested" in external:
            rows.append({"name": external["name"], "not_tested": external["not_tested"]})
        else:
            rows.append({"name": external["name"], **_measured(external)})
    return {
        "metric": performance["metric"],
        "rows": rows,
        "tested_outside": any("not_tested" not in e for e in performance["external"]),
        "explained": _METRICS.get(performance["metric"], ""),
    }


_METRICS = {
    "AUC": "AUC: how often the model ranks a patient with the outcome above one without; 0.5 is chance, 1 perfect.",
    "C-index": "C-index: how often the model ranks two patients in the order of their events; "
    "0.5 is chance, 1 perfect.",
}


def _measured(entry: dict) -> dict:
    # Where 0.5 (chance) and 1 lie at the ends of the little bar.
    place = [max(0.0, min(100.0, 200 * (entry[k] - 0.5))) for k in ("low", "value", "high")]
    return {
        "value": decimals(entry["value"], 2),
        "ci": f"{decimals(entry['low'], 2)} to {decimals(entry['high'], 2)}",
        "n": whole(entry["n"]),
        "n_events": whole(entry["n_events"]),
        "bar": {"left": f"{place[0]:.1f}", "width": f"{max(0.5, place[2] - place[0]):.1f}", "at": f"{place[1]:.1f}"},
    }


def _range(entry: dict, percent_places: int) -> str | None:
    if entry["low"] is None:
        return None
    return f"{decimals(100 * entry['low'], percent_places)} to {percent(entry['high'], percent_places)}"


def _need(missing: dict) -> dict:
    return {
        "name": input_name(missing["name"]),
        "key": missing["name"],
        "reason": missing["reason"],
        "remedy": missing["remedy"],
        "definition": input_definition(missing["name"]),
    }


def _in_words(text: str) -> str:
    """A model's sentence with the inputs' names in plain words."""

    def plain(match: re.Match) -> str:
        return INPUT_NAMES[match.group()] if match.start() == 0 else input_in_sentence(match.group())

    def kinetic(match: re.Match) -> str:
        return input_name(match.group())

    return _KINETIC_KEY.sub(kinetic, _INPUT_KEY.sub(plain, text))


def _strip(score: dict, form) -> dict:
    """The strip of training percentiles 0..100: groups between their cuts, and this case's place."""
    percentile = score["percentile_in_training"]
    at = percentile if is_number(percentile) else None
    edges = [0.0, 100.0]
    if form is not None:
        levels = np.linspace(0, 100, len(form.score_quantiles))
        edges = [
            0.0,
            *(float(np.interp(_on_score(c, score), form.score_quantiles, levels)) for c in score["cuts"]),
            100.0,
        ]
    groups = score["groups"] if form is not None else []
    segments = [
        {
            "name": name,
            "left": f"{low:.2f}",
            "width": f"{high - low:.2f}",
            "range": f"{low:.0f} to {high:.0f}",
            "current": name == score["group"],
        }
        for name, low, high in zip(groups, edges[:-1], edges[1:], strict=False)
    ]
    return {"at": None if at is None else f"{min(99.5, max(0.5, at)):.2f}", "segments": segments}


def _on_score(cut: float, score: dict) -> float:
    """A cut on the scale of the linear predictor."""
    if score["cut_scale"] != "probability":
        return cut
    cut = min(1 - 1e-12, max(1e-12, cut))
    return math.log(cut / (1 - cut))


def _cut_text(cut: float, scale: str) -> str:
    if scale == "probability":
        return percent(cut, 0)
    if scale != "linear predictor":
        return f"{scale} {decimals(cut, 1)}"
    return f"{number(math.exp(cut), 2)}× (linear predictor {decimals(cut, 2)})"


def _distance_text(score: dict) -> str | None:
    distance = score["distance_to_cut"]
    if not is_number(distance):
        return None
    if score["cut_scale"] == "probability":
        return f"{signed(100 * distance, 0)} percentage points from the nearest cut"
    if score["cut_scale"] != "linear predictor":
        return f"{signed(distance, 1)} from the cut"
    return f"{signed(distance, 2)} on the log hazard scale from the nearest cut"


def _contributions(score: dict) -> list[dict]:
    entries = sorted(score["contributions"], key=lambda c: -abs(c["contribution"]))[:MAX_INPUTS]
    if len(score["contributions"]) <= MAX_INPUTS:
        entries = score["contributions"]
    largest = max((abs(c["contribution"]) for c in entries), default=0.0) or 1.0
    return [
        {
            "name": input_name(c["name"]),
            "key": c["name"],
            "definition": input_definition(c["name"]),
            "value": input_value_text(c["name"], c["value"]) or _amount(c["value"], c["unit"]),
            "source": _SOURCES.get(c["source"], c["source"]),
            "usual": ""
            if input_value_text(c["name"], c["value"])
            else f"{_amount(c['usual_low'], '')} to {_amount(c['usual_high'], c['unit'])}",
            "percentile": "" if c["percentile_in_training"] is None else ordinal(c["percentile_in_training"]),
            "in_range": c["in_range"],
            "factor": signed(c["contribution"], 2)
            if score["kind"] == INDEX_KIND
            else f"× {number(math.exp(max(-700.0, min(700.0, c['contribution']))), 2)}",
            "signed": signed(c["contribution"], 2),
            "raises": c["contribution"] >= 0,
            "width": f"{50 * abs(c['contribution']) / largest:.1f}",
        }
        for c in entries
    ]


def _amount(value: float, unit: str) -> str:
    """An input's value: whole numbers as they are, others with three digits."""
    text = whole(value) if is_number(value) and float(value).is_integer() else number(value)
    shown = unit_text(unit)
    return f"{text}{NBSP}{shown}" if shown else text


def _survival_picture(score: dict, form):
    if score["kind"] != "cox" or form is None:
        return None
    return survival_picture(form.reference_curves, score["group"], score["outcome"], score["survival"])
