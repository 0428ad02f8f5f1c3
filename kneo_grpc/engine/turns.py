"""Who speaks next, where participants take turns: handoff and group chat."""

from kneo_grpc.domain.data import evolve
from kneo_grpc.domain.plan import SELECTOR, StepPlan, WorkflowPlan
from kneo_grpc.engine.move import Failure, Move, Start
from kneo_grpc.engine.state import Frame
from kneo_grpc.engine.texts import chosen_word

DONE = "DONE"
"""What an agent that chooses answers when nobody shall come next."""


def speakers(workflow: WorkflowPlan) -> tuple[StepPlan, ...]:
    """Return the enabled participants in the order in which they come; one may come twice."""
    order = workflow.selector_sequence or tuple(step.id for step in workflow.steps)
    steps = (workflow.step(step_id) for step_id in order)
    return tuple(step for step in steps if step.enabled)


def ask(workflow: WorkflowPlan, frame: Frame, text: str) -> Move:
    """Have the agent choose who comes next; the text waits meanwhile."""
    return Move(frame=evolve(frame, handed=text), starts=(Start(workflow.step(SELECTOR), ""),))


def chosen(workflow: WorkflowPlan, frame: Frame, answer: str) -> Move:
    """Start whom the agent chose, or end the workflow with the text that waited."""
    word, text = chosen_word(answer), frame.handed
    frame = evolve(frame, handed="")
    if word.casefold() == DONE.casefold():
        return Move(frame=frame, output=text)
    for step in speakers(workflow):
        if step.id == word:
            return Move(frame=frame, starts=(Start(step, text),))
    failure = Failure(
        error_type="handoff_target_unknown",
        message=f"the selector named {word[:80]!r}, who is no enabled participant",
        redo=True,
    )
    return Move(frame=frame, failure=failure)


def exhausted(workflow: WorkflowPlan, frame: Frame) -> Move:
    """Fail: as many turns as may be were taken, and the workflow is not over."""
    limit = workflow.max_iterations
    message = f"the workflow {workflow.name} reached max_iterations ({limit})"
    return Move(frame=frame, failure=Failure(error_type="max_iterations", message=message))
