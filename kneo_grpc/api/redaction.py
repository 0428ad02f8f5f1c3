"""Nothing secret leaves: every answer and every error passes here on its way out.

The interceptor hands over whatever a servicer answers, so that no rpc has to think of it.
"""

import asyncio
from collections.abc import AsyncIterator
from functools import cache
from typing import Any, NamedTuple

from google.api import httpbody_pb2
from google.protobuf import any_pb2, descriptor_pool, message_factory, struct_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from kneo_grpc.api.convert.fields import to_struct
from kneo_grpc.domain.errors import FieldsInvalid, KneoError
from kneo_grpc.domain.redaction import KeyKind, PieceRedactor, Redactor

LARGE_BYTES = 32 * 1024
"""Answers from here on are looked at in a thread: a look at 64 KiB takes a millisecond or two."""

_TEXT, _BYTES, _MESSAGE, _MAP = range(4)
_ANY = any_pb2.Any.DESCRIPTOR.full_name
_STRUCT = struct_pb2.Struct.DESCRIPTOR.full_name
_LIST = struct_pb2.ListValue.DESCRIPTOR.full_name
_VALUE = struct_pb2.Value.DESCRIPTOR.full_name


class _Field(NamedTuple):
    name: str
    type: int
    repeated: bool


class AnswerRedactor:
    """Serializes answers without what is secret in them."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        # Names of fields do not travel: messages with a secret one are always looked into.
        self._telling = cache(self._is_telling)

    async def answer(self, message: Message, *, ordered: bool = False) -> bytes:
        """Return a message's bytes. The message itself is left as it is.

        ordered: the keys of its objects stand in one order.
        """
        raw = message.SerializeToString(deterministic=ordered)
        if len(raw) < LARGE_BYTES:
            return self._clean(message, raw, ordered)
        return await asyncio.to_thread(self._clean, message, raw, ordered)

    def message(self, message: Message) -> Message:
        """Return a message without what is secret in it; the same one where there is nothing."""
        if not self._needs_look(message, message.SerializeToString()):
            return message
        copy = type(message)()
        copy.CopyFrom(message)
        self._walk(copy)
        return copy

    def text(self, value: str) -> str:
        """Return a text without what is secret in it."""
        return self._redactor.text(value)

    def error(self, error: KneoError) -> KneoError:
        """Return an error of the same class whose message and details hold no secret."""
        clean: KneoError = error.__class__.__new__(error.__class__)
        KneoError.__init__(
            clean,
            self._redactor.text(error.message),
            **self._redactor.data(dict(error.details)),
        )
        if isinstance(error, FieldsInvalid) and isinstance(clean, FieldsInvalid):
            text = self._redactor.text
            clean.faults = tuple((text(field), text(told)) for field, told in error.faults)
        return clean

    async def stream(self, messages: AsyncIterator[Message]) -> AsyncIterator[bytes]:
        """Yield the messages' bytes. Bodies are pieces of one text: they may leave later and cut
        elsewhere. Every other message is looked at by itself.
        """
        body: _Body | None = None
        async for message in messages:
            if isinstance(message, httpbody_pb2.HttpBody):
                body = body or _Body(self._redactor, message.content_type)
                for piece in body.feed(message.data):
                    yield piece
            else:
                yield await self.answer(message)
        for piece in body.end() if body else ():
            yield piece

    def _clean(self, message: Message, raw: bytes, ordered: bool) -> bytes:
        if not self._needs_look(message, raw):
            return raw
        copy = type(message)()
        copy.CopyFrom(message)
        self._walk(copy)
        return copy.SerializeToString(deterministic=ordered)

    def _needs_look(self, message: Message, raw: bytes) -> bool:
        return self._telling(message.DESCRIPTOR) or self._redactor.suspicious(raw)

    def _is_telling(self, descriptor: Descriptor) -> bool:
        """Tell whether a message, or one inside it, has a field with a secret name."""
        seen, waiting = set(), [descriptor]
        while waiting:
            kind = waiting.pop()
            if kind.full_name in seen:
                continue
            seen.add(kind.full_name)
            for field in kind.fields:
                if field.message_type is not None and not _is_text_map(field):
                    waiting.append(field.message_type)
                elif self._redactor.kind(field.name) is KeyKind.SECRET:
                    return True
        return False

    def _walk(self, message: Message) -> None:
        kind = message.DESCRIPTOR.full_name
        if kind in (_STRUCT, _LIST, _VALUE):
            self._data(message, KeyKind.PLAIN)
        elif kind == _ANY:
            self._any(message)
        else:
            for field in _fields(message.DESCRIPTOR):
                self._field(message, field)

    def _field(self, message: Message, field: _Field) -> None:
        name = field.name
        kind = self._redactor.kind(name)
        if field.type == _MAP:
            self._map(getattr(message, name), kind)
        elif field.type == _MESSAGE:
            if field.repeated:
                for item in getattr(message, name):
                    # A page's token looks like a secret; its items need not be opened for that.
                    if kind is not KeyKind.PLAIN or self._needs_look(
                        item, item.SerializeToString()
                    ):
                        self._inner(item, kind)
            elif message.HasField(name):
                self._inner(getattr(message, name), kind)
        elif field.type == _BYTES:
            if not field.repeated:
                setattr(message, name, self._redactor.raw(getattr(message, name)))
        elif field.repeated:
            items = getattr(message, name)
            clean = [self._redactor.text(item, kind) for item in items]
            if clean != list(items):
                items[:] = clean
        else:
            value = getattr(message, name)
            clean_text = self._redactor.text(value, kind)
            if clean_text is not value:
                setattr(message, name, clean_text)

    def _inner(self, message: Message, kind: KeyKind) -> None:
        if message.DESCRIPTOR.full_name in (_STRUCT, _LIST, _VALUE):
            self._data(message, kind)
        else:
            self._walk(message)

    def _data(self, message: Any, kind: KeyKind) -> None:
        if kind is not KeyKind.SECRET and not self._redactor.suspicious(
            message.SerializeToString()
        ):
            return
        data = _read(message)
        clean = self._redactor.data(data, kind)
        if clean is data:
            return
        if message.DESCRIPTOR.full_name == _STRUCT and not isinstance(clean, dict):
            clean = {"redacted": clean}
        wrapped = to_struct({"value": clean}).fields["value"]
        kinds = {_STRUCT: wrapped.struct_value, _LIST: wrapped.list_value, _VALUE: wrapped}
        message.CopyFrom(kinds[message.DESCRIPTOR.full_name])

    def _map(self, field: Any, kind: KeyKind) -> None:
        for key in list(field):
            value = field[key]
            name = key if isinstance(key, str) else ""
            own = self._redactor.kind(name) if kind is KeyKind.PLAIN else kind
            if isinstance(value, Message):
                self._inner(value, own)
            elif isinstance(value, str):
                field[key] = self._redactor.text(value, own)
            clean = self._redactor.text(name)
            if clean != name:
                value = field.pop(key)
                if isinstance(value, Message):
                    field[clean].CopyFrom(value)
                else:
                    field[clean] = value

    def _any(self, message: Any) -> None:
        """Look into what is packed; what nobody here knows cannot be read and goes as it is."""
        try:
            found = descriptor_pool.Default().FindMessageTypeByName(message.TypeName())
        except KeyError:
            return
        inner = message_factory.GetMessageClass(found)()
        if message.Unpack(inner):
            self._walk(inner)
            message.Pack(inner, message.type_url.rpartition("/")[0] + "/")


class _Body:
    """One streamed body. Lines of JSON and events are whole texts, so they leave at once."""

    def __init__(self, redactor: Redactor, content_type: str) -> None:
        by_line = "json" in content_type or "event-stream" in content_type
        self._pieces = PieceRedactor(redactor, by_line=by_line)
        self._content_type = content_type

    def feed(self, data: bytes) -> list[bytes]:
        return self._sent(self._pieces.feed(data))

    def end(self) -> list[bytes]:
        return self._sent(self._pieces.end())

    def _sent(self, data: bytes) -> list[bytes]:
        if not data:
            return []
        body = httpbody_pb2.HttpBody(content_type=self._content_type, data=data)
        return [body.SerializeToString()]


def _is_text_map(field: FieldDescriptor) -> bool:
    kind = field.message_type
    return kind is not None and _is_map(field) and kind.fields_by_name["value"].message_type is None


def _is_map(field: FieldDescriptor) -> bool:
    kind = field.message_type
    return kind is not None and bool(kind.GetOptions().map_entry)


def _read(message: Any) -> Any:
    """Return a Struct, ListValue or Value as data, five times as fast as MessageToDict."""
    name = message.DESCRIPTOR.full_name
    if name == _STRUCT:
        return {key: _read_value(item) for key, item in message.fields.items()}
    if name == _LIST:
        return [_read_value(item) for item in message.values]
    return _read_value(message)


def _read_value(value: Any) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return {key: _read_value(item) for key, item in value.struct_value.fields.items()}
    if kind == "list_value":
        return [_read_value(item) for item in value.list_value.values]
    return None if kind in (None, "null_value") else getattr(value, kind)


@cache
def _fields(descriptor: Descriptor) -> tuple[_Field, ...]:
    """Return a message's fields that can hold text."""
    found = []
    for field in descriptor.fields:
        if _is_map(field):
            found.append(_Field(field.name, _MAP, repeated=True))
        elif field.type == FieldDescriptor.TYPE_MESSAGE:
            found.append(_Field(field.name, _MESSAGE, repeated=field.is_repeated))
        elif field.type == FieldDescriptor.TYPE_STRING:
            found.append(_Field(field.name, _TEXT, repeated=field.is_repeated))
        elif field.type == FieldDescriptor.TYPE_BYTES:
            found.append(_Field(field.name, _BYTES, repeated=field.is_repeated))
    return tuple(found)
