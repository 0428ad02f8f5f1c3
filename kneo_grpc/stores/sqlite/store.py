"""The store on SQLite."""

import asyncio
import json
import logging
import sqlite3
import threading
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from kneo_grpc.domain.change import Act, AuditRecord, Change, Outcome, OutcomeKind
from kneo_grpc.domain.errors import StartRefused, StoreUnavailable
from kneo_grpc.domain.ids import RunId
from kneo_grpc.stores.auditing import TrailReader
from kneo_grpc.stores.batching import BatchResult, GroupCommitter, commit_all
from kneo_grpc.stores.codec import instant_from_micros, micros_from_duration, micros_from_instant
from kneo_grpc.stores.hints import leave_work
from kneo_grpc.stores.listing import Lists
from kneo_grpc.stores.migrate import Migration, load_migrations
from kneo_grpc.stores.rows import Row
from kneo_grpc.stores.sqlite import errors
from kneo_grpc.stores.sqlite.connect import free_lock, open_reader, open_writer, take_lock
from kneo_grpc.stores.sqlite.copies import backup
from kneo_grpc.stores.sqlite.migrations import migrate, require_current
from kneo_grpc.stores.sqlite.writer import Writer
from kneo_grpc.stores.statements import load_statements

logger = logging.getLogger("kneo_grpc.stores")

T = TypeVar("T")

_LANES = 1
_BEFORE = {
    "prune_runs": ("prune_runs_seals", "prune_runs_audit"),
    "prune_audit": ("prune_audit_seals",),
    "prune_checkpoints": ("prune_checkpoints_fence",),
}
"""What goes first in the transaction of a statement."""


class SqliteStore(TrailReader):
    """Durable state in one SQLite file: one thread that writes, a few that read.

    readonly: neither makes nor migrates the file; commits are refused. exclusive: a service's way,
    refused while another service uses the file, and every lease found at its start is void, for
    nobody can hold one; without it (a one-shot command) the file is shared
    in short transactions. migrations: those of the release, if not given.
    """

    name = "sqlite"

    def __init__(
        self,
        path: Path,
        *,
        readonly: bool = False,
        exclusive: bool = True,
        busy_timeout: timedelta = timedelta(seconds=5),
        readers: int = 4,
        batch_max: int = 64,
        migrations: Sequence[Migration] | None = None,
    ) -> None:
        statements = load_statements("sqlite")
        lists = Lists("sqlite", "?", statements, micros_from_instant)
        super().__init__(
            statements,
            lists,
            decode_instant=instant_from_micros,
            encode_instant=micros_from_instant,
            encode_duration=micros_from_duration,
        )
        self._path = path
        self._readonly = readonly
        self._exclusive = exclusive and not readonly
        self._busy_timeout = busy_timeout
        self._reader_count = readers
        self._migrations = load_migrations("sqlite") if migrations is None else migrations
        self._batch_max = batch_max
        self._committer: GroupCommitter | None = None
        self._lock: int | None = None
        self._writer: Writer | None = None
        self._connections: list[sqlite3.Connection] = []
        self._local = threading.local()
        self._write_thread: ThreadPoolExecutor | None = None
        self._read_threads: ThreadPoolExecutor | None = None

    async def start(self) -> None:
        """Open the file and bring its schema to this release."""
        self._write_thread = ThreadPoolExecutor(1, thread_name_prefix="kneo-sqlite-write")
        self._read_threads = ThreadPoolExecutor(
            self._reader_count, thread_name_prefix="kneo-sqlite-read"
        )
        try:
            await self._in(self._write_thread, self._open)
        except Exception as error:
            await self.stop()
            raise errors.start_refused(self._path, error) from error
        self._committer = GroupCommitter(self._write, lanes=_LANES, batch_max=self._batch_max)

    async def stop(self) -> None:
        """Finish commits under way and close the file."""
        if self._committer is not None:
            await self._committer.stop()
            self._committer = None
        await self._finish_appending()
        for threads in (self._read_threads, self._write_thread):
            if threads is not None:
                await asyncio.to_thread(threads.shutdown)
        self._read_threads = self._write_thread = self._writer = None
        self._local = threading.local()
        while self._connections:
            self._connections.pop().close()
        if self._lock is not None:
            free_lock(self._lock)
            self._lock = None

    async def commit(self, changes: Sequence[Change]) -> tuple[Outcome, ...]:
        """Land Changes with the next transaction of the writing thread."""
        if self._committer is None:
            raise StoreUnavailable("The store is not started.")
        outcomes = await commit_all(self._committer, changes)
        self.counts.note(changes, outcomes)
        if leave_work(changes, outcomes):
            self._hints.give()
        return outcomes

    async def act(self, act: Act) -> OutcomeKind:
        """Land what belongs to no run, in the writing thread."""
        threads, writer = self._writing()
        return await self._in(threads, lambda: writer.act(act))

    async def renew_leases(
        self, owner: str, lease_for: timedelta, run_ids: Collection[RunId]
    ) -> frozenset[RunId]:
        """Extend a process's leases on runs, also expired ones that nobody took."""
        ids = json.dumps(list(run_ids))
        found = await self._claim("leases_renew", owner, micros_from_duration(lease_for), ids)
        return frozenset(row["run_id"] for row in found)

    async def backup(self, destination: Path) -> int:
        """Write a copy of the file."""
        return await asyncio.to_thread(backup, self._path, destination)

    async def seal(self, holder: str, lease_for: timedelta, *, limit: int) -> int | None:
        """Seal a batch of audit records."""
        threads, writer = self._writing()
        lease = micros_from_duration(lease_for)
        return await self._in(threads, lambda: writer.seal(holder, lease, limit))

    async def _append(self, records: Sequence[AuditRecord]) -> None:
        threads, writer = self._writing()
        await self._in(threads, lambda: writer.append(records))

    async def _keep(self, name: str, *arguments: Any) -> Sequence[Row]:
        return await self._work(name, *arguments)

    async def _claim(self, name: str, *arguments: Any) -> Sequence[Row]:
        threads, writer = self._writing()
        if name == "run_claim":
            return await self._in(threads, lambda: writer.claim(*arguments))
        if name == "run_postpone":
            return await self._in(threads, lambda: writer.postpone(*arguments))
        return await self._work(name, *arguments)

    async def _prune(self, name: str, *arguments: Any) -> Sequence[Row]:
        return await self._work(name, *arguments)

    async def _work(self, name: str, *arguments: Any) -> Sequence[Row]:
        threads, writer = self._writing()
        names = [*_BEFORE.get(name, ()), name]
        return await self._in(threads, lambda: writer.work(names, *arguments))

    async def _write(self, _lane: int, changes: Sequence[Change]) -> Sequence[BatchResult]:
        threads, writer = self._writing()
        return await self._in(threads, lambda: writer.write(changes))

    async def _fetch(self, sql: str, *arguments: Any) -> Sequence[Row]:
        if self._read_threads is None:
            raise StoreUnavailable("The store is not started.")
        try:
            return await self._in(self._read_threads, lambda: self._read(sql, arguments))
        except (sqlite3.Error, *errors.UNFIT) as error:
            raise errors.translate(self._path, error) from error

    def _writing(self) -> tuple[ThreadPoolExecutor, Writer]:
        if self._write_thread is None or self._writer is None:
            reason = "opened for reading only" if self._readonly else "not started"
            raise StoreUnavailable(f"The store is {reason}.")
        return self._write_thread, self._writer

    def _open(self) -> None:
        """Open the file, in the writing thread."""
        if self._readonly:
            if not self._path.is_file():
                raise StartRefused(f"The database file {self._path} does not exist.")
            require_current(self._reader(), self._statements, self._migrations)
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if self._exclusive:
            self._lock = take_lock(self._path)
        connection = open_writer(self._path, self._busy_timeout)
        self._connections.append(connection)
        migrate(connection, self._path, self._statements, self._migrations)
        self._writer = Writer(connection, self._path, self._statements)
        if self._exclusive:
            self._writer.work(["sealer_void"])
            void = self._writer.work(["leases_void"])
            if void:
                logger.info("leases of an earlier process are void", extra={"count": len(void)})

    def _read(self, sql: str, arguments: Sequence[Any]) -> Sequence[Row]:
        """Run one statement, in a reading thread."""
        return self._reader().execute(sql, arguments).fetchall()

    def _reader(self) -> sqlite3.Connection:
        """Return this thread's reading connection."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = open_reader(self._path, self._busy_timeout)
            self._connections.append(connection)
        return connection

    @staticmethod
    async def _in(threads: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(threads, work)
