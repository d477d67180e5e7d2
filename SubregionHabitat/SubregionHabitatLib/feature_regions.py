"""The regions that features are drawn from, by groups that can be asked for.

Zhou 2024 uses subregions and ring. Su 2023 draws features from more regions than the tumor: the published counts give
four per image, and its references on background and lesion-to-parenchyma enhancement point to ring and parenchyma of
both breasts (an inference, so "parenchyma" is asked for, never taken).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .breast_mask import BreastMask
from .errors import InputError
from .fibroglandular import FibroglandularTissue, by_side
from .geometry import Geometry

REGION_GROUPS = ("lesion", "habitats", "ring", "parenchyma")
STANDARD_REGIONS = REGION_GROUPS[:3]
# What the regions are in the words of Su 2023.
SU_REGIONS = ("lesion", "ring", "parenchyma")


def check_regions(groups: tuple[str, ...]) -> None:
    """Raise InputError for groups that are unknown, double or none."""
    unknown = next((g for g in groups if g not in REGION_GROUPS), None)
    if unknown is not None:
        raise InputError(
            f"The feature region {str(unknown)[:40]!r} is unknown; choose from {', '.join(REGION_GROUPS)}."
        )
    if not groups or len(set(groups)) < len(groups):
        raise InputError(
            f"Feature regions must be one or more, each once; got {', '.join(groups) or 'none'}. Choose from "
            f"{', '.join(REGION_GROUPS)}."
        )


def parse_regions(text: str) -> tuple[str, ...]:
    """Groups from text like "lesion,ring" or "all", in the order of REGION_GROUPS; InputError for anything else."""
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    names = REGION_GROUPS if names == ("all",) else names
    check_regions(names)
    return tuple(name for name in REGION_GROUPS if name in names)


def feature_regions(
    groups: tuple[str, ...],
    lesion: np.ndarray,
    habitats: Mapping[str, np.ndarray],
    ring: np.ndarray,
    tissue: FibroglandularTissue,
    geometry: Geometry,
    breast: BreastMask,
) -> dict[str, np.ndarray]:
    """Region name to mask (Z, Y, X) bool: "lesion", "habitat1".., "ring", "ipsilateral_parenchyma" and, where both

    breasts are in the image, "contralateral_parenchyma". A region that holds nothing is in it all the same: its
    features are missing with a reason.
    """
    found: dict[str, np.ndarray] = {}
    if "lesion" in groups:
        found["lesion"] = lesion
    if "habitats" in groups:
        found |= habitats
    if "ring" in groups:
        found["ring"] = ring
    if "parenchyma" in groups:
        found |= parenchyma(lesion, ring, tissue, geometry, breast)
    return found


def parenchyma(
    lesion: np.ndarray, ring: np.ndarray, tissue: FibroglandularTissue, geometry: Geometry, breast: BreastMask
) -> dict[str, np.ndarray]:
    """Fibroglandular tissue of the lesion's breast and, on bilateral exams, of the other, without lesion and ring."""
    split = by_side(tissue.mask & ~lesion & ~ring, lesion, geometry, breast)
    return {f"{side}_parenchyma": mask for side, mask in split.items()}
