"""What the folders of all cohort reports have alike: page, numbers, figures and tables, whole or absent."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

from ..case_file import RESEARCH_USE, plain
from ..clinical.patient_table import PatientTable
from ..figures_style import report_style
from ..result_folder import complete_or_absent
from ..table_writer import write_table
from .page import Page, write_pages
from .provenance import software_versions

PNG_DPI = 200
Tables = Mapping[str, tuple[list[str], list[list[str]]]]


def write_report_folder(
    target: Path,
    record: tuple[str, str],
    content: dict,
    plan,
    patients: PatientTable,
    figures: Callable[[dict], dict],
    page: Callable[[dict, dict], Page],
    tables: Callable[[dict], Tables],
    overwrite: bool,
) -> Path:
    """Write report, numbers as JSON and CSV, and figures to ``target``.

    record: file name and schema of the numbers; content: the numbers, to which what made them is added; plan: dataclass
    of the settings; figures, page and tables are made of the whole content. Raises InputError where the folder cannot
    be written or holds something else.
    """
    content = {"research_use": RESEARCH_USE, **content, "provenance": _provenance(plan, patients)}
    with report_style():
        drawn = figures(content)
    with complete_or_absent(target, overwrite, record) as folder:
        write_pages(folder, lambda: page(content, drawn), RESEARCH_USE)
        text = json.dumps(plain(content), indent=1, allow_nan=False, ensure_ascii=False)
        (folder / record[0]).write_text(text + "\n", encoding="utf-8")
        write_figures(folder / "figures", drawn)
        for name, (head, rows) in tables(content).items():
            write_table(folder / "tables" / f"{name}.csv", head, rows)
    return Path(target)


def _provenance(plan, patients: PatientTable) -> dict:
    return {
        "plan": asdict(plan),
        "column_mapping": {"title": patients.mapping.title, "sha256": patients.mapping.digest},
        "tables": list(patients.sources),
        "software": software_versions(),
    }


def provenance_sentences(provenance: dict) -> tuple[str, ...]:
    """Settings, tables with their digests, and software, as sentences for a page."""
    settings = "; ".join(
        f"{k} {', '.join(map(str, v)) if isinstance(v, (list, tuple)) else v}"
        for k, v in provenance["plan"].items()
        if v
    )
    files = "; ".join(f"{s['name']} ({s['rows']:,} rows, SHA-256 {s['sha256']})" for s in provenance["tables"])
    if provenance["column_mapping"]["sha256"]:
        files += f"; column mapping (SHA-256 {provenance['column_mapping']['sha256']})"
    software = ", ".join(f"{k} {v}" for k, v in provenance["software"].items())
    return f"Settings: {settings}.", f"Tables: {files}.", f"Software: {software}."


def write_figures(folder: Path, figures: dict) -> None:
    """Each figure as NAME.svg and NAME.png."""
    folder.mkdir()
    with report_style():
        for name, figure in figures.items():
            figure.savefig(folder / f"{name}.svg", metadata={"Date": None, "Creator": None})
            figure.savefig(folder / f"{name}.png", dpi=PNG_DPI, metadata={"Software": None})
