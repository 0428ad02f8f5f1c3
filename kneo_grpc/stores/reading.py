"""The reading half of a store, the same over both databases."""

import abc
import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from kneo_grpc.domain.change import IdempotencyRecord, StoredPolicy
from kneo_grpc.domain.human import HumanTask
from kneo_grpc.domain.ids import ContinuationId, PlanDigest, RunId
from kneo_grpc.domain.run import Checkpoint, Run, RunSummary, TraceEvent
from kneo_grpc.ports.counts import RunCounts
from kneo_grpc.ports.store import (
    HumanTaskFilter,
    LoadedState,
    Page,
    PageRequest,
    Position,
    RunFilter,
)
from kneo_grpc.stores import rows
from kneo_grpc.stores.changes import SNAPSHOT_EVERY
from kneo_grpc.stores.codec import InstantDecoder, micros_from_instant
from kneo_grpc.stores.listing import INSTANTS, TOTAL_MAX, Listing, Lists, Part

T = TypeVar("T")

_LONG_FOR_SECONDS = 10
_LONG_LISTS_MAX = 256


class Reader(abc.ABC):
    """Reads runs and what belongs to them, as ports.store says."""

    def __init__(
        self, statements: Mapping[str, str], lists: Lists, instant: InstantDecoder
    ) -> None:
        self._statements = statements
        self._lists = lists
        self._instant = instant
        self._long_lists: dict[Part, float] = {}
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

    async def list_runs(self, where: RunFilter, page: PageRequest) -> Page[RunSummary]:
        """List runs."""
        listing = self._lists.runs(where, page)
        return await self._page(listing, lambda row: rows.summary_from_row(row, self._instant))

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
        self,
        run_id: RunId,
        checkpoint_type: str | None,
        page: PageRequest,
        *,
        states: bool = True,
    ) -> Page[Checkpoint]:
        """List a run's checkpoints; with states it reads the rows from each one's snapshot on."""
        listing = self._lists.checkpoints(run_id, checkpoint_type, page)
        found = await self._page(listing, lambda row: row)
        last: dict[int, int] = {}
        for row in found.items if states else ():
            first = (row["sequence"] - 1) // SNAPSHOT_EVERY * SNAPSHOT_EVERY + 1
            last[first] = max(last.get(first, 0), row["sequence"])
        folded: dict[int, Any] = {}
        for low, high in last.items():
            span = await self._fetch(self._statements["state_span"], run_id, low, high)
            folded.update(rows.fold(span))
        return Page(
            items=tuple(
                rows.checkpoint_from_row(
                    row, folded[row["sequence"]] if states else {}, self._instant
                )
                for row in found.items
                # Else retention was there between the two readings.
                if not states or row["sequence"] in folded
            ),
            total=found.total,
            next=found.next,
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

    async def load_policies(self) -> tuple[StoredPolicy, ...]:
        """Return all environment policies."""
        found = await self._fetch(self._statements["policy_list"])
        return tuple(rows.policy_from_row(row, self._instant) for row in found)

    async def count_jobs(self) -> Mapping[str, int]:
        """Return how many jobs of kind `run` are `queued` and `running`."""
        (row,) = await self._fetch(self._statements["job_count"])
        return {"queued": row["queued"], "running": row["running"]}

    async def _page(self, listing: Listing, build: Callable[[rows.Row], T]) -> Page[T]:
        found: list[rows.Row] = []
        for part in listing.parts:
            # One more than wanted tells whether there is a next page.
            wanted = listing.limit + 1 - len(found)
            found += await self._fetch(part.sql, *part.arguments, wanted, listing.offset)
            if len(found) > listing.limit:
                break
        more, found = len(found) > listing.limit, found[: listing.limit]
        total = listing.total
        if total is None and not more and listing.offset == 0:
            total = len(found)
        if total is None:
            total = await self._total(listing.count)
        return Page(
            items=tuple(build(row) for row in found),
            total=total,
            next=self._position(found[-1], listing.keys) if more else None,
        )

    async def _total(self, count: Part) -> int:
        """Count a list. That one is as long as is counted holds for a while: to count it at each
        look would cost as much as to read its page.
        """
        now = asyncio.get_running_loop().time()
        if now - self._long_lists.get(count, -math.inf) < _LONG_FOR_SECONDS:
            return TOTAL_MAX
        (row,) = await self._fetch(count.sql, *count.arguments)
        total: int = row["total"]
        if total == TOTAL_MAX:
            if len(self._long_lists) == _LONG_LISTS_MAX:
                self._long_lists.clear()
            self._long_lists[count] = now
        return total

    def _position(self, row: rows.Row, keys: tuple[str, ...]) -> Position:
        return tuple(
            micros_from_instant(self._instant(row[key])) if key in INSTANTS else row[key]
            for key in keys
        )
