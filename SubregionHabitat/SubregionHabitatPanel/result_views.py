"""What Slicer's views show of results: a map over the anatomy with its color bar, and the regions. Imports slicer.

A map is shown by a copy of its volume that is empty outside the breast, where a ratio of noise means nothing; the map
volume itself keeps every value. The copy is not saved with the scene.
"""

from __future__ import annotations

import numpy as np
import slicer

from SubregionHabitatLib.mrml_bridge import UNIT_ATTRIBUTE, ExamResults, segment_names

from .shown_map import map_title

VIEW_KIND = "view.map"
# Of the slice pipeline's threshold: every number is shown, and what is none lets the image below through.
_EVERY_NUMBER = float(np.finfo(np.float32).max)


def show_map(results: ExamResults, name: str, anatomy=None) -> bool:
    """One map inside the breast, over ``anatomy`` (a volume node), with its color bar. False: it is not defined."""
    source = results.find(f"map.{name}")
    if source is None:
        return False
    shown = results.node(VIEW_KIND, "vtkMRMLScalarVolumeNode", "IITH map in the breast")
    shown.SetSaveWithScene(False)
    show_inside(shown, source, map_region(results, source), map_title(name, source.GetAttribute(UNIT_ATTRIBUTE) or ""))
    slicer.util.setSliceViewerLayers(background=anatomy, foreground=shown, foregroundOpacity=1.0)
    return True


def map_region(results: ExamResults, volume) -> np.ndarray | None:
    """Breast, lesion and ring (Z, Y, X) on a map's grid; None where the results name no breast."""
    region = None
    for kind, wanted in (("breast", ("breast",)), ("segmentation", ("lesion", "ring"))):
        segmentation = results.find(kind)
        known = segment_names(segmentation) if segmentation is not None else ()
        for segment_id in wanted:
            if segment_id in known:
                mask = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segment_id, volume) > 0
                region = mask if region is None else region | mask
        if kind == "breast" and region is None:
            return None
    return region


def show_inside(shown, source, region: np.ndarray | None, title: str) -> None:
    """Make ``shown`` a view of the map ``source``: transparent outside ``region``, with a color bar of this title."""
    values = slicer.util.arrayFromVolume(source)
    shown.CopyOrientation(source)
    slicer.util.updateVolumeFromArray(shown, values.copy() if region is None else np.where(region, values, np.nan))
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


def show_segmentation(segmentation, in_3d: bool) -> None:
    """Regions in the slice views and, if asked for, as surfaces; the views move to the lesion."""
    display = segmentation.GetDisplayNode()
    display.SetVisibility(True)
    if in_3d:
        segmentation.CreateClosedSurfaceRepresentation()
        display.SetSegmentOpacity3D("ring", 0.25)
        display.SetSegmentOpacity3D("lesion", 0.2)
    display.SetVisibility3D(in_3d)
    center = segmentation.GetSegmentCenterRAS("lesion")
    if center is not None:
        slicer.vtkMRMLSliceNode.JumpAllSlices(slicer.mrmlScene, *center, slicer.vtkMRMLSliceNode.CenteredJumpSlice)
