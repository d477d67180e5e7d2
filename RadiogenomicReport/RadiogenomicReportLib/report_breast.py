"""What a report shows of the breast: its mask, fibroglandular tissue and background parenchymal enhancement."""

from __future__ import annotations

from .report_numbers import MISSING, NBSP, decimals, is_number, number, percent, setting, whole, with_unit

_MADE_BY = {
    "automatic": "found automatically between skin and chest wall",
    "user": "as given by the user",
    "body": "not found: the body (everything but air) stands in for it",
}
_SIDE = {"ipsilateral": "Lesion's breast", "contralateral": "Other breast"}


def breast_view(case: dict) -> dict | None:
    """Rows of numbers per breast, shares above the thresholds, and how all of it was measured.

    None for a case of an earlier version, which has none of it.
    """
    breast = case.get("breast")
    if breast is None:
        return None
    sides = case["background_enhancement"]
    thresholds = list(dict.fromkeys(t for side in sides for t in side["share_above_percent"]))
    return {
        "sides": [_SIDE.get(side["side"], side["side"]) for side in sides],
        "rows": [
            {"name": name, "cells": [_cell(side, key, unit) for side in sides]}
            for name, key, unit in (
                ("Breast volume", "breast_cc", "cc"),
                ("Fibroglandular tissue", "fibroglandular_cc", "cc"),
                ("Its share of the breast", "fibroglandular_share", "share"),
                ("Mean background enhancement", "mean_percent", "%"),
                ("Median background enhancement", "median_percent", "%"),
                ("Lesion over background enhancement", "lesion_to_background", "ratio"),
            )
        ],
        "shares": [
            {
                "name": f"above {setting(float(t))}{NBSP}%",
                "cells": [percent(side["share_above_percent"].get(t)) for side in sides],
            }
            for t in thresholds
        ],
        "reasons": _reasons(sides),
        "how": _how(case, breast),
    }


def _cell(side: dict, key: str, unit: str) -> str:
    value = side.get(key)
    if not is_number(value):
        return MISSING
    if unit == "share":
        return percent(value)
    return number(value) if unit == "ratio" else with_unit(value, unit)


def _reasons(sides: list[dict]) -> list[str]:
    """Why numbers are missing, each reason once."""
    return list(dict.fromkeys(str(reason) for side in sides for reason in side["missing"].values()))


def _how(case: dict, breast: dict) -> str:
    early = case["exam"]["phases"][case["kinetics"]["early_phase"]]
    when = f", {decimals(early['time_s'] / 60, 1)}{NBSP}min" if is_number(early["time_s"]) else ""
    fat = {True: "suppressed (dark)", False: "bright"}.get(breast["fat_suppressed"])
    skin = case["parameters"].get("preparation", {}).get("breast", {}).get("skin_mm")
    parts = [f"Breast mask: {_MADE_BY.get(breast['made_by'], breast['made_by'])}"]
    if breast["made_by"] == "automatic" and is_number(skin):
        parts.append(f"{setting(skin)}{NBSP}mm of skin taken off")
    if fat:
        parts.append(f"fat is {fat}")
    return (
        f"{'; '.join(parts)}. Fibroglandular tissue is what differs from the signal expected of fat at the same place "
        "on the pre-contrast image; lesion, ring and other lesions are left out of it. Background enhancement: rise of "
        f"its signal at the early phase (phase {whole(early['index'])}{when}) in percent of the pre-contrast signal."
    )
