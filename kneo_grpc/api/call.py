"""The call under way, as servicers see it."""

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from kneo_grpc.api.errors import HTTP_STATUS
from kneo_grpc.domain.principal import ANONYMOUS, Principal
from kneo_grpc.domain.run import TERMINAL
from kneo_grpc.platform.launches import CallResult


@dataclass(slots=True, kw_only=True)
class Call:
    """Who calls, under which id; idempotency_key: as sent.

    http_status, run_id: what the answer says, noted for the log line.
    """

    principal: Principal = ANONYMOUS
    request_id: str = ""
    idempotency_key: str | None = None
    http_status: int = 200
    run_id: str | None = None


_CURRENT: ContextVar[Call] = ContextVar("kneo_call")


def set_call(call: Call) -> None:
    """Make a call the current one of this task."""
    _CURRENT.set(call)


def current_call() -> Call:
    """Return the call that this task serves."""
    return _CURRENT.get()


async def announce_replay(context: Any, *, replayed: bool) -> None:
    """Send the headers of an answer that may be the first call's."""
    if replayed:
        await context.send_initial_metadata((("idempotency-replayed", "true"),))


async def announce(context: Any, result: CallResult) -> None:
    """Send the headers of an answer about a run: 202 while it goes on, and whether it is a
    replay.
    """
    call = current_call()
    call.run_id = result.run.id
    headers = []
    if result.run.status not in TERMINAL:
        call.http_status = 202
        headers.append((HTTP_STATUS, "202"))
    if result.replayed:
        headers.append(("idempotency-replayed", "true"))
    if headers:
        await context.send_initial_metadata(tuple(headers))
