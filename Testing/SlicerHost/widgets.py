"""Stand-ins for the Qt, CTK and MRML widgets that plain module panels use: properties, signals, no drawing.

Like PythonQt: Qt properties are attributes, a signal fires only when a value changes, an exception in a slot
is printed and not raised (here it is kept in ``slot_errors`` too), and a name that the class does not have is
an AttributeError. The tables below hold only what panels of this project and Slicer's parameter connectors use.
"""

# ruff: noqa: RUF012 - the tables are shared by design, the names are those of Qt and Slicer
from __future__ import annotations

import math
import sys
import traceback

slot_errors: list[BaseException] = []


class Signal:
    """A bound Qt signal: connect, disconnect, emit."""

    def __init__(self) -> None:
        self._slots: list = []

    def connect(self, slot) -> None:
        self._slots.append(slot)

    def disconnect(self, slot) -> None:
        self._slots.remove(slot)

    def emit(self, *values) -> None:
        for slot in list(self._slots):
            call_slot(slot, values)


def call_slot(slot, values) -> None:
    """Call with as many arguments as the slot takes; report an exception, do not raise it."""
    code = getattr(slot, "__code__", None)
    if code is not None and not code.co_flags & 0x04:
        values = values[: code.co_argcount - (1 if hasattr(slot, "__self__") else 0)]
    try:
        slot(*values)
    except Exception as error:
        slot_errors.append(error)
        traceback.print_exc(file=sys.stderr)


class QWidget:
    """Base of all. ``_properties``: name -> initial value; ``_signals``: property -> signals it fires."""

    _properties: dict = {
        "enabled": True,
        "visible": True,
        "toolTip": "",
        "objectName": "",
        "minimumHeight": 0,
    }
    _signals: dict[str, tuple[str, ...]] = {}
    _extra_signals: tuple[str, ...] = ()

    def __init__(self, *args) -> None:
        parent = next((a for a in args if isinstance(a, QWidget)), None)
        text = next((a for a in args if isinstance(a, str)), None)
        state = {
            "_values": {},
            "_dynamic": {},
            "_children": [],
            "_parent": None,
            "_layout": None,
            "_bound": {},
        }
        self.__dict__.update(state)
        for cls in reversed(type(self).__mro__):
            self._values.update(vars(cls).get("_properties", {}))
            for signal in [s for names in vars(cls).get("_signals", {}).values() for s in names]:
                self._bound[signal] = Signal()
            for signal in vars(cls).get("_extra_signals", ()):
                self._bound[signal] = Signal()
        if text is not None:
            self.text = text
        if parent is not None:
            self.setParent(parent)

    def __getattr__(self, name):
        values, bound = self.__dict__["_values"], self.__dict__["_bound"]
        if name == "name":
            return values["objectName"]
        if name in values:
            return values[name]
        if name in bound:
            return bound[name]
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __setattr__(self, name, value) -> None:
        if name == "name":
            name = "objectName"
        if name not in self._values:
            raise AttributeError(f"{type(self).__name__} has no property {name!r}")
        value = self._accept(name, value)
        if self._values[name] != value:
            self._values[name] = value
            self._fire(name, value)

    def _accept(self, name, value):
        """The value a property takes when ``value`` is written to it; subclasses hold it in their range."""
        return value

    def _fire(self, name, *values) -> None:
        for cls in type(self).__mro__:
            for signal in vars(cls).get("_signals", {}).get(name, ()):
                self._bound[signal].emit(*values)

    # QObject
    def connect(self, signal: str, slot) -> None:
        self._bound[signal.split("(")[0]].connect(slot)

    def disconnect(self, signal: str, slot) -> None:
        self._bound[signal.split("(")[0]].disconnect(slot)

    def className(self) -> str:
        return type(self).__name__

    def isWidgetType(self) -> bool:
        return True

    def property(self, name):
        return self._values.get(name, self._dynamic.get(name))

    def setProperty(self, name, value) -> None:
        if name in self._values:
            setattr(self, name, value)
        else:
            self._dynamic[name] = value

    def parent(self):
        return self._parent

    def setParent(self, parent) -> None:
        if self._parent is not None:
            self._parent._children.remove(self)
        self.__dict__["_parent"] = parent
        if parent is not None:
            parent._children.append(self)

    def children(self):
        return list(self._children)

    def findChildren(self, cls):
        found = []
        for child in self._children:
            found += ([child] if isinstance(child, cls) else []) + child.findChildren(cls)
        return found

    # QWidget
    def layout(self):
        return self._layout

    def setLayout(self, layout) -> None:
        self.__dict__["_layout"] = layout
        layout.owner = self

    def setEnabled(self, enabled) -> None:
        self.enabled = enabled

    def show(self) -> None:
        self.visible = True

    def hide(self) -> None:
        self.visible = False

    def deleteLater(self) -> None:
        self.setParent(None)


class QLayout:
    """A layout only hands its widgets to the widget it lays out."""

    def __init__(self, owner: QWidget | None = None) -> None:
        self.owner = owner
        self._items: list = []
        if owner is not None:
            owner.setLayout(self)

    def addWidget(self, widget, *_position) -> None:
        self._items.append(widget)
        if self.owner is not None:
            widget.setParent(self.owner)

    def addRow(self, *items) -> None:
        for item in items:
            if isinstance(item, QWidget):
                self.addWidget(item)

    def addStretch(self, *_args) -> None:
        pass

    def count(self) -> int:
        return len(self._items)

    def itemAt(self, index):
        return self._items[index]

    def removeItem(self, item) -> None:
        self._items.remove(item)


class QVBoxLayout(QLayout):
    pass


class QHBoxLayout(QLayout):
    pass


class QFormLayout(QLayout):
    pass


class QLabel(QWidget):
    _properties = {"text": "", "wordWrap": False, "textInteractionFlags": 0, "openExternalLinks": False}

    def setText(self, text) -> None:
        self.text = text


class QAbstractButton(QWidget):
    _properties = {"text": "", "checkable": False, "checked": False}
    _signals = {"checked": ("toggled",)}
    _extra_signals = ("clicked",)

    def click(self) -> None:
        """What a user's click does: nothing on a disabled button, else toggle if checkable, then ``clicked``."""
        if self.enabled:
            if self.checkable:
                self.checked = not self.checked
            self.clicked.emit(self.checked)

    def setChecked(self, checked) -> None:
        self.checked = checked


class QPushButton(QAbstractButton):
    pass


class QToolButton(QAbstractButton):
    pass


class QCheckBox(QAbstractButton):
    _properties = {"checkable": True}
    _signals = {"checked": ("stateChanged",)}


class QLineEdit(QWidget):
    _properties = {"text": "", "placeholderText": ""}
    _signals = {"text": ("textChanged",)}
    _extra_signals = ("editingFinished",)


class QTextEdit(QWidget):
    _properties = {"plainText": "", "readOnly": False}
    _signals = {"plainText": ("textChanged",)}

    def toPlainText(self) -> str:
        return self.plainText

    def setPlainText(self, text) -> None:
        self.plainText = text


class _Number(QWidget):
    """A spin box or slider: what is written is held inside minimum..maximum."""

    _properties = {
        "minimum": 0.0, "maximum": 99.0, "value": 0.0, "singleStep": 1.0, "pageStep": 10.0, "decimals": 2,
        "suffix": "", "prefix": "", "specialValueText": "",
    }  # fmt: skip
    _signals = {"value": ("valueChanged",)}
    _whole = False

    def _accept(self, name, value):
        if name == "value":
            value = min(max(value, self.minimum), self.maximum)
            if self._whole:
                return int(value)
            return round(float(value), self.decimals) if math.isfinite(value) else float(value)
        return value

    def setMinimum(self, minimum) -> None:
        self.minimum = minimum
        self.value = self.value

    def setMaximum(self, maximum) -> None:
        self.maximum = maximum
        self.value = self.value

    def setRange(self, minimum, maximum) -> None:
        self.setMinimum(minimum)
        self.setMaximum(maximum)


class QSpinBox(_Number):
    _whole = True


class QSlider(_Number):
    _whole = True


class QDoubleSpinBox(_Number):
    pass


class ctkDoubleSpinBox(_Number):
    pass


class ctkDoubleSlider(_Number):
    pass


class ctkSliderWidget(_Number):
    pass


class qMRMLSliderWidget(ctkSliderWidget):
    pass


class qMRMLSpinBox(ctkDoubleSpinBox):
    pass


class ctkRangeWidget(QWidget):
    _properties = {"minimum": 0.0, "maximum": 99.0, "minimumValue": 0.0, "maximumValue": 99.0, "decimals": 2}
    _extra_signals = ("valuesChanged",)

    def setRange(self, minimum, maximum) -> None:
        self.minimum, self.maximum = minimum, maximum

    def setValues(self, minimum, maximum) -> None:
        if (self.minimumValue, self.maximumValue) != (minimum, maximum):
            self.minimumValue, self.maximumValue = minimum, maximum
            self.valuesChanged.emit(minimum, maximum)


class ctkDoubleRangeSlider(ctkRangeWidget):
    pass


class qMRMLRangeWidget(ctkRangeWidget):
    pass


class QComboBox(QWidget):
    _properties = {"currentIndex": -1, "currentText": "", "count": 0}
    _signals = {"currentIndex": ("currentIndexChanged",)}
    _extra_signals = ("activated",)

    def __init__(self, *args) -> None:
        super().__init__(*args)
        self.__dict__["_items"] = []

    def __setattr__(self, name, value) -> None:
        super().__setattr__(name, value)
        if name == "currentIndex":
            self._values["currentText"] = self._items[value] if value >= 0 else ""

    def _accept(self, name, value):
        if name == "currentIndex" and not -1 <= value < len(self._items):
            return -1
        return value

    def addItem(self, text, _data=None) -> None:
        self._items.append(text)
        self._values["count"] = len(self._items)
        if self.currentIndex < 0:
            self.currentIndex = 0

    def addItems(self, texts) -> None:
        for text in texts:
            self.addItem(text)

    def itemText(self, index) -> str:
        return self._items[index]

    def clear(self) -> None:
        self._items.clear()
        self._values["count"] = 0
        self.currentIndex = -1


class ctkComboBox(QComboBox):
    _properties = {"defaultText": ""}


class ctkCheckBox(QCheckBox):
    pass


class ctkCheckablePushButton(QPushButton):
    _properties = {"checkBoxControlsButtonToggleState": False}


class ctkPathLineEdit(QWidget):
    _properties = {"currentPath": "", "filters": (), "nameFilters": (), "settingKey": ""}
    _signals = {"currentPath": ("currentPathChanged",)}

    def addCurrentPathToHistory(self) -> None:
        pass


class ctkDirectoryButton(QWidget):
    _properties = {"directory": ""}
    _signals = {"directory": ("directoryChanged",)}


class ctkColorPickerButton(QWidget):
    _properties = {"color": None}
    _signals = {"color": ("colorChanged",)}


class ctkCollapsibleButton(QWidget):
    _properties = {"text": "", "collapsed": False, "collapsedHeight": 0}


class qMRMLWidget(QWidget):
    _properties = {"windowTitle": ""}
    _extra_signals = ("mrmlSceneChanged",)

    def __init__(self, *args) -> None:
        super().__init__(*args)
        self.__dict__["_scene"] = None

    def mrmlScene(self):
        return self._scene

    def setMRMLScene(self, scene) -> None:
        self.__dict__["_scene"] = scene
        self.mrmlSceneChanged.emit(scene)


class qMRMLNodeComboBox(QWidget):
    """Without a scene it is empty and disabled, as in Slicer; it holds no more than the current node."""

    _properties = {
        "nodeTypes": (), "noneEnabled": False, "addEnabled": True, "removeEnabled": True,
        "editEnabled": False, "renameEnabled": False, "showChildNodeTypes": True, "showHidden": False,
        "noneDisplay": "None", "selectNodeUponCreation": True, "baseName": "", "enabled": False,
    }  # fmt: skip
    _extra_signals = ("currentNodeChanged",)

    def __init__(self, *args) -> None:
        super().__init__(*args)
        self.__dict__.update(_scene=None, _node=None, _attributes=[])

    def addAttribute(self, node_type, name, value=None) -> None:
        """Offer nodes of this type only with this attribute (of this value)."""
        self._attributes.append((node_type, name, value))

    def _has_attributes(self, node) -> bool:
        wanted = [(name, value) for node_type, name, value in self._attributes if node.IsA(node_type)]
        return all(node.GetAttribute(n) == v if v is not None else node.GetAttribute(n) for n, v in wanted)

    def setMRMLScene(self, scene) -> None:
        self.__dict__["_scene"] = scene
        self.enabled = scene is not None

    def nodes(self) -> list:
        """The nodes the list offers, in the order of the scene."""
        found = []
        for index in range(self._scene.GetNumberOfNodes() if self._scene else 0):
            node = self._scene.GetNthNode(index)
            wanted = [t for t in self.nodeTypes if node.IsA(t)]
            exact = any(node.GetClassName() == t for t in self.nodeTypes)
            shown = self.showHidden or not node.GetHideFromEditors()
            if wanted and shown and (self.showChildNodeTypes or exact) and self._has_attributes(node):
                found.append(node)
        return found

    def currentNode(self):
        if self._node is not None and not self._scene.IsNodePresent(self._node):
            self.__dict__["_node"] = None
        return self._node

    def setCurrentNode(self, node) -> None:
        if node is not None and node not in self.nodes():
            node = None
        if node is not self.currentNode():
            self.__dict__["_node"] = node
            self.currentNodeChanged.emit(node)


class qMRMLCheckableNodeComboBox(qMRMLNodeComboBox):
    _extra_signals = ("checkedNodesChanged",)

    def __init__(self, *args) -> None:
        super().__init__(*args)
        self.__dict__["_checked"] = []

    def checkedNodes(self) -> tuple:
        return tuple(n for n in self.nodes() if n in self._checked)

    def setCheckState(self, node, state) -> None:
        if (node in self._checked) != bool(state):
            if state:
                self._checked.append(node)
            else:
                self._checked.remove(node)
            self.checkedNodesChanged.emit()


class qMRMLSegmentSelectorWidget(qMRMLWidget):
    """A segmentation list with a segment list beside it."""

    _properties = {"noneEnabled": False, "segmentationNodeSelectorVisible": True, "multiSelection": False,
                   "horizontalLayout": False}  # fmt: skip
    _extra_signals = ("currentNodeChanged", "currentSegmentChanged")

    def __init__(self, *args) -> None:
        super().__init__(*args)
        self.__dict__.update(_node=None, _segment="")

    def currentNode(self):
        if self._node is not None and not (self._scene and self._scene.IsNodePresent(self._node)):
            self.__dict__.update(_node=None, _segment="")
        return self._node

    def currentSegmentID(self) -> str:
        return self._segment if self.currentNode() is not None else ""

    def setCurrentNode(self, node) -> None:
        if node is not self.currentNode():
            self.__dict__.update(_node=node, _segment="")
            self.currentNodeChanged.emit(node)
            if node is not None and not self.noneEnabled and node.GetSegmentation().GetNumberOfSegments():
                self.setCurrentSegmentID(node.GetSegmentation().GetNthSegmentID(0))

    def setCurrentSegmentID(self, segment_id: str) -> None:
        known = self.currentNode() is not None and self._node.GetSegmentation().GetSegment(segment_id or "")
        segment_id = segment_id if known else ""
        if segment_id != self.currentSegmentID():
            self.__dict__["_segment"] = segment_id
            self.currentSegmentChanged.emit(segment_id)


class qMRMLSubjectHierarchyTreeView(QWidget):
    pass


class qMRMLSubjectHierarchyComboBox(QWidget):
    pass


class qSlicerWidget(qMRMLWidget):
    pass


class QProgressDialog(QWidget):
    _properties = {"value": 0, "maximum": 100, "labelText": "", "wasCanceled": False, "windowModality": 0,
                   "minimumDuration": 0, "windowTitle": "", "autoClose": True, "autoReset": True}  # fmt: skip

    def __init__(self, *args) -> None:
        super().__init__(*[a for a in args if isinstance(a, QWidget)])

    def setAutoClose(self, flag) -> None:
        self.autoClose = flag

    def close(self) -> None:
        self.visible = False
