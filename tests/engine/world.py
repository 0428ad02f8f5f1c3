"""A machine that is told events in any order, and what must hold after each of its decisions."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from kneo_grpc.domain import patch
from kneo_grpc.domain.human import Decision as Choice
from kneo_grpc.domain.plan import SELECTOR, Plan
from kneo_grpc.domain.run import TERMINAL, RunStatus
from kneo_grpc.engine.machine import decide, decide_at_length, open_commands
from kneo_grpc.engine.messages import (
    MIDWAY,
    AskHuman,
    Command,
    Continued,
    Decision,
    Ended,
    Event,
    EventRefused,
    Forked,
    HumanAnswered,
    RetryDue,
    RunStep,
    Started,
    StepCompleted,
    StepFailed,
    WaitRetry,
)
from kneo_grpc.engine.state import State, initial, read_state, write_state
from tests.engine.plans import NAMES, Tape

Open = Mapping[str, tuple[str, int, str]]
OUTPUTS = ("yes", "no", "a", "", "say\nb")
CHOICES = (*NAMES, "DONE", "`a`.", "nobody")
ENDS = (RunStatus.CANCELLED, RunStatus.TIMED_OUT, RunStatus.EXPIRED, RunStatus.FAILED)


class World:
    """A run, told events; each decision is checked. accepted: the events that were not refused."""

    def __init__(self, plan: Plan, source: "World | None" = None) -> None:
        """source: a run that this one is a fork of."""
        self.plan = plan
        self.state = initial("workflow", "in")
        self.data: dict[str, Any] = write_state(self.state)
        self.accepted: list[Event] = []
        self.open: dict[str, Command] = {}
        self.completed: set[str] = set()
        self.executed: set[tuple[int, str, int, str]] = set()
        self.begun: set[str] = set()
        self.epoch = 0
        if source is None:
            self.tell(Started())
            return
        self.state, self.data = source.state, source.data
        self.completed = set(source.completed)
        self.tell(Forked(source_id="run_1", sequence=1))

    @property
    def over(self) -> bool:
        return self.state.status in TERMINAL

    @property
    def can_fork(self) -> bool:
        return bool(self.state.active or self.state.interrupted)

    def tell(self, event: Event, *, reloaded: bool = False) -> None:
        """Tell an event that fits. reloaded: to a process that has just read the state."""
        before, before_data = self.state, self.data
        if reloaded:
            before = read_state(json.loads(json.dumps(before_data)))
        if isinstance(event, Continued):
            self.epoch += 1
        decision = decide(self.plan, before, event, 1.0)
        assert decide_at_length(self.plan, before, event, 1.0) == decision
        assert write_state(before) == before_data, "the state given was changed"
        self.accepted.append(event)
        self._check_written(before, before_data, decision)
        anew = before.status in TERMINAL or isinstance(event, Forked)
        self._check_commands({} if anew else open_steps(before), decision)
        self._check_paths(decision)
        self.state = decision.state
        check_shape(decision.state)
        self.open = {
            path: command
            for path, command in self.open.items()
            if path in self.state.active and path != getattr(event, "path", None)
        }
        self.open |= {command.path: command for command in decision.commands}
        performed = {
            path: bare(command)
            for path, command in self.open.items()
            if not isinstance(command, AskHuman)
        }
        taken_over = {c.path: bare(c) for c in open_commands(self.plan, self.state)}
        assert taken_over == performed, "whoever takes over has other things to do"
        asked = {path for path, command in self.open.items() if isinstance(command, AskHuman)}
        assert asked == {path for path, a in self.state.active.items() if a.phase == "human"}

    def refuse(self, event: Event) -> None:
        """Tell an event that does not fit."""
        with pytest.raises(EventRefused):
            decide(self.plan, self.state, event)
        assert write_state(self.state) == self.data, "a refused event changed the state"

    def _check_written(
        self, before: State, before_data: dict[str, Any], decision: Decision
    ) -> None:
        """Every mark's state is the same written whole, written as a difference, and read again."""
        assert decision.marks, "the decision leaves no checkpoint"
        assert decision.marks[-1].state is decision.state
        midway = [bool(mark.metadata.get(MIDWAY)) for mark in decision.marks]
        assert midway == [True] * (len(midway) - 1) + [False]
        known, data = before, before_data
        for mark in decision.marks:
            written = write_state(mark.state, known, data)
            whole = write_state(mark.state)
            text = json.dumps(whole, sort_keys=True)
            assert json.dumps(written, sort_keys=True) == text
            steps = json.loads(json.dumps(patch.diff(data, written)))
            assert json.dumps(patch.apply(data, steps), sort_keys=True) == text
            assert read_state(json.loads(text)) == mark.state
            known, data = mark.state, written
        self.data = data

    def _check_commands(self, was: Open, decision: Decision) -> None:
        """What is asked for is what was opened, once."""
        paths = [command.path for command in decision.commands]
        assert len(paths) == len(set(paths)), "two commands for one step"
        now = open_steps(decision.state)
        opened = {path for path, facts in now.items() if was.get(path) != facts}
        assert set(paths) == opened
        kinds = {"running": RunStep, "human": AskHuman, "retry": WaitRetry}
        for command in decision.commands:
            active = decision.state.active[command.path]
            assert type(command) is kinds[active.phase]
            if isinstance(command, RunStep):
                assert (command.step.id, command.attempt) == (active.executes, active.attempt)
                assert command.step.kind in ("function", "agent"), "nobody executes that"
                run = (self.epoch, command.path, command.attempt, active.executes)
                assert run not in self.executed, "executed twice at the same attempt"
                self.executed.add(run)

    def _check_paths(self, decision: Decision) -> None:
        """No step completes twice, and none that completed begins again."""
        for mark in decision.marks:
            if mark.type in ("step_completed", "node_completed"):
                assert mark.path not in self.completed, f"{mark.path} completed twice"
                assert mark.path is not None
                self.completed.add(mark.path)
        again = self.completed & decision.state.active.keys()
        assert not again, f"{again} completed and are under way"
        assert not self.completed & decision.state.interrupted.keys()


def bare(command: Command) -> tuple[object, ...]:
    """What a command says, but for the conversation: a person may have added to it since."""
    if isinstance(command, RunStep):
        return (command.path, command.step.id, command.text, command.attempt, command.iteration)
    return (command.path, command)


def open_steps(state: State) -> Open:
    return {
        path: (active.phase, active.attempt, active.executes)
        for path, active in state.active.items()
        if active.phase != "nested"
    }


def check_shape(state: State) -> None:
    """No branch is lost: what is open hangs together, and somebody or something is waited for."""
    phases = {active.phase for active in state.active.values()}
    if state.status in TERMINAL:
        assert not state.active
        assert (state.error is None) == (state.status is RunStatus.COMPLETED)
        assert (state.output is None) == (state.status is not RunStatus.COMPLETED)
        open_ones = state.interrupted
    else:
        assert state.status in (RunStatus.RUNNING, RunStatus.BLOCKED)
        assert not state.interrupted
        assert phases - {"nested"}, "the run waits for nothing"
        if state.status is RunStatus.BLOCKED:
            assert phases <= {"human", "nested"}
        else:
            assert phases & {"running", "retry"}
        open_ones = state.active
    if state.status not in TERMINAL or state.interrupted:
        nested = {path for path, active in open_ones.items() if active.phase == "nested"}
        assert set(state.frames) == {"", *nested}, "frames and the steps that opened them differ"
        holders = {active.frame for active in open_ones.values()}
        assert holders == set(state.frames), "an open workflow in which nothing is open"
        for path, active in open_ones.items():
            name = f"{active.step_id}#{active.iteration}"
            expected = f"{active.frame}/{name}" if active.frame else name
            # A workflow that works in the place of another one has a path of its own.
            assert path in (expected, f"{expected}#{active.executes}")


def choose_event(world: World, tape: Tape) -> Event | None:
    """Return an event that fits the state, or None where the run is over for good."""
    if world.over:
        if world.state.status is RunStatus.FAILED and (
            world.state.interrupted or not world.state.frames
        ):
            return Continued() if tape.often(2, 3) else None
        return None
    if tape.often(1, 60):
        return Ended(status=tape.one(ENDS), error_type="ended", message="from outside")
    command = world.open[tape.one(list(world.open))]
    if isinstance(command, WaitRetry):
        return RetryDue(path=command.path)
    if isinstance(command, AskHuman):
        return HumanAnswered(
            path=command.path,
            continuation_id="c",
            decision=tape.one(list(Choice)),
            content=tape.one((None, "yes", "no")),
            selected_option=tape.one((None, "red")),
        )
    if tape.often(1, 3):
        return StepFailed(
            path=command.path, error_type="E", message="m", retriable=not tape.often(1, 3)
        )
    chooses = command.step.id == SELECTOR
    output = tape.one(CHOICES if chooses else OUTPUTS)
    metadata = {"from": "code"} if tape.often(1, 6) else {}
    return StepCompleted(path=command.path, output=output, metadata=metadata)


def stale_event(world: World, tape: Tape) -> Event:
    """Return an event that does not fit: of a step that is over, of none, or of another kind."""
    kind = tape.number(6)
    if world.over:
        path = tape.one([*sorted(world.begun), "nobody#1"])
    elif kind == 4:
        return Continued()
    elif kind == 5:
        return Started()
    else:
        path = tape.one([*sorted(world.begun - world.state.active.keys()), "a#99", "x#1/y#1", ""])
    if kind == 3 and not world.over:
        path = tape.one(list(world.state.active))
        phase = world.state.active[path].phase
        wrong: dict[str, Event] = {
            "human": StepCompleted(path=path, output="x"),
            "retry": StepFailed(path=path, error_type="E", message="m"),
            "running": RetryDue(path=path),
            "nested": StepCompleted(path=path, output="x"),
        }
        return wrong[phase]
    events: list[Event] = [
        StepCompleted(path=path, output="late"),
        StepFailed(path=path, error_type="E", message="late"),
        RetryDue(path=path),
        HumanAnswered(path=path, continuation_id="c", decision=Choice.APPROVED),
    ]
    if world.over:
        ended = Ended(status=RunStatus.CANCELLED, error_type="cancelled", message="late")
        events += [Started(), ended]
    return tape.one(events)


def replayed(plan: Plan, events: list[Event]) -> State:
    """Return where a run stands that was told these events."""
    state = initial("workflow", "in")
    for event in events:
        state = decide(plan, state, event, 1.0).state
    return state
