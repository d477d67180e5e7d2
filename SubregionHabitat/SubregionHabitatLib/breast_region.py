"""The breast that an exam is measured in: the user's mask, else the automatic one, else the body where that fails.

Bias field, registration, the scaling of phases and the ring all use it. A mask that cannot be right does more harm than
none, so the automatic one is checked against what was drawn; whatever goes wrong ends in a note, never in an error.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .body import AIR_SHARE_OF_P99, body_mask
from .breast_mask import BreastMask, BreastParameters, breast_mask, mask_without_anatomy
from .errors import InputError
from .exam import DceExam
from .geometry import Geometry, margin_voxels
from .masks import RegionMask
from .progress import Progress

# A breast of less than this share of the tissue in the image was not found rightly.
LEAST_SHARE_OF_TISSUE = 0.01
# At least these shares of a drawn lesion, and of the tissue in a VOI, must lie in the breast or its skin. A VOI may be
# a box that reaches far into the chest.
LEAST_SHARE = {"lesion": 0.5, "VOI": 0.1}
# A seed point may lie this far outside.
SEED_REACH_MM = 5.0
# What the automatic search may run into on images that are no breast at all.
_FAILURES = (InputError, ArithmeticError, LookupError, ValueError, RuntimeError)
INSTEAD = (
    "bias field, registration, the scaling of the phases and the ring use the body (everything but air) instead, and "
    "background enhancement is missing. Draw the breast and give it as breast mask."
)


@dataclass(frozen=True)
class Marks:
    """Where the lesion is known to be: as drawn, somewhere in a VOI, or at a point (LPS mm)."""

    lesion: RegionMask | None = None
    voi: RegionMask | None = None
    seed_lps: tuple[float, float, float] | None = None


def find_breast(
    exam: DceExam,
    parameters: BreastParameters | None = None,
    own: RegionMask | None = None,
    marks: Marks | None = None,
    air_share: float = AIR_SHARE_OF_P99,
    progress: Progress | None = None,
) -> BreastMask:
    """The breast of ``exam``; ``made_by`` says which it is ("user", "automatic" or "body") and ``notes`` why.

    own: the user's mask; marks: the automatic mask must fit them; air_share: see body. Raises only what
    ``progress.step`` raises.
    """
    parameters = parameters or BreastParameters()
    if own is None and not parameters.automatic:
        return _body(exam, air_share, "no breast mask was asked for", None)
    try:
        # Signals near the limits of float32 overflow on the way to the refusal.
        with np.errstate(all="ignore"):
            found = breast_mask(exam.signal, exam.geometry, parameters, None if own is None else own.mask, progress)
    except _FAILURES as error:
        if own is not None:
            note = f"Skin and chest wall were not found ({_plain(error)}): the ring ends at the breast mask alone."
            return mask_without_anatomy(own.mask, exam.geometry, "user", (note,))
        return _body(exam, air_share, _plain(error), "No breast was found")
    if own is not None:
        return found
    problem = _problem(found, exam.geometry, marks or Marks())
    return found if problem is None else _body(exam, air_share, problem, "The automatic breast mask cannot be right")


def share_inside(breast: BreastMask, region: np.ndarray) -> float:
    """Share of ``region`` (Z, Y, X) bool in the breast or its skin; 1 for an empty region."""
    inside = breast.breast[region] | breast.skin[region]
    return float(inside.mean()) if inside.size else 1.0


def _body(exam: DceExam, air_share: float, reason: str, says: str | None) -> BreastMask:
    note = () if says is None else (f"{says} ({reason}): {INSTEAD}",)
    mask = mask_without_anatomy(body_mask(exam.signal[0], air_share), exam.geometry, "body", note)
    return replace(mask, reason=reason)


def _plain(error: Exception) -> str:
    text = str(error).rstrip(".") if isinstance(error, InputError) else type(error).__name__
    return text[:200] or type(error).__name__


def _problem(found: BreastMask, geometry: Geometry, marks: Marks) -> str | None:
    """Why the mask cannot be right, None where nothing speaks against it."""
    tissue = found.tissue
    share = found.breast.sum() / max(1, tissue.sum())
    if share < LEAST_SHARE_OF_TISSUE:
        return f"it is only {100 * share:.2g} % of the tissue in the image"
    near = found.breast | found.skin
    for region, name in ((marks.lesion, "lesion"), (marks.voi, "VOI")):
        if region is None or (name == "VOI" and marks.lesion is not None):
            continue
        inside = near[region.mask & tissue]
        # What lies in air alone says nothing about the mask.
        if inside.size and inside.mean() < LEAST_SHARE[name]:
            return f"{100 * (1 - inside.mean()):.0f} % of the {name} lie outside it"
    if marks.seed_lps is not None and marks.lesion is None and not _near_seed(near, geometry, marks.seed_lps):
        return f"the seed point lies more than {SEED_REACH_MM:g} mm outside it"
    return None


def _near_seed(near: np.ndarray, geometry: Geometry, seed_lps: tuple[float, float, float]) -> bool:
    at = np.rint(geometry.index_of(np.array([seed_lps]))[0]).astype(int)
    at = np.clip(at, 0, np.array(near.shape) - 1)
    reach = margin_voxels(SEED_REACH_MM, geometry)
    return bool(near[tuple(slice(max(0, a - r), a + r + 1) for a, r in zip(at, reach, strict=True))].any())
