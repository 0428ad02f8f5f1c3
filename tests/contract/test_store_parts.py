"""What every store does with the parts of a Change: keys, human tasks, jobs and leases."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from kneo_grpc.domain.change import (
    JobKind,
    OutcomeKind,
)
from kneo_grpc.domain.human import HumanTaskStatus
from kneo_grpc.domain.run import RunStatus
from kneo_grpc.ports.store import HumanTaskFilter, PageRequest, RunFilter, Store
from tests.contract.builders import (
    NOW,
    act,
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
from tests.contract.conftest import Query, open_store

BY_SEQUENCE = PageRequest(sort_by="sequence", limit=1000)


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


async def test_an_idempotency_key_is_used_once_whoever_comes_first(store: Store) -> None:
    changes = [creation(make_run(), idempotency=key_record("k")) for _ in range(8)]
    outcomes = await asyncio.gather(*(store.commit([change]) for change in changes))
    kinds = sorted(outcome.kind.value for (outcome,) in outcomes)
    assert kinds == ["applied"] + ["exists"] * 7
    assert (await store.list_runs(RunFilter(), PageRequest(sort_by="id"))).total == 1


async def test_an_idempotency_record_is_completed_by_a_later_change(store: Store) -> None:
    run = make_run()
    record = key_record("k", run_id=run.id)
    await store.commit([creation(run, idempotency=record)])
    assert await store.load_idempotency("ann", "runs.create", "k") == record
    response = {"id": run.id, "big": 2**65}
    await store.commit([step(run, complete=("ann", "runs.create", "k", response))])
    completed = await store.load_idempotency("ann", "runs.create", "k")
    assert completed == replace(record, response=response)


async def test_a_task_is_settled_once(store: Store) -> None:
    run = make_run(status=RunStatus.BLOCKED)
    task = human_task(run.id)
    await store.commit([creation(run, open_tasks=(task,))])
    change = act(run, RunStatus.BLOCKED, settle=(settlement(task),))
    first, second = [(await store.commit([change]))[0].kind for _ in range(2)]
    assert (first, second) == (OutcomeKind.APPLIED, OutcomeKind.TASK_SETTLED)
    loaded = await store.load_human_task(task.id)
    decision = settlement(task).decision
    assert loaded == replace(task, status=HumanTaskStatus.DECIDED, decision=decision)


async def test_of_sixteen_decisions_at_once_one_wins(store: Store, address, query: Query) -> None:
    run = make_run(status=RunStatus.BLOCKED)
    task = human_task(run.id)
    await store.commit([creation(run, open_tasks=(task,))])
    shared = {} if isinstance(address, str) else {"exclusive": False}
    other = open_store(address, **shared)
    await other.start()
    changes = [
        act(
            replace(run, status=RunStatus.QUEUED, attempt=2),
            RunStatus.BLOCKED,
            settle=(settlement(task, decided_by=f"p{number}"),),
            events=(event("human_decision"),),
        )
        for number in range(16)
    ]
    outcomes = await asyncio.gather(
        *((store, other)[number % 2].commit([c]) for number, c in enumerate(changes))
    )
    await other.stop()
    kinds = sorted(outcome.kind.value for (outcome,) in outcomes)
    assert kinds == ["applied"] + ["task_settled"] * 15
    assert (await store.list_events(run.id, None, BY_SEQUENCE)).total == 1
    winner = next(n for n, (outcome,) in enumerate(outcomes) if outcome.applied)
    assert await query("select decided_by from human_tasks") == [(f"p{winner}",)]


async def test_a_settlement_names_a_task_of_the_run(store: Store) -> None:
    run = make_run(status=RunStatus.BLOCKED)
    task = human_task(run.id)
    await store.commit([creation(run, open_tasks=(task,))])
    other = await create(store, status=RunStatus.BLOCKED)
    (outcome,) = await store.commit([act(other, RunStatus.BLOCKED, settle=(settlement(task),))])
    assert outcome.kind is OutcomeKind.TASK_SETTLED


async def test_closing_tasks_ends_those_that_wait_and_no_others(store: Store) -> None:
    run, other = make_run(status=RunStatus.BLOCKED), make_run(status=RunStatus.BLOCKED)
    tasks = [human_task(run.id) for _ in range(3)]
    kept = human_task(other.id)
    await store.commit([creation(run, open_tasks=tuple(tasks))])
    await store.commit([creation(other, open_tasks=(kept,))])
    opened = human_task(run.id)
    change = act(
        run,
        RunStatus.BLOCKED,
        settle=(settlement(tasks[0]),),
        close_tasks=HumanTaskStatus.CANCELLED,
        open_tasks=(opened,),
    )
    await store.commit([change])
    statuses = [(await store.load_human_task(task.id)).status.value for task in tasks]
    assert statuses == ["decided", "cancelled", "cancelled"]
    pending = await store.list_human_tasks(HumanTaskFilter(), PageRequest(sort_by="id"))
    assert {task.id for task in pending.items} == {kept.id, opened.id}


async def test_jobs_are_cleared_by_kind_before_new_ones_are_added(
    store: Store, query: Query
) -> None:
    run = make_run()
    first = (
        job(),
        job(JobKind.DEADLINE),
        job(JobKind.HUMAN_EXPIRY, subject="a#1"),
        job(JobKind.HUMAN_EXPIRY, subject="b#1"),
    )
    await store.commit([creation(run, jobs=first)])
    change = step(
        run,
        clear_jobs=frozenset({JobKind.RUN, JobKind.HUMAN_EXPIRY}),
        jobs=(job(JobKind.HUMAN_EXPIRY, subject="b#1", lease_owner="p"), job(JobKind.HUMAN_EXPIRY)),
    )
    await store.commit([change])
    rows = await query("select kind, subject, lease_owner from jobs order by kind, subject")
    assert rows == [
        ("deadline", "", None),
        ("human_expiry", "", None),
        ("human_expiry", "b#1", "p"),
    ]


async def test_a_job_of_the_same_name_replaces_the_older(store: Store, query: Query) -> None:
    run = make_run()
    await store.commit(
        [creation(run, jobs=(job(lease_owner="p", lease_for=timedelta(seconds=9)),))]
    )
    await store.commit([step(run, jobs=(job(due_at=later(5)),))])
    rows = await query("select lease_owner, lease_expires_at from jobs")
    assert rows == [(None, None)]


async def test_leases_are_judged_by_the_databases_clock(store: Store, query: Query) -> None:
    def leased(run, owner: str, seconds: float):
        lease = timedelta(seconds=seconds)
        return creation(run, jobs=(job(due_at=later(-9e8), lease_owner=owner, lease_for=lease),))

    held, expired, foreign, free = (make_run() for _ in range(4))
    await store.commit([leased(held, "p1", 60), leased(expired, "p1", -60)])
    await store.commit([leased(foreign, "p2", 60), creation(free, jobs=(job(),))])
    assert await store.count_jobs() == {"queued": 2, "running": 2}
    assert await store.renew_leases("p1", timedelta(seconds=900), [held.id, "run_x"]) == {held.id}
    assert await store.count_jobs() == {"queued": 2, "running": 2}
    sql = f"select lease_expires_at from jobs where run_id = '{held.id}'"
    ((until,),) = await query(sql)
    if isinstance(until, int):
        until = datetime.fromtimestamp(until / 1e6, tz=UTC)
    assert abs(until - datetime.now(UTC) - timedelta(seconds=900)) < timedelta(seconds=30)


async def test_renewing_for_nobody_renews_nothing(store: Store) -> None:
    assert await store.renew_leases("nobody", timedelta(seconds=15), ["run_x"]) == frozenset()


async def test_jobs_of_other_kinds_are_not_counted(store: Store) -> None:
    run = make_run()
    await store.commit([creation(run, jobs=(job(JobKind.DEADLINE), job(JobKind.HUMAN_EXPIRY)))])
    assert await store.count_jobs() == {"queued": 0, "running": 0}


async def test_dropped_tasks_end_as_cancelled_and_settled_ones_stay(store: Store) -> None:
    run = make_run(status=RunStatus.BLOCKED)
    tasks = [human_task(run.id) for _ in range(3)]
    await store.commit([creation(run, open_tasks=tuple(tasks))])
    await store.commit([act(run, RunStatus.BLOCKED, settle=(settlement(tasks[0]),))])
    dropped = tuple(task.id for task in tasks[:2])
    (outcome,) = await store.commit([act(run, RunStatus.BLOCKED, drop_tasks=dropped)])
    assert outcome.applied
    loaded = [await store.load_human_task(task.id) for task in tasks]
    assert [task.status.value for task in loaded if task] == ["decided", "cancelled", "pending"]


async def test_a_change_without_checkpoints_does_not_land_on_a_run_that_got_on(
    store: Store,
) -> None:
    run = make_run(status=RunStatus.BLOCKED)
    await store.commit([creation(run, checkpoints=(checkpoint({}),))])
    (late,) = await store.commit([act(run, RunStatus.BLOCKED)])
    assert late.kind is OutcomeKind.FENCE_LOST
    (outcome,) = await store.commit([act(replace(run, checkpoint_sequence=1), RunStatus.BLOCKED)])
    assert outcome.applied
