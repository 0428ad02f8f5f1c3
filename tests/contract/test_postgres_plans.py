"""The plans that PostgreSQL makes, on full tables."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from kneo_grpc.domain.change import Change, JobKind
from kneo_grpc.domain.run import RunStatus
from kneo_grpc.ports.audit import AuditFilter
from kneo_grpc.ports.store import PageRequest, RunFilter
from kneo_grpc.stores.listing import Listing
from kneo_grpc.stores.postgres import PostgresStore
from kneo_grpc.stores.postgres.batch import Batches
from kneo_grpc.stores.statements import load_statements
from tests.contract.builders import (
    NOW,
    audit,
    checkpoint,
    create,
    creation,
    event,
    human_task,
    job,
    make_run,
    step,
)
from tests.postgres import Cluster
from tests.waiting import until


@pytest.fixture
def postgres_dsn(own_postgres_dsn: str) -> str:
    """Whose tables are empty and were never others, for the planner's sake."""
    return own_postgres_dsn


@pytest.fixture
async def store(postgres_dsn: str) -> AsyncIterator[PostgresStore]:
    opened = PostgresStore(postgres_dsn)
    await opened.start()
    yield opened
    await opened.stop()


@pytest.fixture
async def other(postgres_dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """Another session."""
    connection = await asyncpg.connect(postgres_dsn)
    yield connection
    connection.terminate()


ROWS = 2000
"""The fewest that FILL puts into a table."""

FILL = """
insert into runs (id, status, attempt, plan_digest, target, input_text, event_sequence,
  checkpoint_sequence, source, detail, created_at, updated_at, updated_slot, workflow_name,
  session_id)
select 'run_fill_' || n, case when n % 50 = 0 then 'failed' else 'completed' end, 1, 'd',
  'workflow', 'x', 3, 3, '{}',
  '{"visited_steps": [], "visited_nodes": [], "pending": [], "result": {}, "error": null}',
  now(), now() - n * interval '1 s', extract(epoch from now() - n * interval '1 s') / 10,
  'w' || n % 100, 's' || n % 1000
from generate_series(1, 20000) n;
insert into events (run_id, sequence, id, type, occurred_at, data)
select 'run_fill_' || n, s, 'e', 't', now(), '{}'
from generate_series(1, 20000) n, generate_series(1, 3) s;
insert into checkpoints (run_id, sequence, id, type, iteration, patch, metadata, created_at)
select 'run_fill_' || n, s, 'c', 't', 1, '[]', '{}', now()
from generate_series(1, 20000) n, generate_series(1, 3) s;
insert into jobs (run_id, kind, subject, due_at, created_at)
select 'run_fill_' || n, 'run', '', now() - n * interval '1 ms', now()
from generate_series(1, 20000) n;
insert into human_tasks (id, run_id, status, workflow_kind, created_at, body)
select 'cont_' || n, 'run_fill_' || n, case when n % 100 = 0 then 'pending' else 'decided' end,
  'graph', now(), '{}' from generate_series(1, 20000) n;
insert into audit_events (id, event_type, run_id, metadata, created_at)
select 'aud_' || n, 't', 'run_fill_' || n, '{}', now() from generate_series(1, 20000) n;
insert into audit_seals (number, audit_id, created_at, content_digest, digest, sealed_at)
select n, 'aud_' || n, now(), '', '', now() from generate_series(1, 20000) n;
insert into plans (digest, content) select 'd' || n, 'x' from generate_series(1, 2000) n;
insert into idempotency_records (principal, scope, key, request_hash, created_at)
select 'a', 'b', 'k' || n, 'h', now() from generate_series(1, 2000) n;
"""


@pytest.fixture(scope="module")
def filled_dsn(postgres_cluster: Cluster) -> Iterator[str]:
    """A database with 20,000 runs, known to its planner."""
    name = postgres_cluster.next_name()

    async def fill() -> None:
        admin = await asyncpg.connect(postgres_cluster.dsn())
        await admin.execute(f"create database {name}")
        await admin.close()
        store = PostgresStore(postgres_cluster.dsn(name))
        await store.start()
        await store.stop()
        connection = await asyncpg.connect(postgres_cluster.dsn(name))
        await connection.execute(FILL)
        await connection.execute("analyze")
        await connection.close()

    asyncio.run(fill())
    yield postgres_cluster.dsn(name)


@pytest.fixture
async def filled(filled_dsn: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(filled_dsn)
    yield connection
    await connection.close()


def table_scans(plan: Any) -> list[str]:
    """Which tables a plan reads from end to end."""
    found = []
    if plan.get("Node Type") == "Seq Scan":
        found.append(plan["Relation Name"])
    for part in plan.get("Plans", ()):
        found += table_scans(part)
    return found


async def explain(connection: asyncpg.Connection, sql: str, *arguments: Any) -> Any:
    rows = await connection.fetch(f"explain (format json) {sql}", *arguments)
    return json.loads(rows[0][0])[0]["Plan"]


async def test_a_batch_prepared_on_empty_tables_scans_none_when_they_are_full(
    store: PostgresStore, other
) -> None:
    runs = [make_run() for _ in range(3)]
    await store.commit([creation(run, jobs=(job(),), events=(event(),)) for run in runs])
    await store.commit([step(run, events=(event(),)) for run in runs])
    await other.execute(FILL)
    tables = "('runs', 'events', 'checkpoints', 'jobs', 'plans', 'human_tasks', 'audit_events')"
    # Sessions tell their counts when they like, also those of the time before: of empty tables.
    scanned = f"select sum(seq_tup_read) from pg_stat_user_tables where relname in {tables}"
    found = "select idx_scan from pg_stat_user_tables where relname = 'runs'"
    before, looked = await other.fetchval(scanned), await other.fetchval(found)
    for _ in range(20):
        await store.commit([step(run, events=(event(),)) for run in runs])
        cleared = [step(run, clear_jobs=frozenset({job().kind}), jobs=(job(),)) for run in runs]
        assert all(outcome.applied for outcome in await store.commit(cleared))
    await store.renew_leases("p", timedelta(seconds=1), ["run_x"])

    async def arrived() -> bool:
        await store.commit([step(runs[0])])
        return await other.fetchval(found) >= looked + 100

    await until(arrived)
    assert await other.fetchval(scanned) - before < ROWS


BATCHES = {
    "steps": {"checkpoints": (checkpoint({}),)},
    "ends": {"events": (event(),), "clear_jobs": frozenset({job().kind})},
    "pauses": {"open_tasks": (human_task("run_fill_7"),), "jobs": (job(),)},
    "all": {
        "events": (event(),),
        "checkpoints": (checkpoint({}),),
        "jobs": (job(),),
        "clear_jobs": frozenset({job().kind}),
    },
}


@pytest.mark.parametrize("begins", [False, True], ids=["alone", "beside creates"])
@pytest.mark.parametrize("parts", BATCHES.values(), ids=BATCHES.keys())
async def test_the_plan_of_a_batch_looks_up_by_index(
    filled_dsn: str, parts: dict[str, Any], begins: bool
) -> None:
    changes = [step(make_run(id="run_fill_7"), **parts)]
    if begins:
        changes.append(creation(make_run(id="run_new"), jobs=(job(),), events=(event(),)))
    sql, arguments = Batches(load_statements("postgres")).statement(changes)
    connection = await PostgresStore(filled_dsn)._connector.open_committer()
    plan = await explain(connection, sql, *arguments)
    await connection.close()
    assert table_scans(plan) == []
    assert "runs_pkey" in str(plan)
    assert "jobs_pkey" in str(plan) or "clear_jobs" not in parts


def test_a_batch_has_no_part_without_rows() -> None:
    batches = Batches(load_statements("postgres"))
    run = make_run()

    def parts(*changes: Change) -> set[str]:
        sql, arguments = batches.statement(changes)
        assert len(arguments) == len(set(re.findall(r"\$\d", sql)))
        return set(re.findall(r"(?:insert into|update|delete from) (\w+)", sql)) - {"set"}

    assert parts(step(run, checkpoints=(checkpoint({}),))) == {"runs", "checkpoints"}
    assert parts(step(run, events=(event(),))) == {"runs", "events"}
    assert parts(step(run, clear_jobs=frozenset({JobKind.RUN}))) == {"runs", "jobs"}
    assert parts(creation(make_run(), jobs=(job(),))) == {"runs", "plans", "jobs"}
    assert parts(step(run, audit=(audit(),))) == {"runs", "audit_events", "audit_unsealed"}


@pytest.mark.parametrize(
    ("name", "arguments", "index"),
    [
        ("run_load", ("run_fill_7",), "runs_pkey"),
        ("plan_load", ("d",), "plans_pkey"),
        ("state_load", ("run_fill_7",), "checkpoints_pkey"),
        ("state_span", ("run_fill_7", 1, 3), "checkpoints_pkey"),
        ("task_load", ("cont_7",), "human_tasks_pkey"),
        ("tasks_close", ("run_fill_7", "cancelled", NOW), "human_tasks_pending"),
        ("leases_renew", ("p", timedelta(seconds=1), ["run_fill_7"]), "jobs_"),
        ("runs_held", ("p",), "jobs_by_owner"),
        ("prune_runs", ("failed", NOW, 200), "runs_by_"),
        ("prune_checkpoints", ("completed,failed", NOW, 200), "checkpoints_by_creation"),
        ("prune_continuations", (NOW, 200), "human_tasks_by_settlement"),
        ("prune_audit", (NOW, 200), "audit_events_pkey"),
        ("seal_span", (19_000, 50), "audit_seals_pkey"),
        ("audit_span", (NOW, "", 50), "audit_events_pkey"),
        ("seal_batch", (500,), "audit_events_pkey"),
        ("prune_idempotency", (NOW, 200), "idempotency_records_by_creation"),
        ("idempotency_load", ("a", "b", "c"), "idempotency_records_pkey"),
    ],
)
async def test_statements_use_their_index(
    filled, name: str, arguments: tuple[Any, ...], index: str
) -> None:
    plan = await explain(filled, load_statements("postgres")[name], *arguments)
    # What is not sealed yet is short, and taken as it comes.
    assert [table for table in table_scans(plan) if table != "audit_unsealed"] == []
    assert index in str(plan)


@pytest.mark.parametrize(
    ("name", "arguments", "indexes"),
    [
        (
            "run_claim",
            ("p", timedelta(seconds=1), 32, 3, False, "run_a,run_b"),
            ("jobs_of_runs", "jobs_pkey", "runs_pkey"),
        ),
        ("due_claim", ("p", timedelta(seconds=1), 32, "deadline"), ("jobs_timed", "jobs_pkey")),
    ],
)
async def test_claims_walk_what_is_due(
    filled_dsn: str,
    postgres_dsn: str,
    store: PostgresStore,
    name: str,
    arguments: tuple[Any, ...],
    indexes: tuple[str, ...],
) -> None:
    for dsn in (filled_dsn, postgres_dsn):
        connection = await PostgresStore(dsn)._connector.open_committer()
        plan = await explain(connection, load_statements("postgres")[name], *arguments)
        await connection.close()
        assert table_scans(plan) == []
        assert [index for index in indexes if index not in str(plan)] == []


@pytest.mark.parametrize(
    ("where", "key", "index"),
    [
        (RunFilter(), "updated_at", "runs_by_update"),
        (RunFilter(status=RunStatus.FAILED), "updated_at", "runs_by_status"),
        (RunFilter(), "created_at", "runs_by_creation"),
        (RunFilter(), "id", "runs_pkey"),
        (RunFilter(), "workflow_name", "runs_by_workflow"),
        (RunFilter(session_id="s7"), "updated_at", "runs_by_session"),
    ],
)
async def test_lists_walk_an_index(
    filled, filled_dsn: str, where: RunFilter, key: str, index: str
) -> None:
    page = PageRequest(sort_by=key, descending=True, limit=50)
    listing = PostgresStore(filled_dsn)._lists.runs(where, page)
    await assert_walks(filled, listing, index)


async def assert_walks(filled: asyncpg.Connection, listing: Listing, index: str) -> str:
    """Every stretch of a list walks the index; return the plans."""
    plans = []
    for part in listing.parts:
        plan = await explain(filled, part.sql, *part.arguments, 50, 0)
        assert table_scans(plan) == []
        assert index in str(plan)
        plans.append(str(plan))
    return "".join(plans)


SLOT = int(time.time()) // 10 - 1_000
"""In the middle of the filled runs."""


@pytest.mark.parametrize(
    ("where", "key", "after", "index"),
    [
        (RunFilter(), "updated_at", (SLOT, 5, "run_fill_7"), "runs_by_update"),
        (RunFilter(status=RunStatus.FAILED), "updated_at", (SLOT, 5, "r"), "runs_by_status"),
        (RunFilter(), "created_at", (1_780_000_000_000_000, "run_fill_7"), "runs_by_creation"),
        (RunFilter(), "id", ("run_fill_7",), "runs_pkey"),
        (RunFilter(), "workflow_name", ("wf", "run_fill_7"), "runs_by_workflow"),
        (RunFilter(), "workflow_name", (None, "run_fill_7"), "runs_by_workflow"),
    ],
)
@pytest.mark.parametrize("descending", [False, True])
async def test_pages_after_a_place_walk_an_index(
    filled, filled_dsn: str, where: RunFilter, key: str, after, index: str, descending: bool
) -> None:
    page = PageRequest(sort_by=key, descending=descending, limit=50, after=after, total=0)
    listing = PostgresStore(filled_dsn)._lists.runs(where, page)
    # What the index has sorted is sorted no more, but for the runs of a slot.
    assert "'Node Type': 'Sort'" not in await assert_walks(filled, listing, index)


@pytest.mark.parametrize("after", [None, (1_780_000_000_000_000, "run_fill_7")])
async def test_the_queue_walks_its_index(filled, filled_dsn: str, after) -> None:
    page = PageRequest(sort_by="due_at", limit=50, after=after)
    listing = PostgresStore(filled_dsn)._lists.jobs(JobKind.RUN, page)
    await assert_walks(filled, listing, "jobs_of_runs")


@pytest.mark.parametrize(
    ("where", "index"),
    [
        (AuditFilter(), "audit_events_pkey"),
        (AuditFilter(created_before=NOW + timedelta(days=9999)), "audit_events_pkey"),
        (AuditFilter(run_id="run_fill_7"), "audit_events_by_run"),
        (AuditFilter(event_type="human.decision"), "audit_events_by_type"),
    ],
)
@pytest.mark.parametrize("after", [None, (4_000_000_000_000_000, "aud_7")])
async def test_lists_of_the_trail_walk_an_index(
    filled, filled_dsn: str, where: AuditFilter, index: str, after
) -> None:
    page = PageRequest(sort_by="created_at", descending=True, limit=50, after=after)
    listing = PostgresStore(filled_dsn)._lists.audit(where, page)
    assert "audit_seals_audit_id_key" in await assert_walks(filled, listing, index)


async def test_an_ordinary_step_touches_no_index_of_runs(store: PostgresStore, other) -> None:
    run = await create(store)
    counts = "select n_tup_upd, n_tup_hot_upd from pg_stat_user_tables where relname = 'runs'"
    for number in range(30):
        moved = replace(run, updated_at=NOW + timedelta(milliseconds=number), output_text="x")
        assert (await store.commit([step(moved, events=(event(),))]))[0].applied

    async def counted() -> Any:
        await store.commit([step(run)])
        row = await other.fetchrow(counts)
        return row if row["n_tup_upd"] >= 30 else None

    row = await until(counted)
    assert row["n_tup_hot_upd"] == row["n_tup_upd"]
