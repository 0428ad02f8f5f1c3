"""Connections to PostgreSQL: one kind that reads, one that commits, one that migrates."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeAlias

import asyncpg

from kneo_grpc.domain.errors import StartRefused

Connection: TypeAlias = Any
"""An asyncpg.Connection; the driver carries no types."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connector:
    """Opens connections. lock_timeout: how long a commit waits for a row that another session
    holds, and how long a session may hold rows without saying what it wants of them: its machine
    may be gone. statement_timeout: the longest that any statement may take.
    """

    dsn: str
    statement_timeout: timedelta
    lock_timeout: timedelta
    connect_timeout: timedelta

    @property
    def command_timeout(self) -> float:
        """Seconds after which the client gives a statement up: a moment after the server should
        have.
        """
        return self.statement_timeout.total_seconds() + 1

    def reader_settings(self) -> dict[str, str]:
        """Return the server settings of a reading connection."""
        return {
            "application_name": "kneo",
            "statement_timeout": _milliseconds(self.statement_timeout),
            "default_transaction_read_only": "on",
        }

    async def open_committer(self) -> Connection:
        """Open a connection for batches.

        A statement planned on empty tables would scan them for ever after; here the planner has
        nothing but index lookups to choose from, and chooses once.
        """
        settings = {
            "application_name": "kneo commit",
            "statement_timeout": _milliseconds(self.statement_timeout),
            "lock_timeout": _milliseconds(self.lock_timeout),
            "idle_in_transaction_session_timeout": _milliseconds(self.lock_timeout),
            "plan_cache_mode": "force_generic_plan",
            "enable_hashjoin": "off",
            "enable_mergejoin": "off",
            "enable_seqscan": "off",
            "enable_bitmapscan": "off",
            # Compiling pays for long queries only.
            "jit": "off",
        }
        return await asyncpg.connect(
            self.dsn,
            timeout=self.connect_timeout.total_seconds(),
            command_timeout=self.command_timeout,
            # Each text of a batch is planned once; the driver would forget it after five minutes.
            max_cached_statement_lifetime=0,
            server_settings=settings,
        )

    async def open_keeper(self) -> Connection:
        """Open a connection for upkeep, whose statements the planner may choose freely."""
        return await asyncpg.connect(
            self.dsn,
            timeout=self.connect_timeout.total_seconds(),
            command_timeout=self.command_timeout,
            server_settings={
                "application_name": "kneo upkeep",
                "statement_timeout": _milliseconds(self.statement_timeout),
                "lock_timeout": _milliseconds(self.lock_timeout),
                "idle_in_transaction_session_timeout": _milliseconds(self.lock_timeout),
                "jit": "off",
            },
        )

    async def open_migrator(self, patience: timedelta) -> Connection:
        """Open a connection whose statements may take long. patience: how long it waits for
        another process's migrations.
        """
        return await asyncpg.connect(
            self.dsn,
            timeout=self.connect_timeout.total_seconds(),
            server_settings={
                "application_name": "kneo migrate",
                "statement_timeout": "0",
                "lock_timeout": _milliseconds(patience),
            },
        )

    async def open_pool(self, size_min: int, size_max: int) -> asyncpg.Pool:
        """Open the pool of readers."""
        return await asyncpg.create_pool(
            self.dsn,
            min_size=size_min,
            max_size=size_max,
            timeout=self.connect_timeout.total_seconds(),
            command_timeout=self.command_timeout,
            server_settings=self.reader_settings(),
            reset=_keep,
        )


async def require_durability(connection: Connection, sql: str) -> None:
    """Raise StartRefused when a commit on this server may be lost after its reply."""
    for row in await connection.fetch(sql):
        if row["setting"] == "off":
            raise StartRefused(
                f"PostgreSQL runs with {row['name']} = off, so a committed run could be lost "
                "in a crash; switch it on."
            )


async def _keep(_connection: Connection) -> None:
    """Readers leave nothing behind in their session, so returning one costs no round trip."""


def _milliseconds(duration: timedelta) -> str:
    return str(max(1, duration // timedelta(milliseconds=1)))
