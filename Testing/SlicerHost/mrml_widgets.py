"""Slicer's MRML widgets as far as panels use them: they list, choose and show the nodes of a real scene."""

from __future__ import annotations

import vtk
from PySide6 import QtCore, QtGui, QtWidgets
from PySide6.QtCore import Property, Signal

from .pythonqt import PythonQt
from .widgets import ctkCollapsibleButton, ctkDoubleSpinBox, ctkRangeWidget, ctkSliderWidget

CHECKED = QtCore.Qt.CheckState.Checked


def _flag(name: str, value: bool):
    """A bool property that is only kept."""
    key = f"_{name}"
    return Property(
        bool, lambda self: self.__dict__.get(key, value), lambda self, new: self.__dict__.__setitem__(key, new)
    )


def _text(name: str, value: str):
    key = f"_{name}"
    return Property(
        str, lambda self: self.__dict__.get(key, value), lambda self, new: self.__dict__.__setitem__(key, new)
    )


class SceneListener:
    """Calls ``method`` when nodes come, go or are renamed; forgets the scene with the widget."""

    def __init__(self, widget, method) -> None:
        self._scene, self._tags = None, []
        self._method = method
        widget.destroyed.connect(lambda *_: self.listen(None))

    def listen(self, scene) -> None:
        for tag in self._tags:
            self._scene.RemoveObserver(tag)
        self._scene, self._tags = scene, []
        if scene is not None:
            events = (scene.NodeAddedEvent, scene.NodeRemovedEvent, scene.EndCloseEvent, scene.EndImportEvent)
            self._tags = [scene.AddObserver(event, lambda *_: self._method()) for event in events]


class qMRMLWidget(PythonQt, QtWidgets.QWidget):
    mrmlSceneChanged = Signal(object)

    def __init__(self, *args) -> None:
        super().__init__(*args)
        self._scene = None

    def mrmlScene(self):
        return self._scene

    def setMRMLScene(self, scene) -> None:
        self._scene = scene
        self.mrmlSceneChanged.emit(scene)


class qSlicerWidget(qMRMLWidget):
    pass


class qSlicerWebWidget(PythonQt, QtWidgets.QTextBrowser):
    """Takes an address and shows the text of the page; Slicer's is a whole browser."""

    loadFinished = Signal(bool)
    shown: list = []  # noqa: RUF012 - the addresses, for tests

    def _set_url(self, address: str) -> None:
        self._address = address
        self.shown.append(address)
        path = QtCore.QUrl(address).toLocalFile()
        with open(path, encoding="utf-8") as file:
            self.setHtml(file.read())
        self.loadFinished.emit(True)

    url = Property(str, lambda self: self.__dict__.get("_address", ""), _set_url)


class qMRMLSliderWidget(ctkSliderWidget):
    def setMRMLScene(self, _scene) -> None:
        pass


class qMRMLSpinBox(ctkDoubleSpinBox):
    def setMRMLScene(self, _scene) -> None:
        pass


class qMRMLRangeWidget(ctkRangeWidget):
    def setMRMLScene(self, _scene) -> None:
        pass


class qMRMLCollapsibleButton(ctkCollapsibleButton):
    mrmlSceneChanged = Signal(object)

    def setMRMLScene(self, scene) -> None:
        self.mrmlSceneChanged.emit(scene)


class qMRMLSubjectHierarchyTreeView(qMRMLWidget):
    pass


class qMRMLSubjectHierarchyComboBox(qMRMLWidget):
    pass


class qMRMLNodeComboBox(PythonQt, QtWidgets.QWidget):
    """Lists the nodes of its types; without a scene it is empty and disabled, as in Slicer."""

    currentNodeChanged = Signal(object)
    nodeAddedByUser = Signal(object)

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self._scene = self._node = None
        self._types, self._attributes, self._filling = [], [], False
        self._box = QtWidgets.QComboBox(self)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._box)
        self.setFocusProxy(self._box)
        self._box.activated.connect(self._chosen)
        self._listener = SceneListener(self, self._refresh)
        self.setEnabled(False)

    nodeTypes = Property("QStringList", lambda self: self._types, lambda self, names: self._set_types(names))
    noneEnabled, addEnabled, removeEnabled = _flag("none", False), _flag("add", True), _flag("remove", True)
    editEnabled, renameEnabled = _flag("edit", False), _flag("rename", False)
    showChildNodeTypes, showHidden = _flag("children", True), _flag("hidden", False)
    selectNodeUponCreation = _flag("select", True)
    noneDisplay, baseName = _text("noneText", "None"), _text("base", "")
    currentNodeID = Property(str, lambda self: self._node.GetID() if self._node else "")

    def _set_types(self, names) -> None:
        self._types = list(names)
        self._refresh()

    def addAttribute(self, node_type, name, value=None) -> None:
        """Offer nodes of this type only with this attribute (of this value)."""
        self._attributes.append((node_type, name, value))
        self._refresh()

    def _has_attributes(self, node) -> bool:
        wanted = [(name, value) for node_type, name, value in self._attributes if node.IsA(node_type)]
        return all(node.GetAttribute(n) == v if v is not None else node.GetAttribute(n) for n, v in wanted)

    def mrmlScene(self):
        return self._scene

    def setMRMLScene(self, scene) -> None:
        self._scene = scene
        self._listener.listen(scene)
        self.setEnabled(scene is not None)
        self._refresh()

    def nodes(self) -> list:
        """The nodes the list offers, in the order of the scene."""
        found = []
        for index in range(self._scene.GetNumberOfNodes() if self._scene else 0):
            node = self._scene.GetNthNode(index)
            wanted = [t for t in self._types if node.IsA(t)]
            exact = any(node.GetClassName() == t for t in self._types)
            shown = self.showHidden or not node.GetHideFromEditors()
            if wanted and shown and (self.showChildNodeTypes or exact) and self._has_attributes(node):
                found.append(node)
        return found

    def _actions(self) -> list[str]:
        return [f"Create new {self.baseName or 'node'}"] if self.addEnabled else []

    def _refresh(self) -> None:
        gone = self._node is not None and not self._scene.IsNodePresent(self._node)
        self._box.clear()
        if self.noneEnabled:
            self._box.addItem(self.noneDisplay)
        for node in self.nodes():
            self._box.addItem(node.GetName() or "", node.GetID())
        self._box.addItems(self._actions())
        if gone:
            self._node = None
            self.currentNodeChanged.emit(None)
        self._show_current()

    def _show_current(self) -> None:
        index = self._box.findData(self._node.GetID()) if self._node is not None else -1
        self._box.setCurrentIndex(index if index >= 0 else 0 if self.noneEnabled else -1)

    def _chosen(self, index: int) -> None:
        if self._box.itemText(index) in self._actions() and self._box.itemData(index) is None:
            self.addNode()
        else:
            node_id = self._box.itemData(index)
            self.setCurrentNode(self._scene.GetNodeByID(node_id) if node_id else None)

    def addNode(self, node_type: str = ""):
        """What the entry "Create new" does."""
        name = self._scene.GenerateUniqueName(self.baseName or "Node")
        node = self._scene.AddNewNodeByClass(node_type or self._types[0], name)
        for wanted, attribute, value in self._attributes:
            if node.IsA(wanted):
                node.SetAttribute(attribute, value or "1")
        if self.selectNodeUponCreation:
            self.setCurrentNode(node)
        self.nodeAddedByUser.emit(node)
        return node

    def currentNode(self):
        if self._node is not None and not self._scene.IsNodePresent(self._node):
            self._node = None
        return self._node

    def setCurrentNode(self, node) -> None:
        if node is not None and node not in self.nodes():
            node = None
        if node is not self.currentNode():
            self._node = node
            self._refresh()
            self.currentNodeChanged.emit(node)


class qMRMLCheckableNodeComboBox(qMRMLNodeComboBox):
    checkedNodesChanged = Signal()

    def __init__(self, parent=None) -> None:
        self._checked = []
        super().__init__(parent)

    def _refresh(self) -> None:
        names = [node.GetName() for node in self.checkedNodes()]
        self._box.clear()
        self._box.addItem(", ".join(names) if names else "None")

    def checkedNodes(self) -> tuple:
        return tuple(n for n in self.nodes() if n in self._checked)

    def setCheckState(self, node, state) -> None:
        wanted = state in (CHECKED, 2, True)
        if (node in self._checked) != wanted:
            if wanted:
                self._checked.append(node)
            else:
                self._checked.remove(node)
            self._refresh()
            self.checkedNodesChanged.emit()


class qMRMLSegmentSelectorWidget(qMRMLWidget):
    """A segmentation list with a segment list beside it."""

    currentNodeChanged = Signal(object)
    currentSegmentChanged = Signal(str)
    segmentSelectionChanged = Signal("QStringList")

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self._node, self._segment = None, ""
        self._nodes, self._segments = qMRMLNodeComboBox(self), QtWidgets.QComboBox(self)
        self._nodes.nodeTypes, self._nodes.addEnabled = ["vtkMRMLSegmentationNode"], False
        self._nodes.noneEnabled = True
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._nodes, 1)
        layout.addWidget(self._segments, 1)
        self.setFocusProxy(self._nodes)
        self._nodes.currentNodeChanged.connect(self.setCurrentNode)
        self._segments.activated.connect(lambda index: self.setCurrentSegmentID(self._segments.itemData(index) or ""))

    noneEnabled, segmentationNodeSelectorVisible = _flag("none", False), _flag("selector", True)
    multiSelection, horizontalLayout = _flag("multi", False), _flag("horizontal", False)

    def setMRMLScene(self, scene) -> None:
        self._nodes.setMRMLScene(scene)
        super().setMRMLScene(scene)

    def currentNode(self):
        if self._node is not None and not (self._scene and self._scene.IsNodePresent(self._node)):
            self._node, self._segment = None, ""
        return self._node

    def currentSegmentID(self) -> str:
        return self._segment if self.currentNode() is not None else ""

    def selectedSegmentIDs(self) -> tuple:
        return (self._segment,) if self._segment else ()

    def _list_segments(self) -> None:
        self._segments.clear()
        self._segments.addItem("None", "")
        segmentation = self._node.GetSegmentation() if self._node is not None else None
        for index in range(segmentation.GetNumberOfSegments() if segmentation else 0):
            segment_id = segmentation.GetNthSegmentID(index)
            self._segments.addItem(segmentation.GetSegment(segment_id).GetName(), segment_id)
        self._segments.setCurrentIndex(max(0, self._segments.findData(self._segment)))

    def setCurrentNode(self, node) -> None:
        if node is self.currentNode():
            return
        self._node, self._segment = node, ""
        self._nodes.setCurrentNode(node)
        self._list_segments()
        self.currentNodeChanged.emit(node)
        if node is not None and not self.noneEnabled and node.GetSegmentation().GetNumberOfSegments():
            self.setCurrentSegmentID(node.GetSegmentation().GetNthSegmentID(0))

    def setCurrentSegmentID(self, segment_id: str) -> None:
        known = self.currentNode() is not None and self._node.GetSegmentation().GetSegment(segment_id or "")
        segment_id = segment_id if known else ""
        if segment_id != self.currentSegmentID():
            self._segment = segment_id
            self._list_segments()
            self.currentSegmentChanged.emit(segment_id)


class qMRMLTableView(PythonQt, QtWidgets.QTableView):
    """Shows a table node and follows its changes."""

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self._table_node = self._tag = None
        self.setModel(QtGui.QStandardItemModel(self))
        self.destroyed.connect(lambda *_: self.setMRMLTableNode(None, show=False))

    transposed, firstRowLocked = _flag("transposed", False), _flag("firstRow", False)

    def setMRMLScene(self, _scene) -> None:
        pass

    def mrmlTableNode(self):
        return self._table_node

    def setMRMLTableNode(self, node, show: bool = True) -> None:
        if self._table_node is not None:
            self._table_node.RemoveObserver(self._tag)
        self._table_node = node
        if node is not None:
            self._tag = node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._fill())
        if show:
            self._fill()

    def _fill(self) -> None:
        model = self.model()
        model.clear()
        table = self._table_node.GetTable() if self._table_node is not None else None
        if table is None:
            return
        columns = [table.GetColumn(i) for i in range(table.GetNumberOfColumns())]
        model.setHorizontalHeaderLabels([column.GetName() for column in columns])
        for row in range(table.GetNumberOfRows()):
            values = [column.GetValue(row) for column in columns]
            model.appendRow([QtGui.QStandardItem(f"{v:.6g}" if isinstance(v, float) else str(v)) for v in values])
        self.resizeColumnsToContents()
