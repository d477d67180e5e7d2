"""Which widget can show which parameter type, and how: Slicer's table, by the exact class of the widget."""

from __future__ import annotations

import enum
import typing

import ctk
import qt
import slicer

from .parameter_storage import FloatRange, split_annotation
from .parameter_validators import Choice, Maximum, Minimum, WithinRange


class Connector:
    """Reads and writes one property of a widget and listens to one of its signals."""

    def __init__(self, widget, attribute: str, signal: str, read=None, write=None) -> None:
        self.widget, self._signal, self._callback = widget, getattr(widget, signal), None
        self.read = read or (lambda: getattr(widget, attribute))
        self.write = write or (lambda value: setattr(widget, attribute, value))

    def _changed(self) -> None:
        self._callback()

    def on_changed(self, callback) -> None:
        if callback is None:
            self._signal.disconnect(self._changed)
        else:
            self._signal.connect(self._changed)
        self._callback = callback


def _first(annotations, kind):
    return next((a for a in annotations if isinstance(a, kind)), None)


def _limits(widget, annotations, whole: bool) -> None:
    within, low, high = (_first(annotations, k) for k in (WithinRange, Minimum, Maximum))
    bounded = within is not None or (low is not None and high is not None)
    if type(widget) in (qt.QSlider, ctk.ctkSliderWidget, slicer.qMRMLSliderWidget) and not bounded:
        raise RuntimeError(f"{type(widget).__name__} needs a bounded parameter")
    if whole and type(widget) not in (qt.QSlider, qt.QSpinBox):
        widget.decimals = 0
    far = 2**31 if type(widget) in (qt.QSlider, qt.QSpinBox) else float("inf")
    widget.minimum = within.minimum if within else low.minimum if low else -far
    widget.maximum = within.maximum if within else high.maximum if high else far


def _choices(widget, labels: list[str], values: list) -> Connector:
    widget.clear()
    widget.addItems(labels)

    def write(value) -> None:
        widget.currentIndex = values.index(value)

    return Connector(widget, "", "currentIndexChanged", lambda: values[widget.currentIndex], write)


def _node_types(type_) -> list[type]:
    alternatives = typing.get_args(type_) or (type_,)
    return [t for t in alternatives if isinstance(t, type) and issubclass(t, slicer.vtkMRMLNode)]


def connector_for(widget, datatype) -> Connector:
    """The connector of a widget and a (possibly annotated) type; RuntimeError where Slicer has none."""
    type_, annotations = split_annotation(datatype)
    kind = type(widget)
    if type_ is bool and kind in (qt.QCheckBox, ctk.ctkCheckBox, qt.QPushButton):
        widget.checkable = True
        return Connector(widget, "checked", "toggled")
    if type_ is int and kind in (qt.QSpinBox, qt.QSlider):
        _limits(widget, annotations, True)
        return Connector(widget, "value", "valueChanged")
    real = (qt.QDoubleSpinBox, ctk.ctkSliderWidget, slicer.qMRMLSliderWidget, ctk.ctkDoubleSlider,
            ctk.ctkDoubleSpinBox, slicer.qMRMLSpinBox)  # fmt: skip
    if type_ in (int, float) and kind in real:
        _limits(widget, annotations, type_ is int)
        return Connector(widget, "value", "valueChanged", lambda: type_(widget.value))
    if kind in (qt.QComboBox, ctk.ctkComboBox) and isinstance(type_, type) and issubclass(type_, enum.Enum):
        label = getattr(type_, "label", lambda member: member.name)
        return _choices(widget, [label(m) for m in type_], list(type_))
    if kind in (qt.QComboBox, ctk.ctkComboBox) and type_ in (int, float, str, bool):
        choice = _first(annotations, Choice)
        if choice is None:
            raise RuntimeError("a combo box needs the Choice annotation")
        return _choices(widget, [str(c) for c in choice.choices], list(choice.choices))
    if type_ is str and kind is qt.QLineEdit:
        return Connector(widget, "text", "textChanged")
    if type_ is str and kind is qt.QTextEdit:
        return Connector(widget, "", "textChanged", widget.toPlainText, widget.setPlainText)
    if type_ is FloatRange and kind in (
        ctk.ctkRangeWidget,
        ctk.ctkDoubleRangeSlider,
        slicer.qMRMLRangeWidget,
    ):
        return Connector(
            widget, "", "valuesChanged",
            lambda: FloatRange(widget.minimumValue, widget.maximumValue),
            lambda value: widget.setValues(value.minimum, value.maximum),
        )  # fmt: skip
    if kind is ctk.ctkPathLineEdit:
        return Connector(
            widget, "", "currentPathChanged",
            lambda: type_(widget.currentPath),
            lambda value: setattr(widget, "currentPath", str(value)),
        )  # fmt: skip
    if kind is slicer.qMRMLNodeComboBox and _node_types(type_):
        widget.nodeTypes = tuple(t.__name__ for t in _node_types(type_))
        return Connector(widget, "", "currentNodeChanged", widget.currentNode, widget.setCurrentNode)
    raise RuntimeError(f"Unable to create GUI connector from datatype '{datatype}' to widget type '{kind}'.")
