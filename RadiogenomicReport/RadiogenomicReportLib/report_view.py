"""What a report shows of a case besides the scores: every number as text, ready for the template."""

from __future__ import annotations

from collections.abc import Mapping

from .figures_style import habitat_color
from .report_numbers import (
    MISSING,
    NBSP,
    decimals,
    is_number,
    minutes_seconds,
    number,
    percent,
    setting,
    unit_text,
    whole,
    with_unit,
)
from .report_scores import headline_performance, headline_result
from .report_terms import (
    CONFIDENCE,
    HABITAT_MODES,
    LESION_MADE_BY,
    MAP_NAMES,
    NEIGHBOURHOODS,
    SHORT_MAP_NAMES,
    input_in_sentence,
    phase_axis,
)
from .report_warnings import MAX_NAMED, needed_inputs

# Classes of low to high SER: blue, white, red, as on the SER map.
_SER_COLORS = ("#4393c3", "#d1e5f0", "#fddbc7", "#f4a582", "#b2182b")
# Below this share of the time line's width two phase labels would overlap.
_LABEL_ROOM_PERCENT = 9.0


_MADE_BY = {"ftv": "lesion found by the FTV rule", "drawn": "lesion as drawn"}


def summary_view(case: dict) -> dict:
    lesion, ring = case["lesion"], case["ring"]
    return {
        "tiles": [
            _tile("Lesion volume", lesion["volume_cc"], "cc", _MADE_BY.get(lesion["made_by"], lesion["made_by"])),
            _tile("Functional tumor volume", lesion["ftv_cc"], "cc", _ftv_rule(case)),
            _tile("Longest diameter", lesion["longest_diameter_mm"], "mm", "between any two surface points, 3-D"),
            _tile(
                f"Peritumoral ring, {setting(ring['radius_mm'])}{NBSP}mm",
                ring["volume_cc"],
                "cc",
                f"{percent(ring['kept_fraction'], 0)} of the full ring kept",
            ),
        ],
        "habitats": habitat_bars(case),
        "scores": [_glance(score) for score in case["scores"]],
    }


def _tile(label: str, value: object, unit: str, note: str) -> dict:
    return {"label": label, "value": number(value), "unit": unit if is_number(value) else "", "note": note}


def _ftv_rule(case: dict) -> str:
    threshold = case["parameters"].get("ftv", {}).get("pe_threshold_percent")
    return f"early enhancement of at least {setting(threshold)}{NBSP}%" if is_number(threshold) else ""


def _glance(score: dict) -> dict:
    needs = dict.fromkeys(input_in_sentence(m["name"]) for m in needed_inputs(score)) if score["refusal"] else ()
    if len(needs) > MAX_NAMED:
        needs = ("inputs named under Scores",)
    return {
        "id": score["model_id"],
        "title": score["model_title"],
        "refused": bool(score["refusal"]),
        "needs": ", ".join(needs),
        "outside": score["in_range"]["overall"] is False,
        "group": score["group"],
        "performance": headline_performance(score["performance"]),
        "survival": "; ".join(f"{percent(s['probability'], 0)} at {s['years']:g} years" for s in score["survival"]),
        "outcome": score["outcome"],
        **headline_result(score),
    }


def habitat_bars(case: dict) -> list[dict]:
    return [
        {
            "name": region["name"],
            "color": habitat_color(i),
            "volume": with_unit(region["volume_cc"], "cc"),
            "share": percent(region["share"]),
            "width": f"{100 * region['share']:.2f}" if is_number(region["share"]) else "0",
        }
        for i, region in enumerate(case["habitats"]["regions"])
    ]


def exam_view(case: dict, plane: str) -> dict:
    exam, kinetics = case["exam"], case["kinetics"]
    spacing = " × ".join(setting(round(v, 3)) for v in exam["geometry"]["spacing_mm"])
    size = " × ".join(str(v) for v in exam["geometry"]["size_xyz"])
    timing = exam["timing"]
    facts = [
        ("Description", exam["description"] or "not stated"),
        ("Scanner", _scanner(exam)),
        ("Acquisition plane", plane),
        ("Grid", f"{size} voxels of {spacing}{NBSP}mm"),
        ("Read from", f"{exam['kind']}, {whole(exam['n_files'])} files" if exam["n_files"] else exam["kind"]),
        ("Phase times from", timing["source"]),
        ("Confidence in the times", CONFIDENCE.get(timing["confidence"], timing["confidence"])),
        ("Early and late phase chosen by", kinetics["rule"]),
    ]
    if is_number(timing["temporal_resolution_s"]):
        facts.append(("Duration of one phase", f"{setting(timing['temporal_resolution_s'])}{NBSP}s"))
    return {
        "facts": facts,
        "phases": [
            {
                "number": p["index"],
                "role": p["role"],
                "clock": minutes_seconds(p["time_s"]),
                "seconds": decimals(p["time_s"], 0),
            }
            for p in exam["phases"]
        ],
        "timeline": _timeline(exam) if exam["timing"]["known"] else None,
        "left_out": exam["left_out"],
    }


def _scanner(exam: dict) -> str:
    parts = [exam["manufacturer"] or "manufacturer not stated"]
    if is_number(exam["field_strength_t"]):
        parts.append(f"{setting(exam['field_strength_t'])}{NBSP}T")
    return ", ".join(parts)


def _timeline(exam: dict) -> dict:
    """Phases as bars on a line: position and width in percent of the whole."""
    times = [p["time_s"] for p in exam["phases"]]
    duration = exam["timing"]["temporal_resolution_s"]
    known = is_number(duration) and duration > 0
    end = times[-1] + (duration if known else 0.04 * times[-1])
    bars, last_label = [], -_LABEL_ROOM_PERCENT
    for phase, start in zip(exam["phases"], times, strict=True):
        left = 100 * start / end
        important = phase["role"] in ("pre-contrast", "early", "late")
        label = important or left - last_label >= _LABEL_ROOM_PERCENT
        last_label = left if label else last_label
        bars.append(
            {
                "left": f"{left:.2f}",
                "at": "first" if left < 4 else ("last" if left > 90 else ""),
                "width": f"{100 * min(duration, end - start) / end:.2f}" if known else "1.2",
                "role": phase["role"],
                "kind": {"pre-contrast": "pre"}.get(phase["role"], phase["role"] if important else "post"),
                "label": f"{decimals(start / 60, 1)}" if label else "",
                "name": {"pre-contrast": "pre"}.get(phase["role"], phase["role"]) if important else "",
            }
        )
    spoken = ", ".join(f"{p['role']} at {decimals(p['time_s'] / 60, 1)} min" for p in exam["phases"])
    return {"bars": bars, "alt": f"Time line of the phases: {spoken}.", "durations_known": known}


def volumes_view(case: dict) -> dict:
    lesion, ring = case["lesion"], case["ring"]
    classes = lesion["ser_bins_cc"]
    in_classes = sum(c["volume_cc"] for c in classes)
    # The scale of the bar: FTV itself, as voxels with SER above the highest class belong to it without a class.
    whole_cc = max(lesion["ftv_cc"], in_classes) or 1.0
    return {
        "habitats": habitat_bars(case),
        "habitat_mode": HABITAT_MODES.get(case["habitats"]["mode"], case["habitats"]["mode"]),
        "monotone": case["habitats"]["monotone"],
        "ser_classes": [
            {
                "name": f"SER {setting(c['above'])} to {setting(c['up_to'])}",
                "volume": with_unit(c["volume_cc"], "cc"),
                "share": percent(c["volume_cc"] / whole_cc),
                "width": f"{100 * c['volume_cc'] / whole_cc:.2f}",
                "color": _SER_COLORS[i % len(_SER_COLORS)],
            }
            for i, c in enumerate(classes)
        ],
        "ser_rest": with_unit(lesion["ftv_cc"] - in_classes, "cc") if lesion["ftv_cc"] - in_classes > 5e-4 else None,
        "rows": _volume_rows(lesion, ring),
    }


def _volume_rows(lesion: dict, ring: dict) -> list[dict]:
    def row(name: str, value: str, note: str = "") -> dict:
        return {"name": name, "value": value, "note": note}

    fraction = percent(lesion["enhancing_fraction_first_post"])
    background = number(lesion["background_signal"]) if is_number(lesion["background_signal"]) else "not applied"
    clipped = "; ".join(f"{percent(share)} lost to {why}" for why, share in ring["clipped_by"].items())
    parts = lesion["n_components"]
    return [
        row(
            "Lesion volume",
            with_unit(lesion["volume_cc"], "cc"),
            LESION_MADE_BY.get(lesion["made_by"], lesion["made_by"]),
        ),
        row(
            "Functional tumor volume (FTV)",
            with_unit(lesion["ftv_cc"], "cc"),
            f"background threshold (signal): {background}; {whole(parts)} connected part{'' if parts == 1 else 's'}",
        ),
        row("Longest diameter", with_unit(lesion["longest_diameter_mm"], "mm"), "three-dimensional"),
        row(
            "Enhancing fraction, first post-contrast phase",
            fraction,
            lesion["enhancing_fraction_reason"] or "share of the lesion above the enhancement threshold",
        ),
        row(
            f"Peritumoral ring, {setting(ring['radius_mm'])}{NBSP}mm",
            with_unit(ring["volume_cc"], "cc"),
            f"{percent(ring['kept_fraction'])} of the full ring kept; {clipped or 'nothing clipped'}",
        ),
    ]


def kinetics_view(case: dict) -> dict:
    kinetics = case["kinetics"]
    units, statistics = kinetics["units"], kinetics["lesion_statistics"]
    columns = ("mean", "sd", "p5", "p25", "p50", "p75", "p95")
    undefined = kinetics["undefined_fraction_in_lesion"]
    return {
        "maps": [
            {
                "name": MAP_NAMES.get(name, name),
                "unit": unit_text(units[name]) or "ratio",
                "cells": [number(statistics[name].get(c)) for c in columns],
                "undefined": percent(undefined.get(name)),
            }
            for name in units
        ],
        "habitat_columns": [
            f"{SHORT_MAP_NAMES.get(name, name)}{_in_brackets(_feature_unit(name, units))}"
            for name in case["habitats"]["features"]
        ],
        "habitats": [
            {
                "name": region["name"],
                "color": habitat_color(i),
                "cells": [
                    _centre_text(region["centre"].get(name), region["centre_z"].get(name))
                    for name in case["habitats"]["features"]
                ],
            }
            for i, region in enumerate(case["habitats"]["regions"])
        ],
    }


def curves_view(case: dict) -> dict:
    """Enhancement of each region (columns) at each phase (rows)."""
    curves, known = case["curves"], case["exam"]["timing"]["known"]
    positions, _ = phase_axis(case["exam"]["phases"])
    return {
        "time": "Minutes" if known else "Phase",
        "regions": [{"name": c["region"], "n": whole(c["n_voxels"])} for c in curves],
        "rows": [
            {
                "minutes": decimals(position, 1 if known else 0),
                "role": "" if phase["role"] == "post-contrast" else phase["role"],
                "cells": [
                    {
                        "mean": decimals(c["mean"][i], 0),
                        # The pre-contrast phase is 0 in every voxel: a spread would say nothing.
                        "middle": f"{decimals(c['q25'][i], 0)} to {decimals(c['q75'][i], 0)}" if i else "",
                    }
                    for c in curves
                ],
            }
            for i, (phase, position) in enumerate(zip(case["exam"]["phases"], positions, strict=True))
        ],
    }


def _feature_unit(name: str, units: Mapping[str, str]) -> str:
    return unit_text(units.get("wos" if name == "washout_rate" else name, ""))


def _in_brackets(unit: str) -> str:
    return f" ({unit})" if unit else ""


def _centre_text(value: object, z: object) -> str:
    return MISSING if not is_number(value) else f"{number(value)} (z {decimals(z, 2)})"


def interaction_view(case: dict) -> dict:
    """The MSI matrix with names, the four second-order features, and pair volume and share of every border."""
    found = case["interaction"]
    names = ["outside", *(r["name"] for r in case["habitats"]["regions"])]

    def value(key: str) -> str:
        if is_number(found["features"].get(key)):
            return with_unit(found["features"][key], unit_text(found["units"].get(key, "")))
        return f"{MISSING}: {found['reasons'].get(key, 'no reason was recorded')}"

    pairs = [key.removeprefix("msi_pair_volume_") for key in found["features"] if key.startswith("msi_pair_volume_")]
    return {
        "names": names,
        "matrix": [
            {"name": names[i] if i < len(names) else str(i), "cells": [whole(v) for v in row]}
            for i, row in enumerate(found["matrix"])
        ],
        "neighbourhood": NEIGHBOURHOODS.get(found["neighbourhood"], found["neighbourhood"]),
        "second_order": [
            (key.removeprefix("msi_"), value(key))
            for key in found["features"]
            if not key.startswith(("msi_pair_volume_", "msi_pair_share_"))
        ],
        "pairs": [
            {
                "name": _pair_name(pair, names),
                "volume": value(f"msi_pair_volume_{pair}"),
                "share": _share_text(found, f"msi_pair_share_{pair}"),
            }
            for pair in pairs
        ],
    }


def _share_text(found: dict, key: str) -> str:
    if is_number(found["features"].get(key)):
        return percent(found["features"][key])
    return f"{MISSING}: {found['reasons'].get(key, 'no reason was recorded')}"


def _pair_name(pair: str, names: list[str]) -> str:
    """ "sr1_sr2" to "poor – moderate"; "sr1" to "within poor"."""

    def plain(part: str) -> str:
        index = part.removeprefix("sr")
        return names[int(index)] if part.startswith("sr") and index.isdigit() and int(index) < len(names) else part

    parts = [plain(p) for p in pair.split("_")]
    return f"within {parts[0]}" if len(parts) == 1 else " – ".join(parts)


def features_view(case: dict) -> dict:
    features, made_by = case["features"], case["parameters"].get("radiomics", {})
    reasons = sorted(features["missing_reasons"].items(), key=lambda item: (-item[1], item[0]))
    return {
        "n": whole(features["n_values"]),
        "any": features["n_values"] > 0,
        "n_missing": whole(features["n_missing"]),
        "none_missing": features["n_missing"] == 0,
        "reasons": [{"reason": reason, "n": whole(n)} for reason, n in reasons],
        "preset": made_by.get("preset"),
        "engine": f"{made_by.get('engine')} {made_by.get('engine_version')}" if made_by else None,
    }


def parameters_view(case: dict) -> list[tuple[str, str]]:
    """Every parameter as (dotted name, value) in the order of the case."""
    return list(_flat(case["parameters"], ""))


def _flat(value: object, name: str):
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _flat(item, f"{name}.{key}" if name else str(key))
    else:
        yield name, _plain_value(value)


def _plain_value(value: object) -> str:
    if value is None:
        return "automatic"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(_plain_value(v) for v in value) or "none"
    return str(value)


def provenance_view(case: dict) -> dict:
    made, exam = case["provenance"], case["exam"]
    memory = made.get("peak_memory_mb", {})
    return {
        "software": list(made["software"].items()),
        "platform": made["platform"],
        "models": [(name, m["version"], m["digest"]) for name, m in made["models"].items()],
        "seeds": [(name, str(seed)) for name, seed in made["seeds"].items()],
        "stages": [
            (stage, decimals(seconds, 1), whole(memory.get(stage))) for stage, seconds in made["wall_seconds"].items()
        ],
        "identifiers": [
            ("Case schema", case["schema"]),
            ("Study (hash of its UID)", exam["study_hash"] or "none"),
            ("Series (hash of UIDs)", ", ".join(exam["series_hashes"]) or "none"),
            ("Content of the phases (SHA-256)", exam["content_digest"] or "none"),
            ("Radiomics preset (SHA-256)", case["parameters"].get("radiomics", {}).get("preset_digest", "none")),
        ],
    }
