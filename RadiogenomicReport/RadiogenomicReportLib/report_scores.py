"""Score cards: what a report says about each model's answer for the case, and about the model itself."""

from __future__ import annotations

import math
import re

import numpy as np

from IITHModuleLib.model_file import Model, load_model, shipped_models
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
from .report_warnings import needed_inputs

_INPUT_KEY = re.compile(rf"\b({'|'.join(INPUT_NAMES)})\b")
_SOURCES = {
    "measured, lesion ftv": "measured (lesion by the FTV rule)",
    "measured, lesion drawn": "measured (lesion as drawn)",
}


def score_cards(case: dict) -> list[dict]:
    """One card per score of the case, ready for the template; every value is text, a number for a width, or None."""
    return [_card(score, _same_model(score)) for score in case["scores"]]


def _same_model(score: dict) -> Model | None:
    """The shipped model that made the score; None where it is not here, or no longer the same file."""
    try:
        if score["model_id"] not in shipped_models():
            return None
        model = load_model(resource_path("Models", score["model_id"]))
    except InputError:
        return None
    return model if model.digest == score["model_digest"] else None


def _card(score: dict, model: Model | None) -> dict:
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
        "verdict": _in_words(score["performance"].get("verdict", "")),
        "use": model.intended_use if model else "",
        "limits": list(model.limits) if model else [],
        "model_here": model is not None,
        "result": headline_result(score),
    }
    if score["refusal"]:
        return {**card, "needs": [_need(m) for m in needed_inputs(score)], "refusal": score["refusal"]}
    form = next((f for f in model.forms if f.name == score["form"]), None) if model else None
    return {
        **card,
        "outside": score["in_range"]["overall"] is False,
        "outside_reasons": [_in_words(text) for text in score["warnings"]],
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
        "scale": "odds" if score["kind"] == "logistic" else "hazard",
        "picture": _survival_picture(score, form),
        "wants_picture": score["kind"] == "cox",
    }


def headline_result(score: dict) -> dict:
    """The one line of a score: label, value and interval."""
    if score["refusal"]:
        return {"label": "not scored", "value": None, "ci": None}
    low, high = score["ci95"]
    if score["kind"] == "logistic":
        return {
            "label": f"predicted {score['unit']}",
            "value": percent(score["value"], 0),
            "ci": f"{decimals(100 * low, 0)} to {percent(high, 0)}",
        }
    return {
        "label": f"predicted {score['unit']}",
        "value": f"{number(score['value'], 2)}×",
        "ci": f"{number(low, 2)} to {number(high, 2)}",
    }


def headline_performance(performance: dict) -> str:
    """Discrimination inside and outside in one line, with the patients it rests on."""
    internal, metric = performance["internal"], performance["metric"]
    parts = [f"{metric} {decimals(internal['value'], 2)} in training patients (n={whole(internal['n'])})"]
    tested = [e for e in performance["external"] if "not_tested" not in e]
    parts += [f"{decimals(e['value'], 2)} in {e['name']} (n={whole(e['n'])})" for e in tested]
    if not tested:
        parts.append("not tested on patients of another source")
    return "; ".join(parts)


def _performance(performance: dict) -> dict:
    rows = [{"name": "Training, cross-validated", **_measured(performance["internal"])}]
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


def _range(entry: dict, percent_places: int) -> str:
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

    return _INPUT_KEY.sub(plain, text)


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
    return f"{number(math.exp(cut), 2)}× (linear predictor {decimals(cut, 2)})"


def _distance_text(score: dict) -> str | None:
    distance = score["distance_to_cut"]
    if not is_number(distance):
        return None
    if score["cut_scale"] == "probability":
        return f"{signed(100 * distance, 0)} percentage points from the nearest cut"
    return f"{signed(distance, 2)} on the log hazard scale from the nearest cut"


def _contributions(score: dict) -> list[dict]:
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
            "factor": f"× {number(math.exp(max(-700.0, min(700.0, c['contribution']))), 2)}",
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
