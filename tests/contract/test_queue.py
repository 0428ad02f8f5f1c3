"""What every store does for workers: claims, leases, jobs that fall due, hints."""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from kneo_grpc.domain.change import ExpectAttempt, JobKind, OutcomeKind
from kneo_grpc.domain.data import evolve
from kneo_grpc.domain.human import HumanTaskStatus
from kneo_grpc.domain.run import TERMINAL, Run, RunStatus
from kneo_grpc.ports.queue import Claim, QueuedJob
from kneo_grpc.ports.store import PageRequest, Store
from kneo_grpc.stores.postgres import PostgresStore
from kneo_grpc.stores.sqlite import SqliteStore
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
    make_run,
    request,
    settlement,
    step,
)
from tests.contract.conftest import Query, open_store
from tests.waiting import until

LONG = timedelta(seconds=60)
BRIEF = timedelta(milliseconds=60)
SOON = timedelta(milliseconds=250)
BY_DUE = PageRequest(sort_by="due_at", limit=1000)
TIMED = (JobKind.DEADLINE, JobKind.HUMAN_EXPIRY)


@pytest.fixture
async def other(store: Store, address: Path | str) -> AsyncIterator[Store]:
    """The store of another process."""
    shared = {} if isinstance(address, str) else {"exclusive": False}
    opened = open_store(address, **shared)
    await opened.start()
    yield opened
    await opened.stop()


def ago(seconds: float) -> datetime:
    """The databases judge by their clock, so these tests live in the present."""
    return datetime.now(UTC) - timedelta(seconds=seconds)


async def enqueue(store: Any, seconds: float = 10, *, status=RunStatus.QUEUED, **fields) -> Run:
    """Store a run whose job has been due for some seconds."""
    run = make_run(status=status, **fields)
    (outcome,) = await store.commit([creation(run, jobs=(job(due_at=ago(seconds)),))])
    assert outcome.applied
    return run


async def claim(
    store: Any,
    owner: str = "p1",
    lease_for: timedelta = LONG,
    *,
    limit: int = 1000,
    suspects_from: int = 100,
    suspects: bool = False,
) -> tuple[Claim, ...]:
    return await store.claim_runs(
        owner, lease_for, limit=limit, suspects_from=suspects_from, suspects=suspects
    )


async def jobs_of(store: Any) -> tuple[QueuedJob, ...]:
    return (await store.list_jobs(JobKind.RUN, BY_DUE)).items


async def lapse() -> None:
    """Outlast a brief lease."""
    await asyncio.sleep(2 * BRIEF.total_seconds())


def ids(claims: tuple[Claim, ...]) -> list[str]:
    return [taken.run.id for taken in claims]


async def test_a_claim_takes_the_longest_due_first_up_to_the_limit(store: Store) -> None:
    runs = {seconds: await enqueue(store, seconds) for seconds in (50, 10, 40, 20, 30)}
    assert ids(await claim(store, limit=3)) == [runs[50].id, runs[40].id, runs[30].id]
    assert ids(await claim(store, limit=3)) == [runs[20].id, runs[10].id]
    assert await claim(store) == ()


async def test_a_claimed_run_is_running_at_the_next_attempt(store: Store) -> None:
    run = await enqueue(store, 30, attempt=4, output_text="so far")
    (waits,) = await jobs_of(store)
    (taken,) = await claim(store)
    assert taken.run == await store.load_run(run.id)
    assert taken.run.started_at is not None
    assert abs(taken.run.started_at - ago(0)) < timedelta(seconds=5)
    begun = {"status": RunStatus.RUNNING, "attempt": 5, "started_at": taken.run.started_at}
    assert taken.run == replace(run, **begun)
    assert (taken.claims, taken.due_at) == (1, waits.due_at)
    (leased,) = await jobs_of(store)
    assert (leased.lease_owner, leased.claims, leased.state) == ("p1", 1, "leased")
    assert leased.lease_expires_at is not None
    assert abs(leased.lease_expires_at - ago(-60)) < timedelta(seconds=5)


async def test_a_run_that_was_begun_before_keeps_its_start(store: Store) -> None:
    began = ago(3600)
    run = await enqueue(store, started_at=began, status=RunStatus.RUNNING)
    (taken,) = await claim(store)
    assert taken.run == replace(run, attempt=2)


async def test_what_is_not_ready_is_left_alone(store: Store) -> None:
    jobs = {
        "later": job(due_at=ago(-60)),
        "leased": job(due_at=ago(60), lease_owner="p9", lease_for=LONG),
        "dead": job(JobKind.DEAD, due_at=ago(60)),
        **{kind.value: job(kind, due_at=ago(60)) for kind in TIMED},
    }
    for name, waiting in jobs.items():
        run = make_run(id=f"run_{name}", status=RunStatus.QUEUED)
        await store.commit([creation(run, jobs=(waiting,))])
    for status in (RunStatus.BLOCKED, *TERMINAL):
        await enqueue(store, id=f"run_{status}", status=status)
    await create(store, id="run_without_a_job", status=RunStatus.QUEUED)
    queued = await enqueue(store, 20, status=RunStatus.QUEUED)
    orphan = await enqueue(store, 10, status=RunStatus.RUNNING)
    assert ids(await claim(store)) == [queued.id, orphan.id]


async def test_a_lost_lease_is_taken_over(store: Store, other: Store) -> None:
    run = await enqueue(store, 30)
    assert ids(await claim(store, "p1", BRIEF)) == [run.id]
    await lapse()
    assert ids(await claim(other, "p2")) == [run.id]
    assert await claim(store, "p1") == ()
    (taken,) = await jobs_of(store)
    assert (taken.lease_owner, taken.claims) == ("p2", 2)
    assert (await store.load_run(run.id)).attempt == 3


async def test_a_takeover_tells_since_when_the_run_was_lost(store: Store) -> None:
    late, early = await enqueue(store, 5), await enqueue(store, 9000)
    await claim(store, "p1", BRIEF)
    lost = {queued.run_id: queued.lease_expires_at for queued in await jobs_of(store)}
    waiting = await enqueue(store, 60)
    await lapse()
    claims = await claim(store, "p2")
    assert ids(claims)[0] == waiting.id
    assert {taken.run.id: (taken.claims, taken.due_at) for taken in claims[1:]} == {
        run.id: (2, lost[run.id]) for run in (late, early)
    }


async def test_an_old_holder_writes_nothing_after_a_takeover(store: Store, query: Query) -> None:
    run = await enqueue(store)
    (old,) = await claim(store, "p1", BRIEF)
    await lapse()
    (new,) = await claim(store, "p2")
    parts = {
        "events": (event(),),
        "checkpoints": (checkpoint({"a": 1}),),
        "audit": (audit(run_id=run.id),),
        "clear_jobs": frozenset({JobKind.RUN}),
    }
    ended = replace(old.run, status=RunStatus.COMPLETED)
    (outcome,) = await store.commit(
        [replace(step(ended, **parts), expect=ExpectAttempt(old.run.attempt))]
    )
    assert outcome.kind is OutcomeKind.FENCE_LOST
    for table in ("events", "checkpoints", "audit_events"):
        assert await query(f"select count(*) from {table}") == [(0,)]
    assert await store.load_run(run.id) == new.run
    assert await store.held_runs("p2") == {run.id}
    ended = replace(new.run, status=RunStatus.COMPLETED)
    (outcome,) = await store.commit([step(ended, **parts)])
    assert outcome.applied
    assert await jobs_of(store) == ()


async def test_suspects_are_claimed_by_themselves(store: Store) -> None:
    suspect, fresh = await enqueue(store, 60), await enqueue(store, 10)
    for _ in range(2):
        assert ids(await claim(store, "p1", BRIEF, limit=1))[0] == suspect.id
        await lapse()
    assert ids(await claim(store, "p1", BRIEF, suspects_from=3, suspects=True)) == []
    assert ids(await claim(store, "p1", BRIEF, suspects_from=2, suspects=False)) == [fresh.id]
    assert ids(await claim(store, "p1", BRIEF, suspects_from=2, suspects=True)) == [suspect.id]


async def test_no_two_claimers_get_the_same_run(store: Store, other: Store) -> None:
    runs = [make_run(status=RunStatus.QUEUED) for _ in range(200)]
    due = tuple(ago(seconds) for seconds in range(1, 201))
    await store.commit(
        [creation(run, jobs=(job(due_at=at),)) for run, at in zip(runs, due, strict=True)]
    )

    async def work(number: int) -> list[str]:
        found: list[str] = []
        while claims := await claim((store, other)[number % 2], f"p{number}", limit=5):
            found += ids(claims)
            await asyncio.sleep(0)
        return found

    shares = await asyncio.gather(*(work(number) for number in range(8)))
    assert sorted(run_id for share in shares for run_id in share) == [run.id for run in runs]
    for number, share in enumerate(shares):
        assert await store.held_runs(f"p{number}") == set(share)
    attempts = {(await store.load_run(run.id)).attempt for run in runs}
    assert attempts == {2}


async def test_a_create_that_leases_its_job_is_one_claim(store: Store) -> None:
    run = make_run()
    leased = job(due_at=ago(1), lease_owner="p1", lease_for=BRIEF)
    await store.commit([creation(run, jobs=(leased,))])
    assert [queued.claims for queued in await jobs_of(store)] == [1]
    await lapse()
    (taken,) = await claim(store, "p2")
    assert (taken.claims, taken.run.attempt) == (2, 2)


@pytest.mark.parametrize(("owner", "claims"), [("p3", 1), (None, 0)])
async def test_a_job_put_anew_counts_from_the_beginning(
    store: Store, owner: str | None, claims: int
) -> None:
    run = await enqueue(store)
    await claim(store, "p1", BRIEF)
    await lapse()
    (taken,) = await claim(store, "p2")
    assert taken.claims == 2
    again = job(due_at=ago(1), lease_owner=owner, lease_for=LONG if owner else None)
    await store.commit([step(taken.run, jobs=(again,))])
    (put,) = await jobs_of(store)
    assert (put.run_id, put.claims, put.lease_owner) == (run.id, claims, owner)


async def test_due_jobs_are_claimed_the_oldest_first_up_to_the_limit(store: Store) -> None:
    due = [ago(seconds) for seconds in (10, 50, 40, 20, 30)]
    run = make_run()
    timed = tuple(job(JobKind.HUMAN_EXPIRY, subject=str(n), due_at=at) for n, at in enumerate(due))
    await store.commit([creation(run, jobs=timed)])
    first = await store.claim_due("p1", LONG, limit=3)
    assert [(found.subject, found.due_at) for found in first] == [
        (str(number), due[number]) for number in (1, 2, 4)
    ]
    rest = await store.claim_due("p1", LONG, limit=3)
    assert [found.subject for found in rest] == ["3", "0"]
    assert await store.claim_due("p1", LONG, limit=3) == ()


async def test_runs_and_dead_runs_never_fall_due(store: Store) -> None:
    run = make_run(status=RunStatus.QUEUED)
    waiting = tuple(job(kind, subject="s", due_at=ago(10)) for kind in TIMED)
    never = (job(due_at=ago(60)), job(JobKind.DEAD, due_at=ago(60)))
    later = job(JobKind.HUMAN_EXPIRY, subject="later", due_at=ago(-60))
    await store.commit([creation(run, jobs=(*waiting, *never, later))])
    found = await store.claim_due("p1", LONG, limit=100)
    assert sorted((due.run_id, due.kind, due.subject) for due in found) == sorted(
        (run.id, kind, "s") for kind in TIMED
    )


async def test_due_jobs_come_back_after_their_lease(store: Store, other: Store) -> None:
    run = make_run()
    await store.commit([creation(run, jobs=(job(JobKind.DEADLINE, due_at=ago(10)),))])
    (first,) = await store.claim_due("p1", BRIEF, limit=9)
    await lapse()
    assert await other.claim_due("p2", LONG, limit=9) == (first,)
    assert await store.claim_due("p1", LONG, limit=9) == ()


async def test_no_two_claimers_get_the_same_due_job(store: Store, other: Store) -> None:
    run = make_run()
    timed = tuple(
        job(JobKind.HUMAN_EXPIRY, subject=f"{n:03}", due_at=ago(n + 1)) for n in range(100)
    )
    await store.commit([creation(run, jobs=timed)])

    async def work(number: int) -> list[str]:
        found: list[str] = []
        while due := await (store, other)[number % 2].claim_due(f"p{number}", LONG, limit=5):
            found += [one.subject for one in due]
        return found

    shares = await asyncio.gather(*(work(number) for number in range(4)))
    assert sorted(name for share in shares for name in share) == [one.subject for one in timed]


async def test_a_dropped_job_is_gone_and_no_other(store: Store, query: Query) -> None:
    run, beside = make_run(), make_run()
    at = ago(10)
    for one in (run, beside):
        timed = [job(kind, subject=name, due_at=at) for kind in TIMED[:2] for name in "ab"]
        await store.commit([creation(one, jobs=tuple(timed))])
    due = await store.claim_due("p1", LONG, limit=9)
    (dropped,) = [
        one for one in due if (one.run_id, one.kind, one.subject) == (run.id, JobKind.DEADLINE, "a")
    ]
    for _ in range(2):
        await store.drop_job(dropped)
    left = await query("select run_id, kind, subject from jobs order by 1, 2, 3")
    assert left == sorted(
        (one.run_id, one.kind.value, one.subject) for one in due if one != dropped
    )


async def test_a_job_put_anew_after_it_was_claimed_is_not_dropped(store: Store) -> None:
    run = make_run()
    await store.commit([creation(run, jobs=(job(JobKind.DEADLINE, due_at=ago(10)),))])
    (old,) = await store.claim_due("p1", LONG, limit=9)
    anew = job(JobKind.DEADLINE, due_at=ago(5))
    await store.commit([step(run, jobs=(anew,))])
    await store.drop_job(old)
    (new,) = await store.claim_due("p1", LONG, limit=9)
    assert new == replace(old, due_at=anew.due_at)


async def test_a_run_is_given_back_by_its_holder_only(store: Store) -> None:
    mine, kept, theirs = [await enqueue(store, due) for due in (40, 30, 20)]
    assert ids(await claim(store, "p1", limit=2)) == [mine.id, kept.id]
    assert ids(await claim(store, "p2", limit=1)) == [theirs.id]
    before = {queued.run_id: queued for queued in await jobs_of(store)}
    await store.postpone("p1", [mine.id, theirs.id, "run_unknown"], timedelta(seconds=3))
    after = {queued.run_id: queued for queued in await jobs_of(store)}
    assert {run_id for run_id in before if after[run_id] != before[run_id]} == {mine.id}
    back = after[mine.id]
    assert (back.state, back.claims, back.lease_owner, back.lease_expires_at) == (
        "later",
        0,
        None,
        None,
    )
    assert timedelta(0) < back.due_at - ago(0) <= timedelta(seconds=3)
    (again,) = await until(lambda: claim(store, "p3"))
    assert ago(0) >= back.due_at
    assert (again.run.id, again.claims, again.due_at) == (mine.id, 1, back.due_at)


async def test_a_run_that_is_given_back_is_queued_again(store: Store) -> None:
    fresh, begun, gone, theirs = [await enqueue(store, due) for due in (50, 40, 30, 20)]
    claimed = {taken.run.id: taken.run for taken in await claim(store, "p1", limit=3)}
    assert ids(await claim(store, "p2", limit=1)) == [theirs.id]
    await store.commit([step(claimed[begun.id], checkpoints=(checkpoint({"n": 1}),))])
    ended = evolve(claimed[gone.id], status=RunStatus.CANCELLED)
    # A cancel that came first has removed the job.
    await store.commit([step(ended, clear_jobs=frozenset(JobKind))])
    await store.postpone("p1", [fresh.id, begun.id, gone.id, theirs.id], timedelta(0))
    after = [await store.load_run(run.id) for run in (fresh, begun, gone, theirs)]
    assert [run.status for run in after] == ["queued", "queued", "cancelled", "running"]
    assert [run.started_at is None for run in after] == [True, False, False, False]
    assert [run.attempt for run in after[:2]] == [claimed[fresh.id].attempt] * 2
    again = {taken.run.id: taken.run for taken in await claim(store, "p3", limit=9)}
    assert {run.status for run in again.values()} == {RunStatus.RUNNING}
    assert again[fresh.id].started_at is not None
    assert again[begun.id].started_at == claimed[begun.id].started_at


async def test_held_runs_are_those_of_the_owner_expired_ones_too(store: Store) -> None:
    held, foreign, expired = [await enqueue(store, due) for due in (50, 40, 30)]
    await claim(store, "p1", LONG, limit=1)
    await claim(store, "p2", LONG, limit=1)
    await claim(store, "p1", BRIEF, limit=1)
    timer = make_run()
    await store.commit([creation(timer, jobs=(job(JobKind.DEADLINE, due_at=ago(10)),))])
    assert len(await store.claim_due("p1", LONG, limit=9)) == 1
    await lapse()
    assert await store.held_runs("p1") == {expired.id, held.id}
    assert await store.held_runs("p2") == {foreign.id}
    assert await store.held_runs("p3") == frozenset()


async def test_a_renewal_is_for_the_given_runs_of_the_owner_that_nobody_took(
    store: Store, query: Query
) -> None:
    held, unasked, foreign, expired, taken = [
        await enqueue(store, due) for due in (50, 40, 30, 20, 10)
    ]
    await claim(store, "p1", LONG, limit=2)
    await claim(store, "p2", LONG, limit=1)
    await claim(store, "p1", BRIEF, limit=2)
    timer = job(JobKind.DEADLINE, due_at=ago(5), lease_owner="p1", lease_for=LONG)
    await store.commit([step((await store.load_run(held.id)), jobs=(timer,))])
    await lapse()
    leases = "select run_id, kind, lease_expires_at from jobs"
    asked = [expired.id, held.id, foreign.id, taken.id, "run_unknown"]
    assert await store.renew_leases("p1", 10 * LONG, [expired.id]) == {expired.id}
    assert [found.run.id for found in await claim(store, "p3", LONG)] == [taken.id]
    before = {(run_id, kind): until for run_id, kind, until in await query(leases)}
    assert await store.renew_leases("p1", 10 * LONG, asked) == {held.id, expired.id}
    after = {(run_id, kind): until for run_id, kind, until in await query(leases)}
    changed = {key for key in before if before[key] != after[key]}
    assert changed == {(held.id, "run"), (expired.id, "run")}
    leased = {queued.run_id: queued.lease_expires_at for queued in await jobs_of(store)}
    assert abs(leased[held.id] - ago(-600)) < timedelta(seconds=5)
    assert leased[unasked.id] < ago(-90)


@pytest.mark.parametrize("exclusive", [True, False])
async def test_a_service_voids_the_leases_it_finds_and_a_command_does_not(
    tmp_path: Path, exclusive: bool, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "kneo.sqlite"
    before = SqliteStore(path)
    await before.start()
    runs = [await enqueue(before) for _ in range(3)]
    free = await enqueue(before, 1)
    assert len(await claim(before, "p1", limit=3)) == 3
    await before.stop()
    after = SqliteStore(path, exclusive=exclusive)
    with caplog.at_level(logging.INFO, "kneo_grpc.stores"):
        await after.start()
    told = [record.count for record in caplog.records if "leases" in record.message]
    assert told == ([3] if exclusive else [])
    assert await after.held_runs("p1") == (set() if exclusive else {run.id for run in runs})
    ready = {run.id for run in (*runs, free)} if exclusive else {free.id}
    taken = await claim(after, "p2")
    assert {one.run.id for one in taken} == ready
    if exclusive:
        assert {one.claims for one in taken if one.run.id != free.id} == {2}
    await after.stop()


async def test_a_start_without_leases_tells_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = SqliteStore(tmp_path / "kneo.sqlite")
    await store.start()
    await enqueue(store)
    await store.stop()
    with caplog.at_level(logging.INFO, "kneo_grpc.stores"):
        await store.start()
    assert not [record for record in caplog.records if "leases" in record.message]
    await store.stop()


async def test_jobs_of_runs_are_listed_with_what_they_wait_for(store: Store) -> None:
    later, held = await enqueue(store, -60), await enqueue(store, 40)
    await claim(store, "p2", LONG)
    expired = await enqueue(store, 50)
    await claim(store, "p1", BRIEF)
    ready = await enqueue(store, 30)
    await store.commit([creation(make_run(), jobs=(job(JobKind.DEADLINE, due_at=ago(90)),))])
    await lapse()
    listed = await jobs_of(store)
    assert [(one.run_id, one.state, one.claims, one.lease_owner) for one in listed] == [
        (expired.id, "ready", 1, "p1"),
        (held.id, "leased", 1, "p2"),
        (ready.id, "ready", 0, None),
        (later.id, "later", 0, None),
    ]
    assert [one.lease_expires_at is None for one in listed] == [False, False, True, True]
    page = await store.list_jobs(JobKind.RUN, replace(BY_DUE, limit=2))
    assert (page.items, page.total) == (listed[:2], 4)


async def test_dead_runs_are_listed_the_oldest_first(store: Store) -> None:
    due = {f"run_{seconds}": ago(seconds) for seconds in (10, 30, 20)}
    for run_id, at in due.items():
        dead = make_run(id=run_id, status=RunStatus.FAILED)
        await store.commit([creation(dead, jobs=(job(JobKind.DEAD, due_at=at),))])
    await enqueue(store, 60)
    listed = await store.list_jobs(JobKind.DEAD, replace(BY_DUE, limit=2))
    assert [(one.run_id, one.state, one.due_at) for one in listed.items] == [
        (run_id, "dead", due[run_id]) for run_id in ("run_30", "run_20")
    ]


async def waiting(store: Any, at_most: timedelta = 20 * LONG) -> "asyncio.Task[bool]":
    """Begin to wait for work."""
    task = asyncio.create_task(store.wait_for_work(at_most))
    await asyncio.sleep(0.02)
    assert not task.done()
    return task


async def test_who_waits_in_vain_is_told_so(store: Store) -> None:
    began = asyncio.get_running_loop().time()
    assert await store.wait_for_work(SOON) is False
    assert 0.2 < asyncio.get_running_loop().time() - began < 5


async def test_a_commit_wakes_who_waits_in_the_same_process(store: Store) -> None:
    waiters = [await waiting(store), await waiting(store)]
    run = await enqueue(store)
    async with asyncio.timeout(5):
        assert await asyncio.gather(*waiters) == [True, True]
    assert ids(await claim(store)) == [run.id]
    assert await store.wait_for_work(SOON) is False


async def test_a_hint_between_a_look_and_the_wait_is_not_lost(store: Store) -> None:
    assert await store.wait_for_work(SOON) is False
    assert await claim(store) == ()
    await enqueue(store)
    async with asyncio.timeout(5):
        assert await store.wait_for_work(LONG) is True


async def test_what_no_worker_shall_take_gives_no_hint(store: Store) -> None:
    leased = make_run()
    lease = job(due_at=ago(1), lease_owner="p1", lease_for=LONG)
    await store.commit([creation(leased, jobs=(lease,))])
    await store.commit([creation(make_run(), jobs=(job(JobKind.HUMAN_EXPIRY, due_at=ago(1)),))])
    await store.commit([creation(make_run(), events=(event(),))])
    (refused,) = await store.commit([creation(leased, jobs=(job(due_at=ago(1)),))])
    assert refused.kind is OutcomeKind.EXISTS
    assert await store.wait_for_work(SOON) is False


@pytest.fixture
async def pair(postgres_dsn: str) -> AsyncIterator[tuple[PostgresStore, PostgresStore]]:
    """The stores of two processes on PostgreSQL; the first one's worker has looked for runs."""
    stores = PostgresStore(postgres_dsn, pool_max=4), PostgresStore(postgres_dsn, pool_max=4)
    for one in stores:
        await one.start()
    await claim(stores[0])
    yield stores
    for one in stores:
        await one.stop()


async def test_a_commit_wakes_who_waits_in_another_process(pair) -> None:
    worker, api = pair
    task = await waiting(worker)
    run = await enqueue(api)
    async with asyncio.timeout(5):
        assert await task is True
    assert ids(await claim(worker)) == [run.id]


async def test_a_hint_of_another_process_waits_for_the_one_who_looks(pair) -> None:
    worker, api = pair
    assert await worker.wait_for_work(SOON) is False
    await enqueue(api)
    await until(worker._hints._given.is_set)
    assert await worker.wait_for_work(timedelta(0)) is True


async def test_who_has_a_worker_that_waits_troubles_no_other(pair) -> None:
    worker, api = pair
    theirs, own = await waiting(worker, SOON), await waiting(api)
    await enqueue(api)
    async with asyncio.timeout(5):
        assert await own is True
    assert await theirs is False


async def test_hints_arrive_again_after_the_listener_was_lost(pair, postgres_dsn: str) -> None:
    worker, api = pair
    lost = worker._claims._connection
    await api._fetch(f"select pg_terminate_backend({lost.get_server_pid()})")

    async def closed() -> bool:
        return lost.is_closed()

    await until(closed)
    await enqueue(api)
    assert await worker.wait_for_work(SOON) is False  # hints may be lost, the poll finds the run
    assert len(await claim(worker)) == 1
    task = await waiting(worker)
    await enqueue(api)
    async with asyncio.timeout(5):
        assert await task is True


async def test_a_commit_while_a_hint_is_under_way_gives_another(
    pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, api = pair
    send = api._heartbeats.fetch
    sent = []

    async def note(sql: str) -> Any:
        found = await send(sql)
        sent.append(sql)
        if len(sent) == 1:
            await enqueue(api)
        return found

    monkeypatch.setattr(api._heartbeats, "fetch", note)
    await enqueue(api)

    async def twice() -> bool:
        return len(sent) == 2

    await until(twice, seconds=5)
    assert await worker.wait_for_work(LONG) is True


async def test_a_pending_task_is_stated_anew(store: Store) -> None:
    run = make_run(status=RunStatus.BLOCKED)
    first, second = human_task(run.id), human_task(run.id)
    await store.commit([creation(run, open_tasks=(first, second))])
    asked = replace(
        first,
        request=replace(first.request, assignee="boss", metadata={"escalated_at": 1.5}),
        expires_at=first.expires_at + timedelta(hours=1),
        escalated_at=NOW,
    )
    change = act(run, RunStatus.BLOCKED, restate=(asked,), audit=(audit(run_id=run.id),))
    (outcome,) = await store.commit([change])
    assert outcome.applied
    assert await store.load_human_task(first.id) == asked
    assert await store.load_human_task(second.id) == second
    endless = replace(asked, expires_at=None)
    await store.commit([act(run, RunStatus.BLOCKED, restate=(endless,))])
    assert await store.load_human_task(first.id) == endless


@pytest.mark.parametrize("how", ["settled", "foreign"])
async def test_a_task_that_is_not_pending_any_more_fails_the_whole_change(
    store: Store, query: Query, how: str
) -> None:
    run = make_run(status=RunStatus.BLOCKED)
    task, open_one = human_task(run.id), human_task(run.id)
    waiting_run = job(JobKind.HUMAN_EXPIRY, subject=task.id, due_at=ago(10))
    await store.commit([creation(run, open_tasks=(task, open_one), jobs=(waiting_run,))])
    asking = run
    if how == "settled":
        await store.commit([act(run, RunStatus.BLOCKED, settle=(settlement(task),))])
    else:
        asking = await create(store, status=RunStatus.BLOCKED)
    before = {
        table: await query(f"select * from {table}")
        for table in ("runs", "events", "human_tasks", "jobs", "audit_events")
    }
    change = act(
        replace(asking, output_text="new", attempt=7),
        RunStatus.BLOCKED,
        restate=(
            replace(open_one, request=request(title="Other")) if how == "settled" else task,
            replace(task, request=request(title="Other"), expires_at=None),
        ),
        events=(event(),),
        open_tasks=(human_task(asking.id),),
        clear_jobs=frozenset({JobKind.HUMAN_EXPIRY}),
        jobs=(job(due_at=ago(1)),),
        audit=(audit(),),
    )
    (outcome,) = await store.commit([change])
    assert outcome.kind is OutcomeKind.TASK_SETTLED
    assert {table: await query(f"select * from {table}") for table in before} == before
    kept = await store.load_human_task(task.id)
    assert kept is not None
    status = HumanTaskStatus.DECIDED if how == "settled" else HumanTaskStatus.PENDING
    assert replace(kept, decision=None) == replace(task, status=status)
