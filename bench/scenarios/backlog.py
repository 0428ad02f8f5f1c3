"""Runs that waited for a worker: how fast one worker process gets through them."""

import asyncio
import statistics
import time

from bench.calls import calling
from bench.requests import THREE_STEPS, queued
from bench.service import Process, Site
from bench.stage import Row, Stage, Value
from bench.stored import Stored, looking
from bench.windows import Window, drive

LOOK_SECONDS = 0.05
END_SECONDS = 180.0


async def measure(stage: Stage) -> list[Row]:
    """Fill the queue of a service without worker, start a worker, wait until all have ended."""
    site = await stage.site("backlog")
    drains, fills, rates, failed = [], [], [], 0
    async with looking(site.database_url) as stored, site.serving("--no-worker") as service:
        for _ in range(stage.pace.windows):
            run_ids, filled = await _fill(service, stage.pace.backlog)
            fills.append(filled.rate)
            drains.append(await _drain(site, stored))
            times = await stored.times(run_ids)
            failed += len(filled.failures) + len(run_ids) - len(times)
            span = max(each.ended for each in times) - min(each.ended for each in times)
            rates.append(len(times) / span)
    facts: dict[str, Value] = {
        "runs": stage.pace.backlog,
        "create per s": round(statistics.median(fills), 1),
        "s from worker start": round(statistics.median(drains), 2),
        "per s": round(statistics.median(rates), 1),
        "failed": failed,
    }
    return [Row(scenario="drain of a backlog", protocol="grpc", concurrency=32, facts=facts)]


async def _fill(service: Process, count: int) -> tuple[list[str], Window]:
    """Create queued runs that nobody works on yet."""
    run_ids: list[str] = []
    async with calling(service, "grpc") as calls:
        request = calls.prepare(queued(THREE_STEPS))

        async def call() -> None:
            run_ids.append((await calls.create(request)).run_id)

        return run_ids, await drive(32, END_SECONDS, call, count=count)


async def _drain(site: Site, stored: Stored) -> float:
    """Return the seconds from the start of a worker process until no run is left."""
    begin = time.monotonic()
    async with site.working():
        while await _left(stored) > 0:
            assert time.monotonic() - begin < END_SECONDS, await stored.statuses()
            await asyncio.sleep(LOOK_SECONDS)
        return time.monotonic() - begin


async def _left(stored: Stored) -> int:
    statuses = await stored.statuses()
    return statuses.get("queued", 0) + statuses.get("running", 0)
