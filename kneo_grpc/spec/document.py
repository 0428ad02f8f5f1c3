"""A spec as plain data that remembers where each part stands in its source text."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

Path = tuple[str | int, ...]
"""Way from the root to a value: object keys and list indexes."""


class Mark(NamedTuple):
    """Where a value stands, 1-based; line 0 when that is unknown. A value of an object has the
    position of its key.

    children: marks by key or by index, None for scalars; a child that is None came from another
    source, so its position is unknown. source: the file, when it is another than the document's
    own; it holds for all below that name none.
    """

    line: int
    column: int
    children: "dict[str, Mark | None] | list[Mark | None] | None" = None
    source: str | None = None


class Place(NamedTuple):
    """A position in a source. file: None for the document's own."""

    line: int
    column: int
    file: str | None = None


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
        place = self.place(path)
        return None if place is None else (place.line, place.column)

    def place(self, path: Path) -> Place | None:
        """Return where the path or its nearest recorded ancestor stands; None: unknown."""
        mark = self.mark
        if mark is None:
            return None
        source = mark.source
        for key in path:
            children: Any = mark.children
            known = range(len(children)) if isinstance(children, list) else children or ()
            if key not in known:
                break
            child: Mark | None = children[key]
            if child is None:
                return None
            mark, source = child, child.source or source
        return Place(mark.line, mark.column, source) if mark.line else None


def format_path(path: Path) -> str | None:
    """Return a path as people write it, such as `workflow.steps[0].ref`; None for the root."""
    text = ""
    for key in path:
        text += f"[{key}]" if isinstance(key, int) else f".{key}"
    return text.removeprefix(".") or None
