"""Asking the service with bytes of any kind, and what an answer must never be."""

import json
from dataclasses import dataclass, field
from typing import Any

import grpc

from tests.edge.contract import Rpc

ADMIN = (("authorization", "Bearer admin-key"),)
NEVER = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DEADLINE_EXCEEDED)
INNER_WORDS = ("Traceback", 'File "', ".py", "object at 0x", "Error:", "site-packages")
"""What shows that a program's own words came out."""


@dataclass(frozen=True)
class Reply:
    """code: of gRPC. reason: of the contract. fields: those that were found at fault."""

    code: grpc.StatusCode
    reason: str = ""
    fields: frozenset[str] = field(default_factory=frozenset)


def ask(channel: grpc.Channel, rpc: Rpc, content: bytes) -> Reply:
    """Send bytes as an admin; of a stream, read the first answer. Fails for what must never be."""
    try:
        if rpc.method.client_streaming:
            call = channel.stream_stream(rpc.name)(iter([content]), metadata=ADMIN, timeout=30)
            next(call, None)
            call.cancel()
        elif rpc.method.server_streaming:
            call = channel.unary_stream(rpc.name)(content, metadata=ADMIN, timeout=30)
            next(call, None)
            call.cancel()
        else:
            channel.unary_unary(rpc.name)(content, metadata=ADMIN, timeout=30)
    except grpc.RpcError as error:
        return _reply(rpc, content, error)
    return Reply(grpc.StatusCode.OK)


def _reply(rpc: Rpc, content: bytes, error: Any) -> Reply:
    said = f"{rpc.name} {content[:300]!r}: {error.code()} {error.details()}"
    assert error.code() not in NEVER, said
    trailers = dict(error.trailing_metadata() or ())
    text = trailers.get("x-kneo-error-json", "{}")
    for word in INNER_WORDS:
        assert word not in (error.details() or ""), said
        assert word not in text, text
    told = json.loads(text)
    if rpc.name.startswith("/kneo."):
        assert told["error"], said
    return Reply(
        error.code(),
        told.get("error", ""),
        frozenset(item["field"] for item in told.get("fields", ())),
    )
