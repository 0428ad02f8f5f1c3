from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ListCredentialsRequest(_message.Message):
    __slots__ = ("providers", "extras", "include_service_tokens")
    PROVIDERS_FIELD_NUMBER: _ClassVar[int]
    EXTRAS_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_SERVICE_TOKENS_FIELD_NUMBER: _ClassVar[int]
    providers: _containers.RepeatedScalarFieldContainer[str]
    extras: _containers.RepeatedScalarFieldContainer[str]
    include_service_tokens: bool
    def __init__(self, providers: _Optional[_Iterable[str]] = ..., extras: _Optional[_Iterable[str]] = ..., include_service_tokens: _Optional[bool] = ...) -> None: ...

class ListCredentialsResponse(_message.Message):
    __slots__ = ("inventory",)
    INVENTORY_FIELD_NUMBER: _ClassVar[int]
    inventory: CredentialInventory
    def __init__(self, inventory: _Optional[_Union[CredentialInventory, _Mapping]] = ...) -> None: ...

class CredentialInventory(_message.Message):
    __slots__ = ("providers", "extra", "service_tokens")
    class ProvidersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Credential
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Credential, _Mapping]] = ...) -> None: ...
    class ExtraEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Credential
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Credential, _Mapping]] = ...) -> None: ...
    class ServiceTokensEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Credential
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Credential, _Mapping]] = ...) -> None: ...
    PROVIDERS_FIELD_NUMBER: _ClassVar[int]
    EXTRA_FIELD_NUMBER: _ClassVar[int]
    SERVICE_TOKENS_FIELD_NUMBER: _ClassVar[int]
    providers: _containers.MessageMap[str, Credential]
    extra: _containers.MessageMap[str, Credential]
    service_tokens: _containers.MessageMap[str, Credential]
    def __init__(self, providers: _Optional[_Mapping[str, Credential]] = ..., extra: _Optional[_Mapping[str, Credential]] = ..., service_tokens: _Optional[_Mapping[str, Credential]] = ...) -> None: ...

class Credential(_message.Message):
    __slots__ = ("name", "env_var", "present", "value", "status")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ENV_VAR_FIELD_NUMBER: _ClassVar[int]
    PRESENT_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    name: str
    env_var: str
    present: bool
    value: str
    status: str
    def __init__(self, name: _Optional[str] = ..., env_var: _Optional[str] = ..., present: _Optional[bool] = ..., value: _Optional[str] = ..., status: _Optional[str] = ...) -> None: ...
