"""Runs that are left to a worker: how fast they end, and how soon they begin."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

from bench.calls import PROTOCOLS, Calls, calling
from bench.floor import KINDS, Floor
from bench.requests import THREE_STEPS, queued
from bench.scenarios.sync import opened_floors
from bench.service import Site
from bench.stage import Row, Stage, Value, cost, memory, ratios, speed
from bench.stored import Stored, looking
from bench.windows import Series, Window, drive, percentile

LOOK_SECONDS = 0.005
END_SECONDS = 60.0
IDLE_SECONDS = 0.03


class Ends:
    """Tells callers when their run has ended, by looking into the database again and again."""

    def __init__(self, stored: Stored) -> None:
        self._stored = stored
        self._waiting: dict[str, asyncio.Future[None]] = {}

    async def wait(self, run_id: str) -> None:
        """Return when the run has ended. Raises TimeoutError."""
        ended = asyncio.get_running_loop().create_future()
        self._waiting[run_id] = ended
        async with asyncio.timeout(END_SECONDS):
            await ended

    async def look(self) -> None:
        """Look for ever."""
        while True:
            if self._waiting:
                for run_id in await self._stored.ended(list(self._waiting)):
                    ended = self._waiting.pop(run_id)
                    if not ended.done():
                        ended.set_result(None)
            await asyncio.sleep(LOOK_SECONDS)


async def measure(stage: Stage) -> list[Row]:
    """Measure create to end at every concurrency; then with callers that wait for no end."""
    site = await stage.site("queued")
    rows: list[Row] = []
    async with opened_floors(stage, site) as floors, looking(site.database_url) as stored:
        for concurrency in stage.pace.concurrencies:
            rows += await _measure(stage, site, stored, floors, concurrency, flood=False)
        rows += await _measure(stage, site, stored, floors, 32, flood=True)
    return rows


async def measure_dispatch(stage: Stage) -> list[Row]:
    """Measure how soon an idle worker begins a run."""
    site = await stage.site("dispatch")
    rows = []
    async with looking(site.database_url) as stored, site.serving() as service:
        for name in PROTOCOLS:
            async with calling(service, name) as calls, watching(stored) as ends:
                request = calls.prepare(queued(THREE_STEPS))
                run_ids = []
                for _ in range(stage.pace.idle_runs):
                    run_ids.append((await calls.create(request)).run_id)
                    await ends.wait(run_ids[-1])
                    await asyncio.sleep(IDLE_SECONDS)
            waits = [times.dispatch * 1_000 for times in await stored.times(run_ids)]
            facts: dict[str, Value] = {
                f"p{n} ms": round(percentile(waits, n / 100), 2) for n in (50, 99)
            }
            facts["failed"] = len(run_ids) - len(waits)
            rows.append(
                Row(scenario="dispatch when idle", protocol=name, concurrency=1, facts=facts)
            )
    return rows


@contextlib.asynccontextmanager
async def watching(stored: Stored) -> AsyncIterator[Ends]:
    """Look for ends in the background."""
    ends = Ends(stored)
    task = asyncio.create_task(ends.look())
    try:
        yield ends
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _measure(
    stage: Stage,
    site: Site,
    stored: Stored,
    floors: dict[str, Floor],
    concurrency: int,
    *,
    flood: bool,
) -> list[Row]:
    pace = stage.pace
    service_series = {name: Series() for name in PROTOCOLS}
    floor_series = {kind: Series() for kind in KINDS}
    async with contextlib.AsyncExitStack() as stack:
        service = await stack.enter_async_context(site.serving())
        calls = {
            name: await stack.enter_async_context(calling(service, name)) for name in PROTOCOLS
        }
        for call in calls.values():
            await _window(stored, call, concurrency, pace.warm_seconds, flood=flood)
        for _ in range(pace.windows):
            for kind, name in zip(KINDS, PROTOCOLS, strict=True):
                below = await floors[kind].window(concurrency, pace.floor_seconds)
                floor_series[kind].windows.append(below)
                window = _window(stored, calls[name], concurrency, pace.seconds, flood=flood)
                service_series[name].windows.append(await stage.meter.measured(window, service.pid))
    return _rows(service_series, floor_series, concurrency, flood=flood)


async def _window(
    stored: Stored, calls: Calls, concurrency: int, seconds: float, *, flood: bool
) -> Window:
    """Create runs; then take their times from the database. flood: callers wait for no end."""
    request = calls.prepare(queued(THREE_STEPS))
    run_ids: list[str] = []
    begin = time.time()
    async with watching(stored) as ends:

        async def call() -> None:
            answer = await calls.create(request)
            run_ids.append(answer.run_id)
            if not flood:
                await ends.wait(answer.run_id)

        created = await drive(concurrency, seconds, call)
        await _all_ended(stored, run_ids)
    times = await stored.times(run_ids)
    return Window(
        seconds=max(time.ended for time in times) - begin,
        latencies=[time.whole for time in times],
        failures=[*created.failures, *["not ended"] * (len(run_ids) - len(times))],
        seen=[] if flood else created.latencies,
    )


async def _all_ended(stored: Stored, run_ids: list[str]) -> None:
    deadline = time.monotonic() + END_SECONDS
    while time.monotonic() < deadline:
        if len(await stored.ended(run_ids)) == len(run_ids):
            return
        await asyncio.sleep(0.05)


def _rows(
    service_series: dict[str, Series],
    floor_series: dict[str, Series],
    concurrency: int,
    *,
    flood: bool,
) -> list[Row]:
    rows = []
    for name, series in service_series.items():
        scenario = "async, callers never wait" if flood else "async"
        row = Row(scenario=scenario, protocol=name, concurrency=concurrency)
        row.facts = {**speed(series), **ratios(series, floor_series)}
        seen = [each * 1_000 for window in series.windows for each in window.seen]
        if not flood:
            row.facts |= {
                f"caller's p{n} ms": round(percentile(seen, n / 100), 2) for n in (50, 99)
            }
        row.costs = {**cost(series), **memory(series.windows[-1])}
        rows.append(row)
    return rows
