"""Time and identity, passed to constructors so that tests decide them."""

from datetime import datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """The process's clock. The database's clock, not this one, judges leases."""

    def now(self) -> datetime:
        """Return the present instant, aware, in UTC."""

    async def sleep(self, duration: timedelta) -> None:
        """Wait."""


class IdSource(Protocol):
    """Makes identifiers."""

    def new(self, prefix: str) -> str:
        """Return `prefix_` and a UUIDv7; ids made later in one process sort later."""
