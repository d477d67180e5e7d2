"""What Slicer's views show of results: a map over the anatomy with its color bar, and the regions. Imports slicer.

A map is shown by a copy of its volume that is empty outside the breast and where nothing enhances, because a ratio of
noise means nothing; the map volume itself keeps every value. The copy is not saved with the scene.
"""

from __future__ import annotations

import numpy as np
import slicer

from SubregionHabitatLib.mrml_bridge import UNIT_ATTRIBUTE, ExamResults, segment_names

from .shown_map import map_title

VIEW_KIND = "view.map"
# Of the slice pipeline's threshold: every number is shown, and what is none lets the image below through.
_EVERY_NUMBER = float(np.finfo(np.float32).max)


def show_map(results: ExamResults, name: str, from_percent: float = 0.0, anatomy=None) -> bool:
    """One map in the region of ``map_region``, over ``anatomy`` (a volume node), with its color bar.

    False where the exam has no such map: what is shown stays.
    """
    source = results.find(f"map.{name}")
    if source is None:
        return False
    shown = results.node(VIEW_KIND, "vtkMRMLScalarVolumeNode", "IITH map in the breast")
    shown.SetSaveWithScene(False)
    region = map_region(results, source, from_percent)
    show_inside(shown, source, region, map_title(name, source.GetAttribute(UNIT_ATTRIBUTE) or ""))
    slicer.util.setSliceViewerLayers(background=anatomy, foreground=shown, foregroundOpacity=1.0)
    return True


def map_region(results: ExamResults, volume, from_percent: float) -> np.ndarray:
    """Voxels (Z, Y, X) of a map's grid that are shown: those of the breast whose peak enhancement reaches from_percent,
    and the lesion. Where the results hold no breast, the whole image counts as one.
    """
    breast = _segment(results.find("breast"), "breast", volume)
    region = np.ones(slicer.util.arrayFromVolume(volume).shape, dtype=bool) if breast is None else breast
    peak = results.find("map.pe_peak")
    if from_percent > 0 and peak is not None:
        region = region & (slicer.util.arrayFromVolume(peak) >= from_percent)
    lesion = _segment(results.find("segmentation"), "lesion", volume)
    return region if lesion is None else region | lesion


def _segment(segmentation, segment_id: str, volume) -> np.ndarray | None:
    if segmentation is None or segment_id not in segment_names(segmentation):
        return None
    return slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segment_id, volume) > 0


def show_inside(shown, source, region: np.ndarray, title: str) -> None:
    """Make ``shown`` a view of the map ``source``: transparent outside ``region``, with a color bar of this title."""
    values = slicer.util.arrayFromVolume(source)
    shown.CopyOrientation(source)
    slicer.util.updateVolumeFromArray(shown, np.where(region, values, np.float32(np.nan)))
    shown.CreateDefaultDisplayNodes()
    display, wanted = shown.GetDisplayNode(), source.GetDisplayNode()
    display.SetSaveWithScene(False)
    display.SetAutoWindowLevel(False)
    display.SetWindowLevel(wanted.GetWindow(), wanted.GetLevel())
    display.SetAndObserveColorNodeID(wanted.GetColorNodeID())
    display.SetAutoThreshold(False)
    display.SetThreshold(-_EVERY_NUMBER, _EVERY_NUMBER)
    display.SetApplyThreshold(True)
    logic = slicer.modules.colors.logic()
    legend = logic.GetColorLegendDisplayNode(shown) or logic.AddDefaultColorLegendDisplayNode(shown)
    legend.SetTitleText(title)
    legend.SetVisibility(True)
    legend.SetSaveWithScene(False)


def show_segmentation(segmentation, in_3d: bool, outlines_only: bool = False) -> None:
    """Regions in the slice views and, if asked for, as surfaces; the views move to the lesion."""
    display = segmentation.GetDisplayNode()
    display.SetVisibility(True)
    if in_3d:
        segmentation.CreateClosedSurfaceRepresentation()
        display.SetSegmentOpacity3D("ring", 0.25)
        display.SetSegmentOpacity3D("lesion", 0.2)
    display.SetVisibility3D(in_3d)
    display.SetVisibility2DFill(not outlines_only)
    center = segmentation.GetSegmentCenterRAS("lesion")
    if center is not None:
        slicer.vtkMRMLSliceNode.JumpAllSlices(slicer.mrmlScene, *center, slicer.vtkMRMLSliceNode.CenteredJumpSlice)
