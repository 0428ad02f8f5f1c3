"""The one place where sqlite3's errors become ours."""

import sqlite3
from pathlib import Path

from kneo_grpc.domain.errors import InvalidInput, KneoError, StartRefused, StoreUnavailable

_SENTENCES = {
    sqlite3.SQLITE_BUSY: "is locked by another process",
    sqlite3.SQLITE_LOCKED: "is locked by another process",
    sqlite3.SQLITE_FULL: "cannot grow: the disk is full",
    sqlite3.SQLITE_READONLY: "cannot be written",
    sqlite3.SQLITE_PERM: "cannot be opened: permission denied",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened",
    sqlite3.SQLITE_IOERR: "cannot be read or written: the disk fails",
    sqlite3.SQLITE_CORRUPT: "is damaged",
    sqlite3.SQLITE_NOTADB: "is damaged or not a SQLite database",
    sqlite3.SQLITE_NOMEM: "cannot be used: memory is short",
}
UNFIT = (UnicodeError, OverflowError)
"""What the driver raises for a text that is no Unicode, and for a number beyond 64 bits."""

_PRIMARY = 0xFF
"""The low byte of an extended result code is the primary one."""


def describe(path: Path, error: BaseException) -> str | None:
    """Return a sentence for what is wrong with the file, or None for a programmer's error."""
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", None)
        reason = None if code is None else _SENTENCES.get(code & _PRIMARY)
        return None if reason is None else f"The database file {path} {reason}."
    if isinstance(error, OSError):
        return f"The database file {path} cannot be opened: {error.strerror}."
    return None


def translate(path: Path, error: Exception) -> Exception:
    """Return the error that a caller of the store shall see; a programmer's error stays as it
    is.
    """
    if isinstance(error, UNFIT):
        return InvalidInput("The database cannot store a value of this request.")
    sentence = describe(path, error)
    return error if sentence is None else StoreUnavailable(sentence)


def start_refused(path: Path, error: Exception) -> Exception:
    """Return why the store cannot start, as a sentence for the operator."""
    if isinstance(error, KneoError):
        return error
    sentence = describe(path, error)
    return error if sentence is None else StartRefused(sentence)
