"""What use cases make of a Change beside writing it."""

from dataclasses import replace
from typing import Any

from kneo_grpc.domain.change import Change, IdempotencyRecord, Job, JobKind, Outcome, OutcomeKind
from kneo_grpc.domain.data import evolve, to_data
from kneo_grpc.domain.human import HumanDecision, HumanTask
from kneo_grpc.domain.run import Run, RunStatus
from kneo_grpc.engine.messages import HumanAnswered
from kneo_grpc.ports.store import PageRequest, Store

Key = tuple[str, str, str]
"""An idempotency key: principal, scope, key."""


def numbered(change: Change, outcome: Outcome) -> Run:
    """Return the run of a Change that landed, with the numbers that the store gave."""
    return evolve(
        change.run,
        event_sequence=outcome.event_sequence,
        checkpoint_sequence=outcome.checkpoint_sequence,
    )


def queued(change: Change, job: Job | None = None) -> Change:
    """Leave to a worker what a Change would have this process execute. job: `run` as this process
    would hold it, where the Change has none.
    """
    if change.run.status is not RunStatus.RUNNING:
        return change
    jobs = (*change.jobs, job) if job is not None else change.jobs
    free = tuple(
        replace(job, lease_owner=None, lease_for=None) if job.kind is JobKind.RUN else job
        for job in jobs
    )
    return evolve(change, run=evolve(change.run, status=RunStatus.QUEUED), jobs=free)


def response_of(change: Change) -> dict[str, Any]:
    """Return the run that a Change leaves as data, for the idempotency record of its call."""
    run = evolve(
        change.run,
        event_sequence=change.run.event_sequence + len(change.events),
        checkpoint_sequence=change.run.checkpoint_sequence + len(change.checkpoints),
    )
    data = to_data(run)
    assert isinstance(data, dict)
    return data


def with_key(
    change: Change, record: IdempotencyRecord | None, *, ends: bool = False
) -> tuple[Change, Key | None]:
    """Add an idempotency record to a Change; the key is returned when the leg has to end it.

    ends: the call ends with this Change though the run goes on.
    """
    if record is None:
        return change, None
    named = replace(record, run_id=change.run.id)
    if change.run.status in (RunStatus.RUNNING, RunStatus.QUEUED) and not ends:
        key = (record.principal, record.scope, record.key)
        return evolve(change, idempotency=named), key
    return evolve(change, idempotency=replace(named, response=response_of(change))), None


def answer_event(task: HumanTask, answer: HumanDecision) -> HumanAnswered:
    """Return what the engine is told of a decision on a task."""
    return HumanAnswered(
        path=task.step_path,
        continuation_id=task.id,
        decision=answer.decision,
        content=answer.content,
        selected_option=answer.selected_option,
    )


async def find_landed(store: Store, change: Change) -> Outcome | None:
    """Return the outcome of a Change with checkpoints whose reply was lost if it landed, as long as
    nothing else has happened to the run since.
    """
    stored = await store.load_run(change.run_id)
    sequence = change.run.checkpoint_sequence + len(change.checkpoints)
    if (
        stored is None
        or stored.attempt != change.run.attempt
        or stored.checkpoint_sequence != sequence
    ):
        return None
    # Another process's Change may have made the same numbers: two decide one task.
    last = PageRequest(limit=1, sort_by="sequence", descending=True)
    found = (await store.list_checkpoints(change.run_id, None, last)).items
    if not found or found[0].id != change.checkpoints[-1].id:
        return None
    return Outcome(
        kind=OutcomeKind.APPLIED,
        event_sequence=stored.event_sequence,
        checkpoint_sequence=sequence,
    )
