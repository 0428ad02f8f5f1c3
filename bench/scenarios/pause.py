"""A run that asks a person, is answered, and ends."""

import contextlib
import time

from bench.calls import PROTOCOLS, Calls, calling
from bench.requests import HUMAN
from bench.stage import Row, Stage, cost, speed
from bench.windows import Call, Series, drive, percentile


async def measure(stage: Stage) -> list[Row]:
    """Measure pause and resume together, and each alone, at every concurrency."""
    site = await stage.site("pause")
    rows = []
    async with contextlib.AsyncExitStack() as stack:
        service = await stack.enter_async_context(site.serving())
        for name in PROTOCOLS:
            calls = await stack.enter_async_context(calling(service, name))
            await drive(8, stage.pace.warm_seconds, cycle(calls, [], []))
            for concurrency in stage.pace.concurrencies:
                pauses: list[float] = []
                resumes: list[float] = []
                call = cycle(calls, pauses, resumes)
                series = Series()
                for _ in range(stage.pace.windows):
                    window = drive(concurrency, stage.pace.seconds / 2, call)
                    series.windows.append(await stage.meter.measured(window, service.pid))
                facts = {**speed(series), **_split(pauses, "pause"), **_split(resumes, "resume")}
                row = Row(scenario="pause and resume", protocol=name, concurrency=concurrency)
                row.facts, row.costs = facts, cost(series)
                rows.append(row)
    return rows


def cycle(calls: Calls, pauses: list[float], resumes: list[float]) -> Call:
    """Return the call that lets a run pause, answers it, and notes how long each took."""
    request = calls.prepare(HUMAN)

    async def call() -> None:
        begin = time.perf_counter()
        waiting = await calls.create(request)
        asked = time.perf_counter()
        if waiting.status != "blocked":
            raise AssertionError(f"status {waiting.status}")
        done = await calls.resume(waiting)
        if done.status != "completed":
            raise AssertionError(f"status {done.status}")
        pauses.append(asked - begin)
        resumes.append(time.perf_counter() - asked)

    return call


def _split(latencies: list[float], part: str) -> dict[str, float]:
    return {f"{part} p{n} ms": round(percentile(latencies, n / 100) * 1_000, 2) for n in (50, 99)}
