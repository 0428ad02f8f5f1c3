"""Three steps of a second each, side by side: how much longer than a second their run takes."""

import contextlib
from typing import Any

from bench.calls import Calls, calling
from bench.requests import workflow
from bench.stage import Row, Stage, Value
from bench.windows import Call, Window, drive

STEP = "sleep_second"
RUNS = 30
CONCURRENCIES = (1, 4)
TARGET_MS = 1_150.0


async def measure(stage: Stage) -> list[Row]:
    """Measure a concurrent workflow, and a graph that parts in three and meets again."""
    site = await stage.site("parallel")
    rows = []
    async with contextlib.AsyncExitStack() as stack:
        service = await stack.enter_async_context(site.serving())
        calls = await stack.enter_async_context(calling(service, "grpc"))
        for name, fields in (("concurrent", concurrent()), ("graph", graph())):
            await drive(1, 60.0, completing(calls, fields), count=2)
            for concurrency in CONCURRENCIES:
                call = completing(calls, fields)
                window = await drive(concurrency, 600.0, call, count=RUNS * concurrency)
                row = Row(scenario=f"three of 1 s, {name}", protocol="grpc")
                row.concurrency, row.facts = concurrency, _told(window)
                rows.append(row)
    return rows


def concurrent() -> dict[str, Any]:
    """Return the request for three participants at once."""
    return workflow(
        {"type": "concurrent", "participants": [_step(name) for name in "abc"]}, functions=[STEP]
    )


def graph() -> dict[str, Any]:
    """Return the request for a graph that parts in three and meets; its ends take no time."""
    nodes = {name: _step(name) for name in "abc"}
    nodes["begin"] = {**_step("begin", "same"), "fan_out": True}
    nodes["end"] = {**_step("end", "same"), "join": "all"}
    ways = [("begin", name) for name in "abc"] + [(name, "end") for name in "abc"]
    edges = [{"from": source, "to": target} for source, target in ways]
    return workflow(
        {"type": "graph", "start": "begin", "nodes": nodes, "edges": edges},
        functions=[STEP, "same"],
    )


def completing(calls: Calls, fields: dict[str, Any]) -> Call:
    """Return the call that creates a run and waits for its end."""
    request = calls.prepare(fields)

    async def call() -> None:
        done = await calls.create(request)
        if done.status != "completed":
            raise AssertionError(f"status {done.status}")

    return call


def _step(name: str, function: str = STEP) -> dict[str, Any]:
    return {"id": name, "kind": "function", "ref": function}


def _told(window: Window) -> dict[str, Value]:
    slow = sum(latency * 1_000 > TARGET_MS for latency in window.latencies)
    facts: dict[str, Value] = {
        "runs": len(window.latencies),
        "p50 ms": round(window.quantile_ms(0.5), 1),
        "p99 ms": round(window.quantile_ms(0.99), 1),
        "max ms": round(max(window.latencies, default=0.0) * 1_000, 1),
        f"over {TARGET_MS:g} ms": slow,
        "failed": len(window.failures),
    }
    if window.failures:
        facts["first failure"] = window.failures[0]
    return facts
