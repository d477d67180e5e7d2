"""The regions of a result as segments."""

from __future__ import annotations

import numpy as np
import slicer

from ..analysis import ImagingResult
from ..errors import InputError
from ..feature_regions import parenchyma
from .drawn import region_from_segment
from .segments import (
    HABITAT_COLORS,
    LESION_COLOR,
    NEOPLASM_TERMINOLOGY,
    RING_COLOR,
    TISSUE_TERMINOLOGY,
    Segment,
    segment_names,
)

BREAST_COLOR, SKIN_COLOR = (0.90, 0.62, 0.00), (0.69, 0.48, 0.40)
PARENCHYMA_COLORS = {"ipsilateral_parenchyma": (0.00, 0.62, 0.45), "contralateral_parenchyma": (0.00, 0.45, 0.70)}
BREAST_TITLES = {"automatic": "Breast", "user": "Breast as drawn", "body": "Body in place of the breast"}


def result_segments(result: ImagingResult) -> list[Segment]:
    """Lesion (outline only), habitats and ring as segments; the IDs are the region names of the feature table."""
    segments = [Segment("lesion", "Lesion", LESION_COLOR, NEOPLASM_TERMINOLOGY, result.lesion.mask, filled=False)]
    for index, name in enumerate(result.habitats.names):
        mask = result.habitats.labels == index + 1
        shown = _habitat_title(index, name, len(result.habitats.names))
        segments.append(Segment(f"habitat{index + 1}", shown, HABITAT_COLORS[index], NEOPLASM_TERMINOLOGY, mask))
    radius = f"Peritumoral ring, {result.ring.radius_mm:g} mm"
    return [*segments, Segment("ring", radius, RING_COLOR, TISSUE_TERMINOLOGY, result.ring.mask)]


def breast_segments(result: ImagingResult) -> list[Segment]:
    """Breast (outline only), skin and parenchyma of either side; those that hold nothing are left out."""
    exam, breast = result.exam, result.breast
    parts = parenchyma(result.lesion.mask, result.ring.mask, result.tissue, exam.geometry, breast)
    shown = [Segment("breast", BREAST_TITLES[breast.made_by], BREAST_COLOR, TISSUE_TERMINOLOGY, breast.breast, False)]
    shown.append(Segment("skin", "Skin", SKIN_COLOR, TISSUE_TERMINOLOGY, breast.skin, False))
    for name, mask in parts.items():
        title = name.replace("_", " ").capitalize()
        shown.append(Segment(name, title, PARENCHYMA_COLORS[name], TISSUE_TERMINOLOGY, mask))
    return [segment for segment in shown if segment.mask.any()]


def _habitat_title(index: int, name: str, k: int) -> str:
    """ "Habitat 1: poor perfusion"; where habitats have numbers for names, the ends of their order are told."""
    if k == 3:
        return f"Habitat {index + 1}: {name} perfusion"
    end = {0: ": lowest perfusion", k - 1: ": highest perfusion"}.get(index, "")
    return f"Habitat {index + 1} of {k}{end}"


def check_unchanged(segmentation, result: ImagingResult) -> None:
    """Raise InputError when a result segment was edited, so that maps, habitats and numbers would disagree."""
    known = segment_names(segmentation)
    for segment in result_segments(result):
        mask = np.zeros(segment.mask.shape, dtype=bool)
        if segment.id in known:
            image = slicer.vtkOrientedImageData()
            segmentation.GetBinaryLabelmapRepresentation(segment.id, image)
            if image.GetPointData().GetScalars() is not None and image.GetScalarRange()[1] > 0:
                mask = region_from_segment(segmentation, segment.id, result.maps.geometry, "result").mask
        if not np.array_equal(mask, segment.mask):
            raise InputError(
                f"The segment '{segment.name}' of '{segmentation.GetName()}' was changed after the Subregion Habitat "
                "module made it; run that module again, with your segment selected as the lesion."
            )
