"""Plans as bytes: canonical JSON and its digest."""

import dataclasses
import enum
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from kneo_grpc.domain.data import from_data
from kneo_grpc.domain.ids import PlanDigest
from kneo_grpc.domain.plan import PLAN_FORMAT, Plan

_PLAIN = frozenset({str, int, float, bool, type(None)})


def encode_plan(plan: Plan) -> tuple[PlanDigest, bytes]:
    """Return the plan's digest (64 hex digits) and its canonical JSON in UTF-8."""
    text = json.dumps(
        _lean(plan), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    content = text.encode()
    return PlanDigest(hashlib.sha256(content).hexdigest()), content


def decode_plan(content: bytes) -> Plan:
    """Read what encode_plan wrote, of this format or of the one before. Raises ValueError on any
    other.
    """
    data = json.loads(content)
    if data.get("format") != PLAN_FORMAT:
        found = data.get("format")
        raise ValueError(f"plan format {found} is unknown; this release reads {PLAN_FORMAT}")
    return from_data(Plan, data)


def _lean(value: Any) -> Any:
    """Return the plan's data without the later fields that have their defaults."""
    kind: type = type(value)
    if kind in _PLAIN:
        return value
    kept = _kept(kind)
    if kept is not None:
        data = {}
        for name, later, default in kept:
            item = getattr(value, name)
            if not later or item != default:
                data[name] = item if type(item) in _PLAIN else _lean(item)
        return data
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Mapping):
        return {key: _lean(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_lean(item) for item in value]
    return value


@cache
def _kept(kind: type) -> tuple[tuple[str, bool, Any], ...] | None:
    """Return (name, whether it may be left out, default) of a plan class's fields; else None."""
    if not dataclasses.is_dataclass(kind):
        return None
    rows = []
    for part in dataclasses.fields(kind):
        made = part.default_factory
        default = part.default if made is dataclasses.MISSING else made()
        rows.append((part.name, "later" in part.metadata, default))
    return tuple(rows)
