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

class EnvironmentPolicy(_message.Message):
    __slots__ = ("enabled", "fail_on_warnings", "blocked_diagnostic_codes", "require_human_review", "require_tool_permissions", "deny_unrestricted_tools", "require_guardrails", "require_signed_bundle")
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    FAIL_ON_WARNINGS_FIELD_NUMBER: _ClassVar[int]
    BLOCKED_DIAGNOSTIC_CODES_FIELD_NUMBER: _ClassVar[int]
    REQUIRE_HUMAN_REVIEW_FIELD_NUMBER: _ClassVar[int]
    REQUIRE_TOOL_PERMISSIONS_FIELD_NUMBER: _ClassVar[int]
    DENY_UNRESTRICTED_TOOLS_FIELD_NUMBER: _ClassVar[int]
    REQUIRE_GUARDRAILS_FIELD_NUMBER: _ClassVar[int]
    REQUIRE_SIGNED_BUNDLE_FIELD_NUMBER: _ClassVar[int]
    enabled: bool
    fail_on_warnings: bool
    blocked_diagnostic_codes: _containers.RepeatedScalarFieldContainer[str]
    require_human_review: bool
    require_tool_permissions: bool
    deny_unrestricted_tools: bool
    require_guardrails: bool
    require_signed_bundle: bool
    def __init__(self, enabled: _Optional[bool] = ..., fail_on_warnings: _Optional[bool] = ..., blocked_diagnostic_codes: _Optional[_Iterable[str]] = ..., require_human_review: _Optional[bool] = ..., require_tool_permissions: _Optional[bool] = ..., deny_unrestricted_tools: _Optional[bool] = ..., require_guardrails: _Optional[bool] = ..., require_signed_bundle: _Optional[bool] = ...) -> None: ...

class ListEnvironmentPoliciesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListEnvironmentPoliciesResponse(_message.Message):
    __slots__ = ("policies", "count")
    class PoliciesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: EnvironmentPolicy
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[EnvironmentPolicy, _Mapping]] = ...) -> None: ...
    POLICIES_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    policies: _containers.MessageMap[str, EnvironmentPolicy]
    count: int
    def __init__(self, policies: _Optional[_Mapping[str, EnvironmentPolicy]] = ..., count: _Optional[int] = ...) -> None: ...

class GetEnvironmentPolicyRequest(_message.Message):
    __slots__ = ("environment",)
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    environment: str
    def __init__(self, environment: _Optional[str] = ...) -> None: ...

class GetEnvironmentPolicyResponse(_message.Message):
    __slots__ = ("environment", "policy", "updated_at")
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_FIELD_NUMBER: _ClassVar[int]
    environment: str
    policy: EnvironmentPolicy
    updated_at: _timestamp_pb2.Timestamp
    def __init__(self, environment: _Optional[str] = ..., policy: _Optional[_Union[EnvironmentPolicy, _Mapping]] = ..., updated_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class PutEnvironmentPolicyRequest(_message.Message):
    __slots__ = ("environment", "policy")
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    environment: str
    policy: _struct_pb2.Struct
    def __init__(self, environment: _Optional[str] = ..., policy: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class PutEnvironmentPolicyResponse(_message.Message):
    __slots__ = ("environment", "policy", "previous_policy", "updated_at")
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_POLICY_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_FIELD_NUMBER: _ClassVar[int]
    environment: str
    policy: EnvironmentPolicy
    previous_policy: EnvironmentPolicy
    updated_at: _timestamp_pb2.Timestamp
    def __init__(self, environment: _Optional[str] = ..., policy: _Optional[_Union[EnvironmentPolicy, _Mapping]] = ..., previous_policy: _Optional[_Union[EnvironmentPolicy, _Mapping]] = ..., updated_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class PreviewEnvironmentPolicyRequest(_message.Message):
    __slots__ = ("environment", "policy")
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    environment: str
    policy: _struct_pb2.Struct
    def __init__(self, environment: _Optional[str] = ..., policy: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class PreviewEnvironmentPolicyResponse(_message.Message):
    __slots__ = ("environment", "diff", "affected_run_ids", "newly_blocking", "runs_evaluated", "runs_unreadable")
    class DiffEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: PolicyFieldChange
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[PolicyFieldChange, _Mapping]] = ...) -> None: ...
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    DIFF_FIELD_NUMBER: _ClassVar[int]
    AFFECTED_RUN_IDS_FIELD_NUMBER: _ClassVar[int]
    NEWLY_BLOCKING_FIELD_NUMBER: _ClassVar[int]
    RUNS_EVALUATED_FIELD_NUMBER: _ClassVar[int]
    RUNS_UNREADABLE_FIELD_NUMBER: _ClassVar[int]
    environment: str
    diff: _containers.MessageMap[str, PolicyFieldChange]
    affected_run_ids: _containers.RepeatedScalarFieldContainer[str]
    newly_blocking: _containers.RepeatedScalarFieldContainer[str]
    runs_evaluated: int
    runs_unreadable: int
    def __init__(self, environment: _Optional[str] = ..., diff: _Optional[_Mapping[str, PolicyFieldChange]] = ..., affected_run_ids: _Optional[_Iterable[str]] = ..., newly_blocking: _Optional[_Iterable[str]] = ..., runs_evaluated: _Optional[int] = ..., runs_unreadable: _Optional[int] = ...) -> None: ...

class PolicyFieldChange(_message.Message):
    __slots__ = ("to",)
    FROM_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    to: _struct_pb2.Value
    def __init__(self, to: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., **kwargs) -> None: ...
