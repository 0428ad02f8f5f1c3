"""A run: one execution of a plan."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from kneo_grpc.domain.data import record
from kneo_grpc.domain.human import HumanRequest
from kneo_grpc.domain.ids import CheckpointId, ContinuationId, EventId, PlanDigest, RunId, StepPath


class RunStatus(enum.StrEnum):
    """Where a run stands. queued, running and blocked go on; the others are final (failed unless
    continued).
    """

    QUEUED = "queued"
    RUNNING = "running"
    BLOCKED = "blocked"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    TIMED_OUT = "timed_out"


TERMINAL = frozenset(
    {
        RunStatus.COMPLETED,
        RunStatus.FAILED,
        RunStatus.CANCELLED,
        RunStatus.EXPIRED,
        RunStatus.TIMED_OUT,
    }
)
ACTIVE = frozenset(RunStatus) - TERMINAL

STATUS_ALIASES: Mapping[str, RunStatus] = {
    "paused": RunStatus.BLOCKED,
    "succeeded": RunStatus.COMPLETED,
}
"""Words of older documents, accepted where a status is a filter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunError:
    """Why a run did not complete. type: exception class of the step or one of the contract's
    words; step_id: the step of the root workflow that failed, None where no step did.
    """

    type: str
    message: str
    step_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenUsage:
    """Tokens that models say they took and gave."""

    input_tokens: int = 0
    output_tokens: int = 0

    def __add__(self, other: "TokenUsage") -> "TokenUsage":
        return TokenUsage(
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
        )

    def facts(self) -> dict[str, int]:
        """Return the counts under the contract's names."""
        total = self.input_tokens + self.output_tokens
        return {
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "total_tokens": total,
        }


def read_usage(facts: Mapping[str, Any] | None) -> TokenUsage | None:
    """Read what TokenUsage.facts gave; None where there is nothing."""
    if not facts:
        return None
    return TokenUsage(input_tokens=facts["input_tokens"], output_tokens=facts["output_tokens"])


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingRequest:
    """A question that a blocked run waits for."""

    continuation_id: ContinuationId
    step_path: StepPath
    request: HumanRequest
    expires_at: datetime | None = None


@record(frozen=True, kw_only=True)  # no slots: Run is copied by evolve
class RunSummary:
    """A run as lists show it.

    attempt: the fence; every leg that takes the run over raises it by one. parent_run_id: the run
    that it was forked from.
    event_sequence, checkpoint_sequence: the last numbers given, 0 before the first.
    """

    id: RunId
    status: RunStatus
    attempt: int
    plan_digest: PlanDigest
    target: str
    agent_name: str | None = None
    workflow_name: str | None = None
    workflow_kind: str | None = None
    environment: str | None = None
    session_id: str | None = None
    input_text: str
    output_text: str | None = None
    current_step_id: str | None = None
    current_node_id: str | None = None
    visited_steps: tuple[str, ...] = ()
    visited_nodes: tuple[str, ...] = ()
    pending: tuple[PendingRequest, ...] = ()
    error: RunError | None = None
    event_sequence: int = 0
    checkpoint_sequence: int = 0
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None = None
    completed_at: datetime | None = None
    deadline_at: datetime | None = None
    parent_run_id: RunId | None = None


@record(frozen=True, kw_only=True)  # no slots: it is copied by evolve
class Run(RunSummary):
    """A run as the store gives it.

    source: what the caller asked for: spec_path, spec, environment, overrides, caller_metadata.
    result: what the last leg left: the keys of the contract's result metadata.
    """

    source: Mapping[str, Any] = field(default_factory=dict)
    result: Mapping[str, Any] = field(default_factory=dict)


@record(frozen=True, slots=True, kw_only=True)
class TraceEvent:
    """One thing that happened in a run. sequence: 1-based and gap-free within the run; 0 until it
    is committed.

    data: the contract's remaining fields that are not null, such as agent_name, step_id, span_id,
    input_preview, metadata, error.
    """

    id: EventId
    type: str
    sequence: int = 0
    timestamp: datetime
    data: Mapping[str, Any] = field(default_factory=dict)


@record(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A point in a run to which it can be read back. sequence: as TraceEvent's, counted apart.

    state: the engine's whole state at that moment as data; the store keeps only what changed.
    """

    id: CheckpointId
    type: str
    sequence: int = 0
    workflow_name: str | None = None
    step_id: str | None = None
    node_id: str | None = None
    iteration: int = 1
    state: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    created_at: datetime
