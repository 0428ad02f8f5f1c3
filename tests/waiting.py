"""Waiting for a condition, with a deadline."""

import asyncio
import inspect
import time
from collections.abc import Callable
from typing import Any


async def until(condition: Callable[[], Any], seconds: float = 20) -> Any:
    """Wait until a condition, plain or async, holds; return what it gave. Fails at the deadline."""
    deadline = time.monotonic() + seconds
    while not (value := await _asked(condition)):
        assert time.monotonic() < deadline, f"the condition did not hold within {seconds} s"
        await asyncio.sleep(0.005)
    return value


async def _asked(condition: Callable[[], Any]) -> Any:
    value = condition()
    return await value if inspect.isawaitable(value) else value
