"""What Slicer's views show of an exam: its phases, and the curve at a point. Imports slicer.

View nodes made here are found again by their kind and are not saved with the scene.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from SubregionHabitatLib.mrml_bridge import Column, ExamResults, phase_times, set_table
from SubregionHabitatLib.timing import choose_early_late

PHASE_KIND = "view.phase"


@dataclass(frozen=True)
class ExamPhases:
    """The phase volumes of an exam in order of time, seconds from the first, and whether the times are known."""

    nodes: tuple
    volumes: tuple
    times_s: tuple[float, ...]
    known: bool

    @classmethod
    def of(cls, nodes, times_s=()) -> ExamPhases:
        """Phases without times count as 0, 1, 2, ... Raises InputError when there is no exam."""
        times, timing = phase_times(nodes, times_s, accept_no_times=True)
        first = nodes[0]
        volumes = (
            [first.GetNthDataNode(i) for i in range(first.GetNumberOfDataNodes())]
            if first.IsA("vtkMRMLSequenceNode")
            else list(nodes)
        )
        order = np.argsort(times, kind="stable")
        seconds = tuple(float(times[i]) - min(times) for i in order)
        return cls(tuple(nodes), tuple(volumes[i] for i in order), seconds, timing.known)

    def early_late(self, early: int | None, late: int | None) -> tuple[int, int]:
        """Numbers of the phases that the timing rule, or the user, chooses."""
        choice = choose_early_late(self.times_s, None, early, late, known=self.known)
        return choice.early, choice.late


def show_phase(phases: ExamPhases, number: int) -> None:
    """Put one phase into the slice views; window and level stay from phase to phase, so that enhancement shows."""
    made = ExamResults(phases.nodes).find(PHASE_KIND) is None
    slicer.util.setSliceViewerLayers(background=phase_volume(phases, number), foreground=None, fit=made)


def phase_volume(phases: ExamPhases, number: int):
    """The one volume node that views show phases by, made where there is none, with the phase ``number`` in it."""
    number = max(0, min(number, len(phases.volumes) - 1))
    source = phases.volumes[number]
    results = ExamResults(phases.nodes)
    made = results.find(PHASE_KIND) is None
    shown = results.node(PHASE_KIND, "vtkMRMLScalarVolumeNode", "IITH phase")
    shown.SetSaveWithScene(False)
    shown.CopyOrientation(source)
    shown.SetAndObserveImageData(source.GetImageData())
    if made:
        shown.CreateDefaultDisplayNodes()
        _fit_window(shown, phases.volumes)
        shown.GetDisplayNode().SetSaveWithScene(False)
    return shown


def _fit_window(shown, volumes) -> None:
    brightest = slicer.util.arrayFromVolume(volumes[min(1, len(volumes) - 1)])
    high = float(np.percentile(brightest, 99.5))
    display = shown.GetDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevel(max(high, 1e-6), high / 2)


def signal_at(phases: ExamPhases, ras) -> np.ndarray | None:
    """Signal of every phase at a point (RAS mm), None outside the image."""
    values = []
    for volume in phases.volumes:
        matrix = vtk.vtkMatrix4x4()
        volume.GetRASToIJKMatrix(matrix)
        ijk = np.rint(matrix.MultiplyPoint((*ras, 1.0))[:3]).astype(int)
        array = slicer.util.arrayFromVolume(volume)
        if (ijk < 0).any() or (ijk[::-1] >= array.shape).any():
            return None
        values.append(float(array[tuple(ijk[::-1])]))
    return np.array(values)


def show_curve(phases: ExamPhases, ras) -> str:
    """Draw enhancement over time at a point; returns what the curve says, in words, or why there is none."""
    signal = signal_at(phases, ras)
    if signal is None:
        return _("The point lies outside the exam.")
    if not signal[0] > 0:
        return _("The pre-contrast signal is zero here; enhancement is not defined.")
    enhancement = 100 * (signal - signal[0]) / signal[0]
    results = ExamResults(phases.nodes)
    table = results.node("view.curve", "vtkMRMLTableNode", "IITH curve at a point")
    columns = [
        Column("time", phases.times_s, "s" if phases.known else ""),
        Column("enhancement", enhancement.tolist(), "%"),
    ]
    set_table(table, columns)
    series = results.node("view.curve.series", "vtkMRMLPlotSeriesNode", "enhancement")
    chart = results.find("view.curve.chart")
    first = chart is None
    chart = results.node("view.curve.chart", "vtkMRMLPlotChartNode", "IITH curve at a point")
    if first:
        _set_up_curve(chart, series, table, phases.known)
        for node in (table, series, chart):
            node.SetSaveWithScene(False)
        slicer.modules.plots.logic().ShowChartInLayout(chart)
    peak = int(np.argmax(enhancement))
    when = f"{phases.times_s[peak]:g} s" if phases.known else _("phase {number}").format(number=peak)
    return _("Peak enhancement {peak} % at {when}, {last} % in the last phase.").format(
        peak=f"{enhancement[peak]:.0f}", when=when, last=f"{enhancement[-1]:.0f}"
    )


def _set_up_curve(chart, series, table, known: bool) -> None:
    series.SetAndObserveTableNodeID(table.GetID())
    series.SetXColumnName("time")
    series.SetYColumnName("enhancement")
    series.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeScatter)
    series.SetLineStyle(slicer.vtkMRMLPlotSeriesNode.LineStyleSolid)
    series.SetMarkerStyle(slicer.vtkMRMLPlotSeriesNode.MarkerStyleCircle)
    series.SetColor(0.0, 0.45, 0.7)
    chart.AddAndObservePlotSeriesNodeID(series.GetID())
    chart.SetTitle(_("Enhancement at the point"))
    chart.SetXAxisTitle(_("Time after the pre-contrast phase (s)") if known else _("Phase"))
    chart.SetYAxisTitle(_("Enhancement (%)"))
