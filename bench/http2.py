"""gRPC's unary calls over HTTP/2, just fast enough that the client is not what is measured.

It sends what RFC 9113 and gRPC's protocol over HTTP/2 ask for and reads answers of good servers:
their headers are not decoded, so all that is known of a failed call is that it brought no message.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self, cast

RETRY_SECONDS = 0.05

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
_ACK, _END_STREAM, _END_HEADERS = 0x1, 0x1, 0x4
_FRAME_HEAD, _MESSAGE_HEAD = 9, 5
_WINDOW_FIRST, _WINDOW_MAX = 65_535, 2**31 - 1
_INITIAL_WINDOW_SIZE = 4
# Names of HPACK's static table, as literals that no table is to learn.
_METHOD_POST, _SCHEME_HTTP = b"\x83", b"\x86"
_AUTHORITY, _PATH, _CONTENT_TYPE, _OTHER = b"\x01", b"\x04", b"\x0f\x10", b"\x00"


class UnaryClient:
    """One connection for all callers."""

    def __init__(self, host: str, port: int, metadata: Mapping[str, str], timeout: float) -> None:
        self._host, self._port = host, port
        self._timeout = timeout
        self._headers = b"".join(
            (
                _AUTHORITY + _text(f"{host}:{port}"),
                _CONTENT_TYPE + _text("application/grpc"),
                _OTHER + _text("te") + _text("trailers"),
                *(_OTHER + _text(name) + _text(value) for name, value in metadata.items()),
            )
        )
        self._connection: _Connection | None = None

    async def __aenter__(self) -> Self:
        """Connect. A door that is not open yet is waited for, as gRPC's own clients do."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(self._timeout):
            while True:
                with contextlib.suppress(ConnectionRefusedError):
                    _, self._connection = await loop.create_connection(
                        _Connection, self._host, self._port
                    )
                    return self
                await asyncio.sleep(RETRY_SECONDS)

    async def __aexit__(self, *_ended: object) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()

    async def ask(self, method: str, message: bytes) -> bytes:
        """Send a message, return the one that answers it. method: `/package.Service/Method`. Raises
        OSError where none comes, TimeoutError after the timeout.
        """
        assert self._connection is not None
        # What begins with a colon comes first.
        headers = _METHOD_POST + _SCHEME_HTTP + _PATH + _text(method) + self._headers
        body = b"\0" + len(message).to_bytes(4, "big") + message
        async with asyncio.timeout(self._timeout):
            return await self._connection.exchange(headers, body)


@dataclass(slots=True)
class _Stream:
    """A call under way. content: of its answer's DATA frames."""

    answer: asyncio.Future[bytes]
    content: bytes = b""


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._streams: dict[int, _Stream] = {}
        self._next = 1
        self._consumed = 0

    async def exchange(self, headers: bytes, body: bytes) -> bytes:
        assert self._transport is not None
        if self._transport.is_closing():
            raise ConnectionError("the server closed the connection")
        number, self._next = self._next, self._next + 2
        stream = _Stream(asyncio.get_running_loop().create_future())
        self._streams[number] = stream
        self._transport.write(
            _frame(_HEADERS, _END_HEADERS, number, headers)
            + _frame(_DATA, _END_STREAM, number, body)
        )
        try:
            return await stream.answer
        finally:
            self._streams.pop(number, None)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are of no class of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        window = _INITIAL_WINDOW_SIZE.to_bytes(2, "big") + _WINDOW_MAX.to_bytes(4, "big")
        more = (_WINDOW_MAX - _WINDOW_FIRST).to_bytes(4, "big")
        self._transport.write(
            _PREFACE + _frame(_SETTINGS, 0, 0, window) + _frame(_WINDOW_UPDATE, 0, 0, more)
        )

    def connection_lost(self, exc: Exception | None) -> None:
        for stream in self._streams.values():
            if not stream.answer.done():
                lost = ConnectionError("the server closed the connection")
                stream.answer.set_exception(exc or lost)

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data
        start = 0
        while len(buffer) - start >= _FRAME_HEAD:
            end = start + _FRAME_HEAD + int.from_bytes(buffer[start : start + 3], "big")
            if len(buffer) < end:
                break
            kind, flags = buffer[start + 3], buffer[start + 4]
            number = int.from_bytes(buffer[start + 5 : start + 9], "big")
            self._take(kind, flags, number, buffer[start + _FRAME_HEAD : end])
            start = end
        self._buffer = buffer[start:]

    def _take(self, kind: int, flags: int, number: int, content: bytes) -> None:
        assert self._transport is not None
        if kind == _DATA:
            self._consumed += len(content)
            if self._consumed > _WINDOW_MAX // 2:
                more, self._consumed = self._consumed.to_bytes(4, "big"), 0
                self._transport.write(_frame(_WINDOW_UPDATE, 0, 0, more))
        elif kind == _PING and not flags & _ACK:
            self._transport.write(_frame(_PING, _ACK, 0, content))
        elif kind == _SETTINGS and not flags & _ACK:
            self._transport.write(_frame(_SETTINGS, _ACK, 0, b""))
        elif kind == _GOAWAY:
            self._transport.close()
        stream = self._streams.get(number)
        if stream is None:
            return
        if kind == _DATA:
            stream.content += content
        if kind == _RST_STREAM or (kind in (_DATA, _HEADERS) and flags & _END_STREAM):
            _end(stream, content)


def _end(stream: _Stream, last: bytes) -> None:
    if stream.answer.done():
        return
    if len(stream.content) < _MESSAGE_HEAD:
        stream.answer.set_exception(OSError(f"the call failed; its last frame was {last[:300]!r}"))
    else:
        stream.answer.set_result(stream.content[_MESSAGE_HEAD:])


def _frame(kind: int, flags: int, number: int, content: bytes) -> bytes:
    head = len(content).to_bytes(3, "big") + bytes((kind, flags)) + number.to_bytes(4, "big")
    return head + content


def _text(value: str) -> bytes:
    """Return a literal of less than 127 bytes as HPACK writes it."""
    raw = value.encode()
    assert len(raw) < 127, value
    return bytes((len(raw),)) + raw
