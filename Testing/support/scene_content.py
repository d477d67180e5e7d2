"""What of a scene a user could see change, and what a panel shows: to compare before and after."""

from __future__ import annotations

import slicer
from vtk.util import numpy_support

from SubregionHabitatLib import mrml_bridge as bridge


def content_of(scene) -> dict:
    """Node ID -> what a user could see change."""
    found = {}
    for index in range(scene.GetNumberOfNodes()):
        node = scene.GetNthNode(index)
        seen = [node.GetName(), tuple(sorted((n, node.GetAttribute(n)) for n in node.GetAttributeNames()))]
        if node.IsA("vtkMRMLScalarVolumeNode") and node.GetImageData() is not None:
            seen.append(slicer.util.arrayFromVolume(node).tobytes())
        elif node.IsA("vtkMRMLTableNode"):
            seen.append(str(bridge.table_rows(node)))
        elif node.IsA("vtkMRMLTextNode"):
            seen.append(node.GetText())
        elif node.IsA("vtkMRMLSequenceNode"):
            seen.append([node.GetNthIndexValue(i) for i in range(node.GetNumberOfDataNodes())])
        elif node.IsA("vtkMRMLSegmentationNode"):
            for segment_id, name in bridge.segment_names(node).items():
                image = slicer.vtkOrientedImageData()
                node.GetBinaryLabelmapRepresentation(segment_id, image)
                scalars = image.GetPointData().GetScalars()
                seen.append((name, None if scalars is None else numpy_support.vtk_to_numpy(scalars).tobytes()))
        found[node.GetID()] = seen
    return found


# What a widget shows, by the property or method that says it; the first that a widget has counts.
_SHOWN = ("checked", "value", "currentText", "currentPath", "text", "plainText")
_NODES = ("currentNode", "mrmlTableNode", "segmentationNode")


def panel_state(widget) -> dict:
    """Widget name -> what it shows, of every named widget of a panel except messages."""
    found = {}
    for name, child in vars(widget.ui).items():
        if name in ("widget", "statusLabel", "progressBar", "cancelButton") or name.endswith("Tab"):
            continue
        for method in _NODES:
            if hasattr(child, method):
                node = getattr(child, method)()
                segment = (child.currentSegmentID() or "") if hasattr(child, "currentSegmentID") else ""
                found[name] = (None if node is None else node.GetName(), segment)
                break
        else:
            shown = next((p for p in _SHOWN if hasattr(child, p) and not callable(getattr(child, p))), None)
            if shown is not None:
                found[name] = getattr(child, shown)
            elif hasattr(child, "rowCount"):
                rows = range(child.rowCount)
                found[name] = [[child.item(r, c).text() for c in range(child.columnCount)] for r in rows]
            elif hasattr(child, "count") and hasattr(child, "item"):
                found[name] = [(child.item(r).text(), str(child.item(r).checkState())) for r in range(child.count)]
    return found
