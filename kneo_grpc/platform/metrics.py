"""What an operator's monitoring asks for: this process's counters and the queue's size."""

from collections.abc import Mapping
from dataclasses import dataclass

from kneo_grpc.domain.errors import StoreUnavailable
from kneo_grpc.ports.counts import RunCounts
from kneo_grpc.ports.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """counters: only grow while the process lives. gauges: the present; those that the database
    knows are missing while it does not answer.
    """

    counters: Mapping[str, int]
    gauges: Mapping[str, int]


class Metrics:
    """Reads the counters. workers: how many worker loops this process has."""

    def __init__(self, *, store: Store, counts: RunCounts, workers: int) -> None:
        self._store = store
        self._counts = counts
        self._workers = workers

    async def read(self) -> Measured:
        """Read everything once."""
        counts = self._counts
        gauges = {"worker_count": self._workers}
        try:
            jobs = await self._store.count_jobs()
        except StoreUnavailable:
            jobs = {}
        gauges |= {f"runs_{name}": jobs[name] for name in ("queued", "running") if name in jobs}
        return Measured(
            counters={
                "runs_started": counts.started,
                "runs_completed": counts.completed,
                "runs_failed": counts.failed,
                "runs_dead_lettered": counts.dead_lettered,
                "runs_rejected": counts.rejected,
            },
            gauges=gauges,
        )
