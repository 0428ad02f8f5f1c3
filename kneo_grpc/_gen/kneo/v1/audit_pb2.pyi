import datetime

from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ListAuditEventsRequest(_message.Message):
    __slots__ = ("event_type", "run_id", "continuation_id", "actor", "created_after", "created_before", "limit", "offset", "sort_by", "sort_order", "page_token")
    EVENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    CONTINUATION_ID_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    CREATED_AFTER_FIELD_NUMBER: _ClassVar[int]
    CREATED_BEFORE_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    SORT_BY_FIELD_NUMBER: _ClassVar[int]
    SORT_ORDER_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    event_type: str
    run_id: str
    continuation_id: str
    actor: str
    created_after: str
    created_before: str
    limit: int
    offset: int
    sort_by: str
    sort_order: str
    page_token: str
    def __init__(self, event_type: _Optional[str] = ..., run_id: _Optional[str] = ..., continuation_id: _Optional[str] = ..., actor: _Optional[str] = ..., created_after: _Optional[str] = ..., created_before: _Optional[str] = ..., limit: _Optional[int] = ..., offset: _Optional[int] = ..., sort_by: _Optional[str] = ..., sort_order: _Optional[str] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListAuditEventsResponse(_message.Message):
    __slots__ = ("events", "count", "total", "limit", "offset", "sort_by", "sort_order", "window", "next_page_token")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    SORT_BY_FIELD_NUMBER: _ClassVar[int]
    SORT_ORDER_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[AuditEvent]
    count: int
    total: int
    limit: int
    offset: int
    sort_by: str
    sort_order: str
    window: int
    next_page_token: str
    def __init__(self, events: _Optional[_Iterable[_Union[AuditEvent, _Mapping]]] = ..., count: _Optional[int] = ..., total: _Optional[int] = ..., limit: _Optional[int] = ..., offset: _Optional[int] = ..., sort_by: _Optional[str] = ..., sort_order: _Optional[str] = ..., window: _Optional[int] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class AuditEvent(_message.Message):
    __slots__ = ("id", "event_type", "run_id", "continuation_id", "actor", "metadata", "created_at", "number", "digest")
    ID_FIELD_NUMBER: _ClassVar[int]
    EVENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    CONTINUATION_ID_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    id: str
    event_type: str
    run_id: str
    continuation_id: str
    actor: str
    metadata: _struct_pb2.Struct
    created_at: _timestamp_pb2.Timestamp
    number: int
    digest: str
    def __init__(self, id: _Optional[str] = ..., event_type: _Optional[str] = ..., run_id: _Optional[str] = ..., continuation_id: _Optional[str] = ..., actor: _Optional[str] = ..., metadata: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., number: _Optional[int] = ..., digest: _Optional[str] = ...) -> None: ...

class VerifyAuditRequest(_message.Message):
    __slots__ = ("limit", "page_token")
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    limit: int
    page_token: str
    def __init__(self, limit: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class VerifyAuditResponse(_message.Message):
    __slots__ = ("valid", "checked", "pruned", "breaks", "next_page_token", "head_number", "head_digest", "unsealed", "oldest_unsealed_at", "phase")
    VALID_FIELD_NUMBER: _ClassVar[int]
    CHECKED_FIELD_NUMBER: _ClassVar[int]
    PRUNED_FIELD_NUMBER: _ClassVar[int]
    BREAKS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    HEAD_NUMBER_FIELD_NUMBER: _ClassVar[int]
    HEAD_DIGEST_FIELD_NUMBER: _ClassVar[int]
    UNSEALED_FIELD_NUMBER: _ClassVar[int]
    OLDEST_UNSEALED_AT_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    valid: bool
    checked: int
    pruned: int
    breaks: _containers.RepeatedCompositeFieldContainer[AuditBreak]
    next_page_token: str
    head_number: int
    head_digest: str
    unsealed: int
    oldest_unsealed_at: _timestamp_pb2.Timestamp
    phase: str
    def __init__(self, valid: _Optional[bool] = ..., checked: _Optional[int] = ..., pruned: _Optional[int] = ..., breaks: _Optional[_Iterable[_Union[AuditBreak, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., head_number: _Optional[int] = ..., head_digest: _Optional[str] = ..., unsealed: _Optional[int] = ..., oldest_unsealed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., phase: _Optional[str] = ...) -> None: ...

class AuditBreak(_message.Message):
    __slots__ = ("kind", "number", "last_number", "audit_id")
    KIND_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    LAST_NUMBER_FIELD_NUMBER: _ClassVar[int]
    AUDIT_ID_FIELD_NUMBER: _ClassVar[int]
    kind: str
    number: int
    last_number: int
    audit_id: str
    def __init__(self, kind: _Optional[str] = ..., number: _Optional[int] = ..., last_number: _Optional[int] = ..., audit_id: _Optional[str] = ...) -> None: ...
