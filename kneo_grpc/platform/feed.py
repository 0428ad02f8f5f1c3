"""A run's history: its events and its checkpoints."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from kneo_grpc.domain.data import to_data
from kneo_grpc.domain.ids import RunId
from kneo_grpc.domain.run import Checkpoint, Run, TraceEvent
from kneo_grpc.engine.state import read_state
from kneo_grpc.platform.runs import Runs
from kneo_grpc.ports.store import Page, PageRequest, Store


class Feed:
    """Reads histories. Every method raises NotFound for a run that does not exist."""

    def __init__(self, store: Store, runs: Runs) -> None:
        self._store = store
        self._runs = runs

    async def trace(
        self, run_id: RunId, event_type: str | None, page: PageRequest
    ) -> tuple[Run, Page[TraceEvent]]:
        """Return a run and a page of its events. The run is read first: of one that has ended, the
        page misses nothing.
        """
        run = await self._runs.get(run_id)
        return run, await self._store.list_events(run_id, event_type, page)

    async def checkpoints(
        self, run_id: RunId, checkpoint_type: str | None, page: PageRequest
    ) -> Page[Checkpoint]:
        """Return a page of a run's checkpoints, each with the run's state at that moment."""
        await self._runs.get(run_id)
        found = await self._store.list_checkpoints(run_id, checkpoint_type, page)
        items = (replace(item, state=state_view(run_id, item.state)) for item in found.items)
        return replace(found, items=tuple(items))


def state_view(run_id: RunId, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the engine's state as a run's: under the run's field names, without absent ones.

    active_steps: what was under way or waiting, each with step_path, step_id, phase and attempt.
    """
    state = read_state(data)
    active = [
        {
            "step_path": path,
            "step_id": step.step_id,
            "phase": step.phase,
            "attempt": step.attempt,
            "input_text": step.text,
        }
        for path, step in state.active.items()
    ]
    view = {
        "id": run_id,
        "status": state.status.value,
        "target": state.target,
        "input_text": state.input,
        "output_text": state.output,
        "current_step_id": active[0]["step_id"] if active else None,
        "visited_steps": list(state.visited_steps),
        "visited_nodes": list(state.visited_nodes),
        "active_steps": active,
        "failed_step": state.failed_step,
        "error": to_data(state.error),
    }
    return {key: value for key, value in view.items() if value is not None}
