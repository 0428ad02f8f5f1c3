"""Lays overlays and overrides over a spec."""

from collections.abc import Mapping
from typing import Any

from kneo_grpc.spec.document import Document, Mark
from kneo_grpc.spec.migrate import migrate

DELETE = "__delete__"


def merge(base: Document, *overlays: Document | Mapping[str, Any]) -> Document:
    """Return base with the overlays laid over it, in order; base is migrated to v1 first.

    Objects merge; lists and scalars are replaced; null or `{__delete__: true}` deletes the key.
    What an overlay gave has no position any more. Overlays are documents, or data that load_object
    has checked.
    """
    if not overlays:
        return base
    document = migrate(base)
    data, mark = dict(document.data), document.mark
    for overlay in overlays:
        over = overlay.data if isinstance(overlay, Document) else overlay
        data, mark = _merged(data, mark, over)
    return Document(name=base.name, data=data, mark=mark)


def _merged(
    base: Mapping[str, Any], mark: Mark | None, over: Mapping[str, Any]
) -> tuple[dict[str, Any], Mark | None]:
    data = dict(base)
    known = mark.children if mark is not None else None
    # Without a mark there is nothing to look up, and the marks are thrown away below.
    marks: dict[str, Mark | None] = dict(known) if isinstance(known, dict) else {}
    for key, value in over.items():
        if value is None or (isinstance(value, Mapping) and value.get(DELETE) is True):
            data.pop(key, None)
            marks.pop(key, None)
        elif isinstance(value, Mapping):
            inner = data.get(key)
            if isinstance(inner, Mapping):
                data[key], marks[key] = _merged(inner, marks.get(key), value)
            else:
                data[key], marks[key] = _merged({}, None, value)
        else:
            data[key], marks[key] = value, None
    return data, mark._replace(children=marks) if mark is not None else None
