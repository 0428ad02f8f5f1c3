"""PostgreSQL restarts, loses its sessions or loses replies while workers execute many runs."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg

from tests.faults.lossy_proxy import Lose, LossyProxy, lossy_proxy
from tests.faults.outage import start_again, stop_immediately
from tests.faults.record import check_record
from tests.faults.service_process import STEPS, Calls, ServiceProcess, Site
from tests.faults.specs import spec_of
from tests.faults.trail import begun, check_calm, check_executions
from tests.postgres import Cluster
from tests.service import create
from tests.waiting import until

RUNS = 20
CLAIM = "\0\0\0\4\0\0\0\3" + "\0\0\0\1\0"
"""In the protocol: the numbers of a claim of runs of which no holder, or few, were lost."""

A_RUN = "run_0"
"""The beginning of every run's id, but of no column's name."""

SPEC = spec_of(*STEPS)
TERMINATE = """
select pg_terminate_backend(pid) from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid()
"""


async def test_a_restart_of_postgres_loses_and_doubles_nothing(
    folder: Path, own_cluster: Cluster
) -> None:
    site = Site(folder, own_cluster.dsn())
    try:
        async with load(site) as (calls, processes):
            await asyncio.to_thread(stop_immediately, own_cluster)
            for gate in site.gates:
                gate.open()
            await until(lambda: any("commit waits" in one.output() for one in processes))
            await asyncio.to_thread(start_again, own_cluster)
            await check_recovery(site, calls, processes)
    finally:
        site.end()


async def test_sessions_that_are_terminated_lose_and_double_nothing(postgres_site: Site) -> None:
    site = postgres_site
    connection = await asyncpg.connect(site.database_url)
    async with load(site) as (calls, processes):
        ended = 0
        for gate in site.gates:
            ended += len(await connection.fetch(TERMINATE))
            gate.open()
            await until(lambda: len(begun(site, step="three")) > 5)
            ended += len(await connection.fetch(TERMINATE))
        assert ended > 10
        await check_recovery(site, calls, processes)
    await connection.close()


@contextlib.asynccontextmanager
async def load(site: Site) -> AsyncIterator[tuple[Calls, list[ServiceProcess]]]:
    """A service and two workers in the midst of runs, half of which wait in step two."""
    site.close_gate("two")
    api, workers = await site.crew(2, WORKER_LEASE_SECONDS="2")
    async with api.calls() as calls:
        texts = ["to two" if number % 2 else f"run {number}" for number in range(RUNS)]
        requests = [create(text, spec=SPEC, async_mode=True) for text in texts]
        await asyncio.gather(*(calls.runs.CreateRun(request) for request in requests))
        await until(lambda: len(begun(site, step="two")) >= RUNS // 2)
        yield calls, [api, *workers]


async def check_recovery(site: Site, calls: Calls, processes: list[ServiceProcess]) -> None:
    await calls.ready_again()
    await calls.all_completed()
    async with site.reader() as store:
        runs = await site.rows("runs")
        assert len(runs) == RUNS
        for row in runs:
            await check_record(store, row["id"], len(STEPS))
            await check_executions(site, store, row["id"])
    for process in processes:
        check_calm(process)


async def test_a_claim_that_got_no_reply_is_taken_over_when_its_lease_is_over(
    postgres_site: Site, postgres_cluster: Cluster
) -> None:
    """The process that holds the lease knows nothing of the run."""
    site = postgres_site
    api = site.start("--no-worker")
    async with lossy_proxy(postgres_cluster.port) as proxy:
        url = proxy.url(site.database_url)
        worker = await site.start_worker(DATABASE_URL=url, WORKER_LEASE_SECONDS="1").ready()
        await api.ready()
        async with api.calls() as calls:
            attempts = []
            # A look that found nothing may have been the one that was cut.
            while 2 not in attempts and len(attempts) < 5:
                proxy.arm(CLAIM, Lose.REPLY)
                answer = await calls.runs.CreateRun(create("hi", spec=SPEC, async_mode=True))
                await asyncio.wait_for(proxy.tripped.wait(), 20)
                await calls.completed(answer.run_id)
                async with site.reader() as store:
                    run = await check_record(store, answer.run_id, len(STEPS))
                attempts.append(run.attempt)
        assert attempts[-1] == 2, attempts
        assert len(begun(site, run=answer.run_id)) == len(STEPS)
        assert worker.process.poll() is None


async def test_a_worker_that_loses_reply_after_reply_gets_everything_done_once(
    postgres_site: Site, postgres_cluster: Cluster
) -> None:
    site = postgres_site
    api = site.start("--no-worker")
    async with lossy_proxy(postgres_cluster.port) as proxy:
        worker = site.start_worker(
            DATABASE_URL=proxy.url(site.database_url), WORKER_LEASE_SECONDS="2"
        )
        await asyncio.gather(api.ready(), worker.ready())
        async with api.calls() as calls:
            cuts: list[int] = []

            def commit_waited() -> bool:
                return "store unavailable, commit waits" in worker.output()

            cutting = asyncio.create_task(cut(proxy, cuts))
            run_ids = []
            # Eight at least, and as many as it takes for a commit to be among them.
            while (len(cuts) < 8 or not commit_waited()) and len(run_ids) < 300:
                request = create("hi", spec=SPEC, async_mode=True)
                answers = await asyncio.gather(*(calls.runs.CreateRun(request) for _ in range(5)))
                run_ids += [answer.run_id for answer in answers]
                await calls.all_completed()
            cutting.cancel()
    assert len(cuts) >= 8
    async with site.reader() as store:
        for run_id in run_ids:
            await check_record(store, run_id, len(STEPS))
            await check_executions(site, store, run_id)
    assert commit_waited()
    check_calm(worker)


async def cut(proxy: LossyProxy, cuts: list[int]) -> None:
    """Lose the reply to one statement about runs after the other."""
    while True:
        proxy.arm(A_RUN, Lose.REPLY)
        await proxy.tripped.wait()
        cuts.append(len(cuts))
        await asyncio.sleep(0.05)
