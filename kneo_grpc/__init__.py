"""The Kneo Agent Platform as a gRPC microservice: YAML specs in, durable runs out.

`Platform` and `AsyncPlatform` are the whole platform inside another program; see docs/python.md.
"""

import importlib
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kneo_grpc.app.embedding import AsyncPlatform, Platform, Served
    from kneo_grpc.domain.errors import KneoError
    from kneo_grpc.domain.run import TokenUsage
    from kneo_grpc.ports.code import CallContext, call_context
    from kneo_grpc.ports.code import RegisteredTool as Tool
    from kneo_grpc.ports.models import (
        ModelMessage,
        ModelReply,
        ModelRequest,
        Models,
        ModelToolCall,
    )

__all__ = [
    "AsyncPlatform",
    "CallContext",
    "KneoError",
    "ModelMessage",
    "ModelReply",
    "ModelRequest",
    "ModelToolCall",
    "Models",
    "Platform",
    "Served",
    "TokenUsage",
    "Tool",
    "__version__",
    "call_context",
]

try:
    __version__ = version("kneo-grpc")
except PackageNotFoundError:  # a checkout that was never installed
    __version__ = "unknown"

# Loaded at first use: the platform takes half a second, which the command line does without.
_PLACES = {
    "AsyncPlatform": "kneo_grpc.app.embedding",
    "CallContext": "kneo_grpc.ports.code",
    "KneoError": "kneo_grpc.domain.errors",
    "ModelMessage": "kneo_grpc.ports.models",
    "ModelReply": "kneo_grpc.ports.models",
    "ModelRequest": "kneo_grpc.ports.models",
    "ModelToolCall": "kneo_grpc.ports.models",
    "Models": "kneo_grpc.ports.models",
    "Platform": "kneo_grpc.app.embedding",
    "Served": "kneo_grpc.app.embedding",
    "TokenUsage": "kneo_grpc.domain.run",
    "Tool": "kneo_grpc.ports.code",
    "call_context": "kneo_grpc.ports.code",
}
_INNER_NAMES = {"Tool": "RegisteredTool"}


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(importlib.import_module(_PLACES[name]), _INNER_NAMES.get(name, name))
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
