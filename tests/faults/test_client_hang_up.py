"""A caller that goes away does not take its run with it."""

import asyncio

import grpc
import pytest

from kneo_grpc._gen.kneo.v1 import human_task_pb2
from tests.faults.record import check_record
from tests.faults.service_process import SPEC, STEPS, ServiceProcess, Site
from tests.service import create, data, human_spec
from tests.waiting import until


async def test_a_client_that_cancels_does_not_stop_its_run(site: Site) -> None:
    gate = site.close_gate("two")
    service = await site.start().ready()
    async with service.calls() as calls:
        call = calls.runs.CreateRun(create("to two", spec=SPEC))
        creating = asyncio.ensure_future(call)
        run_id = (await site.ledger_line(reached="two"))["run"]
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await creating
        await hung_up(service)
        gate.open()
        await calls.completed(run_id)
    async with site.reader() as store:
        await check_record(store, run_id, len(STEPS))


async def test_a_client_whose_time_is_up_does_not_stop_its_run(sqlite_site: Site) -> None:
    gate = sqlite_site.close_gate("two")
    service = await sqlite_site.start().ready()
    async with service.calls() as calls:
        with pytest.raises(grpc.aio.AioRpcError) as late:
            # Time for the first two steps to begin, and no more.
            await calls.runs.CreateRun(create("to two", spec=SPEC), timeout=0.5)
        assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        run_id = (await sqlite_site.ledger_line(reached="two"))["run"]
        gate.open()
        await calls.completed(run_id)
    async with sqlite_site.reader() as store:
        await check_record(store, run_id, len(STEPS))


async def test_a_client_that_disconnects_does_not_stop_its_run(sqlite_site: Site) -> None:
    gate = sqlite_site.close_gate("two")
    service = await sqlite_site.start().ready()
    async with service.calls() as calls:
        creating = asyncio.ensure_future(calls.runs.CreateRun(create("to two", spec=SPEC)))
        run_id = (await sqlite_site.ledger_line(reached="two"))["run"]
        await calls.channel.close()
        with pytest.raises(asyncio.CancelledError):
            await creating
    async with service.calls() as calls:
        await hung_up(service)
        gate.open()
        await calls.completed(run_id)
    async with sqlite_site.reader() as store:
        await check_record(store, run_id, len(STEPS))


async def test_a_client_that_cancels_while_its_create_is_committed_leaves_no_stuck_run(
    site: Site,
) -> None:
    service = await site.start(hold_commits=True).ready()
    async with service.calls() as calls:
        run_ids = []
        for calls_ended, point in enumerate(("before:1", "after:1")):
            gate = site.close_gate(point)
            call = calls.runs.CreateRun(create(f"to {point}", spec=SPEC))
            creating = asyncio.ensure_future(call)
            run_ids.append((await site.ledger_line(reached=point))["run"])
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await creating
            await hung_up(service, calls_ended + 1)
            gate.open()
            await calls.completed(run_ids[-1])
    async with site.reader() as store:
        for run_id in run_ids:
            await check_record(store, run_id, len(STEPS))


async def test_a_client_that_cancels_while_its_decision_is_committed_leaves_no_stuck_run(
    site: Site,
) -> None:
    service = await site.start(hold_commits=True).ready()
    async with service.calls() as calls:
        for calls_ended, point in enumerate(("before:2", "after:2")):
            gate = site.close_gate(point)
            blocked = data(await calls.runs.CreateRun(create(f"to {point}", spec=human_spec())))
            call = calls.tasks.ResumeHumanTask(
                human_task_pb2.ResumeHumanTaskRequest(
                    continuation_id=blocked["continuation_id"],
                    request_id=blocked["metadata"]["request"]["id"],
                    decision="approved",
                )
            )
            resuming = asyncio.ensure_future(call)
            await site.ledger_line(reached=point)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await resuming
            await hung_up(service, calls_ended + 1, "HumanTaskService/ResumeHumanTask")
            gate.open()
            await calls.completed(blocked["run_id"])


async def hung_up(
    service: ServiceProcess, times: int = 1, method: str = "RunService/CreateRun"
) -> None:
    """Wait until the service has ended so many calls; it logs a call when it is over."""
    line = f'"rpc": "/kneo.v1.{method}"'
    await until(lambda: service.output().count(line) == times)
