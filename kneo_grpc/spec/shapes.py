"""What all shapes of the spec language are made of."""

import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
)
from pydantic_core import PydanticCustomError

TIMEOUT_MAX = 10 * 366 * 24 * 3600
"""Ten years, in seconds."""

# Names become parts of step paths (`a#1/b#2`), so `/` and `#` are not for them.
Name = Annotated[
    str,
    StringConstraints(
        min_length=1,
        max_length=128,
        pattern=r"^[^\s/#\x00-\x1f\x7f](?:[^/#\x00-\x1f\x7f]*[^\s/#\x00-\x1f\x7f])?$",
    ),
]
Ref = Annotated[str, StringConstraints(min_length=1, max_length=128)]
Implementation = Annotated[str, StringConstraints(min_length=1, max_length=512)]
Seconds = Annotated[int, Field(gt=0, le=TIMEOUT_MAX)]
Mode = Literal["bridge", "native", "adapter"]


def _inside(path: str) -> str:
    if path.startswith("~") or ".." in re.split(r"[/\\]", path):
        raise PydanticCustomError("path_outside", "must not start with `~` or hold `..`")
    return path


_OUTSIDE = r"^~|(^|[/\\])\.\.([/\\]|$)"
InsidePath = Annotated[
    str,
    StringConstraints(min_length=1),
    AfterValidator(_inside),
    Field(json_schema_extra={"not": {"type": "string", "pattern": _OUTSIDE}}),
]


class Shape(BaseModel):
    """Base of all shapes: frozen, no unknown fields, no conversion between types.

    The text under a field is its description in the JSON Schema and in the reference.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class CallRef(Shape):
    """A function or agent of the components that does a piece of work."""

    ref: Ref
    """Name under `components.functions`, else under `components.agents`."""


def _call(value: Any) -> Any:
    return {"ref": value} if isinstance(value, str) else value


Call = Annotated[
    CallRef | None, BeforeValidator(_call, json_schema_input_type=CallRef | Ref | None)
]
