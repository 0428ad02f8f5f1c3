"""A caller that goes away does not take its run with it."""

import asyncio

import grpc
import pytest

from kneo_grpc._gen.kneo.v1 import human_task_pb2
from tests.faults.record import check_record
from tests.faults.service_process import SPEC, STEPS, Calls, ServiceProcess, Site
from tests.service import create, data, human_spec
from tests.waiting import until


async def test_a_client_that_leaves_does_not_stop_its_run(site: Site) -> None:
    """It cancels, its time is up, or its connection breaks."""
    service = await site.start().ready()
    run_ids = []
    for left, leave in enumerate((cancels, is_late, disconnects)):
        gate = site.close_gate("two")
        run_ids.append(await leave(site, service))
        await hung_up(service, left + 1)
        gate.open()
        async with service.calls() as calls:
            await calls.completed(run_ids[-1])
    assert len(set(run_ids)) == 3
    async with site.reader() as store:
        for run_id in run_ids:
            await check_record(store, run_id, len(STEPS))


async def cancels(site: Site, service: ServiceProcess) -> str:
    async with service.calls() as calls:
        call = calls.runs.CreateRun(create("to two", spec=SPEC))
        creating = asyncio.ensure_future(call)
        run_id = (await site.new_ledger_line(reached="two"))["run"]
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await creating
    return str(run_id)


async def is_late(site: Site, service: ServiceProcess) -> str:
    async with service.calls() as calls:
        with pytest.raises(grpc.aio.AioRpcError) as late:
            # Time for the commits up to the second step, even on a slow disk.
            await calls.runs.CreateRun(create("to two", spec=SPEC), timeout=3)
    assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    return str((await site.new_ledger_line(reached="two"))["run"])


async def disconnects(site: Site, service: ServiceProcess) -> str:
    async with service.calls() as calls:
        creating = asyncio.ensure_future(calls.runs.CreateRun(create("to two", spec=SPEC)))
        run_id = (await site.new_ledger_line(reached="two"))["run"]
        await calls.channel.close()
        with pytest.raises(asyncio.CancelledError):
            await creating
    return str(run_id)


async def test_a_client_that_cancels_while_its_call_is_committed_leaves_no_stuck_run(
    site: Site,
) -> None:
    service = await site.start(hold_commits=True).ready()
    async with service.calls() as calls:
        run_ids = [
            await cancelled_create(site, service, calls, number, point)
            for number, point in enumerate(("before:1", "after:1"), start=1)
        ]
        for number, point in enumerate(("before:2", "after:2"), start=1):
            await cancelled_decision(site, service, calls, number, point)
    async with site.reader() as store:
        for run_id in run_ids:
            await check_record(store, run_id, len(STEPS))


async def cancelled_create(
    site: Site, service: ServiceProcess, calls: Calls, number: int, point: str
) -> str:
    gate = site.close_gate(point)
    call = calls.runs.CreateRun(create(f"to {point}", spec=SPEC))
    creating = asyncio.ensure_future(call)
    run_id = str((await site.ledger_line(reached=point))["run"])
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await creating
    await hung_up(service, number)
    gate.open()
    await calls.completed(run_id)
    return run_id


async def cancelled_decision(
    site: Site, service: ServiceProcess, calls: Calls, number: int, point: str
) -> None:
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
    await hung_up(service, number, "HumanTaskService/ResumeHumanTask")
    gate.open()
    await calls.completed(blocked["run_id"])


async def hung_up(
    service: ServiceProcess, times: int = 1, method: str = "RunService/CreateRun"
) -> None:
    """Wait until the service has ended so many calls; it logs a call when it is over."""

    def ended() -> list[str]:
        return [line["rpc"] for line in service.log_lines() if "rpc" in line]

    await until(lambda: ended().count(f"/kneo.v1.{method}") == times)
