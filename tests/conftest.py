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


def pytest_addoption(parser: pytest.Parser) -> None:
    text = "write the golden files anew; review their difference"
    parser.addoption("--rewrite-golden", action="store_true", help=text)


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[Cluster]:
    """A PostgreSQL server of the session's own."""
    with cluster() as server:
        yield server


@pytest.fixture
async def postgres_dsn(postgres_cluster: Cluster) -> AsyncIterator[str]:
    """An empty database of the test's own."""
    name = postgres_cluster.next_name()
    admin = await asyncpg.connect(postgres_cluster.dsn())
    await admin.execute(f"create database {name}")
    await admin.close()
    yield postgres_cluster.dsn(name)
    admin = await asyncpg.connect(postgres_cluster.dsn())
    await admin.execute(f"drop database {name} with (force)")
    await admin.close()
