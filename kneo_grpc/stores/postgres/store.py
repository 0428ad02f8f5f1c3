"""The store on PostgreSQL."""

import asyncio
import contextlib
from collections.abc import Collection, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg

from kneo_grpc.domain.change import Act, AuditRecord, Change, Outcome, OutcomeKind
from kneo_grpc.domain.errors import InvalidInput, StoreUnavailable
from kneo_grpc.domain.ids import RunId
from kneo_grpc.stores.auditing import TrailReader
from kneo_grpc.stores.batching import GroupCommitter, commit_all
from kneo_grpc.stores.codec import same_duration, same_instant
from kneo_grpc.stores.hints import leave_work
from kneo_grpc.stores.listing import Lists
from kneo_grpc.stores.migrate import Migration, load_migrations
from kneo_grpc.stores.postgres import errors
from kneo_grpc.stores.postgres.acts import land_act
from kneo_grpc.stores.postgres.connect import Connection, Connector, require_durability
from kneo_grpc.stores.postgres.migrations import migrate
from kneo_grpc.stores.postgres.sealing import append_arrays, seal
from kneo_grpc.stores.postgres.session import Session
from kneo_grpc.stores.postgres.writer import Writer
from kneo_grpc.stores.rows import Row
from kneo_grpc.stores.statements import load_statements

_LANES = 2
_MIGRATION_PATIENCE = timedelta(minutes=2)
_CHANNEL = "kneo_work"


class PostgresStore(TrailReader):
    """Durable state in PostgreSQL: a pool that reads, two connections that commit in turns, and one
    each for heartbeats, for claims (where hints of other processes arrive), for upkeep and for the
    audit trail.

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
        super().__init__(
            statements,
            Lists("postgres", "$", statements, same_instant),
            decode_instant=same_instant,
            encode_instant=same_instant,
            encode_duration=same_duration,
        )
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
        self._heartbeats = Session(self._connector.open_committer)
        self._claims = Session(self._open_claimer)
        self._upkeep = Session(self._connector.open_keeper)
        self._trail = Session(self._connector.open_keeper)
        self._untold = False
        self._announcement: asyncio.Task[None] | None = None

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
            for session in self._sessions:
                session.start()
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
        await self._finish_appending()
        if self._announcement is not None:
            self._announcement.cancel()
        for session in self._sessions:
            await session.stop()
        await self._writer.stop()
        if self._pool is not None:
            # A reader that still works has no bound but its statement's; it is not waited for.
            self._pool.terminate()
            self._pool = None

    @property
    def _sessions(self) -> tuple[Session, ...]:
        return (self._heartbeats, self._claims, self._upkeep, self._trail)

    async def commit(self, changes: Sequence[Change]) -> tuple[Outcome, ...]:
        """Land Changes, each in the next batch of a committing connection."""
        if self._committer is None:
            raise StoreUnavailable("The store is not started.")
        outcomes = await commit_all(self._committer, changes)
        self.counts.note(changes, outcomes)
        if leave_work(changes, outcomes):
            self._tell()
        return outcomes

    async def act(self, act: Act) -> OutcomeKind:
        """Land what belongs to no run."""
        return await land_act(self._upkeep, self._statements, act)

    async def renew_leases(
        self, owner: str, lease_for: timedelta, run_ids: Collection[RunId]
    ) -> frozenset[RunId]:
        """Extend a process's leases on runs, also expired ones that nobody took."""
        found = await self._heartbeats.fetch(
            self._statements["leases_renew"], owner, lease_for, list(run_ids), repeats=True
        )
        return frozenset(row["run_id"] for row in found)

    async def backup(self, destination: Path) -> int:
        """Refuse: PostgreSQL has tools of its own for it."""
        raise InvalidInput(
            "Back up PostgreSQL with pg_dump or with a base backup; this command copies SQLite "
            "files only.",
            field="destination",
        )

    async def seal(self, holder: str, lease_for: timedelta, *, limit: int) -> int | None:
        """Seal a batch of audit records."""
        return await self._trail.together(
            lambda connection: seal(connection, self._statements, holder, lease_for, limit)
        )

    async def _append(self, records: Sequence[AuditRecord]) -> None:
        await self._trail.fetch(self._statements["audit_append"], *append_arrays(records))

    async def _keep(self, name: str, *arguments: Any) -> Sequence[Row]:
        return await self._trail.fetch(self._statements[name], *arguments)

    async def _claim(self, name: str, *arguments: Any) -> Sequence[Row]:
        return await self._claims.fetch(self._statements[name], *arguments)

    async def _prune(self, name: str, *arguments: Any) -> Sequence[Row]:
        return await self._upkeep.fetch(self._statements[name], *arguments)

    async def _open_claimer(self) -> Connection:
        connection = await self._connector.open_committer()
        await connection.add_listener(_CHANNEL, lambda *_: self._hints.give())
        return connection

    def _tell(self) -> None:
        """Tell that runs are ready: a worker of this process if one waits, else the others."""
        if self._hints.give():
            return
        self._untold = True
        if self._announcement is None or self._announcement.done():
            self._announcement = asyncio.create_task(self._announce())

    async def _announce(self) -> None:
        """Send one hint for all commits since the last one left. It may fail: workers look by
        themselves.
        """
        while self._untold:
            self._untold = False
            with contextlib.suppress(StoreUnavailable):
                await self._heartbeats.fetch(self._statements["work_hint"])

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
