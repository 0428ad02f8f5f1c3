"""Applies migrations to PostgreSQL under an advisory lock."""

from collections.abc import Mapping, Sequence

import asyncpg

from kneo_grpc.domain.errors import MigrationFailed
from kneo_grpc.stores.migrate import Migration, applied_line, failure, outstanding
from kneo_grpc.stores.postgres.connect import Connection


async def migrate(
    connection: Connection, statements: Mapping[str, str], migrations: Sequence[Migration]
) -> None:
    """Bring the schema to this release, each migration in a transaction of its own. The lock is
    the connection's and goes with it. Raises MigrationFailed.
    """
    try:
        await connection.execute(statements["migration_lock"])
    except asyncpg.LockNotAvailableError as error:
        raise MigrationFailed(
            "Another process has been migrating this database too long."
        ) from error
    if await connection.fetchval("select to_regclass('schema_migrations') is null"):
        await connection.execute(statements["migration_table"])
    rows = await connection.fetch(statements["migrations_applied"])
    applied = {row["version"]: row["checksum"] for row in rows}
    for migration in outstanding(migrations, applied):
        try:
            async with connection.transaction():
                await connection.execute(migration.script)
                await connection.execute(
                    statements["migration_record"],
                    migration.version,
                    migration.name,
                    migration.checksum,
                )
        except asyncpg.PostgresError as error:
            raise failure(migration, "postgres", error) from error
        applied_line(migration, "postgres")
