"""The call under way, as servicers see it."""

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from kneo_grpc.api.errors import HTTP_STATUS
from kneo_grpc.domain.principal import ANONYMOUS, Principal
from kneo_grpc.domain.run import TERMINAL
from kneo_grpc.platform.runs import CallResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """Who calls, under which id; idempotency_key: as sent."""

    principal: Principal = ANONYMOUS
    request_id: str = ""
    idempotency_key: str | None = None


_CURRENT: ContextVar[Call] = ContextVar("kneo_call")


def set_call(call: Call) -> None:
    """Make a call the current one of this task."""
    _CURRENT.set(call)


def current_call() -> Call:
    """Return the call that this task serves."""
    return _CURRENT.get()


async def announce(context: Any, result: CallResult) -> None:
    """Send the headers of an answer about a run: 202 while it goes on, and whether it is a
    replay.
    """
    headers = []
    if result.run.status not in TERMINAL:
        headers.append((HTTP_STATUS, "202"))
    if result.replayed:
        headers.append(("idempotency-replayed", "true"))
    if headers:
        await context.send_initial_metadata(tuple(headers))
