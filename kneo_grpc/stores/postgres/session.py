"""A connection of its own for one duty, so that the duty waits for no batch and no reader."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from kneo_grpc.domain.errors import StoreUnavailable
from kneo_grpc.stores.postgres import errors
from kneo_grpc.stores.postgres.connect import Connection

T = TypeVar("T")

_TRIES = 4


class Session:
    """Runs statements one at a time on one connection, which is opened when it is needed and again
    when it is lost.
    """

    def __init__(self, connect: Callable[[], Awaitable[Connection]]) -> None:
        self._connect = connect
        self._connection: Connection | None = None
        self._turn = asyncio.Lock()
        self._stopped = True

    def start(self) -> None:
        """Allow statements."""
        self._stopped = False

    async def stop(self) -> None:
        """Close the connection; refuse further statements."""
        self._stopped = True
        connection, self._connection = self._connection, None
        if connection is not None and not connection.is_closed():
            try:
                await connection.close(timeout=1)
            except errors.DRIVER_ERRORS:
                connection.terminate()

    async def fetch(self, sql: str, *arguments: Any, repeats: bool = False) -> Sequence[Any]:
        """Run a statement in a transaction of its own; Raises StoreUnavailable.

        repeats: to run it twice does no harm, so it is tried again when its connection broke.
        """
        async with self._turn:
            tries = 0
            while True:
                tries += 1
                connection = await self._opened()
                try:
                    found: Sequence[Any] = await connection.fetch(sql, *arguments)
                    return found
                except errors.DRIVER_ERRORS as error:
                    lost = errors.connection_lost(error)
                    if lost:
                        connection.terminate()
                    unsent = errors.never_sent(error) or errors.may_retry(error)
                    broke = lost and not isinstance(error, OSError)
                    if not (unsent or (repeats and broke)) or tries == _TRIES:
                        raise errors.translate(error) from error

    async def together(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Do work in one transaction, once. Raises StoreUnavailable, and then the caller does not
        know whether it landed; and what work raises, which rolls the transaction back.
        """
        async with self._turn:
            connection = await self._opened()
            try:
                async with connection.transaction():
                    return await work(connection)
            except errors.DRIVER_ERRORS as error:
                if errors.connection_lost(error):
                    connection.terminate()
                raise errors.translate(error) from error

    async def _opened(self) -> Connection:
        if self._stopped:
            raise StoreUnavailable("The store is not started.")
        connection = self._connection
        if connection is None or connection.is_closed():
            try:
                connection = await self._connect()
            except errors.DRIVER_ERRORS as error:
                raise StoreUnavailable("PostgreSQL does not answer.") from error
            self._connection = connection
        return connection
