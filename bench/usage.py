"""What a window costs: CPU by party, write-ahead log, memory, transactions."""

import contextlib
import os
import time
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import asyncpg

from bench.cluster import Cluster
from bench.processes import Cpu, cpu_seconds, machine_seconds, resident_mb

if TYPE_CHECKING:
    from bench.windows import Window


@dataclass(frozen=True, slots=True)
class Usage:
    """cpu: seconds by party. others: of all CPU time, the share that went to processes which are
    not measured. memory: resident megabytes by party, at the window's end.
    """

    cpu: dict[str, float] = field(default_factory=dict)
    others: float = 0.0
    wal_bytes: float = 0.0
    memory: dict[str, float] = field(default_factory=dict)


class Meter:
    """Reads what a cluster and services use, on a connection of its own."""

    def __init__(self, connection: Any, cluster: Cluster) -> None:
        self._connection = connection
        self._cluster = cluster

    async def measured(self, window: "Awaitable[Window]", *services: int) -> "Window":
        """Drive a window and add what it used. services: process ids."""
        log, begin = await self._log_position(), time.perf_counter()
        cpu, machine = self._cpu(services), machine_seconds()
        done = await window
        used, spent = self._cpu(services).since(cpu), machine_seconds() - machine
        whole = (time.perf_counter() - begin) * (os.cpu_count() or 1)
        done.usage = Usage(
            cpu=used,
            others=max(0.0, spent - sum(used.values())) / whole,
            wal_bytes=await self._log_position() - log,
            memory=resident_mb(services),
        )
        return done

    async def transactions(self, database: str) -> int:
        """Return the commits that a database has counted; backends report late, or at their end."""
        query = "select xact_commit from pg_stat_database where datname = $1"
        return int(await self._connection.fetchval(query, database))

    def _cpu(self, services: tuple[int, ...]) -> Cpu:
        return cpu_seconds(postgres=self._cluster.pid, service=services)

    async def _log_position(self) -> float:
        query = "select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8"
        return float(await self._connection.fetchval(query))


@contextlib.asynccontextmanager
async def metering(cluster: Cluster) -> AsyncIterator[Meter]:
    """Connect a meter."""
    connection = await asyncpg.connect(cluster.dsn())
    try:
        yield Meter(connection, cluster)
    finally:
        await connection.close()
