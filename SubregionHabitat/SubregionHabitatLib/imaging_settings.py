"""The settings of an analysis as plain JSON and back, checked in full: a stored setting is untrusted text."""

from __future__ import annotations

import dataclasses
import math
import types
import typing

from .analysis import ImagingParameters


def settings_to_json(parameters: ImagingParameters) -> dict:
    """Every choice as a dictionary of plain JSON types."""
    return dataclasses.asdict(parameters)


def settings_from_json(content: object) -> ImagingParameters:
    """The settings that ``settings_to_json`` wrote, after JSON has turned tuples into lists.

    Raises ValueError for a missing or an extra key or a value of another type, and what the parameter classes raise
    for values out of range (InputError).
    """
    return _dataclass(ImagingParameters, content, "settings")


def _dataclass(cls, content: object, where: str):
    names = {field.name for field in dataclasses.fields(cls)}
    if not isinstance(content, dict) or set(content) != names:
        raise ValueError(f"{where} must hold exactly {', '.join(sorted(names))}")
    hints = typing.get_type_hints(cls)
    return cls(**{name: _value(hints[name], content[name], f"{where}.{name}") for name in names})


def _value(hint, value: object, where: str):
    if dataclasses.is_dataclass(hint):
        return _dataclass(hint, value, where)
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and types.NoneType in inner:
            return None
        [hint] = [h for h in inner if h is not types.NoneType]
        return _value(hint, value, where)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise ValueError(f"{where} must be a list")
        kinds = inner[:1] * len(value) if inner[-1] is Ellipsis else inner
        if len(kinds) != len(value):
            raise ValueError(f"{where} must hold {len(kinds)} values")
        return tuple(_value(kind, v, where) for kind, v in zip(kinds, value, strict=True))
    if hint is float and type(value) in (int, float) and math.isfinite(value):
        return float(value)
    if hint in (int, str, bool) and type(value) is hint:
        return value
    raise ValueError(f"{where} cannot be {str(value)[:40]!r}")
