"""How each process of ours begins, hears that it is to end, and keeps a loop beside its work."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import uvloop

from kneo_grpc.app.logs import configure_logs
from kneo_grpc.app.redaction import build_redactor, tell_refusal
from kneo_grpc.app.settings import Settings, environment, read_settings
from kneo_grpc.domain.errors import StartRefused

logger = logging.getLogger("kneo_grpc.app")

Work = Callable[[Settings], Coroutine[Any, Any, None]]


def run_process(
    work: Work, *, loop: Callable[[Coroutine[Any, Any, None]], None] = uvloop.run
) -> int:
    """Read the settings, open the log and do the work; return the exit code.

    Refusals go to standard error. loop: runs a coroutine to its end.
    """
    try:
        settings = read_settings(environment())
        configure_logs(settings.log_level, redactor=build_redactor(settings))
        loop(work(settings))
    except StartRefused as error:
        tell_refusal(error)
        return 1
    return 0


def stop_on_signals() -> asyncio.Event:
    """Return an event that SIGTERM and SIGINT set."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


@contextlib.asynccontextmanager
async def beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run a loop beside the block; a loop that dies is logged, never silent."""
    task = asyncio.create_task(work)
    task.add_done_callback(_report)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await task


def _report(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and task.exception() is not None:
        logger.error("a background loop died", exc_info=task.exception())
