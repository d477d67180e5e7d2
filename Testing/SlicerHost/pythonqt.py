"""PySide6 objects that answer as PythonQt's do: Qt properties are attributes, ``connect("clicked(bool)", f)`` works.

An exception in a slot is printed and not raised (it is kept in ``slot_errors`` too, as it would make Slicer's testing
mode fail), and a name that the class does not have is an AttributeError.
"""

from __future__ import annotations

import os
import sys
import traceback
import types

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6 import QtCore, QtWidgets

slot_errors: list[BaseException] = []
_properties: dict[type, dict] = {}
# Properties whose getter is virtual: Qt asks Python for an override by this name, which must then be a method.
_VIRTUAL = ("sizeHint", "minimumSizeHint")


def application() -> QtWidgets.QApplication:
    """The one QApplication of the process."""
    found = QtWidgets.QApplication.instance()
    if found is None:
        found = QtWidgets.QApplication(["Slicer"])
        found.setStyle("Fusion")
    return found


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


class BoundSignal:
    """One signal of one object."""

    def __init__(self, owner, name: str, signal) -> None:
        self._owner, self._name, self._signal = owner, name, signal

    def connect(self, slot) -> None:
        def relay(*values):
            call_slot(slot, values)

        self._owner._relays.append((self._name, slot, relay))
        self._signal.connect(relay)

    def disconnect(self, slot) -> None:
        relays = self._owner._relays
        for entry in relays:
            if entry[0] == self._name and entry[1] == slot:
                relays.remove(entry)
                self._signal.disconnect(entry[2])
                return
        raise ValueError(f"the slot is not connected to {self._name}")

    def emit(self, *values) -> None:
        self._signal.emit(*values)


def qt_properties(cls: type) -> dict[str, QtCore.QMetaProperty]:
    """The Qt properties of a class by name, declared in C++ or Python."""
    if cls not in _properties:
        meta = cls.staticMetaObject
        found = (meta.property(i) for i in range(meta.propertyCount()))
        _properties[cls] = {entry.name(): entry for entry in found if entry.name() not in _VIRTUAL}
    return _properties[cls]


class PythonQt:
    """Mixin in front of a PySide6 class."""

    def __getattribute__(self, name):
        if name == "name":
            name = "objectName"
        known = qt_properties(type(self))
        if name in known:
            value = known[name].read(self)
            return tuple(value) if isinstance(value, list) else value
        if name in _OWN:  # Shiboken would find its own methods of these names first
            return types.MethodType(_OWN[name], self)
        value = super().__getattribute__(name)
        if type(value) is QtCore.SignalInstance:
            return BoundSignal(self, name, value)
        return value

    def __getattr__(self, name):
        if name == "_relays":
            self.__dict__["_relays"] = []
            return self.__dict__["_relays"]
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __setattr__(self, name, value) -> None:
        if name.startswith("_"):
            self.__dict__[name] = value
            return
        if name == "name":
            name = "objectName"
        known = qt_properties(type(self))
        if name not in known:
            raise AttributeError(f"{type(self).__name__} has no property {name!r}")
        value = list(value) if isinstance(value, tuple) else value
        if not known[name].write(self, value):
            raise TypeError(f"{type(self).__name__}.{name} does not take {value!r}")

    def connect(self, signal: str, slot) -> None:
        getattr(self, signal.split("(")[0]).connect(slot)

    def disconnect(self, signal: str, slot) -> None:
        getattr(self, signal.split("(")[0]).disconnect(slot)

    def className(self) -> str:
        return type(self).__name__

    def delete(self) -> None:
        self.deleteLater()


_OWN = {name: vars(PythonQt)[name] for name in ("connect", "disconnect", "className", "delete")}


def adopt(base: type) -> type:
    """The class of the same name whose objects answer as PythonQt's."""
    return type(base.__name__, (PythonQt, base), {"__module__": __name__})
