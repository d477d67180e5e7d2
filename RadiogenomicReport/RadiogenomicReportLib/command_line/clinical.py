"""Clinical values from the command line or a small file: receptors, age, lymph nodes, diameters as read."""

from __future__ import annotations

import argparse
from pathlib import Path

from IITHModuleLib.cell_values import number
from IITHModuleLib.table_file import is_missing, read_text_table
from IITHModuleLib.untrusted_json import read_json
from SubregionHabitatLib.errors import InputError

MAX_FILE_BYTES = 10_000_000
_YES = {"1", "pos", "positive", "yes", "+", "true"}
_NO = {"0", "neg", "negative", "no", "-", "false"}
_YES_NO = ("hr", "her2", "ki67_high", "lvi")
_NAMES = {
    "hr": "hr",
    "her2": "her2",
    "age": "age_years",
    "age_years": "age_years",
    "n_stage": "n_stage",
    "longest_diameter": "longest_diameter_mm",
    "longest_diameter_mm": "longest_diameter_mm",
    "longest_diameter_change": "longest_diameter_change_percent",
    "longest_diameter_change_percent": "longest_diameter_change_percent",
    "ki67_high": "ki67_high",
    "lvi": "lvi",
}
OPTIONS = ("hr", "her2", "age", "n_stage", "longest_diameter", "longest_diameter_change")


def add_clinical_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("clinical values that some models need")
    group.add_argument("--hr", metavar="0|1", help="hormone receptor (ER or PR) negative or positive")
    group.add_argument("--her2", metavar="0|1", help="HER2 negative or positive")
    group.add_argument("--age", metavar="YEARS", help="age in years")
    group.add_argument("--n-stage", metavar="0-3", help="regional lymph node category before treatment")
    group.add_argument(
        "--longest-diameter", metavar="MM", help="longest diameter on MRI before treatment, as a reader measured it"
    )
    group.add_argument(
        "--longest-diameter-change", metavar="PERCENT", help="its change to the first MRI under treatment (-20: shrank)"
    )
    group.add_argument(
        "--clinical", type=Path, metavar="FILE", help="CSV (one row) or JSON with the same names (hr, her2, age, ..)"
    )


def clinical_values(args: argparse.Namespace) -> dict[str, float]:
    """Standard name -> number of what was given; single options win over the file."""
    texts = read_clinical_file(args.clinical) if args.clinical else {}
    texts.update({name: getattr(args, name) for name in OPTIONS if getattr(args, name) is not None})
    return {_NAMES[name]: _number(name, str(text)) for name, text in texts.items() if str(text).strip() != ""}


def read_clinical_file(path: Path) -> dict[str, str]:
    """The columns hr, her2, age and so on of a CSV file with one row, or the same keys of a JSON object."""
    if path.suffix.lower() == ".json":
        content, _ = read_json(path, "clinical file", MAX_FILE_BYTES)
        row = {str(k).strip().lower(): "" if v is None else str(v) for k, v in content.items()}
    else:
        table = read_text_table(path)
        if len(table) != 1:
            raise InputError(f"The clinical file {path.name} must hold exactly one patient; it holds {len(table)}.")
        row = {name.lower(): cells[0] for name, cells in table.columns.items()}
    found = {name: row[name] for name in _NAMES if name in row}
    if not found:
        raise InputError(f"The clinical file {path.name} has none of the columns hr, her2, age; name them so.")
    return {name: "" if _is_missing(name, text) else text for name, text in found.items()}


def _is_missing(name: str, text: str) -> bool:
    """A receptor written "-" is negative, not missing."""
    return is_missing(text) and not (name in _YES_NO and text.strip() in _NO)


def _number(name: str, text: str) -> float:
    word = text.strip().lower()
    if name in _YES_NO:
        if word in _YES or word == "1.0":
            return 1.0
        if word in _NO or word == "0.0":
            return 0.0
        raise InputError(f"{name} is {text[:20]!r}; give 0 (negative) or 1 (positive).")
    value = number(word)
    if value is None:
        what = "a number of years" if name.startswith("age") else "a number"
        raise InputError(f"{name} is {text[:20]!r}, which is not {what}; correct it.")
    return value
