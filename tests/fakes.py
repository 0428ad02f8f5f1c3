"""Time and identity that a test decides."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta

from kneo_grpc.integrations.clock import SystemClock


class ShiftedClock(SystemClock):
    """The machine's clock, set wrong."""

    def __init__(self, shift: timedelta) -> None:
        self._shift = shift

    def now(self) -> datetime:
        return super().now() + self._shift


class FakeClock:
    """Stands still unless a test moves it; whoever sleeps moves it too."""

    def __init__(self, start: datetime = datetime(2030, 1, 1, tzinfo=UTC)) -> None:
        self._now = start

    def now(self) -> datetime:
        return self._now

    def advance(self, duration: timedelta) -> None:
        self._now += duration

    async def sleep(self, duration: timedelta) -> None:
        self.advance(duration)
        # A sleeper lets others go on, as with the real clock.
        await asyncio.sleep(0)


class CountingIds:
    """Ids in the form of UUIDv7 that count from 1 within each prefix."""

    def __init__(self) -> None:
        self._last: Counter[str] = Counter()

    def new(self, prefix: str) -> str:
        self._last[prefix] += 1
        return f"{prefix}_00000000-0000-7000-8000-{self._last[prefix]:012d}"
