"""gRPC: channels, and the translation between plain objects and messages."""

from collections.abc import Iterable, Mapping
from typing import Any

import grpc
import grpc.aio
from google.protobuf import json_format, message_factory
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

from kneo_grpc._gen.kneo.v1 import (
    audit_pb2,
    audit_pb2_grpc,
    credential_pb2,
    credential_pb2_grpc,
    health_pb2,
    health_pb2_grpc,
    human_task_pb2,
    human_task_pb2_grpc,
    maintenance_pb2,
    maintenance_pb2_grpc,
    meta_pb2,
    meta_pb2_grpc,
    policy_pb2,
    policy_pb2_grpc,
    queue_pb2,
    queue_pb2_grpc,
    run_pb2,
    run_pb2_grpc,
    spec_pb2,
    spec_pb2_grpc,
)
from kneo_grpc.client.errors import ServiceError, from_envelope, seconds
from kneo_grpc.client.methods import Json, Method
from kneo_grpc.client.target import Target

_SERVICES: Mapping[str, tuple[Any, Any]] = {
    "RunService": (run_pb2, run_pb2_grpc.RunServiceStub),
    "HumanTaskService": (human_task_pb2, human_task_pb2_grpc.HumanTaskServiceStub),
    "AuditService": (audit_pb2, audit_pb2_grpc.AuditServiceStub),
    "QueueService": (queue_pb2, queue_pb2_grpc.QueueServiceStub),
    "MaintenanceService": (maintenance_pb2, maintenance_pb2_grpc.MaintenanceServiceStub),
    "SpecService": (spec_pb2, spec_pb2_grpc.SpecServiceStub),
    "PolicyService": (policy_pb2, policy_pb2_grpc.PolicyServiceStub),
    "CredentialService": (credential_pb2, credential_pb2_grpc.CredentialServiceStub),
    "MetaService": (meta_pb2, meta_pb2_grpc.MetaServiceStub),
    "HealthService": (health_pb2, health_pb2_grpc.HealthServiceStub),
}
_OPTIONS = (
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
    # The client itself sends again, at most twice; a channel that waits longer would spoil that.
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
)
_EXACT_INTEGER_MAX = 2**53


class GrpcTransport:
    """Carries calls over a blocking channel. timeout: seconds until the whole answer is there."""

    def __init__(
        self, target: Target, *, api_key: str | None, tls_ca: bytes | None, timeout: float
    ) -> None:
        self._target = target
        self._api_key = api_key
        self._timeout = timeout
        self._channel = (
            grpc.secure_channel(
                target.address, grpc.ssl_channel_credentials(tls_ca), options=_OPTIONS
            )
            if target.tls
            else grpc.insecure_channel(target.address, options=_OPTIONS)
        )

    def call(self, method: Method, fields: Mapping[str, Any], *, key: str | None) -> Json:
        """Send once; return the answer as the JSON route gives it. Raises ServiceError."""
        send = bound(self._channel, method)
        try:
            answer = send(
                to_message(method, fields),
                timeout=self._timeout,
                metadata=metadata(self._api_key, key),
            )
        except grpc.RpcError as error:
            raise decoded(error, self._target) from error
        return to_object(answer)

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()


class AsyncGrpcTransport:
    """Carries calls over a channel of the running event loop. timeout: as for GrpcTransport."""

    def __init__(
        self, target: Target, *, api_key: str | None, tls_ca: bytes | None, timeout: float
    ) -> None:
        self._target = target
        self._api_key = api_key
        self._timeout = timeout
        self._channel = (
            grpc.aio.secure_channel(
                target.address, grpc.ssl_channel_credentials(tls_ca), options=_OPTIONS
            )
            if target.tls
            else grpc.aio.insecure_channel(target.address, options=_OPTIONS)
        )

    async def call(self, method: Method, fields: Mapping[str, Any], *, key: str | None) -> Json:
        """Send once; return the answer as the JSON route gives it. Raises ServiceError."""
        send = bound(self._channel, method)
        try:
            answer = await send(
                to_message(method, fields),
                timeout=self._timeout,
                metadata=metadata(self._api_key, key),
            )
        except grpc.aio.AioRpcError as error:
            raise decoded(error, self._target) from error
        return to_object(answer)

    async def close(self) -> None:
        """Close the channel; calls under way are cancelled."""
        await self._channel.close(None)


def bound(channel: Any, method: Method) -> Any:
    """Return the generated stub's callable for the method, blocking or not as the channel is."""
    return getattr(_SERVICES[method.service][1](channel), method.rpc)


def metadata(api_key: str | None, key: str | None) -> tuple[tuple[str, str], ...]:
    """Return the call's headers."""
    pairs = []
    if api_key:
        pairs.append(("authorization", f"Bearer {api_key}"))
    if key is not None:
        pairs.append(("idempotency-key", key))
    return tuple(pairs)


def to_message(method: Method, fields: Mapping[str, Any]) -> Message:
    """Build the request; a field that is None counts as absent. Raises ServiceError."""
    service = _SERVICES[method.service][0].DESCRIPTOR.services_by_name[method.service]
    kind = message_factory.GetMessageClass(service.methods_by_name[method.rpc].input_type)
    given = {name: value for name, value in fields.items() if value is not None}
    try:
        return json_format.ParseDict(given, kind())
    except (json_format.ParseError, ValueError, TypeError) as error:
        raise ServiceError("invalid_request", str(error), grpc_code="INVALID_ARGUMENT") from error


def to_object(message: Message) -> Json:
    """Return the message as the JSON route gives it: names as in the proto, absent left out."""
    fields = json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return {name: _with_integers(value) for name, value in fields.items()}


def decoded(error: Any, target: Target) -> ServiceError:
    """Read a failed call: the envelope in its trailers, else google.rpc details, else its code."""
    code = error.code().name
    trailers = dict(error.trailing_metadata() or ())
    facts: dict[str, Any] = {
        "grpc_code": code,
        "request_id": trailers.get("x-request-id"),
        "retry_after": seconds(trailers.get("retry-after")),
    }
    envelope = trailers.get("x-kneo-error-json")
    found = from_envelope(envelope, **facts) if envelope else None
    if found is not None:
        return found
    reason, details = _rich_details(trailers.get("grpc-status-details-bin"))
    message = error.details() or code
    if code == "UNAVAILABLE" and reason is None:
        message = f"cannot reach {target}: {message}"
    return ServiceError(reason or code.lower(), message, details=details, **facts)


def _rich_details(packed: bytes | None) -> tuple[str | None, dict[str, Any]]:
    reason, details = None, {}
    try:
        status = status_pb2.Status.FromString(packed or b"")
    except DecodeError:
        return None, {}
    info, fields = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for item in status.details:
        if item.Is(info.DESCRIPTOR):
            item.Unpack(info)
            reason = info.reason or None
            details.update(info.metadata)
        elif item.Is(fields.DESCRIPTOR):
            item.Unpack(fields)
            details["fields"] = _field_faults(fields.field_violations)
    return reason, details


def _field_faults(violations: Iterable[Any]) -> list[dict[str, str]]:
    return [{"field": fault.field, "message": fault.description} for fault in violations]


def _with_integers(value: Any) -> Any:
    # A Struct knows only doubles; the JSON route prints 3.0 as 3, and so do we.
    if isinstance(value, dict):
        return {name: _with_integers(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_with_integers(item) for item in value]
    if isinstance(value, float) and value.is_integer() and abs(value) <= _EXACT_INTEGER_MAX:
        return int(value)
    return value
