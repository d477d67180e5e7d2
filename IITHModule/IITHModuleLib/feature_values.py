"""Features as inputs of a model: named region|image|feature, with the unit and the preset that made them."""

from __future__ import annotations

import re

CURVE_IMAGE = "phases"  # the image of kinetic-curve features, as in kinetic_curves.py, which is imported where needed
# The unit of phases depends on the preset: normalized phases are z-scores times its scale.
PHASE_UNIT = "phase"
_MAP_UNITS = {"pe_early": "%", "pe_peak": "%", "ser": "1", "wis": "1/min"}
_PART = re.compile(r"[A-Za-z0-9_.+-]{1,120}")
_PHASE = re.compile(r"phase(\d{1,4})")
_PRESET = re.compile(r"[A-Za-z0-9_.-]{1,60}:[0-9a-f]{8,64}")
_CURVE = re.compile(r"(.+)_curve_(mean|variance|skewness|kurtosis)")


def is_feature_name(name: str) -> bool:
    """True for region|image|feature."""
    parts = name.split("|")
    return len(parts) == 3 and all(_PART.fullmatch(part) for part in parts)


def feature_key(name: str) -> tuple[str, str, str]:
    """Region, image and feature of a name for which ``is_feature_name`` holds."""
    region, image, feature = name.split("|")
    return region, image, feature


def phase_number(image: str) -> int | None:
    """3 for "phase3", None for another image."""
    match = _PHASE.fullmatch(image)
    return int(match[1]) if match else None


def phase_unit(preset: str, preset_digest: str) -> str:
    """Unit of the phases' intensities under a preset that is at hand, else PHASE_UNIT, which stands for it."""
    from SubregionHabitatLib.errors import InputError

    from .presets import load_preset

    try:
        found = load_preset(preset)
    except InputError:
        return PHASE_UNIT
    if found.digest != preset_digest:
        return PHASE_UNIT
    return f"z x {found.phases.scale:g}" if found.phases.normalize else "signal"


def feature_unit(region: str, image: str, feature: str, of_phases: str = PHASE_UNIT, of_wos: str = "1/min") -> str:
    """The unit in which `iith analyze` writes this feature; "1" for a pure number."""
    from .feature_units import unit_of
    from .kinetic_curves import _unit
    from .kinetic_rows import KINETIC_IMAGE, KINETIC_UNITS

    if image == KINETIC_IMAGE:
        return KINETIC_UNITS.get(feature, "1")
    if feature.startswith("msi_"):
        return "mm3" if feature.startswith("msi_pair_volume_") else "1"
    curve = _CURVE.fullmatch(feature)
    if curve and image == CURVE_IMAGE:
        return _unit(curve[2], feature_unit(region, "phase0", curve[1], of_phases, of_wos))
    if feature.count("_") < 2:
        return "1"
    if image == "mask":
        return unit_of(feature, "")
    return unit_of(
        feature, of_phases if phase_number(image) is not None else {**_MAP_UNITS, "wos": of_wos}.get(image, "1")
    )


def unit_fits(name: str, unit: str) -> bool:
    """True when a feature can have this unit: phases are in z-scores times a scale or in signal, wash-out too."""
    for wos in ("1/min", "signal/min"):
        pattern = re.escape(feature_unit(*feature_key(name), PHASE_UNIT, wos))
        if re.fullmatch(pattern.replace(PHASE_UNIT, r"(phase|signal|z x [0-9.e+]{1,12})"), unit):
            return True
    return False


def preset_fits(preset: str) -> bool:
    """True for name:digest of a preset, or "unknown"."""
    return preset == "unknown" or bool(_PRESET.fullmatch(preset))
