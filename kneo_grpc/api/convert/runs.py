"""Runs, their results, lists and histories."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from kneo_grpc._gen.kneo.v1 import run_pb2, run_result_pb2
from kneo_grpc.api.convert.fields import (
    Fields,
    Limits,
    fill_struct,
    page_facts,
    to_struct,
    to_timestamp,
)
from kneo_grpc.api.convert.human import request_to_pb
from kneo_grpc.api.convert.specs import source_fields
from kneo_grpc.domain.ids import RunId
from kneo_grpc.domain.run import (
    STATUS_ALIASES,
    TERMINAL,
    Checkpoint,
    Run,
    RunError,
    RunStatus,
    RunSummary,
    TraceEvent,
)
from kneo_grpc.platform.forks import ForkRun
from kneo_grpc.platform.recovery import RecoveryView
from kneo_grpc.platform.runs import CreateRun
from kneo_grpc.ports.store import (
    CHECKPOINT_SORT_KEYS,
    EVENT_SORT_KEYS,
    RUN_SORT_KEYS,
    Page,
    PageRequest,
    RunFilter,
)
from kneo_grpc.spec.skill_overlay import SkillOverlay

TIMEOUT_SECONDS_MAX = 31_536_000


def create_from_pb(
    request: run_result_pb2.CreateRunRequest, limits: Limits, *, scope: str, key: str | None
) -> CreateRun:
    """Return the command of a create request."""
    fields = Fields(limits)
    if not request.HasField("input"):
        fields.fault("input", "is required")
    seconds = request.timeout_seconds if request.HasField("timeout_seconds") else None
    if seconds is not None and not 1 <= seconds <= TIMEOUT_SECONDS_MAX:
        fields.fault("timeout_seconds", f"must be between 1 and {TIMEOUT_SECONDS_MAX}")
        seconds = None
    source = source_fields(request, fields)
    if request.HasField("skills"):
        source = replace(source, skills=_skills(request.skills, fields))
    command = CreateRun(
        input=fields.text("input", request.input, limits.input_chars),
        source=source,
        target=fields.choice("target", request.target, ("workflow", "agent"), "workflow"),
        session_id=fields.optional_text(request, "session_id"),
        metadata=fields.struct(request, "metadata", limits.metadata_bytes) or {},
        queued=request.async_mode,
        timeout=None if seconds is None else timedelta(seconds=seconds),
        idempotency_key=key,
        scope=scope,
    )
    fields.check()
    return command


def _skills(overlay: run_result_pb2.SkillsOverlay, fields: Fields) -> SkillOverlay | None:
    found = SkillOverlay(
        add=fields.texts("skills.add", overlay.add),
        disable=fields.texts("skills.disable", overlay.disable),
    )
    return found if found.add or found.disable else None


def run_id_from_pb(value: str, limits: Limits) -> RunId:
    """Return the id of a run."""
    fields = Fields(limits)
    fields.identifier("run_id", value)
    fields.check()
    return RunId(value)


def fork_from_pb(request: run_pb2.ForkRunRequest, limits: Limits, *, key: str | None) -> ForkRun:
    """Return the command of a fork request."""
    fields = Fields(limits)
    fields.identifier("run_id", request.run_id)
    sequence = request.checkpoint_sequence if request.HasField("checkpoint_sequence") else None
    if sequence is not None and sequence < 1:
        fields.fault("checkpoint_sequence", "must be at least 1")
    # An empty text is one, too.
    given = request.HasField("input")
    text = fields.text("input", request.input, limits.input_chars) if given else None
    fields.check()
    return ForkRun(
        run_id=RunId(request.run_id),
        checkpoint=sequence,
        input=text,
        queued=request.async_mode,
        idempotency_key=key,
    )


def result_to_pb(run: Run) -> run_result_pb2.RunResult:
    """Return what a call brought about."""
    pending = [item.continuation_id for item in run.pending]
    result = run_result_pb2.RunResult(
        run_id=run.id,
        status=run.status.value,
        output_text=run.output_text,
        human_intervention_required=bool(pending),
        continuation_id=pending[0] if pending else None,
        continuation_ids=pending,
        error=error_to_pb(run.error),
    )
    fill_struct(result.metadata, _metadata(run))
    return result


def run_to_pb(run: Run) -> run_pb2.Run:
    """Return a run as a message."""
    shown = _run_to_pb(run, _metadata(run))
    usage = run.result.get("usage")
    if usage:
        most = {name: min(count, _INT32_MAX) for name, count in usage.items()}
        shown.usage.CopyFrom(run_pb2.TokenUsage(**most))
    return shown


def _run_to_pb(run: RunSummary, metadata: Mapping[str, Any]) -> run_pb2.Run:
    pending = run.pending
    requests = [request_to_pb(item.request) for item in pending]
    shown = run_pb2.Run(
        id=run.id,
        run_id=run.id,
        status=run.status.value,
        agent_name=run.agent_name,
        workflow_name=run.workflow_name,
        workflow_kind=run.workflow_kind,
        input_text=run.input_text,
        output_text=run.output_text,
        current_step_id=run.current_step_id,
        current_step_index=_step_index(run),
        current_node_id=run.current_node_id,
        visited_steps=run.visited_steps,
        visited_nodes=run.visited_nodes,
        pending_human_request=requests[0] if requests else None,
        pending_human_requests=requests,
        continuation_id=pending[0].continuation_id if pending else None,
        continuation_ids=[item.continuation_id for item in pending],
        trace_event_count=run.event_sequence,
        error=error_to_pb(run.error),
        session_id=run.session_id,
        attempt=run.attempt,
        created_at=to_timestamp(run.created_at),
        updated_at=to_timestamp(run.updated_at),
        started_at=to_timestamp(run.started_at),
        completed_at=to_timestamp(run.completed_at),
        deadline_at=run.deadline_at.timestamp() if run.deadline_at else None,
        deadline_time=to_timestamp(run.deadline_at),
        target=run.target,
        environment=run.environment,
        parent_run_id=run.parent_run_id,
    )
    fill_struct(shown.metadata, metadata)
    return shown


def list_from_pb(request: run_pb2.ListRunsRequest, limits: Limits) -> tuple[RunFilter, PageRequest]:
    """Return the filter and the page of a list request."""
    fields = Fields(limits)
    status = None
    if request.HasField("status") and request.status:
        words = (*(item.value for item in RunStatus), *STATUS_ALIASES)
        word = fields.choice("status", request.status, words)
        status = STATUS_ALIASES.get(word) or RunStatus(word)
    where = RunFilter(
        status=status,
        workflow_kind=fields.optional_text(request, "workflow_kind"),
        workflow_name=fields.optional_text(request, "workflow_name"),
        session_id=fields.optional_text(request, "session_id"),
        environment=fields.optional_text(request, "environment"),
        has_error=request.has_error if request.HasField("has_error") else None,
        created_after=fields.instant(request, "created_after"),
        created_before=fields.instant(request, "created_before"),
        text=fields.optional_text(request, "q"),
    )
    page = fields.page(request, RUN_SORT_KEYS, "updated_at", descending=True)
    fields.check()
    return where, page


def list_to_pb(
    runs: Page[RunSummary], page: PageRequest, limits: Limits
) -> run_pb2.ListRunsResponse:
    """Return a page of runs as a message; what their metadata holds besides is left to get."""
    return run_pb2.ListRunsResponse(
        runs=[
            _run_to_pb(run, {"target": run.target, "environment": run.environment})
            for run in runs.items
        ],
        **page_facts(runs, page, limits),
    )


def trace_from_pb(
    request: run_pb2.GetRunTraceRequest, limits: Limits
) -> tuple[RunId, str | None, PageRequest]:
    """Return run, event type and page of a trace request."""
    fields = Fields(limits)
    fields.identifier("run_id", request.run_id)
    kind = fields.optional_text(request, "event_type")
    page = fields.page(request, EVENT_SORT_KEYS, "sequence", descending=False)
    fields.check()
    return RunId(request.run_id), kind, page


def trace_to_pb(
    run: Run, events: Page[TraceEvent], page: PageRequest, limits: Limits
) -> run_pb2.RunTrace:
    """Return a page of events as a message."""
    return run_pb2.RunTrace(
        run_id=run.id,
        events=[_event_to_pb(run.id, event) for event in events.items],
        complete=run.status in TERMINAL,
        **page_facts(events, page, limits),
    )


def checkpoints_from_pb(
    request: run_pb2.ListCheckpointsRequest, limits: Limits
) -> tuple[RunId, str | None, PageRequest]:
    """Return run, type and page of a checkpoints request."""
    fields = Fields(limits)
    fields.identifier("run_id", request.run_id)
    kind = fields.optional_text(request, "type")
    page = fields.page(request, CHECKPOINT_SORT_KEYS, "sequence", descending=False)
    fields.check()
    return RunId(request.run_id), kind, page


def checkpoints_to_pb(
    run_id: RunId, checkpoints: Page[Checkpoint], page: PageRequest, limits: Limits
) -> run_pb2.ListCheckpointsResponse:
    """Return a page of checkpoints as a message."""
    return run_pb2.ListCheckpointsResponse(
        run_id=run_id,
        checkpoints=[checkpoint_to_pb(run_id, item, whole=True) for item in checkpoints.items],
        **page_facts(checkpoints, page, limits),
    )


def recovery_to_pb(view: RecoveryView) -> run_pb2.RunRecovery:
    """Return what is left to do as a message."""
    run = view.run
    pending = run.pending[0] if run.pending else None
    return run_pb2.RunRecovery(
        run_id=run.id,
        status=run.status.value,
        workflow_name=run.workflow_name,
        workflow_kind=run.workflow_kind,
        current_step_index=_step_index(run),
        current_node_id=run.current_node_id,
        visited_steps=view.completed_steps,
        visited_nodes=run.visited_nodes,
        checkpoint_count=run.checkpoint_sequence,
        pending_human_request=request_to_pb(pending.request) if pending else None,
        continuation_id=pending.continuation_id if pending else None,
        error=error_to_pb(run.error),
        replay_context=context_to_pb(view),
    )


def context_to_pb(view: RecoveryView) -> run_pb2.ReplayContext:
    """Return what a continuation would start from as a message."""
    run = view.run
    return run_pb2.ReplayContext(
        run_id=run.id,
        status=run.status.value,
        workflow_type=run.workflow_kind,
        completed_steps=view.completed_steps,
        completed_nodes=run.visited_nodes,
        failed_step=view.failed_step,
        next_step_index=view.next_step_index,
        resume_input=view.resume_input,
        checkpoint_count=run.checkpoint_sequence,
        can_continue=view.can_continue,
        can_replay=view.can_replay,
    )


def _metadata(run: Run) -> dict[str, Any]:
    return {**run.source, **run.result}


def _step_index(run: RunSummary) -> int | None:
    """Return the index of the step under way in a sequential workflow: so many ended before it."""
    if run.workflow_kind != "sequential" or run.current_step_id is None:
        return None
    return len(run.visited_steps)


def error_to_pb(error: RunError | None) -> run_result_pb2.RunError | None:
    """Return why a run, or a step of it, did not complete as a message."""
    if error is None:
        return None
    return run_result_pb2.RunError(type=error.type, message=error.message, step_id=error.step_id)


_INT32_MAX = 2**31 - 1
_EVENT_TEXTS = (
    "agent_name",
    "workflow_name",
    "step_id",
    "runtime_mode",
    "model_provider",
    "model_name",
    "tool_name",
    "span_id",
    "parent_span_id",
    "input_preview",
    "output_preview",
    "error",
)


def _event_to_pb(run_id: RunId, event: TraceEvent) -> run_pb2.TraceEvent:
    metadata = event.data.get("metadata")
    texts = {name: event.data.get(name) for name in _EVENT_TEXTS}
    return run_pb2.TraceEvent(
        type=event.type,
        run_id=run_id,
        event_id=event.id,
        sequence=event.sequence,
        timestamp=to_timestamp(event.timestamp),
        metadata=to_struct(metadata) if isinstance(metadata, Mapping) else None,
        **texts,
    )


def checkpoint_to_pb(
    run_id: RunId, checkpoint: Checkpoint, *, whole: bool = False
) -> run_pb2.Checkpoint:
    """Return a checkpoint as a message. whole: with its state and metadata."""
    return run_pb2.Checkpoint(
        id=checkpoint.id,
        run_id=run_id,
        type=checkpoint.type,
        workflow_name=checkpoint.workflow_name,
        step_id=checkpoint.step_id,
        node_id=checkpoint.node_id,
        sequence=checkpoint.sequence,
        iteration=checkpoint.iteration,
        state=to_struct(checkpoint.state) if whole else None,
        metadata=to_struct(checkpoint.metadata) if whole else None,
        created_at=to_timestamp(checkpoint.created_at),
    )
