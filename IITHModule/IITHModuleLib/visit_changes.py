"""Two visits of one patient side by side: sizes, habitats and, with a model, the phenotype of change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from SubregionHabitatLib.errors import InputError

from .features import FeatureTable
from .heterogeneity.phenotype_file import FORMAT
from .heterogeneity.phenotype_visits import phenotype_of_visits
from .heterogeneity.size_change import LesionSize

NOT_COMPARABLE = (
    "Habitats were found in each visit alone: their volumes do not compare between visits unless both were made "
    "with one habitat model."
)


@dataclass(frozen=True)
class Change:
    """One quantity at both visits. change_percent: relative to the first; a missing value has its reason."""

    region: str
    quantity: str
    unit: str
    first: float | None
    second: float | None
    change: float | None
    change_percent: float | None
    reason: str


def compare_visits(
    rows: Sequence[Sequence[Mapping]], features: Sequence[FeatureTable | None], model: Path | str | None = None
) -> tuple[list[Change], str]:
    """(changes, sentences to show). rows: of each visit's table of volumes (region, quantity, value, unit, reason).

    features: each visit's table, needed with a model. Raises InputError when they are missing, and what scoring with
    the model raises.
    """
    tables = [{(r["region"], r["quantity"]): r for r in visit} for visit in rows]
    shared = [key for key in tables[0] if key in tables[1]]
    changes = [_change(key, tables[0][key], tables[1][key]) for key in shared]
    text = [NOT_COMPARABLE]
    if model is not None:
        if None in features:
            raise InputError(
                "The phenotype of change needs the features of both visits; compute them for each under 'This case'."
            )
        found = phenotype_of_visits(FORMAT.load(model), *features, *(_size(table) for table in tables))
        text.insert(0, found.text())
    return changes, "\n".join(text)


def _change(key: tuple[str, str], before: Mapping, after: Mapping) -> Change:
    first, second = before["value"], after["value"]
    known = first is not None and second is not None
    difference = second - first if known else None
    percent = 100 * difference / abs(first) if known and first else None
    reason = " ".join(dict.fromkeys(r["reason"] for r in (before, after) if r["reason"]))
    if known and not first:
        reason = "the first value is 0"
    return Change(*key, before["unit"], first, second, difference, percent, reason)


def _size(table: Mapping) -> LesionSize:
    values = [table.get(("lesion", name), {}).get("value") for name in ("functional tumor volume", "longest diameter")]
    return LesionSize(*values)
