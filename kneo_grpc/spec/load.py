"""Reads a spec: YAML (and JSON, which is a part of it) from text, or data from a request.

Whatever comes in, the only exception that leaves is SpecInvalid with one diagnostic: E_ENCODING,
E_YAML, E_DUPLICATE_KEY, E_TAG, E_LIMIT, E_NUMBER, E_TEXT or E_TYPE.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from kneo_grpc.spec.document import Document, Mark, Path
from kneo_grpc.spec.findings import refusal, shown
from kneo_grpc.spec.scalars import ScalarRefused, canonical_number, checked_text, plain

_Loader: Any
try:
    from yaml import CSafeLoader as _Loader
except ImportError:  # PyYAML built without libyaml reads the same, slower
    from yaml import SafeLoader as _Loader

_STANDARD = "tag:yaml.org,2002:"
_SURROGATES = re.compile(
    r"(?<!\\)((?:\\\\)*)\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadLimits:
    """How large a spec may be. nodes_max counts values with every alias expanded; an object of
    n fields has 2n + 1.
    """

    bytes_max: int = 256 * 1024
    depth_max: int = 64
    nodes_max: int = 50_000


DEFAULT_LIMITS = LoadLimits()


def load_text(
    text: bytes | str, *, name: str = "<spec>", limits: LoadLimits = DEFAULT_LIMITS
) -> Document:
    """Read one YAML or JSON document in UTF-8 whose root is an object.

    Keys are text as written; unquoted dates stay text; yes, no, on and off are booleans.
    """
    source = _utf8(text, limits)
    try:
        data, mark = _Reader(source, limits).document()
    except yaml.MarkedYAMLError as error:
        raise _yaml_refusal(error, source) from None
    except yaml.reader.ReaderError as error:
        before = source[: error.position]
        line = before.count(b"\n") + 1
        column = len(before) - before.rfind(b"\n")
        raise refusal(
            "E_ENCODING", "the text holds a control character", position=(line, column)
        ) from None
    return Document(name=name, data=data, mark=mark)


def load_object(
    data: Mapping[str, Any], *, name: str = "<spec>", limits: LoadLimits = DEFAULT_LIMITS
) -> Document:
    """Take a spec that came as data: objects, lists, text, numbers, booleans and None.

    bytes_max counts the characters of all keys and texts.
    """
    if not isinstance(data, Mapping):
        raise refusal("E_TYPE", "a spec is an object")
    return Document(name=name, data=_Copy(limits).value(data, ()))


def _utf8(text: bytes | str, limits: LoadLimits) -> bytes:
    try:
        source = text.encode() if isinstance(text, str) else bytes(text)
    except UnicodeEncodeError:
        raise refusal("E_ENCODING", "the text holds half of a surrogate pair") from None
    if len(source) > limits.bytes_max:
        raise refusal("E_LIMIT", f"the spec is larger than {limits.bytes_max} bytes")
    source = source.removeprefix(b"\xef\xbb\xbf")
    try:
        decoded = source.decode()
    except UnicodeDecodeError:
        raise refusal("E_ENCODING", "the spec is not UTF-8 text") from None
    if "\0" in decoded:
        raise refusal("E_ENCODING", "the spec holds NUL bytes: it is binary or UTF-16")
    if decoded.lstrip()[:1] == "{" and "\\u" in decoded:
        # JSON escapes characters beyond the BMP as a surrogate pair, which YAML does not know.
        source = _SURROGATES.sub(_joined, decoded).encode()
    return source


def _joined(match: re.Match[str]) -> str:
    high, low = int(match[2], 16), int(match[3], 16)
    return f"{match[1]}\\U{0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00):08x}"


def _yaml_refusal(error: yaml.MarkedYAMLError, source: bytes) -> Exception:
    mark = error.problem_mark or error.context_mark
    problem = str(error.problem or error.context or "not YAML")
    if mark is None:
        return refusal("E_YAML", problem)
    line = source.split(b"\n")[mark.line : mark.line + 1]
    indent = line[0][: len(line[0]) - len(line[0].lstrip())] if line else b""
    hint = "indent with spaces, not with tabs" if b"\t" in indent else None
    return refusal("E_YAML", problem, position=(mark.line + 1, mark.column + 1), suggestion=hint)


class _Reader:
    """Builds data and marks from the parser's events, with its limits checked on the way."""

    def __init__(self, source: bytes, limits: LoadLimits) -> None:
        self._loader = _Loader(source)
        self._next = self._loader.get_event
        self._limits = limits
        self._nodes = 0
        self._deepest = 0
        # anchor → (value, nodes, height)
        self._anchors: dict[str, tuple[Any, int, int]] = {}

    def document(self) -> tuple[dict[str, Any], Mark]:
        try:
            self._next()  # stream start
            start = self._next()
            if isinstance(start, yaml.StreamEndEvent):
                raise refusal("E_YAML", "the spec is empty", position=(1, 1))
            event = self._next()
            data, mark = self._value(event, 1)
            self._next()  # document end
            after = self._next()
            if not isinstance(after, yaml.StreamEndEvent):
                raise self._refused(
                    "E_YAML", "a spec is one document, and here starts another", after
                )
            if data is None:
                raise refusal("E_YAML", "the spec is empty", position=(1, 1))
            if not isinstance(data, dict):
                raise self._refused("E_TYPE", "a spec is an object", event)
            return data, mark
        finally:
            self._loader.dispose()

    def _value(self, event: Any, depth: int) -> tuple[Any, Mark]:
        self._nodes += 1
        if self._nodes > self._limits.nodes_max:
            raise self._refused("E_LIMIT", f"more than {self._limits.nodes_max} values", event)
        kind = type(event)
        if kind is yaml.AliasEvent:
            return self._alias(event, depth)
        if event.anchor is None:
            return self._unaliased(event, kind, depth)
        nodes, deepest = self._nodes, self._deepest
        self._deepest = depth - 1
        result = self._unaliased(event, kind, depth)
        height = self._deepest - depth + 1
        self._anchors[event.anchor] = (result[0], self._nodes - nodes, height)
        self._deepest = max(deepest, self._deepest)
        return result

    def _unaliased(self, event: Any, kind: type, depth: int) -> tuple[Any, Mark]:
        if kind is yaml.ScalarEvent:
            return self._scalar(event), Mark(*_place(event))
        if depth > self._limits.depth_max:
            raise self._refused("E_LIMIT", f"nested deeper than {self._limits.depth_max}", event)
        self._deepest = max(self._deepest, depth)
        if kind is yaml.MappingStartEvent:
            self._check_tag(event, "map")
            return self._mapping(event, depth)
        self._check_tag(event, "seq")
        return self._sequence(event, depth)

    def _scalar(self, event: Any) -> Any:
        text: str = event.value
        if event.tag is not None and event.tag != "!":
            self._check_tag(event, "str")
            return self._text(event)
        if event.implicit[0] and event.tag is None:
            try:
                return plain(text)
            except ScalarRefused as fault:
                raise self._refused(fault.code, fault.message, event) from None
        return self._text(event)

    def _text(self, event: Any) -> str:
        try:
            return checked_text(event.value)
        except ScalarRefused as fault:
            raise self._refused(fault.code, fault.message, event) from None

    def _sequence(self, event: Any, depth: int) -> tuple[list[Any], Mark]:
        data: list[Any] = []
        marks: list[Mark | None] = []
        while type(item := self._next()) is not yaml.SequenceEndEvent:
            value, mark = self._value(item, depth + 1)
            data.append(value)
            marks.append(mark)
        return data, Mark(*_place(event), marks)

    def _mapping(self, event: Any, depth: int) -> tuple[dict[str, Any], Mark]:
        data: dict[str, Any] = {}
        marks: dict[str, Mark | None] = {}
        merged: list[tuple[Any, Any]] = []
        while type(item := self._next()) is not yaml.MappingEndEvent:
            if type(item) is not yaml.ScalarEvent:
                raise self._refused("E_YAML", "a key must be plain text", item)
            self._nodes += 1
            key: str = item.value
            if key == "<<" and item.implicit[0]:
                merged.append((item, self._value(self._next(), depth + 1)[0]))
                continue
            if key in data:
                first = marks[key]
                at = f"; first on line {first.line}" if first else ""
                raise self._refused(
                    "E_DUPLICATE_KEY", f"the key {shown(key)} is there twice{at}", item
                )
            self._text(item)
            value, mark = self._value(self._next(), depth + 1)
            data[key] = value
            marks[key] = Mark(*_place(item), mark.children)
        for item, value in merged:
            self._merge_key(item, value, data, marks)
        return data, Mark(*_place(event), marks)

    def _merge_key(
        self, event: Any, value: Any, data: dict[str, Any], marks: dict[str, Mark | None]
    ) -> None:
        """Add the fields of `<<: *base`; fields written out, and earlier bases, win."""
        mark = Mark(*_place(event))
        for base in value if isinstance(value, list) else [value]:
            if not isinstance(base, dict):
                raise self._refused("E_YAML", "`<<` takes an object or a list of objects", event)
            for key, item in base.items():
                if key not in data:
                    data[key] = item
                    marks[key] = mark

    def _alias(self, event: Any, depth: int) -> tuple[Any, Mark]:
        known = self._anchors.get(event.anchor)
        if known is None:
            raise self._refused("E_YAML", "the alias has no anchor before it, or is in it", event)
        value, nodes, height = known
        self._nodes += nodes
        if self._nodes > self._limits.nodes_max:
            text = f"aliases expand to more than {self._limits.nodes_max} values"
            raise self._refused("E_LIMIT", text, event)
        if depth + height - 1 > self._limits.depth_max:
            raise self._refused("E_LIMIT", f"nested deeper than {self._limits.depth_max}", event)
        self._deepest = max(self._deepest, depth + height - 1)
        return value, Mark(*_place(event))

    def _check_tag(self, event: Any, allowed: str) -> None:
        if event.tag in (None, "!", _STANDARD + allowed):
            return
        raise self._refused("E_TAG", f"the tag {shown(event.tag)} is not allowed here", event)

    def _refused(self, code: str, message: str, event: Any) -> Exception:
        return refusal(code, message, position=_place(event))


def _place(event: Any) -> tuple[int, int]:
    return event.start_mark.line + 1, event.start_mark.column + 1


class _Copy:
    """Copies foreign data to plain dicts and lists, with its limits checked on the way."""

    def __init__(self, limits: LoadLimits) -> None:
        self._limits = limits
        self._nodes = 0
        self._characters = 0

    def value(self, value: Any, path: Path) -> Any:
        self._nodes += 1
        if self._nodes > self._limits.nodes_max:
            raise refusal("E_LIMIT", f"more than {self._limits.nodes_max} values", path=path)
        if value is None or isinstance(value, bool):
            return value
        try:
            if isinstance(value, str):
                return self._text(value, path)
            if isinstance(value, (int, float)):
                return canonical_number(value)
        except ScalarRefused as fault:
            raise refusal(fault.code, fault.message, path=path) from None
        if not isinstance(value, (Mapping, list, tuple)):
            raise refusal("E_TYPE", f"a {type(value).__name__} has no place in a spec", path=path)
        if len(path) >= self._limits.depth_max:
            raise refusal("E_LIMIT", f"nested deeper than {self._limits.depth_max}", path=path)
        if isinstance(value, Mapping):
            return {
                self._key(key, path): self.value(item, (*path, str(key)))
                for key, item in value.items()
            }
        return [self.value(item, (*path, index)) for index, item in enumerate(value)]

    def _key(self, key: object, path: Path) -> str:
        self._nodes += 1
        if not isinstance(key, str):
            raise refusal("E_TYPE", "a key must be text", path=path)
        try:
            return self._text(key, path)
        except ScalarRefused as fault:
            raise refusal(fault.code, fault.message, path=path) from None

    def _text(self, text: str, path: Path) -> str:
        self._characters += len(text)
        if self._characters > self._limits.bytes_max:
            message = f"the spec holds more than {self._limits.bytes_max} characters"
            raise refusal("E_LIMIT", message, path=path)
        # str subclasses would come back from pydantic as they are.
        return checked_text(str(text))
