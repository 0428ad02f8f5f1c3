"""A run of a thousand steps of 4 KiB: what is stored of it and what passes the write-ahead log.

All is told as a multiple of the bytes of its outputs. Two ways of counting what is stored: the
bytes of the values in its rows, before compression (octet_length of the texts, a fixed size for
the others), and the bytes that the tables occupy with their indexes and what lies out of line
(pg_total_relation_size), where versions of rows that nobody sees any more count too.
"""

import asyncio
import contextlib
import time
from collections.abc import Mapping
from typing import Any

from bench.calls import Calls, calling
from bench.functions import PAGE_BYTES, PAGE_LAST
from bench.requests import queued, workflow
from bench.stage import Row, Stage, Value
from bench.stored import Stored, looking

STEPS = 1_000
WAIT_SECONDS = 300.0
LOOK_SECONDS = 0.2
TABLES = ("events", "checkpoints", "runs", "human_tasks")

LOG = "select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8 as at"
ENDED = "select status, completed_at is not null as ended from runs where id = $1"
COLUMNS = """
select table_name, column_name, data_type from information_schema.columns
where table_schema = 'public' order by ordinal_position
"""


async def measure(stage: Stage) -> list[Row]:
    """Measure a sequence of a thousand steps, and a graph that goes round as often."""
    rows = []
    for name, fields in (("sequence", sequence()), ("graph loop", loop())):
        # A database of its own for each, so that its tables hold nothing but the one run.
        site = await stage.site(f"storage_{name.replace(' ', '_')}")
        async with contextlib.AsyncExitStack() as stack:
            service = await stack.enter_async_context(site.serving())
            calls = await stack.enter_async_context(calling(service, "grpc"))
            stored = await stack.enter_async_context(looking(site.database_url))
            facts = await _measured(calls, stored, fields)
        row = Row(scenario=f"{STEPS:,} steps of {PAGE_BYTES:,} bytes, {name}", protocol="grpc")
        row.concurrency, row.facts = 1, facts
        rows.append(row)
    return rows


def sequence() -> dict[str, Any]:
    """Return the request for one step after the other."""
    steps = [{"id": f"s{number}", "kind": "function", "ref": "page"} for number in range(STEPS)]
    return workflow({"type": "sequential", "steps": steps}, functions=["page"], text=f"{STEPS} 0")


def loop() -> dict[str, Any]:
    """Return the request for two nodes that take turns, until one of them gives the last page."""
    nodes = {name: {"id": name, "kind": "function", "ref": "page"} for name in ("odd", "even")}
    on = {"type": "not", "condition": {"type": "output_contains", "value": PAGE_LAST}}
    edges = [
        {"from": "odd", "to": "even", "condition": on},
        {"from": "even", "to": "odd", "condition": on},
    ]
    return workflow(
        {"type": "graph", "start": "odd", "nodes": nodes, "edges": edges, "max_steps": STEPS},
        functions=["page"],
        text=f"{STEPS} 0",
    )


async def _measured(calls: Calls, stored: Stored, fields: dict[str, Any]) -> dict[str, Value]:
    """Let one run go to its end, and count what it left."""
    whole_before = await _occupied(stored)
    begin, log_before = time.perf_counter(), await _log(stored)
    answer = await calls.create(calls.prepare(queued(fields)))
    status = await _end(stored, answer.run_id)
    seconds, log_bytes = time.perf_counter() - begin, await _log(stored) - log_before
    whole = await _occupied(stored)
    values = {table: await _values(stored, table) for table in TABLES}
    outputs = STEPS * PAGE_BYTES
    kept, occupied = sum(values.values()), sum(whole.values()) - sum(whole_before.values())
    return {
        "output bytes": outputs,
        "s": round(seconds, 1),
        **{f"{table}, value bytes": values[table] for table in TABLES if values[table]},
        "values of outputs": round(kept / outputs, 2),
        "tables of outputs": round(occupied / outputs, 2),
        "log of outputs": round(log_bytes / outputs, 2),
        "failed": int(status != "completed"),
    }


async def _end(stored: Stored, run_id: str) -> str:
    """Wait for the run's end, as the database tells it; return its status."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        (row,) = await stored.rows(ENDED, run_id)
        if row["ended"]:
            return str(row["status"])
        await asyncio.sleep(LOOK_SECONDS)
    return "not ended"


async def _log(stored: Stored) -> float:
    (row,) = await stored.rows(LOG)
    return float(row["at"])


async def _occupied(stored: Stored) -> Mapping[str, int]:
    """Return the bytes of each table with its indexes and what lies out of line."""
    return {
        table: (await stored.rows("select pg_total_relation_size($1::regclass) as size", table))[0][
            "size"
        ]
        for table in TABLES
    }


async def _values(stored: Stored, table: str) -> int:
    """Return the bytes of all values of a table, before compression. table: one of TABLES."""
    columns = [row for row in await stored.rows(COLUMNS) if row["table_name"] == table]
    sizes = " + ".join(
        f"coalesce(octet_length({row['column_name']}::text), 0)"
        if row["data_type"] in ("text", "json")
        else f"coalesce(pg_column_size({row['column_name']}), 0)"
        for row in columns
    )
    (found,) = await stored.rows(f"select coalesce(sum({sizes}), 0)::bigint as size from {table}")
    return int(found["size"])
