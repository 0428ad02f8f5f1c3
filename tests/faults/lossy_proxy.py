"""A TCP proxy before PostgreSQL that loses one commit: its request, or the reply to it."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from enum import Enum

READY_OUTSIDE_TRANSACTION = b"Z\x00\x00\x00\x05I"
"""PostgreSQL's ReadyForQuery: what was sent has been carried out, and committed."""


class Lose(Enum):
    REQUEST = "the commit does not reach the database"
    REPLY = "the commit is carried out, its reply does not reach the service"
    REST = "after this nothing passes, and neither side is told: the service's machine is gone"


@dataclass
class LossyProxy:
    """Passes everything on until armed; then it drops one connection, and passes on again."""

    target: int
    port: int = 0
    tripped: asyncio.Event = field(default_factory=asyncio.Event)
    _marker: bytes = b""
    _lose: Lose | None = None
    _ways: set[asyncio.Task[None]] = field(default_factory=set)
    _served: set[asyncio.Task[None]] = field(default_factory=set)
    _ended: bool = False

    def arm(self, marker: str, lose: Lose) -> None:
        """Lose the next commit whose values have the marker in them."""
        self.tripped.clear()
        self._marker, self._lose = marker.encode(), lose

    def url(self, url: str) -> str:
        """A database's address by way of the proxy."""
        return re.sub(r"(@[^:/]+):\d+", rf"\1:{self.port}", url)

    async def serve(
        self, client_in: asyncio.StreamReader, client_out: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._served.add(task)
        task.add_done_callback(self._served.discard)
        try:
            server_in, server_out = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            client_out.transport.abort()
            return
        if self._ended:
            for out in (client_out, server_out):
                out.transport.abort()
            return
        await self._pass_on(client_in, client_out, server_in, server_out)

    async def _pass_on(
        self,
        client_in: asyncio.StreamReader,
        client_out: asyncio.StreamWriter,
        server_in: asyncio.StreamReader,
        server_out: asyncio.StreamWriter,
    ) -> None:
        awaits_reply = asyncio.Event()

        async def requests() -> None:
            while chunk := await client_in.read(1 << 20):
                if self._lose is not None and self._marker in chunk:
                    if self._lose is Lose.REQUEST:
                        self._trip()
                        return
                    awaits_reply.set()
                    if self._lose is Lose.REST:
                        self._trip()
                        await asyncio.Event().wait()
                server_out.write(chunk)
                await server_out.drain()

        async def replies() -> None:
            end = b""
            while chunk := await server_in.read(1 << 20):
                end = (end + chunk)[-len(READY_OUTSIDE_TRANSACTION) :]
                lose = self._lose is Lose.REPLY and awaits_reply.is_set()
                if lose and end == READY_OUTSIDE_TRANSACTION:
                    self._trip()
                    return
                client_out.write(chunk)
                await client_out.drain()

        ways = [asyncio.create_task(requests()), asyncio.create_task(replies())]
        self._ways.update(ways)
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            self._ways.difference_update(ways)
            for out in (client_out, server_out):
                # Without a good-bye, as a broken network does it.
                out.transport.abort()

    async def end(self) -> None:
        """Drop every connection, those too that are being made."""
        self._ended = True
        for way in self._ways:
            way.cancel()
        # What was accepted just now has its task a few turns of the loop later.
        for _ in range(5):
            await asyncio.sleep(0)
        await asyncio.gather(*self._served, return_exceptions=True)
        # Transports that were aborted close their sockets in the next turn.
        await asyncio.sleep(0)

    def _trip(self) -> None:
        self._lose = None
        self.tripped.set()


@contextlib.asynccontextmanager
async def lossy_proxy(target: int) -> AsyncIterator[LossyProxy]:
    proxy = LossyProxy(target)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        await proxy.end()
