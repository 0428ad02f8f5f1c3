"""A spec as plain data that remembers where each part stands in its source text."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

Path = tuple[str | int, ...]
"""Way from the root to a value: object keys and list indexes."""


class Mark(NamedTuple):
    """Where a value stands, 1-based. A value of an object has the position of its key.

    children: marks by key or by index, None for scalars; a child that is None came from another
    source, so its position is unknown.
    """

    line: int
    column: int
    children: "dict[str, Mark | None] | list[Mark | None] | None" = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A loaded spec. data: JSON-ready, never changed in place.

    name: what to call the source, such as its file name; mark: None when it came as an object.
    """

    name: str
    data: Mapping[str, Any]
    mark: Mark | None = None

    def position(self, path: Path) -> tuple[int, int] | None:
        """Return (line, column) of the path or its nearest recorded ancestor; None: unknown."""
        mark = self.mark
        if mark is None:
            return None
        for key in path:
            children: Any = mark.children
            known = range(len(children)) if isinstance(children, list) else children or ()
            if key not in known:
                break
            child: Mark | None = children[key]
            if child is None:
                return None
            mark = child
        return mark.line, mark.column


def format_path(path: Path) -> str | None:
    """Return a path as people write it, such as `workflow.steps[0].ref`; None for the root."""
    text = ""
    for key in path:
        text += f"[{key}]" if isinstance(key, int) else f".{key}"
    return text.removeprefix(".") or None
