"""Applies migrations to a SQLite file under its write lock."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from kneo_grpc.domain.errors import MigrationFailed
from kneo_grpc.stores.migrate import Migration, applied_line, failure, outstanding
from kneo_grpc.stores.sqlite import errors


def migrate(
    connection: sqlite3.Connection,
    path: Path,
    statements: Mapping[str, str],
    migrations: Sequence[Migration],
) -> None:
    """Bring the schema to this release, each migration in a transaction of its own. Raises
    MigrationFailed.
    """
    while True:
        connection.execute("begin immediate")
        try:
            connection.execute(statements["migration_table"])
            waiting = outstanding(migrations, _applied(connection, statements))
            if waiting:
                _apply(connection, path, statements, waiting[0])
            connection.execute("commit")
        except BaseException:
            if connection.in_transaction:
                connection.execute("rollback")
            raise
        if not waiting:
            return
        applied_line(waiting[0], "sqlite")


def require_current(
    connection: sqlite3.Connection, statements: Mapping[str, str], migrations: Sequence[Migration]
) -> None:
    """Raise MigrationFailed unless the schema is this release's: a reader cannot bring it there."""
    try:
        applied = _applied(connection, statements)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_ERROR:
            raise
        raise MigrationFailed("The database file is not one of this service's.") from error
    if outstanding(migrations, applied):
        raise MigrationFailed(
            "The database file was made by an older release; start the service once to migrate it."
        )


def split_script(script: str) -> Iterator[str]:
    """Yield the statements of a script, whose statements end at the ends of lines."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if line.rstrip().endswith(";") and sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if statement.strip():
        yield statement


def _applied(connection: sqlite3.Connection, statements: Mapping[str, str]) -> dict[int, str]:
    rows = connection.execute(statements["migrations_applied"]).fetchall()
    return {row["version"]: row["checksum"] for row in rows}


def _apply(
    connection: sqlite3.Connection,
    path: Path,
    statements: Mapping[str, str],
    migration: Migration,
) -> None:
    try:
        # executescript would commit the transaction first.
        for statement in split_script(migration.script):
            connection.execute(statement)
    except sqlite3.Error as error:
        if errors.describe(path, error) is not None:
            raise
        raise failure(migration, "sqlite", error) from error
    record = (migration.version, migration.name, migration.checksum)
    connection.execute(statements["migration_record"], record)
