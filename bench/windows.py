"""Closed loops: each of c callers asks again as soon as it has its answer."""

import asyncio
import math
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from bench.usage import Usage

Call = Callable[[], Awaitable[object]]


@dataclass(slots=True)
class Window:
    """What happened in one stretch of time. latencies: of the calls that succeeded, in seconds.

    seen: the same by the callers' own clocks, where latencies are by the database's.
    """

    seconds: float
    latencies: list[float]
    failures: list[str] = field(default_factory=list)
    usage: Usage | None = None
    seen: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Calls that succeeded per second."""
        return len(self.latencies) / self.seconds

    def quantile_ms(self, share: float) -> float:
        """Return a latency percentile in milliseconds."""
        return percentile(self.latencies, share) * 1_000


async def drive(concurrency: int, seconds: float, call: Call, *, count: float = math.inf) -> Window:
    """Let callers go for some time or some calls; each ends with the call that it has begun."""
    begun = 0
    latencies: list[float] = []
    failures: list[str] = []
    begin = time.perf_counter()
    deadline = begin + seconds

    async def caller() -> None:
        nonlocal begun
        while begun < count and (before := time.perf_counter()) < deadline:
            begun += 1
            try:
                await call()
            except Exception as error:
                failures.append(f"{type(error).__name__}: {error}"[:300])
                if len(failures) > 1_000:
                    return
            else:
                latencies.append(time.perf_counter() - before)

    await asyncio.gather(*(caller() for _ in range(concurrency)))
    return Window(time.perf_counter() - begin, latencies, failures)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which a share of the values lies; 0.0 without values."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@dataclass(slots=True)
class Series:
    """Windows of the same kind."""

    windows: list[Window] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Median of the windows' rates."""
        return statistics.median(window.rate for window in self.windows) if self.windows else 0.0

    @property
    def failed(self) -> int:
        """Calls that failed, in all windows."""
        return sum(len(window.failures) for window in self.windows)

    @property
    def count(self) -> int:
        """Calls that succeeded, in all windows."""
        return sum(len(window.latencies) for window in self.windows)

    def quantile_ms(self, share: float) -> float:
        """Median over the windows of a latency percentile, in milliseconds."""
        found = [window.quantile_ms(share) for window in self.windows]
        return statistics.median(found) if found else 0.0

    def cost(self, party: str) -> float:
        """Median CPU seconds of a party per 1,000 calls."""
        shares = [
            window.usage.cpu.get(party, 0.0) / len(window.latencies) * 1_000
            for window in self.windows
            if window.usage is not None and window.latencies
        ]
        return statistics.median(shares) if shares else 0.0

    def others(self) -> float:
        """Median share of the machine that went to processes which are not measured."""
        shares = [window.usage.others for window in self.windows if window.usage is not None]
        return statistics.median(shares) if shares else 0.0

    def wal_bytes(self) -> float:
        """Median bytes of write-ahead log per call."""
        shares = [
            window.usage.wal_bytes / len(window.latencies)
            for window in self.windows
            if window.usage is not None and window.latencies
        ]
        return statistics.median(shares) if shares else 0.0

    def first_failure(self) -> str:
        """Return what the first failed call said."""
        return next((text for window in self.windows for text in window.failures), "")
