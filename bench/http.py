"""HTTP/1.1 with kept connections, just fast enough that the client is not what is measured."""

import asyncio
from types import TracebackType
from typing import Self, cast


class HttpClient:
    """Keeps connections and opens another one whenever all are in use."""

    def __init__(self, host: str, port: int, token: str, timeout: float) -> None:
        self._host, self._port = host, port
        self._timeout = timeout
        self._idle: list[_Connection] = []
        self._head = (
            f"host: {host}:{port}\r\nauthorization: Bearer {token}\r\n"
            "content-type: application/json\r\n"
        )

    async def __aenter__(self) -> Self:
        """Open nothing yet."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connections."""
        for connection in self._idle:
            connection.close()

    async def ask(self, method: str, path: str, body: bytes = b"") -> bytes:
        """Send a request, return the body of a 2xx answer. Raises OSError for any other."""
        head = f"{method} {path} HTTP/1.1\r\n{self._head}content-length: {len(body)}\r\n\r\n"
        connection = self._idle.pop() if self._idle else await self._connect()
        try:
            async with asyncio.timeout(self._timeout):
                status, answer = await connection.exchange(head.encode() + body)
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)
        if not 200 <= status < 300:
            raise OSError(f"HTTP {status}: {answer[:300]!r}")
        return answer

    async def _connect(self) -> "_Connection":
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(_Connection, self._host, self._port)
        return connection


class _Connection(asyncio.Protocol):
    """One exchange at a time; answers carry a content-length."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._waiter: asyncio.Future[tuple[int, bytes]] | None = None

    async def exchange(self, request: bytes) -> tuple[int, bytes]:
        assert self._transport is not None
        if self._transport.is_closing():
            raise ConnectionError("the server closed the connection")
        self._waiter = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._waiter

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are of no class of asyncio's.
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(exc or ConnectionError("the server closed the connection"))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        _, _, after = head.lower().partition(b"content-length:")
        size = int(after.partition(b"\r\n")[0])
        if len(rest) < size or self._waiter is None:
            return
        self._buffer = rest[size:]
        if not self._waiter.done():
            self._waiter.set_result((int(head[9:12]), rest[:size]))
