"""SIGKILL while step 3 runs: what stood committed when it began, and how the run ends.

The steps note when they are called, by this machine's clock; PostgreSQL tells when the rows of the
steps before were committed (pg_xact_commit_timestamp), by the same clock.
"""

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.calls import calling
from bench.requests import function_workflow, queued
from bench.service import Site, stopping
from bench.stage import Row, Stage, Value
from bench.stored import Stored, looking

RUNS = 8
LEASE_SECONDS = "2"
WAIT_SECONDS = 30.0

CHECKPOINTS = """
select run_id, step_id, extract(epoch from pg_xact_commit_timestamp(xmin))::float8 as committed
from checkpoints
where type = 'step_completed'
"""


async def measure(stage: Stage) -> list[Row]:
    """Kill a service with runs in step 3, look into the database, start another service."""
    site = await stage.site("kill")
    gate = site.folder / "gate"
    gate.touch()
    async with looking(site.database_url) as stored:
        service = await site.serve(WORKER_LEASE_SECONDS=LEASE_SECONDS).ready()
        with stopping(service):
            async with calling(service, "grpc") as calls:
                request = calls.prepare(queued(function_workflow("first", "second", "third")))
                for _ in range(RUNS):
                    await calls.create(request)
            await _until(lambda: len(_ledger(site.folder, "third")) == RUNS)
            service.kill()
        killed = time.time()
        facts = await _seen_after_kill(site, stored)
        gate.unlink()
        after = await _seen_after_recovery(site, stored, killed)
        failed = int(facts.pop("failed")) + RUNS - int(after["completed"])
        facts |= {**after, "failed": failed}
    return [Row(scenario="kill in step 3", protocol="grpc", concurrency=RUNS, facts=facts)]


async def _seen_after_kill(site: Site, stored: Stored) -> dict[str, Value]:
    """Compare the beginnings of step 3 with the commits of steps 1 and 2."""
    began = {line["run"]: line["at"] for line in _ledger(site.folder, "third")}
    rows = await stored.rows(CHECKPOINTS)
    committed = {(row["run_id"], row["step_id"]): row["committed"] for row in rows}
    stood = [
        all(committed.get((run, step), at) < at for step in ("first", "second"))
        for run, at in began.items()
    ]
    third = sum((run, "third") in committed for run in began)
    return {
        "runs": len(began),
        "steps 1 and 2 committed before step 3 began": sum(stood),
        "step 3 committed at the kill": third,
        "failed": len(began) - sum(stood) + third,
    }


async def _seen_after_recovery(site: Site, stored: Stored, killed: float) -> dict[str, Value]:
    """Start another service, wait until all runs have completed, count the steps."""
    async with site.serving(WORKER_LEASE_SECONDS=LEASE_SECONDS):
        deadline = time.monotonic() + WAIT_SECONDS
        while (await stored.statuses()).get("completed", 0) < RUNS:
            if time.monotonic() > deadline:
                break
            await asyncio.sleep(0.02)
    completed = (await stored.statuses()).get("completed", 0)
    again = _ledger(site.folder, "third")[RUNS:]
    keys = {line["key"] for line in _ledger(site.folder, "third")}
    return {
        "calls of steps 1, 2, 3": "/".join(
            str(len(_ledger(site.folder, step))) for step in ("first", "second", "third")
        ),
        "keys of step 3": len(keys),
        "s from kill to takeover": round(max((x["at"] for x in again), default=0) - killed, 2),
        "completed": completed,
    }


def _ledger(folder: Path, step: str) -> list[dict[str, Any]]:
    path = folder / "ledger"
    text = path.read_text() if path.exists() else ""
    lines = [json.loads(line) for line in text.split("\n")[:-1]]
    return [line for line in lines if line["step"] == step]


async def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not within {WAIT_SECONDS} s"
        await asyncio.sleep(0.02)
