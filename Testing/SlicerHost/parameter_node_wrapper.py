"""Stand-in for ``slicer.parameterNodeWrapper``: typed parameters over a vtkMRMLScriptedModuleNode.

Storage format, validation, one ModifiedEvent per assignment and the connection of widgets by the dynamic
property ``SlicerParameterName`` are as in Slicer. Left out: tuples, dicts, parameter packs, Any, colours.
"""

from __future__ import annotations

import traceback
import typing
import weakref

import slicer
import vtk

from .parameter_storage import FloatRange, split_annotation, storage_for
from .parameter_validators import (
    Choice,
    Default,
    IsInstance,
    Maximum,
    Minimum,
    NotNone,
    RangeBounds,
    Validator,
    WithinRange,
)
from .widget_connectors import connector_for

__all__ = [
    "Choice",
    "Default",
    "FloatRange",
    "IsInstance",
    "Maximum",
    "Minimum",
    "NotNone",
    "RangeBounds",
    "Validator",
    "WithinRange",
    "isParameterNodeWrapper",
    "parameterNodeWrapper",
]


class _Parameter:
    """One parameter of one class: name, type, storage, default."""

    def __init__(self, name, datatype, default) -> None:
        self.name, self.datatype, self.default = name, datatype, default
        self.storage = storage_for(datatype)
        if default is None:
            given = [a for a in split_annotation(datatype)[1] if isinstance(a, Default)]
            self.default = given[0] if given else Default(self.storage.default())


class _Wrapper:
    """Methods that the decorator adds to a class."""

    def __init__(self, parameterNode, prefix: str | None = None) -> None:
        self.parameterNode, self._observer = parameterNode, None
        self._prefix = prefix or ""
        self._guis: dict = {}
        self._next_tag = 0
        self._updating_gui = False
        self._cache: dict = {}
        for name, parameter in self.allParameters.items():
            if not parameter.storage.has(parameterNode, self._prefix + name):
                self.setValue(name, parameter.default.value)
            self._cache[name] = parameter.storage.read(parameterNode, self._prefix + name)
        # weak, so that the wrapper goes when its last user does, as in Slicer
        this = weakref.ref(self)
        self._observer = parameterNode.AddObserver(
            vtk.vtkCommand.ModifiedEvent, lambda *_event: this() and this()._refresh()
        )

    def __del__(self) -> None:
        if self._observer is not None:
            self.parameterNode.RemoveObserver(self._observer)

    def _refresh(self) -> None:
        """Read anew what others changed in the node; unreadable text keeps the value known last."""
        for name, parameter in self.allParameters.items():
            try:
                if not parameter.storage.has(self.parameterNode, self._prefix + name):
                    parameter.storage.write(self.parameterNode, self._prefix + name, parameter.default.value)
                self._cache[name] = parameter.storage.read(self.parameterNode, self._prefix + name)
            except (ValueError, KeyError):
                traceback.print_exc()

    def getValue(self, name):
        self._known(name)
        return self._cache[name]

    def setValue(self, name, value) -> None:
        storage = self._known(name).storage
        storage.check(value)
        with slicer.util.NodeModify(self.parameterNode):
            storage.write(self.parameterNode, self._prefix + name, value)
            self._cache[name] = storage.read(self.parameterNode, self._prefix + name)

    def _known(self, name) -> _Parameter:
        if name not in self.allParameters:
            raise ValueError(f"Cannot find a param with the given name: {name}")
        return self.allParameters[name]

    def default(self, name) -> Default:
        return self._known(name).default

    def dataType(self, name):
        return self._known(name).datatype

    def isCached(self, name) -> bool:
        return bool(self._known(name))

    def connectGui(self, gui) -> int:
        children = gui.findChildren(type(gui)) if hasattr(gui, "findChildren") else vars(gui).values()
        named = {w.property("SlicerParameterName"): w for w in children if w.property("SlicerParameterName")}
        return self.connectParametersToGui(named)

    def connectParametersToGui(self, mapping) -> int:
        connectors = {n: connector_for(w, self._known(n).datatype) for n, w in mapping.items()}
        for name, connector in connectors.items():
            connector.write(self.getValue(name))
            connector.on_changed(lambda n=name, c=connector: self._from_gui(n, c))
        observer = self.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._to_gui())
        tag, self._next_tag = self._next_tag, self._next_tag + 1
        self._guis[tag] = (connectors, observer)
        return tag

    def disconnectGui(self, guiTag) -> None:
        if guiTag in self._guis:
            connectors, observer = self._guis.pop(guiTag)
            for connector in connectors.values():
                connector.on_changed(None)
            self.RemoveObserver(observer)

    def _from_gui(self, name, connector) -> None:
        if not self._updating_gui:
            self.setValue(name, connector.read())

    def _to_gui(self) -> None:
        if self._updating_gui:
            return
        self._updating_gui = True
        try:
            for connectors, _observer in self._guis.values():
                for name, connector in connectors.items():
                    connector.write(self.getValue(name))
        finally:
            self._updating_gui = False

    def StartModify(self):
        return self.parameterNode.StartModify()

    def EndModify(self, wasModified):
        return self.parameterNode.EndModify(wasModified)

    def AddObserver(self, event, callback, priority=0.0):
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag):
        return self.parameterNode.RemoveObserver(tag)

    def Modified(self) -> None:
        self.parameterNode.Modified()


def _property(name):
    return property(lambda self: self.getValue(name), lambda self, value: self.setValue(name, value))


def parameterNodeWrapper(classtype=None):
    """Class decorator; annotations are the parameters, class values their defaults."""
    if classtype is None:
        return parameterNodeWrapper
    parameters = {}
    for name, datatype in typing.get_type_hints(classtype, include_extras=True).items():
        default = Default(getattr(classtype, name)) if hasattr(classtype, name) else None
        parameters[name] = _Parameter(name, datatype, default)
    for name, member in vars(_Wrapper).items():
        if name in ("__init__", "__del__") or not name.startswith("__"):
            if name in parameters or (not name.startswith("__") and hasattr(classtype, name)):
                raise ValueError(f"Cannot use reserved name '{name}' in a parameterNodeWrapper")
            setattr(classtype, name, member)
    for name in parameters:
        setattr(classtype, name, _property(name))
    classtype.allParameters = parameters
    classtype._is_parameter_node_wrapper = True
    return classtype


def isParameterNodeWrapper(classOrObject) -> bool:
    return getattr(classOrObject, "_is_parameter_node_wrapper", False)
