"""How steps begin and end, in any workflow kind and at any depth."""

from collections.abc import Mapping
from typing import Any

from kneo_grpc.domain.data import evolve
from kneo_grpc.domain.plan import SELECTOR, StepPlan, WorkflowPlan
from kneo_grpc.domain.run import RunError, RunStatus
from kneo_grpc.engine.kinds import KINDS
from kneo_grpc.engine.messages import AskHuman, RunStep
from kneo_grpc.engine.move import Ended, Failure, Move, Start
from kneo_grpc.engine.state import ActiveStep, Frame, begun, opened
from kneo_grpc.engine.texts import PREVIEW_CHARS, MergedTooLarge, preview
from kneo_grpc.engine.turn import Turn


class Steps(Turn):
    """Opens and closes workflows and steps."""

    _kept = False

    def open_frame(self, path: str, workflow_key: str, text: str) -> None:
        """Open a workflow at a step path and start its first steps."""
        workflow = self.workflow(workflow_key)
        frame = opened(workflow_key, text)
        if path:
            self.note(
                "workflow_started",
                path,
                workflow_name=workflow.name,
                step_id=self.state.active[path].step_id,
                input_preview=preview(text),
                metadata=started_facts(workflow),
            )
        self.follow(path, workflow, KINDS[workflow.kind].begin(workflow, frame), None)

    def follow(
        self, path: str, workflow: WorkflowPlan, move: Move, ended: tuple[str, ActiveStep] | None
    ) -> None:
        """Do what a kind decided for the frame at path. ended: the step that led to it."""
        frame = move.frame
        if self.state.frames.get(path) is not frame:
            self.put_frame(path, frame)
            self.fresh = frame
        for dropped in move.drops:
            self.tell_stopped(dropped)
            self.drop_inside(dropped)
        if move.failure is not None:
            self.fail_workflow(path, workflow, move.failure, ended)
            return
        if len(move.starts) == 1:
            self.begin_code(*self.start_step(path, move.starts[0]))
        elif move.starts:
            # All of them first: one may end at once, and its workflow has to know of the others.
            for at, active, step in [self.start_step(path, start) for start in move.starts]:
                if at in self.state.active:
                    self.begin_code(at, active, step)
        if move.output is not None:
            self.close_frame(path, workflow, move.output)

    def close_frame(self, path: str, workflow: WorkflowPlan, output: str) -> None:
        """A workflow is over: the root's output is the run's, a nested one's is its step's."""
        if path:
            active = self.state.active[path]
            self.drop_frame(path)
            self.note(
                "workflow_completed",
                path,
                workflow_name=workflow.name,
                step_id=active.step_id,
                output_preview=preview(output),
            )
            self.finish_step(path, active, output, {"workflow": workflow.name})
            return
        self.settle()
        self.change(status=RunStatus.COMPLETED, output=output)
        if not workflow.implicit:
            self.note(
                "workflow_completed",
                workflow_name=workflow.name,
                output_preview=preview(output),
                metadata=completed_facts(workflow, self.state.frames[""]),
            )
        self.mark("run_completed", workflow=workflow, metadata={"output_text": output})

    def start_step(self, frame_path: str, start: Start) -> tuple[str, ActiveStep, StepPlan]:
        """Put a step into an open frame, counting its iteration; return its path with it."""
        frame = self.state.frames[frame_path]
        step, text, branch = start
        iteration = frame.iterations.get(step.id, 0) + 1
        iterations = {**frame.iterations, step.id: iteration}
        if frame is self.fresh:
            frame.__dict__["iterations"] = iterations
        else:
            self.put_frame(frame_path, evolve(frame, iterations=iterations))
        name = f"{step.id}#{iteration}"
        path = f"{frame_path}/{name}" if frame_path else name
        active = begun(frame_path, step.id, text, iteration, branch, self.now)
        self.own_active()[path] = active
        return path, active, step

    def begin_code(self, path: str, active: ActiveStep, step: StepPlan) -> None:
        """Have a step's code executed, whatever stands for code in its kind."""
        kind = step.kind
        if kind == "human":
            self.put_active(path, evolve(active, phase="human"))
            self.ask_human(path, active)
        elif kind == "workflow":
            self.put_active(path, evolve(active, phase="nested"))
            self.open_frame(path, step.ref, active.text)
        else:
            if self.state.active.get(path) is not active:
                self.put_active(path, active)
            if kind == "agent":
                self.note_agent(path, active, "run_started", input_preview=preview(active.text))
                self.commands.append(self.run_command(path, active, step))
            else:
                command = RunStep(path, step, active.text, active.attempt, active.iteration)
                self.commands.append(command)

    def ask_human(self, path: str, active: ActiveStep) -> None:
        """Ask a person, for the first time or anew."""
        workflow = self.workflow_of(active.frame)
        step = workflow.step(active.step_id)
        self.note(
            "human_intervention_requested",
            path,
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

    def finish_step(
        self,
        path: str,
        active: ActiveStep,
        output: str,
        metadata: Mapping[str, Any],
        *,
        goto: str | None = None,
    ) -> None:
        """A step has an output: record it and let the workflow's kind go on. goto: id of the step
        to go to instead of the next.
        """
        frame = self.state.frames[active.frame]
        workflow = self.workflow(frame.workflow)
        step = workflow.by_id[active.step_id]
        table = self.own_active()
        table.pop(path, None)
        failed = "step_failed" in metadata
        others = self.others(active.frame) if table else table
        ended = Ended(step, output, active.branch, metadata, failed, others)
        kind = KINDS[workflow.kind]
        try:
            if goto is None:
                move = kind.proceed(workflow, frame, ended)
            else:
                move = kind.divert(workflow, frame, ended, workflow.step(goto))
        except MergedTooLarge as error:
            move = Move(frame, failure=Failure(error_type="output_too_large", message=str(error)))
        if move.failure is not None and move.failure.redo:
            self.tell_failed(path, active, move.failure.error_type, move.failure.message)
            self.follow(active.frame, workflow, move, (path, active))
            return
        facts = step_facts(workflow, path, active)
        if active.executes != active.step_id:
            facts["fallback_step"] = active.executes
        if metadata:
            facts.update(metadata)
        facts["output_text"] = output if len(output) <= PREVIEW_CHARS else preview(output)
        self.mark(
            "node_completed" if workflow.kind == "graph" else "step_completed",
            workflow=workflow,
            step=active,
            path=path,
            metadata=facts,
        )
        self.follow(active.frame, workflow, move, (path, active))

    def give_up(self, path: str, active: ActiveStep, error_type: str, message: str) -> None:
        """No attempt is left: do what the step's on_error says."""
        workflow = self.workflow_of(active.frame)
        step = workflow.step(active.step_id)
        on_fallback = active.executes != active.step_id
        handling = "fail" if on_fallback else step.on_error
        fallback = step.fallback_ref if handling == "fallback" else None
        self.tell_failed(path, active, error_type, message)
        if handling == "continue":
            error = {"type": error_type, "message": message}
            self.finish_step(path, active, active.text, {"step_failed": True, "error": error})
        elif fallback is not None:
            taken = evolve(
                active, executes=fallback, attempt=1, phase="running", started_at=self.now
            )
            instead = workflow.step(fallback)
            if step.kind == instead.kind == "workflow":
                # Their steps may have the same names, and no path is to stand for two of them.
                path = f"{path}#{fallback}"
            self.begin_code(path, taken, instead)
        else:
            self.fail_frame(active, error_type, message)

    def tell_failed(self, path: str, active: ActiveStep, error_type: str, message: str) -> None:
        """Record that a step failed for good."""
        workflow = self.workflow_of(active.frame)
        step = workflow.step(active.step_id)
        self.note(
            "step_failed",
            path,
            workflow_name=workflow.name,
            step_id=active.step_id,
            error=message,
            metadata={"on_error": step.on_error, "attempt": active.attempt},
        )
        facts = step_facts(workflow, path, active)
        facts["error"] = {"type": error_type, "message": message}
        facts["on_error"] = step.on_error
        self.mark("step_failed", workflow=workflow, step=active, path=path, metadata=facts)

    def tell_stopped(self, path: str, *, but: ActiveStep | None = None) -> None:
        """Record that the step at path, and those inside of it, end without an outcome; of the root
        all do. but: one that has another end.
        """
        inner = f"{path}/" if path else ""
        for at, active in self.state.active.items():
            if active is not but and (at == path or at.startswith(inner)):
                workflow = self.workflow_of(active.frame)
                facts = step_facts(workflow, at, active)
                self.mark("step_stopped", workflow=workflow, step=active, path=at, metadata=facts)

    def fail_workflow(
        self,
        path: str,
        workflow: WorkflowPlan,
        failure: Failure,
        ended: tuple[str, ActiveStep] | None,
    ) -> None:
        """A workflow cannot go on, though no step of it failed. A continue of the run begins with
        what was open beside the step that ended, and with that one where it is to be redone.
        """
        frames, active = self.before.frames, dict(self.before.active)
        if not path and not failure.redo:
            self.tell_stopped("")
        if ended is None:
            step = ActiveStep(
                frame=path, step_id="", executes="", text=self.state.frames[path].text, phase=""
            )
        else:
            at, step = ended
            active.pop(at, None)
            if failure.redo:
                active[at] = step
            else:
                frames = self.state.frames
        self.fail_frame(step, failure.error_type, failure.message)
        self.keep_open(frames, active if failure.redo else {})

    def keep_open(self, frames: Mapping[str, Frame], interrupted: Mapping[str, ActiveStep]) -> None:
        """Where the run failed, let what was open stay open, so that a continue repeats no step
        that completed. Of several failures in one turn the one that ended the run decides; those
        that led to it were passed over.
        """
        if self.state.status is RunStatus.FAILED and not self._kept:
            self._kept = True
            self.change(frames=frames, interrupted=interrupted)

    def fail_frame(self, active: ActiveStep, error_type: str, message: str) -> None:
        """A step failed for good: its workflow fails, and so does the step that opened it."""
        if active.frame:
            at, outer = active.frame, self.state.active[active.frame]
            self.note(
                "workflow_failed",
                at,
                workflow_name=self.workflow_of(at).name,
                step_id=outer.step_id,
                error=message,
            )
            for inside in self.others(at):
                self.tell_stopped(inside, but=active)
            self.drop_inside(at)
            self.give_up(at, outer, error_type, message)
            return
        workflow = self.workflow_of("")
        step_id = active.step_id if active.step_id != SELECTOR else None
        self.settle()
        self.change(
            status=RunStatus.FAILED,
            error=RunError(type=error_type, message=message, step_id=step_id or None),
            failed_step=step_id or None,
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


def started_facts(workflow: WorkflowPlan) -> dict[str, object]:
    """Return what the trace tells of a workflow at its start."""
    count = sum(1 for step in workflow.steps if step.enabled)
    if workflow.kind == "sequential":
        return {"start_index": 0, "step_count": count}
    if workflow.kind == "graph":
        return {
            "workflow_type": workflow.kind,
            "start": workflow.start,
            "max_steps": workflow.max_steps,
        }
    return {"workflow_type": workflow.kind, "participant_count": count}


def completed_facts(workflow: WorkflowPlan, frame: Frame) -> dict[str, object]:
    """Return what the trace tells of the root workflow at its end."""
    visited = list(frame.visited)
    if workflow.kind == "graph":
        return {"visited_nodes": visited, "termination": "no_matching_edge"}
    return {"visited_steps": visited}


def step_facts(workflow: WorkflowPlan, path: str, active: ActiveStep) -> dict[str, object]:
    """Return what the checkpoint of a step's end tells."""
    facts: dict[str, object] = {
        "workflow_type": workflow.kind,
        "step_path": path,
        "attempt": active.attempt,
    }
    if active.started_at:
        facts["started_at"] = active.started_at
    if active.branch:
        facts["branch"] = active.branch
    return facts
