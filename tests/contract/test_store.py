"""What every store does with a Change."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from kneo_grpc.domain.change import (
    ExpectAttempt,
    ExpectStatus,
    JobKind,
    OutcomeKind,
    StoredPlan,
)
from kneo_grpc.domain.errors import InvalidInput
from kneo_grpc.domain.human import HumanTaskStatus
from kneo_grpc.domain.run import PendingRequest, RunError, RunStatus
from kneo_grpc.ports.store import PageRequest, Store
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
    new_id,
    request,
    settlement,
    step,
)
from tests.contract.conftest import Query, open_store

TABLES = (
    "plans",
    "runs",
    "events",
    "checkpoints",
    "human_tasks",
    "jobs",
    "audit_events",
    "idempotency_records",
)
BY_SEQUENCE = PageRequest(sort_by="sequence", limit=1000)


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def full_run():
    pending = PendingRequest(
        continuation_id=new_id("cont"),
        step_path="review#1",
        request=request(),
        expires_at=later(60),
    )
    return make_run(
        agent_name="writer",
        workflow_name="release",
        workflow_kind="graph",
        environment="prod",
        session_id="session-1",
        input_text="ünïcode 漢字\n\x00 and \ud800",
        output_text="out\x00put",
        current_step_id="a",
        current_node_id="b",
        visited_steps=("a", "b"),
        visited_nodes=("n",),
        pending=(pending, replace(pending, expires_at=None)),
        source={"z": 1, "a": [1.0, 2**70, None, True, "\x00", "\udfff"], "nested": {"k": {}}},
        result={"metadata": {"x": 1.5}},
        error=RunError(type="Boom", message="it broke \x00"),
        updated_at=later(1),
        started_at=later(2),
        completed_at=later(3),
        deadline_at=later(4),
    )


async def count_rows(query: Query) -> dict[str, int]:
    return {table: (await query(f"select count(*) from {table}"))[0][0] for table in TABLES}


async def test_a_run_reads_back_in_every_field(store: Store) -> None:
    run = full_run()
    await store.commit([creation(run)])
    assert await store.load_run(run.id) == run


async def test_json_keeps_the_order_of_keys_and_the_kind_of_numbers(store: Store) -> None:
    run = make_run(source={"z": 1, "a": 1.0, "m": True})
    await store.commit([creation(run)])
    loaded = await store.load_run(run.id)
    assert repr(loaded.source) == repr(run.source)


async def test_an_update_writes_what_may_change_and_keeps_the_rest(store: Store) -> None:
    run = full_run()
    await store.commit([creation(run)])
    changed = replace(
        run,
        status=RunStatus.COMPLETED,
        attempt=4,
        agent_name=None,
        workflow_name="other",
        output_text="done",
        current_step_id=None,
        visited_steps=("a", "b", "c"),
        pending=(),
        result={},
        error=None,
        updated_at=later(10),
        completed_at=later(11),
        deadline_at=None,
    )
    written_once = replace(changed, source={}, plan_digest="e" * 64)
    await store.commit([step(written_once, expect=ExpectAttempt(1))])
    assert await store.load_run(run.id) == changed


async def test_what_is_not_there_is_none(store: Store) -> None:
    assert await store.load_run("run_none") is None
    assert await store.load_plan("0" * 64) is None
    assert await store.load_human_task("cont_none") is None
    assert await store.load_idempotency("ann", "scope", "key") is None
    assert (await store.load_state("run_none")).checkpoint_sequence == 0


async def test_events_and_checkpoints_read_back_in_every_field(store: Store) -> None:
    run = make_run()
    first = event("run_created", data={"metadata": {"b": 1, "a": ["\x00", 2**64]}})
    second = event("step_started", timestamp=later(5), data={})
    point = checkpoint(
        {"messages": [{"role": "user"}]},
        workflow_name="release",
        step_id="a",
        node_id="b",
        iteration=3,
        metadata={"k": None},
    )
    (outcome,) = await store.commit([creation(run, events=(first, second), checkpoints=(point,))])
    assert (outcome.event_sequence, outcome.checkpoint_sequence) == (2, 1)
    events = await store.list_events(run.id, None, BY_SEQUENCE)
    assert events.items == (replace(first, sequence=1), replace(second, sequence=2))
    points = await store.list_checkpoints(run.id, None, BY_SEQUENCE)
    assert points.items == (replace(point, sequence=1),)


async def test_a_human_task_reads_back_in_every_field(store: Store) -> None:
    run = make_run(status=RunStatus.BLOCKED)
    task = human_task(run.id, current_input="nul \x00")
    endless = human_task(run.id, expires_at=None, request=request(options=None, assignee=None))
    await store.commit([creation(run, open_tasks=(task, endless))])
    assert await store.load_human_task(task.id) == task
    assert await store.load_human_task(endless.id) == endless


async def test_a_plan_is_kept_once(store: Store, query: Query) -> None:
    plan = StoredPlan(digest="c" * 64, content=b"\x00\xff bytes")
    changes = [creation(make_run(plan_digest=plan.digest), plan=plan) for _ in range(3)]
    outcomes = await store.commit(changes)
    assert all(outcome.applied for outcome in outcomes)
    assert await store.load_plan(plan.digest) == plan.content
    assert (await query("select count(*) from plans"))[0][0] == 1


async def test_audit_events_land_with_their_change(store: Store, query: Query) -> None:
    run = make_run()
    await store.commit([creation(run, audit=(audit(run_id=run.id, actor="ann"), audit()))])
    rows = await query("select event_type, run_id, actor from audit_events order by id")
    assert rows == [("run.created", run.id, "ann"), ("run.created", None, None)]


async def test_a_run_id_is_given_once(store: Store) -> None:
    run = await create(store)
    (outcome,) = await store.commit([creation(replace(run, input_text="other"))])
    assert outcome.kind is OutcomeKind.EXISTS
    assert (await store.load_run(run.id)).input_text == "hello"


@pytest.mark.parametrize(
    ("expect", "kind"),
    [
        (ExpectAttempt(2), OutcomeKind.APPLIED),
        (ExpectAttempt(1), OutcomeKind.FENCE_LOST),
        (ExpectAttempt(3), OutcomeKind.FENCE_LOST),
        (ExpectStatus(frozenset({RunStatus.RUNNING, RunStatus.QUEUED})), OutcomeKind.APPLIED),
        (ExpectStatus(frozenset({RunStatus.RUNNING}), attempt=2), OutcomeKind.APPLIED),
        (ExpectStatus(frozenset({RunStatus.RUNNING}), attempt=1), OutcomeKind.FENCE_LOST),
        (ExpectStatus(frozenset({RunStatus.BLOCKED})), OutcomeKind.FENCE_LOST),
        (ExpectStatus(frozenset()), OutcomeKind.FENCE_LOST),
    ],
)
async def test_fences(store: Store, expect, kind: OutcomeKind) -> None:
    run = await create(store, attempt=2)
    (outcome,) = await store.commit([step(replace(run, output_text="x"), expect=expect)])
    assert outcome.kind is kind
    written = (await store.load_run(run.id)).output_text
    assert written == ("x" if outcome.applied else None)


async def test_a_worker_that_lost_its_attempt_changes_nothing(store: Store) -> None:
    run = await create(store)
    cancelled = replace(run, status=RunStatus.CANCELLED, attempt=2)
    await store.commit([act(cancelled, RunStatus.RUNNING)])
    late = step(replace(run, status=RunStatus.COMPLETED), events=(event(),))
    (outcome,) = await store.commit([late])
    assert outcome.kind is OutcomeKind.FENCE_LOST
    assert await store.load_run(run.id) == cancelled
    assert (await store.list_events(run.id, None, BY_SEQUENCE)).total == 0


async def test_a_worker_fence_needs_the_run_to_be_running(store: Store) -> None:
    run = await create(store, status=RunStatus.BLOCKED)
    (outcome,) = await store.commit([step(run)])
    assert outcome.kind is OutcomeKind.FENCE_LOST


async def test_an_unknown_run_loses_the_fence(store: Store) -> None:
    run = make_run()
    outcomes = await store.commit([step(run)])
    outcomes += await store.commit([step(replace(run), close_tasks=HumanTaskStatus.CANCELLED)])
    assert [outcome.kind for outcome in outcomes] == [OutcomeKind.FENCE_LOST] * 2


async def test_a_checkpoint_on_an_older_one_loses_the_fence(store: Store) -> None:
    run = await create(store)
    change = step(run, checkpoints=(checkpoint({"n": 1}),), events=(event(),))
    (first,) = await store.commit([change])
    (again,) = await store.commit([change])
    assert (first.kind, again.kind) == (OutcomeKind.APPLIED, OutcomeKind.FENCE_LOST)
    assert (await store.list_events(run.id, None, BY_SEQUENCE)).total == 1


async def test_two_changes_of_one_run_in_one_commit_are_a_programmers_error(store: Store) -> None:
    run = await create(store)
    with pytest.raises(AssertionError):
        await store.commit([step(run), step(run)])


async def test_a_bad_change_harms_no_other_of_its_batch(store: Store) -> None:
    good = [await create(store) for _ in range(5)]
    lost = await create(store, attempt=7)
    twin = await create(store)
    changes = [
        step(good[0], events=(event(),)),
        step(replace(lost, attempt=1)),
        step(good[1], checkpoints=(checkpoint({"a": 1}),)),
        creation(twin),
        creation(make_run()),
        step(good[2], events=(event(), event())),
    ]
    outcomes = await store.commit(changes)
    assert [outcome.kind.value for outcome in outcomes] == [
        "applied",
        "fence_lost",
        "applied",
        "exists",
        "applied",
        "applied",
    ]
    assert (await store.load_run(good[2].id)).event_sequence == 2


async def test_a_change_that_the_database_refuses_harms_no_other(store: Store) -> None:
    good, bad = await create(store), await create(store)
    results = await asyncio.gather(
        store.commit([step(good, events=(event(),))]),
        store.commit([step(replace(bad, session_id="\ud800"), events=(event(),))]),
        return_exceptions=True,
    )
    assert results[0][0].applied
    assert isinstance(results[1], InvalidInput)
    assert (await store.load_run(bad.id)).event_sequence == 0


async def test_a_value_that_is_not_json_harms_no_other(store: Store) -> None:
    good, bad = await create(store), await create(store)
    results = await asyncio.gather(
        store.commit([step(good)]),
        store.commit([step(replace(bad, result={"x": object()}))]),
        return_exceptions=True,
    )
    assert results[0][0].applied
    assert isinstance(results[1], TypeError)


async def refused_changes(store: Store):
    """Changes that fail each for another reason, each with every part a Change can have."""
    blocked = await create(store, status=RunStatus.BLOCKED)
    settled = human_task(blocked.id)
    await store.commit([act(blocked, RunStatus.BLOCKED, open_tasks=(settled,))])
    await store.commit([act(blocked, RunStatus.BLOCKED, settle=(settlement(settled),))])
    used = await create(store)
    await store.commit([step(used, idempotency=key_record("used"))])
    present = await create(store)

    def parts(run_id: str):
        return {
            "plan": StoredPlan(digest="9" * 64, content=b"{}"),
            "events": (event(),),
            "checkpoints": (checkpoint({"n": 1}),),
            "open_tasks": (human_task(run_id),),
            "jobs": (job(), job(JobKind.DEADLINE)),
            "audit": (audit(run_id=run_id),),
        }

    fresh = make_run()
    return [
        (creation(present, **parts(present.id)), OutcomeKind.EXISTS),
        (
            creation(fresh, **{**parts(fresh.id), "idempotency": key_record("used")}),
            OutcomeKind.EXISTS,
        ),
        (step(replace(present, attempt=9), **parts(present.id)), OutcomeKind.FENCE_LOST),
        (
            step(replace(present, attempt=9), **parts(present.id), idempotency=key_record("new")),
            OutcomeKind.FENCE_LOST,
        ),
        (
            act(blocked, RunStatus.BLOCKED, **parts(blocked.id), settle=(settlement(settled),)),
            OutcomeKind.TASK_SETTLED,
        ),
    ]


async def test_nothing_of_a_refused_change_lands(store: Store, query: Query) -> None:
    refused = await refused_changes(store)
    before = await count_rows(query)
    for change, kind in refused:
        (outcome,) = await store.commit([change])
        assert outcome.kind is kind
        assert await count_rows(query) == before


async def test_sequences_have_no_gaps_over_many_commits_of_many_runs(store: Store) -> None:
    async def drive(number: int) -> None:
        run = await create(store, id=f"run_gapless_{number}")
        state: dict[str, int] = {}
        for turn in range(12):
            after = {**state, "turn": turn}
            change = step(
                run,
                events=tuple(event() for _ in range(turn % 4)),
                base_state=state,
                checkpoints=(checkpoint(after),),
            )
            (outcome,) = await store.commit([change])
            run = replace(run, checkpoint_sequence=outcome.checkpoint_sequence)
            state = after

    await asyncio.gather(*(drive(number) for number in range(24)))
    for number in range(24):
        run_id = f"run_gapless_{number}"
        events = await store.list_events(run_id, None, BY_SEQUENCE)
        assert [item.sequence for item in events.items] == list(range(1, 19))
        points = await store.list_checkpoints(run_id, None, BY_SEQUENCE)
        assert [item.sequence for item in points.items] == list(range(1, 13))
        assert (await store.load_state(run_id)).state == {"turn": 11}


async def test_events_of_concurrent_commits_to_one_run_have_no_gaps(store: Store) -> None:
    run = await create(store)
    changes = [step(run, events=(event(), event())) for _ in range(20)]
    outcomes = await asyncio.gather(*(store.commit([change]) for change in changes))
    assert sorted(outcome.event_sequence for (outcome,) in outcomes) == list(range(2, 42, 2))
    events = await store.list_events(run.id, None, BY_SEQUENCE)
    assert [item.sequence for item in events.items] == list(range(1, 41))


async def test_a_commit_is_there_after_a_restart(store: Store, address) -> None:
    run = await create(store)
    await store.stop()
    again = open_store(address)
    await again.start()
    assert await again.load_run(run.id) == run
    await again.stop()


async def test_stop_finishes_commits_under_way(store: Store, query: Query) -> None:
    waiting = [asyncio.create_task(store.commit([creation(make_run())])) for _ in range(100)]
    await asyncio.sleep(0)
    await store.stop()
    outcomes = await asyncio.gather(*waiting)
    assert all(outcome.applied for (outcome,) in outcomes)
    assert await query("select count(*) from runs") == [(100,)]
