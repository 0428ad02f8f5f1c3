"""JSON and instants as rows keep them, exactly and fast."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from kneo_grpc.domain.data import to_data

InstantEncoder = Callable[[datetime | None], Any]
InstantDecoder = Callable[[Any], datetime | None]
DurationEncoder = Callable[[timedelta], Any]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_SLOW = " "


def dump_json(value: Any) -> str:
    """Return JSON text; dataclasses, enums and tuples are taken as data, NaN becomes null.

    What orjson refuses (integers beyond 64 bits, lone surrogates) is written by the standard
    library and marked by a leading space, so that it is read back by the library that understands
    it.
    """
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        return _SLOW + json.dumps(to_data(value), separators=(",", ":"))


def load_json(text: str) -> Any:
    """Return what dump_json wrote."""
    return json.loads(text) if text.startswith(_SLOW) else orjson.loads(text)


def same_instant(value: Any) -> Any:
    """Leave an instant as it is: the PostgreSQL driver takes and gives datetimes."""
    return value


def same_duration(value: timedelta) -> Any:
    """Leave a duration as it is, for the same reason."""
    return value


def micros_from_instant(value: datetime | None) -> int | None:
    """Return microseconds since 1970."""
    return None if value is None else (value - EPOCH) // _MICROSECOND


def micros_from_duration(value: timedelta) -> int:
    """Return microseconds."""
    return value // _MICROSECOND


def instant_from_micros(value: int | None) -> datetime | None:
    """Return the instant of a number of microseconds since 1970."""
    return None if value is None else EPOCH + timedelta(microseconds=value)


def storable(text: str | None) -> str | None:
    """Return text as every database takes it: without NUL and lone surrogates."""
    if text is None or (text.isascii() and "\0" not in text):
        return text
    return text.replace("\0", "").encode(errors="replace").decode()
