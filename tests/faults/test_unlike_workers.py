"""Workers of another release than the schema's, and workers that lack a run's code."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import ModuleType

import asyncpg
import pytest

from kneo_grpc._gen.kneo.v1 import queue_pb2, run_pb2
from kneo_grpc.app.settings import Settings
from kneo_grpc.app.wiring import build_platform
from kneo_grpc.domain.change import JobKind
from kneo_grpc.domain.ids import RunId
from kneo_grpc.platform.decisions import ChangeWriter
from kneo_grpc.platform.endings import Endings
from kneo_grpc.platform.worker import Worker, WorkerSettings, WorkReport
from kneo_grpc.ports.store import PageRequest
from kneo_grpc.stores.migrate import load_migrations
from kneo_grpc.stores.postgres import PostgresStore
from kneo_grpc.stores.statements import load_statements
from tests.faults.record import check_record
from tests.faults.service_process import STEPS, Site
from tests.faults.specs import spec_of
from tests.faults.trail import begun
from tests.service import create, function_spec, import_code, open_service

SPEC = spec_of(*STEPS)
WAITING = """
select count(*) from pg_stat_activity
where datname = current_database() and application_name = 'kneo migrate'
  and wait_event_type = 'Lock'
"""
MOMENT = timedelta(milliseconds=10)


@pytest.fixture
def postgres_dsn(own_postgres_dsn: str) -> str:
    """Of the test's own, because the schema is changed."""
    return own_postgres_dsn


async def test_a_worker_refuses_a_newer_schema_in_one_line(postgres_site: Site) -> None:
    site = postgres_site
    await migrate(site, versions=len(load_migrations("postgres")))
    connection = await asyncpg.connect(site.database_url)
    await connection.execute("insert into schema_migrations values (99, 'later', 'x', now())")
    await connection.close()
    worker = site.start_worker()
    assert await worker.exit_code() == 1
    (line,) = worker.stderr.read_text().splitlines()
    assert line.startswith("error: The database has schema version 99, this release knows ")
    assert worker.stdout.read_text() == ""


async def test_workers_that_start_at_once_migrate_an_older_schema_once(postgres_site: Site) -> None:
    site = postgres_site
    await migrate(site, versions=1)
    connection = await asyncpg.connect(site.database_url)
    await connection.execute(load_statements("postgres")["migration_lock"])
    workers = [site.start_worker() for _ in range(3)]
    async with asyncio.timeout(20):
        while True:
            if await connection.fetchval(WAITING) == len(workers):
                break
            await asyncio.sleep(0.02)
    await connection.close()
    for worker in workers:
        await worker.ready()
    applied = [row["version"] for row in await site.rows("schema_migrations")]
    versions = [migration.version for migration in load_migrations("postgres")]
    assert sorted(applied) == versions
    lines = "".join(worker.output() for worker in workers)
    assert lines.count('"migration applied"') == len(versions) - 1


async def migrate(site: Site, *, versions: int) -> None:
    """Make the schema of an earlier release."""
    store = PostgresStore(site.database_url, migrations=load_migrations("postgres")[:versions])
    await store.start()
    await store.stop()


async def test_a_run_is_left_to_the_worker_that_has_its_code(postgres_site: Site) -> None:
    site = postgres_site
    api = site.start("--no-worker")
    lacking = await site.start_worker(IMPORT_ALLOW="kneo_grpc.examples").ready()
    await api.ready()
    async with api.calls() as calls:
        answer = await calls.runs.CreateRun(create("hi", spec=SPEC, async_mode=True))

        request = run_pb2.GetRunRequest(run_id=answer.run_id)
        async with asyncio.timeout(20):
            while (run := await calls.runs.GetRun(request)).attempt == 0 or run.status != "queued":
                pass  # nobody has taken it yet, or it is not given back yet
        (job,) = (await calls.queue.ListQueue(queue_pb2.ListQueueRequest())).jobs
        assert (job.run_id, job.state, job.claims) in (
            (answer.run_id, "leased", 1),
            (answer.run_id, "ready", 0),
        )
        able = await site.start_worker().ready()
        await calls.completed(answer.run_id)
    assert {line["pid"] for line in begun(site)} == {able.process.pid}
    assert lacking.process.poll() is None
    async with site.reader() as store:
        await check_record(store, answer.run_id, len(STEPS))


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(tmp_path))
    yield from import_code(tmp_path)


async def test_a_run_whose_code_nobody_has_fails_in_the_end(
    tmp_path: Path, code: ModuleType
) -> None:
    """The limit has no setting: too few workers with the code would need a release, not a knob."""
    state_path = tmp_path / "runs.sqlite"
    able = Settings(state_path=state_path, import_allow=("kneo_test_code",))
    async for service in open_service(able, tmp_path, works=False, executes=False):
        answer = await service.runs.CreateRun(create(spec=function_spec("note"), async_mode=True))
    platform = build_platform(Settings(state_path=state_path))
    await platform.start()
    writer = ChangeWriter(clock=platform.clock, ids=platform.ids)
    patient = WorkerSettings(
        code_delay=MOMENT, idle_poll=MOMENT, code_patience=timedelta(minutes=1)
    )
    worker = Worker(
        store=platform.store,
        queue=platform.queue,
        specs=platform.specs,
        legs=platform.legs,
        endings=Endings(
            store=platform.store, specs=platform.specs, legs=platform.legs, writer=writer
        ),
        writer=writer,
        clock=platform.clock,
        settings=patient,
    )
    run_id = RunId(answer.run_id)
    reports = [await refused(worker, run_id)]
    # Somebody got on with it, or held it for long: then the patience begins anew.
    reports += [await refused(worker, run_id, first=-100, checkpoint=7)]
    reports += [await refused(worker, run_id, first=-100, until=-30)]
    reports += [await refused(worker, run_id, first=-40)]
    assert reports == [WorkReport(postponed=1)] * 4
    assert await refused(worker, run_id, first=-61) == WorkReport(dead=1)
    run = await platform.store.load_run(RunId(answer.run_id))
    dead = await platform.queue.list_jobs(JobKind.DEAD, PageRequest(sort_by="due_at"))
    await platform.stop()
    assert run is not None and run.error is not None
    assert (run.status.value, run.error.type) == ("failed", "code_missing")
    assert "kneo_test_code.note is not below a module named by" in run.error.message
    assert [job.run_id for job in dead.items] == [run.id]
    assert code.CALLS == []


async def refused(worker: Worker, run_id: RunId, **past: float) -> WorkReport:
    """Let a worker come to a run until it takes it up, or gives it up. past: what it shall remember
    of the last time, moments in seconds from now.
    """
    now = asyncio.get_running_loop().time()
    if past:
        times = {name: now + value for name, value in past.items() if name != "checkpoint"}
        seen = {"checkpoint": int(past["checkpoint"])} if "checkpoint" in past else {}
        worker._refused[run_id] = replace(worker._refused[run_id], **times, **seen)
    async with asyncio.timeout(10):
        while True:
            report = await worker.run_once()
            if report != WorkReport():
                return report
            await asyncio.sleep(0.001)
