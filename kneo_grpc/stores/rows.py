"""Rows as domain values. A row gives its columns by name, JSON as text."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from kneo_grpc.domain import patch
from kneo_grpc.domain.change import IdempotencyRecord, StoredPolicy
from kneo_grpc.domain.data import from_data
from kneo_grpc.domain.human import HumanDecision, HumanRequest, HumanTask, HumanTaskStatus
from kneo_grpc.domain.run import (
    Checkpoint,
    PendingRequest,
    Run,
    RunError,
    RunStatus,
    RunSummary,
    TraceEvent,
)
from kneo_grpc.stores.codec import InstantDecoder, load_json

Row = Any
"""An asyncpg.Record or a sqlite3.Row: both answer row["column"]; they share no base class."""


def run_from_row(row: Row, instant: InstantDecoder) -> Run:
    """Return the run of a row of `runs`."""
    detail = load_json(row["detail"])
    source = load_json(row["source"])
    return Run(**_summary(row, detail, instant), source=source, result=detail["result"])


def summary_from_row(row: Row, instant: InstantDecoder) -> RunSummary:
    """Return the summary of a row that may lack `source`."""
    return RunSummary(**_summary(row, load_json(row["detail"]), instant))


def _summary(row: Row, detail: Mapping[str, Any], instant: InstantDecoder) -> dict[str, Any]:
    exact = detail.get("exact", {})
    error = detail["error"]
    return {
        "id": row["id"],
        "status": RunStatus(row["status"]),
        "attempt": row["attempt"],
        "plan_digest": row["plan_digest"],
        "target": row["target"],
        "agent_name": row["agent_name"],
        "workflow_name": row["workflow_name"],
        "workflow_kind": row["workflow_kind"],
        "environment": row["environment"],
        "session_id": row["session_id"],
        "input_text": exact.get("input_text", row["input_text"]),
        "output_text": exact.get("output_text", row["output_text"]),
        "current_step_id": row["current_step_id"],
        "current_node_id": row["current_node_id"],
        "visited_steps": tuple(detail["visited_steps"]),
        "visited_nodes": tuple(detail["visited_nodes"]),
        "pending": tuple(from_data(PendingRequest, item) for item in detail["pending"]),
        "error": None if error is None else from_data(RunError, error),
        "event_sequence": row["event_sequence"],
        "checkpoint_sequence": row["checkpoint_sequence"],
        "created_at": present(instant(row["created_at"])),
        "updated_at": present(instant(row["updated_at"])),
        "started_at": instant(row["started_at"]),
        "completed_at": instant(row["completed_at"]),
        "deadline_at": instant(row["deadline_at"]),
        "parent_run_id": detail.get("parent_run_id"),
    }


def event_from_row(row: Row, instant: InstantDecoder) -> TraceEvent:
    """Return the event of a row of `events`."""
    return TraceEvent(
        id=row["id"],
        type=row["type"],
        sequence=row["sequence"],
        timestamp=present(instant(row["occurred_at"])),
        data=load_json(row["data"]),
    )


def checkpoint_from_row(row: Row, state: Mapping[str, Any], instant: InstantDecoder) -> Checkpoint:
    """Return the checkpoint of a row of `checkpoints` with its folded state."""
    return Checkpoint(
        id=row["id"],
        type=row["type"],
        sequence=row["sequence"],
        workflow_name=row["workflow_name"],
        step_id=row["step_id"],
        node_id=row["node_id"],
        iteration=row["iteration"],
        state=state,
        metadata=load_json(row["metadata"]),
        created_at=present(instant(row["created_at"])),
    )


def fold(rows: Iterable[Row]) -> dict[int, Any]:
    """Return the state after each checkpoint by sequence. rows: sequence, patch and snapshot in
    order, the first one a snapshot.
    """
    states: dict[int, Any] = {}
    state: Any = {}
    for row in rows:
        if row["snapshot"] is not None:
            state = load_json(row["snapshot"])
        else:
            state = patch.apply(state, load_json(row["patch"]))
        states[row["sequence"]] = state
    return states


def human_task_from_row(row: Row, instant: InstantDecoder) -> HumanTask:
    """Return the task of a row of `human_tasks`."""
    body = load_json(row["body"])
    return HumanTask(
        id=row["id"],
        run_id=row["run_id"],
        step_path=body["step_path"],
        workflow_name=body["workflow_name"],
        workflow_kind=row["workflow_kind"],
        current_input=body["current_input"],
        visited_steps=tuple(body["visited_steps"]),
        request=from_data(HumanRequest, body["request"]),
        status=HumanTaskStatus(row["status"]),
        created_at=present(instant(row["created_at"])),
        expires_at=instant(row["expires_at"]),
        decision=None
        if row["decision"] is None
        else from_data(HumanDecision, load_json(row["decision"])),
        escalated_at=instant(row["escalated_at"]),
    )


def idempotency_from_row(row: Row, instant: InstantDecoder) -> IdempotencyRecord:
    """Return the record of a row of `idempotency_records`."""
    return IdempotencyRecord(
        principal=row["principal"],
        scope=row["scope"],
        key=row["key"],
        request_hash=row["request_hash"],
        run_id=row["run_id"],
        response=None if row["response"] is None else load_json(row["response"]),
        created_at=present(instant(row["created_at"])),
    )


def policy_from_row(row: Row, instant: InstantDecoder) -> StoredPolicy:
    """Return the policy of a row of `environment_policies`."""
    return StoredPolicy(
        environment=row["environment"],
        version=row["version"],
        policy=load_json(row["policy"]),
        updated_at=present(instant(row["updated_at"])),
    )


def present(instant: datetime | None) -> datetime:
    """Return the instant of a column that is never null."""
    assert instant is not None
    return instant
