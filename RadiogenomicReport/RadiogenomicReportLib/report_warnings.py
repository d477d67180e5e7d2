"""The warnings of a case in two groups: what limits the result, and notes on how the input was read."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .report_numbers import NBSP
from .report_terms import input_in_sentence

# Sentences that say how the input was read without making a result less sure. Whatever is not known counts as a limit.
_NOTES = (
    re.compile(r"^The (VOI|lesion|breast mask)\b.* is fractional; voxels of at least"),
    re.compile(r"^The (VOI|lesion|breast mask)\b.* holds \d+ (segments|labels); all of them"),
    re.compile(r"^The breast mask was given by the user\.$"),
    re.compile(r"^The (VOI|lesion|breast mask)\b.* was resampled from its own grid onto the exam's\.$"),
    re.compile(r"^The (VOI|lesion)\b.* says that a background threshold is already applied"),
    re.compile(r"^\d+ duplicate images were ignored\.$"),
)


@dataclass(frozen=True)
class GroupedWarnings:
    """limits: each makes a result less sure or unavailable; notes: how the input was read."""

    limits: tuple[str, ...]
    notes: tuple[str, ...]


def group_warnings(case: dict) -> GroupedWarnings:
    """All warnings of a case, those of its scores included, each once."""
    limits, notes = [*_score_limits(case)], []
    timing = case["exam"]["timing"]
    if timing["confidence"] == "low":
        limits.append(
            "The phase times come from a weak source; slopes per minute and the early and late phase hang on them."
        )
    elif timing["confidence"] == "medium" and not timing.get("notes"):
        # A disagreement of two clocks is told by the timing's own note.
        notes.append(f"The phase times come from {timing['source']} alone; no second clock confirms them.")
    for text in case["warnings"]:
        (notes if any(p.search(text) for p in _NOTES) else limits).append(text)
    limits += _feature_limits(case["features"])
    return GroupedWarnings(tuple(dict.fromkeys(limits)), tuple(dict.fromkeys(notes)))


# More names than this hide what matters.
MAX_NAMED = 6


def _score_limits(case: dict):
    for score in case["scores"]:
        if score["refusal"]:
            missing = dict.fromkeys(input_in_sentence(m["name"]) for m in needed_inputs(score))
            what = f" for want of {', '.join(missing)}" if 0 < len(missing) <= MAX_NAMED else ""
            yield f"Not scored{what}: {score['model_title']} (see Scores)."
        elif score["in_range"]["overall"] is False:
            yield f"Outside what the model has seen: {score['model_title']} (see Scores)."


def _feature_limits(features: dict):
    if features["n_missing"]:
        share = 100 * features["n_missing"] / max(1, features["n_values"])
        yield (
            f"{features['n_missing']:,} of {features['n_values']:,} radiomic values ({share:.0f}{NBSP}%) could not be "
            "computed; the reasons are listed under Features."
        )


def needed_inputs(score: dict) -> list[dict]:
    """What has to be given for a refused score: the missing inputs of the form that asks for the least."""
    missing = score["inputs_missing"]
    if not missing:
        return []
    # Forms come in order of preference; the last asks for the least.
    return [m for m in missing if m["form"] == missing[-1]["form"]]
