"""Frozen dataclasses to JSON-ready data and back, driven by their type hints.

Supported: str, int, float, bool, None, Any, enums, datetime, dataclasses, tuple[T, ...],
frozenset[T],
Mapping[str, T], NewType and
`T | None`. Absent keys take the field's default, unknown keys are refused: data of an older format
is upgraded before.
"""

import dataclasses
import enum
import types
import typing
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

__all__ = ["evolve", "from_data", "object_data", "record", "to_data"]

if TYPE_CHECKING:
    from dataclasses import dataclass as record
else:

    def record(**options: bool) -> Any:
        """A dataclass that only the type checker keeps frozen.

        To keep it so at run time makes each instance three times as dear, field by field; this is
        for what every step of every run makes several of.
        """
        return dataclasses.dataclass(**{**options, "frozen": False, "unsafe_hash": True})


T = TypeVar("T")

_PLAIN = frozenset({str, int, float, bool, type(None)})


def to_data(value: Any) -> Any:
    """Return value as dicts, lists and scalars; mapping keys keep their order."""
    # A run is mostly plain values; asking for their exact type is what makes this fast.
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is dict:
        return object_data(value)
    if kind is tuple or kind is list:
        return [item if type(item) in _PLAIN else to_data(item) for item in value]
    if isinstance(value, enum.Enum):
        return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return object_data({name: getattr(value, name) for name in _field_names(type(value))})
    if isinstance(value, Mapping):
        return object_data(value)
    if isinstance(value, frozenset):
        return sorted(to_data(item) for item in value)
    if isinstance(value, (tuple, list)):
        return [to_data(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return value


def object_data(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a mapping as data; its keys are texts."""
    return {key: item if type(item) in _PLAIN else to_data(item) for key, item in value.items()}


def evolve(value: T, **changes: Any) -> T:
    """Return a copy of a frozen dataclass without slots in which some fields are other.

    What dataclasses.replace does, at a tenth of its price: a run copies its state some fifty times.
    A field that does not exist is refused with AttributeError; __post_init__ is not run.
    """
    copy: T = object.__new__(type(value))
    fields = copy.__dict__
    fields.update(value.__dict__)
    known = len(fields)
    fields.update(changes)
    if len(fields) != known:
        raise AttributeError(f"{type(value).__name__} has not all of {', '.join(changes)}")
    return copy


def from_data(kind: type[T], data: Any) -> T:
    """Build a `kind` from what to_data gave. Raises ValueError on data of another shape."""
    return typing.cast(T, _build(kind, data))


@cache
def _field_names(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind))


@cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _build(kind: Any, data: Any) -> Any:
    if isinstance(kind, typing.NewType):
        return _build(kind.__supertype__, data)
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        if data is None:
            return None
        (inner,) = [arg for arg in typing.get_args(kind) if arg is not type(None)]
        return _build(inner, data)
    if origin is tuple:
        return tuple(_build(typing.get_args(kind)[0], item) for item in data)
    if origin is frozenset:
        return frozenset(_build(typing.get_args(kind)[0], item) for item in data)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        inner = typing.get_args(kind)[1]
        return {key: _build(inner, item) for key, item in data.items()}
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return _build_dataclass(kind, data)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return kind(data)
    if kind is datetime:
        return datetime.fromisoformat(data)
    return data


def _build_dataclass(kind: type, data: Any) -> Any:
    if not isinstance(data, Mapping):
        raise ValueError(f"{kind.__name__}: an object is expected")
    hints = _hints(kind)
    unknown = set(data) - set(hints)
    if unknown:
        raise ValueError(f"{kind.__name__}: unknown keys {sorted(unknown)}")
    return kind(**{name: _build(hints[name], item) for name, item in data.items()})
