"""Load a Qt Designer file with Qt's own loader into the stand-in widgets; strict where Qt is lenient.

An unknown widget class, property, signal, slot or widget name raises RuntimeError. Qt would print a warning, or make an
unknown property dynamic; a dynamic property must here say ``stdset="0"``, as Designer writes it.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

from PySide6 import QtCore, QtUiTools, QtWidgets

from . import mrml_widgets, segment_editor, widgets
from .pythonqt import qt_properties


def widget_class(name: str) -> type:
    for source in (widgets, mrml_widgets, segment_editor):
        cls = getattr(source, name, None)
        if isinstance(cls, type) and issubclass(cls, QtWidgets.QWidget):
            return cls
    raise RuntimeError(f"unknown widget class {name}")


class _Loader(QtUiTools.QUiLoader):
    def createWidget(self, class_name, parent=None, name=""):
        widget = widget_class(class_name)(parent)
        widget.setObjectName(name)
        return widget


def load_ui(path: str):
    """The top widget of the file."""
    tree = ElementTree.parse(path)
    root = tree.getroot()
    for element in root.iter("widget"):
        _check(element)
    connections = root.find("connections")
    if connections is not None:
        root.remove(connections)
    buffer = QtCore.QBuffer()
    buffer.setData(ElementTree.tostring(root))
    buffer.open(QtCore.QIODevice.OpenModeFlag.ReadOnly)
    loader = _Loader()
    top = loader.load(buffer)
    if top is None:
        raise RuntimeError(f"{path}: {loader.errorString()}")
    named = {w.objectName: w for w in [top, *top.findChildren(QtWidgets.QWidget)] if isinstance(w, widgets.PythonQt)}
    for widget in named.values():
        if isinstance(widget, widgets.ctkCollapsibleButton):
            widget.refresh()
    _connect(connections, named)
    return top


def _check(element) -> None:
    cls = widget_class(element.get("class"))
    for entry in element.findall("property"):
        name = entry.get("name")
        if entry.get("stdset") != "0" and name not in qt_properties(cls):
            raise RuntimeError(f"{element.get('name')}: {cls.__name__} has no property {name!r}")
        # flags of classes that Qt's loader does not know are text to the stand-ins
        if entry[0].tag == "set" and entry[0].text.startswith("ctk"):
            entry[0].tag = "string"


def _connect(connections, named) -> None:
    for connection in connections if connections is not None else ():
        part = {key: connection.findtext(key) for key in ("sender", "signal", "receiver", "slot")}
        try:
            sender, receiver = named[part["sender"]], named[part["receiver"]]
            sender.connect(part["signal"], getattr(receiver, part["slot"].split("(")[0]))
        except (KeyError, AttributeError) as error:
            raise RuntimeError(f"connection {part}: {error!r}") from error
