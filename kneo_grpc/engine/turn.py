"""A decision in the making."""

from collections.abc import Mapping

from kneo_grpc.domain.data import evolve
from kneo_grpc.domain.plan import SELECTOR, Plan, StepPlan, WorkflowPlan
from kneo_grpc.domain.run import RunStatus
from kneo_grpc.engine.messages import MIDWAY, Command, Decision, EventRefused, Mark, Note, RunStep
from kneo_grpc.engine.state import ActiveStep, Frame, State
from kneo_grpc.engine.texts import selector_text
from kneo_grpc.engine.turns import speakers


class Turn:
    """A copy of the state that is changed step by step, and what is to be told of it.

    The first change makes the copy; further ones go into it, as long as nobody else holds it. A
    checkpoint holds it from the moment on when the next one is written, or `settle` is called: so
    what follows at once from what it tells is part of it.
    """

    def __init__(self, plan: Plan, state: State, now: float) -> None:
        self.plan = plan
        self.before = state
        self.state = state
        self.now = now
        self.root = plan.root(state.target)
        self._own = False
        # Copies of the state's tables that nobody else holds, if they are such.
        self._active: dict[str, ActiveStep] | None = None
        self._frames: dict[str, Frame] | None = None
        self._marked = False
        self.fresh: Frame | None = None
        """A frame that nobody else holds yet."""
        self.commands: list[Command] = []
        self.marks: list[Mark] = []
        self.notes: list[Note] = []

    def decision(self) -> Decision:
        """Close the turn: a run in which nothing can proceed without a person is blocked."""
        state = self.state
        if state.status is RunStatus.RUNNING:
            human = False
            for active in state.active.values():
                if active.phase == "running" or active.phase == "retry":
                    break
                human = human or active.phase == "human"
            else:
                if human:
                    self.change(status=RunStatus.BLOCKED)
        # The last checkpoint of a decision is what a process that takes over starts from, so it
        # holds the state with everything that the decision began.
        assert self.marks, "every event leaves a checkpoint"
        state = self.state
        marks = self.marks
        if marks[-1].state is not state:
            marks[-1] = marks[-1]._replace(state=state)
        if len(marks) > 1:
            # At that moment a step may have ended of which nothing has followed yet.
            for index, mark in enumerate(marks[:-1]):
                marks[index] = mark._replace(metadata={**mark.metadata, MIDWAY: True})
        # A step that began may have been dropped in the same turn, and its command with it.
        still = state.active
        standing = tuple(command for command in self.commands if command.path in still)
        return Decision(state, standing, tuple(marks), tuple(self.notes))

    def change(self, **fields: object) -> None:
        """Change fields of the state."""
        if self._own:
            # Nobody has seen this copy yet, so it need not be copied once more.
            self.state.__dict__.update(fields)
        else:
            self.state = evolve(self.state, **fields)
            self._own = True

    def settle(self) -> None:
        """Let the last checkpoint hold the state as it is now."""
        if self._marked:
            self._own = self._marked = False
            self._active = self._frames = self.fresh = None

    def workflow(self, key: str) -> WorkflowPlan:
        """Return a workflow by its key; "" is the root."""
        return self.plan.workflows[key] if key else self.root

    def workflow_of(self, frame_path: str) -> WorkflowPlan:
        """Return the workflow of an open frame."""
        key = self.state.frames[frame_path].workflow
        return self.plan.workflows[key] if key else self.root

    def step_of(self, active: ActiveStep, step_id: str) -> StepPlan:
        """Return a step of an active step's workflow."""
        return self.workflow_of(active.frame).step(step_id)

    def waiting(self, path: str, phase: str) -> ActiveStep:
        """Return the step at path. Raises EventRefused when it is not in that phase."""
        active = self.state.active.get(path)
        if active is None or active.phase != phase:
            raise EventRefused(f"step {path} is not in phase {phase}")
        return active

    def run_command(self, path: str, active: ActiveStep, step: StepPlan) -> RunStep:
        """Return the command that executes a step's code. step: whose code it is."""
        text = active.text
        if step.kind != "agent":
            return RunStep(path, step, text, active.attempt, active.iteration)
        frame = self.state.frames[active.frame]
        said = frame.said
        if step.id == SELECTOR:
            workflow = self.workflow(frame.workflow)
            # One may come twice in the order; others than those in it cannot be chosen.
            names = tuple(dict.fromkeys(participant.id for participant in speakers(workflow)))
            text, said = selector_text(names, said, frame.handed), ()
        elif said and said[-1].text == text:
            said = said[:-1]
        return RunStep(path, step, text, active.attempt, active.iteration, said)

    def put_frame(self, path: str, frame: Frame) -> None:
        """Open or change a frame."""
        frames = self.state.frames
        if frames.get(path) is not frame:
            if frames is self._frames:
                self._frames[path] = frame
            else:
                self._own_frames()[path] = frame

    def drop_frame(self, path: str) -> None:
        """Close a frame and every frame inside it."""
        inner = f"{path}/"
        frames = self._own_frames()
        for key in [key for key in frames if key == path or key.startswith(inner)]:
            del frames[key]

    def drop_inside(self, path: str) -> None:
        """End a step, and every step and frame inside it."""
        inner = f"{path}/"
        self.drop_frame(path)
        active = self.own_active()
        for key in [key for key in active if key == path or key.startswith(inner)]:
            del active[key]

    def others(self, frame_path: str) -> Mapping[str, ActiveStep]:
        """Return the steps of a frame that are under way, by path."""
        active = self.state.active
        if not active:
            return {}
        return {path: step for path, step in active.items() if step.frame == frame_path}

    def put_active(self, path: str, active: ActiveStep) -> None:
        """Begin or change an active step."""
        self.own_active()[path] = active

    def own_active(self) -> dict[str, ActiveStep]:
        """Return the table of active steps, to be changed."""
        if self._active is None or self.state.active is not self._active:
            self._own_tables()
            assert self._active is not None
        return self._active

    def _own_frames(self) -> dict[str, Frame]:
        if self._frames is None or self.state.frames is not self._frames:
            self._own_tables()
            assert self._frames is not None
        return self._frames

    def _own_tables(self) -> None:
        """Copy both: whoever changes one will change the other."""
        self._active, self._frames = dict(self.state.active), dict(self.state.frames)
        self.change(active=self._active, frames=self._frames)

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
        """Write a checkpoint; see Turn for the state that it holds."""
        if self._marked:
            self.settle()
        if not self._own:
            self.change()
        self._marked = True
        step_id = None if step is None else step.step_id
        node = workflow.kind == "graph"
        self.marks.append(
            Mark(
                kind,
                self.state,
                None if workflow.implicit else workflow.name,
                None if node else step_id,
                step_id if node else None,
                1 if step is None else step.iteration,
                path,
                metadata or {},
            )
        )
