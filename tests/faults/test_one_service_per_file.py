"""What the service refuses to start on: each with one sentence on standard error and exit 1."""

import contextlib
import sqlite3

import asyncpg
import pytest

from kneo_grpc._gen.kneo.v1 import health_pb2
from kneo_grpc.stores.postgres import PostgresStore
from kneo_grpc.stores.sqlite import SqliteStore
from tests.faults.service_process import SPEC, ServiceProcess, Site, taken_port
from tests.ports import free_port
from tests.service import create


@pytest.fixture
def postgres_dsn(own_postgres_dsn: str) -> str:
    """Of the test's own, because the schema is changed."""
    return own_postgres_dsn


async def refusal(service: ServiceProcess) -> str:
    """The sentence in which a service tells that it does not start."""
    assert await service.exit_code() == 1, service.output()
    assert "service ready" not in service.output()
    assert "Traceback" not in service.output()
    # gRPC's own line about a port may stand before it.
    *others, line = service.stderr.read_text().splitlines()
    assert all("add_port.cc" in other for other in others)
    assert line.startswith("error: ")
    return line


async def test_a_second_service_on_one_file_is_refused_until_the_first_is_gone(
    sqlite_site: Site,
) -> None:
    first = await sqlite_site.start().ready()
    line = await refusal(sqlite_site.start())
    assert "is in use by another kneo service" in line
    assert str(sqlite_site.state_path) in line
    async with first.calls() as calls:
        assert (await calls.runs.CreateRun(create(spec=SPEC))).status == "completed"
    first.kill()
    second = await sqlite_site.start().ready()
    async with second.calls() as calls:
        assert (await calls.health.GetReadiness(health_pb2.GetReadinessRequest())).ok


async def test_a_port_in_use_is_refused(sqlite_site: Site) -> None:
    with taken_port() as port:
        line = await refusal(sqlite_site.start(port=port))
    assert f"cannot listen on 127.0.0.1:{port}" in line


async def test_a_file_that_is_no_database_is_refused_and_left_alone(sqlite_site: Site) -> None:
    sqlite_site.state_path.write_bytes(b"precious notes " * 1000)
    line = await refusal(sqlite_site.start())
    assert "is damaged or not a SQLite database" in line
    assert sqlite_site.state_path.read_bytes() == b"precious notes " * 1000


async def test_a_migration_that_fails_is_refused_and_leaves_nothing(sqlite_site: Site) -> None:
    with contextlib.closing(sqlite3.connect(sqlite_site.state_path)) as file:
        file.execute("create table runs (something text)")
    line = await refusal(sqlite_site.start())
    assert "failed and was rolled back" in line
    with contextlib.closing(sqlite3.connect(sqlite_site.state_path)) as file:
        assert file.execute("select name from sqlite_master").fetchall() == [("runs",)]


async def test_a_newer_schema_is_refused(site: Site) -> None:
    store = PostgresStore(site.database_url) if site.database_url else SqliteStore(site.state_path)
    await store.start()
    await store.stop()
    newer = "insert into schema_migrations values (99, 'later', 'x', {})"
    if site.database_url:
        connection = await asyncpg.connect(site.database_url)
        await connection.execute(newer.format("now()"))
        await connection.close()
    else:
        with contextlib.closing(sqlite3.connect(site.state_path)) as file, file:
            file.execute(newer.format("0"))
    line = await refusal(site.start())
    assert "schema version 99" in line
    assert "migration_failed" in line


async def test_a_database_that_is_down_is_told_without_the_password(sqlite_site: Site) -> None:
    url = f"postgresql://kneo:s3cret-word@127.0.0.1:{free_port()}/runs"
    service = sqlite_site.start(DATABASE_URL=url)
    line = await refusal(service)
    assert "PostgreSQL does not answer" in line
    assert "s3cret-word" not in service.output()


async def test_a_database_that_does_not_exist_is_told_without_the_password(
    sqlite_site: Site, postgres_dsn: str
) -> None:
    missing = postgres_dsn.replace("kneo@", "kneo:s3cret-word@") + "_missing"
    service = sqlite_site.start(DATABASE_URL=missing)
    line = await refusal(service)
    assert "_missing" in line
    assert "s3cret-word" not in service.output()
