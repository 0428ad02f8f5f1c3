from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CreateRunRequest(_message.Message):
    __slots__ = ("input", "spec_path", "spec", "target", "environment", "overrides", "metadata", "session_id", "async_mode", "timeout_seconds", "overlays", "skills", "bundle")
    INPUT_FIELD_NUMBER: _ClassVar[int]
    SPEC_PATH_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    OVERRIDES_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    ASYNC_MODE_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    OVERLAYS_FIELD_NUMBER: _ClassVar[int]
    SKILLS_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    input: str
    spec_path: str
    spec: _struct_pb2.Struct
    target: str
    environment: str
    overrides: _struct_pb2.Struct
    metadata: _struct_pb2.Struct
    session_id: str
    async_mode: bool
    timeout_seconds: int
    overlays: _containers.RepeatedScalarFieldContainer[str]
    skills: SkillsOverlay
    bundle: _struct_pb2.Struct
    def __init__(self, input: _Optional[str] = ..., spec_path: _Optional[str] = ..., spec: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., target: _Optional[str] = ..., environment: _Optional[str] = ..., overrides: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., metadata: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., session_id: _Optional[str] = ..., async_mode: _Optional[bool] = ..., timeout_seconds: _Optional[int] = ..., overlays: _Optional[_Iterable[str]] = ..., skills: _Optional[_Union[SkillsOverlay, _Mapping]] = ..., bundle: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class SkillsOverlay(_message.Message):
    __slots__ = ("add", "disable")
    ADD_FIELD_NUMBER: _ClassVar[int]
    DISABLE_FIELD_NUMBER: _ClassVar[int]
    add: _containers.RepeatedScalarFieldContainer[str]
    disable: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, add: _Optional[_Iterable[str]] = ..., disable: _Optional[_Iterable[str]] = ...) -> None: ...

class RunResult(_message.Message):
    __slots__ = ("run_id", "status", "output_text", "human_intervention_required", "continuation_id", "continuation_ids", "metadata", "error")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_TEXT_FIELD_NUMBER: _ClassVar[int]
    HUMAN_INTERVENTION_REQUIRED_FIELD_NUMBER: _ClassVar[int]
    CONTINUATION_ID_FIELD_NUMBER: _ClassVar[int]
    CONTINUATION_IDS_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    status: str
    output_text: str
    human_intervention_required: bool
    continuation_id: str
    continuation_ids: _containers.RepeatedScalarFieldContainer[str]
    metadata: _struct_pb2.Struct
    error: RunError
    def __init__(self, run_id: _Optional[str] = ..., status: _Optional[str] = ..., output_text: _Optional[str] = ..., human_intervention_required: _Optional[bool] = ..., continuation_id: _Optional[str] = ..., continuation_ids: _Optional[_Iterable[str]] = ..., metadata: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., error: _Optional[_Union[RunError, _Mapping]] = ...) -> None: ...

class RunError(_message.Message):
    __slots__ = ("type", "message", "step_id")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    STEP_ID_FIELD_NUMBER: _ClassVar[int]
    type: str
    message: str
    step_id: str
    def __init__(self, type: _Optional[str] = ..., message: _Optional[str] = ..., step_id: _Optional[str] = ...) -> None: ...
