"""What the guards of the edge cost: the run of three steps with them and without."""

import contextlib

from bench.calls import calling
from bench.scenarios.sync import creating
from bench.service import stopping
from bench.stage import Row, Stage, cost, ratio, speed
from bench.windows import Series, drive

CONCURRENCY = 32
GUARDED, UNGUARDED = "guarded", "unguarded"


async def measure(stage: Stage) -> list[Row]:
    """Measure two services on databases of their own, the windows interleaved."""
    async with contextlib.AsyncExitStack() as stack:
        services, calls = {}, {}
        for name in (UNGUARDED, GUARDED):
            site = await stage.site(name)
            program = ("-m", "bench.unguarded") if name == UNGUARDED else ()
            keys = {"API_KEYS": ""} if name == UNGUARDED else {}
            service = site.serve("--no-gateway", program=program, **keys)
            stack.enter_context(stopping(service))
            services[name] = await service.ready()
            opened = await stack.enter_async_context(calling(service, "grpc"))
            calls[name] = creating(opened)
            await drive(CONCURRENCY, stage.pace.warm_seconds, calls[name])
        series = {name: Series() for name in calls}
        for _ in range(2 * stage.pace.windows):
            for name, call in calls.items():
                window = drive(CONCURRENCY, stage.pace.seconds, call)
                measured = await stage.meter.measured(window, services[name].pid)
                series[name].windows.append(measured)
    rows = []
    for name, found in series.items():
        row = Row(scenario=f"sync, {name}", protocol="grpc", concurrency=CONCURRENCY)
        row.facts = {**speed(found), "of unguarded": round(ratio(found, series[UNGUARDED]), 3)}
        row.costs = cost(found)
        rows.append(row)
    return rows
