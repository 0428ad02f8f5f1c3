"""When a call is sent again, and the key that makes this safe."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable

RETRIES = 2
_STEP_SECONDS = 0.25
_PAUSE_SECONDS_MAX = 30.0


def pause_seconds(attempt: int, retry_after: float | None) -> float:
    """Return how long to wait after the failed attempt; 1 is the first. At most 30 s."""
    return min(max(_STEP_SECONDS * attempt, retry_after or 0.0), _PAUSE_SECONDS_MAX)


def new_idempotency_key() -> str:
    """Return `kneo-cli-` and a random UUID."""
    # A client is constructed by its user, who has no id source to pass.
    return f"kneo-cli-{uuid.uuid4()}"  # noqa: TID251 - the default of a parameter, see above


# A client is constructed by its user, who has no clock to pass; tests pass their own.
async_sleep: Callable[[float], Awaitable[None]] = asyncio.sleep  # noqa: TID251 - see above
