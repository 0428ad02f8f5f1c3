import datetime

from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from kneo_grpc._gen.kneo.v1 import human_request_pb2 as _human_request_pb2
from kneo_grpc._gen.kneo.v1 import run_result_pb2 as _run_result_pb2
from kneo_grpc._gen.kneo.v1 import spec_pb2 as _spec_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Run(_message.Message):
    __slots__ = ("id", "run_id", "status", "agent_name", "workflow_name", "workflow_kind", "input_text", "output_text", "current_step_index", "current_step_id", "current_node_id", "visited_steps", "visited_nodes", "pending_human_request", "pending_human_requests", "continuation_id", "continuation_ids", "trace_event_count", "metadata", "error", "session_id", "attempt", "created_at", "updated_at", "started_at", "completed_at", "deadline_at", "deadline_time", "target", "environment", "usage", "parent_run_id")
    ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    AGENT_NAME_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_NAME_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_KIND_FIELD_NUMBER: _ClassVar[int]
    INPUT_TEXT_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_TEXT_FIELD_NUMBER: _ClassVar[int]
    CURRENT_STEP_INDEX_FIELD_NUMBER: _ClassVar[int]
    CURRENT_STEP_ID_FIELD_NUMBER: _ClassVar[int]
    CURRENT_NODE_ID_FIELD_NUMBER: _ClassVar[int]
    VISITED_STEPS_FIELD_NUMBER: _ClassVar[int]
    VISITED_NODES_FIELD_NUMBER: _ClassVar[int]
    PENDING_HUMAN_REQUEST_FIELD_NUMBER: _ClassVar[int]
    PENDING_HUMAN_REQUESTS_FIELD_NUMBER: _ClassVar[int]
    CONTINUATION_ID_FIELD_NUMBER: _ClassVar[int]
    CONTINUATION_IDS_FIELD_NUMBER: _ClassVar[int]
    TRACE_EVENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_AT_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_AT_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_TIME_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    PARENT_RUN_ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    run_id: str
    status: str
    agent_name: str
    workflow_name: str
    workflow_kind: str
    input_text: str
    output_text: str
    current_step_index: int
    current_step_id: str
    current_node_id: str
    visited_steps: _containers.RepeatedScalarFieldContainer[str]
    visited_nodes: _containers.RepeatedScalarFieldContainer[str]
    pending_human_request: _human_request_pb2.HumanRequest
    pending_human_requests: _containers.RepeatedCompositeFieldContainer[_human_request_pb2.HumanRequest]
    continuation_id: str
    continuation_ids: _containers.RepeatedScalarFieldContainer[str]
    trace_event_count: int
    metadata: _struct_pb2.Struct
    error: _run_result_pb2.RunError
    session_id: str
    attempt: int
    created_at: _timestamp_pb2.Timestamp
    updated_at: _timestamp_pb2.Timestamp
    started_at: _timestamp_pb2.Timestamp
    completed_at: _timestamp_pb2.Timestamp
    deadline_at: float
    deadline_time: _timestamp_pb2.Timestamp
    target: str
    environment: str
    usage: TokenUsage
    parent_run_id: str
    def __init__(self, id: _Optional[str] = ..., run_id: _Optional[str] = ..., status: _Optional[str] = ..., agent_name: _Optional[str] = ..., workflow_name: _Optional[str] = ..., workflow_kind: _Optional[str] = ..., input_text: _Optional[str] = ..., output_text: _Optional[str] = ..., current_step_index: _Optional[int] = ..., current_step_id: _Optional[str] = ..., current_node_id: _Optional[str] = ..., visited_steps: _Optional[_Iterable[str]] = ..., visited_nodes: _Optional[_Iterable[str]] = ..., pending_human_request: _Optional[_Union[_human_request_pb2.HumanRequest, _Mapping]] = ..., pending_human_requests: _Optional[_Iterable[_Union[_human_request_pb2.HumanRequest, _Mapping]]] = ..., continuation_id: _Optional[str] = ..., continuation_ids: _Optional[_Iterable[str]] = ..., trace_event_count: _Optional[int] = ..., metadata: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., error: _Optional[_Union[_run_result_pb2.RunError, _Mapping]] = ..., session_id: _Optional[str] = ..., attempt: _Optional[int] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., updated_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., completed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., deadline_at: _Optional[float] = ..., deadline_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., target: _Optional[str] = ..., environment: _Optional[str] = ..., usage: _Optional[_Union[TokenUsage, _Mapping]] = ..., parent_run_id: _Optional[str] = ...) -> None: ...

class TokenUsage(_message.Message):
    __slots__ = ("input_tokens", "output_tokens", "total_tokens")
    INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_TOKENS_FIELD_NUMBER: _ClassVar[int]
    input_tokens: int
    output_tokens: int
    total_tokens: int
    def __init__(self, input_tokens: _Optional[int] = ..., output_tokens: _Optional[int] = ..., total_tokens: _Optional[int] = ...) -> None: ...

class GetRunRequest(_message.Message):
    __slots__ = ("run_id",)
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    def __init__(self, run_id: _Optional[str] = ...) -> None: ...

class ListRunsRequest(_message.Message):
    __slots__ = ("status", "limit", "offset", "sort_by", "sort_order", "workflow_kind", "workflow_name", "session_id", "has_error", "created_after", "created_before", "q", "environment", "page_token")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    SORT_BY_FIELD_NUMBER: _ClassVar[int]
    SORT_ORDER_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_KIND_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_NAME_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    HAS_ERROR_FIELD_NUMBER: _ClassVar[int]
    CREATED_AFTER_FIELD_NUMBER: _ClassVar[int]
    CREATED_BEFORE_FIELD_NUMBER: _ClassVar[int]
    Q_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    status: str
    limit: int
    offset: int
    sort_by: str
    sort_order: str
    workflow_kind: str
    workflow_name: str
    session_id: str
    has_error: bool
    created_after: str
    created_before: str
    q: str
    environment: str
    page_token: str
    def __init__(self, status: _Optional[str] = ..., limit: _Optional[int] = ..., offset: _Optional[int] = ..., sort_by: _Optional[str] = ..., sort_order: _Optional[str] = ..., workflow_kind: _Optional[str] = ..., workflow_name: _Optional[str] = ..., session_id: _Optional[str] = ..., has_error: _Optional[bool] = ..., created_after: _Optional[str] = ..., created_before: _Optional[str] = ..., q: _Optional[str] = ..., environment: _Optional[str] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListRunsResponse(_message.Message):
    __slots__ = ("runs", "count", "total", "limit", "offset", "sort_by", "sort_order", "next_page_token", "window")
    RUNS_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    SORT_BY_FIELD_NUMBER: _ClassVar[int]
    SORT_ORDER_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    runs: _containers.RepeatedCompositeFieldContainer[Run]
    count: int
    total: int
    limit: int
    offset: int
    sort_by: str
    sort_order: str
    next_page_token: str
    window: int
    def __init__(self, runs: _Optional[_Iterable[_Union[Run, _Mapping]]] = ..., count: _Optional[int] = ..., total: _Optional[int] = ..., limit: _Optional[int] = ..., offset: _Optional[int] = ..., sort_by: _Optional[str] = ..., sort_order: _Optional[str] = ..., next_page_token: _Optional[str] = ..., window: _Optional[int] = ...) -> None: ...

class CancelRunRequest(_message.Message):
    __slots__ = ("run_id",)
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    def __init__(self, run_id: _Optional[str] = ...) -> None: ...

class GetRunTraceRequest(_message.Message):
    __slots__ = ("run_id", "event_type", "limit", "offset", "sort_by", "sort_order", "page_token")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    EVENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    SORT_BY_FIELD_NUMBER: _ClassVar[int]
    SORT_ORDER_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    event_type: str
    limit: int
    offset: int
    sort_by: str
    sort_order: str
    page_token: str
    def __init__(self, run_id: _Optional[str] = ..., event_type: _Optional[str] = ..., limit: _Optional[int] = ..., offset: _Optional[int] = ..., sort_by: _Optional[str] = ..., sort_order: _Optional[str] = ..., page_token: _Optional[str] = ...) -> None: ...

class RunTrace(_message.Message):
    __slots__ = ("run_id", "events", "count", "total", "limit", "offset", "sort_by", "sort_order", "next_page_token", "window", "dropped", "complete")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    SORT_BY_FIELD_NUMBER: _ClassVar[int]
    SORT_ORDER_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    events: _containers.RepeatedCompositeFieldContainer[TraceEvent]
    count: int
    total: int
    limit: int
    offset: int
    sort_by: str
    sort_order: str
    next_page_token: str
    window: int
    dropped: int
    complete: bool
    def __init__(self, run_id: _Optional[str] = ..., events: _Optional[_Iterable[_Union[TraceEvent, _Mapping]]] = ..., count: _Optional[int] = ..., total: _Optional[int] = ..., limit: _Optional[int] = ..., offset: _Optional[int] = ..., sort_by: _Optional[str] = ..., sort_order: _Optional[str] = ..., next_page_token: _Optional[str] = ..., window: _Optional[int] = ..., dropped: _Optional[int] = ..., complete: _Optional[bool] = ...) -> None: ...

class TraceEvent(_message.Message):
    __slots__ = ("type", "run_id", "event_id", "sequence", "timestamp", "agent_name", "workflow_name", "step_id", "runtime_mode", "model_provider", "model_name", "tool_name", "input_preview", "output_preview", "metadata", "error", "span_id", "parent_span_id")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    AGENT_NAME_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_NAME_FIELD_NUMBER: _ClassVar[int]
    STEP_ID_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_MODE_FIELD_NUMBER: _ClassVar[int]
    MODEL_PROVIDER_FIELD_NUMBER: _ClassVar[int]
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    TOOL_NAME_FIELD_NUMBER: _ClassVar[int]
    INPUT_PREVIEW_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_PREVIEW_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    SPAN_ID_FIELD_NUMBER: _ClassVar[int]
    PARENT_SPAN_ID_FIELD_NUMBER: _ClassVar[int]
    type: str
    run_id: str
    event_id: str
    sequence: int
    timestamp: _timestamp_pb2.Timestamp
    agent_name: str
    workflow_name: str
    step_id: str
    runtime_mode: str
    model_provider: str
    model_name: str
    tool_name: str
    input_preview: str
    output_preview: str
    metadata: _struct_pb2.Struct
    error: str
    span_id: str
    parent_span_id: str
    def __init__(self, type: _Optional[str] = ..., run_id: _Optional[str] = ..., event_id: _Optional[str] = ..., sequence: _Optional[int] = ..., timestamp: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., agent_name: _Optional[str] = ..., workflow_name: _Optional[str] = ..., step_id: _Optional[str] = ..., runtime_mode: _Optional[str] = ..., model_provider: _Optional[str] = ..., model_name: _Optional[str] = ..., tool_name: _Optional[str] = ..., input_preview: _Optional[str] = ..., output_preview: _Optional[str] = ..., metadata: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., error: _Optional[str] = ..., span_id: _Optional[str] = ..., parent_span_id: _Optional[str] = ...) -> None: ...

class ListCheckpointsRequest(_message.Message):
    __slots__ = ("run_id", "type", "limit", "offset", "sort_by", "sort_order", "page_token")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    SORT_BY_FIELD_NUMBER: _ClassVar[int]
    SORT_ORDER_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    type: str
    limit: int
    offset: int
    sort_by: str
    sort_order: str
    page_token: str
    def __init__(self, run_id: _Optional[str] = ..., type: _Optional[str] = ..., limit: _Optional[int] = ..., offset: _Optional[int] = ..., sort_by: _Optional[str] = ..., sort_order: _Optional[str] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListCheckpointsResponse(_message.Message):
    __slots__ = ("run_id", "checkpoints", "count", "total", "limit", "offset", "sort_by", "sort_order", "next_page_token", "window")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINTS_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    SORT_BY_FIELD_NUMBER: _ClassVar[int]
    SORT_ORDER_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    checkpoints: _containers.RepeatedCompositeFieldContainer[Checkpoint]
    count: int
    total: int
    limit: int
    offset: int
    sort_by: str
    sort_order: str
    next_page_token: str
    window: int
    def __init__(self, run_id: _Optional[str] = ..., checkpoints: _Optional[_Iterable[_Union[Checkpoint, _Mapping]]] = ..., count: _Optional[int] = ..., total: _Optional[int] = ..., limit: _Optional[int] = ..., offset: _Optional[int] = ..., sort_by: _Optional[str] = ..., sort_order: _Optional[str] = ..., next_page_token: _Optional[str] = ..., window: _Optional[int] = ...) -> None: ...

class Checkpoint(_message.Message):
    __slots__ = ("id", "run_id", "type", "workflow_name", "step_id", "node_id", "sequence", "iteration", "state", "metadata", "created_at")
    ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_NAME_FIELD_NUMBER: _ClassVar[int]
    STEP_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    ITERATION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    id: str
    run_id: str
    type: str
    workflow_name: str
    step_id: str
    node_id: str
    sequence: int
    iteration: int
    state: _struct_pb2.Struct
    metadata: _struct_pb2.Struct
    created_at: _timestamp_pb2.Timestamp
    def __init__(self, id: _Optional[str] = ..., run_id: _Optional[str] = ..., type: _Optional[str] = ..., workflow_name: _Optional[str] = ..., step_id: _Optional[str] = ..., node_id: _Optional[str] = ..., sequence: _Optional[int] = ..., iteration: _Optional[int] = ..., state: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., metadata: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class GetRunRecoveryRequest(_message.Message):
    __slots__ = ("run_id",)
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    def __init__(self, run_id: _Optional[str] = ...) -> None: ...

class RunRecovery(_message.Message):
    __slots__ = ("run_id", "status", "workflow_name", "workflow_kind", "current_step_index", "current_node_id", "visited_steps", "visited_nodes", "checkpoint_count", "pending_human_request", "continuation_id", "error", "replay_context")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_NAME_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_KIND_FIELD_NUMBER: _ClassVar[int]
    CURRENT_STEP_INDEX_FIELD_NUMBER: _ClassVar[int]
    CURRENT_NODE_ID_FIELD_NUMBER: _ClassVar[int]
    VISITED_STEPS_FIELD_NUMBER: _ClassVar[int]
    VISITED_NODES_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_COUNT_FIELD_NUMBER: _ClassVar[int]
    PENDING_HUMAN_REQUEST_FIELD_NUMBER: _ClassVar[int]
    CONTINUATION_ID_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    REPLAY_CONTEXT_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    status: str
    workflow_name: str
    workflow_kind: str
    current_step_index: int
    current_node_id: str
    visited_steps: _containers.RepeatedScalarFieldContainer[str]
    visited_nodes: _containers.RepeatedScalarFieldContainer[str]
    checkpoint_count: int
    pending_human_request: _human_request_pb2.HumanRequest
    continuation_id: str
    error: _run_result_pb2.RunError
    replay_context: ReplayContext
    def __init__(self, run_id: _Optional[str] = ..., status: _Optional[str] = ..., workflow_name: _Optional[str] = ..., workflow_kind: _Optional[str] = ..., current_step_index: _Optional[int] = ..., current_node_id: _Optional[str] = ..., visited_steps: _Optional[_Iterable[str]] = ..., visited_nodes: _Optional[_Iterable[str]] = ..., checkpoint_count: _Optional[int] = ..., pending_human_request: _Optional[_Union[_human_request_pb2.HumanRequest, _Mapping]] = ..., continuation_id: _Optional[str] = ..., error: _Optional[_Union[_run_result_pb2.RunError, _Mapping]] = ..., replay_context: _Optional[_Union[ReplayContext, _Mapping]] = ...) -> None: ...

class ReplayContext(_message.Message):
    __slots__ = ("run_id", "status", "workflow_type", "completed_steps", "completed_nodes", "failed_step", "failed_node", "next_step_index", "resume_input", "checkpoint_count", "can_continue", "can_replay")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_TYPE_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_STEPS_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_NODES_FIELD_NUMBER: _ClassVar[int]
    FAILED_STEP_FIELD_NUMBER: _ClassVar[int]
    FAILED_NODE_FIELD_NUMBER: _ClassVar[int]
    NEXT_STEP_INDEX_FIELD_NUMBER: _ClassVar[int]
    RESUME_INPUT_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_COUNT_FIELD_NUMBER: _ClassVar[int]
    CAN_CONTINUE_FIELD_NUMBER: _ClassVar[int]
    CAN_REPLAY_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    status: str
    workflow_type: str
    completed_steps: _containers.RepeatedScalarFieldContainer[str]
    completed_nodes: _containers.RepeatedScalarFieldContainer[str]
    failed_step: str
    failed_node: str
    next_step_index: int
    resume_input: str
    checkpoint_count: int
    can_continue: bool
    can_replay: bool
    def __init__(self, run_id: _Optional[str] = ..., status: _Optional[str] = ..., workflow_type: _Optional[str] = ..., completed_steps: _Optional[_Iterable[str]] = ..., completed_nodes: _Optional[_Iterable[str]] = ..., failed_step: _Optional[str] = ..., failed_node: _Optional[str] = ..., next_step_index: _Optional[int] = ..., resume_input: _Optional[str] = ..., checkpoint_count: _Optional[int] = ..., can_continue: _Optional[bool] = ..., can_replay: _Optional[bool] = ...) -> None: ...

class ContinueRunRequest(_message.Message):
    __slots__ = ("run_id",)
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    def __init__(self, run_id: _Optional[str] = ...) -> None: ...

class ForkRunRequest(_message.Message):
    __slots__ = ("run_id", "checkpoint_sequence", "input", "async_mode")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    ASYNC_MODE_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    checkpoint_sequence: int
    input: str
    async_mode: bool
    def __init__(self, run_id: _Optional[str] = ..., checkpoint_sequence: _Optional[int] = ..., input: _Optional[str] = ..., async_mode: _Optional[bool] = ...) -> None: ...

class GetRunReplayRequest(_message.Message):
    __slots__ = ("run_id",)
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    def __init__(self, run_id: _Optional[str] = ...) -> None: ...

class RunReplay(_message.Message):
    __slots__ = ("run_id", "status", "workflow_name", "workflow_kind", "agent_name", "checkpoint_count", "timeline", "replay_context")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_NAME_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_KIND_FIELD_NUMBER: _ClassVar[int]
    AGENT_NAME_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_COUNT_FIELD_NUMBER: _ClassVar[int]
    TIMELINE_FIELD_NUMBER: _ClassVar[int]
    REPLAY_CONTEXT_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    status: str
    workflow_name: str
    workflow_kind: str
    agent_name: str
    checkpoint_count: int
    timeline: _containers.RepeatedCompositeFieldContainer[TimelineItem]
    replay_context: ReplayContext
    def __init__(self, run_id: _Optional[str] = ..., status: _Optional[str] = ..., workflow_name: _Optional[str] = ..., workflow_kind: _Optional[str] = ..., agent_name: _Optional[str] = ..., checkpoint_count: _Optional[int] = ..., timeline: _Optional[_Iterable[_Union[TimelineItem, _Mapping]]] = ..., replay_context: _Optional[_Union[ReplayContext, _Mapping]] = ...) -> None: ...

class TimelineItem(_message.Message):
    __slots__ = ("id", "sequence", "type", "created_at", "workflow_name", "step_id", "node_id", "status", "current_step_id", "continuation_id", "pending_human_request_id", "error", "current_step_index", "current_node_id")
    ID_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_NAME_FIELD_NUMBER: _ClassVar[int]
    STEP_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    CURRENT_STEP_ID_FIELD_NUMBER: _ClassVar[int]
    CONTINUATION_ID_FIELD_NUMBER: _ClassVar[int]
    PENDING_HUMAN_REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    CURRENT_STEP_INDEX_FIELD_NUMBER: _ClassVar[int]
    CURRENT_NODE_ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    sequence: int
    type: str
    created_at: _timestamp_pb2.Timestamp
    workflow_name: str
    step_id: str
    node_id: str
    status: str
    current_step_id: str
    continuation_id: str
    pending_human_request_id: str
    error: _run_result_pb2.RunError
    current_step_index: int
    current_node_id: str
    def __init__(self, id: _Optional[str] = ..., sequence: _Optional[int] = ..., type: _Optional[str] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., workflow_name: _Optional[str] = ..., step_id: _Optional[str] = ..., node_id: _Optional[str] = ..., status: _Optional[str] = ..., current_step_id: _Optional[str] = ..., continuation_id: _Optional[str] = ..., pending_human_request_id: _Optional[str] = ..., error: _Optional[_Union[_run_result_pb2.RunError, _Mapping]] = ..., current_step_index: _Optional[int] = ..., current_node_id: _Optional[str] = ...) -> None: ...

class DiffCheckpointsRequest(_message.Message):
    __slots__ = ("run_id", "from_sequence", "to_sequence")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    FROM_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TO_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    from_sequence: int
    to_sequence: int
    def __init__(self, run_id: _Optional[str] = ..., from_sequence: _Optional[int] = ..., to_sequence: _Optional[int] = ...) -> None: ...

class CheckpointDiff(_message.Message):
    __slots__ = ("run_id", "from_checkpoint", "to_checkpoint", "change_count", "added", "removed", "changed", "truncated")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    FROM_CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    TO_CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    CHANGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    ADDED_FIELD_NUMBER: _ClassVar[int]
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    from_checkpoint: Checkpoint
    to_checkpoint: Checkpoint
    change_count: int
    added: _containers.RepeatedCompositeFieldContainer[_struct_pb2.Struct]
    removed: _containers.RepeatedCompositeFieldContainer[_struct_pb2.Struct]
    changed: _containers.RepeatedCompositeFieldContainer[_struct_pb2.Struct]
    truncated: bool
    def __init__(self, run_id: _Optional[str] = ..., from_checkpoint: _Optional[_Union[Checkpoint, _Mapping]] = ..., to_checkpoint: _Optional[_Union[Checkpoint, _Mapping]] = ..., change_count: _Optional[int] = ..., added: _Optional[_Iterable[_Union[_struct_pb2.Struct, _Mapping]]] = ..., removed: _Optional[_Iterable[_Union[_struct_pb2.Struct, _Mapping]]] = ..., changed: _Optional[_Iterable[_Union[_struct_pb2.Struct, _Mapping]]] = ..., truncated: _Optional[bool] = ...) -> None: ...

class GetRunGraphRequest(_message.Message):
    __slots__ = ("run_id",)
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    def __init__(self, run_id: _Optional[str] = ...) -> None: ...

class RunGraph(_message.Message):
    __slots__ = ("run_id", "status", "workflow_name", "workflow_kind", "start", "max_steps", "nodes", "edges", "subgraphs", "selector_agent", "current", "current_nodes", "visited", "steps", "step_count")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_NAME_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_KIND_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    MAX_STEPS_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    EDGES_FIELD_NUMBER: _ClassVar[int]
    SUBGRAPHS_FIELD_NUMBER: _ClassVar[int]
    SELECTOR_AGENT_FIELD_NUMBER: _ClassVar[int]
    CURRENT_FIELD_NUMBER: _ClassVar[int]
    CURRENT_NODES_FIELD_NUMBER: _ClassVar[int]
    VISITED_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    STEP_COUNT_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    status: str
    workflow_name: str
    workflow_kind: str
    start: str
    max_steps: int
    nodes: _containers.RepeatedCompositeFieldContainer[_spec_pb2.GraphNode]
    edges: _containers.RepeatedCompositeFieldContainer[_spec_pb2.GraphEdge]
    subgraphs: _containers.RepeatedCompositeFieldContainer[_spec_pb2.NestedGraph]
    selector_agent: str
    current: str
    current_nodes: _containers.RepeatedScalarFieldContainer[str]
    visited: _containers.RepeatedScalarFieldContainer[str]
    steps: _containers.RepeatedCompositeFieldContainer[ExecutedStep]
    step_count: int
    def __init__(self, run_id: _Optional[str] = ..., status: _Optional[str] = ..., workflow_name: _Optional[str] = ..., workflow_kind: _Optional[str] = ..., start: _Optional[str] = ..., max_steps: _Optional[int] = ..., nodes: _Optional[_Iterable[_Union[_spec_pb2.GraphNode, _Mapping]]] = ..., edges: _Optional[_Iterable[_Union[_spec_pb2.GraphEdge, _Mapping]]] = ..., subgraphs: _Optional[_Iterable[_Union[_spec_pb2.NestedGraph, _Mapping]]] = ..., selector_agent: _Optional[str] = ..., current: _Optional[str] = ..., current_nodes: _Optional[_Iterable[str]] = ..., visited: _Optional[_Iterable[str]] = ..., steps: _Optional[_Iterable[_Union[ExecutedStep, _Mapping]]] = ..., step_count: _Optional[int] = ...) -> None: ...

class ExecutedStep(_message.Message):
    __slots__ = ("path", "parent_path", "step_id", "kind", "ref", "workflow_name", "status", "attempt", "iteration", "branch", "started_at", "ended_at", "error", "output_preview", "fallback_step")
    PATH_FIELD_NUMBER: _ClassVar[int]
    PARENT_PATH_FIELD_NUMBER: _ClassVar[int]
    STEP_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    REF_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_NAME_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    ITERATION_FIELD_NUMBER: _ClassVar[int]
    BRANCH_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    ENDED_AT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_PREVIEW_FIELD_NUMBER: _ClassVar[int]
    FALLBACK_STEP_FIELD_NUMBER: _ClassVar[int]
    path: str
    parent_path: str
    step_id: str
    kind: str
    ref: str
    workflow_name: str
    status: str
    attempt: int
    iteration: int
    branch: str
    started_at: _timestamp_pb2.Timestamp
    ended_at: _timestamp_pb2.Timestamp
    error: _run_result_pb2.RunError
    output_preview: str
    fallback_step: str
    def __init__(self, path: _Optional[str] = ..., parent_path: _Optional[str] = ..., step_id: _Optional[str] = ..., kind: _Optional[str] = ..., ref: _Optional[str] = ..., workflow_name: _Optional[str] = ..., status: _Optional[str] = ..., attempt: _Optional[int] = ..., iteration: _Optional[int] = ..., branch: _Optional[str] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., ended_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., error: _Optional[_Union[_run_result_pb2.RunError, _Mapping]] = ..., output_preview: _Optional[str] = ..., fallback_step: _Optional[str] = ...) -> None: ...

class GetRunPolicyReportRequest(_message.Message):
    __slots__ = ("run_id",)
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    def __init__(self, run_id: _Optional[str] = ...) -> None: ...
