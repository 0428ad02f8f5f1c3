import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kneo_grpc.domain.data import evolve, to_data
from kneo_grpc.domain.human import Decision as Choice
from kneo_grpc.domain.plan import AgentPlan, FunctionPlan, HumanPlan, Plan, StepPlan, WorkflowPlan
from kneo_grpc.domain.run import TERMINAL, RunStatus
from kneo_grpc.engine.machine import decide, open_commands
from kneo_grpc.engine.messages import (
    AskHuman,
    Command,
    Continued,
    Decision,
    Ended,
    EventRefused,
    HumanAnswered,
    RetryDue,
    RunStep,
    Started,
    StepCompleted,
    StepFailed,
    WaitRetry,
)
from kneo_grpc.engine.state import ActiveStep, Frame, State, initial, read_state, write_state
from kneo_grpc.engine.texts import preview


def step(name: str, kind: str = "function", **fields: object) -> StepPlan:
    return StepPlan(id=name, kind=kind, ref=fields.pop("ref", name), **fields)


def plan_of(*steps: StepPlan, **workflows: WorkflowPlan) -> Plan:
    root = WorkflowPlan(name="w", kind="sequential", steps=steps)
    every = [item for flow in (root, *workflows.values()) for item in flow.steps]
    return Plan(
        agents={"": AgentPlan(name="root")},
        workflows={"": root, **workflows},
        functions={s.ref: FunctionPlan(name=s.ref, implementation="m.f") for s in every},
        humans={s.ref: HumanPlan(name=s.ref) for s in every},
    )


class Runner:
    """Drives the machine by hand; drops and rebuilds the state at every turn."""

    def __init__(self, plan: Plan, target: str = "workflow", text: str = "in") -> None:
        self.plan = plan
        self.state = initial(target, text)
        self.commands: list[Command] = []
        self.marks: list[str] = []
        self.notes: list[str] = []
        self.tell(Started())

    def tell(self, event: object) -> Decision:
        stored = json.loads(json.dumps(write_state(self.state)))
        decision = decide(self.plan, read_state(stored), event)
        self.state = decision.state
        self.commands = list(decision.commands)
        self.marks += [mark.type for mark in decision.marks]
        self.notes += [note.type for note in decision.notes]
        return decision

    def complete(self, output: str) -> Decision:
        (command,) = self.commands
        assert isinstance(command, RunStep)
        return self.tell(StepCompleted(path=command.path, output=output))

    def fail(self, message: str = "no", **fields: object) -> Decision:
        (command,) = self.commands
        assert isinstance(command, RunStep)
        return self.tell(
            StepFailed(path=command.path, error_type="ValueError", message=message, **fields)
        )


def test_each_step_is_given_the_output_of_the_one_before() -> None:
    run = Runner(plan_of(step("a"), step("b")))
    assert [c.text for c in run.commands] == ["in"]
    run.complete("one")
    assert [c.text for c in run.commands] == ["one"]
    run.complete("two")
    assert (run.state.status, run.state.output) == (RunStatus.COMPLETED, "two")
    assert run.state.visited_steps == ("a", "b")
    assert run.marks == ["run_started", "step_completed", "step_completed", "run_completed"]


def test_a_disabled_step_is_passed_over() -> None:
    run = Runner(plan_of(step("a", enabled=False), step("b"), step("c", enabled=False)))
    run.complete("out")
    assert (run.state.output, run.state.visited_steps) == ("out", ("b",))


def test_a_workflow_without_enabled_steps_returns_its_input() -> None:
    run = Runner(plan_of(step("a", enabled=False)))
    assert (run.state.status, run.state.output) == (RunStatus.COMPLETED, "in")


def test_a_failed_step_fails_the_run() -> None:
    run = Runner(plan_of(step("a"), step("b")))
    run.complete("one")
    run.fail("broken")
    assert run.state.status is RunStatus.FAILED
    assert (run.state.error.type, run.state.error.message) == ("ValueError", "broken")
    assert (run.state.failed_step, run.state.failed_input) == ("b", "one")
    assert run.marks == ["run_started", "step_completed", "step_failed", "run_failed"]


def test_retries_are_made_before_the_step_is_given_up() -> None:
    run = Runner(plan_of(step("a", on_error="retry", max_retries=2)))
    for attempt in (2, 3):
        run.fail()
        (wait,) = run.commands
        assert isinstance(wait, WaitRetry)
        run.tell(RetryDue(path=wait.path))
        assert run.commands[0].attempt == attempt
    run.fail()
    assert run.state.status is RunStatus.FAILED


def test_a_fault_that_cannot_mend_is_not_retried() -> None:
    run = Runner(plan_of(step("a", on_error="retry", max_retries=2)))
    run.fail(retriable=False)
    assert run.state.status is RunStatus.FAILED


def test_on_error_continue_hands_on_the_step_s_input() -> None:
    run = Runner(plan_of(step("a", on_error="continue"), step("b")))
    run.fail()
    assert [c.text for c in run.commands] == ["in"]
    run.complete("out")
    assert run.state.status is RunStatus.COMPLETED
    assert "step_failed" in run.marks


def test_a_fallback_takes_the_failed_step_s_place() -> None:
    run = Runner(plan_of(step("a", on_error="fallback", fallback_ref="z"), step("b"), step("z")))
    run.fail()
    assert run.commands[0].step.id == "z"
    run.complete("saved")
    assert run.commands[0].step.id == "b"
    assert run.state.visited_steps == ("a",)


def test_a_fallback_that_fails_fails_the_run() -> None:
    run = Runner(plan_of(step("a", on_error="fallback", fallback_ref="z"), step("z")))
    run.fail()
    run.fail()
    assert run.state.status is RunStatus.FAILED


@pytest.mark.parametrize(
    ("decision", "content", "option", "output"),
    [
        (Choice.APPROVED, None, None, "in"),
        (Choice.REJECTED, "no", None, "Rejected by human reviewer: no"),
        (Choice.EDITED, "E", None, "E"),
        (Choice.EDITED, "", None, ""),
        (Choice.SELECTED, None, "red", "red"),
        (Choice.PROVIDED, "P", None, "P"),
    ],
)
def test_a_decision_becomes_the_step_s_output(decision, content, option, output) -> None:
    run = Runner(plan_of(step("h", "human")))
    assert run.state.status is RunStatus.BLOCKED
    (ask,) = run.commands
    assert isinstance(ask, AskHuman)
    run.tell(
        HumanAnswered(
            path=ask.path,
            continuation_id="c",
            decision=decision,
            content=content,
            selected_option=option,
        )
    )
    assert (run.state.status, run.state.output) == (RunStatus.COMPLETED, output)
    assert run.marks == [
        "run_started",
        "human_pause",
        "human_resume",
        "step_completed",
        "run_completed",
    ]


def test_a_nested_workflow_is_one_step_of_the_outer_one_and_may_pause() -> None:
    inner = WorkflowPlan(name="i", kind="sequential", steps=(step("x"), step("h", "human")))
    run = Runner(plan_of(step("n", "workflow", ref="inner"), step("b"), inner=inner))
    assert run.commands[0].path == "n#1/x#1"
    run.complete("deep")
    assert run.state.status is RunStatus.BLOCKED
    (ask,) = run.commands
    run.tell(HumanAnswered(path=ask.path, continuation_id="c", decision=Choice.APPROVED))
    assert [c.text for c in run.commands] == ["deep"]
    run.complete("out")
    assert (run.state.output, run.state.visited_steps) == ("out", ("n", "b"))


def test_a_failure_inside_a_nested_workflow_takes_the_outer_step_s_way() -> None:
    inner = WorkflowPlan(name="i", kind="sequential", steps=(step("x"),))
    outer = step("n", "workflow", ref="inner", on_error="continue")
    run = Runner(plan_of(outer, step("b"), inner=inner))
    run.fail()
    assert [c.path for c in run.commands] == ["b#1"]
    assert list(run.state.frames) == [""]


def test_an_agent_target_emits_no_workflow_events() -> None:
    run = Runner(plan_of(step("a")), target="agent")
    run.complete("out")
    assert run.notes == ["run_started", "run_completed"]


def test_an_event_for_a_step_that_is_not_waiting_is_refused() -> None:
    run = Runner(plan_of(step("a"), step("b")))
    first = run.commands[0].path
    run.complete("one")
    with pytest.raises(EventRefused):
        run.tell(StepCompleted(path=first, output="again"))


def test_a_process_that_takes_over_is_given_the_step_under_way() -> None:
    run = Runner(plan_of(step("a"), step("b")))
    run.complete("one")
    assert list(open_commands(run.plan, run.state)) == run.commands


def test_a_process_that_takes_over_a_retry_waits_for_it() -> None:
    run = Runner(plan_of(step("a", on_error="retry", max_retries=1)))
    run.fail()
    assert list(open_commands(run.plan, run.state)) == run.commands
    run.tell(RetryDue(path="a#1"))
    assert list(open_commands(run.plan, run.state)) == run.commands


def test_a_continue_goes_on_with_the_failed_step_and_repeats_no_other() -> None:
    inner = WorkflowPlan(name="i", kind="sequential", steps=(step("x"), step("y", max_retries=1)))
    run = Runner(plan_of(step("a"), step("n", "workflow", ref="inner"), inner=inner))
    run.complete("one")
    run.complete("deep")
    run.fail()
    run.tell(RetryDue(path="n#1/y#1"))
    run.fail()
    assert run.state.status is RunStatus.FAILED
    run.tell(Continued())
    (again,) = run.commands
    assert (again.path, again.text, again.attempt) == ("n#1/y#1", "deep", 2)
    run.fail()
    assert isinstance(run.commands[0], WaitRetry), "a continue has all the retries anew"
    run.tell(RetryDue(path="n#1/y#1"))
    run.complete("out")
    assert (run.state.status, run.state.output) == (RunStatus.COMPLETED, "out")
    assert run.state.error is None
    assert run.state.visited_steps == ("a", "n")


@pytest.mark.parametrize("status", [RunStatus.CANCELLED, RunStatus.TIMED_OUT, RunStatus.EXPIRED])
def test_only_a_failed_run_can_be_continued(status) -> None:
    run = Runner(plan_of(step("a")))
    run.tell(Ended(status=status, error_type="t", message="m"))
    with pytest.raises(EventRefused):
        run.tell(Continued())


STEPS = st.lists(
    st.builds(
        lambda name, kind, on_error, retries, enabled: step(
            name, kind, on_error=on_error, max_retries=retries, enabled=enabled, fallback_ref="zz"
        ),
        st.sampled_from("abcdef"),
        st.sampled_from(["function", "human", "agent", "workflow"]),
        st.sampled_from(["fail", "continue", "retry", "fallback"]),
        st.integers(0, 2),
        st.booleans(),
    ),
    max_size=5,
    unique_by=lambda item: item.id,
)


def check_invariants(before: State, decision: Decision) -> None:
    after = decision.state
    started = {c.path for c in decision.commands if isinstance(c, RunStep)}
    running = {path for path, active in after.active.items() if active.phase == "running"}
    assert started <= running, "a step is commanded that the state does not know"
    assert set(after.visited_steps[: len(before.visited_steps)]) == set(before.visited_steps)
    if after.status in TERMINAL:
        assert not after.active and not decision.commands
    if after.status is RunStatus.BLOCKED:
        assert {a.phase for a in after.active.values()} <= {"human", "nested"}
    assert read_state(json.loads(json.dumps(write_state(after)))) == after


@settings(max_examples=300, deadline=None)
@given(STEPS, STEPS, st.data())
def test_no_event_leaves_a_terminal_state_and_no_step_completes_twice(outer, inner, data) -> None:
    nested = WorkflowPlan(
        name="i",
        kind="sequential",
        steps=(*(replace(s, kind="function", ref=s.id) for s in inner), step("zz")),
    )
    steps = tuple(replace(s, ref="inner" if s.kind == "workflow" else s.id) for s in outer)
    plan = plan_of(*steps, step("zz"), inner=nested)
    plan = replace(plan, agents={**plan.agents, **{c: AgentPlan(name=c) for c in "abcdefz"}})
    state = initial("workflow", "in")
    decision = decide(plan, state, Started())
    completed: list[str] = []
    for _ in range(100):
        check_invariants(state, decision)
        state = decision.state
        if state.status in TERMINAL:
            break
        paths = sorted(p for p, a in state.active.items() if a.phase != "nested")
        path = data.draw(st.sampled_from(paths))
        phase = state.active[path].phase
        if data.draw(st.integers(0, 30)) == 0:
            event = Ended(status=RunStatus.CANCELLED, error_type="cancelled", message="x")
        elif phase == "human":
            event = HumanAnswered(path=path, continuation_id="c", decision=Choice.APPROVED)
        elif phase == "retry":
            event = RetryDue(path=path)
        elif data.draw(st.booleans()):
            event = StepCompleted(path=path, output="o")
            completed.append(path)
        else:
            event = StepFailed(path=path, error_type="E", message="m")
        decision = decide(plan, state, event)
    assert state.status in TERMINAL
    assert len(completed) == len(set(completed))
    with pytest.raises(EventRefused):
        decide(plan, state, Started())


def test_evolve_copies_and_refuses_unknown_fields() -> None:
    state = initial("workflow", "hi")
    other = evolve(state, output="x")
    assert other == replace(state, output="x")
    assert (state.output, type(other)) == (None, type(state))
    with pytest.raises(AttributeError, match="colour"):
        evolve(state, colour="red")


def test_a_state_s_data_shares_what_did_not_change() -> None:
    frame = Frame(workflow="", text="hi", iterations={"a": 1})
    active = ActiveStep(frame="", step_id="a", executes="a", text="hi", phase="running")
    first = replace(initial("workflow", "hi"), frames={"": frame}, active={"a#1": active})
    data = write_state(first)
    second = evolve(first, active={"a#1": active, "b#1": evolve(active, step_id="b")}, output="o")
    shared = write_state(second, first, data)
    assert shared == write_state(second) == to_data(second)
    assert shared["frames"] is data["frames"]
    assert shared["active"]["a#1"] is data["active"]["a#1"]
    assert read_state(shared) == second


def test_a_preview_is_cut_between_words_so_that_no_half_of_a_secret_is_left() -> None:
    cut = "… (truncated)"
    assert preview("x" * 500) == "x" * 500
    assert preview("x" * 501) == "x" * 500 + cut
    assert preview("a " * 300) == "a " * 250 + cut
    long = "word " * 98 + "sk-abcdefghijklmnopqrst and more"
    assert preview(long) == "word " * 98 + cut
