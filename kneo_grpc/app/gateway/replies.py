"""What Envoy itself answers, as the contract's error envelope."""

from typing import Any

Config = dict[str, Any]

_TEXT = "%LOCAL_REPLY_BODY%"

_REPLIES: tuple[tuple[int, str, str], ...] = (
    (404, "not_found", "There is no such route."),
    (405, "method_not_allowed", "The route does not take this method."),
    (408, "deadline_exceeded", "The request did not arrive in time."),
    (413, "payload_too_large", "The request is larger than the service accepts."),
    (415, "unsupported_media_type", "The body must be application/json."),
    (421, "misdirected_request", "The service answers to loopback host names only."),
    (426, "upgrade_required", "The protocol is not supported."),
    (429, "resource_exhausted", "Too many requests; try again later."),
    (431, "headers_too_large", "The headers are larger than the gateway accepts."),
    (500, "internal_error", "The gateway failed."),
    (502, "unavailable", "The service's answer cannot be understood."),
    (503, "unavailable", "The service cannot be reached; try again later."),
    (504, "deadline_exceeded", "The service did not answer in time."),
)


def local_replies(max_body_bytes: int) -> Config:
    """Return Envoy's local_reply_config: JSON for HTTP callers, plain text for gRPC's."""
    mappers = [_native(), _bad_request()]
    for status, code, message in _REPLIES:
        extras = {"max_body_bytes": max_body_bytes} if status == 413 else {}
        mapper: Config = {
            "filter": _status(status),
            "body_format_override": {"json_format": _envelope(code, message, extras)},
        }
        if status == 503:
            mapper["headers_to_add"] = [{"header": {"key": "retry-after", "value": "1"}}]
        mappers.append(mapper)
    default = _envelope("http_%RESPONSE_CODE%", "The request failed.", {})
    return {"mappers": mappers, "body_format": {"json_format": default}}


def _native() -> Config:
    """The mapper of gRPC callers. The transcoder makes a JSON call look like gRPC and then leaves
    its original path.
    """
    grpc = {"name": "content-type", "string_match": {"prefix": "application/grpc"}}
    transcoded = {"name": "x-envoy-original-path", "present_match": True, "invert_match": True}
    filters = [{"header_filter": {"header": header}} for header in (grpc, transcoded)]
    return {
        "filter": {"and_filter": {"filters": filters}},
        "body_format_override": {"text_format_source": {"inline_string": _TEXT}},
    }


def _bad_request() -> Config:
    """The mapper of 400. Envoy's text may quote values; edge.lua makes a safe envelope of it."""
    return {
        "filter": _status(400),
        "body_format_override": {"text_format_source": {"inline_string": _TEXT}},
        "headers_to_add": [{"header": {"key": "x-kneo-reply", "value": "bad_request"}}],
    }


def _status(status: int) -> Config:
    value = {"default_value": status, "runtime_key": f"kneo.reply.{status}"}
    return {"status_code_filter": {"comparison": {"op": "EQ", "value": value}}}


def _envelope(code: str, message: str, extras: Config) -> Config:
    return {
        "error": code,
        "message": message,
        "request_id": "%REQ(X-REQUEST-ID)%",
        "detail": {"error": code, "message": message, **extras},
        **extras,
    }
