"""Backup and restore of the embedded database."""

from dataclasses import dataclass
from pathlib import Path

from kneo_grpc.app.settings import environment, read_settings
from kneo_grpc.domain.errors import InvalidInput, StartRefused
from kneo_grpc.stores.sqlite import backup, restore


@dataclass(frozen=True, slots=True)
class Copied:
    """What was copied where. size: bytes."""

    source: Path
    destination: Path
    size: int


def run_backup(destination: Path) -> Copied:
    """Copy the SQLite file, which may be in use. Raises KneoError."""
    source = _sqlite_file("backed up with pg_dump or a base backup")
    if not source.is_file():
        raise StartRefused(f"The database file {source} does not exist.")
    return Copied(source, destination, backup(source, destination))


def run_restore(copy: Path) -> Copied:
    """Put a backup in the place of the SQLite file, which no service may use. Raises KneoError."""
    destination = _sqlite_file("restored with pg_restore or from a base backup")
    return Copied(copy, destination, restore(copy, destination))


def _sqlite_file(otherwise: str) -> Path:
    """Return the environment's SQLite file. Raises InvalidInput where it names PostgreSQL."""
    settings = read_settings(environment())
    if settings.database_url:
        raise InvalidInput(f"KNEO_SERV_DATABASE_URL names PostgreSQL, which is {otherwise}.")
    return settings.state_path
