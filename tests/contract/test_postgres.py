"""What is PostgreSQL's own: other sessions' locks, lost connections, plans."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from kneo_grpc.domain.change import OutcomeKind, StoredPlan
from kneo_grpc.domain.errors import StartRefused, StoreUnavailable
from kneo_grpc.domain.human import HumanTaskStatus
from kneo_grpc.domain.ids import PlanDigest
from kneo_grpc.domain.run import RunStatus
from kneo_grpc.ports.store import PageRequest
from kneo_grpc.stores.migrate import load_migrations
from kneo_grpc.stores.postgres import PostgresStore
from kneo_grpc.stores.statements import load_statements
from tests.contract.builders import (
    act,
    create,
    creation,
    event,
    key_record,
    make_run,
    step,
)
from tests.postgres import Cluster, cluster, quick_place
from tests.waiting import until

LOCK = timedelta(milliseconds=400)
BY_SEQUENCE = PageRequest(sort_by="sequence", limit=1000)

SHIPPED = load_migrations("postgres")


@pytest.fixture
async def store(postgres_dsn: str) -> AsyncIterator[PostgresStore]:
    opened = PostgresStore(postgres_dsn, lock_timeout=LOCK)
    await opened.start()
    yield opened
    await opened.stop()


@pytest.fixture
async def patient(postgres_dsn: str) -> AsyncIterator[PostgresStore]:
    """A store that waits for a row as long as a slow machine takes to release it."""
    opened = PostgresStore(postgres_dsn, lock_timeout=timedelta(seconds=10))
    await opened.start()
    yield opened
    await opened.stop()


@pytest.fixture
async def other(postgres_dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """Another session."""
    connection = await asyncpg.connect(postgres_dsn)
    yield connection
    connection.terminate()


async def waiting_sessions(session: asyncpg.Connection) -> int:
    return await session.fetchval("select count(*) from pg_locks where not granted")


async def test_a_row_that_another_session_holds_delays_no_other_run(store, other) -> None:
    held, free = await create(store), await create(store)
    async with other.transaction():
        await other.execute("select 1 from runs where id = $1 for update", held.id)
        began = time.monotonic()
        results = await asyncio.gather(
            store.commit([step(held, events=(event(),))]),
            store.commit([step(free, events=(event(),))]),
            return_exceptions=True,
        )
        took = time.monotonic() - began
    assert isinstance(results[0], StoreUnavailable)
    assert results[1][0].applied
    # The batch waits once, then the held Change waits once more, alone.
    assert took < 2 * LOCK.total_seconds() + 1
    assert (await store.load_run(held.id)).event_sequence == 0
    assert (await store.commit([step(held)]))[0].applied


async def test_a_row_that_is_released_in_time_is_written(patient, other, postgres_dsn) -> None:
    run = await create(patient)
    watcher = await asyncpg.connect(postgres_dsn)
    transaction = other.transaction()
    await transaction.start()
    await other.execute("select 1 from runs where id = $1 for update", run.id)
    commit = asyncio.create_task(patient.commit([step(run, events=(event(),))]))
    await until(lambda: waiting_sessions(watcher))
    await transaction.rollback()
    (outcome,) = await commit
    assert (outcome.kind, outcome.event_sequence) == (OutcomeKind.APPLIED, 1)
    await watcher.close()


async def test_a_fence_is_judged_after_the_wait_for_the_row(patient, other, postgres_dsn) -> None:
    run = await create(patient)
    watcher = await asyncpg.connect(postgres_dsn)
    transaction = other.transaction()
    await transaction.start()
    await other.execute("update runs set attempt = 2 where id = $1", run.id)
    commit = asyncio.create_task(patient.commit([step(run, events=(event(),))]))
    await until(lambda: waiting_sessions(watcher))
    await transaction.commit()
    (outcome,) = await commit
    assert outcome.kind is OutcomeKind.FENCE_LOST
    assert (await patient.list_events(run.id, None, BY_SEQUENCE)).total == 0
    await watcher.close()


async def test_changes_of_a_deadlocked_batch_land(own_postgres_dsn: str) -> None:
    postgres_dsn = own_postgres_dsn
    other = await asyncpg.connect(postgres_dsn)
    database = postgres_dsn.rsplit("/", 1)[1]
    await other.execute(f"alter database {database} set deadlock_timeout = '1s'")
    store = PostgresStore(postgres_dsn, lock_timeout=timedelta(seconds=5))
    await store.start()
    first, second = await create(store), await create(store)
    watcher = await asyncpg.connect(postgres_dsn)
    # The other session never looks for deadlocks itself, so the batch is the one that is undone.
    await other.execute("set deadlock_timeout = '60s'")
    transaction = other.transaction()
    await transaction.start()
    await other.execute("select 1 from runs where id = $1 for update", second.id)
    commit = asyncio.create_task(
        store.commit([step(first, events=(event(),)), step(second, events=(event(),))])
    )
    await until(lambda: waiting_sessions(watcher))
    await other.execute("select 1 from runs where id = $1 for update", first.id)
    await transaction.commit()
    outcomes = await commit
    assert [(o.kind, o.event_sequence) for o in outcomes] == [(OutcomeKind.APPLIED, 1)] * 2
    counted = "select deadlocks from pg_stat_database where datname = $1"
    assert await until(lambda: watcher.fetchval(counted, database)) == 1
    await watcher.close()
    await other.close()
    await store.stop()


KILL = """
select pid from pg_stat_activity
where datname = current_database() and application_name like 'kneo%'
  and pg_terminate_backend(pid)
"""


async def kill(session: asyncpg.Connection) -> int:
    """End all of the store's sessions, and wait until the server has ended them."""
    pids = [row["pid"] for row in await session.fetch(KILL)]
    gone = "select count(*) = 0 from pg_stat_activity where pid = any ($1::int[])"
    await until(lambda: session.fetchval(gone, pids))
    return len(pids)


async def test_calls_after_killed_connections_work(store, other) -> None:
    run = await create(store)
    for _ in range(10):
        assert await kill(other) >= 3
        assert await store.load_run(run.id) == run
        assert (await store.commit([step(run)]))[0].applied
        assert await store.renew_leases("p", timedelta(seconds=5), ["run_x"]) == frozenset()


class DeadConnection:
    """Says what a connection says whose end the driver has not noticed yet."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.ended = False

    def is_closed(self) -> bool:
        return self.ended

    def terminate(self) -> None:
        self.ended = True

    async def close(self, **_options: Any) -> None:
        self.ended = True

    async def fetch(self, *_arguments: Any) -> Any:
        raise self.error


def replace_connections(store: PostgresStore, error: Exception) -> None:
    for lane in store._writer._lanes:
        lane.connection.terminate()
        lane.connection = DeadConnection(error)


async def test_a_plan_is_sent_once_for_each_connection(store: PostgresStore, other) -> None:
    plan = StoredPlan(digest=PlanDigest("d" * 64), content=b'{"text":"\\u0000 \xc3\xa9"}')

    async def stored() -> int:
        return await other.fetchval("select count(*) from plans where digest = $1", plan.digest)

    async def used() -> None:
        for _ in range(3):
            await store.commit([creation(make_run(plan_digest=plan.digest), plan=plan)])

    await used()
    assert await store.load_plan(plan.digest) == plan.content
    # What nobody does, but so it shows that it is not sent again.
    await other.execute("delete from plans")
    await used()
    assert await stored() == 0
    text = "cannot switch to state 12; another operation (2) is in progress"
    replace_connections(store, asyncpg.InternalClientError(text))
    await used()
    assert await store.load_plan(plan.digest) == plan.content


async def test_a_plan_of_a_run_that_did_not_land_counts_as_not_sent(store: PostgresStore) -> None:
    run = await create(store)
    plan = StoredPlan(digest=PlanDigest("e" * 64), content=b"{}")
    for _ in range(4):
        (outcome,) = await store.commit([creation(run, plan=plan)])
        assert not outcome.applied
    assert await store.load_plan(plan.digest) is None
    await store.commit([creation(make_run(plan_digest=plan.digest), plan=plan)])
    assert await store.load_plan(plan.digest) == plan.content


async def test_a_change_that_never_left_is_sent_again(store: PostgresStore) -> None:
    run = await create(store)
    text = "cannot switch to state 12; another operation (2) is in progress"
    replace_connections(store, asyncpg.InternalClientError(text))
    assert (await store.commit([step(run)]))[0].applied
    assert await store.renew_leases("p", timedelta(seconds=5), ["run_x"]) == frozenset()


async def test_a_change_that_may_have_landed_is_not_sent_again(store: PostgresStore) -> None:
    run = await create(store)
    error = asyncpg.ConnectionDoesNotExistError("closed in the middle of operation")
    replace_connections(store, error)
    with pytest.raises(StoreUnavailable):
        await store.commit([step(run, events=(event(),))])
    assert (await store.load_run(run.id)).event_sequence == 0


async def test_migrating_processes_wait_for_each_other(own_postgres_dsn: str) -> None:
    postgres_dsn = own_postgres_dsn
    other, watcher = [await asyncpg.connect(postgres_dsn) for _ in range(2)]
    await other.execute(load_statements("postgres")["migration_lock"])
    stores = [PostgresStore(postgres_dsn) for _ in range(2)]
    starts = [asyncio.create_task(opened.start()) for opened in stores]

    async def both_wait() -> bool:
        return await waiting_sessions(watcher) == 2

    await until(both_wait)
    await other.close()
    await asyncio.gather(*starts)
    assert await watcher.fetchval("select count(*) from schema_migrations") == len(SHIPPED)
    for opened in stores:
        await opened.stop()
    await watcher.close()


async def test_kills_under_load_lose_nothing_that_was_answered(store, other) -> None:
    answered: dict[str, int] = {}
    tried: dict[str, int] = {}
    ended = asyncio.Event()

    async def drive(number: int) -> None:
        run = make_run(id=f"run_kill_{number}")
        while True:
            try:
                (outcome,) = await store.commit([creation(run)])
                break
            except StoreUnavailable:
                if await store.load_run(run.id):
                    break
        while not ended.is_set():
            tried[run.id] = tried.get(run.id, 0) + 1
            try:
                (outcome,) = await store.commit([step(run, events=(event(),))])
            except StoreUnavailable:
                continue
            assert outcome.applied
            answered[run.id] = answered.get(run.id, 0) + 1

    drivers = [asyncio.create_task(drive(number)) for number in range(10)]
    killed = 0
    while killed < 12 or len(answered) < 10:
        killed += await kill(other)
        before = sum(answered.values())
        await until(lambda before=before: _grown(answered, before))
    ended.set()
    await asyncio.gather(*drivers)
    for run_id, count in answered.items():
        events = await store.list_events(run_id, None, BY_SEQUENCE)
        found = (await store.load_run(run_id)).event_sequence
        assert events.total == found
        assert count <= found <= tried[run_id]


async def _grown(answered: dict[str, int], before: int) -> bool:
    return sum(answered.values()) > before + 10


async def test_a_server_that_comes_back_is_used_again() -> None:
    with cluster(quick_place()) as server:
        store = PostgresStore(server.dsn(), connect_timeout=timedelta(seconds=2))
        await store.start()
        run = await create(store)
        server.stop()
        for call in (store.load_run(run.id), store.check(), store.commit([step(run)])):
            with pytest.raises(StoreUnavailable):
                await call
        with pytest.raises(StoreUnavailable):
            await store.renew_leases("p", timedelta(seconds=5), ["run_x"])
        server.start()
        assert await store.load_run(run.id) == run
        assert (await store.commit([step(run)]))[0].applied
        await store.stop()


async def test_a_server_that_is_down_refuses_the_start_without_telling_the_password() -> None:
    with cluster(quick_place()) as server:
        server.stop()
        store = PostgresStore(server.dsn(password="s3cret"))
        with pytest.raises(StartRefused, match="PostgreSQL does not answer") as refused:
            await store.start()
        assert "s3cret" not in str(refused.value)
        with pytest.raises(StoreUnavailable, match="not started"):
            await store.commit([creation(make_run())])
        server.start()
        await store.start()
        await store.check()
        await store.stop()


@pytest.mark.parametrize(
    "dsn",
    ["postgresql://kneo:s3cret/x@127.0.0.1:1/db", "mysql://kneo:s3cret@h/db", "s3cret"],
)
async def test_an_unreadable_address_is_refused_without_telling_the_password(dsn: str) -> None:
    with pytest.raises(StartRefused) as refused:
        await PostgresStore(dsn, connect_timeout=timedelta(seconds=2)).start()
    assert "s3cret" not in str(refused.value)


async def test_an_unknown_database_refuses_the_start(postgres_cluster: Cluster) -> None:
    with pytest.raises(StartRefused, match='database "nowhere" does not exist'):
        await PostgresStore(postgres_cluster.dsn("nowhere")).start()


async def test_commits_that_may_be_lost_refuse_the_start(own_postgres_dsn: str) -> None:
    database = own_postgres_dsn.rsplit("/", 1)[1]
    other = await asyncpg.connect(own_postgres_dsn)
    await other.execute(f"alter database {database} set synchronous_commit = off")
    await other.close()
    with pytest.raises(StartRefused, match="synchronous_commit = off"):
        await PostgresStore(own_postgres_dsn).start()


async def test_a_server_without_fsync_refuses_the_start() -> None:
    with (
        cluster(quick_place(), fsync="off") as server,
        pytest.raises(StartRefused, match="fsync = off"),
    ):
        await PostgresStore(server.dsn()).start()


async def test_a_statement_that_takes_too_long_is_given_up(postgres_dsn: str, other) -> None:
    store = PostgresStore(postgres_dsn, statement_timeout=timedelta(milliseconds=300))
    await store.start()
    run = await create(store)
    async with other.transaction():
        await other.execute("lock table runs in access exclusive mode")
        with pytest.raises(StoreUnavailable):
            await store.load_run(run.id)
    assert await store.load_run(run.id) == run
    await store.stop()


async def test_a_rare_change_waits_for_the_run_and_then_lands_whole(store, other) -> None:
    run = await create(store, status=RunStatus.BLOCKED)
    change = act(
        run,
        RunStatus.BLOCKED,
        idempotency=key_record("k"),
        close_tasks=HumanTaskStatus.CANCELLED,
    )
    async with other.transaction():
        await other.execute("select 1 from runs where id = $1 for update", run.id)
        with pytest.raises(StoreUnavailable, match="locked by another session"):
            await store.commit([change])
    assert await store.load_idempotency("ann", "runs.create", "k") is None
    assert (await store.commit([change]))[0].applied
