"""Write the tables of controls into the pages of the Slicer modules (docs/slicer-*.md) from their .ui files.

Run `python Testing/update_module_pages.py` after a control was added or its text changed. A page holds its tables
between the two marks; names and meanings are those of the window, ranges and defaults those of the parameter node.
"""

from __future__ import annotations

import ast
import re
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = {
    "SubregionHabitat": "slicer-subregion-habitat.md",
    "IITHModule": "slicer-iith.md",
    "RadiogenomicReport": "slicer-radiogenomic-report.md",
}
START, END = "<!-- controls: from the .ui file -->\n", "<!-- end of controls -->\n"
_SECTIONS = ("ctkCollapsibleButton", "qMRMLCollapsibleButton")


@dataclass(frozen=True)
class Control:
    """section: headings above it; range: "0 to 120", choices or nothing; default: "" where there is none."""

    name: str
    section: tuple[str, ...]
    shown: str
    meaning: str
    range: str
    default: str


def properties(element) -> dict[str, str]:
    return {p.get("name"): "".join(p.itertext()).strip() for p in element.findall("property")}


def controls(module: str, folder: Path = REPOSITORY) -> list[Control]:
    """Every widget with a tooltip, in the order of the window."""
    root = ElementTree.parse(folder / module / "Resources" / "UI" / f"{module}.ui").getroot()
    texts = {w.get("name"): properties(w).get("text", "") for w in root.iter("widget")}
    parameters = parameter_texts(module, folder)
    found: list[Control] = []

    def walk(element, section) -> None:
        for child in element:
            inner = section
            if child.tag == "widget":
                shown = properties(child)
                title = child.find("attribute[@name='title']")
                if title is not None:
                    inner = (*section, "".join(title.itertext()).strip())
                elif child.get("class") in _SECTIONS:
                    inner = (*section, shown["text"])
                if "toolTip" in shown:
                    name = child.get("name")
                    label = texts.get(f"{name}Label", "").rstrip(":") or shown.get("text", "") or _words(name)
                    limits, default = parameters.get(shown.get("SlicerParameterName", ""), ("", ""))
                    unit = shown.get("suffix", "")
                    if "specialValueText" in shown and limits.split(" ")[0] == default:
                        default = shown["specialValueText"]
                    limits = f"{limits} {unit}" if unit and limits else limits
                    found.append(Control(name, section, label, shown["toolTip"], limits, default))
            walk(child, inner)

    walk(root, ())
    return found


def _words(name: str) -> str:
    """ "segmentsTable" -> "Segments", for what has neither label nor text."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower().split()
    kept = words[:-1] if words[-1] in ("label", "list", "table", "text", "edit") else words
    return " ".join(kept).capitalize()


def parameter_texts(module: str, folder: Path = REPOSITORY) -> dict[str, tuple[str, str]]:
    """Parameter -> (range or choices, default) of the module's parameter node, as text."""
    tree = ast.parse((folder / module / f"{module}.py").read_text(encoding="utf-8"))
    (node,) = [c for c in tree.body if isinstance(c, ast.ClassDef) and c.name == f"{module}ParameterNode"]
    return {e.target.id: (_limits(e.annotation), _default(e.value)) for e in node.body if isinstance(e, ast.AnnAssign)}


def _limits(annotation) -> str:
    for call in (n for n in ast.walk(annotation) if isinstance(n, ast.Call)):
        values = [ast.literal_eval(argument) for argument in call.args]
        if call.func.id == "WithinRange":
            return " to ".join(f"{value:g}" if isinstance(value, float) else str(value) for value in values)
        if call.func.id == "Choice":
            return ", ".join(f"{value}" for value in values[0])
    return ""


def _default(value) -> str:
    known = None if value is None else ast.literal_eval(value)
    if isinstance(known, bool):
        return "on" if known else "off"
    if isinstance(known, float):
        return f"{known:g}"
    return "" if known is None else str(known)


def table(module: str, folder: Path = REPOSITORY) -> str:
    """The tables of a page, one for each section of the window."""
    lines, section = [], None
    for control in controls(module, folder):
        if control.section != section:
            section = control.section
            lines += ["", f"### {': '.join(section) or 'Below the sections'}", ""]
            lines += ["| control | meaning | range | default |", "|---|---|---|---|"]
        cells = (f"**{control.shown}**", control.meaning, control.range, control.default)
        lines.append("| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |")
    return "\n".join([*lines[1:], ""])


def updated(module: str, folder: Path = REPOSITORY) -> str:
    """The page with its tables as they should be."""
    text = (folder / "docs" / PAGES[module]).read_text(encoding="utf-8")
    before, rest = text.split(START)
    return f"{before}{START}\n{table(module, folder)}\n{END}{rest.split(END)[1]}"


def main() -> int:
    for module, page in PAGES.items():
        (REPOSITORY / "docs" / page).write_text(updated(module), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
