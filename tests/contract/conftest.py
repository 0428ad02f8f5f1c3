"""The stores under test, and a look behind them."""

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from kneo_grpc.ports.store import Store
from kneo_grpc.stores.postgres import PostgresStore
from kneo_grpc.stores.sqlite import SqliteStore

Query = Callable[..., Awaitable[list[Any]]]


@pytest.fixture(params=["sqlite", "postgres"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """Where an empty database is: a path or a DSN."""
    if request.param == "sqlite":
        return tmp_path / "kneo.sqlite"
    dsn: str = request.getfixturevalue("postgres_dsn")
    return dsn


def open_store(address: Path | str, **options: Any) -> SqliteStore | PostgresStore:
    if isinstance(address, Path):
        return SqliteStore(address, **options)
    return PostgresStore(address, pool_max=4, **options)


@pytest.fixture
async def store(address: Path | str) -> AsyncIterator[Store]:
    opened = open_store(address)
    await opened.start()
    yield opened
    await opened.stop()


@pytest.fixture
def query(address: Path | str) -> Query:
    """Run plain SQL beside the store; returns rows as tuples."""

    async def run(sql: str) -> list[Any]:
        if isinstance(address, Path):
            connection = sqlite3.connect(address, isolation_level=None)
            try:
                return connection.execute(sql).fetchall()
            finally:
                connection.close()
        other = await asyncpg.connect(address)
        try:
            return [tuple(row) for row in await other.fetch(sql)]
        finally:
            await other.close()

    return run
