"""Fixtures that several test folders share."""

import os
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

# As the service does: tests start Envoy beside a server of their own, and gRPC's fork handlers now
# and then abort such a child.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
# Tests import each other's tools as `tests.…`, however pytest was started.
sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.postgres import Cluster, cluster

SHARED = "shared"
SESSIONS = "select pid from pg_stat_activity where datname = $1"
TABLES = """
select tablename from pg_tables
where schemaname = 'public' and tablename <> 'schema_migrations'
"""


def pytest_addoption(parser: pytest.Parser) -> None:
    text = "write the golden files anew; review their difference"
    parser.addoption("--rewrite-golden", action="store_true", help=text)


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[Cluster]:
    """A PostgreSQL server of the session's own."""
    with cluster() as server:
        yield server


@pytest.fixture
async def postgres_dsn(postgres_cluster: Cluster) -> str:
    """A database with the newest schema or none, without rows, that tests use one after the other:
    to make one takes long. A test that changes the schema or the database takes own_postgres_dsn.
    """
    admin = await asyncpg.connect(postgres_cluster.dsn())
    try:
        await empty(admin, postgres_cluster.dsn(SHARED))
    finally:
        await admin.close()
    return postgres_cluster.dsn(SHARED)


async def empty(admin: asyncpg.Connection, dsn: str) -> None:
    if not await admin.fetch("select 1 from pg_database where datname = $1", SHARED):
        await admin.execute(f"create database {SHARED}")
    # What a killed process had sent may still be at work there, and would be found by the next test.
    for session in await admin.fetch(SESSIONS, SHARED):
        assert await admin.fetchval("select pg_terminate_backend($1, 20000)", session["pid"])
    connection = await asyncpg.connect(dsn)
    tables = [row["tablename"] for row in await connection.fetch(TABLES)]
    if tables:
        await connection.execute("; ".join(f"delete from {table}" for table in tables))
    await connection.close()


@pytest.fixture
async def own_postgres_dsn(postgres_cluster: Cluster) -> AsyncIterator[str]:
    """An empty database of the test's own."""
    name = postgres_cluster.next_name()
    admin = await asyncpg.connect(postgres_cluster.dsn())
    await admin.execute(f"create database {name}")
    await admin.close()
    yield postgres_cluster.dsn(name)
    admin = await asyncpg.connect(postgres_cluster.dsn())
    await admin.execute(f"drop database {name} with (force)")
    await admin.close()
