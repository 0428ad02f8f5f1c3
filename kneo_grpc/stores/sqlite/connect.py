"""Opens the SQLite file: a writer, readers, and the lock that keeps a second service out."""

import fcntl
import os
import sqlite3
import time
from datetime import timedelta
from pathlib import Path

from kneo_grpc.domain.errors import StartRefused

_PAUSE_SECONDS = 0.01


def open_writer(path: Path, busy_timeout: timedelta) -> sqlite3.Connection:
    """Open the file for writing; make it if it is not there. A commit is on disk before it
    returns.
    """
    connection = _open(path, "rwc", busy_timeout)
    try:
        _use_wal(connection, busy_timeout)
        connection.execute("pragma synchronous = full")
        connection.execute("pragma foreign_keys = on")
    except BaseException:
        connection.close()
        raise
    return connection


def open_reader(path: Path, busy_timeout: timedelta) -> sqlite3.Connection:
    """Open an existing file for reading."""
    connection = _open(path, "ro", busy_timeout)
    connection.create_function("fold", 1, _fold, deterministic=True)
    return connection


def take_lock(path: Path) -> int:
    """Lock `<file>.lock` for this process and return its descriptor; the operating system frees it
    when the process ends, however it ends. Raises StartRefused when another service holds it.
    """
    descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise StartRefused(
            f"The database file {path} is in use by another kneo service; stop it, or use "
            "PostgreSQL to run several."
        ) from None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def free_lock(descriptor: int) -> None:
    """Free what take_lock took. The lock file stays: to remove it would let two services in."""
    os.close(descriptor)


def _open(path: Path, mode: str, busy_timeout: timedelta) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=busy_timeout.total_seconds(),
        isolation_level=None,
        # One thread at a time uses a connection; the last to use it is the one that closes it.
        check_same_thread=False,
        cached_statements=128,
    )
    connection.row_factory = sqlite3.Row
    return connection


def _use_wal(connection: sqlite3.Connection, busy_timeout: timedelta) -> None:
    """Switch to the write-ahead log. Where another process does the same, SQLite refuses at once
    instead of waiting as it does for everything else.
    """
    end = time.monotonic() + busy_timeout.total_seconds()
    while True:
        try:
            connection.execute("pragma journal_mode = wal")
            return
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() >= end:
                raise
        time.sleep(_PAUSE_SECONDS)


def _fold(text: str | None) -> str | None:
    return None if text is None else text.casefold()
