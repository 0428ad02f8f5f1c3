"""What every store does to stay small: what ages is removed, batch by batch, and nothing else."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import pytest

from kneo_grpc.domain.change import Change, ExpectStatus, JobKind, OutcomeKind
from kneo_grpc.domain.human import HumanTask, HumanTaskStatus
from kneo_grpc.domain.run import ACTIVE, TERMINAL, Run, RunStatus
from kneo_grpc.ports.store import LoadedState, PageRequest, RunFilter, Store
from kneo_grpc.ports.upkeep import Kept
from kneo_grpc.stores.postgres import PostgresStore
from tests.contract.builders import (
    NOW,
    act,
    audit,
    checkpoint,
    create,
    creation,
    event,
    human_task,
    job,
    key_record,
    make_run,
    settlement,
    step,
)
from tests.contract.conftest import Query

TICK = timedelta(microseconds=1)
DAY = timedelta(days=1)
AGES = timedelta(days=30)
SLOT = NOW.replace(second=20, microsecond=0)
"""Where two slots of updated_slot meet."""
BY_ID = PageRequest(sort_by="id", limit=1000)
OF_RUNS = ("events", "checkpoints", "human_tasks", "jobs", "audit_events")
RESPONSE = {"id": "run_1"}


async def prune(
    store: Any, what: Kept, before: datetime = NOW, *, statuses=TERMINAL, limit: int = 1000
) -> int:
    await store.seal("sealer", timedelta(seconds=60), limit=10_000)  # nothing unsealed goes
    return await store.prune(what, before, statuses=statuses, limit=limit)


async def prune_all(store: Any, what: Kept, before: datetime, limit: int) -> list[int]:
    """Repeat as a caller does; return what each time brought."""
    counts = []
    while not counts or counts[-1] >= limit:
        assert len(counts) < 100, "there is no end to it"
        counts.append(await prune(store, what, before, limit=limit))
    return counts


async def run_ids(store: Store) -> set[str]:
    return {run.id for run in (await store.list_runs(RunFilter(), BY_ID)).items}


async def old_run(store: Any, age: timedelta, status=RunStatus.COMPLETED, **parts: Any) -> Run:
    """Store a run that was last updated so long before NOW."""
    run = make_run(status=status, updated_at=NOW - age)
    (outcome,) = await store.commit([creation(run, **parts)])
    assert outcome.applied
    return run


async def full_run(store: Any, age: timedelta, status=RunStatus.COMPLETED) -> Run:
    """Store a run with a row in every table."""
    at = NOW - age
    run = make_run(status=status, updated_at=at)
    settled, waiting = human_task(run.id), human_task(run.id)
    await store.commit(
        [
            creation(
                run,
                events=(event(timestamp=at), event(timestamp=at)),
                checkpoints=(checkpoint({"a": 1}, created_at=at),),
                open_tasks=(settled, waiting),
                jobs=(job(JobKind.DEAD), job(JobKind.HUMAN_EXPIRY, subject="a#1"), job()),
                audit=(audit(run_id=run.id, created_at=at), audit(created_at=at)),
                idempotency=key_record(run.id, run_id=run.id, created_at=at),
            )
        ]
    )
    await store.commit([act(run, status, settle=(settlement(settled, at=at),))])
    return run


async def rows_of(query: Query, run: Run) -> dict[str, int]:
    """Count a run's rows by table."""
    counts = {}
    for table in OF_RUNS:
        ((counts[table],),) = await query(f"select count(*) from {table} where run_id = '{run.id}'")
    ((counts["runs"],),) = await query(f"select count(*) from runs where id = '{run.id}'")
    return counts


@pytest.mark.parametrize("before", [NOW, SLOT])
async def test_a_run_goes_when_it_is_older_than_the_bound(store: Store, before) -> None:
    ages = {"older": -TICK, "at": 0 * TICK, "younger": TICK, "old": -AGES}
    runs = {name: make_run(status=RunStatus.FAILED) for name in ages}
    for name, run in runs.items():
        await store.commit([creation(replace(run, updated_at=before + ages[name]))])
    assert await prune(store, Kept.RUNS, before) == 2
    assert await run_ids(store) == {runs["at"].id, runs["younger"].id}


async def test_runs_of_the_given_statuses_go_and_those_that_go_on_never(store: Store) -> None:
    runs = {status: await old_run(store, DAY, status) for status in RunStatus}
    some = {RunStatus.CANCELLED, RunStatus.TIMED_OUT}
    assert await prune(store, Kept.RUNS, statuses=some) == 2
    assert await run_ids(store) == {run.id for status, run in runs.items() if status not in some}
    assert await prune(store, Kept.RUNS, statuses=frozenset()) == 0
    assert await prune(store, Kept.RUNS) == 3
    assert await run_ids(store) == {runs[status].id for status in ACTIVE}


async def test_everything_of_a_run_goes_with_it_and_nothing_of_others(
    store: Store, query: Query
) -> None:
    gone, young = await full_run(store, DAY), await full_run(store, -DAY)
    blocked = await full_run(store, DAY, RunStatus.BLOCKED)
    whole = {"events": 2, "checkpoints": 1, "human_tasks": 2, "jobs": 3, "audit_events": 1}
    assert await rows_of(query, gone) == {**whole, "runs": 1}
    assert await prune(store, Kept.RUNS) == 1
    assert await rows_of(query, gone) == dict.fromkeys((*OF_RUNS, "runs"), 0)
    for kept in (young, blocked):
        assert await rows_of(query, kept) == {**whole, "runs": 1}
    assert await query("select count(*) from audit_events where run_id is null") == [(3,)]
    # Plans are shared, and keys have an age of their own.
    assert await query("select count(*) from plans") == [(1,)]
    assert await query("select count(*) from idempotency_records") == [(3,)]


async def test_the_oldest_runs_go_first_up_to_the_limit(store: Store) -> None:
    runs = [await old_run(store, number * DAY) for number in (2, 5, 1, 4, 3)]
    assert await prune(store, Kept.RUNS, limit=2) == 2
    assert await run_ids(store) == {runs[number].id for number in (0, 2, 4)}


async def test_the_limit_is_for_runs_of_all_statuses_together(store: Store) -> None:
    for status in TERMINAL:
        for _ in range(2):
            await full_run(store, DAY, status)
    assert await prune(store, Kept.RUNS, limit=3) == 3
    assert len(await run_ids(store)) == 7


async def test_with_a_run_of_a_batch_goes_what_is_its_own(store: Store, query: Query) -> None:
    runs = [await full_run(store, (9 - number) * DAY) for number in range(4)]
    assert await prune(store, Kept.RUNS, limit=2) == 2
    assert [sum((await rows_of(query, run)).values()) for run in runs] == [0, 0, 10, 10]


async def settled_tasks(store: Any, *instants: datetime, **fields: Any) -> list[HumanTask]:
    """Store a run whose tasks were settled then; one more is pending, and comes last."""
    run = make_run(status=RunStatus.BLOCKED, **fields)
    tasks = [human_task(run.id, created_at=NOW - AGES) for _ in range(len(instants) + 1)]
    await store.commit([creation(run, open_tasks=tuple(tasks))])
    settled = tuple(settlement(task, at=at) for task, at in zip(tasks, instants, strict=False))
    await store.commit([act(run, RunStatus.BLOCKED, settle=settled)])
    return tasks


async def test_a_settled_task_goes_when_it_is_older_than_the_bound(store: Store) -> None:
    tasks = await settled_tasks(store, NOW - TICK, NOW, NOW + TICK, NOW - AGES)
    assert await prune(store, Kept.CONTINUATIONS) == 2
    left = [await store.load_human_task(task.id) is not None for task in tasks]
    assert left == [False, True, True, False, True]


async def test_a_pending_task_never_goes(store: Store) -> None:
    *settled, pending = await settled_tasks(store, NOW - AGES)
    assert await prune(store, Kept.CONTINUATIONS, NOW + 99 * AGES) == 1
    assert await store.load_human_task(settled[0].id) is None
    assert (await store.load_human_task(pending.id)) == pending


async def test_a_task_that_ended_with_its_run_ages_from_then_on(store: Store) -> None:
    (task,) = await settled_tasks(store)
    run = await store.load_run(task.run_id)
    ended = replace(run, status=RunStatus.CANCELLED, updated_at=NOW - DAY)
    await store.commit([act(ended, RunStatus.BLOCKED, close_tasks=HumanTaskStatus.CANCELLED)])
    assert await prune(store, Kept.CONTINUATIONS, NOW - DAY) == 0
    assert await prune(store, Kept.CONTINUATIONS, NOW - DAY + TICK) == 1
    assert await store.load_human_task(task.id) is None
    assert await run_ids(store) == {run.id}


async def test_the_oldest_tasks_go_first_up_to_the_limit(store: Store) -> None:
    tasks = await settled_tasks(store, *(NOW - number * DAY for number in (2, 5, 1, 4, 3)))
    assert await prune(store, Kept.CONTINUATIONS, limit=2) == 2
    left = [await store.load_human_task(task.id) is not None for task in tasks]
    assert left == [True, False, True, False, True, True]


async def test_audit_records_go_when_they_are_older_than_the_bound(
    store: Store, query: Query
) -> None:
    instants = (NOW - TICK, NOW, NOW + TICK, NOW - AGES)
    records = tuple(audit(created_at=at) for at in instants)
    await store.commit([creation(make_run(status=RunStatus.BLOCKED), audit=records)])
    assert await prune(store, Kept.AUDIT) == 2
    left = await query("select id from audit_events order by id")
    assert left == [(records[1].id,), (records[2].id,)]


async def test_a_key_goes_when_its_call_ended_and_it_is_older_than_the_bound(
    store: Store, query: Query
) -> None:
    instants = {"older": NOW - TICK, "at": NOW, "younger": NOW + TICK, "old": NOW - AGES}
    for name, at in instants.items():
        await store.commit(
            [creation(make_run(), idempotency=key_record(name, created_at=at, response=RESPONSE))]
        )
    run, ended = make_run(), make_run(status=RunStatus.FAILED)
    for owner, name in ((run, "unfinished"), (ended, "lost")):
        # The process that would have written the response was killed.
        record = key_record(name, created_at=NOW - AGES, run_id=owner.id)
        await store.commit([creation(owner, idempotency=record)])
    assert await prune(store, Kept.IDEMPOTENCY) == 3
    assert await query("select key from idempotency_records order by key") == [
        ("at",),
        ("unfinished",),
        ("younger",),
    ]
    await store.commit([step(run, complete=("ann", "runs.create", "unfinished", RESPONSE))])
    assert await prune(store, Kept.IDEMPOTENCY) == 1


async def test_keys_that_differ_in_one_part_only_are_different(store: Store, query: Query) -> None:
    parts = [("ann", "a", "k"), ("ann", "a", "l"), ("ann", "b", "k"), ("bob", "a", "k")]
    for number, (principal, scope, key) in enumerate(parts):
        at = NOW - AGES if number == 0 else NOW
        record = key_record(key, principal=principal, scope=scope, created_at=at, response=RESPONSE)
        await store.commit([creation(make_run(), idempotency=record)])
    assert await prune(store, Kept.IDEMPOTENCY) == 1
    assert await query(
        "select principal, scope, key from idempotency_records order by 1, 2, 3"
    ) == sorted(parts[1:])


async def run_with_states(
    store: Any, count: int, *, age: timedelta = DAY, status=RunStatus.FAILED
) -> Run:
    """Store an ended run with checkpoints of a year ago."""
    run = make_run()
    states = tuple(checkpoint({"n": n}, created_at=NOW - 365 * DAY) for n in range(count))
    await store.commit([creation(run, checkpoints=states)])
    ended = replace(run, status=status, updated_at=NOW - age, checkpoint_sequence=count)
    (outcome,) = await store.commit([step(ended)])
    assert outcome.applied
    return ended


async def counts_of_states(query: Query, *runs: Run) -> list[int]:
    return [(await rows_of(query, run))["checkpoints"] for run in runs]


async def test_all_checkpoints_of_a_run_go_together(store: Store, query: Query) -> None:
    runs = [await run_with_states(store, count) for count in (70, 3)]
    assert await prune(store, Kept.CHECKPOINTS, limit=1) in (70, 3)
    assert sorted(await counts_of_states(query, *runs)) in ([0, 3], [0, 70])
    assert await prune(store, Kept.CHECKPOINTS, limit=1) in (70, 3)
    assert await counts_of_states(query, *runs) == [0, 0]
    assert await prune(store, Kept.CHECKPOINTS, limit=1) == 0
    for run in runs:
        assert await store.load_state(run.id) == LoadedState()
    assert await run_ids(store) == {run.id for run in runs}


async def test_a_batch_takes_no_more_runs_than_its_limit(store: Store, query: Query) -> None:
    runs = [await run_with_states(store, 1) for _ in range(5)]
    assert await prune(store, Kept.CHECKPOINTS, limit=2) == 2
    assert sum(await counts_of_states(query, *runs)) == 3


async def test_a_young_run_keeps_its_checkpoints(store: Store, query: Query) -> None:
    young = await run_with_states(store, 3, age=-TICK)
    at = await run_with_states(store, 3, age=timedelta(0))
    old = await run_with_states(store, 3, age=TICK)
    assert await prune(store, Kept.CHECKPOINTS) == 3
    assert await counts_of_states(query, young, at, old) == [3, 3, 0]


async def test_checkpoints_go_when_they_are_older_than_the_bound(
    store: Store, query: Query
) -> None:
    runs = []
    for at in (NOW - TICK, NOW):
        run = make_run(status=RunStatus.FAILED, updated_at=NOW - DAY)
        await store.commit([creation(run, checkpoints=(checkpoint({}, created_at=at),))])
        runs.append(run)
    assert await prune(store, Kept.CHECKPOINTS) == 1
    assert await counts_of_states(query, *runs) == [0, 1]


async def test_checkpoints_of_the_given_statuses_go_and_those_needed_never(
    store: Store, query: Query
) -> None:
    runs = {status: await run_with_states(store, 2, status=status) for status in RunStatus}
    some = {RunStatus.CANCELLED, RunStatus.TIMED_OUT}
    assert await prune(store, Kept.CHECKPOINTS, statuses=some) == 4
    counts = await counts_of_states(query, *runs.values())
    assert counts == [0 if status in some else 2 for status in runs]
    assert await prune(store, Kept.CHECKPOINTS) == 6
    counts = await counts_of_states(query, *runs.values())
    assert counts == [2 if status in ACTIVE else 0 for status in runs]


async def test_who_read_a_failed_runs_state_before_cannot_go_on_with_it(store: Store) -> None:
    run, kept = await run_with_states(store, 2), await run_with_states(store, 2, age=-DAY)
    other = await run_with_states(store, 2, status=RunStatus.COMPLETED)

    def continued(one: Run) -> Change:
        return Change(
            run=replace(one, status=RunStatus.RUNNING, attempt=one.attempt + 1),
            expect=ExpectStatus(frozenset({RunStatus.FAILED}), attempt=one.attempt),
            base_state={"n": 1},
            checkpoints=(checkpoint({"n": 2}),),
        )

    prepared = [continued(run), continued(kept)]
    assert await prune(store, Kept.CHECKPOINTS) == 4
    outcomes = await store.commit(prepared)
    assert [outcome.kind for outcome in outcomes] == [
        OutcomeKind.FENCE_LOST,
        OutcomeKind.APPLIED,
    ]
    assert await store.load_run(run.id) == replace(run, attempt=run.attempt + 1)
    assert await store.load_run(other.id) == other


async def fill(store: Any, what: Kept, count: int) -> None:
    """Store what shall go, and two that shall stay."""
    for number in range(count + 2):
        at = NOW - DAY - number * TICK if number < count else NOW
        run = make_run(status=RunStatus.FAILED, updated_at=at)
        await store.commit(
            [
                creation(
                    run,
                    checkpoints=(checkpoint({}, created_at=at),),
                    open_tasks=(task := human_task(run.id),),
                    audit=(audit(created_at=at),),
                    idempotency=key_record(run.id, created_at=at, response=RESPONSE),
                )
            ]
        )
        held = replace(run, checkpoint_sequence=1)
        await store.commit([act(held, RunStatus.FAILED, settle=(settlement(task, at=at),))])


TABLE_OF = {
    Kept.RUNS: "runs",
    Kept.CHECKPOINTS: "checkpoints",
    Kept.CONTINUATIONS: "human_tasks",
    Kept.AUDIT: "audit_events",
    Kept.IDEMPOTENCY: "idempotency_records",
}


async def test_repeating_it_removes_everything_and_stops(store: Store, query: Query) -> None:
    await fill(store, Kept.RUNS, 7)
    # What belongs to a run goes with it, so the runs come last.
    for what in reversed(Kept):
        assert await query(f"select count(*) from {TABLE_OF[what]}") == [(9,)]
        assert await prune_all(store, what, NOW, 3) == [3, 3, 1]
        assert await query(f"select count(*) from {TABLE_OF[what]}") == [(2,)]
        assert await prune(store, what) == 0


@pytest.fixture
async def session(postgres_dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """Somebody else's session."""
    connection = await asyncpg.connect(postgres_dsn)
    yield connection
    connection.terminate()


@pytest.mark.parametrize("what", list(Kept))
async def test_rows_that_another_session_holds_are_passed_over(
    postgres_dsn: str, session: asyncpg.Connection, what: Kept
) -> None:
    store = PostgresStore(postgres_dsn, lock_timeout=timedelta(seconds=5))
    await store.start()
    await fill(store, what, 4)
    held, key = {
        Kept.RUNS: ("runs", "updated_at"),
        Kept.CHECKPOINTS: ("runs", "updated_at"),
        Kept.CONTINUATIONS: ("human_tasks", "settled_at"),
        Kept.AUDIT: ("audit_events", "created_at"),
        Kept.IDEMPOTENCY: ("idempotency_records", "created_at"),
    }[what]
    transaction = session.transaction()
    await transaction.start()
    locked = await session.fetch(f"select 1 from {held} order by {key} limit 2 for update")
    assert len(locked) == 2
    began = time.monotonic()
    assert await prune(store, what) == 2
    assert time.monotonic() - began < 2
    await transaction.rollback()
    assert await prune(store, what) == 2
    await store.stop()


async def test_commits_go_on_while_many_runs_are_removed(store: Store, query: Query) -> None:
    old = [make_run(status=RunStatus.COMPLETED, updated_at=NOW - DAY) for _ in range(600)]
    parts = {
        "events": tuple(event() for _ in range(4)),
        "checkpoints": (checkpoint({"a": 1}), checkpoint({"a": 2})),
    }
    await store.commit([creation(run, audit=(audit(run_id=run.id),), **parts) for run in old])
    runs = [await create(store) for _ in range(4)]
    done = asyncio.Event()
    slowest = 0.0

    async def work(run: Run) -> int:
        nonlocal slowest
        count = 0
        while not done.is_set() or count < 20:
            began = time.monotonic()
            (outcome,) = await store.commit([step(run, events=(event(),))])
            slowest = max(slowest, time.monotonic() - began)
            assert outcome.applied
            count += 1
        return count

    async def remove() -> list[int]:
        counts = await prune_all(store, Kept.RUNS, NOW, 50)
        done.set()
        return counts

    counts, *committed = await asyncio.gather(remove(), *(work(run) for run in runs))
    assert counts == [*[50] * 12, 0]
    for run, count in zip(runs, committed, strict=True):
        assert (await store.load_run(run.id)).event_sequence == count
        assert (await rows_of(query, run))["events"] == count
    assert slowest < 1.5
    assert await run_ids(store) == {run.id for run in runs}
