"""The fields for clinical values that models read, alike in every panel that has them.

A panel's parameter node has the parameters named here, and its .ui file the widgets and, before each, a label
``<widget>Label``. A value that is not known stays "unknown" (words) or at ``unknown`` (numbers).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from slicer.i18n import tr as _


@dataclass(frozen=True)
class ClinicalField:
    """value: the standard name (IITHModuleLib.case_values); words: choice -> number, of a field that is a choice;
    unknown: the number that stands for not known, of a field that is a number."""

    value: str
    parameter: str
    widget: str
    words: Mapping[str, float] | None = None
    unknown: float | None = None

    def number(self, shown) -> float | None:
        """The value that a parameter stands for, None when it is not known."""
        if self.words is not None:
            return self.words.get(shown)
        return None if shown == self.unknown else float(shown)

    def shown(self, number: float | None):
        """The parameter that stands for a value."""
        if self.words is None:
            return self.unknown if number is None else float(number)
        return next((word for word, stands_for in self.words.items() if stands_for == number), "unknown")


_POSITIVE = {"positive": 1.0, "negative": 0.0}
# -101 %: no change of a diameter is below -100 %, and 0 % is a change like any other.
FIELDS = (
    ClinicalField("hr", "hr", "hrCombo", words=_POSITIVE),
    ClinicalField("her2", "her2", "her2Combo", words=_POSITIVE),
    ClinicalField("age_years", "ageYears", "ageSpin", unknown=0.0),
    ClinicalField("n_stage", "nStage", "nStageCombo", words={f"N{i}": float(i) for i in range(4)}),
    ClinicalField("longest_diameter_mm", "longestDiameterMm", "longestDiameterSpin", unknown=0.0),
    ClinicalField(
        "longest_diameter_change_percent", "longestDiameterChange", "longestDiameterChangeSpin", unknown=-101.0
    ),
    ClinicalField("ki67_high", "ki67", "ki67Combo", words={"high": 1.0, "low": 0.0}),
    ClinicalField("lvi", "lvi", "lviCombo", words={"present": 1.0, "absent": 0.0}),
)


def names() -> dict[str, str]:
    """Standard value -> what it is called inside a sentence."""
    return {
        "hr": _("hormone receptor"),
        "her2": _("HER2"),
        "age_years": _("age"),
        "n_stage": _("lymph node category"),
        "longest_diameter_mm": _("longest diameter"),
        "longest_diameter_change_percent": _("change of the longest diameter"),
        "ki67_high": _("Ki-67"),
        "lvi": _("lymphovascular invasion"),
    }


def given_values(parameters) -> dict[str, float]:
    """Standard name -> number of the values that are known; a parameter that is absent is not known."""
    found = {}
    for field in FIELDS:
        number = field.number(getattr(parameters, field.parameter, field.shown(None)))
        if number is not None:
            found[field.value] = number
    return found


def store_values(parameters, values: Mapping[str, float]) -> None:
    """Put values into the parameters; those that are not among ``values`` become unknown."""
    for field in FIELDS:
        setattr(parameters, field.parameter, field.shown(values.get(field.value)))


def show_fields(ui, wanted: Collection[str]) -> None:
    """Show the fields of the standard values in ``wanted`` and hide the others."""
    for field in FIELDS:
        for name in (field.widget, f"{field.widget}Label"):
            getattr(ui, name).visible = field.value in wanted


def lack_sentence(found) -> str:
    """What a model (IITHModuleLib.model_inputs.Lack) lacks and what follows from it."""
    shown = names()
    listed = ", ".join([*(shown[name] for name in found.names), *found.columns])
    if found.columns:
        text = _("{model} also reads {values}, which only a patient table holds: score it by `iith score`.")
    elif found.refused:
        text = _("{model} refuses the case without {values}.")
    else:
        text = _("{model} answers by a form with fewer inputs without {values}.")
    return text.format(model=found.model_id, values=listed)
