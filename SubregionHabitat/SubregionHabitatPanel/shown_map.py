"""The kinetic maps as the panels call them."""

from __future__ import annotations

import enum

from slicer.i18n import tr as _


class ShownMap(enum.Enum):
    """The maps by name, in their order; the parameter node keeps the name, the window shows the label."""

    pe_early = "pe_early"
    pe_peak = "pe_peak"
    ser = "ser"
    wis = "wis"
    wos = "wos"
    time_to_peak = "time_to_peak"

    def label(self) -> str:
        return map_titles()[self.name]


def map_titles() -> dict[str, str]:
    """Map name -> what a list and a color bar call it."""
    return {
        "pe_early": _("Early enhancement"),
        "pe_peak": _("Peak enhancement"),
        "ser": _("Signal enhancement ratio"),
        "wis": _("Wash-in slope"),
        "wos": _("Wash-out slope"),
        "time_to_peak": _("Time to peak"),
    }


def map_title(name: str, unit: str) -> str:
    """ "Early enhancement (%)"; a ratio has no unit."""
    title = map_titles().get(name, name)
    return f"{title} ({unit})" if unit not in ("", "1") else title
