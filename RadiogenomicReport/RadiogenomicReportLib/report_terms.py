"""Plain words for the names that a case uses for its measurements."""

from __future__ import annotations

from IITHModuleLib.case_values import KNOWN_VALUES

MAP_NAMES = {
    "pe_early": "Enhancement at the early phase (PE early)",
    "pe_peak": "Peak enhancement (PE peak)",
    "ser": "Signal enhancement ratio (SER)",
    "wis": "Wash-in slope (WIS)",
    "wos": "Wash-out slope (WOS), negative = wash-out",
    "washout_rate": "Wash-out rate (−WOS), positive = wash-out",
}
SHORT_MAP_NAMES = {"pe_peak": "PE peak", "ser": "SER", "wis": "WIS", "washout_rate": "Wash-out rate"}
INPUT_NAMES = {
    "ftv_mm3": "Functional tumor volume",
    "lesion_volume_mm3": "Lesion volume",
    "enhancing_fraction": "Enhancing fraction of the lesion",
    "hr": "Hormone receptor status",
    "her2": "HER2 status",
    "age_years": "Age",
    "n_stage": "Lymph node category (N)",
    "longest_diameter_mm": "Longest diameter before treatment",
    "longest_diameter_change_percent": "Early change of the longest diameter",
    "ki67_high": "Ki-67 index",
    "lvi": "Lymphovascular invasion",
}
# 0 and 1 of a yes/no value in words.
_YES_NO = {"ki67_high": ("low", "high"), "lvi": ("absent", "present")}
_KINETIC = "lesion kinetic kinetic_"
KINETIC_NAMES = {
    "enhancement_ShareAbove70Percent": "Share of the lesion enhancing above 70 %",
    "enhancement_LogKurtosis": "Kurtosis of first-pass enhancement (logarithm)",
    "ser_ShareAbove0.9": "Share with SER above 0.9",
    "ser_ShareAbove1.3": "Share with SER above 1.3 (wash-out)",
    "ser_Entropy": "Entropy of the SER composition",
    "timetopeak_ShareFirst": "Share peaking at the first post-contrast phase",
    "timetopeak_ShareMiddle": "Share peaking at a middle phase",
    "timetopeak_ShareLast": "Share peaking at the last phase",
    "timetopeak_Entropy": "Entropy of the time-to-peak composition",
    "size_LogVolume": "Lesion volume (logarithm)",
}
LESION_MADE_BY = {
    "ftv": "found by the functional tumor volume rule among the enhancing voxels",
    "ftv_seed": "found by the functional tumor volume rule: the enhancing part at the seed point",
    "drawn": "as drawn by the user",
    "ftv_edited": "found by the functional tumor volume rule, then edited by hand",
    "ftv_seed_edited": "the enhancing part at the seed point, then edited by hand",
    "drawn_edited": "as drawn by the user, then edited by hand",
}


def phase_axis(phases: list[dict]) -> tuple[list[float], str]:
    """Where the phases lie on a time axis, and the axis's label: minutes, or their order where times are unknown."""
    times = [phase["time_s"] for phase in phases]
    if any(t is None for t in times):
        return [float(phase["index"]) for phase in phases], "Phase (times not known)"
    return [t / 60 for t in times], "Time from the pre-contrast phase (min)"


HABITAT_MODES = {
    "per_tumour": "k-means within this lesion alone; always gives all habitats, so their volumes are not comparable "
    "between patients",
}
NEIGHBOURHOODS = {
    "in_plane_8": "the eight neighbors within a slice",
    "faces_6": "the six face neighbors in three dimensions",
    "full_26": "all 26 neighbors in three dimensions",
}
CONFIDENCE = {
    "high": "high: checked against a second source, or given by the user",
    "medium": "medium: one source, not confirmed by a second",
    "low": "low: a weak source",
    "none": "none: only the order of the phases is known",
}


def habitat_label(name: str) -> str:
    """A habitat's name with what it is: "poor perfusion"; other names stand as they are."""
    return f"{name} perfusion" if name in ("poor", "moderate", "high") else name


def input_name(name: str) -> str:
    """A model input in plain words, its own name where none are known."""
    if name.startswith(_KINETIC):
        return KINETIC_NAMES.get(name.removeprefix(_KINETIC), name)
    return INPUT_NAMES.get(name, name.replace("original_", ""))


def input_in_sentence(name: str) -> str:
    """A model input in plain words, as it is written inside a sentence."""
    words = input_name(name)
    return words if words.startswith(("HER2", "Ki-67")) or words == name else words[0].lower() + words[1:]


def input_definition(name: str) -> str:
    known = KNOWN_VALUES.get(name)
    return known.definition if known else ""


def input_value_text(name: str, value: float) -> str | None:
    """Words for a yes/no input (mostly "positive", "negative"); None for any other."""
    known = KNOWN_VALUES.get(name)
    if known is None or not known.yes_no:
        return None
    return _YES_NO.get(name, ("negative", "positive"))[int(value == 1)]


def is_simulated(exam: dict) -> bool:
    """Whether the exam's own description says that it was simulated."""
    text = f"{exam.get('kind', '')} {exam.get('description', '')} {exam.get('manufacturer', '')}".lower()
    return "simulat" in text
