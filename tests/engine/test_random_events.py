"""Any plan, told any events in any order: what must never happen does not.

`make engine EXAMPLES=10000` asks for more of them.
"""

import os
from dataclasses import fields

from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from kneo_grpc.domain.plan import Plan, StepPlan, WorkflowPlan
from kneo_grpc.domain.run import TERMINAL, RunStatus
from tests.engine.plans import Tape, plan_from
from tests.engine.world import World, choose_event, replayed, stale_event

EXAMPLES = int(os.environ.get("KNEO_TEST_ENGINE_EXAMPLES", "300"))
TOLD_MAX, DRAINED_MAX = 60, 3000
TAPE = st.binary(min_size=150, max_size=150)


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.large_base_example],
)
@given(TAPE, TAPE)
def test_whatever_happens_a_run_stays_whole(shape: bytes, happenings: bytes) -> None:
    plan = plan_from(Tape(shape))
    note(told(plan))
    world = World(plan)
    world.begun |= world.state.active.keys()
    tape = Tape(happenings)
    for _ in range(TOLD_MAX):
        if tape.over:
            break
        while tape.often(1, 4):
            world.refuse(stale_event(world, tape))
        event = choose_event(world, tape)
        if event is None:
            break
        note(f"{event}")
        world.tell(event, reloaded=tape.often(1, 4))
        world.begun |= world.state.active.keys()
        if world.can_fork and tape.often(1, 16):
            note("fork")
            drain(World(plan, world))
    drain(world)
    assert replayed(world.plan, world.accepted) == world.state


def drain(world: World) -> None:
    """Let everything succeed: the run ends."""
    nothing_more = Tape(b"")
    for _ in range(DRAINED_MAX):
        if world.over:
            break
        event = choose_event(world, nothing_more)
        assert event is not None
        world.tell(event)
    assert world.state.status in TERMINAL, "the run does not end"
    if world.state.status is not RunStatus.FAILED:
        world.refuse(stale_event(world, nothing_more))


def told(plan: Plan) -> str:
    """A plan for the eye: fields that say nothing new are left out."""
    lines = []
    for flow in plan.workflows.values():
        lines.append(f"{flow.name}: {_lean(flow)}")
        lines += [f"  {_lean(step)}" for step in flow.steps]
        lines += [f"  {edge.source} -> {edge.target} {edge.condition or ''}" for edge in flow.edges]
    return "\n".join(lines)


def _lean(part: WorkflowPlan | StepPlan) -> dict[str, object]:
    known = {field.name: field for field in fields(part)}
    shown = {name: getattr(part, name) for name in known if name not in ("steps", "edges")}
    return {name: value for name, value in shown.items() if value != known[name].default}
