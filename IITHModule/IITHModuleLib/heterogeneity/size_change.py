"""How lesion size changed between two visits: shown beside the phenotype, because size alone may say as much."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class LesionSize:
    """Sizes of one visit; None where not measured: functional tumor volume in cc and longest diameter in mm."""

    ftv_cc: float | None = None
    longest_diameter_mm: float | None = None


@dataclass(frozen=True)
class SizeChange:
    """Change from first to second visit in percent of the first; None with a reason where there is none."""

    name: str
    unit: str
    first: float | None
    second: float | None
    change_percent: float | None
    reason: str = ""

    def to_json(self) -> dict:
        return asdict(self)

    def text(self) -> str:
        """One line for people."""
        if self.change_percent is None:
            return f"change of {self.name}: not known ({self.reason})"
        return (
            f"change of {self.name}: {self.change_percent:+.1f} % ({self.first:.4g} to {self.second:.4g} {self.unit})"
        )


def size_changes(first: LesionSize, second: LesionSize) -> tuple[SizeChange, SizeChange]:
    """Change of functional tumor volume and of longest diameter."""
    return (
        _change("functional tumor volume", "cc", first.ftv_cc, second.ftv_cc),
        _change("longest diameter", "mm", first.longest_diameter_mm, second.longest_diameter_mm),
    )


def _change(name: str, unit: str, first: float | None, second: float | None) -> SizeChange:
    for value, visit in ((first, "first"), (second, "second")):
        if value is None or not math.isfinite(value) or value < 0:
            return SizeChange(name, unit, first, second, None, f"not measured at the {visit} visit")
    if first == 0:
        return SizeChange(name, unit, first, second, None, "it is 0 at the first visit")
    return SizeChange(name, unit, first, second, 100.0 * (second - first) / first)
