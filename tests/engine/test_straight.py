"""Which decisions go the short way; that it leads to the same end, every World compares."""

import pytest

from kneo_grpc.domain.plan import WorkflowPlan
from kneo_grpc.domain.run import RunStatus
from kneo_grpc.engine.machine import decide_at_length
from kneo_grpc.engine.messages import Decision, Note, StepCompleted
from kneo_grpc.engine.state import initial
from kneo_grpc.engine.straight import straight_in, straight_on
from tests.engine.test_failures import done, fail, graph, sequence, step, world
from tests.engine.world import World

SEQUENCE = sequence(step("a"), step("b", enabled=False), step("c"))
LOOP = graph(step("a"), step("b"), ways="ab ba", max_steps=5)


def on(run: World, path: str, **fields: object) -> Decision | None:
    return straight_on(run.plan, run.state, StepCompleted(path=path, output="x", **fields), 2.0)


@pytest.mark.parametrize("root", [SEQUENCE, LOOP])
def test_a_run_of_functions_goes_the_short_way(root: WorkflowPlan) -> None:
    run = world(root)
    start = initial("workflow", "in")
    assert straight_in(run.plan, start, 2.0) is not None
    taken = 0
    while run.state.status is RunStatus.RUNNING:
        (path,) = run.state.active
        taken += on(run, path, metadata={"note": "y" * 600}) is not None
        run.tell(StepCompleted(path=path, output="o" * 600, metadata={"note": 1}))
    steps = len(run.completed)
    # What ends a graph that went round too often is a failure.
    assert (steps, taken) in ((2, 2), (5, 4))


@pytest.mark.parametrize("root", [SEQUENCE, LOOP])
def test_what_the_short_way_says_is_what_the_machine_says(root: WorkflowPlan) -> None:
    run = world(root)
    start = initial("workflow", "in")
    begun = straight_in(run.plan, start, 2.0)
    assert begun is not None
    state = begun.state
    for number in range(2):
        (path,) = state.active
        event = StepCompleted(path, "o" * 600, {"at": number})
        decision = straight_on(run.plan, state, event, 2.0)
        assert decision == decide_at_length(run.plan, state, event, 2.0)
        assert decision is not None
        state = decision.state


def test_whatever_is_not_simple_goes_the_long_way() -> None:
    agents = world(sequence(step("a", "agent"), step("b")))
    assert on(agents, "a#1") is None
    assert straight_in(agents.plan, initial("workflow", "in"), 0.0) is None
    done(agents, "a#1")
    assert on(agents, "b#1", notes=(Note("t"),)) is None
    assert on(agents, "b#1", metadata={"step_failed": True}) is None
    assert on(agents, "nobody#1") is None
    assert on(agents, "b#1") is not None

    asks = world(sequence(step("a"), step("b", "human")))
    assert on(asks, "a#1") is None
    asks.tell(StepCompleted("a#1", "x"))
    assert on(asks, "b#1") is None

    retried = world(sequence(step("a", max_retries=1), step("b")))
    fail(retried, "a#1")
    assert on(retried, "a#1") is None

    replaced = world(sequence(step("a", on_error="fallback", fallback_ref="b"), step("b")))
    fail(replaced, "a#1")
    assert on(replaced, "a#1") is None

    parted = world(
        graph(
            step("a", fan_out=True), step("b"), step("c"), step("d", join="all"), ways="ab ac bd cd"
        )
    )
    assert on(parted, "a#1") is None
    done(parted, "a#1")
    assert on(parted, "b#1") is None
    done(parted, "b#1")
    assert on(parted, "c#1") is not None
