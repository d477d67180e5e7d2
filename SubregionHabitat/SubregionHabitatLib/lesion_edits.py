"""Manual edits of a lesion that was found: kept apart from it, so that they survive a new analysis."""

from __future__ import annotations

import numpy as np

from .errors import InputError
from .geometry import Geometry
from .lesion import FtvParameters, Lesion, enhancing_fraction, make_lesion
from .lesion_parts import lesion_parts
from .masks import RegionMask


def combine_edits(auto: np.ndarray, added: np.ndarray | None = None, removed: np.ndarray | None = None) -> np.ndarray:
    """``auto`` with the voxels of ``added`` and without those of ``removed``, all (Z, Y, X) bool.

    A voxel in both edits is removed. Raises InputError for masks of different shape or when nothing is left.
    """
    edited = auto.copy()
    for edit, name in ((added, "added"), (removed, "removed")):
        if edit is not None and edit.shape != auto.shape:
            raise InputError(
                f"The {name} region has the array shape {edit.shape}, the lesion {auto.shape}; bring it onto the "
                "exam's grid."
            )
    if added is not None:
        edited |= added
    if removed is not None:
        edited &= ~removed
    if not edited.any():
        raise InputError("Nothing is left of the lesion after the edits; remove less or draw the lesion.")
    return edited


def edits_between(auto: np.ndarray, edited: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What the user added to and removed from ``auto`` to get ``edited``; ``combine_edits`` gives it back."""
    if auto.shape != edited.shape:
        raise InputError(
            f"The edited lesion has the array shape {edited.shape}, the one found {auto.shape}; they must share a grid."
        )
    return edited & ~auto, auto & ~edited


def lesion_with_edits(
    lesion: Lesion,
    geometry: Geometry,
    pe_first_post: np.ndarray,
    parameters: FtvParameters,
    added: RegionMask | None = None,
    removed: RegionMask | None = None,
) -> Lesion:
    """The lesion after manual edits; ``pe_first_post``: PE in percent at phase 1, (Z, Y, X).

    FTV stays what the rule found; sizes, parts and the enhancing fraction are those of the edited mask. A note says how
    much was added and removed. Edits that change nothing give ``lesion`` back.
    """
    mask = combine_edits(lesion.mask, None if added is None else added.mask, None if removed is None else removed.mask)
    gained, lost = edits_between(lesion.mask, mask)
    if not gained.any() and not lost.any():
        return lesion
    cc = geometry.voxel_volume_mm3 / 1000.0
    note = f"The lesion was edited by hand: {gained.sum() * cc:.3g} cc added, {lost.sum() * cc:.3g} cc removed."
    others = tuple(n for region in (added, removed) if region is not None for n in region.notes)
    fraction, reason = enhancing_fraction(mask, pe_first_post, parameters)
    parts, n_parts = lesion_parts(mask, geometry)
    made_by = lesion.made_by if lesion.made_by.endswith("_edited") else f"{lesion.made_by}_edited"
    return make_lesion(
        mask, made_by, lesion.ftv, geometry, n_parts, fraction, reason, (*lesion.notes, *others, note), parts
    )
