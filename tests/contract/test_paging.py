"""Every list read page by page: no gap and no repeat, whatever is added meanwhile."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from kneo_grpc.domain.change import JobKind
from kneo_grpc.domain.run import RunStatus
from kneo_grpc.ports.audit import AUDIT_SORT_KEYS, AuditFilter
from kneo_grpc.ports.queue import JOB_SORT_KEYS
from kneo_grpc.ports.store import (
    CHECKPOINT_SORT_KEYS,
    EVENT_SORT_KEYS,
    HUMAN_TASK_SORT_KEYS,
    RUN_SORT_KEYS,
    HumanTaskFilter,
    Page,
    PageRequest,
    RunFilter,
    Store,
)
from tests.contract.builders import (
    NOW,
    audit,
    checkpoint,
    creation,
    event,
    human_task,
    job,
    make_run,
    step,
)

Read = Callable[[Any, PageRequest], Awaitable[Page[Any]]]
RUN = "run_paged"


def moment(number: int) -> Any:
    """Instants with equals among them, in more than one slot of ten seconds."""
    return NOW + timedelta(seconds=number // 2 * 7, microseconds=number % 2)


async def add(store: Any, numbers: range) -> None:
    """Add a run with equal, differing and absent values for each number, and its job and task."""
    for number in numbers:
        run = make_run(
            id=f"run_{number * 37 % 100:03}",
            status=[RunStatus.BLOCKED, RunStatus.FAILED][number % 2],
            workflow_name=[None, "alpha", "beta"][number % 3],
            created_at=moment(number),
            updated_at=moment(number * 7 % 20),
        )
        task = human_task(
            run.id,
            id=f"cont_{number * 37 % 100:03}",
            created_at=moment(number),
            expires_at=None if number % 3 == 0 else moment(number % 5),
        )
        parts = {
            "open_tasks": (task,),
            "jobs": (job(JobKind.RUN, due_at=moment(number // 3)),),
            "audit": (audit(created_at=moment(number // 3), actor=["ann", "bob"][number % 2]),),
        }
        assert (await store.commit([creation(run, **parts)]))[0].applied
    paged = make_run(id=RUN)
    await store.commit([creation(paged)])
    run = await store.load_run(RUN)
    # One after the other, because the histories are added to again while they are read.
    for number in numbers:
        parts = {
            "events": (event(["b", "a", "c"][number % 3], timestamp=moment(number)),),
            "checkpoints": (
                checkpoint({"n": number}, type=["b", "a"][number % 2], created_at=moment(number)),
            ),
        }
        (outcome,) = await store.commit([step(run, **parts)])
        assert outcome.applied
        run = replace(run, checkpoint_sequence=outcome.checkpoint_sequence)


LISTS: dict[str, tuple[frozenset[str], Read]] = {
    "runs": (RUN_SORT_KEYS, lambda store, page: store.list_runs(RunFilter(), page)),
    "filtered": (
        RUN_SORT_KEYS,
        lambda store, page: store.list_runs(RunFilter(status=RunStatus.FAILED), page),
    ),
    "events": (EVENT_SORT_KEYS, lambda store, page: store.list_events(RUN, None, page)),
    "checkpoints": (
        CHECKPOINT_SORT_KEYS,
        lambda store, page: store.list_checkpoints(RUN, None, page),
    ),
    "tasks": (
        HUMAN_TASK_SORT_KEYS,
        lambda store, page: store.list_human_tasks(HumanTaskFilter(), page),
    ),
    "jobs": (JOB_SORT_KEYS, lambda store, page: store.list_jobs(JobKind.RUN, page)),
    "audit": (AUDIT_SORT_KEYS, lambda store, page: store.list_audit(AuditFilter(), page)),
    "audit_filtered": (
        AUDIT_SORT_KEYS,
        lambda store, page: store.list_audit(
            AuditFilter(event_type="run.created", actor="ann", created_before=moment(9)), page
        ),
    ),
}


def name_of(item: Any) -> str:
    if hasattr(item, "record"):
        return item.record.id
    return item.run_id if hasattr(item, "claims") else item.id


@pytest.mark.parametrize("name", LISTS)
async def test_pages_join_to_the_list_while_it_grows(store: Store, name: str) -> None:
    keys, read = LISTS[name]
    await add(store, range(11))
    whole = {}
    for key in sorted(keys):
        for descending in (False, True):
            page = PageRequest(sort_by=key, descending=descending, limit=1000)
            found = await read(store, page)
            assert (found.next, found.total) == (None, len(found.items))
            whole[key, descending] = [name_of(item) for item in found.items]
    pages = {
        (key, descending): await read(
            store, PageRequest(sort_by=key, descending=descending, limit=3)
        )
        for key, descending in whole
    }
    await add(store, range(11, 20))
    for (key, descending), first in pages.items():
        page = PageRequest(sort_by=key, descending=descending, limit=3)
        seen, found = list(first.items), first
        while found.next is not None:
            assert len(found.items) == 3
            assert found.total == len(whole[key, descending])
            found = await read(store, replace(page, after=found.next, total=first.total))
            seen += found.items
        names = [name_of(item) for item in seen]
        assert len(set(names)) == len(names)
        old = set(whole[key, descending])
        assert [one for one in names if one in old] == whole[key, descending]


@pytest.mark.parametrize(("limit", "more"), [(3, True), (4, False), (5, False)])
async def test_there_is_a_next_page_only_where_more_follows(
    store: Store, limit: int, more: bool
) -> None:
    for _ in range(4):
        await store.commit([creation(make_run())])
    found = await store.list_runs(RunFilter(), PageRequest(sort_by="id", limit=limit))
    assert (found.next is not None, found.total) == (more, 4)
    beyond = await store.list_runs(RunFilter(), PageRequest(sort_by="id", offset=4, limit=limit))
    assert (beyond.items, beyond.next, beyond.total) == ((), None, 4)


async def test_that_a_list_is_long_is_remembered_and_that_it_is_short_is_not(
    store: Store, monkeypatch
) -> None:
    run = make_run()
    await store.commit([creation(run, events=tuple(event() for _ in range(10_001)))])
    counted: list[str] = []
    fetch = store._fetch

    async def noted(sql: str, *arguments: Any) -> Any:
        counted.extend([sql] if "count" in sql else [])
        return await fetch(sql, *arguments)

    monkeypatch.setattr(store, "_fetch", noted)
    page = PageRequest(sort_by="sequence", limit=1)
    for _ in range(3):
        assert (await store.list_events(run.id, None, page)).total == 10_000
    assert len(counted) == 1
    for more in range(3):
        await store.commit([creation(make_run())])
        found = await store.list_runs(RunFilter(), PageRequest(sort_by="id", limit=1))
        assert found.total == 2 + more


async def test_a_known_total_is_not_counted_again(store: Store, monkeypatch) -> None:
    for _ in range(4):
        await store.commit([creation(make_run())])
    page = PageRequest(sort_by="id", limit=1)
    first = await store.list_runs(RunFilter(), page)
    asked: list[str] = []
    fetch = store._fetch

    async def noted(sql: str, *arguments: Any) -> Any:
        asked.append(sql)
        return await fetch(sql, *arguments)

    monkeypatch.setattr(store, "_fetch", noted)
    second = await store.list_runs(RunFilter(), replace(page, after=first.next, total=first.total))
    assert (second.total, len(asked)) == (4, 1)
    assert "count" not in asked[0]
