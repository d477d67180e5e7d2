"""The section Results: the map in the views, the regions in 2D and 3D, tables and curves. Imports slicer."""

from __future__ import annotations

import slicer
from slicer.i18n import tr as _

SETTINGS = ("shownMap", "shownFromPercent", "show3D", "outlinesOnly")


class ResultsPanel:
    """Drives the widgets of the section; ``panel`` is the module's widget."""

    def __init__(self, panel) -> None:
        self._panel, self.ui = panel, panel.ui
        self._shown = None
        self.ui.showCurvesButton.connect("clicked(bool)", self.showCurves)
        # chosen by the user, also the one that is chosen already: brings it back after phases were looked at
        self.ui.mapCombo.connect("activated(int)", self.showAgain)

    def forget(self) -> None:
        """The scene is closing."""
        self._shown = None
        self.ui.volumesTable.setMRMLTableNode(None)
        self.ui.segmentsTable.setSegmentationNode(None)

    def refresh(self, parameters) -> None:
        """Tables of an earlier run on the selected exam, and the views when another map or 3D is chosen."""
        logic = self._panel.logic
        results = logic.results(parameters)
        segmentation = results.find("segmentation") if results else None
        self.ui.segmentsTable.setSegmentationNode(segmentation)
        self.ui.volumesTable.setMRMLTableNode(results.find("table.volumes") if results else None)
        self.ui.resultsSection.enabled = segmentation is not None
        self.ui.showCurvesButton.enabled = logic.curveChart(parameters) is not None
        wanted = (segmentation, *(getattr(parameters, name) for name in SETTINGS))
        if segmentation is not None and not self._panel.running and wanted != self._shown:
            self._show(parameters, results, segmentation)
        self.ui.mapLabel.visible = self.ui.mapLabel.text != ""
        self._shown = wanted

    def _show(self, parameters, results, segmentation) -> None:
        from .exam_views import phase_volume
        from .result_views import show_map, show_segmentation

        phases = self._panel.logic.phases(parameters)
        anatomy = None if phases is None else phase_volume(phases, self._panel.phases.earlyLate()[0])
        shown = show_map(results, parameters.shownMap.name, parameters.shownFromPercent, anatomy)
        self.ui.mapLabel.text = "" if shown else _("Not defined for this exam: its phase times are not known.")
        show_segmentation(segmentation, parameters.show3D, parameters.outlinesOnly)

    def showAgain(self, *_arguments) -> None:
        self._shown = None
        self._panel._onModified()

    def showCurves(self, *_arguments) -> None:
        slicer.modules.plots.logic().ShowChartInLayout(self._panel.logic.curveChart(self._panel._parameterNode))
