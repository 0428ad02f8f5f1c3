"""A PostgreSQL database that tests use one after the other, because to make one takes long."""

import asyncpg
import pytest

from tests.postgres import Cluster

NAME = "emptied"
TABLES = """
select tablename from pg_tables
where schemaname = 'public' and tablename <> 'schema_migrations'
"""


@pytest.fixture
async def postgres_dsn(postgres_cluster: Cluster) -> str:
    """The database without rows. A module that imports this has it instead of one of its own."""
    admin = await asyncpg.connect(postgres_cluster.dsn())
    if not await admin.fetch("select 1 from pg_database where datname = $1", NAME):
        await admin.execute(f"create database {NAME}")
    await admin.close()
    connection = await asyncpg.connect(postgres_cluster.dsn(NAME))
    tables = [row["tablename"] for row in await connection.fetch(TABLES)]
    if tables:
        await connection.execute("; ".join(f"delete from {table}" for table in tables))
    await connection.close()
    return postgres_cluster.dsn(NAME)
