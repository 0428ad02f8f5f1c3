"""Whichever branch is faster, a graph whose branches wait for each other gives the same text."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kneo_grpc.domain.plan import FunctionPlan, HumanPlan, Plan, StepPlan, WorkflowPlan
from kneo_grpc.domain.run import RunStatus
from kneo_grpc.engine.messages import RunStep, StepCompleted
from tests.engine.plans import Tape
from tests.engine.test_failures import graph
from tests.engine.test_random_events import EXAMPLES
from tests.engine.world import World

NODES = "abcdef"


@settings(
    max_examples=EXAMPLES // 4,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(st.binary(min_size=40, max_size=40), st.binary(min_size=60, max_size=60))
def test_the_order_in_which_branches_end_does_not_show(shape: bytes, order: bytes) -> None:
    plan = acyclic(Tape(shape))
    outputs, visits = zip(*(carried(plan, Tape(turns)) for turns in (b"", order)), strict=True)
    assert outputs[0] == outputs[1]
    assert visits[0] == visits[1]


def acyclic(tape: Tape) -> Plan:
    """Return a graph without rings in which every branch is followed and every meeting waits."""
    names = NODES[: 3 + tape.number(4)]
    ways = [
        f"{source}{target}"
        for index, source in enumerate(names)
        for target in names[index + 1 :]
        if tape.often(1, 2)
    ]
    nodes = [
        StepPlan(
            id=name,
            kind="function",
            ref="f",
            fan_out=tape.often(2, 3),
            join=None if name == names[0] else tape.one(("all", "all", None)),
            enabled=name == names[0] or not tape.often(1, 8),
        )
        for name in names
    ]
    root: WorkflowPlan = graph(*nodes, ways=" ".join(ways), max_steps=1000)
    return Plan(
        agents={},
        workflows={"": root},
        functions={"f": FunctionPlan(name="f", implementation="m.f")},
        humans={"f": HumanPlan(name="f")},
    )


def carried(plan: Plan, tape: Tape) -> tuple[str | None, list[str]]:
    """Return the output of a run and the nodes that it executed, sorted."""
    run = World(plan)
    while not run.over:
        command = run.open[tape.one(sorted(run.open))]
        assert isinstance(command, RunStep)
        output = f"{command.step.id}({command.text})".replace("\n\n", ",")
        run.tell(StepCompleted(path=command.path, output=output))
    assert run.state.status is RunStatus.COMPLETED
    return run.state.output, sorted(run.state.visited_nodes)
