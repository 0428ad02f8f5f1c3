"""Human requests, tasks and decisions."""

from kneo_grpc._gen.kneo.v1 import human_request_pb2, human_task_pb2
from kneo_grpc.api.convert.fields import Fields, Limits, page_facts, to_struct, to_timestamp
from kneo_grpc.domain.human import Decision, HumanDecision, HumanRequest, HumanTask
from kneo_grpc.domain.ids import ContinuationId, HumanRequestId, RunId
from kneo_grpc.ports.store import HUMAN_TASK_SORT_KEYS, HumanTaskFilter, Page, PageRequest


def request_to_pb(request: HumanRequest) -> human_request_pb2.HumanRequest:
    """Return a question as a message; its id stands under both names."""
    return human_request_pb2.HumanRequest(
        id=request.id,
        request_id=request.id,
        type=request.type.value,
        title=request.title,
        prompt=request.prompt,
        context=to_struct(request.context),
        options=request.options or (),
        default_option=request.default_option,
        requested_by=request.requested_by,
        assignee=request.assignee,
        timeout_seconds=request.timeout_seconds,
        on_timeout=request.on_timeout.value,
        metadata=to_struct(request.metadata),
    )


def task_to_pb(task: HumanTask) -> human_task_pb2.HumanTask:
    """Return a task as a message."""
    step_id = task.request.requested_by
    return human_task_pb2.HumanTask(
        id=task.id,
        continuation_id=task.id,
        run_id=task.run_id,
        status=task.status.value,
        workflow_name=task.workflow_name,
        workflow_kind=task.workflow_kind,
        current_input=task.current_input,
        visited_steps=task.visited_steps,
        pending_human_request_id=task.request.id,
        pending_human_request=request_to_pb(task.request),
        request=request_to_pb(task.request),
        expires_at=task.expires_at.timestamp() if task.expires_at else None,
        expires_time=to_timestamp(task.expires_at),
        created_at=to_timestamp(task.created_at),
        metadata=to_struct({"step_id": step_id, "step_path": task.step_path}),
        current_step_index=None if task.workflow_kind != "sequential" else len(task.visited_steps),
        current_node_id=step_id if task.workflow_kind == "graph" else None,
        visited_nodes=task.visited_steps if task.workflow_kind == "graph" else (),
    )


def list_from_pb(
    request: human_task_pb2.ListHumanTasksRequest, limits: Limits
) -> tuple[HumanTaskFilter, PageRequest]:
    """Return the filter and the page of a list request."""
    fields = Fields(limits)
    run_id = fields.optional_text(request, "run_id")
    status = fields.choice("status", request.status, ("", "pending", "escalated"))
    where = HumanTaskFilter(
        escalated=status == "escalated" if status else None,
        run_id=RunId(run_id) if run_id else None,
        workflow_kind=fields.optional_text(request, "workflow_kind"),
    )
    page = fields.page(request, HUMAN_TASK_SORT_KEYS, "id", descending=False)
    fields.check()
    return where, page


def list_to_pb(
    tasks: Page[HumanTask], page: PageRequest, limits: Limits
) -> human_task_pb2.ListHumanTasksResponse:
    """Return a page as a message."""
    return human_task_pb2.ListHumanTasksResponse(
        tasks=[task_to_pb(task) for task in tasks.items], **page_facts(tasks, page, limits)
    )


def continuation_from_pb(value: str, limits: Limits) -> ContinuationId:
    """Return the id of a task."""
    fields = Fields(limits)
    fields.identifier("continuation_id", value)
    fields.check()
    return ContinuationId(value)


def decision_from_pb(
    request: human_task_pb2.ResumeHumanTaskRequest, limits: Limits
) -> tuple[ContinuationId, HumanDecision]:
    """Return a decision and the task that it is about."""
    fields = Fields(limits)
    fields.identifier("continuation_id", request.continuation_id)
    if request.request_id:
        fields.identifier("request_id", request.request_id)
    else:
        fields.fault("request_id", "is required: the task shows it as pending_human_request_id")
    words = tuple(item.value for item in Decision)
    decision = fields.choice("decision", request.decision, words)
    content = request.content if request.HasField("content") else None
    if content is not None:
        fields.text("content", content, limits.human_content_chars)
    answer = HumanDecision(
        request_id=HumanRequestId(request.request_id),
        decision=Decision(decision),
        content=content,
        selected_option=fields.optional_text(request, "selected_option"),
        metadata=fields.struct(request, "metadata", limits.metadata_bytes) or {},
    )
    fields.check()
    return ContinuationId(request.continuation_id), answer
