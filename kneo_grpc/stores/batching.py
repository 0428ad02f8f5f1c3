"""Group commit: a batch is what arrived while the previous commit ran."""

import asyncio
import contextvars
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from operator import itemgetter

from kneo_grpc.domain.change import Change, Outcome
from kneo_grpc.domain.errors import StoreUnavailable
from kneo_grpc.domain.ids import RunId

BatchResult = Outcome | Exception
WriteBatch = Callable[[int, Sequence[Change]], Awaitable[Sequence[BatchResult]]]
"""Writes a batch on a lane (0, 1, …) and returns for each Change, in the order given, its outcome
or the error that its caller shall see. The Changes are of different runs, sorted by run id.
"""

_Waiter = tuple[RunId, Change, asyncio.Future[Outcome]]


class GroupCommitter:
    """Gathers Changes of many callers into batches and writes them on lanes that take turns.

    There is no lingering: an idle lane takes what waits at once. A run has at most one Change
    under way over all lanes, so that its Changes land in order and no lane waits for another's
    row locks. A caller that is cancelled before its Change was taken writes nothing. It belongs to
    the event loop of the first Change.
    """

    def __init__(
        self, write: WriteBatch, *, lanes: int, batch_max: int = 64, waiting_max: int = 10_000
    ) -> None:
        self._write = write
        self._unmanned = list(range(lanes))
        # What a lane without work waits for.
        self._asleep: list[asyncio.Future[None]] = []
        self._batch_max = batch_max
        self._waiting_max = waiting_max
        self._waiting: deque[_Waiter] = deque()
        self._busy_runs: set[RunId] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopped = False

    async def submit(self, change: Change) -> Outcome:
        """Write a Change with the next batch. Raises what the lane gave for it, or
        StoreUnavailable when too many wait or the store stops.
        """
        if self._stopped:
            raise StoreUnavailable("The store has stopped.")
        if len(self._waiting) >= self._waiting_max:
            raise StoreUnavailable("Too many writes wait for the database.")
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.append((change.run_id, change, future))
        if not self._wake_a_lane():
            self._man_a_lane()
        return await future

    async def stop(self) -> None:
        """Refuse new Changes and finish those that wait."""
        self._stopped = True
        while self._tasks:
            while self._wake_a_lane():
                pass
            # Not gather: where this is cancelled, what waits is written nevertheless.
            await asyncio.wait(self._tasks)

    def _wake_a_lane(self) -> bool:
        """Let a lane without work look for some; tell whether there was one."""
        while self._asleep:
            alarm = self._asleep.pop()
            if not alarm.done():
                alarm.set_result(None)
                return True
        return False

    def _man_a_lane(self) -> None:
        """Start a lane that has no task; nothing when all have one."""
        if self._unmanned:
            # A lane outlives the call that it was started by, whose context is not its business.
            work = self._serve(self._unmanned.pop())
            task = asyncio.create_task(work, context=contextvars.Context())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _serve(self, lane: int) -> None:
        """Write batches until the committer stops. A task of its own for each batch would cost more
        than what it does for a run that is alone.
        """
        loop = asyncio.get_running_loop()
        try:
            while True:
                while batch := self._take():
                    await self._commit(lane, batch)
                if self._stopped:
                    return
                alarm = loop.create_future()
                self._asleep.append(alarm)
                await alarm
        finally:
            self._unmanned.append(lane)
            if self._waiting:
                # It was cancelled, as when a program ends; what waits needs another.
                self._man_a_lane()

    def _take(self) -> list[_Waiter]:
        """Take up to batch_max Changes, one a run; the others keep their places."""
        batch: list[_Waiter] = []
        passed_over: list[_Waiter] = []
        passed_runs: set[RunId] = set()
        while self._waiting and len(batch) < self._batch_max:
            waiter = self._waiting.popleft()
            run_id, _, future = waiter
            if future.cancelled():
                continue
            if run_id in self._busy_runs or run_id in passed_runs:
                passed_runs.add(run_id)
                passed_over.append(waiter)
                continue
            self._busy_runs.add(run_id)
            batch.append(waiter)
        self._waiting.extendleft(reversed(passed_over))
        batch.sort(key=itemgetter(0))
        return batch

    async def _commit(self, lane: int, batch: list[_Waiter]) -> None:
        results: Sequence[BatchResult]
        try:
            results = await self._write(lane, [change for _, change, _ in batch])
            assert len(results) == len(batch)
        except Exception as error:
            results = [error] * len(batch)
        except BaseException:
            # The loop is being torn down: nobody must wait for ever.
            for _, _, future in batch:
                future.cancel()
            raise
        finally:
            self._busy_runs.difference_update(run_id for run_id, _, _ in batch)
        for (_, _, future), result in zip(batch, results, strict=True):
            if future.done():
                continue
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)


async def commit_all(committer: GroupCommitter, changes: Sequence[Change]) -> tuple[Outcome, ...]:
    """Submit Changes of different runs; the first error is raised after all have ended."""
    if len(changes) == 1:
        return (await committer.submit(changes[0]),)
    assert len({change.run_id for change in changes}) == len(changes), "one Change per run"
    results = await asyncio.gather(
        *(committer.submit(change) for change in changes), return_exceptions=True
    )
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return tuple(result for result in results if isinstance(result, Outcome))
