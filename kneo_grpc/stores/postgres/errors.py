"""The one place where asyncpg's errors become ours."""

import asyncpg

from kneo_grpc.domain.errors import InvalidInput, KneoError, StartRefused, StoreUnavailable

DRIVER_ERRORS = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
    ValueError,
)
"""What the driver raises; ValueError stands for values that cannot be encoded."""

_LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.OperatorInterventionError,
    OSError,
    TimeoutError,
)
_CROSSED = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
_BUSY = (
    asyncpg.LockNotAvailableError,
    asyncpg.QueryCanceledError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.ReadOnlySQLTransactionError,
    *_CROSSED,
)
_UNFIT = (asyncpg.DataError, UnicodeError)


def connection_lost(error: BaseException) -> bool:
    """Tell whether the connection is gone or of unknown state, so that it is unknown whether its
    statement landed.
    """
    return isinstance(error, _LOST) and not isinstance(error, asyncpg.QueryCanceledError)


def never_sent(error: BaseException) -> bool:
    """Tell whether the connection was dead before the statement left, so that nothing landed.

    The driver has no class for it: once the server's farewell has arrived, but the end of the
    stream has not, a connection still counts as open and refuses its next statement by this text.
    """
    if isinstance(error, asyncpg.InternalClientError):
        return str(error).startswith("cannot switch to state")
    return type(error) is asyncpg.InterfaceError and "connection is closed" in str(error)


def may_retry(error: BaseException) -> bool:
    """Tell whether the transaction was undone because it crossed another one."""
    return isinstance(error, _CROSSED)


def translate(error: Exception) -> Exception:
    """Return the error that a caller of the store shall see; a programmer's error stays as it
    is.
    """
    if isinstance(error, KneoError):
        return error
    if isinstance(error, _UNFIT):
        return InvalidInput("The database cannot store a value of this request.")
    if isinstance(error, asyncpg.LockNotAvailableError):
        return StoreUnavailable("A row stayed locked by another session.")
    if connection_lost(error) or isinstance(error, _BUSY):
        return StoreUnavailable("PostgreSQL does not answer.", cause=type(error).__name__)
    return error


def start_refused(error: Exception) -> Exception:
    """Return why the store cannot start, as a sentence for the operator without the password."""
    if isinstance(error, KneoError):
        return error
    if isinstance(error, ValueError) or type(error) is asyncpg.ClientConfigurationError:
        # The driver's text may quote parts of the address, and with it the password.
        return StartRefused(
            "The database URL cannot be read; it looks like "
            "postgresql://user:password@host:5432/database."
        )
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        return StartRefused(f"PostgreSQL denies what the service needs: {error}.")
    if isinstance(error, TimeoutError):
        return StartRefused("PostgreSQL does not answer: the time to connect ran out.")
    if isinstance(error, (OSError, asyncpg.PostgresError, asyncpg.InterfaceError)):
        first = str(error).partition("\n")[0].rstrip(".")
        return StartRefused(f"PostgreSQL does not answer: {first}.")
    return error
