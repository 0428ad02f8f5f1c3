"""Schema migrations: forward only, the same numbers in both databases, applied under a lock."""

import hashlib
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kneo_grpc.domain.errors import MigrationFailed
from kneo_grpc.stores.statements import sql_folder

logger = logging.getLogger("kneo_grpc.stores")

_FILE = re.compile(r"(\d{4})_(\w+)\.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """A step of the schema. version: 1, 2, … without gaps."""

    version: int
    name: str
    script: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the script in hex."""
        return hashlib.sha256(self.script.encode()).hexdigest()


def load_migrations(database: str) -> tuple[Migration, ...]:
    """Return the migrations of this release in order. database: `sqlite` or `postgres`."""
    found = []
    for file in sql_folder(database, "migrations").iterdir():
        if match := _FILE.fullmatch(file.name):
            script = file.read_text(encoding="utf-8")
            found.append(Migration(version=int(match[1]), name=match[2], script=script))
    migrations = tuple(sorted(found, key=lambda migration: migration.version))
    assert [migration.version for migration in migrations] == list(range(1, len(migrations) + 1))
    return migrations


def outstanding(
    migrations: Sequence[Migration], applied: Mapping[int, str]
) -> tuple[Migration, ...]:
    """Return what is yet to be applied. applied: checksum by version.

    Raises MigrationFailed when the database is newer than the release or when a migration is not
    the one that was applied.
    """
    newest = len(migrations)
    if applied and max(applied) > newest:
        raise MigrationFailed(
            f"The database has schema version {max(applied)}, this release knows {newest}: "
            "start the release that made it, or a newer one."
        )
    for migration in migrations:
        checksum = applied.get(migration.version)
        if checksum is not None and checksum != migration.checksum:
            raise MigrationFailed(
                f"Migration {migration.version} ({migration.name}) is not the one that was "
                "applied to this database: its checksum differs."
            )
    return tuple(migration for migration in migrations if migration.version not in applied)


def applied_line(migration: Migration, store: str) -> None:
    """Log a migration that landed."""
    logger.info("migration applied", extra=_fields(migration, store))


def failure(migration: Migration, store: str, error: Exception) -> MigrationFailed:
    """Log a migration that failed and return the error to raise."""
    logger.error("migration failed", extra={**_fields(migration, store), "error": str(error)})
    return MigrationFailed(
        f"Migration {migration.version} ({migration.name}) failed and was rolled back: {error}"
    )


def _fields(migration: Migration, store: str) -> dict[str, object]:
    # A log record has a `name` of its own, so the migration's goes by another word.
    return {"version": migration.version, "migration": migration.name, "store": store}
