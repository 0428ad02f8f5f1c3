"""Forks: from every point at which a run can go on, it comes to the same end."""

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kneo_grpc.domain.human import Decision as Choice
from kneo_grpc.domain.plan import (
    AgentPlan,
    EdgePlan,
    FunctionPlan,
    HumanPlan,
    Plan,
    StepPlan,
    WorkflowPlan,
)
from kneo_grpc.domain.run import RunStatus
from kneo_grpc.engine.machine import decide
from kneo_grpc.engine.messages import (
    MIDWAY,
    AskHuman,
    EventRefused,
    Forked,
    HumanAnswered,
    Started,
    StepCompleted,
)
from kneo_grpc.engine.state import initial, read_state, write_state


def step(name, kind="function", ref="f", **fields):
    return StepPlan(id=name, kind=kind, ref=ref, **fields)


def edge(source, target):
    return EdgePlan(source=source, target=target)


INNER = WorkflowPlan(
    name="inner", kind="sequential", steps=(step("x"), step("ask", "human", "boss"), step("y"))
)
SIDE = WorkflowPlan(name="side", kind="concurrent", steps=(step("p"), step("q", "human", "boss")))
ROOT = WorkflowPlan(
    name="w",
    kind="graph",
    start="a",
    max_steps=50,
    steps=(
        step("a", fan_out=True),
        step("b", "workflow", "inner"),
        step("c", "workflow", "side"),
        step("d", "human", "boss"),
        step("e", join="all"),
        step("f"),
    ),
    edges=(
        *(edge("a", "b"), edge("a", "c"), edge("a", "d")),
        *(edge("b", "e"), edge("c", "e"), edge("d", "e"), edge("e", "f")),
    ),
)
PLAN = Plan(
    agents={"": AgentPlan(name="root")},
    workflows={"": ROOT, "inner": INNER, "side": SIDE},
    functions={"f": FunctionPlan(name="f", implementation="m.f")},
    humans={"boss": HumanPlan(name="boss")},
)


def finish(decision, chance):
    """Do what is asked in any order until nothing is left; return the last state and all marks."""
    state, marks, work = decision.state, list(decision.marks), list(decision.commands)
    while work:
        command = work.pop(chance.randrange(len(work)))
        if isinstance(command, AskHuman):
            event = HumanAnswered(
                path=command.path, continuation_id="cont", decision=Choice.APPROVED
            )
        else:
            event = StepCompleted(path=command.path, output=f"{command.text}{command.step.id}")
        stored = json.loads(json.dumps(write_state(state)))
        followed = decide(PLAN, read_state(stored), event)
        state = followed.state
        marks += followed.marks
        work += followed.commands
    return state, marks


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_from_every_point_a_fork_comes_to_the_same_end(seed: int) -> None:
    chance = random.Random(seed)
    state, marks = finish(decide(PLAN, initial("workflow", "-"), Started()), chance)
    assert state.status is RunStatus.COMPLETED
    points = [mark.state for mark in marks if MIDWAY not in mark.metadata]
    *inside, last = points
    assert len(inside) >= 7
    for sequence, point in enumerate(inside, start=1):
        forked = decide(PLAN, point, Forked(source_id="run_1", sequence=sequence))
        assert forked.marks[0].type == "run_started"
        end, _ = finish(forked, chance)
        assert (end.status, end.output) == (RunStatus.COMPLETED, state.output)
        assert end.frames[""].visited[: len(point.visited_nodes)] == point.visited_nodes
    with pytest.raises(EventRefused):
        decide(PLAN, last, Forked(source_id="run_1", sequence=99))


def test_all_but_the_last_checkpoint_of_a_decision_are_midway() -> None:
    begun = decide(PLAN, initial("workflow", "-"), Started())
    followed = decide(PLAN, begun.state, StepCompleted(path="a#1", output="-a"))
    kinds = [(mark.type, mark.metadata.get(MIDWAY)) for mark in followed.marks]
    assert kinds == [
        ("node_completed", True),
        ("human_pause", True),
        ("human_pause", None),
    ]
