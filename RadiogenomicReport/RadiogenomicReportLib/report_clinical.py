"""What a report shows of the patient's clinical values and genomic data, and the same as numbers."""

from __future__ import annotations

from collections.abc import Iterator

from IITHModuleLib.case_values import KNOWN_VALUES
from IITHModuleLib.model_inputs import CLINICAL

from .genomics.feature_terms import gene_feature, genomic_name
from .report_numbers import MISSING, NBSP, is_number, number, setting, unit_text, whole, with_unit
from .report_output import ReportNumber, missing_or
from .report_terms import input_in_sentence, input_name, input_value_text

# A longer table hides what matters; the numbers beside the report hold every value.
MAX_ROWS = 60
_SOURCES = {"user": "the user", "table": "a table", "DICOM header": "the DICOM header"}
_GENE_COLUMNS = ("mutated", "mutations", "vaf_sum")


def clinical_view(case: dict) -> dict:
    """Clinical values with their source, which are not given, and the genomic data (None where there are none)."""
    values = case["case_values"]
    known = [name for name in CLINICAL if name in values and is_number(values[name]["value"])]
    return {
        "rows": [
            {
                "name": input_name(name),
                "value": clinical_text(name, values[name]["value"]),
                "source": _SOURCES.get(values[name]["source"], values[name]["source"]),
                "definition": KNOWN_VALUES[name].definition,
            }
            for name in known
        ],
        "not_given": ", ".join(input_in_sentence(name) for name in CLINICAL if name not in known),
        "genomics": None if case.get("genomics") is None else _genomics(case["genomics"]),
    }


def clinical_text(name: str, value: float) -> str:
    """A clinical value in words: "positive", "N1", "52 years"."""
    words = input_value_text(name, value)
    if words is not None:
        return words
    return f"N{value:g}" if name == "n_stage" else f"{setting(value)}{NBSP}{KNOWN_VALUES[name].unit}"


def _genomics(found: dict) -> dict:
    entries = [e for e in found["values"] if gene_feature(e["name"]) is None]
    genes = _gene_rows(found["values"])
    return {
        "rows": [
            {"name": genomic_name(e["name"]), "value": _value_text(e), "reason": e["reason"] or ""}
            for e in entries[:MAX_ROWS]
        ],
        "n_more": whole(len(entries) - MAX_ROWS) if len(entries) > MAX_ROWS else "",
        "genes": genes[:MAX_ROWS],
        "n_more_genes": whole(len(genes) - MAX_ROWS) if len(genes) > MAX_ROWS else "",
        "variants": _variants(found["variants"]),
        "inputs": [
            {
                "role": e["role"],
                "name": e["name"] or "name left out, as it may tell the patient's",
                "read_as": e["read_as"],
                "sha256": e["sha256"],
            }
            for e in found["inputs"]
        ],
        "notes": found["notes"],
        "n_malformed": whole(found["n_malformed_rows"]) if found["n_malformed_rows"] else "",
        "malformed": [f"{r['file']}, line {r['line']}: {r['reason']}" for r in found["malformed_rows"]],
        "n_more_malformed": whole(found["n_malformed_rows"] - len(found["malformed_rows"]))
        if found["n_malformed_rows"] > len(found["malformed_rows"])
        else "",
        "settings": _settings(found["parameters"]),
    }


def _value_text(entry: dict) -> str:
    value, unit = entry["value"], unit_text(entry["unit"])
    if isinstance(value, str):
        return value
    if is_number(value) and float(value).is_integer() and unit not in ("", "mutations/Mb"):
        return f"{whole(value)}" if unit in ("mutations", "variants") else with_unit(value, unit)
    return with_unit(value, unit)


def _gene_rows(entries: list[dict]) -> list[dict]:
    """One row per gene that was asked for: whether it is mutated, how many variants, the sum of their VAFs."""
    genes: dict[str, dict] = {}
    for entry in entries:
        found = gene_feature(entry["name"])
        if found is not None:
            genes.setdefault(found[0], {})[found[1]] = entry
    return [
        {"gene": gene, "cells": [_gene_cell(kind, cells.get(kind)) for kind in _GENE_COLUMNS]}
        for gene, cells in genes.items()
    ]


def _gene_cell(kind: str, entry: dict | None) -> str:
    if entry is None or not is_number(entry["value"]):
        reason = entry["reason"] if entry is not None else None
        return f"{MISSING}: {reason}" if reason else MISSING
    if kind == "mutated":
        return "yes" if entry["value"] == 1 else "no"
    return setting(entry["value"]) if kind == "mutations" else number(entry["value"])


def _variants(found: dict | None) -> dict | None:
    if found is None:
        return None
    shown = found["shown"]
    return {
        "n": whole(found["n"]),
        "any": bool(shown),
        "cut": whole(len(shown)) if found["n"] > len(shown) else "",
        "genes": ", ".join(found["genes"]),
        "rows": [
            {
                "gene": v["gene"],
                "kind": v["class"].replace("_", " "),
                "vaf": number(v["vaf"]) if is_number(v["vaf"]) else "unknown",
            }
            for v in shown
        ],
    }


def _settings(parameters: dict) -> str:
    def text(value: object) -> str:
        if isinstance(value, list):
            return ", ".join(str(v) for v in value)
        return setting(value) if is_number(value) else str(value)

    given = [(name, value) for name, value in parameters.items() if value not in (None, [])]
    return "; ".join(f"{name.replace('_', ' ')} {text(value)}" for name, value in given)


def clinical_numbers(case: dict) -> Iterator[ReportNumber]:
    """Clinical values, genomic values and variants as rows."""
    for name in CLINICAL:
        entry = case["case_values"].get(name)
        if entry is not None:
            unit, value = KNOWN_VALUES[name].unit, missing_or(entry["value"], entry["reason"] or "not given")
            yield ReportNumber("clinical", input_name(name), name, unit=unit, **value)
    genomics = case.get("genomics")
    if genomics is None:
        return
    for entry in genomics["values"]:
        if isinstance(entry["value"], str):
            yield ReportNumber("genomics", genomic_name(entry["name"]), entry["name"], entry["value"])
            continue
        value = missing_or(entry["value"], entry["reason"] or "no reason was recorded")
        yield ReportNumber("genomics", genomic_name(entry["name"]), entry["name"], unit=entry["unit"], **value)
    for rank, variant in enumerate((genomics["variants"] or {"shown": ()})["shown"], start=1):
        item = f"variant {rank}: {variant['gene']}, {variant['class'].replace('_', ' ')}"
        known = missing_or(variant["vaf"], "the file does not tell the VAF")
        yield ReportNumber("genomic variants", item, "variant allele fraction", unit="1", **known)
