"""A Change as rows. Both databases take the values in the order given here."""

from collections.abc import Iterator, Mapping
from typing import Any

from kneo_grpc.domain import patch
from kneo_grpc.domain.change import (
    AuditRecord,
    Change,
    ExpectAttempt,
    ExpectNew,
    ExpectStatus,
    IdempotencyRecord,
    Job,
    PolicyPut,
    TaskSettlement,
)
from kneo_grpc.domain.human import HumanTask
from kneo_grpc.domain.run import Run, RunStatus, TraceEvent
from kneo_grpc.stores.codec import DurationEncoder, InstantEncoder, dump_json, storable

SNAPSHOT_EVERY = 64
"""A checkpoint whose sequence leaves 1 when divided by this keeps the whole state."""

RUN_COLUMNS = (
    *("status", "attempt", "plan_digest", "target", "agent_name", "workflow_name"),
    *("workflow_kind", "environment", "session_id", "input_text", "output_text"),
    *("current_step_id", "current_node_id", "error_text", "source", "detail"),
    *("created_at", "updated_at", "started_at", "completed_at", "deadline_at"),
)
EVENT_COLUMNS = ("id", "type", "occurred_at", "data")
CHECKPOINT_COLUMNS = (
    *("id", "type", "workflow_name", "step_id", "node_id", "iteration", "patch", "snapshot"),
    *("metadata", "created_at"),
)
TASK_COLUMNS = ("id", "status", "workflow_kind", "created_at", "expires_at", "escalated_at", "body")
JOB_COLUMNS = ("kind", "subject", "due_at", "due_in", "lease_owner", "lease_for")
AUDIT_COLUMNS = (
    *("id", "event_type", "run_id", "continuation_id", "actor", "metadata", "created_at"),
)


def is_new(change: Change) -> bool:
    """Tell whether the Change makes its run."""
    return isinstance(change.expect, ExpectNew)


def is_rare(change: Change) -> bool:
    """Tell whether the Change has parts that can refuse it beside the fence on the run."""
    return bool(
        change.settle
        or change.restate
        or change.close_tasks is not None
        or change.drop_tasks
        or change.idempotency is not None
        or change.complete is not None
    )


def fence_values(change: Change) -> tuple[str, int | None]:
    """Return the statuses the run may have, joined by commas, and its attempt or None for any."""
    match change.expect:
        case ExpectAttempt(attempt=attempt):
            return RunStatus.RUNNING.value, attempt
        case ExpectStatus(statuses=statuses, attempt=attempt):
            return ",".join(sorted(status.value for status in statuses)), attempt
        case ExpectNew():
            return "", None


def run_values(run: Run, instant: InstantEncoder, *, fresh: bool) -> tuple[Any, ...]:
    """Return RUN_COLUMNS. Where the run is not fresh, those that are written once are None."""
    return (
        run.status.value,
        run.attempt,
        run.plan_digest if fresh else None,
        run.target if fresh else None,
        run.agent_name,
        run.workflow_name,
        run.workflow_kind,
        run.environment,
        run.session_id,
        storable(run.input_text) if fresh else None,
        storable(run.output_text),
        run.current_step_id,
        run.current_node_id,
        None if run.error is None else storable(run.error.message),
        dump_json(run.source) if fresh else None,
        dump_json(_detail(run)),
        instant(run.created_at) if fresh else None,
        instant(run.updated_at),
        instant(run.started_at),
        instant(run.completed_at),
        instant(run.deadline_at),
    )


def _detail(run: Run) -> Mapping[str, Any]:
    detail: dict[str, Any] = {
        "visited_steps": run.visited_steps,
        "visited_nodes": run.visited_nodes,
        "pending": run.pending,
        "result": run.result,
        "error": run.error,
    }
    if run.parent_run_id is not None:
        detail["parent_run_id"] = run.parent_run_id
    # A column cannot hold NUL or lone surrogates, which a tool may well return; JSON can.
    exact = {
        name: text
        for name, text in (("input_text", run.input_text), ("output_text", run.output_text))
        if storable(text) != text
    }
    if exact:
        detail["exact"] = exact
    return detail


def event_values(event: TraceEvent, instant: InstantEncoder) -> tuple[Any, ...]:
    """Return EVENT_COLUMNS."""
    return (event.id, event.type, instant(event.timestamp), dump_json(event.data))


def base_sequence(change: Change) -> int:
    """Return the sequence of the checkpoint that the Change's checkpoints follow on. Every store
    makes sure that it is still the run's last, for patches are of use on that state only.
    """
    return 0 if is_new(change) else change.run.checkpoint_sequence


def checkpoint_rows(change: Change, instant: InstantEncoder) -> Iterator[tuple[Any, ...]]:
    """Yield CHECKPOINT_COLUMNS of each checkpoint."""
    before = change.base_state
    for sequence, checkpoint in enumerate(change.checkpoints, start=base_sequence(change) + 1):
        whole = sequence % SNAPSHOT_EVERY == 1
        yield (
            checkpoint.id,
            checkpoint.type,
            checkpoint.workflow_name,
            checkpoint.step_id,
            checkpoint.node_id,
            checkpoint.iteration,
            None if whole else dump_json(patch.diff(before, checkpoint.state)),
            dump_json(checkpoint.state) if whole else None,
            dump_json(checkpoint.metadata),
            instant(checkpoint.created_at),
        )
        before = checkpoint.state


def task_values(task: HumanTask, instant: InstantEncoder) -> tuple[Any, ...]:
    """Return TASK_COLUMNS."""
    body = {
        "step_path": task.step_path,
        "workflow_name": task.workflow_name,
        "current_input": task.current_input,
        "visited_steps": task.visited_steps,
        "request": task.request,
    }
    return (
        task.id,
        task.status.value,
        task.workflow_kind,
        instant(task.created_at),
        instant(task.expires_at),
        instant(task.escalated_at),
        dump_json(body),
    )


def restated_values(task: HumanTask, instant: InstantEncoder) -> tuple[Any, ...]:
    """Return id, expires_at, escalated_at, body."""
    task_id, _status, _workflow_kind, _created_at, *restated = task_values(task, instant)
    return (task_id, *restated)


def job_values(job: Job, instant: InstantEncoder, duration: DurationEncoder) -> tuple[Any, ...]:
    """Return JOB_COLUMNS."""
    return (
        job.kind.value,
        job.subject,
        instant(job.due_at),
        duration(job.due_in),
        job.lease_owner,
        None if job.lease_for is None else duration(job.lease_for),
    )


def cleared_kinds(change: Change) -> list[str]:
    """Return the kinds of job that the Change removes, in order."""
    return sorted(kind.value for kind in change.clear_jobs)


def audit_values(record: AuditRecord, instant: InstantEncoder) -> tuple[Any, ...]:
    """Return AUDIT_COLUMNS."""
    return (
        record.id,
        record.event_type,
        record.run_id,
        record.continuation_id,
        record.actor,
        dump_json(record.metadata),
        instant(record.created_at),
    )


def policy_values(put: PolicyPut, instant: InstantEncoder) -> tuple[Any, ...]:
    """Return environment, version that is replaced, policy, updated_at."""
    return (put.environment, put.version, dump_json(put.policy), instant(put.at))


def settlement_values(settlement: TaskSettlement, instant: InstantEncoder) -> tuple[Any, ...]:
    """Return continuation id, status, decision, decided_by, settled_at."""
    decision = settlement.decision
    return (
        settlement.continuation_id,
        settlement.status.value,
        None if decision is None else dump_json(decision),
        settlement.decided_by,
        instant(settlement.at),
    )


def idempotency_values(record: IdempotencyRecord, instant: InstantEncoder) -> tuple[Any, ...]:
    """Return principal, scope, key, request_hash, run_id, response, created_at."""
    return (
        record.principal,
        record.scope,
        record.key,
        record.request_hash,
        record.run_id,
        None if record.response is None else dump_json(record.response),
        instant(record.created_at),
    )
