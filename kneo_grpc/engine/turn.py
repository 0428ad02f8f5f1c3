"""A decision in the making."""

from collections.abc import Mapping

from kneo_grpc.domain.data import evolve
from kneo_grpc.domain.plan import SELECTOR, Plan, StepPlan, WorkflowPlan
from kneo_grpc.domain.run import RunStatus
from kneo_grpc.engine.messages import MIDWAY, Command, Decision, EventRefused, Mark, Note, RunStep
from kneo_grpc.engine.state import ActiveStep, Frame, State
from kneo_grpc.engine.texts import selector_text


class Turn:
    """A copy of the state that is changed step by step, and what is to be told of it.

    The first change makes the copy; further ones go into it, as long as nobody else holds it.
    """

    def __init__(self, plan: Plan, state: State, now: float) -> None:
        self.plan = plan
        self.before = state
        self.state = state
        self.now = now
        self._own = False
        self.commands: list[Command] = []
        self.marks: list[Mark] = []
        self.notes: list[Note] = []

    def decision(self) -> Decision:
        """Close the turn: a run in which nothing can proceed without a person is blocked."""
        state = self.state
        if state.status is RunStatus.RUNNING:
            phases = {active.phase for active in state.active.values()}
            if "human" in phases and "running" not in phases and "retry" not in phases:
                self.change(status=RunStatus.BLOCKED)
        # The last checkpoint of a decision is what a process that takes over starts from, so it
        # holds the state with everything that the decision began.
        assert self.marks, "every event leaves a checkpoint"
        if self.marks[-1].state is not self.state:
            self.marks[-1] = evolve(self.marks[-1], state=self.state)
        for index, mark in enumerate(self.marks[:-1]):
            # At that moment a step may have ended of which nothing has followed yet.
            self.marks[index] = evolve(mark, metadata={**mark.metadata, MIDWAY: True})
        return Decision(
            state=self.held_state(),
            commands=self._standing(),
            marks=tuple(self.marks),
            notes=tuple(self.notes),
        )

    def _standing(self) -> tuple[Command, ...]:
        """Return the commands whose steps are still there: one that began may have been dropped in
        the same turn.
        """
        if len(self.commands) < 2:
            return tuple(self.commands)
        active = self.state.active
        return tuple(command for command in self.commands if command.path in active)

    def change(self, **fields: object) -> None:
        """Change fields of the state."""
        if self._own:
            # Nobody has seen this copy yet, so it need not be copied once more.
            self.state.__dict__.update(fields)
        else:
            self.state = evolve(self.state, **fields)
            self._own = True

    def held_state(self) -> State:
        """Return the state for somebody to keep."""
        self._own = False
        return self.state

    def workflow(self, key: str) -> WorkflowPlan:
        """Return a workflow by its key; "" is the root."""
        return self.plan.workflows[key] if key else self.plan.root(self.state.target)

    def workflow_of(self, frame_path: str) -> WorkflowPlan:
        """Return the workflow of an open frame."""
        return self.workflow(self.state.frames[frame_path].workflow)

    def step_of(self, active: ActiveStep, step_id: str) -> StepPlan:
        """Return a step of an active step's workflow."""
        return self.workflow_of(active.frame).step(step_id)

    def waiting(self, path: str, phase: str) -> ActiveStep:
        """Return the step at path. Raises EventRefused when it is not in that phase."""
        active = self.state.active.get(path)
        if active is None or active.phase != phase:
            raise EventRefused(f"step {path} is not in phase {phase}")
        return active

    def run_command(self, path: str, active: ActiveStep) -> RunStep:
        """Return the command that executes a step's code."""
        frame = self.state.frames[active.frame]
        workflow = self.workflow(frame.workflow)
        step = workflow.step(active.executes)
        text, said = active.text, frame.said
        if step.id == SELECTOR:
            names = [participant.id for participant in workflow.steps if participant.enabled]
            text, said = selector_text(names, said, frame.handed), ()
        elif step.kind != "agent":
            said = ()
        elif said and said[-1].text == text:
            said = said[:-1]
        return RunStep(
            path=path,
            step=step,
            text=text,
            attempt=active.attempt,
            iteration=active.iteration,
            said=said,
        )

    def put_frame(self, path: str, frame: Frame) -> None:
        """Open or change a frame."""
        if self.state.frames.get(path) is not frame:
            self.change(frames={**self.state.frames, path: frame})

    def drop_frame(self, path: str) -> None:
        """Close a frame and every frame inside it."""
        inner = f"{path}/"
        frames = {
            key: frame
            for key, frame in self.state.frames.items()
            if key != path and not key.startswith(inner)
        }
        self.change(frames=frames)

    def drop_inside(self, path: str) -> None:
        """End a step, and every step and frame inside it."""
        inner = f"{path}/"
        self.drop_frame(path)
        self.change(
            active={
                key: active
                for key, active in self.state.active.items()
                if key != path and not key.startswith(inner)
            }
        )

    def others(self, frame_path: str) -> Mapping[str, ActiveStep]:
        """Return the steps of a frame that are under way, by path."""
        active = self.state.active
        if not active:
            return {}
        return {path: step for path, step in active.items() if step.frame == frame_path}

    def put_active(self, path: str, active: ActiveStep) -> None:
        """Begin or change an active step."""
        self.change(active={**self.state.active, path: active})

    def drop_active(self, path: str) -> None:
        """End an active step."""
        rest = dict(self.state.active)
        rest.pop(path, None)
        self.change(active=rest)

    def note(self, kind: str, path: str = "", /, **fields: object) -> None:
        """Tell a trace event. path: of the step that it is about."""
        self.notes.append(Note(type=kind, fields=fields, path=path))

    def note_agent(self, path: str, active: ActiveStep, kind: str, **fields: object) -> None:
        """Add an agent's own event; other kinds of step have none."""
        step = self.step_of(active, active.executes)
        if step.kind == "agent":
            agent = self.plan.agents[step.ref]
            self.note(
                kind,
                path,
                agent_name=agent.name,
                step_id=active.step_id,
                runtime_mode=agent.runtime_mode,
                model_provider=agent.provider,
                model_name=agent.model,
                **fields,
            )

    def mark(
        self,
        kind: str,
        *,
        workflow: WorkflowPlan,
        step: ActiveStep | None = None,
        path: str | None = None,
        metadata: Mapping[str, object] | None = None,
    ) -> None:
        """Write a checkpoint of the present state."""
        node = step is not None and workflow.kind == "graph"
        self.marks.append(
            Mark(
                type=kind,
                state=self.held_state(),
                workflow_name=None if workflow.implicit else workflow.name,
                step_id=step.step_id if step and not node else None,
                node_id=step.step_id if step and node else None,
                iteration=step.iteration if step else 1,
                path=path,
                metadata=metadata or {},
            )
        )
