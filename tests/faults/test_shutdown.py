"""SIGTERM: runs under way end if they can, and are left as they stand if they cannot."""

import asyncio
import time

import grpc

from kneo_grpc._gen.kneo.v1 import health_pb2
from kneo_grpc.domain.run import RunStatus
from tests.faults.record import check_record
from tests.faults.service_process import SPEC, STEPS, Calls, Site
from tests.service import create, failure


async def test_a_run_under_way_ends_and_is_answered(site: Site) -> None:
    gate = site.close_gate("two")
    service = await site.start().ready()
    async with service.calls() as calls:
        creating = asyncio.ensure_future(calls.runs.CreateRun(create("to two", spec=SPEC)))
        run_id = (await site.ledger_line(reached="two"))["run"]
        service.terminate()
        await drains(calls)
        code, error = await failure(calls.runs.CreateRun(create(spec=SPEC)))
        assert (code, error["error"]) == (grpc.StatusCode.UNAVAILABLE, "queue_full")
        assert (await calls.health.GetLiveness(health_pb2.GetLivenessRequest())).ok
        gate.open()
        answer = await creating
    assert (answer.run_id, answer.status) == (run_id, "completed")
    assert await service.exit_code() == 0, service.output()
    assert service.stderr.read_text() == ""
    async with site.reader() as store:
        await check_record(store, run_id, len(STEPS))
    assert await site.rows("jobs") == []


async def test_a_step_that_takes_too_long_is_left_for_a_later_process(site: Site) -> None:
    site.close_gate("two")
    service = await site.start(SHUTDOWN_TIMEOUT_SECONDS="1").ready()
    async with service.calls() as calls:
        creating = asyncio.ensure_future(calls.runs.CreateRun(create("to two", spec=SPEC)))
        run_id = (await site.ledger_line(reached="two"))["run"]
        service.terminate()
        start = time.monotonic()
        answer = await creating
        # As it was when the caller's wait ended: before or after it went back to the queue.
        assert answer.run_id == run_id
        assert answer.status in ("running", "queued")
    assert await service.exit_code(5) == 0, service.output()
    assert time.monotonic() - start < 5
    assert service.stderr.read_text() == ""
    assert "runs interrupted by the shutdown" in service.output()
    async with site.reader() as store:
        await check_record(store, run_id, finished=1, unfinished=RunStatus.QUEUED)
    (job,) = await site.rows("jobs")
    assert (job["run_id"], job["kind"]) == (run_id, "run")


async def drains(calls: Calls) -> None:
    """Wait until the service is not ready because it drains."""
    async with asyncio.timeout(10):
        while True:
            try:
                await calls.health.GetReadiness(health_pb2.GetReadinessRequest())
            except grpc.aio.AioRpcError:
                break
            await asyncio.sleep(0.01)
    code, error = await failure(calls.health.GetReadiness(health_pb2.GetReadinessRequest()))
    assert (code, error["http"]) == (grpc.StatusCode.UNAVAILABLE, 503)
    assert error["metadata"]["checks"]["api"] == {"name": "api", "ok": False, "status": "draining"}
