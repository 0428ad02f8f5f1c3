"""Values for the contract tests: short to write, every field settable."""

import dataclasses
import itertools
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from kneo_grpc.domain.change import (
    AuditRecord,
    Change,
    ExpectAttempt,
    ExpectNew,
    ExpectStatus,
    IdempotencyRecord,
    Job,
    JobKind,
    OutcomeKind,
    StoredPlan,
    TaskSettlement,
)
from kneo_grpc.domain.human import (
    Decision,
    HumanDecision,
    HumanRequest,
    HumanRequestType,
    HumanTask,
    HumanTaskStatus,
    OnTimeout,
)
from kneo_grpc.domain.run import Checkpoint, Run, RunStatus, RunSummary, TraceEvent

NOW = datetime(2026, 11, 20, 12, 0, 0, 123456, tzinfo=UTC)
DIGEST = "d" * 64
_numbers = itertools.count(1)


def new_id(prefix: str) -> str:
    return f"{prefix}_{next(_numbers):08d}"


def make_run(**fields: Any) -> Run:
    values: dict[str, Any] = {
        "id": new_id("run"),
        "status": RunStatus.RUNNING,
        "attempt": 1,
        "plan_digest": DIGEST,
        "target": "workflow",
        "input_text": "hello",
        "created_at": NOW,
        "updated_at": NOW,
    }
    return Run(**{**values, **fields})


def summary(run: Run) -> RunSummary:
    """A run as lists show it."""
    names = (part.name for part in dataclasses.fields(RunSummary))
    return RunSummary(**{name: getattr(run, name) for name in names})


def event(kind: str = "step_started", **fields: Any) -> TraceEvent:
    return TraceEvent(**{"id": new_id("evt"), "type": kind, "timestamp": NOW, **fields})


def checkpoint(state: Mapping[str, Any], **fields: Any) -> Checkpoint:
    values = {"id": new_id("chk"), "type": "step_completed", "created_at": NOW, "state": state}
    return Checkpoint(**{**values, **fields})


def audit(**fields: Any) -> AuditRecord:
    values = {"id": new_id("aud"), "event_type": "run.created", "created_at": NOW}
    return AuditRecord(**{**values, **fields})


def job(kind: JobKind = JobKind.RUN, **fields: Any) -> Job:
    return Job(**{"kind": kind, **({} if "due_in" in fields else {"due_at": NOW}), **fields})


def key_record(key: str, **fields: Any) -> IdempotencyRecord:
    values = {"principal": "ann", "scope": "runs.create", "key": key, "request_hash": "a" * 64}
    return IdempotencyRecord(**{**values, "created_at": NOW, **fields})


def request(**fields: Any) -> HumanRequest:
    values: dict[str, Any] = {
        "id": new_id("req"),
        "type": HumanRequestType.SELECTION,
        "title": "Title",
        "prompt": "Which one?",
        "context": {"draft": "text", "scores": [1, 2.5, None]},
        "options": ("a", "b"),
        "default_option": "a",
        "requested_by": "review",
        "assignee": "team",
        "timeout_seconds": 60,
        "on_timeout": OnTimeout.ESCALATE,
        "metadata": {"level": 2},
    }
    return HumanRequest(**{**values, **fields})


def human_task(run_id: str, **fields: Any) -> HumanTask:
    values: dict[str, Any] = {
        "id": new_id("cont"),
        "run_id": run_id,
        "step_path": "review#1",
        "workflow_name": "release",
        "workflow_kind": "sequential",
        "current_input": "so far",
        "visited_steps": ("draft",),
        "request": request(),
        "created_at": NOW,
        "expires_at": NOW + timedelta(minutes=1),
    }
    return HumanTask(**{**values, **fields})


def settlement(task: HumanTask, **fields: Any) -> TaskSettlement:
    decision = HumanDecision(request_id=task.request.id, decision=Decision.APPROVED, content="yes")
    values: dict[str, Any] = {
        "continuation_id": task.id,
        "status": HumanTaskStatus.DECIDED,
        "decision": decision,
        "decided_by": "ann",
        "at": NOW,
    }
    return TaskSettlement(**{**values, **fields})


def creation(run: Run, **parts: Any) -> Change:
    plan = StoredPlan(digest=run.plan_digest, content=b'{"format":1}')
    return Change(**{"run": run, "expect": ExpectNew(), "plan": plan, **parts})


def step(run: Run, **parts: Any) -> Change:
    """A worker's change, fenced on the run's attempt."""
    return Change(**{"run": run, "expect": ExpectAttempt(run.attempt), **parts})


def act(run: Run, *statuses: RunStatus, **parts: Any) -> Change:
    """A request's change, fenced on statuses."""
    return Change(run=run, expect=ExpectStatus(frozenset(statuses)), **parts)


async def create(store: Any, **fields: Any) -> Run:
    """Store a run and return it."""
    run = make_run(**fields)
    (outcome,) = await store.commit([creation(run)])
    assert outcome.kind is OutcomeKind.APPLIED
    return run


async def add_states(store: Any, run: Run, states: list[Mapping[str, Any]]) -> Run:
    """Commit a checkpoint for each state; return the run as it then is."""
    before: Mapping[str, Any] = {}
    for state in states:
        change = step(run, base_state=before, checkpoints=(checkpoint(state),))
        (outcome,) = await store.commit([change])
        assert outcome.kind is OutcomeKind.APPLIED
        run = replace(run, checkpoint_sequence=outcome.checkpoint_sequence)
        before = state
    return run
