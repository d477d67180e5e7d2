"""What a report shows of the background parenchymal enhancement, where the case holds it."""

from __future__ import annotations

from .report_numbers import MISSING, is_number, number, percent, with_unit


def background_rows(case: dict) -> list[dict]:
    """One row per breast in the image, ready for the template; none where it was not measured."""
    return [_row(entry) for entry in case.get("background_enhancement", [])]


def _row(entry: dict) -> dict:
    def cell(key: str, text) -> str:
        return text if is_number(entry[key]) else f"{MISSING}: {entry['missing'].get(key, 'no reason was recorded')}"

    return {
        "side": f"{entry['side']} breast",
        "tissue": cell("fibroglandular_cc", f"{with_unit(entry['fibroglandular_cc'], 'cc')}"),
        "share": cell("fibroglandular_share", percent(entry["fibroglandular_share"])),
        "mean": cell("mean_percent", with_unit(entry["mean_percent"], "%")),
        "median": cell("median_percent", with_unit(entry["median_percent"], "%")),
        "ratio": cell("lesion_to_background", number(entry["lesion_to_background"])),
    }
