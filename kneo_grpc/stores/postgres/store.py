"""The store on PostgreSQL."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import asyncpg

from kneo_grpc.domain.change import Change, Outcome
from kneo_grpc.domain.errors import StoreUnavailable
from kneo_grpc.domain.ids import RunId
from kneo_grpc.stores.batching import GroupCommitter, commit_all
from kneo_grpc.stores.codec import same_instant
from kneo_grpc.stores.listing import Lists
from kneo_grpc.stores.migrate import Migration, load_migrations
from kneo_grpc.stores.postgres import errors
from kneo_grpc.stores.postgres.connect import Connector, require_durability
from kneo_grpc.stores.postgres.migrations import migrate
from kneo_grpc.stores.postgres.writer import Writer
from kneo_grpc.stores.reading import Reader
from kneo_grpc.stores.rows import Row
from kneo_grpc.stores.statements import load_statements

_LANES = 2
_MIGRATION_PATIENCE = timedelta(minutes=2)


class PostgresStore(Reader):
    """Durable state in PostgreSQL: a pool that reads, two connections that commit in turns.

    A lost connection is opened again by the next call, so the store heals when its database does.
    pool_min, pool_max: the reading connections. migrations: those of the release, if not given.
    """

    name = "postgres"

    def __init__(
        self,
        dsn: str,
        *,
        pool_min: int = 2,
        pool_max: int = 8,
        statement_timeout: timedelta = timedelta(seconds=10),
        lock_timeout: timedelta = timedelta(seconds=2),
        connect_timeout: timedelta = timedelta(seconds=5),
        batch_max: int = 64,
        migrations: Sequence[Migration] | None = None,
    ) -> None:
        statements = load_statements("postgres")
        super().__init__(statements, Lists("postgres", "$", statements, same_instant), same_instant)
        self._connector = Connector(
            dsn=dsn,
            statement_timeout=statement_timeout,
            lock_timeout=lock_timeout,
            connect_timeout=connect_timeout,
        )
        self._pool_sizes = (pool_min, pool_max)
        self._pool: asyncpg.Pool | None = None
        self._migrations = load_migrations("postgres") if migrations is None else migrations
        self._writer = Writer(self._connector, statements, lanes=_LANES)
        self._batch_max = batch_max
        self._committer: GroupCommitter | None = None

    async def start(self) -> None:
        """Connect, refuse a server that may lose commits, migrate."""
        try:
            connection = await self._connector.open_migrator(_MIGRATION_PATIENCE)
            try:
                await require_durability(connection, self._statements["server_durability"])
                await migrate(connection, self._statements, self._migrations)
            finally:
                await connection.close()
            await self._writer.start()
            self._pool = await self._connector.open_pool(*self._pool_sizes)
            self._committer = GroupCommitter(
                self._writer.write, lanes=_LANES, batch_max=self._batch_max
            )
        except errors.DRIVER_ERRORS as error:
            await self.stop()
            raise errors.start_refused(error) from None

    async def stop(self) -> None:
        """Finish commits under way and disconnect."""
        if self._committer is not None:
            await self._committer.stop()
            self._committer = None
        await self._writer.stop()
        if self._pool is not None:
            # A reader that still works has no bound but its statement's; it is not waited for.
            self._pool.terminate()
            self._pool = None

    async def commit(self, changes: Sequence[Change]) -> tuple[Outcome, ...]:
        """Land Changes, each in the next batch of a committing connection."""
        if self._committer is None:
            raise StoreUnavailable("The store is not started.")
        return await commit_all(self._committer, changes)

    async def renew_leases(self, owner: str, lease_for: timedelta) -> frozenset[RunId]:
        """Extend all unexpired leases of a process."""
        return await self._writer.renew_leases(owner, lease_for)

    async def _fetch(self, sql: str, *arguments: Any) -> Sequence[Row]:
        """Run a statement on a pooled connection; where that is dead, on the next one."""
        pool = self._pool
        if pool is None:
            raise StoreUnavailable("The store is not started.")
        tries = 0
        while True:
            tries += 1
            try:
                return await self._fetch_once(pool, sql, arguments)
            except errors.DRIVER_ERRORS as error:
                # One server failure may leave every connection of the pool dead.
                again = errors.connection_lost(error) and not isinstance(error, OSError)
                if not again or tries > self._pool_sizes[1]:
                    raise errors.translate(error) from error

    async def _fetch_once(
        self, pool: asyncpg.Pool, sql: str, arguments: Sequence[Any]
    ) -> Sequence[Row]:
        timeout = self._connector.command_timeout
        async with pool.acquire(timeout=timeout) as connection:
            try:
                found: list[Row] = await connection.fetch(sql, *arguments)
            except errors.DRIVER_ERRORS as error:
                if errors.connection_lost(error):
                    connection.terminate()
                raise
            return found
