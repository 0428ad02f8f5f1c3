"""What the platform asks of a database. tests/contract holds one suite that every store passes."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from kneo_grpc.domain.change import (
    Act,
    Change,
    IdempotencyRecord,
    Outcome,
    OutcomeKind,
    StoredPolicy,
)
from kneo_grpc.domain.human import HumanTask
from kneo_grpc.domain.ids import ContinuationId, PlanDigest, RunId
from kneo_grpc.domain.run import Checkpoint, Run, RunStatus, RunSummary, TraceEvent

T = TypeVar("T")

Position: TypeAlias = tuple[str | int | None, ...]
"""An item's sort keys, instants in microseconds since 1970."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRequest:
    """Which part of a list. sort_by: one of the method's sort keys; ties are broken by id in the
    same order.

    after: `Page.next` of the page before, in place of an offset; total: that page's total, which is
    then not counted again.
    """

    limit: int = 100
    offset: int = 0
    sort_by: str
    descending: bool = False
    after: Position | None = None
    total: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    """A part of a list and the size of the whole, counted to 10,000.

    next: where the part ends, None at the end of the list. The list can be read on from there
    without gaps and repeats, whatever is added meanwhile.
    """

    items: tuple[T, ...]
    total: int
    next: Position | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilter:
    """None means any. text: case-insensitive substring of the output or of the error's message.
    or_unnamed: with an environment, runs that name none besides.
    """

    status: RunStatus | None = None
    workflow_kind: str | None = None
    workflow_name: str | None = None
    session_id: str | None = None
    environment: str | None = None
    or_unnamed: bool = False
    has_error: bool | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HumanTaskFilter:
    """None means any. Only pending tasks are listed. escalated: whether their deadline has been
    passed on to somebody else.
    """

    run_id: RunId | None = None
    workflow_kind: str | None = None
    escalated: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedState:
    """The engine's state as data, after the checkpoint of that sequence; sequence 0 and {} before
    the first.
    """

    state: Mapping[str, Any] = field(default_factory=dict)
    checkpoint_sequence: int = 0


RUN_SORT_KEYS = frozenset({"id", "created_at", "updated_at", "status", "workflow_name"})
EVENT_SORT_KEYS = frozenset({"sequence", "timestamp", "type"})
CHECKPOINT_SORT_KEYS = frozenset({"sequence", "created_at", "type"})
HUMAN_TASK_SORT_KEYS = frozenset({"id", "run_id", "created_at", "expires_at"})


class Store(Protocol):
    """Durable state. Every method raises StoreUnavailable when the database does not answer in
    time.

    commit: see domain.change. At most one Change per run in a batch (a second one is a
    programmer's error), applied in the order of
    run ids, in one transaction; outcomes come back in the order given. A batch that fails as a
    whole is retried one by one, so
    that one bad Change harms no other. When commit raises StoreUnavailable, the caller does not
    know whether it landed.
    """

    name: str

    async def start(self) -> None:
        """Connect and migrate. Raises StartRefused or MigrationFailed with a sentence for the
        operator.
        """

    async def stop(self) -> None:
        """Finish commits under way and disconnect."""

    async def check(self) -> None:
        """Prove that reading works; raises StoreUnavailable."""

    async def commit(self, changes: Sequence[Change]) -> tuple[Outcome, ...]:
        """Land changes; see above."""

    async def renew_leases(
        self, owner: str, lease_for: timedelta, run_ids: Collection[RunId]
    ) -> frozenset[RunId]:
        """Extend a process's leases on these runs in one statement, also those that expired while
        nobody took them; return the runs still held.
        """

    async def load_run(self, run_id: RunId) -> Run | None:
        """Return a run, or None."""

    async def list_runs(self, where: RunFilter, page: PageRequest) -> Page[RunSummary]:
        """List runs by RUN_SORT_KEYS."""

    async def load_plan(self, digest: PlanDigest) -> bytes | None:
        """Return a stored plan's content."""

    async def load_state(self, run_id: RunId) -> LoadedState:
        """Return the engine state after the last checkpoint."""

    async def list_events(
        self, run_id: RunId, event_type: str | None, page: PageRequest
    ) -> Page[TraceEvent]:
        """List a run's events by EVENT_SORT_KEYS."""

    async def list_checkpoints(
        self,
        run_id: RunId,
        checkpoint_type: str | None,
        page: PageRequest,
        *,
        states: bool = True,
    ) -> Page[Checkpoint]:
        """List a run's checkpoints by CHECKPOINT_SORT_KEYS, each with its whole state; without
        states these are left out, which is faster.
        """

    async def load_human_task(self, continuation_id: ContinuationId) -> HumanTask | None:
        """Return a task in any status, or None."""

    async def list_human_tasks(self, where: HumanTaskFilter, page: PageRequest) -> Page[HumanTask]:
        """List pending tasks by HUMAN_TASK_SORT_KEYS."""

    async def load_idempotency(
        self, principal: str, scope: str, key: str
    ) -> IdempotencyRecord | None:
        """Return the record of a key's first use, or None."""

    async def act(self, act: Act) -> OutcomeKind:
        """Land what belongs to no run: `applied`, `exists` (the key was used), `fence_lost`."""

    async def load_policies(self) -> tuple[StoredPolicy, ...]:
        """Return all environment policies, by environment."""

    async def service_key(self, name: str, fresh: bytes) -> bytes:
        """Return the key that all processes on this database share under a name; it becomes
        `fresh` where there is none yet.
        """

    async def count_jobs(self) -> Mapping[str, int]:
        """Return how many jobs of kind `run` are `queued` (unleased or expired) and `running`
        (leased).
        """
