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
    """Map name -> what a list calls it."""
    return {
        "pe_early": _("Early percent enhancement (PE)"),
        "pe_peak": _("Peak percent enhancement (PE)"),
        "ser": _("Signal enhancement ratio (SER)"),
        "wis": _("Wash-in slope (WIS)"),
        "wos": _("Wash-out slope (WOS)"),
        "time_to_peak": _("Time to peak (TTP)"),
    }


def map_title(name: str, unit: str) -> str:
    """What a color bar calls a map, in short, as it covers the image: "Early PE (%)"; a ratio has no unit."""
    short = {
        "pe_early": _("Early PE"),
        "pe_peak": _("Peak PE"),
        "ser": _("SER"),
        "wis": _("WIS"),
        "wos": _("WOS"),
        "time_to_peak": _("TTP"),
    }
    title = short.get(name, name)
    return f"{title} ({unit})" if unit not in ("", "1") else title
