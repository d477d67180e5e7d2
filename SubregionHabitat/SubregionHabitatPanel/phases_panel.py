"""The sections Exam and Preview: the phases with their times, what of them the views show, the curve at a place.

Imports qt and slicer; only the module file imports it.
"""

from __future__ import annotations

import qt
import slicer
from slicer.i18n import tr as _


class PhasesPanel:
    """Drives the widgets of the two sections; ``panel`` is the module's widget."""

    def __init__(self, panel) -> None:
        self._panel, self.ui = panel, panel.ui
        self._observedPoint = None
        ui = self.ui
        ui.timesFromImagesButton.connect("clicked(bool)", self.onTimesFromImagesButton)
        ui.showPreButton.connect("clicked(bool)", lambda: self.showPhase(0))
        ui.showEarlyButton.connect("clicked(bool)", lambda: self.showPhase(self.earlyLate()[0]))
        ui.showLateButton.connect("clicked(bool)", lambda: self.showPhase(self.earlyLate()[1]))
        ui.timesTable.setColumnCount(2)
        ui.timesTable.setHorizontalHeaderLabels([_("Phase"), _("Time (s)")])
        ui.timesTable.connect("cellChanged(int,int)", self._onTimeEdited)
        ui.phaseSlider.connect("valueChanged(int)", self._onPhaseSlider)
        ui.phasesSelector.connect("checkedNodesChanged()", self._onPhasesChecked)
        crosshair = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
        if crosshair is not None:
            panel.addObserver(crosshair, crosshair.CursorPositionModifiedEvent, self._onCursorMoved)

    @property
    def _parameters(self):
        return self._panel._parameterNode

    @property
    def _logic(self):
        return self._panel.logic

    def forget(self) -> None:
        """The scene is closing: its nodes are not observed any more."""
        self._observedPoint = None

    def refresh(self, parameters) -> None:
        checked = [node for node in parameters.phaseVolumes if node is not None]
        for node in self.ui.phasesSelector.checkedNodes():
            if node not in checked:
                self.ui.phasesSelector.setCheckState(node, qt.Qt.Unchecked)
        for node in checked:
            self.ui.phasesSelector.setCheckState(node, qt.Qt.Checked)
        self.ui.phasesLabel.text = self._logic.describePhases(parameters)
        phases = self._logic.phases(parameters)
        self._listTimes(parameters, phases)
        self._setUpPreview(parameters, phases)
        self._observeCurvePoint(parameters.curvePoint)

    # phases and their times

    def _listTimes(self, parameters, phases) -> None:
        table = self.ui.timesTable
        blocked = table.blockSignals(True)
        table.setRowCount(0 if phases is None else len(phases.volumes))
        for row in range(table.rowCount):
            # the frames of a sequence get other names when a scene is saved
            named = "" if parameters.dceSequence is not None else f": {phases.volumes[row].GetName()}"
            name = qt.QTableWidgetItem(_("Phase {number}").format(number=row) + named)
            name.setFlags(qt.Qt.ItemIsEnabled)
            table.setItem(row, 0, name)
            table.setItem(row, 1, qt.QTableWidgetItem(f"{phases.times_s[row]:g}" if phases.known else ""))
        table.blockSignals(blocked)
        self.ui.timesFromImagesButton.enabled = bool(parameters.timesText)

    def _onTimeEdited(self, _row: int, _column: int) -> None:
        """The whole column becomes the typed times, once it is complete."""
        table = self.ui.timesTable
        texts = [table.item(row, 1).text().strip() for row in range(table.rowCount)]
        if self._parameters is not None and all(texts):
            self._parameters.timesText = ", ".join(texts)

    def onTimesFromImagesButton(self, _checked=False) -> None:
        self._parameters.timesText = ""

    def _onPhasesChecked(self, *_arguments) -> None:
        if self._parameters is not None and not self._panel._updating:
            self._parameters.phaseVolumes = list(self.ui.phasesSelector.checkedNodes())

    def earlyLate(self) -> tuple:
        parameters = self._parameters
        return self._logic.phases(parameters).early_late(parameters.earlyPhase or None, parameters.latePhase or None)

    # what the views show

    def _setUpPreview(self, parameters, phases) -> None:
        slider, last = self.ui.phaseSlider, 0 if phases is None else len(phases.volumes) - 1
        blocked = slider.blockSignals(True)
        slider.maximum = last
        slider.value = min(parameters.previewPhase, last)
        slider.blockSignals(blocked)
        for name in ("phaseSlider", "showPreButton", "showEarlyButton", "showLateButton"):
            getattr(self.ui, name).enabled = phases is not None
        self.ui.phaseNameLabel.text = (
            "" if phases is None else _("{number} of {last}").format(number=slider.value, last=last)
        )

    def _onPhaseSlider(self, number: int) -> None:
        if self._parameters is not None and not self._panel._updating:
            self.showPhase(number)

    def showPhase(self, number: int) -> None:
        from .exam_views import show_phase

        phases = self._logic.phases(self._parameters)
        if phases is not None:
            self._parameters.previewPhase = int(number)
            show_phase(phases, int(number))

    # the curve at a place

    def _observeCurvePoint(self, node) -> None:
        if node is self._observedPoint:
            return
        before = self._observedPoint
        if before is not None:
            for event in (before.PointModifiedEvent, before.PointPositionDefinedEvent):
                self._panel.removeObserver(before, event, self._onCurvePointMoved)
        self._observedPoint = node
        if node is not None:
            for event in (node.PointModifiedEvent, node.PointPositionDefinedEvent):
                self._panel.addObserver(node, event, self._onCurvePointMoved)
            self._onCurvePointMoved(node)

    def _onCurvePointMoved(self, node, _event=None) -> None:
        if node.GetNumberOfControlPoints():
            self._showCurveAt(node.GetNthControlPointPositionWorld(0))

    def _onCursorMoved(self, crosshair, _event=None) -> None:
        if self._parameters is not None and self._parameters.curveUnderCursor and not self._panel.running:
            ras = [0.0, 0.0, 0.0]
            if crosshair.GetCursorPositionRAS(ras):
                self._showCurveAt(ras)

    def _showCurveAt(self, ras) -> None:
        from .exam_views import show_curve

        phases = None if self._parameters is None else self._logic.phases(self._parameters)
        if phases is not None:
            self.ui.curveLabel.text = show_curve(phases, ras)
