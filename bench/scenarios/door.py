"""The way through Envoy beside the way past it: the same client, the same call."""

import contextlib

from bench.calls import WAYS, calling
from bench.scenarios.reads import filled, reads
from bench.stage import Row, Stage, cost, ratio, speed
from bench.windows import Series, drive

CALL = "get"
STORED = 1_000


async def measure(stage: Stage) -> list[Row]:
    """Measure a get at every concurrency by every way, the windows interleaved."""
    rows = []
    async with contextlib.AsyncExitStack() as stack:
        service, run_ids = await stack.enter_async_context(filled(stage, "door", STORED))
        calls = {}
        for way in WAYS:
            opened = await stack.enter_async_context(calling(service, way))
            calls[way] = reads(opened, run_ids)[CALL]
            await drive(32, stage.pace.warm_seconds, calls[way])
        for concurrency in stage.pace.concurrencies:
            series = {way: Series() for way in WAYS}
            for _ in range(stage.pace.windows):
                for way, call in calls.items():
                    window = drive(concurrency, stage.pace.read_seconds, call)
                    series[way].windows.append(await stage.meter.measured(window, service.pid))
            rows += [
                _row(way, concurrency, found, series[WAYS[0]]) for way, found in series.items()
            ]
    return rows


def _row(way: str, concurrency: int, found: Series, direct: Series) -> Row:
    row = Row(scenario=CALL, protocol=way, concurrency=concurrency, costs=cost(found))
    row.facts = {**speed(found), "of direct": round(ratio(found, direct), 3)}
    return row
