"""The reading half of a store, the same over both databases."""

import abc
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from kneo_grpc.domain.change import IdempotencyRecord
from kneo_grpc.domain.human import HumanTask
from kneo_grpc.domain.ids import ContinuationId, PlanDigest, RunId
from kneo_grpc.domain.run import Checkpoint, Run, TraceEvent
from kneo_grpc.ports.counts import RunCounts
from kneo_grpc.ports.store import HumanTaskFilter, LoadedState, Page, PageRequest, RunFilter
from kneo_grpc.stores import rows
from kneo_grpc.stores.changes import SNAPSHOT_EVERY
from kneo_grpc.stores.codec import InstantDecoder
from kneo_grpc.stores.listing import Listing, Lists

T = TypeVar("T")


class Reader(abc.ABC):
    """Reads runs and what belongs to them, as ports.store says."""

    def __init__(
        self, statements: Mapping[str, str], lists: Lists, instant: InstantDecoder
    ) -> None:
        self._statements = statements
        self._lists = lists
        self._instant = instant
        self.counts = RunCounts()

    @abc.abstractmethod
    async def _fetch(self, sql: str, *arguments: Any) -> Sequence[rows.Row]:
        """Run one reading statement. Raises StoreUnavailable."""

    async def check(self) -> None:
        """Prove that reading works."""
        await self._fetch(self._statements["check"])

    async def load_run(self, run_id: RunId) -> Run | None:
        """Return a run, or None."""
        found = await self._fetch(self._statements["run_load"], run_id)
        return rows.run_from_row(found[0], self._instant) if found else None

    async def list_runs(self, where: RunFilter, page: PageRequest) -> Page[Run]:
        """List runs."""
        listing = self._lists.runs(where, page)
        return await self._page(listing, lambda row: rows.run_from_row(row, self._instant))

    async def load_plan(self, digest: PlanDigest) -> bytes | None:
        """Return a stored plan's content."""
        found = await self._fetch(self._statements["plan_load"], digest)
        return bytes(found[0]["content"]) if found else None

    async def load_state(self, run_id: RunId) -> LoadedState:
        """Return the engine state after the last checkpoint; reads at most 64 rows."""
        states = rows.fold(await self._fetch(self._statements["state_load"], run_id))
        if not states:
            return LoadedState()
        last = max(states)
        return LoadedState(state=states[last], checkpoint_sequence=last)

    async def list_events(
        self, run_id: RunId, event_type: str | None, page: PageRequest
    ) -> Page[TraceEvent]:
        """List a run's events."""
        listing = self._lists.events(run_id, event_type, page)
        return await self._page(listing, lambda row: rows.event_from_row(row, self._instant))

    async def list_checkpoints(
        self, run_id: RunId, checkpoint_type: str | None, page: PageRequest
    ) -> Page[Checkpoint]:
        """List a run's checkpoints; reads the rows from each one's snapshot on."""
        listing = self._lists.checkpoints(run_id, checkpoint_type, page)
        found = await self._page(listing, lambda row: row)
        last: dict[int, int] = {}
        for row in found.items:
            first = (row["sequence"] - 1) // SNAPSHOT_EVERY * SNAPSHOT_EVERY + 1
            last[first] = max(last.get(first, 0), row["sequence"])
        states: dict[int, Any] = {}
        for low, high in last.items():
            span = await self._fetch(self._statements["state_span"], run_id, low, high)
            states.update(rows.fold(span))
        return Page(
            items=tuple(
                rows.checkpoint_from_row(row, states[row["sequence"]], self._instant)
                for row in found.items
            ),
            total=found.total,
        )

    async def load_human_task(self, continuation_id: ContinuationId) -> HumanTask | None:
        """Return a task in any status, or None."""
        found = await self._fetch(self._statements["task_load"], continuation_id)
        return rows.human_task_from_row(found[0], self._instant) if found else None

    async def list_human_tasks(self, where: HumanTaskFilter, page: PageRequest) -> Page[HumanTask]:
        """List pending tasks."""
        listing = self._lists.human_tasks(where, page)
        return await self._page(listing, lambda row: rows.human_task_from_row(row, self._instant))

    async def load_idempotency(
        self, principal: str, scope: str, key: str
    ) -> IdempotencyRecord | None:
        """Return the record of a key's first use, or None."""
        found = await self._fetch(self._statements["idempotency_load"], principal, scope, key)
        return rows.idempotency_from_row(found[0], self._instant) if found else None

    async def count_jobs(self) -> Mapping[str, int]:
        """Return how many jobs of kind `run` are `queued` and `running`."""
        (row,) = await self._fetch(self._statements["job_count"])
        return {"queued": row["queued"], "running": row["running"]}

    async def _page(self, listing: Listing, build: Callable[[rows.Row], T]) -> Page[T]:
        found = await self._fetch(
            listing.items_sql, *listing.arguments, listing.limit, listing.offset
        )
        if listing.offset == 0 and len(found) < listing.limit:
            total = len(found)
        else:
            (row,) = await self._fetch(listing.count_sql, *listing.arguments)
            total = row["total"]
        return Page(items=tuple(build(row) for row in found), total=total)
