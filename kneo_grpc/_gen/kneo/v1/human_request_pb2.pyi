from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class HumanRequest(_message.Message):
    __slots__ = ("id", "request_id", "type", "title", "prompt", "context", "options", "default_option", "requested_by", "assignee", "timeout_seconds", "on_timeout", "metadata")
    ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_OPTION_FIELD_NUMBER: _ClassVar[int]
    REQUESTED_BY_FIELD_NUMBER: _ClassVar[int]
    ASSIGNEE_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    ON_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    id: str
    request_id: str
    type: str
    title: str
    prompt: str
    context: _struct_pb2.Struct
    options: _containers.RepeatedScalarFieldContainer[str]
    default_option: str
    requested_by: str
    assignee: str
    timeout_seconds: int
    on_timeout: str
    metadata: _struct_pb2.Struct
    def __init__(self, id: _Optional[str] = ..., request_id: _Optional[str] = ..., type: _Optional[str] = ..., title: _Optional[str] = ..., prompt: _Optional[str] = ..., context: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., options: _Optional[_Iterable[str]] = ..., default_option: _Optional[str] = ..., requested_by: _Optional[str] = ..., assignee: _Optional[str] = ..., timeout_seconds: _Optional[int] = ..., on_timeout: _Optional[str] = ..., metadata: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...
