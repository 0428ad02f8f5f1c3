"""Group commit, without a database."""

import asyncio
import contextvars
from collections.abc import Sequence

import pytest

from kneo_grpc.domain.change import Change, Outcome, OutcomeKind
from kneo_grpc.domain.errors import StoreUnavailable
from kneo_grpc.stores.batching import BatchResult, GroupCommitter
from tests.contract.builders import make_run, step

APPLIED = Outcome(kind=OutcomeKind.APPLIED)


class Database:
    """Writes when it is told to; remembers its batches as lists of run ids."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.lanes: list[int] = []
        self.open = asyncio.Semaphore(0)
        self.results: list[BatchResult] | None = None

    async def write(self, lane: int, changes: Sequence[Change]) -> Sequence[BatchResult]:
        self.batches.append([change.run_id for change in changes])
        self.lanes.append(lane)
        await self.open.acquire()
        return self.results or [APPLIED] * len(changes)


def change(run_id: str) -> Change:
    return step(make_run(id=run_id))


async def settle() -> None:
    """Let every task run until it waits."""
    for _ in range(20):
        await asyncio.sleep(0)


async def submit(committer: GroupCommitter, *run_ids: str) -> list[asyncio.Task[Outcome]]:
    tasks = [asyncio.create_task(committer.submit(change(run_id))) for run_id in run_ids]
    await settle()
    return tasks


async def stop_while_two_wait(
    committer: GroupCommitter,
) -> tuple[list[asyncio.Task[Outcome]], asyncio.Task[None]]:
    tasks = await submit(committer, "a")
    tasks += await submit(committer, "b")
    stopping = asyncio.create_task(committer.stop())
    await settle()
    return tasks, stopping


async def test_a_batch_is_what_arrived_during_the_last_one() -> None:
    database = Database()
    committer = GroupCommitter(database.write, lanes=1)
    first = await submit(committer, "r0")
    waiting = await submit(committer, "r3", "r1", "r2")
    database.open.release()
    await asyncio.gather(*first)
    await settle()
    assert database.batches == [["r0"], ["r1", "r2", "r3"]]
    database.open.release()
    assert await asyncio.gather(*waiting) == [APPLIED] * 3


async def test_lanes_take_turns() -> None:
    database = Database()
    committer = GroupCommitter(database.write, lanes=2)
    tasks = await submit(committer, "a")
    tasks += await submit(committer, "b")
    tasks += await submit(committer, "c", "d")
    assert database.batches == [["a"], ["b"]]
    assert sorted(database.lanes) == [0, 1]
    database.open.release()
    await settle()
    assert database.batches == [["a"], ["b"], ["c", "d"]]
    for _ in range(2):
        database.open.release()
    await asyncio.gather(*tasks)


async def test_a_run_has_one_change_under_way_and_keeps_its_order() -> None:
    database = Database()
    committer = GroupCommitter(database.write, lanes=2)
    tasks = await submit(committer, "a", "a", "b", "a", "b")
    assert database.batches == [["a", "b"]]
    database.open.release()
    await settle()
    assert database.batches == [["a", "b"], ["a", "b"]]
    database.open.release()
    await settle()
    assert database.batches == [["a", "b"], ["a", "b"], ["a"]]
    database.open.release()
    await asyncio.gather(*tasks)


async def test_a_batch_has_a_limit() -> None:
    database = Database()
    committer = GroupCommitter(database.write, lanes=1, batch_max=2)
    tasks = await submit(committer, *"abcde")
    for _ in range(3):
        database.open.release()
    await asyncio.gather(*tasks)
    assert [len(batch) for batch in database.batches] == [2, 2, 1]


async def test_the_queue_has_a_limit() -> None:
    database = Database()
    committer = GroupCommitter(database.write, lanes=1, batch_max=1, waiting_max=2)
    tasks = await submit(committer, "a")
    tasks += await submit(committer, "b", "c")
    with pytest.raises(StoreUnavailable, match="Too many"):
        await committer.submit(change("d"))
    for _ in range(3):
        database.open.release()
    await asyncio.gather(*tasks)


async def test_a_caller_that_left_before_its_turn_writes_nothing() -> None:
    database = Database()
    committer = GroupCommitter(database.write, lanes=1)
    first, *_ = await submit(committer, "a")
    gone, stays = await submit(committer, "b", "c")
    gone.cancel()
    database.open.release()
    await first
    await settle()
    assert database.batches == [["a"], ["c"]]
    database.open.release()
    assert await stays == APPLIED


async def test_a_caller_that_left_during_the_write_harms_nobody() -> None:
    database = Database()
    committer = GroupCommitter(database.write, lanes=1)
    gone, stays = await submit(committer, "a", "b")
    gone.cancel()
    database.open.release()
    assert await stays == APPLIED


async def test_each_caller_gets_its_own_result() -> None:
    database = Database()
    lost = Outcome(kind=OutcomeKind.FENCE_LOST)
    database.results = [APPLIED, StoreUnavailable("no"), lost]
    committer = GroupCommitter(database.write, lanes=1)
    tasks = await submit(committer, "a", "b", "c")
    database.open.release()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert (results[0], results[2]) == (APPLIED, lost)
    assert isinstance(results[1], StoreUnavailable)


async def test_a_write_that_raises_fails_its_batch_and_frees_the_lane() -> None:
    calls = 0

    async def write(_lane: int, changes: Sequence[Change]) -> Sequence[BatchResult]:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise StoreUnavailable("gone")
        return [APPLIED] * len(changes)

    committer = GroupCommitter(write, lanes=1)
    results = await asyncio.gather(
        *(committer.submit(change(name)) for name in "ab"), return_exceptions=True
    )
    assert [type(result) for result in results] == [StoreUnavailable] * 2
    assert await committer.submit(change("a")) == APPLIED


async def test_stop_writes_what_waits_and_takes_no_more() -> None:
    database = Database()
    committer = GroupCommitter(database.write, lanes=1)
    tasks, stopping = await stop_while_two_wait(committer)
    with pytest.raises(StoreUnavailable, match="stopped"):
        await committer.submit(change("c"))
    assert not stopping.done()
    for _ in range(2):
        database.open.release()
    await stopping
    assert [task.result() for task in tasks] == [APPLIED] * 2


async def test_a_change_that_comes_as_its_lane_is_cancelled_is_written_by_another() -> None:
    database = Database()
    committer = GroupCommitter(database.write, lanes=1)
    (first,) = await submit(committer, "a")
    database.open.release()
    await first
    await settle()
    lanes = asyncio.all_tasks() - {asyncio.current_task()}
    assert len(lanes) == 1
    last = asyncio.create_task(committer.submit(change("b")))
    # As a program's end does, whose clean-up still writes.
    for lane in lanes:
        lane.cancel()
    database.open.release()
    assert await asyncio.wait_for(last, 30) == APPLIED
    await committer.stop()


async def test_a_stop_that_is_cancelled_leaves_nobody_waiting() -> None:
    database = Database()
    committer = GroupCommitter(database.write, lanes=1)
    tasks, stopping = await stop_while_two_wait(committer)
    stopping.cancel()
    await settle()
    assert stopping.cancelled()
    for _ in range(2):
        database.open.release()
    assert await asyncio.wait_for(asyncio.gather(*tasks), 30) == [APPLIED] * 2


async def test_a_lane_knows_nothing_of_the_call_that_started_it() -> None:
    caller = contextvars.ContextVar("caller", default="nobody")
    seen = []

    async def write(_lane: int, changes: Sequence[Change]) -> Sequence[BatchResult]:
        seen.append(caller.get())
        return [APPLIED] * len(changes)

    committer = GroupCommitter(write, lanes=1)
    caller.set("somebody")
    await committer.submit(change("a"))
    await committer.stop()
    assert seen == ["nobody"]
