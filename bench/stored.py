"""What is stored: rows made in bulk, and times read from outside the service."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

TABLES = ("runs", "events", "checkpoints", "audit_events")

# A copy's id sorts before every id that the service makes.
COPY_ID = "'run_' || lpad(to_hex(n), 8, '0') || '-0000-7000-8000-' || lpad(to_hex(n), 12, '0')"
COPY_AT = "now() - interval '1 hour' - n * interval '50 milliseconds'"
REPLACED = {
    "runs": {
        "id": COPY_ID,
        "created_at": COPY_AT,
        "updated_at": COPY_AT,
        "updated_slot": f"floor(extract(epoch from {COPY_AT}) / 10)::integer",
        "started_at": COPY_AT,
        "completed_at": COPY_AT,
    },
    "events": {"run_id": COPY_ID, "occurred_at": COPY_AT},
    "checkpoints": {"run_id": COPY_ID, "created_at": COPY_AT},
    "audit_events": {
        "id": f"'audit_' || {COPY_ID}",
        "run_id": COPY_ID,
        "created_at": COPY_AT,
    },
}

ENDED = "select id from runs where id = any($1::text[]) and completed_at is not null"
TIMES = """
select
  extract(epoch from started_at - created_at)::float8 as dispatch,
  extract(epoch from pg_xact_commit_timestamp(xmin) - created_at)::float8 as whole,
  extract(epoch from created_at)::float8 as created,
  extract(epoch from pg_xact_commit_timestamp(xmin))::float8 as ended
from runs
where id = any($1::text[]) and completed_at is not null
"""


@dataclass(frozen=True, slots=True)
class Times:
    """Of an ended run, in seconds: from its creation to its start and to the commit that ended it;
    and both ends as Unix times.
    """

    dispatch: float
    whole: float
    created: float
    ended: float


class Stored:
    """A database of the service, seen from outside."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def copy_run(self, run_id: str, count: int) -> None:
        """Store a completed run many times more, with all its rows."""
        for table in TABLES:
            await self._connection.execute(await self._copy(table), run_id, count)
        for table in TABLES:
            await self._connection.execute(f"vacuum analyze {table}")

    async def ended(self, run_ids: Sequence[str]) -> set[str]:
        """Return those of the runs that have ended."""
        return {row["id"] for row in await self._connection.fetch(ENDED, run_ids)}

    async def times(self, run_ids: Sequence[str]) -> list[Times]:
        """Return the times of those of the runs that have ended."""
        return [Times(**dict(row)) for row in await self._connection.fetch(TIMES, run_ids)]

    async def statuses(self) -> dict[str, int]:
        """Return how many runs there are of each status."""
        query = "select status, count(*) as count from runs group by status"
        return {row["status"]: row["count"] for row in await self._connection.fetch(query)}

    async def ids(self, count: int) -> list[str]:
        """Return ids of stored runs, from all over the table."""
        query = "select id from runs where status = 'completed' order by hashtext(id) limit $1"
        return [row["id"] for row in await self._connection.fetch(query, count)]

    async def rows(self, query: str, *arguments: Any) -> list[dict[str, Any]]:
        """Return what a query finds. query: a constant of this package."""
        return [dict(row) for row in await self._connection.fetch(query, *arguments)]

    async def _copy(self, table: str) -> str:
        """Return the statement that copies a run's rows of a table."""
        query = (
            "select column_name from information_schema.columns "
            "where table_schema = 'public' and table_name = $1 order by ordinal_position"
        )
        columns = [row["column_name"] for row in await self._connection.fetch(query, table)]
        values = ", ".join(REPLACED[table].get(column, f"t.{column}") for column in columns)
        key = "id" if table == "runs" else "run_id"
        return (
            f"insert into {table} ({', '.join(columns)}) select {values} "
            f"from {table} t cross join generate_series(1, $2::integer) n where t.{key} = $1"
        )


@contextlib.asynccontextmanager
async def looking(dsn: str) -> AsyncIterator[Stored]:
    """Connect to a database of the service."""
    connection = await asyncpg.connect(dsn)
    try:
        yield Stored(connection)
    finally:
        await connection.close()
