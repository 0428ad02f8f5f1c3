"""A worker of its own: executes queued runs, serves nobody."""

import contextlib
import logging
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

from kneo_grpc import __version__
from kneo_grpc.app.entry import run_process, stop_on_signals
from kneo_grpc.app.loops import duties
from kneo_grpc.app.memory import calm_collector
from kneo_grpc.app.settings import Settings
from kneo_grpc.app.wiring import build_platform

logger = logging.getLogger("kneo_grpc.app")


def run_worker(*, concurrency: int | None) -> int:
    """Work until SIGTERM or SIGINT; return the exit code. Refusals go to standard error."""

    def begin(settings: Settings) -> Coroutine[Any, Any, None]:
        if concurrency is not None:
            settings = replace(settings, worker_concurrency=concurrency)
        return work(settings)

    return run_process(begin)


async def work(settings: Settings) -> None:
    """Work until a signal, then let the runs under way end. Raises StartRefused."""
    stop = stop_on_signals()
    platform = build_platform(settings)
    async with contextlib.AsyncExitStack() as stack:
        await platform.start()
        stack.push_async_callback(platform.close)
        await stack.enter_async_context(duties(platform, works=True))
        facts = {"version": __version__, "concurrency": settings.worker_concurrency}
        calm_collector()
        logger.info("worker ready", extra=facts)
        await stop.wait()
        logger.info("worker stops")
        await platform.drain()
    logger.info("worker stopped")
