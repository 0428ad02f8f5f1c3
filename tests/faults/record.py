"""Is what a store holds of a run exactly what the engine decided? The engine itself is asked."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kneo_grpc.domain.ids import RunId
from kneo_grpc.domain.plan import Plan
from kneo_grpc.domain.plan_codec import decode_plan
from kneo_grpc.domain.run import Run, RunStatus
from kneo_grpc.engine.machine import decide
from kneo_grpc.engine.messages import Decision, Mark, Note, RunStep, Started, StepCompleted
from kneo_grpc.engine.state import State, initial, write_state
from kneo_grpc.ports.store import PageRequest, Store
from tests.faults.service_process import STEPS

SPLIT = PageRequest(limit=1000, sort_by="sequence")


@dataclass
class History:
    """All that the engine decided since the start of a run, and where it stands."""

    state: State
    marks: list[Mark] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)


def replay(plan: Plan, text: str, finished: int) -> History:
    """Replay a run whose first steps have finished, each with the output that its code gives."""
    history = History(initial("workflow", text))

    def follow(decision: Decision) -> Decision:
        history.state = decision.state
        history.marks += decision.marks
        history.notes += decision.notes
        return decision

    decision = follow(decide(plan, history.state, Started()))
    for name in STEPS[:finished]:
        (command,) = decision.commands
        assert isinstance(command, RunStep)
        assert command.step.id == name
        event = StepCompleted(path=command.path, output=f"{command.text} {name}")
        decision = follow(decide(plan, history.state, event))
    return history


async def check_record(
    store: Store, run_id: str, finished: int, unfinished: RunStatus = RunStatus.RUNNING
) -> Run:
    """Assert that the store holds a run with so many finished steps, and nothing else of it.
    unfinished: its status where steps are left.
    """
    run = await store.load_run(RunId(run_id))
    assert run is not None
    plan = await store.load_plan(run.plan_digest)
    assert plan is not None
    history = replay(decode_plan(plan), run.input_text, finished)

    checkpoints = (await store.list_checkpoints(run.id, None, SPLIT)).items
    assert [item.sequence for item in checkpoints] == list(range(1, len(history.marks) + 1))
    assert [(item.type, item.step_id, timeless(item.state)) for item in checkpoints] == [
        (mark.type, mark.step_id, timeless(write_state(mark.state))) for mark in history.marks
    ]
    recorded = [item.step_id for item in checkpoints if item.type == "step_completed"]
    assert recorded == list(STEPS[:finished])

    events = (await store.list_events(run.id, None, SPLIT)).items
    assert [item.sequence for item in events] == list(range(1, len(history.notes) + 1))
    assert [item.type for item in events] == [note.type for note in history.notes]

    loaded = await store.load_state(run.id)
    assert timeless(loaded.state) == timeless(write_state(history.state))
    assert loaded.checkpoint_sequence == run.checkpoint_sequence == len(checkpoints)
    assert run.event_sequence == len(events)
    assert run.status is (RunStatus.COMPLETED if finished == len(STEPS) else unfinished)
    assert run.visited_steps == STEPS[:finished]
    return run


def timeless(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return a state's data without the times at which steps began: no replay knows them."""
    active = {path: {**step, "started_at": 0.0} for path, step in state["active"].items()}
    return {**state, "active": active}
