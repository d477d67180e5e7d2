"""The numbers and curves of a result as tables and plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import slicer

from ..analysis import ImagingResult
from ..background_enhancement import THRESHOLDS_PERCENT
from ..curves import EnhancementCurve
from .segments import HABITAT_COLORS, LESION_COLOR, RING_COLOR
from .tables import Column, set_table


def volume_columns(result: ImagingResult) -> list[Column]:
    """Sizes of lesion, habitats, ring and breast, background enhancement and spatial interaction, one row each.

    A value that cannot be computed is NaN with its reason in the last column.
    """
    lesion, habitats, ring = result.lesion, result.habitats, result.ring
    rows = [
        ("lesion", "volume", lesion.volume_cc, "cc", ""),
        ("lesion", "functional tumor volume", lesion.ftv_cc, "cc", ""),
        ("lesion", "longest diameter", lesion.longest_diameter_mm, "mm", ""),
        ("lesion", "voxels", lesion.n_voxels, "", ""),
        ("lesion", "share above the PE threshold at the first post-contrast phase",
         lesion.enhancing_fraction_first_post, "", lesion.enhancing_fraction_reason or ""),
    ]  # fmt: skip
    for index, volume in enumerate(habitats.volumes_cc):
        rows.append((f"habitat{index + 1}", "volume", volume, "cc", ""))
        rows.append((f"habitat{index + 1}", "share of the lesion", volume / lesion.volume_cc, "", ""))
    rows.append(("ring", "volume", ring.volume_cc, "cc", ""))
    rows.append(("ring", "share kept after clipping", ring.kept_fraction, "", ""))
    rows += _background_rows(result)
    for name, value in result.interaction.features.items():
        reason = result.interaction.reasons.get(name, "")
        rows.append(("lesion", name, None if reason else value, result.interaction.units.get(name, ""), reason))
    names = ("region", "quantity", "value", "unit", "reason")
    return [Column(name, [row[i] for row in rows]) for i, name in enumerate(names)]


def _background_rows(result: ImagingResult) -> list[tuple]:
    """(region, quantity, value, unit, reason) of breast, parenchyma and its enhancement at the early phase."""
    rows = []
    for side in result.background:
        breast, tissue, missing = f"{side.side} breast", f"{side.side} parenchyma", side.missing

        def add(region, quantity, value, unit, key, missing=missing):
            rows.append((region, quantity, value, unit, "" if value is not None else missing.get(key, "")))

        add(breast, "volume", side.breast_cc, "cc", "breast_cc")
        add(tissue, "volume", side.tissue_cc, "cc", "fibroglandular_cc")
        add(tissue, "share of the breast", side.tissue_share, "", "fibroglandular_share")
        add(tissue, "mean background enhancement", side.mean_percent, "%", "mean_percent")
        add(tissue, "median background enhancement", side.median_percent, "%", "median_percent")
        for threshold in THRESHOLDS_PERCENT:
            share = side.share_above.get(threshold)
            add(tissue, f"share enhancing above {threshold} %", share, "", "share_above_percent")
        add("lesion", f"enhancement over the {tissue}'s", side.lesion_to_background, "", "lesion_to_background")
    return rows


def part_columns(result: ImagingResult) -> list[Column]:
    """The connected parts of the lesion and those left out, largest first; positions as Slicer shows them (RAS)."""
    parts = result.lesion.parts
    centres = [(-p.centroid_lps_mm[0], -p.centroid_lps_mm[1], p.centroid_lps_mm[2]) for p in parts]
    return [
        Column("part", list(range(1, len(parts) + 1))),
        Column("belongs to the lesion", ["yes" if p.kept else "no" for p in parts]),
        Column("volume", [p.volume_cc for p in parts], "cc"),
        Column("voxels", [p.n_voxels for p in parts]),
        Column("longest diameter", [p.longest_diameter_mm for p in parts], "mm"),
        *(
            Column(axis, [centre[i] for centre in centres], "mm", f"Centroid, {axis} axis of the patient (RAS)")
            for i, axis in enumerate("RAS")
        ),
    ]


def curve_colors(result: ImagingResult) -> dict[str, tuple[float, float, float]]:
    """Region of a curve -> the colour of its segment."""
    habitats = dict(zip(result.habitats.names, HABITAT_COLORS, strict=False))
    return {**habitats, "lesion": LESION_COLOR, "ring": RING_COLOR}


def set_curves(table, curves: Sequence[EnhancementCurve], times_known: bool = True) -> None:
    """Mean and spread of the enhancement of each region over time as columns of a table."""
    if not curves:
        raise ValueError("no curves")
    columns = [
        Column("time", curves[0].times_s, "s", "Seconds after the pre-contrast phase")
        if times_known
        else Column("time", curves[0].times_s, "", "Number of the phase, because no times are known")
    ]
    for curve in curves:
        about = f"enhancement of {curve.region} over its {curve.n_voxels} voxels"
        columns.append(Column(curve.region, curve.mean, "%", f"Mean {about}"))
        columns.append(Column(f"{curve.region} SD", curve.sd, "%", f"Standard deviation of the {about}"))
    set_table(table, columns)


def set_curve_plot(
    chart, series: Mapping[str, object], table, colors: Mapping[str, tuple], times_known: bool = True
) -> None:
    """Plot the curves of ``table``: ``series`` maps a region (its column) to its plot series node."""
    chart.RemoveAllPlotSeriesNodeIDs()
    for region, node in series.items():
        node.SetName(region)
        node.SetAndObserveTableNodeID(table.GetID())
        node.SetXColumnName("time")
        node.SetYColumnName(region)
        # a scatter plot with a line: the only kind with a numeric x axis
        node.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeScatter)
        node.SetLineStyle(slicer.vtkMRMLPlotSeriesNode.LineStyleSolid)
        node.SetMarkerStyle(slicer.vtkMRMLPlotSeriesNode.MarkerStyleCircle)
        node.SetColor(*colors[region])
        chart.AddAndObservePlotSeriesNodeID(node.GetID())
    chart.SetTitle("Mean enhancement")
    chart.SetXAxisTitle("Time after the pre-contrast phase (s)" if times_known else "Phase")
    chart.SetYAxisTitle("Enhancement (%)")
