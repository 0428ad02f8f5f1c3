"""A worker of its own: executes queued runs, serves nobody."""

import asyncio
import contextlib
import logging
import signal
from dataclasses import replace

import uvloop

from kneo_grpc import __version__
from kneo_grpc.app.logs import configure_logs
from kneo_grpc.app.loops import duties
from kneo_grpc.app.memory import calm_collector
from kneo_grpc.app.redaction import build_redactor, tell_refusal
from kneo_grpc.app.settings import Settings, environment, read_settings
from kneo_grpc.app.wiring import build_platform
from kneo_grpc.domain.errors import StartRefused

logger = logging.getLogger("kneo_grpc.app")


def run_worker(*, concurrency: int | None) -> int:
    """Work until SIGTERM or SIGINT; return the exit code. Refusals go to standard error."""
    try:
        settings = read_settings(environment())
        if concurrency is not None:
            settings = replace(settings, worker_concurrency=concurrency)
        configure_logs(settings.log_level, redactor=build_redactor(settings))
        uvloop.run(work(settings))
    except StartRefused as error:
        tell_refusal(error)
        return 1
    return 0


async def work(settings: Settings) -> None:
    """Work until a signal, then let the runs under way end. Raises StartRefused."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
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
