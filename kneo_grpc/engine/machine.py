"""The workflow machine: (plan, state, event) to Decision. Pure: no I/O, clock, random or async."""

from kneo_grpc.domain.data import evolve
from kneo_grpc.domain.plan import Plan, StepPlan, WorkflowPlan
from kneo_grpc.domain.run import TERMINAL, RunError, RunStatus
from kneo_grpc.engine.kinds import KINDS
from kneo_grpc.engine.messages import (
    AskHuman,
    Command,
    Continued,
    Decision,
    Ended,
    Event,
    EventRefused,
    HumanAnswered,
    RetryDue,
    Started,
    StepCompleted,
    StepFailed,
    WaitRetry,
)
from kneo_grpc.engine.move import Move
from kneo_grpc.engine.state import ActiveStep, Frame, State
from kneo_grpc.engine.texts import answer_text, preview
from kneo_grpc.engine.turn import Turn


def decide(plan: Plan, state: State, event: Event) -> Decision:
    """Return what follows from an event. Raises EventRefused; the state given stays as it is."""
    goes_on = isinstance(event, Continued) and state.status is RunStatus.FAILED
    if state.status in TERMINAL and not goes_on:
        raise EventRefused(f"the run is {state.status}")
    turn = _Machine(plan, state)
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
    return turn.decision()


def open_commands(plan: Plan, state: State) -> tuple[Command, ...]:
    """Return the commands of the steps under way, for a process that takes the run over.

    A step that waits for a person has its task in the store and needs no command.
    """
    if state.status in TERMINAL:
        return ()
    turn = _Machine(plan, state)
    commands: list[Command] = []
    for path, active in state.active.items():
        if active.phase == "running":
            commands.append(turn.run_command(path, active))
        elif active.phase == "retry":
            commands.append(WaitRetry(path=path, attempt=active.attempt))
    return tuple(commands)


class _Machine(Turn):
    """What each event does."""

    # Events

    def start(self) -> None:
        if self.state.status is not RunStatus.QUEUED:
            raise EventRefused("the run was started before")
        self.change(status=RunStatus.RUNNING)
        root = self.plan.root(self.state.target)
        self.mark("run_started", workflow=root)
        if not root.implicit:
            steps = sum(1 for step in root.steps if step.enabled)
            self.note(
                "workflow_started",
                workflow_name=root.name,
                input_preview=preview(self.state.input),
                metadata={"start_index": 0, "step_count": steps},
            )
        self.open_frame("", "", self.state.input)

    def step_completed(self, event: StepCompleted) -> None:
        active = self.waiting(event.path, "running")
        self.notes.extend(event.notes)
        self.note_agent("run_completed", active, output_preview=preview(event.output))
        self.finish_step(event.path, active, event.output, dict(event.metadata))

    def step_failed(self, event: StepFailed) -> None:
        active = self.waiting(event.path, "running")
        self.notes.extend(event.notes)
        executed = self.step_of(active, active.executes)
        self.note_agent("run_failed", active, error=event.message)
        retries = active.attempt - active.retries_from
        if event.retriable and retries < executed.max_retries:
            following = evolve(active, attempt=active.attempt + 1, phase="retry")
            self.put_active(event.path, following)
            self.note(
                "step_retried",
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
        before = self.held_state()
        self.give_up(event.path, active, event.error_type, event.message)
        if self.state.status is RunStatus.FAILED:
            # What was open stays open, so that a continue repeats no step that completed.
            failed = evolve(active, executes=active.step_id)
            interrupted = {**before.active, event.path: failed}
            self.change(frames=before.frames, interrupted=interrupted)

    def retry_due(self, path: str) -> None:
        active = evolve(self.waiting(path, "retry"), phase="running")
        self.put_active(path, active)
        self.note_agent("run_started", active, input_preview=preview(active.text))
        self.mark(
            "step_started",
            workflow=self.workflow_of(active.frame),
            step=active,
            path=path,
            metadata={"step_path": path, "attempt": active.attempt},
        )
        self.commands.append(self.run_command(path, active))

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
        self.note(
            "workflow_resumed",
            workflow_name=workflow.name,
            step_id=active.step_id,
            metadata={"start_index": self.state.frames[active.frame].position + 1},
        )
        output = answer_text(event, active.text)
        self.finish_step(event.path, active, output, {"decision": event.decision.value})

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
            path: item if item.phase != "running" else evolve(item, retries_from=item.attempt)
            for path, item in self.state.interrupted.items()
        }
        self.change(
            status=RunStatus.RUNNING,
            active=active,
            interrupted={},
            error=None,
            failed_step=None,
            failed_input=None,
        )
        root = self.plan.root(self.state.target)
        self.mark("replay_context", workflow=root, metadata=dict(context))
        self.note(
            "workflow_resumed",
            workflow_name=None if root.implicit else root.name,
            metadata={"start_index": self.state.frames[""].position, "continued": True},
        )
        self.commands.extend(open_commands(self.plan, self.state))

    def end(self, event: Ended) -> None:
        kinds = {
            RunStatus.CANCELLED: "run_cancelled",
            RunStatus.TIMED_OUT: "run_timed_out",
            RunStatus.EXPIRED: "run_failed",
            RunStatus.FAILED: "run_failed",
        }
        before = self.state.status
        error = RunError(type=event.error_type, message=event.message)
        goes_on = event.status is RunStatus.FAILED
        interrupted = self.state.active if goes_on else {}
        self.change(status=event.status, error=error, active={}, interrupted=interrupted)
        self.note(
            "run_cancelled" if event.status is RunStatus.CANCELLED else "run_failed",
            error=event.message,
        )
        self.mark(
            kinds[event.status],
            workflow=self.plan.root(self.state.target),
            metadata={"reason": event.message, "status_before": before.value},
        )

    # Steps

    def open_frame(self, path: str, workflow_key: str, text: str) -> None:
        """Open a workflow at a step path and start its first steps."""
        frame = Frame(workflow=workflow_key, text=text)
        workflow = self.workflow(workflow_key)
        self.follow(path, workflow, KINDS[workflow.kind].begin(workflow, frame))

    def follow(self, path: str, workflow: WorkflowPlan, move: Move) -> None:
        """Do what a kind decided for the frame at path."""
        self.put_frame(path, move.frame)
        for step, text in move.starts:
            self.start_step(path, step, text)
        if move.output is not None:
            self.close_frame(path, workflow, move.output)

    def close_frame(self, path: str, workflow: WorkflowPlan, output: str) -> None:
        """A workflow is over: the root's output is the run's, a nested one's is its step's."""
        if path:
            active = self.state.active[path]
            self.drop_frame(path)
            self.finish_step(path, active, output, {"workflow": workflow.name})
            return
        self.change(status=RunStatus.COMPLETED, output=output)
        if not workflow.implicit:
            visited = list(self.state.frames[""].visited)
            self.note(
                "workflow_completed",
                workflow_name=workflow.name,
                output_preview=preview(output),
                metadata={"visited_steps": visited},
            )
        self.mark("run_completed", workflow=workflow, metadata={"output_text": output})

    def start_step(self, frame_path: str, step: StepPlan, text: str) -> None:
        """Begin a step in an open frame, counting its iteration."""
        frame = self.state.frames[frame_path]
        iteration = frame.iterations.get(step.id, 0) + 1
        self.put_frame(
            frame_path, evolve(frame, iterations={**frame.iterations, step.id: iteration})
        )
        name = f"{step.id}#{iteration}"
        path = f"{frame_path}/{name}" if frame_path else name
        active = ActiveStep(
            frame=frame_path,
            step_id=step.id,
            executes=step.id,
            text=text,
            phase="running",
            iteration=iteration,
        )
        self.begin_code(path, active, step)

    def begin_code(self, path: str, active: ActiveStep, step: StepPlan) -> None:
        """Have a step's code executed, whatever stands for code in its kind."""
        workflow = self.workflow_of(active.frame)
        if step.kind == "human":
            self.put_active(path, evolve(active, phase="human"))
            self.note(
                "human_intervention_requested",
                workflow_name=workflow.name,
                step_id=step.id,
                input_preview=preview(active.text),
            )
            self.mark("human_pause", workflow=workflow, step=active, path=path)
            self.commands.append(
                AskHuman(
                    path=path,
                    step=step,
                    text=active.text,
                    workflow_name=workflow.name,
                    workflow_kind=workflow.kind,
                    visited=self.state.frames[active.frame].visited,
                )
            )
        elif step.kind == "workflow":
            self.put_active(path, evolve(active, phase="nested"))
            self.open_frame(path, step.ref, active.text)
        else:
            self.put_active(path, active)
            self.note_agent("run_started", active, input_preview=preview(active.text))
            self.commands.append(self.run_command(path, active))

    def finish_step(
        self, path: str, active: ActiveStep, output: str, metadata: dict[str, object]
    ) -> None:
        """A step has an output: record it and let the workflow's kind go on."""
        workflow = self.workflow_of(active.frame)
        step = self.step_of(active, active.step_id)
        self.drop_active(path)
        move = KINDS[workflow.kind].proceed(workflow, self.state.frames[active.frame], step, output)
        self.put_frame(active.frame, move.frame)
        if not active.frame and not workflow.implicit:
            self.change(visited_steps=move.frame.visited)
        facts = {"workflow_type": workflow.kind, "step_path": path, "attempt": active.attempt}
        if active.executes != active.step_id:
            facts["fallback_step"] = active.executes
        self.mark(
            "step_completed",
            workflow=workflow,
            step=active,
            path=path,
            metadata={**facts, **metadata, "output_text": preview(output)},
        )
        self.follow(active.frame, workflow, move)

    def give_up(self, path: str, active: ActiveStep, error_type: str, message: str) -> None:
        """No attempt is left: do what the step's on_error says."""
        workflow = self.workflow_of(active.frame)
        step = self.step_of(active, active.step_id)
        on_fallback = active.executes != active.step_id
        handling = "fail" if on_fallback else step.on_error
        fallback = step.fallback_ref if handling == "fallback" else None
        error = {"type": error_type, "message": message}
        self.note(
            "step_failed",
            workflow_name=workflow.name,
            step_id=active.step_id,
            error=message,
            metadata={"on_error": step.on_error, "attempt": active.attempt},
        )
        self.mark(
            "step_failed",
            workflow=workflow,
            step=active,
            path=path,
            metadata={
                "workflow_type": workflow.kind,
                "step_path": path,
                "attempt": active.attempt,
                "error": error,
                "on_error": step.on_error,
            },
        )
        if handling == "continue":
            self.finish_step(path, active, active.text, {"step_failed": True, "error": error})
        elif fallback is not None:
            taken = evolve(active, executes=fallback, attempt=1, phase="running")
            self.begin_code(path, taken, workflow.step(fallback))
        else:
            self.fail_frame(active, error_type, message)

    def fail_frame(self, active: ActiveStep, error_type: str, message: str) -> None:
        """A step failed for good: its workflow fails, and so does the step that opened it."""
        if active.frame:
            outer = self.state.active[active.frame]
            nested = {path for path in self.state.active if path.startswith(f"{active.frame}/")}
            for path in nested:
                self.drop_active(path)
            self.drop_frame(active.frame)
            self.give_up(active.frame, outer, error_type, message)
            return
        workflow = self.workflow_of("")
        self.change(
            status=RunStatus.FAILED,
            error=RunError(type=error_type, message=message, step_id=active.step_id),
            failed_step=active.step_id,
            failed_input=active.text,
            active={},
        )
        if not workflow.implicit:
            self.note("workflow_failed", workflow_name=workflow.name, error=message)
        self.mark(
            "run_failed",
            workflow=workflow,
            metadata={"error": {"type": error_type, "message": message}},
        )
