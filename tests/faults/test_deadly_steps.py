"""A step that kills its process: others get on, and it is given up in the end."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

from kneo_grpc._gen.kneo.v1 import run_pb2
from tests.faults.service_process import ROOT, Calls, ServiceProcess, Site
from tests.faults.specs import CURE, spec_of
from tests.faults.trail import begun, check_executions
from tests.processes import kneo
from tests.service import create

CLAIMS_MAX = 4
SUSPECTS_FROM = 3
BESIDE, LATER = 6, 6


async def test_a_deadly_run_is_executed_alone_and_then_given_up(postgres_site: Site) -> None:
    site = postgres_site
    variables = {"WORKER_LEASE_SECONDS": "1", "QUEUE_MAX_ATTEMPTS": str(CLAIMS_MAX)}
    api, (worker,) = await site.crew(1, **variables)
    async with api.calls() as calls, restarted(site, worker, **variables):
        (run_id,) = await queue(calls, "deadly", 1)
        # All of them are in the process that is killed; then each is a suspect as well.
        others = await queue(calls, "brief", BESIDE)
        await site.ledger_line(run=run_id, attempt=SUSPECTS_FROM)
        # These wait while the suspect is executed.
        others += await queue(calls, "brief", LATER)
        run = await failed(calls, run_id)
        assert run.error.type == "dead_letter"
        for other in others:
            await calls.completed(other)
        dead = await shown(site, api, "queue", "dead", "--json")
        assert [job["run_id"] for job in dead["jobs"]] == [run_id]
        audit = [row for row in await site.rows("audit_events") if row["run_id"] == run_id]
        assert "run.dead_lettered" in [row["event_type"] for row in audit]
        check_tries(site, run_id)

        (site.folder / CURE).touch()
        back = await shown(site, api, "queue", "requeue", run_id, "--json")
        assert back["status"] == "queued"
        await calls.completed(run_id)
        assert await site.rows("jobs") == []
    async with site.reader() as store:
        for each in (run_id, *others):
            await check_executions(site, store, each)


async def queue(calls: Calls, step: str, count: int) -> list[str]:
    request = create(step, spec=spec_of(step), async_mode=True)
    return [(await calls.runs.CreateRun(request)).run_id for _ in range(count)]


async def failed(calls: Calls, run_id: str) -> Any:
    """Wait until a run has failed."""
    async with asyncio.timeout(60):
        while True:
            run = await calls.runs.GetRun(run_pb2.GetRunRequest(run_id=run_id))
            if run.status == "failed":
                return run
            await asyncio.sleep(0.1)


def check_tries(site: Site, run_id: str) -> None:
    """It was tried as often as allowed, and nothing else ran beside it once it was a suspect."""
    tries = begun(site, run=run_id)
    attempts = [line["attempt"] for line in tries]
    assert attempts[:SUSPECTS_FROM] == list(range(1, SUSPECTS_FROM + 1))
    # Whoever takes a suspect, finds no quiet moment for it and gives it back has used a number.
    assert attempts == sorted(set(attempts))
    assert len(attempts) == CLAIMS_MAX
    beside = [unfinished(site, one["pid"]) - {run_id} for one in tries]
    assert beside[0], "the others were to be in the process that was killed"
    assert not any(beside[SUSPECTS_FROM:]), beside


def unfinished(site: Site, pid: int) -> set[str]:
    """The runs whose step a process began and did not end."""
    lines = [line for line in site.ledger() if line["pid"] == pid]
    done = {line["run"] for line in lines if line["what"] == "done"}
    return {line["run"] for line in lines} - done


@contextlib.asynccontextmanager
async def restarted(site: Site, worker: ServiceProcess, **variables: str) -> AsyncIterator[None]:
    """Start a worker again when it is dead, as an operator's supervisor does."""

    async def watch(current: ServiceProcess) -> None:
        while True:
            await asyncio.to_thread(current.process.wait)
            current = site.start_worker(**variables)

    watching = asyncio.create_task(watch(worker))
    try:
        yield
    finally:
        watching.cancel()
        site.services[-1].kill()
        await asyncio.gather(watching, return_exceptions=True)


async def shown(site: Site, api: ServiceProcess, *words: str) -> Any:
    """What the command prints as JSON."""
    url = f"grpc://127.0.0.1:{api.port}"
    path = {"PYTHONPATH": str(ROOT)}
    done = await asyncio.to_thread(kneo, *words, "--service-url", url, folder=site.folder, **path)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
