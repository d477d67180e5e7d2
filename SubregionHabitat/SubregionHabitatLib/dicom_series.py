"""Which series of a study may be the dynamic exam, by what they say of themselves, and why the others are not."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass

from .dicom_frames import FolderScan, Frame, SeriesHeader
from .dicom_header import ENHANCED_MR, MR_IMAGE
from .errors import InputError

MIN_SLICES = 3
MIN_PHASES = 3

# Values of ImageType. Siemens, GE and Philips write them in any place behind the first.
_DERIVED_TYPES = frozenset((
    "DERIVED", "SUBTRACT", "SUBTRACTION", "SUB", "MIP", "MINIP", "MNIP", "MPR", "PROJECTION_IMAGE", "ADC", "FA",
    "TRACE", "TRACEW", "DIFFUSION", "TTP", "PEI", "WASH_IN", "WASH_OUT", "WASHIN", "WASHOUT", "AUC", "IAUC",
    "LOCALIZER", "SCREEN_SAVE", "STDDEV", "STD_DEV", "T1_MAP", "T2_MAP",
))  # fmt: skip
# Complex images that are no magnitude.
_NOT_MAGNITUDE = frozenset(("P", "PHASE", "PHASE_MAP", "R", "REAL", "I", "IMAGINARY", "VELOCITY"))
# The parts of a Dixon acquisition under one name each.
_DIXON = {
    "W": "water", "WATER": "water", "F": "fat", "FAT": "fat", "IP": "in-phase", "IN_PHASE": "in-phase",
    "OP": "opposed-phase", "OUT_PHASE": "opposed-phase", "OPP_PHASE": "opposed-phase",
    "FF": "fat fraction", "FAT_FRACTION": "fat fraction",
}  # fmt: skip

# Whole words of a series description, after everything that is no letter or digit has become a space.
_UNLIKELY = re.compile(
    r"\b(sub\d*|subs|subtract\w*|mip\w*|minip|mpr|adc|eadc|dwi\w*|diff\w*|dti|trace\w*|ep2d|epi|loc|localizer|"
    r"localiser|scout|survey|calib\w*|asset|t2\w*|stir|tirm|haste|wash\w*|wi|wo|pei|pe\d?|ser|ttp|auc|iauc|ktrans|"
    r"kep|tse|fse|frfse|map|maps|fused|colou?r|overlay|report|screen)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class UsableSeries:
    """Frames of the series that may be dynamic, by series UID, and one sentence per thing left out."""

    frames: dict[str, list[Frame]]
    left_out: tuple[str, ...]
    reasons: dict[str, str]


def usable_series(scan: FolderScan, wanted: tuple[str, ...] = ()) -> UsableSeries:
    """The series that may hold phases.

    wanted: series numbers or UIDs that limit the search. Series that are only unlikely (few slices, a description
    such as "T2") come back when nothing else could make three phases; derived images come back last of all.
    Raises InputError when no series matches ``wanted``.
    """
    hard, soft, kept = {}, {}, {}
    notes: list[str] = []
    for uid, header in scan.headers.items():
        if wanted and uid not in wanted and header.number not in wanted:
            hard[uid] = "not among the series asked for"
            continue
        kept[uid], dropped = _plain_frames(scan.frames.get(uid, []))
        notes += [f"{n} {what} images of {label(header, uid)} left out." for what, n in dropped.items()]
        if reason := _not_dynamic(header, kept[uid]):
            hard[uid] = reason
        elif not wanted and (reason := _unlikely_dynamic(header, kept[uid])):
            soft[uid] = reason
    if wanted and all(reason == "not among the series asked for" for reason in hard.values()) and not kept:
        raise InputError(
            f"No MR series with the number or UID {', '.join(wanted)} was found; the folder holds: {listing(scan)}."
        )
    usable = [uid for uid in kept if uid not in hard and uid not in soft]
    if not _has_repeats(kept, usable) and _has_repeats(kept, [*usable, *soft]):
        usable, soft = [*usable, *soft], {}
    derived = [u for u, r in hard.items() if r == "a derived image"]
    if not usable and _has_repeats(kept, derived):
        usable = derived
        hard = {u: r for u, r in hard.items() if u not in derived}
    reasons = {**hard, **soft}
    left_out = [f"{label(scan.headers[u], u)} left out: {reason}." for u, reason in reasons.items()]
    return UsableSeries({u: kept[u] for u in usable}, (*left_out, *notes), reasons)


def _plain_frames(frames: list[Frame]) -> tuple[list[Frame], dict[str, int]]:
    """The frames of a series without phase images and, where others remain, without derived ones."""
    magnitude = [f for f in frames if not _NOT_MAGNITUDE & _type_words(f.image_type[2:])]
    plain = [f for f in magnitude if not _is_derived(f.image_type)]
    if not plain:
        plain = magnitude
    dropped = {"phase or complex": len(frames) - len(magnitude), "derived": len(magnitude) - len(plain)}
    return plain, {what: n for what, n in dropped.items() if n}


def _not_dynamic(header: SeriesHeader, frames: list[Frame]) -> str | None:
    if header.modality and header.modality != "MR":
        return f"modality {header.modality}, not MR images"
    if header.sop_class not in (MR_IMAGE, *ENHANCED_MR) or not frames:
        return "not MR magnitude images"
    types = _type_words(frames[0].image_type)
    if "MOSAIC" in types:
        return "a Siemens mosaic (all slices in one image), which cannot be used; export it slice by slice"
    if "LOCALIZER" in types:
        return "a localizer"
    if any(f.b_value is not None and f.b_value > 0 for f in frames) or re.search(r"\bEP\b", header.scanning_sequence):
        return "diffusion or echo-planar imaging"
    return "a derived image" if _is_derived(frames[0].image_type) else None


def _unlikely_dynamic(header: SeriesHeader, frames: list[Frame]) -> str | None:
    if len({tuple(round(v, 2) for v in f.position) for f in frames}) < MIN_SLICES:
        return f"fewer than {MIN_SLICES} slices"
    match = _UNLIKELY.search(re.sub(r"[^0-9A-Za-z]+", " ", header.description))
    return f"its description says {match.group(0)!r}" if match else None


def _type_words(image_type: tuple[str, ...]) -> set[str]:
    return {str(v).strip().upper().replace(" ", "_") for v in image_type}


def _is_derived(image_type: tuple[str, ...]) -> bool:
    return bool(_DERIVED_TYPES & _type_words(image_type))


def dixon_part(frame: Frame) -> str:
    """ "water", "fat", "in-phase", "opposed-phase" or "fat fraction" of a Dixon acquisition, else ""."""
    for word in frame.image_type[2:]:
        part = _DIXON.get(word.strip().upper().replace(" ", "_"))
        if part:
            return part
    return ""


def _has_repeats(frames: dict[str, list[Frame]], uids: list[str]) -> bool:
    """Whether the series could make three phases at some slice position."""
    counts: dict[tuple, int] = defaultdict(int)
    for uid in uids:
        for f in frames[uid]:
            counts[(*(round(v, 1) + 0.0 for v in f.position), *(round(v, 3) + 0.0 for v in f.row))] += 1
    return max(counts.values(), default=0) >= MIN_PHASES


def listing(scan: FolderScan, uids: list[str] | None = None, reasons: dict[str, str] | None = None) -> str:
    """Series with their number of images and, where known, why they were not used."""
    chosen = list(scan.headers) if uids is None else list(uids)
    most = 8
    parts = [
        f"{label(scan.headers[u], u)}, {len(scan.frames.get(u, []))} images"
        + (f", {reasons[u]}" if reasons and u in reasons else "")
        for u in chosen[:most]
    ]
    return "; ".join(parts) + (f"; and {len(chosen) - most} more" if len(chosen) > most else "")


def label(header: SeriesHeader, uid: str = "") -> str:
    name = f"series {header.number}" if header.number else f"series ...{uid[-8:]}"
    return f"{name} ({header.description[:60]})" if header.description else name
