"""The one table from our errors to gRPC codes and HTTP statuses, and how they are put on the
wire.
"""

import json
from collections.abc import Mapping
from typing import Any

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from kneo_grpc.domain import errors

DOMAIN = "kneo"
JSON_BYTES_MAX = 4200
"""Of the error's JSON; together with the status details it stays below the 8 KB of trailers."""
DETAIL_BYTES_MAX = 1300
TEXT_CHARS_MAX = 500
RETRY_AFTER_SECONDS = 1
"""When to ask again a service that is unavailable and does not say, as the gateway does itself."""
HTTP_STATUS = "x-kneo-http-status"
ERROR_JSON = "x-kneo-error-json"

TABLE: Mapping[type[errors.KneoError], tuple[grpc.StatusCode, int]] = {
    errors.KneoError: (grpc.StatusCode.INTERNAL, 500),
    errors.InvalidInput: (grpc.StatusCode.INVALID_ARGUMENT, 400),
    errors.FieldsInvalid: (grpc.StatusCode.INVALID_ARGUMENT, 422),
    errors.SpecPathConfined: (grpc.StatusCode.INVALID_ARGUMENT, 422),
    errors.PayloadTooLarge: (grpc.StatusCode.RESOURCE_EXHAUSTED, 413),
    errors.Unauthenticated: (grpc.StatusCode.UNAUTHENTICATED, 401),
    errors.Forbidden: (grpc.StatusCode.PERMISSION_DENIED, 403),
    errors.NotFound: (grpc.StatusCode.NOT_FOUND, 404),
    errors.Conflict: (grpc.StatusCode.FAILED_PRECONDITION, 409),
    errors.ResourceLocked: (grpc.StatusCode.ABORTED, 409),
    errors.IdempotencyKeyConflict: (grpc.StatusCode.ALREADY_EXISTS, 409),
    errors.IdempotencyKeyInProgress: (grpc.StatusCode.ABORTED, 409),
    errors.Unavailable: (grpc.StatusCode.UNAVAILABLE, 503),
}
"""A class without a row takes its nearest ancestor's."""


def status_of(error: errors.KneoError) -> tuple[grpc.StatusCode, int]:
    """Return the gRPC code and the HTTP status of an error."""
    return status_of_kind(type(error))


def status_of_kind(kind: type[errors.KneoError]) -> tuple[grpc.StatusCode, int]:
    """Return the gRPC code and the HTTP status of a class of errors."""
    return next(TABLE[base] for base in kind.__mro__ if base in TABLE)


def trailers(error: errors.KneoError, request_id: str) -> tuple[tuple[str, str | bytes], ...]:
    """Return the trailing metadata of an error: status details for gRPC, JSON for the gateway."""
    code, http = status_of(error)
    found: list[tuple[str, str | bytes]] = [
        ("grpc-status-details-bin", _details(error, code, request_id)),
        (ERROR_JSON, _json(error, request_id)),
        (HTTP_STATUS, str(http)),
        ("x-request-id", request_id),
    ]
    retry_after = error.details.get("retry_after")
    if retry_after is None and isinstance(error, errors.Unavailable):
        retry_after = RETRY_AFTER_SECONDS
    if retry_after is not None:
        found.append(("retry-after", str(retry_after)))
    if isinstance(error, errors.Unauthenticated):
        found.append(("www-authenticate", "Bearer"))
    return tuple(found)


def envelope(error: errors.KneoError, request_id: str) -> dict[str, Any]:
    """Return the JSON body of an error."""
    extras = dict(error.details)
    message = message_of(error)
    detail = {"error": error.reason, "message": message, **extras}
    return {**detail, "request_id": request_id, "detail": detail}


def _json(error: errors.KneoError, request_id: str) -> str:
    """Return the envelope in ASCII, with as many of its list items as fit."""
    text = json.dumps(envelope(error, request_id), default=str)
    if len(text) <= JSON_BYTES_MAX:
        return text
    lists = {key: value for key, value in error.details.items() if isinstance(value, (list, tuple))}
    scalars = {
        key: _cut(value) if isinstance(value, str) else value
        for key, value in error.details.items()
        if key not in lists and not isinstance(value, Mapping)
    }
    for keep in (40, 30, 20, 14, 10, 7, 5, 3, 2, 1, 0):
        details: dict[str, Any] = {**scalars, "truncated": True}
        for key, value in lists.items():
            details[key] = [_shortened(item) for item in value[:keep]]
            details[f"{key}_total"] = len(value)
        text = json.dumps(envelope(_like(error, details), request_id), default=str)
        if len(text) <= JSON_BYTES_MAX:
            return text
    return json.dumps(envelope(_like(error, {"truncated": True}), request_id))


def _like(error: errors.KneoError, details: Mapping[str, Any]) -> errors.KneoError:
    """Return an error of the same reason with other details."""
    copy = errors.KneoError(error.message, **details)
    copy.__class__ = type(error)
    return copy


def _details(error: errors.KneoError, code: grpc.StatusCode, request_id: str) -> bytes:
    facts = {
        key: str(value)[:200]
        for key, value in error.details.items()
        if isinstance(value, (str, int, float, bool))
    }
    info = error_details_pb2.ErrorInfo(
        reason=error.reason, domain=DOMAIN, metadata={**facts, "request_id": request_id}
    )
    faults = error_details_pb2.BadRequest()
    for field, text in _field_faults(error):
        faults.field_violations.add(field=field[:100], description=text[:200])
        if faults.ByteSize() > DETAIL_BYTES_MAX:
            del faults.field_violations[-1]
            break
    status = status_pb2.Status(code=code.value[0], message=message_of(error))
    for detail in (info, faults):
        if detail.ByteSize():
            packed = any_pb2.Any()
            packed.Pack(detail)
            status.details.append(packed)
    return bytes(status.SerializeToString())


def _field_faults(error: errors.KneoError) -> list[tuple[str, str]]:
    if isinstance(error, errors.FieldsInvalid):
        return list(error.faults)
    return [
        (str(item.get("path") or "spec"), f"{item.get('code')}: {item.get('message')}")
        for item in error.details.get("diagnostics", ())
    ]


def _shortened(item: Any) -> Any:
    if isinstance(item, Mapping):
        return {
            key: _cut(text, 200) if isinstance(text, str) else text for key, text in item.items()
        }
    return _cut(item, 200) if isinstance(item, str) else item


def message_of(error: errors.KneoError) -> str:
    """Return the error's sentence, short enough for a status message."""
    return _cut(error.message)


def _cut(text: str, limit: int = TEXT_CHARS_MAX) -> str:
    """Return text whose JSON in ASCII has about `limit` characters at the most."""
    encoded = len(json.dumps(text)) - 2
    if encoded <= limit:
        return text
    return text[: max(1, len(text) * limit // encoded)] + "…"
