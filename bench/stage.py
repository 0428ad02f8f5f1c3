"""What every scenario is given: the database server, a meter, the pace; and what it returns."""

import statistics
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.cluster import Cluster
from bench.service import Site
from bench.usage import Meter
from bench.windows import Series, Window

Value = float | int | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long and how often is measured. seconds: of a window; floor_seconds: of the floor's."""

    windows: int = 5
    seconds: float = 2.5
    floor_seconds: float = 1.5
    read_seconds: float = 0.8
    warm_seconds: float = 1.0
    concurrencies: tuple[int, ...] = (1, 8, 32, 128)
    stored: tuple[int, ...] = (1_000, 100_000)
    backlog: int = 5_000
    idle_runs: int = 100


QUICK = Pace(windows=2, seconds=1.5, floor_seconds=1.0, warm_seconds=0.5, concurrencies=(32,))


@dataclass(slots=True, kw_only=True)
class Row:
    """One line of a result. facts and costs: by the names of their columns, in two tables."""

    scenario: str
    protocol: str = ""
    concurrency: int = 0
    facts: dict[str, Value] = field(default_factory=dict)
    costs: dict[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One private PostgreSQL for all scenarios, a database of its own for each."""

    cluster: Cluster
    meter: Meter
    folder: Path
    pace: Pace

    async def site(self, name: str) -> Site:
        """Make a database and a folder for services on it. name: a constant of this package."""
        folder = self.folder / name
        folder.mkdir()
        return Site(folder, await self.cluster.create_database(name))


Scenario = Callable[[Stage], Awaitable[list[Row]]]


def ratio(series: Series, floor: Series) -> float:
    """Return the median of the ratios of windows that stood beside each other."""
    pairs = zip(series.windows, floor.windows, strict=True)
    return statistics.median(own.rate / below.rate for own, below in pairs)


def ratios(series: Series, floors: Mapping[str, Series]) -> dict[str, Value]:
    """Return the ratio to each kind of floor."""
    return {f"of floor, {kind}": round(ratio(series, floor), 3) for kind, floor in floors.items()}


def speed(series: Series) -> dict[str, Value]:
    """Return the facts of calls: rate, latencies, failures."""
    facts: dict[str, Value] = {
        "per s": round(series.rate, 1),
        "p50 ms": round(series.quantile_ms(0.5), 2),
        "p99 ms": round(series.quantile_ms(0.99), 2),
        "failed": series.failed,
    }
    if series.failed:
        facts["first failure"] = series.first_failure()
    return facts


def cost(series: Series) -> dict[str, Value]:
    """Return the facts of what 1,000 calls use."""
    facts: dict[str, Value] = {
        f"{party} CPU s": round(series.cost(party), 3)
        for party in ("service", "postgres", "envoy", "client")
    }
    facts["WAL bytes each"] = round(series.wal_bytes())
    facts["others' CPU %"] = round(series.others() * 100)
    return facts


def memory(window: Window) -> dict[str, Value]:
    """Return the resident memory at a window's end."""
    found = window.usage.memory if window.usage is not None else {}
    return {f"{party} MB": round(size) for party, size in found.items()}
