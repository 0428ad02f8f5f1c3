"""The halves of a store that face workers and upkeep, the same over both databases."""

import abc
from collections.abc import Collection, Mapping, Sequence, Set
from datetime import datetime, timedelta
from typing import Any

from kneo_grpc.domain.change import TIMED, JobKind
from kneo_grpc.domain.ids import RunId
from kneo_grpc.domain.run import RunStatus
from kneo_grpc.ports.queue import Claim, DueJob, QueuedJob
from kneo_grpc.ports.store import Page, PageRequest
from kneo_grpc.ports.upkeep import Kept
from kneo_grpc.stores import rows
from kneo_grpc.stores.codec import DurationEncoder, InstantDecoder, InstantEncoder
from kneo_grpc.stores.hints import Hints
from kneo_grpc.stores.listing import Lists
from kneo_grpc.stores.reading import Reader

_PRUNES = {
    Kept.CONTINUATIONS: "prune_continuations",
    Kept.AUDIT: "prune_audit",
    Kept.IDEMPOTENCY: "prune_idempotency",
}


class WorkReader(Reader):
    """Queue and Upkeep, as ports.queue and ports.upkeep say, over statements that write."""

    def __init__(
        self,
        statements: Mapping[str, str],
        lists: Lists,
        *,
        decode_instant: InstantDecoder,
        encode_instant: InstantEncoder,
        encode_duration: DurationEncoder,
    ) -> None:
        super().__init__(statements, lists, decode_instant)
        self._encode_instant = encode_instant
        self._encode_duration = encode_duration
        self._hints = Hints()

    @abc.abstractmethod
    async def _claim(self, name: str, *arguments: Any) -> Sequence[rows.Row]:
        """Run a statement of the queue. Raises StoreUnavailable."""

    @abc.abstractmethod
    async def _prune(self, name: str, *arguments: Any) -> Sequence[rows.Row]:
        """Run a statement of upkeep or of service keys in a transaction of its own.

        Raises StoreUnavailable.
        """

    async def claim_runs(
        self,
        owner: str,
        lease_for: timedelta,
        *,
        limit: int,
        suspects_from: int,
        suspects: bool,
        without: Collection[RunId] = (),
    ) -> tuple[Claim, ...]:
        """Lease the longest waiting runs and set them running."""
        lease = self._encode_duration(lease_for)
        found = await self._claim(
            "run_claim", owner, lease, limit, suspects_from, suspects, ",".join(without)
        )
        return tuple(
            Claim(
                run=rows.run_from_row(row, self._instant),
                claims=row["claims"],
                due_at=rows.present(self._instant(row["since"])),
            )
            for row in found
        )

    async def claim_due(
        self,
        owner: str,
        lease_for: timedelta,
        *,
        limit: int,
        kinds: Collection[JobKind] = TIMED,
    ) -> tuple[DueJob, ...]:
        """Lease timed jobs that fell due."""
        names = ",".join(sorted(kind.value for kind in kinds))
        lease = self._encode_duration(lease_for)
        found = await self._claim("due_claim", owner, lease, limit, names)
        jobs = (
            DueJob(
                run_id=row["run_id"],
                kind=JobKind(row["kind"]),
                subject=row["subject"],
                due_at=rows.present(self._instant(row["due_at"])),
            )
            for row in found
        )
        return tuple(sorted(jobs, key=lambda job: job.due_at))

    async def postpone(self, owner: str, run_ids: Sequence[RunId], delay: timedelta) -> None:
        """Give runs back."""
        for run_id in run_ids:
            await self._claim("run_postpone", owner, run_id, self._encode_duration(delay))

    async def drop_job(self, job: DueJob) -> None:
        """Remove a job."""
        due_at = self._encode_instant(job.due_at)
        await self._claim("job_drop", job.run_id, job.kind.value, job.subject, due_at)

    async def held_runs(self, owner: str) -> frozenset[RunId]:
        """Return the runs whose job this process holds."""
        found = await self._fetch(self._statements["runs_held"], owner)
        return frozenset(row["run_id"] for row in found)

    async def list_jobs(self, kind: JobKind, page: PageRequest) -> Page[QueuedJob]:
        """List jobs of a kind."""
        return await self._page(
            self._lists.jobs(kind, page),
            lambda row: QueuedJob(
                run_id=row["run_id"],
                state=row["state"],
                due_at=rows.present(self._instant(row["due_at"])),
                claims=row["claims"],
                lease_owner=row["lease_owner"],
                lease_expires_at=self._instant(row["lease_expires_at"]),
            ),
        )

    async def service_key(self, name: str, fresh: bytes) -> bytes:
        """Return a key, and keep the fresh one where there is none."""
        found = await self._fetch(self._statements["service_key_load"], name)
        if not found:
            await self._prune("service_key_insert", name, fresh)
            found = await self._fetch(self._statements["service_key_load"], name)
        return bytes(found[0]["content"])

    async def wait_for_work(self, at_most: timedelta) -> bool:
        """Wait for a hint."""
        return await self._hints.wait(at_most)

    async def prune(
        self, what: Kept, before: datetime, *, statuses: Set[RunStatus], limit: int
    ) -> int:
        """Remove a batch of what is too old."""
        instant = self._encode_instant(before)
        ended = sorted(status.value for status in statuses)
        if what is Kept.CHECKPOINTS:
            found = await self._prune("prune_checkpoints", ",".join(ended), instant, limit)
            return len(found)
        if what is not Kept.RUNS:
            return len(await self._prune(_PRUNES[what], instant, limit))
        removed = 0
        for status in ended:
            if removed < limit:
                rest = limit - removed
                removed += len(await self._prune("prune_runs", status, instant, rest))
        return removed
