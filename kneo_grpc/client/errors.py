"""What a call to the service can fail with, and how an error answer is read."""

import json
from collections.abc import Mapping
from typing import Any

from kneo_grpc.domain.errors import KneoError

_REASON_OF_STATUS = {
    400: "invalid_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    413: "payload_too_large",
    503: "unavailable",
}
_RETRIED_STATUSES = (429, 503)
_RETRIED_WHEN_TOLD = ("idempotency_key_in_progress", "resource_exhausted")
"""Reasons that pass where the service says when; without that, too large a message is one too."""


class ServiceError(KneoError):
    """A call that the service refused, or that did not reach it.

    reason: the contract's error code; `unavailable`, `deadline_exceeded`, `tls_failed` and
    `invalid_response` when no error answer of the service was read; `http_<status>` when something
    else answered.
    http_status, grpc_code: what the transport said; None where the other transport was used or
    nothing answered. grpc_code is a name such as `NOT_FOUND`.
    retry_after: seconds that the service asked to wait; None when it did not say.
    """

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        http_status: int | None = None,
        grpc_code: str | None = None,
        details: Mapping[str, Any] | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, **(details or {}))
        self.reason = reason  # type: ignore[misc]  # the service names the reason, not the class
        self.http_status = http_status
        self.grpc_code = grpc_code
        self.request_id = request_id
        self.retry_after = retry_after

    @property
    def retriable(self) -> bool:
        """Tell whether the same call may succeed soon; an answer about readiness is an answer."""
        if self.reason == "not_ready":
            return False
        if self.reason in _RETRIED_WHEN_TOLD:
            return self.retry_after is not None
        if self.http_status is not None:
            return self.http_status in _RETRIED_STATUSES
        return self.grpc_code == "UNAVAILABLE" or (
            self.grpc_code is None and self.reason == "unavailable"
        )


def from_envelope(
    text: str | bytes,
    *,
    http_status: int | None = None,
    grpc_code: str | None = None,
    request_id: str | None = None,
    retry_after: float | None = None,
) -> ServiceError | None:
    """Read the contract's error object: `error`, `message`, `request_id`, `detail`, extras.

    Returns None when the text is something else, such as a proxy's own page.
    """
    try:
        envelope = json.loads(text)
    except ValueError:
        return None
    if not isinstance(envelope, dict):
        return None
    detail = envelope.get("detail")
    facts = {**envelope, **detail} if isinstance(detail, dict) else dict(envelope)
    reason, message = facts.pop("error", None), facts.pop("message", None)
    if not isinstance(reason, str):
        return None
    found_id = facts.pop("request_id", None)
    facts.pop("detail", None)
    return ServiceError(
        reason,
        message if isinstance(message, str) and message else reason,
        http_status=http_status,
        grpc_code=grpc_code,
        details=facts,
        request_id=found_id if isinstance(found_id, str) else request_id,
        retry_after=retry_after,
    )


def from_http(
    status: int, body: bytes, headers: Mapping[str, str], *, phrase: str, address: str
) -> ServiceError:
    """Read an HTTP answer outside 2xx. headers: lower-case names."""
    request_id = headers.get("x-request-id")
    retry_after = seconds(headers.get("retry-after"))
    error = from_envelope(body, http_status=status, request_id=request_id, retry_after=retry_after)
    if error is not None:
        return error
    message = f"{address} answered {status} {phrase}".rstrip()
    if 300 <= status < 400 and "location" in headers:
        message += f", which points to {headers['location']}"
    return ServiceError(
        _REASON_OF_STATUS.get(status, f"http_{status}"),
        message,
        http_status=status,
        request_id=request_id,
        retry_after=retry_after,
    )


def seconds(text: str | None) -> float | None:
    """Read the seconds form of a retry-after header; the date form counts as not given."""
    if text is None or not text.strip().isdecimal():
        return None
    return float(text)
