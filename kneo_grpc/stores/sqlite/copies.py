"""Backup of a SQLite file in use, and its restore."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from kneo_grpc.domain.errors import InvalidInput, StartRefused
from kneo_grpc.stores.migrate import load_migrations, outstanding
from kneo_grpc.stores.sqlite import errors
from kneo_grpc.stores.sqlite.connect import free_lock, open_reader, take_lock
from kneo_grpc.stores.statements import load_statements

_PATIENCE = timedelta(seconds=5)
_LOGS = ("-wal", "-shm", "-journal")


def backup(path: Path, destination: Path) -> int:
    """Write a consistent copy of a file that may be in use; return its bytes.

    The copy appears under its name when it is whole and on disk. Raises InvalidInput when the
    destination exists, StoreUnavailable when a file cannot be read or written.
    """
    if destination.exists():
        raise InvalidInput(
            f"{destination} exists already; a backup replaces no file.", field="destination"
        )
    whole = destination.absolute()
    partial = whole.with_name(f".{whole.name}.partial")
    _require_database(path)
    try:
        whole.parent.mkdir(parents=True, exist_ok=True)
        _make(partial)
        with (
            contextlib.closing(open_reader(path, _PATIENCE)) as source,
            contextlib.closing(sqlite3.connect(partial, isolation_level=None)) as target,
        ):
            source.backup(target)
            target.execute("pragma journal_mode = delete")
        _sync(partial)
        partial.replace(whole)
        _sync(whole.parent)
    except (sqlite3.Error, OSError) as error:
        _discard(partial)
        raise errors.translate(whole, error) from error
    return whole.stat().st_size


def restore(copy: Path, path: Path) -> int:
    """Put a backup in the place of a file that no service uses; return its bytes.

    The file that was there stays beside it as `<file>.replaced`. Raises InvalidInput when the copy
    is not a whole database of this service or is the file itself, StartRefused when a service uses
    the file.
    """
    target = path.absolute()
    if copy.exists() and target.exists() and copy.samefile(target):
        raise InvalidInput(f"{copy} is the database itself, not a backup of it.", field="backup")
    _check(copy)
    replaced = target.with_name(f"{target.name}.replaced")
    partial = target.with_name(f".{target.name}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked(target):
            _make(partial)
            with (
                contextlib.closing(open_reader(copy, _PATIENCE)) as source,
                contextlib.closing(sqlite3.connect(partial, isolation_level=None)) as whole,
            ):
                source.backup(whole)
            _sync(partial)
            _set_aside(target, replaced)
            partial.replace(target)
            _sync(target.parent)
    except (sqlite3.Error, OSError) as error:
        _discard(partial)
        raise errors.translate(target, error) from error
    return target.stat().st_size


def _check(copy: Path) -> None:
    """Raise InvalidInput unless the file is a whole database that this release can start with."""
    if not copy.is_file():
        raise InvalidInput(f"The backup {copy} does not exist.", field="backup")
    statements = load_statements("sqlite")
    try:
        with contextlib.closing(open_reader(copy, _PATIENCE)) as connection:
            (verdict,) = connection.execute("pragma quick_check(1)").fetchone()
            (page_size,) = connection.execute("pragma page_size").fetchone()
            rows = connection.execute(statements["migrations_applied"]).fetchall()
    except sqlite3.Error as error:
        raise InvalidInput(
            f"The backup {copy} is damaged or no database of this service: {error}.",
            field="backup",
        ) from error
    if verdict != "ok":
        raise InvalidInput(f"The backup {copy} is damaged: {verdict}.", field="backup")
    if copy.stat().st_size % page_size:
        # SQLite takes what is missing of the last page for zeros.
        raise InvalidInput(f"The backup {copy} is damaged: its end is missing.", field="backup")
    # Raises MigrationFailed for a backup of a newer release.
    outstanding(load_migrations("sqlite"), {row["version"]: row["checksum"] for row in rows})


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    try:
        lock = take_lock(path)
    except StartRefused as refused:
        raise StartRefused(f"{refused.message} A restore needs the file for itself.") from None
    try:
        yield
    finally:
        free_lock(lock)


def _set_aside(target: Path, replaced: Path) -> None:
    """Keep the present file under another name; leave no log beside it that would be read into the
    new one.
    """
    logs = [target.with_name(target.name + suffix) for suffix in _LOGS]
    if not target.exists():
        # Without their file they are of no use; SQLite itself would remove them.
        for log in logs:
            log.unlink(missing_ok=True)
        return
    with (
        contextlib.suppress(sqlite3.Error),  # a damaged file is set aside as it is
        contextlib.closing(sqlite3.connect(target, isolation_level=None)) as present,
    ):
        present.execute("pragma journal_mode = delete")
    replaced.unlink(missing_ok=True)
    os.link(target, replaced)
    for suffix, log in zip(_LOGS, logs, strict=True):
        kept = replaced.with_name(replaced.name + suffix)
        kept.unlink(missing_ok=True)
        if log.exists():
            log.replace(kept)


def _require_database(path: Path) -> None:
    """Raise StoreUnavailable unless the file can be read."""
    try:
        with contextlib.closing(open_reader(path, _PATIENCE)) as connection:
            connection.execute("pragma schema_version").fetchone()
    except sqlite3.Error as error:
        raise errors.translate(path, error) from error


def _make(partial: Path) -> None:
    """Make the file to write into; it will hold what people and models wrote, as the original
    does.
    """
    _remove(partial)
    os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def _discard(partial: Path) -> None:
    """Remove what was not finished; where that fails too, the first failure is the one to tell."""
    with contextlib.suppress(OSError):
        _remove(partial)


def _remove(partial: Path) -> None:
    for suffix in ("", *_LOGS):
        partial.with_name(partial.name + suffix).unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
