"""Workers die, freeze and stop while a step runs: another goes on, and nothing is done twice."""

import asyncio
import signal
import time

from kneo_grpc._gen.kneo.v1 import run_pb2
from tests.faults.record import check_record
from tests.faults.service_process import STEPS, Calls, ServiceProcess, Site
from tests.faults.specs import APPOINTMENT, spec_of
from tests.faults.trail import begun, check_calm, ended_trail
from tests.service import create
from tests.waiting import until

LEASE = 2
SPEC = spec_of(*STEPS)


async def queue(calls: Calls, text: str, spec: dict[str, object]) -> str:
    answer = await calls.runs.CreateRun(create(text, spec=spec, async_mode=True))
    assert answer.status == "queued"
    return str(answer.run_id)


def split(workers: list[ServiceProcess], pid: int) -> tuple[ServiceProcess, ServiceProcess]:
    """The worker of two that has this pid, and the other one."""
    first, second = workers
    return (first, second) if first.process.pid == pid else (second, first)


async def test_a_frozen_worker_s_late_result_lands_nowhere(postgres_site: Site) -> None:
    site = postgres_site
    gate = site.close_gate("signed")
    api, workers = await site.crew(2, WORKER_LEASE_SECONDS=str(LEASE))
    async with api.calls() as calls:
        run_id = await queue(calls, "to signed", spec_of("one", "signed", "waits"))
        line = await site.ledger_line(run=run_id, step="signed")
        frozen, other = split(workers, line["pid"])
        frozen.process.send_signal(signal.SIGSTOP)
        again = await site.ledger_line(run=run_id, step="signed", attempt=2)
        assert (again["pid"], again["key"]) == (other.process.pid, line["key"])
        gate.open()
        await site.ledger_line(run=run_id, step="waits")
        # The run still goes on elsewhere when the first result comes.
        frozen.process.send_signal(signal.SIGCONT)
        await until(lambda: "lease lost" in frozen.output() or "interrupted" in frozen.output())
        (site.folder / APPOINTMENT).write_text("0")
        await calls.completed(run_id)
        other.kill()
        later = await queue(calls, "later", SPEC)
        await calls.completed(later)
    assert {line["pid"] for line in begun(site, run=later)} == {frozen.process.pid}
    async with site.reader() as store:
        run, checkpoints, _ = await ended_trail(store, run_id)
        assert (run.output_text, run.attempt) == ("to signed one by 2 waits", 2)
        steps = [item.step_id for item in checkpoints if item.type == "step_completed"]
        assert steps == ["one", "signed", "waits"]
        await check_record(store, later, len(STEPS))
    check_calm(frozen)


async def test_a_killed_worker_s_run_goes_on_elsewhere(postgres_site: Site) -> None:
    site = postgres_site
    gate = site.close_gate("two")
    api, workers = await site.crew(2, WORKER_LEASE_SECONDS=str(LEASE))
    async with api.calls() as calls:
        run_id = await queue(calls, "to two", SPEC)
        line = await site.ledger_line(run=run_id, step="two")
        killed, other = split(workers, line["pid"])
        killed.kill()
        gate.open()
        at = time.monotonic()
        again = await site.ledger_line(run=run_id, step="two", attempt=2)
        # The goal is the lease and a second; the machine may have other things to do.
        assert again["at"] - at < LEASE + 3
        assert (again["pid"], again["key"]) == (other.process.pid, line["key"])
        await calls.completed(run_id)
    assert [(line["step"], line["attempt"]) for line in begun(site, run=run_id)] == [
        ("one", 1),
        ("two", 1),
        ("two", 2),
        ("three", 2),
    ]
    async with site.reader() as store:
        assert (await check_record(store, run_id, len(STEPS))).attempt == 2


async def test_a_stopped_worker_gives_its_run_back_at_once(postgres_site: Site) -> None:
    """Its lease would have held for two minutes."""
    site = postgres_site
    gate = site.close_gate("two")
    api = site.start("--no-worker")
    stopped = await site.start_worker(SHUTDOWN_TIMEOUT_SECONDS="1").ready()
    await api.ready()
    async with api.calls() as calls:
        run_id = await queue(calls, "to two", SPEC)
        line = await site.ledger_line(run=run_id, step="two")
        assert line["pid"] == stopped.process.pid
        other = await site.start_worker().ready()
        stopped.terminate()
        again = await site.ledger_line(run=run_id, step="two", attempt=2)
        assert again["pid"] == other.process.pid
        assert again["at"] - line["at"] < 20
        gate.open()
        await calls.completed(run_id)
        listed = await calls.runs.GetRun(run_pb2.GetRunRequest(run_id=run_id))
        assert listed.attempt == 2
    assert await stopped.exit_code() == 0, stopped.output()
    assert '"traceback"' not in stopped.output()
    async with site.reader() as store:
        await check_record(store, run_id, len(STEPS))
    assert len(begun(site, run=run_id, step="one")) == 1


async def test_a_frozen_service_that_is_alone_ends_its_run_once(sqlite_site: Site) -> None:
    """It renews the lease that is over, or takes the run as another attempt: what comes first."""
    site = sqlite_site
    gate = site.close_gate("signed")
    service = await site.start(WORKER_LEASE_SECONDS="1").ready()
    async with service.calls() as calls:
        creating = asyncio.ensure_future(
            calls.runs.CreateRun(create("to signed", spec=spec_of("signed", "three")))
        )
        run_id = (await site.ledger_line(step="signed"))["run"]
        service.process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(1.5)
        service.process.send_signal(signal.SIGCONT)
        later = await calls.runs.CreateRun(create("later", spec=SPEC))
        assert later.status == "completed"
        gate.open()
        await calls.completed(run_id)
        answer = await creating
        assert answer.run_id == run_id
    async with site.reader() as store:
        run, _, _ = await ended_trail(store, run_id)
        assert run.output_text == f"to signed by {run.attempt} three"
    assert len(begun(site, run=run_id, step="three")) == 1
    check_calm(service)
