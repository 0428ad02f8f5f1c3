"""The engine alone: decisions a second, in this process, counted in its CPU seconds."""

import time

from bench.stage import Row, Stage
from kneo_grpc.domain.plan import (
    AgentPlan,
    ConditionPlan,
    EdgePlan,
    FunctionPlan,
    Plan,
    StepPlan,
    WorkflowPlan,
)
from kneo_grpc.domain.run import TERMINAL, RunStatus
from kneo_grpc.engine.machine import decide
from kneo_grpc.engine.messages import Event, RunStep, Started, StepCompleted
from kneo_grpc.engine.state import initial

LOOP_STEPS = 1_000
ROUNDS = 9
SECONDS = 0.4


async def measure(stage: Stage) -> list[Row]:
    """Measure a plan of three steps, and a loop of two nodes that goes round a thousand steps."""
    rows = []
    for name, plan in (("three steps", three_steps()), (f"loop of {LOOP_STEPS}", loop())):
        rates = sorted(_rate(plan) for _ in range(ROUNDS))
        row = Row(scenario=f"engine, {name}")
        row.facts = {
            "decisions per CPU s": round(rates[len(rates) // 2]),
            "most": round(rates[-1]),
            "least": round(rates[0]),
        }
        rows.append(row)
    return rows


def three_steps() -> Plan:
    """Return a plan of three functions in sequence."""
    return _plan(WorkflowPlan(name="three", kind="sequential", steps=tuple(map(_step, "abc"))))


def loop() -> Plan:
    """Return a graph that goes from a to b and back, until it may execute no more nodes."""
    never = ConditionPlan(type="output_equals", value="over")
    edges = (EdgePlan(source="a", target="b"), EdgePlan(source="b", target="a"))
    leave = (EdgePlan(source="a", target="c", condition=never),)
    return _plan(
        WorkflowPlan(
            name="loop",
            kind="graph",
            start="a",
            steps=tuple(map(_step, "abc")),
            edges=leave + edges,
            max_steps=LOOP_STEPS,
        )
    )


def _step(name: str) -> StepPlan:
    return StepPlan(id=name, kind="function", ref="same")


def _plan(workflow: WorkflowPlan) -> Plan:
    functions = {"same": FunctionPlan(name="same", implementation="bench.functions.same")}
    return Plan(agents={"": AgentPlan(name="agent")}, workflows={"": workflow}, functions=functions)


def _rate(plan: Plan) -> float:
    """Return decisions per CPU second, of runs that go from their start to their end."""
    events = _events(plan)
    begun = time.process_time()
    decisions = 0
    while (used := time.process_time() - begun) < SECONDS:
        state = initial("workflow", "hello world")
        for event in events:
            state = decide(plan, state, event).state
        assert state.status in TERMINAL
        decisions += len(events)
    return decisions / used


def _events(plan: Plan) -> list[Event]:
    """Return what a run is told until it is over."""
    events: list[Event] = [Started()]
    decision = decide(plan, initial("workflow", "hello world"), events[0])
    while decision.state.status is RunStatus.RUNNING:
        (command,) = decision.commands
        assert isinstance(command, RunStep)
        events.append(StepCompleted(path=command.path, output="done"))
        decision = decide(plan, decision.state, events[-1])
    return events
