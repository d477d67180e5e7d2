"""How the parameter node stand-in stores each type in a vtkMRMLScriptedModuleNode: Slicer's own format.

int, float, str, bool ("True"/"False") and Path as text; Enum as its member name; a node as an empty text plus
a node reference of the same role; a list as ``name.len``, ``name.0`` ..; Optional and unions as
``name.<index of the alternative>``; FloatRange as ``name._minimum`` and ``name._maximum``.
"""

from __future__ import annotations

import enum
import pathlib
import types
import typing
from collections.abc import MutableSequence

import slicer

from .parameter_validators import IsInstance, NotNone, Validator


class FloatRange:
    """A pair of numbers with minimum <= maximum."""

    def __init__(self, minimum=0.0, maximum=0.0) -> None:
        if not minimum <= maximum:
            raise ValueError(f"FloatRange must have minimum <= maximum: {minimum} <= {maximum}")
        self.minimum, self.maximum = minimum, maximum

    def __eq__(self, other) -> bool:
        return isinstance(other, FloatRange) and (self.minimum, self.maximum) == (
            other.minimum,
            other.maximum,
        )

    __hash__ = None


class Storage:
    """One parameter type. ``checks`` run before every write."""

    def __init__(self, checks: list[Validator]) -> None:
        self.checks = checks

    def check(self, value) -> None:
        for validator in self.checks:
            validator.validate(value)

    def has(self, node, name) -> bool:
        return node.HasParameter(name)

    def remove(self, node, name) -> None:
        node.UnsetParameter(name)


class TextStorage(Storage):
    def __init__(self, type_, checks) -> None:
        super().__init__([NotNone(), IsInstance((int, float) if type_ is float else type_), *checks])
        self.type = type_

    def default(self):
        return 0 if self.type in (int, float) else self.type()

    def write(self, node, name, value) -> None:
        node.SetParameter(name, str(value))

    def read(self, node, name):
        text = node.GetParameter(name)
        return text == "True" if self.type is bool else self.type(text)


class EnumStorage(Storage):
    def __init__(self, type_, checks) -> None:
        super().__init__([IsInstance(type_), *checks])
        self.type = type_

    def default(self):
        return next(iter(self.type))

    def write(self, node, name, value) -> None:
        node.SetParameter(name, value.name)

    def read(self, node, name):
        return self.type[node.GetParameter(name)]


class NodeStorage(Storage):
    def __init__(self, type_, checks) -> None:
        super().__init__([IsInstance(type_), *checks])

    def default(self):
        return None

    def write(self, node, name, value) -> None:
        node.SetParameter(name, "")
        node.SetNodeReferenceID(name, value.GetID() if value is not None else None)

    def read(self, node, name):
        return node.GetNodeReference(name)

    def remove(self, node, name) -> None:
        super().remove(node, name)
        node.RemoveNodeReferenceIDs(name)


class FloatRangeStorage(Storage):
    def __init__(self, checks) -> None:
        super().__init__([NotNone(), IsInstance(FloatRange), *checks])

    def default(self):
        return FloatRange()

    def has(self, node, name) -> bool:
        return node.HasParameter(f"{name}._minimum")

    def write(self, node, name, value) -> None:
        node.SetParameter(f"{name}._minimum", str(value.minimum))
        node.SetParameter(f"{name}._maximum", str(value.maximum))

    def read(self, node, name):
        return FloatRange(float(node.GetParameter(f"{name}._minimum")), float(node.GetParameter(f"{name}._maximum")))

    def remove(self, node, name) -> None:
        node.UnsetParameter(f"{name}._minimum")
        node.UnsetParameter(f"{name}._maximum")


class ObservedList(MutableSequence):
    """A list whose changes are written to the node at once. Not a ``list``: ``+`` raises, as in Slicer."""

    def __init__(self, storage, node, name, values) -> None:
        self._storage, self._node, self._name, self._values = storage, node, name, values

    def _save(self) -> None:
        self._storage.write(self._node, self._name, self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, index):
        return self._values[index]

    def __setitem__(self, index, value) -> None:
        self._values[index] = value
        self._save()

    def __delitem__(self, index) -> None:
        del self._values[index]
        self._save()

    def insert(self, index, value) -> None:
        self._values.insert(index, value)
        self._save()

    def __add__(self, other):
        raise NotImplementedError("use +=")

    def __eq__(self, other) -> bool:
        return self._values == (other._values if isinstance(other, ObservedList) else other)

    __hash__ = None


class ListStorage(Storage):
    def __init__(self, element: Storage, checks) -> None:
        super().__init__(checks)
        self.element = element

    def check(self, value) -> None:
        super().check(value)
        for item in value:
            self.element.check(item)

    def default(self):
        return []

    def has(self, node, name) -> bool:
        return node.HasParameter(f"{name}.len")

    def _length(self, node, name) -> int:
        return int(node.GetParameter(f"{name}.len")) if self.has(node, name) else 0

    def write(self, node, name, value) -> None:
        values = list(value)
        for item in values:
            self.element.check(item)
        with slicer.util.NodeModify(node):
            for index in range(len(values), self._length(node, name)):
                self.element.remove(node, f"{name}.{index}")
            for index, item in enumerate(values):
                self.element.write(node, f"{name}.{index}", item)
            node.SetParameter(f"{name}.len", str(len(values)))

    def read(self, node, name):
        values = [self.element.read(node, f"{name}.{i}") for i in range(self._length(node, name))]
        return ObservedList(self, node, name, values)

    def remove(self, node, name) -> None:
        for index in range(self._length(node, name)):
            self.element.remove(node, f"{name}.{index}")
        node.UnsetParameter(f"{name}.len")


class NoneStorage(Storage):
    def check(self, value) -> None:
        if value is not None:
            raise ValueError("Value must be None")

    def default(self):
        return None

    def write(self, node, name, value) -> None:
        node.SetParameter(name, "True")

    def read(self, node, name):
        return None


class UnionStorage(Storage):
    def __init__(self, alternatives, checks) -> None:
        super().__init__(checks)
        self.alternatives = alternatives

    def _index(self, value) -> int:
        error: Exception = TypeError(f"no alternative takes {value!r}")
        # None goes to the NoneType alternative where there is one; node types would take it too
        order = sorted(range(len(self.alternatives)), key=lambda i: not isinstance(self.alternatives[i], NoneStorage))
        for index in order if value is None else range(len(self.alternatives)):
            try:
                self.alternatives[index].check(value)
            except (TypeError, ValueError) as refused:
                error = refused
            else:
                return index
        raise error

    def check(self, value) -> None:
        super().check(value)
        self._index(value)

    def default(self):
        if len(self.alternatives) == 2 and isinstance(self.alternatives[1], NoneStorage):
            return None
        return self.alternatives[0].default()

    def _stored(self, node, name):
        return next((i for i, a in enumerate(self.alternatives) if a.has(node, f"{name}.{i}")), None)

    def has(self, node, name) -> bool:
        return self._stored(node, name) is not None

    def write(self, node, name, value) -> None:
        with slicer.util.NodeModify(node):
            self.remove(node, name)
            index = self._index(value)
            self.alternatives[index].write(node, f"{name}.{index}", value)

    def read(self, node, name):
        index = self._stored(node, name)
        return self.alternatives[index].read(node, f"{name}.{index}")

    def remove(self, node, name) -> None:
        for index, alternative in enumerate(self.alternatives):
            alternative.remove(node, f"{name}.{index}")


def split_annotation(datatype) -> tuple[object, list]:
    """``Annotated[int, a, b]`` -> (int, [a, b]); a plain type -> (type, [])."""
    if typing.get_origin(datatype) is typing.Annotated:
        return typing.get_args(datatype)[0], list(typing.get_args(datatype)[1:])
    return datatype, []


def storage_for(datatype) -> Storage:
    """The storage of a (possibly annotated) type; TypeError for a type that Slicer cannot store either."""
    type_, annotations = split_annotation(datatype)
    checks = [a for a in annotations if isinstance(a, Validator)]
    origin = typing.get_origin(type_)
    if origin is list:
        return ListStorage(storage_for(typing.get_args(type_)[0]), checks)
    if origin in (typing.Union, types.UnionType):
        return UnionStorage([storage_for(t) for t in typing.get_args(type_)], checks)
    if type_ is FloatRange:
        return FloatRangeStorage(checks)
    if type_ is type(None):
        return NoneStorage(checks)
    if isinstance(type_, type) and issubclass(type_, enum.Enum):
        return EnumStorage(type_, checks)
    if isinstance(type_, type) and issubclass(type_, slicer.vtkMRMLNode):
        return NodeStorage(type_, checks)
    if type_ in (int, float, str, bool, pathlib.Path, pathlib.PurePath):
        return TextStorage(type_, checks)
    raise TypeError(f"Unable to create serializer for type: {type_}")
