"""Reads, and creates, beside few and beside many stored runs."""

import contextlib
import itertools
from collections.abc import AsyncIterator

from bench.calls import PROTOCOLS, Calls, calling
from bench.requests import THREE_STEPS
from bench.scenarios.sync import creating
from bench.service import Process, Site
from bench.stage import Row, Stage, ratio, speed
from bench.stored import looking
from bench.windows import Call, Series, drive

LIST_LIMIT = 50


async def measure(stage: Stage) -> list[Row]:
    """Measure get, trace and list at every concurrency, with each number of stored runs."""
    rows = []
    for count in stage.pace.stored:
        async with filled(stage, "reads", count) as (service, run_ids):
            for name in PROTOCOLS:
                async with calling(service, name) as calls:
                    for label, call in reads(calls, run_ids).items():
                        await drive(8, 0.3, call)
                        for concurrency in stage.pace.concurrencies:
                            series = await _series(stage, concurrency, call)
                            row = Row(scenario=label, protocol=name, concurrency=concurrency)
                            row.facts = {"stored runs": count, **speed(series)}
                            rows.append(row)
    return sorted(rows, key=lambda row: row.scenario)


async def measure_flatness(stage: Stage) -> list[Row]:
    """Measure sync creates beside few and beside many stored runs, the windows interleaved."""
    series = {count: Series() for count in stage.pace.stored}
    async with contextlib.AsyncExitStack() as stack:
        calls = {}
        for count in series:
            opened = await stack.enter_async_context(filled(stage, "flat", count))
            service, _ = opened
            calls[count] = creating(await stack.enter_async_context(calling(service, "grpc")))
            await drive(32, stage.pace.warm_seconds, calls[count])
        for _ in range(stage.pace.windows):
            for count, call in calls.items():
                series[count].windows.append(await drive(32, stage.pace.seconds, call))
    fewest = series[min(series)]
    return [
        Row(
            scenario="sync beside stored runs",
            protocol="grpc",
            concurrency=32,
            facts={
                "stored runs": count,
                **speed(found),
                "of the first": round(ratio(found, fewest), 3),
            },
        )
        for count, found in series.items()
    ]


@contextlib.asynccontextmanager
async def filled(stage: Stage, name: str, count: int) -> AsyncIterator[tuple[Process, list[str]]]:
    """Start a service on so many stored runs; give some of their ids too."""
    site = await stage.site(f"{name}_{count}")
    async with site.serving() as service:
        yield service, await fill(site, service, count)


async def fill(site: Site, service: Process, count: int) -> list[str]:
    """Create a run, copy it in the database until there are so many; return some of their ids."""
    async with calling(service, "grpc") as calls, looking(site.database_url) as stored:
        run = await calls.create(calls.prepare(THREE_STEPS))
        await stored.copy_run(run.run_id, count - 1)
        return await stored.ids(1_000)


def reads(calls: Calls, run_ids: list[str]) -> dict[str, Call]:
    """Return the reading calls by their names."""
    turns = itertools.cycle(run_ids)

    async def get() -> None:
        if await calls.get(next(turns)) != "completed":
            raise AssertionError("the run has not completed")

    async def trace() -> None:
        if await calls.trace(next(turns)) < 2:
            raise AssertionError("the trace is not whole")

    async def newest() -> None:
        if await calls.newest(LIST_LIMIT) != LIST_LIMIT:
            raise AssertionError("the page is not full")

    return {"get": get, "trace": trace, f"list of {LIST_LIMIT}": newest}


async def _series(stage: Stage, concurrency: int, call: Call) -> Series:
    series = Series()
    for _ in range(stage.pace.windows):
        series.windows.append(await drive(concurrency, stage.pace.read_seconds, call))
    return series
