"""One caller, by every kind of client; and the floor beside it.

What Python's own clients of gRPC take beyond the driver's is theirs, not the service's.
"""

import contextlib

from bench.calls import CLIENTS, PROTOCOLS, calling, calling_blocked, calling_by_aio
from bench.floor import KINDS
from bench.scenarios.sync import creating, opened_floors
from bench.stage import Row, Stage, cost, ratios, speed
from bench.windows import Series, drive

CALLERS = 1


async def measure(stage: Stage) -> list[Row]:
    """Measure runs of three steps, the windows of all clients and floors in turn."""
    site = await stage.site("alone")
    async with contextlib.AsyncExitStack() as stack:
        floors = await stack.enter_async_context(opened_floors(stage, site))
        service = await stack.enter_async_context(site.serving())
        calls = {
            name: creating(await stack.enter_async_context(calling(service, name)))
            for name in PROTOCOLS
        }
        aio, blocking = CLIENTS
        calls[aio] = creating(await stack.enter_async_context(calling_by_aio(service)))
        calls[blocking] = creating(stack.enter_context(calling_blocked(service)))
        for call in calls.values():
            await drive(CALLERS, stage.pace.warm_seconds, call)
        for floor in floors.values():
            await floor.window(CALLERS, stage.pace.warm_seconds)
        below = {kind: Series() for kind in KINDS}
        series = {name: Series() for name in calls}
        for number in range(stage.pace.windows):
            for kind, floor in floors.items():
                window = floor.window(CALLERS, stage.pace.floor_seconds)
                below[kind].windows.append(await stage.meter.measured(window))
            # Each comes first in its turn, next to the floors.
            for place in range(len(calls)):
                name = list(calls)[(number + place) % len(calls)]
                window = drive(CALLERS, stage.pace.floor_seconds, calls[name])
                series[name].windows.append(await stage.meter.measured(window, service.pid))
    rows = [_row(f"floor, {kind}", "", found) for kind, found in below.items()]
    for name, found in series.items():
        row = _row("alone", name, found)
        row.facts |= ratios(found, below)
        rows.append(row)
    return rows


def _row(scenario: str, protocol: str, found: Series) -> Row:
    row = Row(scenario=scenario, protocol=protocol, concurrency=CALLERS, costs=cost(found))
    medians = [window.quantile_ms(0.5) for window in found.windows if window.latencies]
    row.facts = {**speed(found), "least p50 ms": round(min(medians, default=0.0), 2)}
    return row
