"""The regions that a user draws or places, by their role. Imports no library before it is needed."""

from __future__ import annotations

# Regions that are segments: each has the parameters <role>Segmentation and <role>SegmentId and the widget
# <role>Selector. The words name it in messages.
SEGMENT_ROLES = {
    "voi": "VOI",
    "lesion": "lesion",
    "omit": "omit region",
    "added": "added region",
    "removed": "removed region",
    "otherLesions": "other lesions",
    "breast": "breast mask",
}


def selected_segments(parameters, *without: str) -> dict:
    """Role -> (segmentation node, segment ID) as a parameter node selects them, except the roles in ``without``."""
    return {
        role: (getattr(parameters, f"{role}Segmentation"), getattr(parameters, f"{role}SegmentId"))
        for role in SEGMENT_ROLES
        if role not in without
    }


def drawn_regions(segments: dict, box, seedPoint, geometry):
    """What was drawn, as the library's DrawnRegions on the exam's grid.

    segments: role -> (segmentation node, segment ID), None or (None, "") where nothing is selected. Raises InputError.
    """
    from SubregionHabitatLib import mrml_bridge
    from SubregionHabitatLib.analysis import DrawnRegions
    from SubregionHabitatLib.errors import InputError

    masks = {
        role: mrml_bridge.region_from_segment(*selected, geometry, SEGMENT_ROLES[role])
        for role, selected in segments.items()
        if selected is not None and (selected[0] is not None or selected[1])
    }
    if box is not None and "voi" in masks:
        raise InputError("A segment and a box are selected as region of interest; deselect one of them.")
    if box is not None:
        masks["voi"] = mrml_bridge.region_from_roi(box, geometry)
    if "otherLesions" in masks:
        masks["other_lesions"] = masks.pop("otherLesions")
    seed = None if seedPoint is None else mrml_bridge.point_from_markups(seedPoint, geometry)
    return DrawnRegions(**masks, seed_lps=seed)
