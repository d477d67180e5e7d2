"""The result folder of ``iith genomics``: one row of features per patient, and what differs between groups."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..case_file import RESEARCH_USE, plain
from ..cohort.provenance import software_versions
from ..cohort.report_folder import write_figures
from ..cohort.survival_folder import cell
from ..result_folder import complete_or_absent
from ..table_writer import write_table
from .sample_features import Value

SCHEMA = "iith-genomics/1"
RECORD = ("genomics.json", SCHEMA)
MAX_NAMED_ROWS = 200


@dataclass
class GenomicsResult:
    """What was computed so far. features: patient -> name -> Value or text; tables: further tables by name; inputs:
    what was read; notes: what a reader must know; malformed: rows left out."""

    features: dict[str, dict[str, Value | str]] = field(default_factory=dict)
    tables: dict[str, tuple[list[str], list[list]]] = field(default_factory=dict)
    figures: dict[str, object] = field(default_factory=dict)
    inputs: list[dict] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    malformed: list[dict] = field(default_factory=list)

    def add(self, features: Mapping[str, Mapping[str, Value | str]]) -> None:
        """Add features of samples to their patients."""
        for sample, row in features.items():
            self.features.setdefault(sample, {}).update(row)


def write_genomics(target: Path, result: GenomicsResult, parameters: dict, overwrite: bool) -> Path:
    """Write genomics.csv (one row per patient; empty where missing), genomics.json with reasons and provenance, and the
    further tables and figures. Raises InputError where the folder cannot be written."""
    names = list(dict.fromkeys(n for row in result.features.values() for n in row))
    content = {
        "schema": SCHEMA,
        "research_use": RESEARCH_USE,
        "parameters": parameters,
        "inputs": result.inputs,
        "notes": list(dict.fromkeys(result.notes)),
        "n_malformed_rows": len(result.malformed),
        "malformed_rows": result.malformed[:MAX_NAMED_ROWS],
        "missing": _missing_reasons(result, names),
        "software": software_versions("gseapy", "vcfpy", "pydeseq2"),
    }
    with complete_or_absent(target, overwrite, RECORD) as folder:
        if names:
            rows = [[patient, *(_text(row.get(n)) for n in names)] for patient, row in result.features.items()]
            write_table(folder / "genomics.csv", ["patient", *names], rows)
        for name, (head, rows) in result.tables.items():
            write_table(folder / f"{name}.csv", head, [[cell(v) for v in row] for row in rows])
        if result.figures:
            write_figures(folder / "figures", result.figures)
        text = json.dumps(plain(content), indent=1, allow_nan=False, ensure_ascii=False)
        (folder / RECORD[0]).write_text(text + "\n", encoding="utf-8")
    return Path(target)


def _text(value: Value | str | None) -> str:
    return value if isinstance(value, str) else "" if value is None else cell(value.value)


def _missing_reasons(result: GenomicsResult, names: list[str]) -> dict[str, dict[str, int]]:
    """feature -> reason -> number of patients."""
    reasons: dict[str, dict[str, int]] = {}
    for row in result.features.values():
        for name in names:
            value = row.get(name, Value(None, "not in the file that this feature comes from"))
            if isinstance(value, Value) and value.value is None:
                counts = reasons.setdefault(name, {})
                counts[value.reason] = counts.get(value.reason, 0) + 1
    return reasons
