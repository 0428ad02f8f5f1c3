"""Writes are values: one use case returns one Change, and the store lands all of it or nothing.

A Change says what it expects of the run; when the run is otherwise, the outcome says so and none
of its rows land.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from kneo_grpc.domain.data import record
from kneo_grpc.domain.human import HumanDecision, HumanTask, HumanTaskStatus
from kneo_grpc.domain.ids import AuditId, ContinuationId, PlanDigest, RunId
from kneo_grpc.domain.run import Checkpoint, Run, RunStatus, TraceEvent


@record(frozen=True, slots=True)
class ExpectNew:
    """The run does not exist yet."""


@record(frozen=True, slots=True)
class ExpectAttempt:
    """A worker's fence: the run is still `running` at this attempt."""

    attempt: int


@record(frozen=True, slots=True)
class ExpectStatus:
    """A request's or a timer's fence: the run has one of these statuses and, where given, still
    this attempt.
    """

    statuses: frozenset[RunStatus]
    attempt: int | None = None


Expect = ExpectNew | ExpectAttempt | ExpectStatus


@record(frozen=True, slots=True, kw_only=True)
class StoredPlan:
    """A compiled spec; kept once per digest. content: canonical JSON."""

    digest: PlanDigest
    content: bytes


class JobKind(enum.StrEnum):
    """run: execute the run; dead: a dead-lettered run, kept for a person to put back and never due;
    the others fall due later and are the workers' to perform. answer: a decision on a human task
    that came while the run was busy elsewhere, to be handed to it.
    """

    RUN = "run"
    DEAD = "dead"
    DEADLINE = "deadline"
    HUMAN_EXPIRY = "human_expiry"
    ANSWER = "answer"


TIMED = frozenset({JobKind.DEADLINE, JobKind.HUMAN_EXPIRY, JobKind.ANSWER})
"""What the timers perform."""


@record(frozen=True, slots=True, kw_only=True)
class Job:
    """Work with a due time, one per (run, kind, subject). subject: a continuation id or step path,
    "" for the run itself.

    due_in: how long from the commit on, by the store's clock, so that a process whose clock is off
    delays nothing and hurries nothing; due_at: an instant by the store's clock instead.
    lease_owner: a process that takes the job in the same commit; lease_for: how long, by the
    store's clock.
    """

    kind: JobKind
    subject: str = ""
    due_in: timedelta = timedelta(0)
    due_at: datetime | None = None
    lease_owner: str | None = None
    lease_for: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSettlement:
    """Ends a pending human task. A task that is not pending any more fails the whole Change with
    `task_settled`.
    """

    continuation_id: ContinuationId
    status: HumanTaskStatus
    decision: HumanDecision | None = None
    decided_by: str | None = None
    at: datetime


@record(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """Who did what; written in the transaction of the act. metadata: JSON-ready; what a caller sent
    stands in it exactly, and is blanked where it leaves the process.
    """

    id: AuditId
    event_type: str
    run_id: RunId | None = None
    continuation_id: ContinuationId | None = None
    actor: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class IdempotencyRecord:
    """The first use of a key. request_hash: SHA-256 hex of the request; response: JSON-ready, None
    until the call ended.
    """

    principal: str
    scope: str
    key: str
    request_hash: str
    run_id: RunId | None = None
    response: Mapping[str, Any] | None = None
    created_at: datetime


@record(frozen=True, kw_only=True)  # no slots: it is copied by evolve
class Change:
    """One use case's writes to one run.

    run: the run as it shall be. Its attempt is written as given; sequences are given by the store,
    in the order of the tuples
    below, continuing from what the row holds; a run's immutable columns (source, input, plan) are
    written with ExpectNew only.
    A Change is also fenced on run.checkpoint_sequence: the row must still hold that number, else
    `fence_lost`. So nothing is written twice when a commit's reply was lost, and no column goes
    back to what it was before a step that was committed meanwhile.
    base_state: the engine state that `checkpoints[0].state` follows on, as data; {} before the
    first.
    restate: pending tasks as they shall be from now on (request and deadline); one that is not
    pending any more fails the whole Change with `task_settled`.
    close_tasks: ends every pending human task of the run with this status, beside those in
    `settle`; drop_tasks: ends these as cancelled where they are still pending.
    clear_jobs: removes all jobs of these kinds before `jobs` are added.
    complete: (principal, scope, key, response) whose idempotency record ends with this Change.
    """

    run: Run
    expect: Expect
    plan: StoredPlan | None = None
    events: tuple[TraceEvent, ...] = ()
    base_state: Mapping[str, Any] = field(default_factory=dict)
    checkpoints: tuple[Checkpoint, ...] = ()
    open_tasks: tuple[HumanTask, ...] = ()
    restate: tuple[HumanTask, ...] = ()
    settle: tuple[TaskSettlement, ...] = ()
    close_tasks: HumanTaskStatus | None = None
    drop_tasks: tuple[ContinuationId, ...] = ()
    clear_jobs: frozenset[JobKind] = frozenset()
    jobs: tuple[Job, ...] = ()
    audit: tuple[AuditRecord, ...] = ()
    idempotency: IdempotencyRecord | None = None
    complete: tuple[str, str, str, Mapping[str, Any]] | None = None

    @property
    def run_id(self) -> RunId:
        """The run that the Change belongs to."""
        return self.run.id


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPolicy:
    """What must hold for specs in an environment. version: counts its puts, from 1; policy: its
    fields as data.
    """

    environment: str
    version: int
    policy: Mapping[str, Any]
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyPut:
    """Replaces a policy. version: of the policy that it replaces, 0 where there is none; with any
    other one the whole Act ends in `fence_lost`.
    """

    environment: str
    version: int
    policy: Mapping[str, Any]
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One use case's writes that belong to no run; all of them land or none does."""

    policy: PolicyPut | None = None
    audit: tuple[AuditRecord, ...] = ()
    idempotency: IdempotencyRecord | None = None


class OutcomeKind(enum.StrEnum):
    """applied: every row landed. Any other: none did.

    fence_lost: the run is not as expected (other status or attempt, or gone). exists: a run or
    idempotency key of that name
    is there already. task_settled: the human task was ended by somebody else.
    """

    APPLIED = "applied"
    FENCE_LOST = "fence_lost"
    EXISTS = "exists"
    TASK_SETTLED = "task_settled"


@record(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one Change. event_sequence, checkpoint_sequence: the run's last numbers after
    it, when applied.
    """

    kind: OutcomeKind
    event_sequence: int = 0
    checkpoint_sequence: int = 0

    @property
    def applied(self) -> bool:
        """Tell whether the Change landed."""
        return self.kind is OutcomeKind.APPLIED
