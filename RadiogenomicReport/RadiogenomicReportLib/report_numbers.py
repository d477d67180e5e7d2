"""Numbers as a report shows them: as many digits as mean something, missing values never as 0."""

from __future__ import annotations

import math

MISSING = "missing"
NBSP = "\u00a0"
MINUS = "\u2212"


def is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def number(value: object, digits: int = 3) -> str:
    """``digits`` significant digits without exponent for everyday sizes: 0.0123, 5.52, 39.1, 105, 12,345."""
    if not is_number(value):
        return MISSING
    if value == 0:
        return "0"
    size = math.floor(math.log10(abs(value)))
    if size < -5 or size > 11:
        text = f"{value:.{digits - 1}e}"
    else:
        text = f"{value:,.{max(0, digits - 1 - size)}f}"
        # Rounding up may have added a digit (9.996 to 10.00).
        rounded = float(text.replace(",", ""))
        if rounded and math.floor(math.log10(abs(rounded))) > size:
            text = f"{rounded:,.{max(0, digits - 2 - size)}f}"
    return text.replace("-", MINUS)


def setting(value: object) -> str:
    """A number that someone chose, with the digits it was chosen with: 5, 0.9, 1.75."""
    return f"{value:.6g}".replace("-", MINUS) if is_number(value) else MISSING


def whole(value: object) -> str:
    return f"{round(value):,}".replace("-", MINUS) if is_number(value) else MISSING


def decimals(value: object, places: int) -> str:
    # Adding 0.0 turns the -0.0 that rounding may leave into 0.0.
    return f"{round(value, places) + 0.0:,.{places}f}".replace("-", MINUS) if is_number(value) else MISSING


def signed(value: object, places: int = 2) -> str:
    return f"{round(value, places) + 0.0:+,.{places}f}".replace("-", MINUS) if is_number(value) else MISSING


def percent(share: object, places: int = 1) -> str:
    """A share of 0..1 as percent."""
    return f"{decimals(100 * share, places)}{NBSP}%" if is_number(share) else MISSING


def with_unit(value: object, unit: str, digits: int = 3) -> str:
    text = number(value, digits)
    return text if text == MISSING or not unit else f"{text}{NBSP}{unit}"


def unit_text(unit: object) -> str:
    """A unit as it is written beside a number; ratios and yes/no values have none."""
    return {"1": "", "0/1": "", "mm3": "mm³"}.get(str(unit), str(unit))


def ordinal(value: object) -> str:
    """A percentile in words: "7th", "51st"."""
    if not is_number(value):
        return MISSING
    n = round(value)
    ending = "th" if 10 <= n % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n}{ending}"


def minutes_seconds(seconds: object) -> str:
    """Seconds as "6 min 47 s"."""
    if not is_number(seconds):
        return MISSING
    total = round(abs(seconds))
    sign = MINUS if seconds < 0 and total else ""
    return f"{sign}{total // 60}{NBSP}min {total % 60:02d}{NBSP}s"
