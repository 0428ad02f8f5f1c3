"""Changes as the arrays of the batch statement, in the order of its placeholders."""

from collections.abc import Iterable, Sequence
from typing import Any

from kneo_grpc.domain.change import Change
from kneo_grpc.stores import changes as encode
from kneo_grpc.stores.codec import same_duration, same_instant

_RUN, _EVENT, _CHECKPOINT, _PLAN, _TASK, _JOB, _CLEARED, _AUDIT = 28, 6, 12, 3, 7, 7, 2, 8


def history_arrays(changes: Sequence[Change]) -> list[Sequence[Any]]:
    """Return the 46 arguments of batch_history. changes: of different runs, sorted by run id."""
    runs: list[tuple[Any, ...]] = []
    events: list[tuple[Any, ...]] = []
    checkpoints: list[tuple[Any, ...]] = []
    for change in changes:
        run_id, fresh = change.run_id, encode.is_new(change)
        base = encode.base_sequence(change)
        event_count, checkpoint_count = len(change.events), len(change.checkpoints)
        fence = (*encode.fence_values(change), base, event_count, checkpoint_count)
        values = encode.run_values(change.run, same_instant, fresh=fresh)
        runs.append((run_id, fresh, *fence, *values))
        for behind, event in zip(reversed(range(event_count)), change.events, strict=True):
            events.append((run_id, behind, *encode.event_values(event, same_instant)))
        rows = encode.checkpoint_rows(change, same_instant)
        for behind, row in zip(reversed(range(checkpoint_count)), rows, strict=True):
            checkpoints.append((run_id, behind, *row))
    return [*_columns(runs, _RUN), *_columns(events, _EVENT), *_columns(checkpoints, _CHECKPOINT)]


def has_rest(change: Change) -> bool:
    """Tell whether the Change has parts that batch_rest lands."""
    return bool(
        change.plan is not None
        or change.open_tasks
        or change.jobs
        or change.clear_jobs
        or change.audit
    )


def rest_arrays(changes: Sequence[Change]) -> list[Sequence[Any]]:
    """Return the further 27 arguments of batch_rest."""
    plans: list[tuple[Any, ...]] = []
    tasks: list[tuple[Any, ...]] = []
    jobs: list[tuple[Any, ...]] = []
    cleared: list[tuple[Any, ...]] = []
    audit: list[tuple[Any, ...]] = []
    for change in changes:
        run_id = change.run_id
        if change.plan is not None:
            plans.append((run_id, change.plan.digest, change.plan.content))
        tasks += ((run_id, *encode.task_values(task, same_instant)) for task in change.open_tasks)
        jobs += (
            (run_id, *encode.job_values(job, same_instant, same_duration)) for job in change.jobs
        )
        cleared += ((run_id, kind) for kind in encode.cleared_kinds(change))
        audit += ((run_id, *encode.audit_values(record, same_instant)) for record in change.audit)
    return [
        *_columns(plans, _PLAN),
        *_columns(tasks, _TASK),
        *_columns(jobs, _JOB),
        *_columns(cleared, _CLEARED),
        *_columns(audit, _AUDIT),
    ]


def _columns(rows: Sequence[tuple[Any, ...]], width: int) -> Iterable[Sequence[Any]]:
    return zip(*rows, strict=True) if rows else ((),) * width
