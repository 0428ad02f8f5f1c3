"""What is left to do in a run."""

from dataclasses import dataclass

from kneo_grpc.domain.ids import RunId
from kneo_grpc.domain.run import Run, RunStatus
from kneo_grpc.engine.state import State
from kneo_grpc.platform.decisions import state_after
from kneo_grpc.platform.runs import Runs
from kneo_grpc.ports.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryView:
    """A run and where a continuation would start. next_step_index: 0-based."""

    run: Run
    completed_steps: tuple[str, ...]
    failed_step: str | None
    next_step_index: int
    resume_input: str
    can_continue: bool
    can_replay: bool


class Recovery:
    """Looks at runs that stopped."""

    def __init__(self, store: Store, runs: Runs) -> None:
        self._store = store
        self._runs = runs

    async def view(self, run_id: RunId) -> RecoveryView:
        """Return what is left to do in a run. Raises NotFound."""
        run = await self._runs.get(run_id)
        loaded = await self._store.load_state(run_id)
        state = state_after(run, loaded)
        frame = state.frames.get("")
        return RecoveryView(
            run=run,
            completed_steps=state.visited_steps,
            failed_step=state.failed_step,
            next_step_index=frame.position if frame else 0,
            resume_input=_resume_input(run, state),
            can_continue=run.status is RunStatus.FAILED and bool(state.interrupted),
            can_replay=True,  # the plan is stored with every run
        )


def _resume_input(run: Run, state: State) -> str:
    if state.failed_input is not None:
        return state.failed_input
    active = next(iter(state.active.values()), None)
    if active is not None:
        return active.text
    frame = state.frames.get("")
    return frame.text if frame else run.input_text
