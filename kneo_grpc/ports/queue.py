"""Work that waits in the store: runs to execute and jobs with a due time."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from kneo_grpc.domain.change import TIMED, JobKind
from kneo_grpc.domain.ids import RunId
from kneo_grpc.domain.run import Run
from kneo_grpc.ports.store import Page, PageRequest

JOB_SORT_KEYS = frozenset({"due_at", "claims", "run_id"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A run that was leased to execute it. run: with the attempt that the claim raised.

    claims: how many processes took the run since it last got on, this one included; above 1 a
    holder was lost.
    due_at: since when the run waited; for a lost lease, when that lease expired.
    """

    run: Run
    claims: int
    due_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DueJob:
    """A job of another kind that fell due, leased to perform it."""

    run_id: RunId
    kind: JobKind
    subject: str
    due_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedJob:
    """A job as it stands. state: ready, later (due in the future), leased, or dead."""

    run_id: RunId
    state: str
    due_at: datetime
    claims: int
    lease_owner: str | None
    lease_expires_at: datetime | None


class Queue(Protocol):
    """The store's face for workers. The database's clock judges due times and leases.

    Every method raises StoreUnavailable when the database does not answer in time.
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
        """Lease the longest waiting runs that are ready or whose lease expired, and set them
        running.

        suspects_from: a job with so many claims behind it is a suspect; suspects: take those only,
        else the others only; without: runs to leave to others. Two callers never get the same run.
        """

    async def claim_due(
        self,
        owner: str,
        lease_for: timedelta,
        *,
        limit: int,
        kinds: Collection[JobKind] = TIMED,
    ) -> tuple[DueJob, ...]:
        """Lease jobs of these kinds that fell due, oldest first."""

    async def postpone(self, owner: str, run_ids: Sequence[RunId], delay: timedelta) -> None:
        """Queue runs again that this process leased and cannot execute; due after delay."""

    async def drop_job(self, job: DueJob) -> None:
        """Remove a job that has nothing left to do; one that was put anew meanwhile stays."""

    async def held_runs(self, owner: str) -> frozenset[RunId]:
        """Return the runs whose job `run` this process holds, whether or not the lease expired."""

    async def list_jobs(self, kind: JobKind, page: PageRequest) -> Page[QueuedJob]:
        """List jobs of a kind (run or dead) by JOB_SORT_KEYS."""

    async def wait_for_work(self, at_most: timedelta) -> bool:
        """Wait for a hint that a run became ready; False when none came. Hints may be lost."""
