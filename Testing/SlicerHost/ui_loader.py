"""Load a Qt Designer file into stand-in widgets; strict where Qt is lenient, so that slips in a file show.

An unknown widget class, property, signal, slot or widget name raises RuntimeError. Qt would print a warning,
or make an unknown property dynamic; a dynamic property must here say ``stdset="0"``, as Designer writes it.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

from . import widgets


def load_ui(path: str) -> widgets.QWidget:
    root = ElementTree.parse(path).getroot()
    top = _widget(root.find("widget"), None)
    _connect(root, top)
    return top


def _widget(element, parent):
    name = element.get("class")
    cls = getattr(widgets, name, None)
    if not isinstance(cls, type) or not issubclass(cls, widgets.QWidget):
        raise RuntimeError(f"unknown widget class {name}")
    widget = cls()
    widget.objectName = element.get("name")
    if parent is not None:
        widget.setParent(parent)
    _set_properties(element, widget)
    for child in element:
        if child.tag == "layout":
            _layout(child, widget)
        elif child.tag == "widget":
            _widget(child, widget)
    return widget


def _layout(element, widget) -> None:
    if widget.layout() is None:
        getattr(widgets, element.get("class", "QVBoxLayout"), widgets.QVBoxLayout)(widget)
    for item in element.findall("item"):
        for child in item:
            if child.tag == "widget":
                widget.layout()._items.append(_widget(child, widget))
            elif child.tag == "layout":
                _layout(child, widget)


def _set_properties(element, widget) -> None:
    for entry in element.findall("property"):
        name, value = entry.get("name"), _value(entry[0])
        if entry.get("stdset") == "0":
            widget.setProperty(name, value)
        elif name not in ("geometry", "sizePolicy", "alignment"):
            try:
                setattr(widget, name, value)
            except AttributeError as error:
                raise RuntimeError(f"{element.get('name')}: {error}") from error


def _value(element):
    text = element.text or ""
    if element.tag == "bool":
        return text == "true"
    if element.tag == "number":
        return int(text)
    if element.tag == "double":
        return float(text)
    if element.tag == "stringlist":
        return tuple(child.text or "" for child in element)
    return text


def _connect(root, top) -> None:
    named = {w.objectName: w for w in [top, *top.findChildren(widgets.QWidget)]}
    for connection in root.iterfind("connections/connection"):
        part = {key: connection.findtext(key) for key in ("sender", "signal", "receiver", "slot")}
        try:
            sender, receiver = named[part["sender"]], named[part["receiver"]]
            slot = getattr(receiver, part["slot"].split("(")[0])
            sender.connect(part["signal"], slot)
        except (KeyError, AttributeError) as error:
            raise RuntimeError(f"connection {part}: {error!r}") from error
