"""The segmentation widgets of Slicer's Segmentations module: the editor's frame and the table of segments, no brushes.

The editor knows its nodes and which effect is active; what an effect does to a segment a test does itself, through
``slicer.util.updateSegmentBinaryLabelmapFromArray``, which is what an effect ends in.
"""

from __future__ import annotations

import vtk
from PySide6 import QtCore, QtGui, QtWidgets
from PySide6.QtCore import Property, Signal

from .mrml_widgets import _flag, qMRMLNodeComboBox, qMRMLWidget

EFFECTS = ("Threshold", "Paint", "Draw", "Erase", "Level tracing", "Grow from seeds", "Fill between slices", "Margin",
           "Hollow", "Smoothing", "Scissors", "Islands", "Logical operators", "Mask volume")  # fmt: skip


class qMRMLSegmentsTableView(qMRMLWidget):
    """Visibility, color and name of each segment."""

    selectionChanged = Signal()

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self._node, self._tags = None, []
        self._table = QtWidgets.QTableWidget(0, 3, self)
        self._table.setHorizontalHeaderLabels(["👁", "Color", "Name"])
        self._table.verticalHeader().hide()
        self._table.horizontalHeader().setStretchLastSection(True)
        self._table.setColumnWidth(0, 30)
        self._table.setColumnWidth(1, 50)
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._table)
        self.setFocusProxy(self._table)
        self.destroyed.connect(lambda *_: self._listen(None))

    opacityColumnVisible, statusColumnVisible = _flag("opacity", True), _flag("status", False)
    visibilityColumnVisible, colorColumnVisible = _flag("visibility", True), _flag("color", True)
    filterBarVisible, readOnly = _flag("filter", False), _flag("readOnly", False)
    selectionMode = Property(int, lambda _self: 1, lambda _self, _value: None)

    def segmentationNode(self):
        return self._node

    def setSegmentationNode(self, node) -> None:
        self._listen(node)
        self._fill()

    def _listen(self, node) -> None:
        for tag in self._tags:
            self._node.RemoveObserver(tag)
        self._node = node
        self._tags = [] if node is None else [node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._fill())]

    def _fill(self) -> None:
        inner = self._node.GetSegmentation() if self._node is not None else None
        ids = [inner.GetNthSegmentID(i) for i in range(inner.GetNumberOfSegments())] if inner else []
        self._table.setRowCount(len(ids))
        for row, segment_id in enumerate(ids):
            segment = inner.GetSegment(segment_id)
            color = QtWidgets.QTableWidgetItem("")
            color.setBackground(QtGui.QColor.fromRgbF(*segment.GetColor()))
            shown = self._node.GetDisplayNode() is None or self._node.GetDisplayNode().GetSegmentVisibility(segment_id)
            for column, item in enumerate(
                (QtWidgets.QTableWidgetItem("✓" if shown else ""), color, QtWidgets.QTableWidgetItem(segment.GetName()))
            ):
                self._table.setItem(row, column, item)


class qMRMLSegmentEditorWidget(qMRMLWidget):
    """Its nodes, the list of segments and a button per effect."""

    segmentationNodeChanged = Signal(object)
    sourceVolumeNodeChanged = Signal(object)

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self._parameters = self._segmentation = self._volume = self._effect = None
        self._names, self._shortcuts = list(EFFECTS), False
        self._segmentations, self._volumes = qMRMLNodeComboBox(self), qMRMLNodeComboBox(self)
        self._segmentations.nodeTypes, self._volumes.nodeTypes = (
            ["vtkMRMLSegmentationNode"],
            ["vtkMRMLScalarVolumeNode"],
        )
        self._table = qMRMLSegmentsTableView(self)
        self._table.setMaximumHeight(110)
        self._buttons = QtWidgets.QGridLayout()
        layout = QtWidgets.QFormLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addRow("Segmentation:", self._segmentations)
        layout.addRow("Source volume:", self._volumes)
        layout.addRow(self._table)
        layout.addRow(self._buttons)
        self._list_effects()

    unorderedEffectsVisible, readOnly = _flag("unordered", True), _flag("readOnly", False)
    switchToSegmentationsButtonVisible = _flag("switch", True)
    segmentationNodeSelectorVisible = _flag("segmentations", True)
    sourceVolumeNodeSelectorVisible = _flag("volumes", True)
    autoShowSourceVolumeNode = _flag("autoShow", True)
    maximumNumberOfUndoStates = Property(int, lambda _self: 10, lambda _self, _value: None)

    def setMaximumNumberOfUndoStates(self, number: int) -> None:
        pass

    def setEffectNameOrder(self, names) -> None:
        unknown = set(names) - set(EFFECTS)
        if unknown:
            raise ValueError(f"unknown effects {sorted(unknown)}")
        self._names = list(names)
        self._list_effects()

    def _list_effects(self) -> None:
        while self._buttons.count():
            old = self._buttons.takeAt(0).widget()
            old.hide()
            old.deleteLater()
        for index, name in enumerate(self._names):
            button = QtWidgets.QToolButton(self)
            button.setText(name)
            button.setCheckable(True)
            button.setSizePolicy(QtWidgets.QSizePolicy.Policy.Expanding, QtWidgets.QSizePolicy.Policy.Fixed)
            button.setFocusPolicy(QtCore.Qt.FocusPolicy.TabFocus)
            button.clicked.connect(lambda _checked=False, n=name: self.setActiveEffectByName(n))
            self._buttons.addWidget(button, index // 3, index % 3)

    def setMRMLScene(self, scene) -> None:
        self._segmentations.setMRMLScene(scene)
        self._volumes.setMRMLScene(scene)
        super().setMRMLScene(scene)

    def setMRMLSegmentEditorNode(self, node) -> None:
        self._parameters = node
        self.updateWidgetFromMRML()

    def mrmlSegmentEditorNode(self):
        return self._parameters

    def updateWidgetFromMRML(self) -> None:
        if self._parameters is not None:
            self._segmentation = self._parameters.GetSegmentationNode()
            self._volume = self._parameters.GetSourceVolumeNode()
        self._show()

    def _show(self) -> None:
        self._segmentations.setCurrentNode(self._segmentation)
        self._volumes.setCurrentNode(self._volume)
        self._table.setSegmentationNode(self._segmentation)

    def setSegmentationNode(self, node) -> None:
        self._segmentation = node
        if self._parameters is not None:
            self._parameters.SetAndObserveSegmentationNode(node)
        self._show()
        self.segmentationNodeChanged.emit(node)

    def setSourceVolumeNode(self, node) -> None:
        self._volume = node
        if self._parameters is not None:
            self._parameters.SetAndObserveSourceVolumeNode(node)
        self._show()
        self.sourceVolumeNodeChanged.emit(node)

    def segmentationNode(self):
        return self._segmentation

    def sourceVolumeNode(self):
        return self._volume

    def setCurrentSegmentID(self, segment_id: str) -> None:
        if self._parameters is not None:
            self._parameters.SetSelectedSegmentID(segment_id)

    def currentSegmentID(self) -> str:
        return self._parameters.GetSelectedSegmentID() if self._parameters is not None else ""

    def setActiveEffectByName(self, name: str) -> None:
        self._effect = name or None

    def setActiveEffect(self, effect) -> None:
        self._effect = effect

    def activeEffect(self):
        return self._effect

    def installKeyboardShortcuts(self) -> None:
        self._shortcuts = True

    def uninstallKeyboardShortcuts(self) -> None:
        self._shortcuts = False

    def setupViewObservations(self) -> None:
        pass

    def removeViewObservations(self) -> None:
        pass
