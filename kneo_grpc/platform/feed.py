"""A run's history: its events and its checkpoints."""

from kneo_grpc.domain.ids import RunId
from kneo_grpc.domain.run import Checkpoint, TraceEvent
from kneo_grpc.platform.runs import Runs
from kneo_grpc.ports.store import Page, PageRequest, Store


class Feed:
    """Reads histories. Every method raises NotFound for a run that does not exist."""

    def __init__(self, store: Store, runs: Runs) -> None:
        self._store = store
        self._runs = runs

    async def trace(
        self, run_id: RunId, event_type: str | None, page: PageRequest
    ) -> Page[TraceEvent]:
        """Return a page of a run's events."""
        await self._runs.get(run_id)
        return await self._store.list_events(run_id, event_type, page)

    async def checkpoints(
        self, run_id: RunId, checkpoint_type: str | None, page: PageRequest
    ) -> Page[Checkpoint]:
        """Return a page of a run's checkpoints, each with the whole state."""
        await self._runs.get(run_id)
        return await self._store.list_checkpoints(run_id, checkpoint_type, page)
