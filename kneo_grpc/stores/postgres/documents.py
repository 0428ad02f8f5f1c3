"""Changes as the JSON documents of the batch statement, in the order of its placeholders."""

from base64 import b64encode
from collections.abc import Sequence, Set
from datetime import timedelta
from typing import Any

import orjson

from kneo_grpc.domain.change import Change
from kneo_grpc.domain.errors import InvalidInput
from kneo_grpc.domain.ids import PlanDigest
from kneo_grpc.stores import changes as encode
from kneo_grpc.stores.codec import same_instant

_RUN = (
    *("id", "is_new", "fence_statuses", "fence_attempt", "checkpoint_base", "event_count"),
    *("checkpoint_count", *encode.RUN_COLUMNS),
)
_EVENT = ("run_id", "behind", *encode.EVENT_COLUMNS)
_CHECKPOINT = ("run_id", "behind", *encode.CHECKPOINT_COLUMNS)
_PLAN = ("run_id", "digest", "content")
_TASK = ("run_id", *encode.TASK_COLUMNS)
_JOB = ("run_id", *encode.JOB_COLUMNS)
_CLEARED = ("run_id", "kind")
_AUDIT = ("change_id", *encode.AUDIT_COLUMNS)

_Rows = list[dict[str, Any]]


def history_documents(changes: Sequence[Change]) -> tuple[str, str, str]:
    """Return the arguments of batch_history: runs, events, checkpoints. changes: of different
    runs, sorted by run id. Raises InvalidInput for a text that is no Unicode.
    """
    runs: _Rows = []
    events: _Rows = []
    checkpoints: _Rows = []
    for change in changes:
        run_id, fresh = change.run_id, encode.is_new(change)
        base = encode.base_sequence(change)
        event_count, checkpoint_count = len(change.events), len(change.checkpoints)
        fence = (*encode.fence_values(change), base, event_count, checkpoint_count)
        values = encode.run_values(change.run, same_instant, fresh=fresh)
        runs.append(_row(_RUN, (run_id, fresh, *fence, *values)))
        behind = event_count
        for event in change.events:
            behind -= 1
            row = (run_id, behind, *encode.event_values(event, same_instant))
            events.append(_row(_EVENT, row))
        behind = checkpoint_count
        for checkpoint in encode.checkpoint_rows(change, same_instant):
            behind -= 1
            checkpoints.append(_row(_CHECKPOINT, (run_id, behind, *checkpoint)))
    return _text(runs), _text(events), _text(checkpoints)


def has_rest(change: Change) -> bool:
    """Tell whether the Change has parts that batch_rest lands."""
    return bool(
        change.plan is not None
        or change.open_tasks
        or change.jobs
        or change.clear_jobs
        or change.audit
    )


def rest_documents(
    changes: Sequence[Change], stored: Set[PlanDigest] = frozenset()
) -> tuple[str, ...]:
    """Return the further arguments of batch_rest: plans, tasks, jobs, cleared jobs, audit records.
    stored: plans that are there already.
    """
    plans: _Rows = []
    tasks: _Rows = []
    jobs: _Rows = []
    cleared: _Rows = []
    audit: _Rows = []
    for change in changes:
        run_id = change.run_id
        plan = change.plan
        if plan is not None and plan.digest not in stored:
            plans.append(_row(_PLAN, (run_id, plan.digest, b64encode(plan.content).decode())))
        for task in change.open_tasks:
            tasks.append(_row(_TASK, (run_id, *encode.task_values(task, same_instant))))
        for job in change.jobs:
            values = encode.job_values(job, same_instant, timedelta.total_seconds)
            jobs.append(_row(_JOB, (run_id, *values)))
        cleared += (_row(_CLEARED, (run_id, kind)) for kind in encode.cleared_kinds(change))
        for record in change.audit:
            audit.append(_row(_AUDIT, (run_id, *encode.audit_values(record, same_instant))))
    return (_text(plans), _text(tasks), _text(jobs), _text(cleared), _text(audit))


def _row(names: tuple[str, ...], values: tuple[Any, ...]) -> dict[str, Any]:
    return dict(zip(names, values, strict=True))


def _text(rows: _Rows) -> str:
    if not rows:
        return "[]"
    try:
        return orjson.dumps(rows).decode()
    except TypeError as error:
        raise InvalidInput("The database cannot store a text of this request.") from error
