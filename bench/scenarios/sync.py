"""Three function steps, the answer when they are done; and the floor beside it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from bench.calls import PROTOCOLS, Answer, Creates, calling
from bench.floor import KINDS, Floor, open_floor
from bench.requests import THREE_STEPS
from bench.sample import Sample, take_sample
from bench.service import Process, Site
from bench.stage import Row, Stage, Value, cost, memory, ratios, speed
from bench.windows import Call, Series, drive

SPREAD_AT, SPREAD_OVER = 32, 2
"""The concurrency at which several server processes are measured, and how many."""


@dataclass(slots=True)
class Measured:
    """The windows of one concurrency, by protocol and by kind of floor.

    processes: server processes behind one Envoy; with several, gRPC goes through it too.
    warm_runs: those before the windows; their transactions are counted too.
    """

    concurrency: int
    processes: int = 1
    warm_runs: int = 0
    service: dict[str, Series] = field(
        default_factory=lambda: {name: Series() for name in PROTOCOLS}
    )
    floor: dict[str, Series] = field(default_factory=lambda: {kind: Series() for kind in KINDS})


async def measure(stage: Stage) -> list[Row]:
    """Measure every concurrency; see Measured."""
    site = await stage.site("sync")
    async with opened_floors(stage, site) as floors:
        rows = [_written(floors[KINDS[0]].sample)]
        settings = [(concurrency, 1) for concurrency in stage.pace.concurrencies]
        for concurrency, processes in [*settings, (SPREAD_AT, SPREAD_OVER)]:
            before = await stage.meter.transactions("sync")
            measured = Measured(concurrency, processes)
            await _measure(stage, site, floors, measured)
            await asyncio.sleep(0.5)
            done = await stage.meter.transactions("sync") - before
            rows += _rows(measured, floors, done)
    return rows


@contextlib.asynccontextmanager
async def opened_floors(stage: Stage, site: Site) -> AsyncIterator[dict[str, Floor]]:
    """Take the bytes of a run of the service, and open both kinds of floor with them."""
    async with site.serving() as service, calling(service, "grpc") as calls:
        answer = await calls.create(calls.prepare(THREE_STEPS))
        assert answer.status == "completed", answer
    sample = await take_sample(site.database_url, answer.run_id)
    async with contextlib.AsyncExitStack() as stack:
        floors = {}
        for kind in KINDS:
            name = f"floor_{kind}_{site.folder.name}"
            floor = open_floor(stage.cluster, kind, sample, name)
            floors[kind] = await stack.enter_async_context(floor)
        yield floors


def creating(calls: Creates) -> Call:
    """Return the call that creates a run of three steps and wants it completed."""
    request = calls.prepare(THREE_STEPS)

    async def call() -> Answer:
        answer = await calls.create(request)
        if answer.status != "completed":
            raise AssertionError(f"status {answer.status}")
        return answer

    return call


async def _measure(stage: Stage, site: Site, floors: dict[str, Floor], measured: Measured) -> None:
    pace, concurrency = stage.pace, measured.concurrency
    several = ("--processes", str(measured.processes)) if measured.processes > 1 else ()
    async with contextlib.AsyncExitStack() as stack:
        service = await stack.enter_async_context(site.serving(*several))
        calls = {
            name: creating(await stack.enter_async_context(calling(service, name)))
            for name in PROTOCOLS
        }
        for call in calls.values():
            warmed = await drive(concurrency, pace.warm_seconds, call)
            measured.warm_runs += len(warmed.latencies)
        for floor in floors.values():
            await floor.window(concurrency, pace.warm_seconds)
        for _ in range(pace.windows):
            for kind, name in zip(KINDS, PROTOCOLS, strict=True):
                below = floors[kind].window(concurrency, pace.floor_seconds)
                measured.floor[kind].windows.append(await stage.meter.measured(below))
                await _one(stage, service, measured, name, calls[name])


async def _one(stage: Stage, service: Process, measured: Measured, name: str, call: Call) -> None:
    window = drive(measured.concurrency, stage.pace.seconds, call)
    measured.service[name].windows.append(await stage.meter.measured(window, service.pid))


def _written(sample: Sample) -> Row:
    """Return what the service wrote for one run, and its bytes as the floor commits them."""
    facts: dict[str, Value] = {"rows": sample.rows, "transactions": sample.transactions}
    sizes = {f"{commit.name} bytes": commit.size for commit in sample.commits}
    return Row(scenario="one run", facts={**facts, **sizes, "bytes": sum(sizes.values())})


def _rows(measured: Measured, floors: dict[str, Floor], transactions: int) -> list[Row]:
    concurrency, processes = measured.concurrency, measured.processes
    scenario = "sync" if processes == 1 else f"sync, {processes} processes"
    rows = []
    for kind, series in measured.floor.items():
        row = Row(scenario=f"floor, {kind}", concurrency=concurrency, costs=cost(series))
        row.facts = {**speed(series), "connections": floors[kind].pools[concurrency]}
        rows.append(row)
    runs = measured.warm_runs + sum(series.count for series in measured.service.values())
    for name, series in measured.service.items():
        row = Row(scenario=scenario, protocol=name, concurrency=concurrency)
        row.facts = {**speed(series), **ratios(series, measured.floor)}
        row.costs = {
            **cost(series),
            "transactions": round(transactions / max(1, runs) * 1_000),
            **memory(series.windows[-1]),
        }
        rows.append(row)
    return rows
