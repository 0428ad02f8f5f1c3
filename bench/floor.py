"""The floor: what the database allows for the five commits of a three-step run.

Create, three steps, finish: each is one prepared statement, one round trip and one commit. Two
kinds, both with the bytes that a run of the service was seen to write:
`tables` writes the service's own rows into the service's own tables; `lean` writes one row a
commit into tables of two or three columns, which is the least that keeps these bytes.
"""

import asyncio
import contextlib
import itertools
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import asyncpg

from bench.cluster import Cluster
from bench.sample import Sample
from bench.windows import Window, drive

KINDS = ("tables", "lean")
POOL_SIZES = (4, 8, 16, 32)
TRIAL_SECONDS = 0.7

LEAN_TABLES = """
create table lean_runs (id text collate "C" primary key, body text not null);
create table lean_steps (
  run_id text collate "C", sequence integer, body text not null, primary key (run_id, sequence)
);
alter table lean_runs alter column body set storage plain;
alter table lean_steps alter column body set storage plain;
"""
LEAN_CREATE = "insert into lean_runs (id, body) values ($1, $2)"
LEAN_STEP = "insert into lean_steps (run_id, sequence, body) values ($1, $2, $3)"
LEAN_FINISH = "update lean_runs set body = $2 where id = $1"

SESSION = {
    "application_name": "floor",
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",
    # Planned on empty tables, an update would scan them for ever after.
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
}


@dataclass(frozen=True, slots=True)
class _Lane:
    """A connection with its prepared statements, in the order of the commits."""

    connection: Any
    statements: dict[str, Any]


class _Queue:
    """Hands lanes to callers in the order in which they came; nobody overtakes."""

    def __init__(self, lanes: list[_Lane]) -> None:
        self._idle = list(lanes)
        self._waiting: deque[asyncio.Future[_Lane]] = deque()

    async def take(self) -> _Lane:
        if self._idle:
            return self._idle.pop()
        waiter: asyncio.Future[_Lane] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        return await waiter

    def give(self, lane: _Lane) -> None:
        if self._waiting:
            self._waiting.popleft().set_result(lane)
        else:
            self._idle.append(lane)


class Floor:
    """Drives one kind of floor over its own connections."""

    def __init__(self, kind: str, lanes: list[_Lane], sample: Sample) -> None:
        self._kind = kind
        self._lanes = lanes
        self._sample = sample
        self._numbers = itertools.count(1)
        self._best: dict[int, int] = {}

    async def window(self, concurrency: int, seconds: float) -> Window:
        """Drive the floor with the best pool size for this concurrency, found at its first use."""
        if concurrency not in self._best:
            self._best[concurrency] = await self._choose(concurrency)
        return await self._drive(concurrency, seconds, self._best[concurrency])

    @property
    def sample(self) -> Sample:
        """What is written for each run."""
        return self._sample

    @property
    def pools(self) -> dict[int, int]:
        """The pool sizes chosen, by concurrency."""
        return dict(self._best)

    async def _choose(self, concurrency: int) -> int:
        """Try the sizes and return the fastest one; a single caller needs a single connection."""
        if concurrency == 1:
            return 1
        rates = {}
        for size in POOL_SIZES:
            if size <= max(concurrency, POOL_SIZES[0]):
                rates[size] = (await self._drive(concurrency, TRIAL_SECONDS, size)).rate
        return max(rates, key=lambda size: rates[size])

    async def _drive(self, concurrency: int, seconds: float, size: int) -> Window:
        queue = _Queue(self._lanes[:size])
        commits = self._tables if self._kind == "tables" else self._lean

        async def run() -> None:
            lane = await queue.take()
            try:
                await commits(lane, f"run_{next(self._numbers):036d}")
            finally:
                queue.give(lane)

        return await drive(concurrency, seconds, run)

    async def _tables(self, lane: _Lane, run_id: str) -> None:
        for commit in self._sample.commits:
            await lane.statements[commit.name].fetch(*commit.arguments(run_id))

    async def _lean(self, lane: _Lane, run_id: str) -> None:
        create, *steps, finish = self._sample.bodies
        await lane.statements["create"].fetch(run_id, create)
        for number, body in enumerate(steps):
            await lane.statements["step"].fetch(run_id, number, body)
        await lane.statements["finish"].fetch(run_id, finish)


@contextlib.asynccontextmanager
async def open_floor(
    cluster: Cluster, kind: str, sample: Sample, database: str
) -> AsyncIterator[Floor]:
    """Make a floor's database and connections."""
    dsn = await cluster.create_database(database)
    async with contextlib.AsyncExitStack() as stack:
        lanes: list[_Lane] = []
        for number in range(max(POOL_SIZES)):
            connection = await asyncpg.connect(dsn, server_settings=SESSION)
            stack.push_async_callback(connection.close)
            if number == 0:
                await connection.execute(sample.schema if kind == "tables" else LEAN_TABLES)
            lanes.append(_Lane(connection, await _prepare(connection, kind, sample)))
        yield Floor(kind, lanes, sample)


async def _prepare(connection: Any, kind: str, sample: Sample) -> dict[str, Any]:
    texts = {commit.name: commit.sql for commit in sample.commits}
    if kind == "lean":
        texts = {"create": LEAN_CREATE, "step": LEAN_STEP, "finish": LEAN_FINISH}
    return {name: await connection.prepare(text) for name, text in texts.items()}
