import datetime

from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from kneo_grpc._gen.kneo.v1 import human_request_pb2 as _human_request_pb2
from kneo_grpc._gen.kneo.v1 import run_result_pb2 as _run_result_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ListHumanTasksRequest(_message.Message):
    __slots__ = ("run_id", "workflow_kind", "limit", "offset", "sort_by", "sort_order", "status", "page_token")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_KIND_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    SORT_BY_FIELD_NUMBER: _ClassVar[int]
    SORT_ORDER_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    workflow_kind: str
    limit: int
    offset: int
    sort_by: str
    sort_order: str
    status: str
    page_token: str
    def __init__(self, run_id: _Optional[str] = ..., workflow_kind: _Optional[str] = ..., limit: _Optional[int] = ..., offset: _Optional[int] = ..., sort_by: _Optional[str] = ..., sort_order: _Optional[str] = ..., status: _Optional[str] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListHumanTasksResponse(_message.Message):
    __slots__ = ("tasks", "count", "total", "limit", "offset", "sort_by", "sort_order", "next_page_token", "window")
    TASKS_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    SORT_BY_FIELD_NUMBER: _ClassVar[int]
    SORT_ORDER_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    tasks: _containers.RepeatedCompositeFieldContainer[HumanTask]
    count: int
    total: int
    limit: int
    offset: int
    sort_by: str
    sort_order: str
    next_page_token: str
    window: int
    def __init__(self, tasks: _Optional[_Iterable[_Union[HumanTask, _Mapping]]] = ..., count: _Optional[int] = ..., total: _Optional[int] = ..., limit: _Optional[int] = ..., offset: _Optional[int] = ..., sort_by: _Optional[str] = ..., sort_order: _Optional[str] = ..., next_page_token: _Optional[str] = ..., window: _Optional[int] = ...) -> None: ...

class GetHumanTaskRequest(_message.Message):
    __slots__ = ("continuation_id",)
    CONTINUATION_ID_FIELD_NUMBER: _ClassVar[int]
    continuation_id: str
    def __init__(self, continuation_id: _Optional[str] = ...) -> None: ...

class HumanTask(_message.Message):
    __slots__ = ("id", "continuation_id", "run_id", "status", "workflow_name", "workflow_kind", "current_input", "visited_steps", "pending_human_request_id", "pending_human_request", "request", "expires_at", "expires_time", "created_at", "metadata", "current_step_index", "current_node_id", "visited_nodes")
    ID_FIELD_NUMBER: _ClassVar[int]
    CONTINUATION_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_NAME_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_KIND_FIELD_NUMBER: _ClassVar[int]
    CURRENT_INPUT_FIELD_NUMBER: _ClassVar[int]
    VISITED_STEPS_FIELD_NUMBER: _ClassVar[int]
    PENDING_HUMAN_REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    PENDING_HUMAN_REQUEST_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_TIME_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    CURRENT_STEP_INDEX_FIELD_NUMBER: _ClassVar[int]
    CURRENT_NODE_ID_FIELD_NUMBER: _ClassVar[int]
    VISITED_NODES_FIELD_NUMBER: _ClassVar[int]
    id: str
    continuation_id: str
    run_id: str
    status: str
    workflow_name: str
    workflow_kind: str
    current_input: str
    visited_steps: _containers.RepeatedScalarFieldContainer[str]
    pending_human_request_id: str
    pending_human_request: _human_request_pb2.HumanRequest
    request: _human_request_pb2.HumanRequest
    expires_at: float
    expires_time: _timestamp_pb2.Timestamp
    created_at: _timestamp_pb2.Timestamp
    metadata: _struct_pb2.Struct
    current_step_index: int
    current_node_id: str
    visited_nodes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, id: _Optional[str] = ..., continuation_id: _Optional[str] = ..., run_id: _Optional[str] = ..., status: _Optional[str] = ..., workflow_name: _Optional[str] = ..., workflow_kind: _Optional[str] = ..., current_input: _Optional[str] = ..., visited_steps: _Optional[_Iterable[str]] = ..., pending_human_request_id: _Optional[str] = ..., pending_human_request: _Optional[_Union[_human_request_pb2.HumanRequest, _Mapping]] = ..., request: _Optional[_Union[_human_request_pb2.HumanRequest, _Mapping]] = ..., expires_at: _Optional[float] = ..., expires_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., metadata: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., current_step_index: _Optional[int] = ..., current_node_id: _Optional[str] = ..., visited_nodes: _Optional[_Iterable[str]] = ...) -> None: ...

class ResumeHumanTaskRequest(_message.Message):
    __slots__ = ("continuation_id", "request_id", "decision", "content", "selected_option", "metadata")
    CONTINUATION_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    SELECTED_OPTION_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    continuation_id: str
    request_id: str
    decision: str
    content: str
    selected_option: str
    metadata: _struct_pb2.Struct
    def __init__(self, continuation_id: _Optional[str] = ..., request_id: _Optional[str] = ..., decision: _Optional[str] = ..., content: _Optional[str] = ..., selected_option: _Optional[str] = ..., metadata: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...
