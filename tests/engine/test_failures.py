"""Faults that random events found, each on the smallest plan that shows it."""

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
from kneo_grpc.engine.messages import (
    AskHuman,
    Continued,
    HumanAnswered,
    RunStep,
    StepCompleted,
    StepFailed,
)
from tests.engine.world import World


def step(name: str, kind: str = "function", **fields: object) -> StepPlan:
    return StepPlan(id=name, kind=kind, ref=fields.pop("ref", name), **fields)


def graph(*steps: StepPlan, ways: str, **fields: object) -> WorkflowPlan:
    """ways: such as "ab bc": an edge from a to b and one from b to c."""
    edges = tuple(EdgePlan(source=way[0], target=way[1]) for way in ways.split())
    start = steps[0].id
    return WorkflowPlan(name="g", kind="graph", steps=steps, start=start, edges=edges, **fields)


def sequence(*steps: StepPlan) -> WorkflowPlan:
    return WorkflowPlan(name="s", kind="sequential", steps=steps)


def world(root: WorkflowPlan, **workflows: WorkflowPlan) -> World:
    flows = {"": root, **workflows}
    refs = {item.ref for flow in flows.values() for item in flow.steps}
    return World(
        Plan(
            agents={name: AgentPlan(name=name or "root") for name in ("", "chooser", *refs)},
            workflows=flows,
            functions={name: FunctionPlan(name=name, implementation="m.f") for name in refs},
            humans={name: HumanPlan(name=name) for name in refs},
        )
    )


def done(run: World, path: str, output: str = "out") -> None:
    run.tell(StepCompleted(path=path, output=output))


def fail(run: World, path: str, message: str = "no") -> None:
    run.tell(StepFailed(path=path, error_type="ValueError", message=message))


def test_a_failure_that_was_passed_over_is_not_repeated_after_max_steps() -> None:
    run = world(graph(step("a", on_error="continue"), ways="aa", max_steps=1))
    fail(run, "a#1")
    assert (run.state.status, run.state.error.type) == (RunStatus.FAILED, "max_iterations")
    assert "a#1" in run.completed
    run.refuse(Continued())


def test_a_choice_that_was_passed_over_is_not_repeated_after_max_steps() -> None:
    chat = WorkflowPlan(
        name="c", kind="handoff", steps=(step("x"),), selector="agent", selector_ref="chooser"
    )
    outer = step("n", "workflow", ref="chat", on_error="continue")
    run = world(graph(outer, ways="nn", max_steps=1), chat=chat)
    done(run, "n#1/#selector#1", "nobody")
    assert (run.state.status, run.state.error.type) == (RunStatus.FAILED, "max_iterations")
    run.refuse(Continued())


def test_a_choice_of_nobody_is_made_again_where_the_run_is_continued() -> None:
    chat = WorkflowPlan(
        name="c", kind="handoff", steps=(step("x"),), selector="agent", selector_ref="chooser"
    )
    run = world(sequence(step("n", "workflow", ref="chat")), chat=chat)
    done(run, "n#1/#selector#1", "nobody")
    assert run.state.error.type == "handoff_target_unknown"
    run.tell(Continued())
    assert list(run.open) == ["n#1/#selector#1"]


def test_two_workflows_in_one_place_do_not_share_their_steps_paths() -> None:
    """A branch of the first is under way when the second takes over."""
    first = WorkflowPlan(name="f", kind="concurrent", steps=(step("x"), step("y")))
    second = sequence(step("x"))
    run = world(
        sequence(
            step("n", "workflow", ref="first", on_error="fallback", fallback_ref="z"),
            step("z", "workflow", ref="second", enabled=False),
        ),
        first=first,
        second=second,
    )
    assert set(run.open) == {"n#1/x#1", "n#1/y#1"}
    fail(run, "n#1/y#1")
    assert set(run.open) == {"n#1#z/x#1"}
    run.refuse(StepCompleted(path="n#1/x#1", output="late"))
    done(run, "n#1#z/x#1")
    assert run.state.status is RunStatus.COMPLETED
    assert run.state.visited_steps == ("n",)


def test_a_continue_goes_on_with_what_works_in_a_workflow_s_place() -> None:
    inner = sequence(step("x"), step("y"))
    run = world(
        sequence(
            step("n", "workflow", ref="inner", on_error="fallback", fallback_ref="z"),
            step("z", enabled=False),
        ),
        inner=inner,
    )
    done(run, "n#1/x#1")
    fail(run, "n#1/y#1")
    fail(run, "n#1")
    assert run.state.status is RunStatus.FAILED
    run.tell(Continued())
    (again,) = run.open.values()
    assert isinstance(again, RunStep)
    assert (again.path, again.step.id) == ("n#1", "z")
    done(run, "n#1")
    assert run.state.status is RunStatus.COMPLETED


def test_a_branch_behind_a_disabled_node_goes_on_when_another_has_joined() -> None:
    run = world(
        graph(
            step("a", fan_out=True),
            step("b"),
            step("c"),
            step("d", join="any"),
            step("x", enabled=False),
            ways="ab ac bd cx xd",
        )
    )
    done(run, "a#1")
    done(run, "b#1", "B")
    assert set(run.open) == {"c#1", "d#1"}, "c cannot come to d"
    done(run, "c#1", "C")
    done(run, "d#1", "D")
    assert (run.state.status, run.state.output) == (RunStatus.COMPLETED, "D\n\nC")


def test_a_question_that_ends_as_soon_as_it_is_asked_is_not_asked() -> None:
    """The empty workflow is over at once, and so is the branch that would have asked."""
    run = world(
        graph(
            step("a", fan_out=True),
            step("h", "human"),
            step("e", "workflow", ref="empty"),
            step("d", join="any"),
            ways="ah ae hd ed",
        ),
        empty=sequence(step("x", enabled=False)),
    )
    done(run, "a#1")
    assert set(run.open) == {"d#1"}


def test_a_rejection_that_is_passed_over_does_not_ask_again() -> None:
    inner = sequence(step("h", "human", on_reject="fail"))
    outer = step("n", "workflow", ref="inner", on_error="continue")
    run = world(graph(outer, ways="nn", max_steps=1), inner=inner)
    (ask,) = run.open.values()
    assert isinstance(ask, AskHuman)
    run.tell(HumanAnswered(path=ask.path, continuation_id="c", decision=Choice.REJECTED))
    assert run.state.error.type == "max_iterations"
    run.refuse(Continued())


def test_an_agent_that_chooses_is_offered_those_only_who_can_be_chosen() -> None:
    chat = WorkflowPlan(
        name="c",
        kind="group-chat",
        steps=(step("a"), step("b"), step("c")),
        selector="agent",
        selector_ref="chooser",
        selector_sequence=("c", "a", "c"),
    )
    run = world(chat)
    (ask,) = run.open.values()
    assert isinstance(ask, RunStep)
    assert "Participants: c, a\n" in ask.text


def test_texts_that_double_in_every_round_end_the_run_before_they_fill_the_memory() -> None:
    run = world(graph(step("a", fan_out=True, join="all"), ways="aa aa", max_steps=100))
    while not run.over:
        (path,) = run.open
        done(run, path, run.open[path].text)
    assert (run.state.status, run.state.error.type) == (RunStatus.FAILED, "output_too_large")
    assert len(run.state.visited_nodes) < 20
    run.refuse(Continued())


def test_a_run_that_fails_in_the_turn_in_which_a_step_began_has_nothing_performed() -> None:
    empty = sequence(step("x", enabled=False))
    ring = graph(step("a", "workflow", ref="empty"), ways="aa", max_steps=3)
    root = WorkflowPlan(
        name="c", kind="concurrent", steps=(step("f"), step("b", "workflow", ref="ring"))
    )
    run = world(root, empty=empty, ring=ring)
    assert run.state.status is RunStatus.FAILED
    assert not run.open
