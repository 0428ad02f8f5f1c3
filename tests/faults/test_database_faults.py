"""PostgreSQL goes away, comes back, and loses connections and replies while runs are under way."""

import asyncio
import functools
from collections import Counter
from pathlib import Path
from typing import Any

import asyncpg
import grpc
import pytest

from kneo_grpc._gen.kneo.v1 import health_pb2, run_pb2
from kneo_grpc.ports.store import PageRequest, RunFilter
from tests.faults.lossy_proxy import Lose, LossyProxy, lossy_proxy
from tests.faults.outage import start_again, stop_immediately
from tests.faults.record import check_record
from tests.faults.service_process import SPEC, STEPS, Calls, Site
from tests.postgres import Cluster
from tests.service import create, failure
from tests.waiting import until

LIVENESS = health_pb2.GetLivenessRequest()
READINESS = health_pb2.GetReadinessRequest()
ALL = PageRequest(limit=200, sort_by="id")
COMMIT_WAITS = "store unavailable, commit waits"
LOSSES = (Lose.REQUEST, Lose.REPLY)


async def test_the_service_outlives_its_database(folder: Path, own_cluster: Cluster) -> None:
    site = Site(folder, own_cluster.dsn())
    try:
        await check_outage(site, own_cluster)
    finally:
        site.end()


async def check_outage(site: Site, server: Cluster) -> None:
    gate = site.close_gate("two")
    service = await site.start().ready()
    async with service.calls() as calls:
        creating = asyncio.ensure_future(calls.runs.CreateRun(create("to two", spec=SPEC)))
        run_id = (await site.ledger_line(reached="two"))["run"]
        await asyncio.to_thread(stop_immediately, server)

        for call in (
            calls.runs.GetRun(run_pb2.GetRunRequest(run_id=run_id)),
            calls.runs.ListRuns(run_pb2.ListRunsRequest()),
            calls.runs.CreateRun(create("in the outage", spec=SPEC)),
        ):
            code, error = await failure(call)
            assert (code, error["error"]) == (grpc.StatusCode.UNAVAILABLE, "store_unavailable")
        code, error = await failure(calls.health.GetReadiness(READINESS))
        assert (error["http"], error["error"]) == (503, "not_ready")
        checks = error["metadata"]["checks"]
        assert {name for name, check in checks.items() if not check["ok"]} == {
            "run_state_store",
            "continuation_store",
            "queue",
        }
        assert (await calls.health.GetLiveness(LIVENESS)).ok

        gate.open()
        await until(lambda: COMMIT_WAITS in service.output())
        assert not creating.done()
        await asyncio.to_thread(start_again, server)
        answer = await creating
        assert (answer.run_id, answer.status) == (run_id, "completed")
        await calls.ready_again()
        assert (await calls.runs.CreateRun(create("after it", spec=SPEC))).status == "completed"
    async with site.reader() as store:
        runs = (await store.list_runs(RunFilter(), ALL)).items
        assert {run.input_text for run in runs} == {"to two", "after it"}
        for run in runs:
            await check_record(store, run.id, len(STEPS))
    check_executed_once(site, runs=2)


async def test_lost_connections_lose_and_double_nothing(postgres_site: Site) -> None:
    site = postgres_site
    service = await site.start().ready()
    async with service.calls() as calls:
        creating = [
            asyncio.ensure_future(calls.runs.CreateRun(create(f"run {number}", spec=SPEC)))
            for number in range(20)
        ]
        ended = 0
        for lines in (1, 15, 30, 45):
            await until(functools.partial(reached, site, lines, creating))
            ended += await end_sessions(site)
        assert ended > 0
        answers = await asyncio.gather(*creating, return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException):
                assert isinstance(answer, grpc.aio.AioRpcError)
                assert answer.code() is grpc.StatusCode.UNAVAILABLE
            else:
                assert answer.status == "completed"
        # A create that was answered with an error may have landed: then it is a run like others.
        await calls.all_completed()
    async with site.reader() as store:
        runs = (await store.list_runs(RunFilter(), ALL)).items
        for run in runs:
            await check_record(store, run.id, len(STEPS))
    answered = {answer.run_id for answer in answers if not isinstance(answer, BaseException)}
    assert answered <= {run.id for run in runs}
    assert len({run.input_text for run in runs}) == len(runs)
    check_executed_once(site, runs=len(runs))


@pytest.mark.parametrize("lose", LOSSES, ids=lambda lose: lose.name.lower())
async def test_a_step_s_commit_that_got_no_reply_is_recorded_once(
    postgres_site: Site, postgres_cluster: Cluster, lose: Lose
) -> None:
    """A key makes the last commit a transaction of several statements."""
    site = postgres_site
    async with lossy_proxy(postgres_cluster.port) as proxy:
        service = await site.start(DATABASE_URL=proxy.url(site.database_url)).ready()
        async with service.calls() as calls:
            for key in (None, "once"):
                waits = service.output().count(COMMIT_WAITS)
                for step in ("one", "three"):
                    await lose_a_commit(site, proxy, calls, lose, step, key)
                assert service.output().count(COMMIT_WAITS) > waits, key
    check_executed_once(site, runs=4)


async def lose_a_commit(
    site: Site, proxy: LossyProxy, calls: Calls, lose: Lose, step: str, key: str | None
) -> None:
    gate = site.close_gate(step)
    metadata = (("idempotency-key", f"{key} {step}"),) if key else ()
    creating = asyncio.ensure_future(
        calls.runs.CreateRun(create(f"to {step}", spec=SPEC), metadata=metadata)
    )
    run_id = (await site.new_ledger_line(reached=step))["run"]
    proxy.arm(run_id, lose)
    gate.open()
    await asyncio.wait_for(proxy.tripped.wait(), 20)
    answer = await creating
    assert (answer.run_id, answer.status) == (run_id, "completed")
    async with site.reader() as store:
        await check_record(store, run_id, len(STEPS))


@pytest.mark.parametrize("lose", LOSSES, ids=lambda lose: lose.name.lower())
async def test_a_create_s_commit_that_got_no_reply_leaves_no_stuck_run(
    postgres_site: Site, postgres_cluster: Cluster, lose: Lose
) -> None:
    """What landed is driven and answered; what did not is told, and may be asked for again."""
    site = postgres_site
    metadata = (("idempotency-key", "once"),)
    request = create("precious", spec=SPEC)
    async with lossy_proxy(postgres_cluster.port) as proxy:
        service = await site.start(DATABASE_URL=proxy.url(site.database_url)).ready()
        async with service.calls() as calls:
            proxy.arm("precious", lose)
            first = None
            try:
                first = await calls.runs.CreateRun(request, metadata=metadata)
            except grpc.aio.AioRpcError as error:
                assert lose is Lose.REQUEST
                assert error.code() is grpc.StatusCode.UNAVAILABLE
            assert proxy.tripped.is_set()
            answer = await calls.runs.CreateRun(request, metadata=metadata)
    assert answer.status == "completed"
    assert first is None or first == answer
    async with site.reader() as store:
        (run,) = (await store.list_runs(RunFilter(), ALL)).items
        assert run.id == answer.run_id
        await check_record(store, run.id, len(STEPS))
    check_executed_once(site, runs=1)


async def end_sessions(site: Site) -> int:
    """Break all connections of the service; return how many there were."""
    connection = await asyncpg.connect(site.database_url)
    ended = await connection.fetch(
        "select pg_terminate_backend(pid) from pg_stat_activity "
        "where datname = current_database() and pid <> pg_backend_pid()"
    )
    await connection.close()
    return len(ended)


def reached(site: Site, lines: int, calls: list[Any]) -> bool:
    return len(site.ledger()) >= lines or all(call.done() for call in calls)


def check_executed_once(site: Site, *, runs: int) -> None:
    executed = Counter((line["run"], line["step"]) for line in site.ledger() if "step" in line)
    assert set(executed.values()) == {1}
    assert len(executed) == runs * len(STEPS)
