"""The results of one analysis as nodes of the scene. Only the module file imports it."""

from __future__ import annotations

from typing import NamedTuple

from SubregionHabitatLib import mrml_bridge


class ImagingNodes(NamedTuple):
    """The result nodes of one run; ``maps`` by map name, ``warnings`` one sentence each.

    preparedSequence: the phases as measured, None unless they were corrected and asked for; breastSegmentation: breast,
    skin and parenchyma.
    """

    maps: dict
    segmentation: object
    volumesTable: object
    curvesTable: object
    curvesChart: object
    warnings: tuple
    partsTable: object
    preparedSequence: object
    breastSegmentation: object


def show_results(results, result, keepPrepared: bool) -> ImagingNodes:
    """Nodes of an ImagingResult in its ExamResults, in place of those of an earlier run."""
    geometry, timesKnown = result.maps.geometry, result.exam.timing.known
    maps = {}
    for name, (array, unit) in mrml_bridge.result_maps(result).items():
        maps[name] = results.node(f"map.{name}", "vtkMRMLScalarVolumeNode", f"IITH {name}")
        mrml_bridge.set_map(maps[name], name, array, geometry, result.lesion.mask)
        maps[name].SetAttribute(mrml_bridge.UNIT_ATTRIBUTE, unit)
    results.remove("map.", keep=[f"map.{name}" for name in maps])
    segmentation = results.node("segmentation", "vtkMRMLSegmentationNode", "IITH habitats")
    segments = mrml_bridge.result_segments(result)
    mrml_bridge.set_segments(segmentation, segments, geometry, maps["pe_early"])
    breast = results.node("breast", "vtkMRMLSegmentationNode", "IITH breast")
    mrml_bridge.set_segments(breast, mrml_bridge.breast_segments(result), geometry, maps["pe_early"])
    breast.GetDisplayNode().SetVisibility(False)
    volumesTable = results.node("table.volumes", "vtkMRMLTableNode", "IITH volumes")
    mrml_bridge.set_table(volumesTable, mrml_bridge.volume_columns(result))
    partsTable = results.node("table.parts", "vtkMRMLTableNode", "IITH lesion parts")
    mrml_bridge.set_table(partsTable, mrml_bridge.part_columns(result))
    curvesTable = results.node("curves.table", "vtkMRMLTableNode", "IITH curves")
    mrml_bridge.set_curves(curvesTable, result.curves, timesKnown)
    chart = results.node("curves.chart", "vtkMRMLPlotChartNode", "IITH enhancement")
    series = {
        curve.region: results.node(f"curves.series.{curve.region}", "vtkMRMLPlotSeriesNode", curve.region)
        for curve in result.curves
    }
    results.remove("curves.series.", keep=[f"curves.series.{region}" for region in series])
    colors = mrml_bridge.curve_colors(result)
    mrml_bridge.set_curve_plot(chart, series, curvesTable, colors, timesKnown)
    prepared = None
    if keepPrepared:
        prepared = results.node("prepared", "vtkMRMLSequenceNode", "IITH corrected exam")
        mrml_bridge.set_sequence(prepared, result.exam)
    else:
        results.remove("prepared")
    return ImagingNodes(
        maps, segmentation, volumesTable, curvesTable, chart, result.warnings, partsTable, prepared, breast
    )
