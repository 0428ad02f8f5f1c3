"""The machine of a service is gone without a word: PostgreSQL still holds its connections."""

import asyncio

import grpc
import pytest

from tests.faults.lossy_proxy import Lose, lossy_proxy
from tests.faults.record import check_record
from tests.faults.service_process import STEPS, Site
from tests.faults.specs import spec_of
from tests.faults.trail import begun, check_executions
from tests.postgres import Cluster
from tests.service import create

KEY = "precious-key"


async def test_a_transaction_that_nobody_ends_does_not_keep_its_run(
    postgres_site: Site, postgres_cluster: Cluster
) -> None:
    """The last commit of a run with an idempotency key takes several statements: at the one with
    the key in it, the run's row is locked.
    """
    site = postgres_site
    gate = site.close_gate("three")
    other = site.start(WORKER_LEASE_SECONDS="1")
    async with lossy_proxy(postgres_cluster.port) as proxy:
        vanishing = await site.start(
            DATABASE_URL=proxy.url(site.database_url), WORKER_LEASE_SECONDS="1"
        ).ready()
        await other.ready()
        async with vanishing.calls() as calls, other.calls() as calls_later:
            for number in range(2):
                # So that the statements are prepared, and each is one message.
                warm = create("warm", spec=spec_of(*STEPS))
                await calls.runs.CreateRun(warm, metadata=(("idempotency-key", f"{number}"),))
            request = create("to three", spec=spec_of(*STEPS))
            creating = asyncio.ensure_future(
                calls.runs.CreateRun(request, metadata=(("idempotency-key", KEY),))
            )
            run_id = (await site.ledger_line(step="three", text="to three one two"))["run"]
            proxy.arm(KEY, Lose.REST)
            gate.open()
            await asyncio.wait_for(proxy.tripped.wait(), 20)
            vanishing.kill()
            with pytest.raises(grpc.aio.AioRpcError):
                await creating
            await calls_later.completed(run_id)
    assert {line["pid"] for line in begun(site, attempt=2)} == {other.process.pid}
    async with site.reader() as store:
        await check_record(store, run_id, len(STEPS))
        await check_executions(site, store, run_id)
