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
_TAG_DIRECTIVES_MAX = 16
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
        reader = _Reader(source, limits)
        data, mark = reader.document()
    except _Refused as fault:
        raise refusal(
            fault.code, fault.message, path=reader.path(), position=fault.position
        ) from None
    except yaml.MarkedYAMLError as error:
        raise _yaml_refusal(error, source, reader.path()) from None
    except yaml.reader.ReaderError as error:
        at = _position(source, error.position)
        raise refusal("E_ENCODING", "the text holds a control character", position=at) from None
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
    except UnicodeEncodeError as error:
        at = _position(text[: error.start].encode(), None)  # type: ignore[union-attr] # it is text
        problem = "the text holds half of a surrogate pair"
        raise refusal("E_ENCODING", problem, position=at) from None
    if len(source) > limits.bytes_max:
        problem = f"the spec is larger than {limits.bytes_max} bytes"
        raise refusal("E_LIMIT", problem, position=_position(source, limits.bytes_max))
    source = source.removeprefix(b"\xef\xbb\xbf")
    try:
        decoded = source.decode()
    except UnicodeDecodeError as error:
        at = _position(source, error.start)
        hint = "save it as UTF-8"
        problem = "the spec is not UTF-8 text"
        raise refusal("E_ENCODING", problem, position=at, suggestion=hint) from None
    if "\0" in decoded:
        problem = "the spec holds NUL bytes: it is binary or UTF-16"
        raise refusal("E_ENCODING", problem, position=_position(source, source.index(b"\0")))
    if source.count(b"%TAG") > _TAG_DIRECTIVES_MAX and decoded.lstrip()[:1] == "%":
        # The parser compares each with all before it.
        problem = f"more than {_TAG_DIRECTIVES_MAX} %TAG directives"
        raise refusal("E_LIMIT", problem, position=(1, 1))
    if decoded.lstrip()[:1] == "{" and "\\u" in decoded:
        # JSON escapes characters beyond the BMP as a surrogate pair, which YAML does not know.
        source = _SURROGATES.sub(_joined, decoded).encode()
    return source


def _position(source: bytes, offset: int | None) -> tuple[int, int]:
    """Return line and column of a byte; None: of the end. Columns count characters."""
    before = source[:offset]
    line = before[before.rfind(b"\n") + 1 :].decode(errors="ignore")
    return before.count(b"\n") + 1, len(line) + 1


def _joined(match: re.Match[str]) -> str:
    high, low = int(match[2], 16), int(match[3], 16)
    return f"{match[1]}\\U{0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00):08x}"


def _yaml_refusal(error: yaml.MarkedYAMLError, source: bytes, path: Path) -> Exception:
    mark = error.problem_mark or error.context_mark
    problem = str(error.problem or error.context or "not YAML")
    if mark is None:
        return refusal("E_YAML", problem, path=path)
    line = source.split(b"\n")[mark.line : mark.line + 1]
    indent = line[0][: len(line[0]) - len(line[0].lstrip())] if line else b""
    hint = "indent with spaces, not with tabs" if b"\t" in indent else None
    at = (mark.line + 1, mark.column + 1)
    return refusal("E_YAML", problem, path=path, position=at, suggestion=hint)


class _Refused(Exception):
    """What the reader raises; load_text makes the finding of it."""

    def __init__(self, code: str, message: str, position: tuple[int, int]) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.position = position


class _Reader:
    """Builds data and marks from the parser's events, with its limits checked on the way."""

    def __init__(self, source: bytes, limits: LoadLimits) -> None:
        self._loader = _Loader(source)
        self._next = self._loader.get_event
        self._limits = limits
        self._nodes = 0
        self._deepest = 0
        # Filled from the inside out while a fault is on its way up.
        self._trail: list[str | int] = []
        # anchor → (value, nodes, height)
        self._anchors: dict[str, tuple[Any, int, int]] = {}

    def path(self) -> Path:
        """Return where the fault is that document() ended with."""
        return tuple(reversed(self._trail))

    def document(self) -> tuple[dict[str, Any], Mark]:
        try:
            self._next()  # stream start
            start = self._next()
            if isinstance(start, yaml.StreamEndEvent):
                raise _Refused("E_YAML", "the spec is empty", (1, 1))
            event = self._next()
            data, mark = self._value(event, 1)
            self._next()  # document end
            after = self._next()
            if not isinstance(after, yaml.StreamEndEvent):
                raise self._refused(
                    "E_YAML", "a spec is one document, and here starts another", after
                )
            if data is None:
                raise _Refused("E_YAML", "the spec is empty", (1, 1))
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
        try:
            while type(item := self._next()) is not yaml.SequenceEndEvent:
                value, mark = self._value(item, depth + 1)
                data.append(value)
                marks.append(mark)
        except (_Refused, yaml.YAMLError):
            self._trail.append(len(data))
            raise
        return data, Mark(*_place(event), marks)

    def _mapping(self, event: Any, depth: int) -> tuple[dict[str, Any], Mark]:
        data: dict[str, Any] = {}
        marks: dict[str, Mark | None] = {}
        merged: list[tuple[Any, Any]] = []
        key: str | None = None
        try:
            while type(item := self._next()) is not yaml.MappingEndEvent:
                key = item.value if type(item) is yaml.ScalarEvent else None
                name = self._checked_key(key, item, marks)
                value, mark = self._value(self._next(), depth + 1)
                if name == "<<" and item.implicit[0]:
                    merged.append((item, value))
                else:
                    data[name] = value
                    marks[name] = Mark(*_place(item), mark.children)
                key = None
            for item, value in merged:
                self._merge_key(item, value, data, marks)
        except (_Refused, yaml.YAMLError):
            if key is not None:
                self._trail.append(key)
            raise
        return data, Mark(*_place(event), marks)

    def _checked_key(self, key: str | None, event: Any, marks: Mapping[str, Mark | None]) -> str:
        if key is None:
            raise self._refused("E_YAML", "a key must be plain text", event)
        self._nodes += 1
        if key in marks:
            first = marks[key]
            at = f"; first on line {first.line}" if first else ""
            raise self._refused(
                "E_DUPLICATE_KEY", f"the key {shown(key)} is there twice{at}", event
            )
        return self._text(event)

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
        return _Refused(code, message, _place(event))


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
