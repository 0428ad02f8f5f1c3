"""Lays overlays and overrides over a spec, and defaults under it."""

from collections.abc import Mapping
from typing import Any

from kneo_grpc.spec.document import Document, Mark
from kneo_grpc.spec.migrate import migrate

DELETE = "__delete__"

_UNKNOWN = Mark(0, 0)
_Marks = dict[str, Mark | None]


def merge(base: Document, *overlays: Document | Mapping[str, Any]) -> Document:
    """Return base with the overlays laid over it, in order; base is migrated to v1 first.

    Objects merge; lists and scalars are replaced; null or `{__delete__: true}` deletes the key.
    What an overlay gave keeps its position there, with the overlay's name. Overlays are documents,
    or data that load_object has checked. Those of a legacy base may have the legacy shape too.
    """
    if not overlays:
        return base
    legacy = base.data.get("version") in (None, "v0")
    document = migrate(base)
    data, mark = dict(document.data), document.mark
    for overlay in overlays:
        over = overlay if isinstance(overlay, Document) else Document(name=base.name, data=overlay)
        if legacy:
            over = in_v1_shape(over)
        data, mark = _merged(data, mark, over.data, over.mark, _source(over, base))
    return Document(name=base.name, data=data, mark=mark)


def fill(document: Document, defaults: Document) -> Document:
    """Return the document with what it does not say taken from the defaults; nothing it says, null
    included, changes. What came from the defaults keeps its position there, with their name.
    """
    data, mark = _filled(
        document.data, document.mark, defaults.data, defaults.mark, _source(defaults, document)
    )
    return Document(name=document.name, data=data, mark=mark)


def in_v1_shape(overlay: Document) -> Document:
    """Return an overlay with its legacy fields in their new places, and no version of its own."""
    migrated = migrate(overlay)
    if migrated is overlay:
        return overlay
    data = {key: value for key, value in migrated.data.items() if key != "version"}
    return Document(name=overlay.name, data=data, mark=migrated.mark)


def _source(part: Document, whole: Document) -> str | None:
    return part.name if part.name != whole.name else None


def _merged(
    base: Mapping[str, Any],
    mark: Mark | None,
    over: Mapping[str, Any],
    over_mark: Mark | None,
    source: str | None,
) -> tuple[dict[str, Any], Mark | None]:
    data, marks, given = dict(base), _children(mark), _children(over_mark)
    for key, value in over.items():
        place = _grafted(given.get(key), source)
        if value is None or (isinstance(value, Mapping) and value.get(DELETE) is True):
            data.pop(key, None)
            marks.pop(key, None)
        elif not isinstance(value, Mapping):
            data[key], marks[key] = value, place
        elif isinstance(inner := data.get(key), Mapping):
            data[key], marks[key] = _merged(inner, marks.get(key), value, place, source)
        else:
            # Nothing to merge with, but what the overlay deletes must not be left in.
            bare = place._replace(children=None) if place else None
            data[key], marks[key] = _merged({}, bare, value, place, source)
    return data, _remarked(mark, marks)


def _filled(
    base: Mapping[str, Any],
    mark: Mark | None,
    defaults: Mapping[str, Any],
    defaults_mark: Mark | None,
    source: str | None,
) -> tuple[dict[str, Any], Mark | None]:
    data, marks, given = dict(base), _children(mark), _children(defaults_mark)
    for key, value in defaults.items():
        place = _grafted(given.get(key), source)
        if key not in data:
            data[key], marks[key] = value, place
        elif isinstance(inner := data[key], Mapping) and isinstance(value, Mapping):
            data[key], marks[key] = _filled(inner, marks.get(key), value, place, source)
    return data, _remarked(mark, marks)


def _children(mark: Mark | None) -> _Marks:
    children = mark.children if mark is not None else None
    return dict(children) if isinstance(children, dict) else {}


def _grafted(mark: Mark | None, source: str | None) -> Mark | None:
    """Return a mark that says where it is from, unless it does already or is of the base itself."""
    if mark is None or mark.source is not None or source is None:
        return mark
    return mark._replace(source=source)


def _remarked(mark: Mark | None, marks: _Marks) -> Mark | None:
    if mark is None and not any(marks.values()):
        return None
    return (mark or _UNKNOWN)._replace(children=marks)
