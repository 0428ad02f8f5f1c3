"""Timelines and differences of checkpoints."""

from collections.abc import Mapping

from kneo_grpc._gen.kneo.v1 import run_pb2, run_result_pb2
from kneo_grpc.api.convert.fields import Fields, Limits, to_struct, to_timestamp
from kneo_grpc.api.convert.runs import checkpoint_to_pb, context_to_pb
from kneo_grpc.domain.ids import RunId
from kneo_grpc.domain.run import Checkpoint
from kneo_grpc.platform.replay import CheckpointDiff, Replay


def diff_from_pb(
    request: run_pb2.DiffCheckpointsRequest, limits: Limits
) -> tuple[RunId, int | None, int | None]:
    """Return the run and the two numbers of a diff request."""
    fields = Fields(limits)
    fields.identifier("run_id", request.run_id)
    numbers = []
    for name in ("from_sequence", "to_sequence"):
        number = getattr(request, name) if request.HasField(name) else None
        if number is not None and number < 1:
            fields.fault(name, "must be 1 or more")
        numbers.append(number)
    fields.check()
    return RunId(request.run_id), numbers[0], numbers[1]


def diff_to_pb(diff: CheckpointDiff) -> run_pb2.CheckpointDiff:
    """Return a difference as a message."""
    return run_pb2.CheckpointDiff(
        run_id=diff.run_id,
        from_checkpoint=checkpoint_to_pb(diff.run_id, diff.before),
        to_checkpoint=checkpoint_to_pb(diff.run_id, diff.after),
        change_count=diff.change_count,
        added=[to_struct(item) for item in diff.added],
        removed=[to_struct(item) for item in diff.removed],
        changed=[to_struct(item) for item in diff.changed],
        truncated=diff.truncated,
    )


def replay_to_pb(replay: Replay) -> run_pb2.RunReplay:
    """Return a history as a message."""
    run = replay.run
    return run_pb2.RunReplay(
        run_id=run.id,
        status=run.status.value,
        workflow_name=run.workflow_name,
        workflow_kind=run.workflow_kind,
        agent_name=run.agent_name,
        checkpoint_count=run.checkpoint_sequence,
        timeline=[_item(checkpoint, run.workflow_kind) for checkpoint in replay.timeline],
        replay_context=context_to_pb(replay.recovery),
    )


def _item(checkpoint: Checkpoint, kind: str | None) -> run_pb2.TimelineItem:
    state, metadata = checkpoint.state, checkpoint.metadata
    error = state.get("error")
    current = state.get("current_step_id")
    request = metadata.get("request")
    return run_pb2.TimelineItem(
        id=checkpoint.id,
        sequence=checkpoint.sequence,
        type=checkpoint.type,
        created_at=to_timestamp(checkpoint.created_at),
        workflow_name=checkpoint.workflow_name,
        step_id=checkpoint.step_id,
        node_id=checkpoint.node_id,
        status=str(state.get("status", "")),
        current_step_id=current,
        current_step_index=len(state.get("visited_steps", ()))
        if kind == "sequential" and current is not None
        else None,
        current_node_id=current if kind == "graph" else None,
        continuation_id=metadata.get("continuation_id"),
        pending_human_request_id=request.get("id") if isinstance(request, Mapping) else None,
        error=run_result_pb2.RunError(
            type=error["type"], message=error["message"], step_id=error.get("step_id")
        )
        if isinstance(error, Mapping)
        else None,
    )
