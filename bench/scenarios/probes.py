"""How long health probes wait while steps of two seconds sleep or burn CPU."""

import asyncio
import time

from bench.calls import PROTOCOLS, Calls, calling
from bench.functions import LONG_SECONDS
from bench.requests import function_workflow
from bench.service import Process
from bench.stage import Row, Stage, Value
from bench.windows import percentile

PERIOD_SECONDS = 0.02
LONG = {
    "no step": ("", (0,)),
    "steps that sleep": ("sleep_long", (1, 8)),
    "steps that burn CPU": ("burn_long", (1, 8)),
}
"""Function and how many of them at once."""


async def measure(stage: Stage) -> list[Row]:
    """Probe over both protocols; beside no step, and one and eight steps of each kind."""
    site = await stage.site("probes")
    rows = []
    async with site.serving() as service:
        for label, (function, numbers) in LONG.items():
            for many in numbers:
                for name in PROTOCOLS:
                    facts = await _probe(service, name, function, many)
                    rows.append(Row(scenario=f"probe, {label}", protocol=name, facts=facts))
    return rows


async def _probe(service: Process, name: str, function: str, many: int) -> dict[str, Value]:
    """Probe at a fixed rate for as long as the steps last; a slow probe holds up no other."""
    waits: list[float] = []
    failed = 0
    async with calling(service, "grpc") as calls, calling(service, name) as probes:

        async def probe() -> None:
            nonlocal failed
            begin = time.perf_counter()
            try:
                await probes.live()
            except Exception:
                failed += 1
            else:
                waits.append((time.perf_counter() - begin) * 1_000)

        await probe()
        waits.clear()
        steps = asyncio.gather(*(_long_run(calls, function) for _ in range(many)))
        begin, under_way = time.perf_counter(), set()
        while not steps.done() or time.perf_counter() - begin < LONG_SECONDS:
            under_way.add(asyncio.create_task(probe()))
            await asyncio.sleep(PERIOD_SECONDS)
        await asyncio.gather(*under_way)
        failed += sum(not done for done in await steps)
    facts: dict[str, Value] = {"steps": many, "probes": len(waits)}
    facts |= {f"p{n} ms": round(percentile(waits, n / 100), 2) for n in (50, 99)}
    return {**facts, "max ms": round(max(waits, default=0), 2), "failed": failed}


async def _long_run(calls: Calls, function: str) -> bool:
    """Run two such steps in a row; tell whether the run completed."""
    spec = function_workflow(function)
    steps = spec["spec"]["workflow"]["steps"]
    steps.append({**steps[0], "id": f"{function}_again"})
    return (await calls.create(calls.prepare(spec))).status == "completed"
