"""The workflow machine: (plan, state, event) to Decision. Pure: no I/O, clock, random or async."""

from collections.abc import Mapping
from typing import Any

from kneo_grpc.domain.data import evolve
from kneo_grpc.domain.human import Decision as HumanChoice
from kneo_grpc.domain.plan import Plan
from kneo_grpc.domain.run import TERMINAL, RunError, RunStatus
from kneo_grpc.engine.messages import (
    Command,
    Continued,
    Decision,
    Ended,
    Event,
    EventRefused,
    Forked,
    HumanAnswered,
    Note,
    RetryDue,
    Started,
    StepCompleted,
    StepFailed,
    WaitRetry,
)
from kneo_grpc.engine.state import ActiveStep, Said, State
from kneo_grpc.engine.steps import Steps, started_facts
from kneo_grpc.engine.straight import straight_in, straight_on
from kneo_grpc.engine.texts import answer_text, preview


def decide(plan: Plan, state: State, event: Event, now: float = 0.0) -> Decision:
    """Return what follows from an event. now: in seconds since 1970, to be told of steps that
    begin. Raises EventRefused; the state given stays as it is.
    """
    decision = None
    if type(event) is StepCompleted and state.status is RunStatus.RUNNING:
        decision = straight_on(plan, state, event, now)
    elif type(event) is Started and state.status is RunStatus.QUEUED:
        decision = straight_in(plan, state, now)
    return decision or decide_at_length(plan, state, event, now)


def decide_at_length(plan: Plan, state: State, event: Event, now: float = 0.0) -> Decision:
    """Return what `decide` does, by the way that every event can take."""
    turn = _Machine(plan, state, now)
    goes_on = isinstance(event, Continued) and state.status is RunStatus.FAILED
    if state.status in TERMINAL and not (goes_on or isinstance(event, Forked)):
        raise EventRefused(f"the run is {state.status}")
    match event:
        case Started():
            turn.start()
        case StepCompleted():
            turn.step_completed(event)
        case StepFailed():
            turn.step_failed(event)
        case RetryDue():
            turn.retry_due(event.path)
        case HumanAnswered():
            turn.human_answered(event)
        case Ended():
            turn.end(event)
        case Continued():
            turn.go_on()
        case Forked():
            turn.fork(event)
    return turn.decision()


def open_commands(plan: Plan, state: State) -> tuple[Command, ...]:
    """Return the commands of the steps under way, for a process that takes the run over.

    A step that waits for a person has its task in the store and needs no command.
    """
    if state.status in TERMINAL:
        return ()
    turn = _Machine(plan, state, 0.0)
    commands: list[Command] = []
    for path, active in state.active.items():
        if active.phase == "running":
            step = turn.step_of(active, active.executes)
            commands.append(turn.run_command(path, active, step))
        elif active.phase == "retry":
            commands.append(WaitRetry(path=path, attempt=active.attempt))
    return tuple(commands)


class _Machine(Steps):
    """What each event does."""

    def start(self) -> None:
        if self.state.status is not RunStatus.QUEUED:
            raise EventRefused("the run was started before")
        root = self.plan.root(self.state.target)
        self.change(status=RunStatus.RUNNING, root_kind="" if root.implicit else root.kind)
        self.mark("run_started", workflow=root)
        self.settle()
        if not root.implicit:
            self.note(
                "workflow_started",
                workflow_name=root.name,
                input_preview=preview(self.state.input),
                metadata=started_facts(root),
            )
        self.open_frame("", "", self.state.input)

    def step_completed(self, event: StepCompleted) -> None:
        path, output, metadata, notes = event
        active = self.waiting(path, "running")
        if notes:
            self.retell(path, notes)
        if self.workflow_of(active.frame).by_id[active.executes].kind == "agent":
            self.note_agent(path, active, "run_completed", output_preview=preview(output))
        self.finish_step(path, active, output, metadata)

    def step_failed(self, event: StepFailed) -> None:
        active = self.waiting(event.path, "running")
        self.retell(event.path, event.notes)
        executed = self.step_of(active, active.executes)
        self.note_agent(event.path, active, "run_failed", error=event.message)
        retries = active.attempt - active.retries_from
        if event.retriable and retries < executed.max_retries:
            following = evolve(active, attempt=active.attempt + 1, phase="retry")
            self.put_active(event.path, following)
            self.note(
                "step_retried",
                event.path,
                step_id=active.step_id,
                error=event.message,
                metadata={"attempt": active.attempt, "max_retries": executed.max_retries},
            )
            self.mark(
                "step_failed",
                workflow=self.workflow_of(active.frame),
                step=active,
                path=event.path,
                metadata={
                    "step_path": event.path,
                    "attempt": active.attempt,
                    "error": {"type": event.error_type, "message": event.message},
                    "retried": True,
                },
            )
            self.commands.append(WaitRetry(path=event.path, attempt=following.attempt))
            return
        failed = active
        if self.step_of(active, active.step_id).kind != "workflow":
            # A workflow is not begun anew: its steps that completed would be repeated.
            failed = evolve(active, executes=active.step_id)
        self.give_up(event.path, active, event.error_type, event.message)
        self.keep_open(self.before.frames, {**self.before.active, event.path: failed})

    def retry_due(self, path: str) -> None:
        active = evolve(self.waiting(path, "retry"), phase="running", started_at=self.now)
        self.put_active(path, active)
        self.note_agent(path, active, "run_started", input_preview=preview(active.text))
        self.mark(
            "step_started",
            workflow=self.workflow_of(active.frame),
            step=active,
            path=path,
            metadata={"step_path": path, "attempt": active.attempt},
        )
        step = self.step_of(active, active.executes)
        self.commands.append(self.run_command(path, active, step))

    def human_answered(self, event: HumanAnswered) -> None:
        active = self.waiting(event.path, "human")
        self.change(status=RunStatus.RUNNING)
        workflow = self.workflow_of(active.frame)
        self.mark(
            "human_resume",
            workflow=workflow,
            step=active,
            path=event.path,
            metadata={"continuation_id": event.continuation_id, "decision": event.decision.value},
        )
        self.settle()
        self.note(
            "workflow_resumed",
            event.path,
            workflow_name=workflow.name,
            step_id=active.step_id,
            metadata={"start_index": self.state.frames[active.frame].position + 1},
        )
        step = workflow.step(active.step_id)
        output = answer_text(event, active.text)
        facts: dict[str, Any] = {"decision": event.decision.value}
        rejected = event.decision is HumanChoice.REJECTED
        if rejected and step.on_reject == "fail":
            message = event.content or "A person rejected it."
            self.tell_failed(event.path, active, "rejected", message)
            self.fail_frame(active, "rejected", message)
            self.keep_open(self.before.frames, self.before.active)
            return
        role = self.plan.humans[step.ref].response_role
        if role is not None and workflow.kind != "group-chat":
            frame = self.state.frames[active.frame]
            reply = Said(role=role, text=output, name=step.id if role == "assistant" else None)
            self.put_frame(active.frame, evolve(frame, said=(*frame.said, reply)))
        goto = step.goto_ref if rejected and step.on_reject == "goto" else None
        self.finish_step(event.path, active, output, facts, goto=goto)

    def go_on(self) -> None:
        if not self.state.frames:
            # The run failed before anything of it was executed.
            self.change(status=RunStatus.QUEUED, error=None)
            self.start()
            return
        if not self.state.interrupted:
            raise EventRefused("no step of the run failed")
        context = {"failed_step": self.state.failed_step, "resume_input": self.state.failed_input}
        active = {
            path: item
            if item.phase != "running"
            else evolve(item, retries_from=item.attempt, started_at=self.now)
            for path, item in self.state.interrupted.items()
        }
        self.reopen(active)
        root = self.root
        self.mark("replay_context", workflow=root, metadata=dict(context))
        self.note(
            "workflow_resumed",
            workflow_name=None if root.implicit else root.name,
            metadata={"start_index": self.state.frames[""].position, "continued": True},
        )
        self.take_up()

    def fork(self, event: Forked) -> None:
        state = self.state
        open_steps = state.active or state.interrupted
        if not open_steps:
            raise EventRefused("nothing was open at that checkpoint")
        active = {
            path: evolve(item, attempt=1, retries_from=1, started_at=self.now)
            for path, item in open_steps.items()
        }
        if event.text is not None:
            active = {
                path: item if item.phase == "nested" else evolve(item, text=event.text)
                for path, item in active.items()
            }
        self.reopen(active)
        root = self.root
        facts: dict[str, object] = {"forked_from": event.source_id, "checkpoint": event.sequence}
        self.mark("run_started", workflow=root, metadata=facts)
        self.note(
            "workflow_resumed",
            workflow_name=None if root.implicit else root.name,
            metadata={"start_index": state.frames[""].position, **facts},
        )
        for path, item in active.items():
            if item.phase == "nested":
                inner = self.workflow_of(path)
                self.note("workflow_resumed", path, workflow_name=inner.name, step_id=item.step_id)
        self.take_up()

    def reopen(self, active: Mapping[str, ActiveStep]) -> None:
        """Let the run go on with these steps, as if it had never failed."""
        self.change(
            status=RunStatus.RUNNING,
            active=active,
            interrupted={},
            error=None,
            failed_step=None,
            failed_input=None,
        )

    def take_up(self) -> None:
        """Have everything performed that is open, and ask anew whom the run waits for."""
        for path, active in self.state.active.items():
            if active.phase == "human":
                self.ask_human(path, active)
        self.commands.extend(open_commands(self.plan, self.state))

    def retell(self, path: str, notes: tuple[Note, ...]) -> None:
        """Tell what happened inside a step."""
        self.notes.extend(note._replace(path=path) for note in notes)

    def end(self, event: Ended) -> None:
        kinds = {
            RunStatus.CANCELLED: "run_cancelled",
            RunStatus.TIMED_OUT: "run_timed_out",
            RunStatus.EXPIRED: "run_failed",
            RunStatus.FAILED: "run_failed",
        }
        before = self.state.status
        error = RunError(type=event.error_type, message=event.message)
        active = self.state.active
        self.change(status=event.status, error=error, active={}, interrupted=active)
        self.note(
            "run_cancelled" if event.status is RunStatus.CANCELLED else "run_failed",
            error=event.message,
        )
        self.mark(
            kinds[event.status],
            workflow=self.plan.root(self.state.target),
            metadata={"reason": event.message, "status_before": before.value},
        )
