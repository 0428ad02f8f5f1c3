"""The background duties of a process, each repeated for ever."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

from kneo_grpc.app.wiring import Platform
from kneo_grpc.domain.errors import KneoError, StoreUnavailable
from kneo_grpc.platform.sealer import SealReport

logger = logging.getLogger("kneo_grpc.app")

WATCH = timedelta(milliseconds=500)
"""How soon a cancellation, or a person's decision, taken by another process is seen."""

TIMERS = timedelta(seconds=1)
RETENTION = timedelta(hours=1)
SEALING = timedelta(seconds=1)
DENIALS = timedelta(seconds=10)
"""How often denied calls are written, equal ones together."""

STORE_PAUSE = timedelta(milliseconds=500)


@contextlib.asynccontextmanager
async def duties(platform: Platform, *, works: bool) -> AsyncIterator[None]:
    """Keep a platform's background duties going. works: take queued runs too."""
    loops = [
        _every(platform, platform.settings.lease / 3, "heartbeat", _heartbeat(platform)),
        _every(platform, WATCH, "watch", _watch(platform)),
        _every(platform, TIMERS, "timers", platform.timers.run_once),
        _every(platform, DENIALS, "denials", platform.denials.run_once),
        _seal(platform),
    ]
    if works:
        loops.append(_work(platform))
        if not platform.retention.keeps_all:
            loops.append(_every(platform, RETENTION, "retention", platform.retention.run_once))
    tasks = [asyncio.create_task(loop) for loop in loops]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _every(
    platform: Platform, pause: timedelta, name: str, duty: Callable[[], Awaitable[object]]
) -> None:
    while True:
        await platform.clock.sleep(pause)
        await _guarded(name, duty)


async def _seal(platform: Platform) -> None:
    """Seal audit records; the sealer says when to look again."""
    pause = SEALING
    while True:
        await platform.clock.sleep(pause)
        report = await _guarded("sealer", platform.sealer.run_once)
        pause = report.pause if isinstance(report, SealReport) else SEALING


async def _work(platform: Platform) -> None:
    """Look for work, and wait for hints in between; polling is the truth."""
    while True:
        report = await _guarded("worker", platform.worker.run_once)
        if report is None:
            await platform.clock.sleep(STORE_PAUSE)
            continue
        if getattr(report, "started", 0) == 0:
            await _guarded("hint", platform.worker.wait)


async def _guarded(name: str, duty: Callable[[], Awaitable[object]]) -> object | None:
    """Do a duty once; a failure is logged and the loop goes on. None after a failure."""
    try:
        return await duty() or True
    except StoreUnavailable:
        logger.warning("a duty waits for the store", extra={"duty": name})
    except KneoError as error:
        logger.warning("a duty failed", extra={"duty": name, "error": error.message})
    except Exception:
        logger.exception("a duty failed", extra={"duty": name})
    return None


def _heartbeat(platform: Platform) -> Callable[[], Awaitable[object]]:
    return platform.legs.heartbeat


def _watch(platform: Platform) -> Callable[[], Awaitable[object]]:
    """Stop legs whose job is gone: another process cancelled the run or took it over."""

    async def look() -> int:
        driven = platform.legs.driven()
        if not driven:
            return 0
        platform.legs.poke_asking()
        held = await platform.queue.held_runs(platform.legs.lease.owner)
        return await platform.legs.stop_lost(driven - held)

    return look
