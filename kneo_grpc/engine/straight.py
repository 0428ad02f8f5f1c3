"""The decisions that are made most often, without what the others need: the run begins with a
function, or the only step under way completed and one function follows it, or the end of the run.

A run of functions one after the other, or of a loop of them, consists of nothing else. They are
what the machine would decide, to the letter (tests/engine compares the two); which step follows is
for the workflow's kind to say, here as there.
"""

from kneo_grpc.domain.data import evolve
from kneo_grpc.domain.plan import Plan, WorkflowPlan
from kneo_grpc.domain.run import RunStatus
from kneo_grpc.engine.kinds import KINDS
from kneo_grpc.engine.messages import MIDWAY, Decision, Mark, Note, RunStep, StepCompleted
from kneo_grpc.engine.move import Ended, Move
from kneo_grpc.engine.state import ActiveStep, Frame, State, begun, opened
from kneo_grpc.engine.steps import completed_facts, started_facts, step_facts
from kneo_grpc.engine.texts import PREVIEW_CHARS, MergedTooLarge, preview


def straight_in(plan: Plan, state: State, now: float) -> Decision | None:
    """Return how a run begins, or None where it takes the whole machine to say so.

    state: queued.
    """
    workflow = plan.root(state.target)
    frame = opened("", state.input)
    move = KINDS[workflow.kind].begin(workflow, frame)
    if workflow.implicit or not _one_function(move):
        return None
    command, first, frame = _start(move, frame, now)
    after = _after(state, RunStatus.RUNNING, frame, {command.path: first})
    after.__dict__["root_kind"] = workflow.kind
    told = {
        "workflow_name": workflow.name,
        "input_preview": preview(state.input),
        "metadata": started_facts(workflow),
    }
    mark = Mark("run_started", after, workflow.name)
    return Decision(after, (command,), (mark,), (Note("workflow_started", told),))


def straight_on(plan: Plan, state: State, event: StepCompleted, now: float) -> Decision | None:
    """Return what follows, or None where it takes the whole machine to say so. state: running."""
    path, output, metadata, notes = event
    active = state.active.get(path)
    if active is None or len(state.active) > 1 or active.phase != "running" or notes:
        return None
    # Nothing else is under way, so no workflow is open inside the root.
    workflow = plan.root(state.target)
    step = workflow.by_id[active.step_id]
    if step.kind != "function" or active.executes != active.step_id or "step_failed" in metadata:
        return None
    known = state.frames[""]
    try:
        move = KINDS[workflow.kind].proceed(
            workflow, known, Ended(step, output, active.branch, metadata)
        )
    except MergedTooLarge:
        return None
    result = move.output
    if not (_one_function(move) if result is None else _nothing_else(move)):
        return None
    facts = step_facts(workflow, path, active)
    if metadata:
        facts.update(metadata)
    facts["output_text"] = output if len(output) <= PREVIEW_CHARS else preview(output)
    if result is None:
        command, following, frame = _start(move, known, now)
        after = _after(state, RunStatus.RUNNING, frame, {command.path: following})
        return Decision(after, (command,), (_mark(after, workflow, path, active, facts),))
    facts[MIDWAY] = True
    between = _after(state, RunStatus.RUNNING, move.frame, {})
    mark = _mark(between, workflow, path, active, facts)
    after = evolve(between, status=RunStatus.COMPLETED, output=result)
    over = Mark("run_completed", after, mark.workflow_name, metadata={"output_text": result})
    told = {
        "workflow_name": workflow.name,
        "output_preview": preview(result),
        "metadata": completed_facts(workflow, move.frame),
    }
    notes = () if workflow.implicit else (Note("workflow_completed", told),)
    return Decision(after, (), (mark, over), notes)


def _one_function(move: Move) -> bool:
    _, starts, drops, output, failure = move
    if len(starts) != 1 or drops or output is not None or failure is not None:
        return False
    return starts[0].step.kind == "function"


def _nothing_else(move: Move) -> bool:
    return not (move.starts or move.drops) and move.failure is None


def _start(move: Move, known: Frame, now: float) -> tuple[RunStep, ActiveStep, Frame]:
    """Begin the step that follows; return the frame that has counted it, too. known: the frame as
    others hold it.
    """
    frame = move.frame
    step, text, branch = move.starts[0]
    iteration = frame.iterations.get(step.id, 0) + 1
    iterations = {**frame.iterations, step.id: iteration}
    if frame is known:
        frame = evolve(frame, iterations=iterations)
    else:
        # The kind has just made it, and nobody else holds it.
        frame.__dict__["iterations"] = iterations
    following = begun("", step.id, text, iteration, branch, now)
    return RunStep(f"{step.id}#{iteration}", step, text, 1, iteration), following, frame


def _after(before: State, status: RunStatus, frame: Frame, active: dict[str, ActiveStep]) -> State:
    """Return the state with these fields; `evolve` takes twice as long."""
    after: State = object.__new__(State)
    fields = after.__dict__
    fields.update(before.__dict__)
    fields["status"] = status
    fields["frames"] = {"": frame}
    fields["active"] = active
    return after


def _mark(
    state: State, workflow: WorkflowPlan, path: str, step: ActiveStep, facts: dict[str, object]
) -> Mark:
    name = None if workflow.implicit else workflow.name
    if workflow.kind == "graph":
        return Mark("node_completed", state, name, None, step.step_id, step.iteration, path, facts)
    return Mark("step_completed", state, name, step.step_id, None, step.iteration, path, facts)
