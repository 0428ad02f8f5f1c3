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

from tests.postgres import Cluster, cluster, quick_place
from tests.waiting import until

SHARED = "shared"
END_OTHERS = """
select pg_terminate_backend(pid) from pg_stat_activity
where datname = current_database() and backend_type = 'client backend' and pid <> pg_backend_pid()
"""
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
    with cluster(quick_place()) as server:
        yield server


@pytest.fixture
async def postgres_dsn(postgres_cluster: Cluster) -> str:
    """A database with the newest schema or none, without rows, that tests use one after the other:
    to make one takes long. A test that changes the schema or the database takes own_postgres_dsn.
    """
    dsn = postgres_cluster.dsn(SHARED)
    try:
        connection = await asyncpg.connect(dsn)
    except asyncpg.InvalidCatalogNameError:
        await make(postgres_cluster, SHARED)
        return dsn
    # What a killed process had sent may still be at work, and would be found by the next test.
    await until(lambda: nobody_else(connection))
    if tables := [row["tablename"] for row in await connection.fetch(TABLES)]:
        await connection.execute("; ".join(f"delete from {table}" for table in tables))
    await connection.close()
    return dsn


async def nobody_else(connection: asyncpg.Connection) -> bool:
    return not await connection.fetch(END_OTHERS)


async def make(server: Cluster, name: str) -> None:
    admin = await asyncpg.connect(server.dsn())
    await admin.execute(f"create database {name}")
    await admin.close()


@pytest.fixture
async def own_postgres_dsn(postgres_cluster: Cluster) -> AsyncIterator[str]:
    """An empty database of the test's own."""
    name = postgres_cluster.next_name()
    await make(postgres_cluster, name)
    yield postgres_cluster.dsn(name)
    admin = await asyncpg.connect(postgres_cluster.dsn())
    await admin.execute(f"drop database {name} with (force)")
    await admin.close()
