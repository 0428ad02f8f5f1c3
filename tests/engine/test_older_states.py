"""States that the release before wrote are read, and their runs go on to the end."""

import json
from pathlib import Path

import pytest

from kneo_grpc.domain.plan import AgentPlan, FunctionPlan, Plan, StepPlan, WorkflowPlan
from kneo_grpc.domain.run import RunStatus
from kneo_grpc.engine.machine import decide, open_commands
from kneo_grpc.engine.messages import RunStep, StepCompleted
from kneo_grpc.engine.state import read_state, write_state

STORED = json.loads((Path(__file__).parent / "golden" / "state_format_1.json").read_text())


def function(name: str) -> StepPlan:
    return StepPlan(id=name, kind="function", ref="same")


PLAN = Plan(
    agents={"": AgentPlan(name="agent")},
    functions={"same": FunctionPlan(name="same", implementation="x.y")},
    workflows={
        "": WorkflowPlan(
            name="outer",
            kind="sequential",
            steps=(
                function("a"),
                StepPlan(id="n", kind="workflow", ref="inner"),
                function("b"),
            ),
        ),
        "inner": WorkflowPlan(
            name="inner", kind="sequential", steps=(function("x"), function("y"))
        ),
    },
)


def test_a_run_of_format_1_goes_on_to_its_end() -> None:
    state = read_state(STORED)
    assert (state.visited_steps, state.visited_nodes) == (("a",), ())
    (command,) = open_commands(PLAN, state)
    performed = []
    while state.status is RunStatus.RUNNING:
        assert isinstance(command, RunStep)
        performed.append((command.path, command.text))
        done = StepCompleted(path=command.path, output=command.step.id.upper())
        decision = decide(PLAN, state, done)
        state = decision.state
        assert read_state(write_state(state)) == state
        command = decision.commands[0] if decision.commands else None
    assert performed == [("n#1/y#1", "X"), ("b#1", "Y")]
    assert (state.output, state.visited_steps) == ("B", ("a", "n", "b"))


def test_a_format_that_is_not_known_is_refused() -> None:
    with pytest.raises(ValueError, match="state format 7 is unknown"):
        read_state({**STORED, "format": 7})
