"""Steps one after the other; each is given the output of the one before."""

from kneo_grpc.domain.data import evolve
from kneo_grpc.domain.plan import StepPlan, WorkflowPlan
from kneo_grpc.engine.move import Ended, Move, Start
from kneo_grpc.engine.state import Frame


def begin(workflow: WorkflowPlan, frame: Frame) -> Move:
    """Start the first enabled step."""
    return _next(workflow, frame, 0, frame.text, ())


def proceed(workflow: WorkflowPlan, frame: Frame, ended: Ended) -> Move:
    """Hand the output on to the next enabled step; after the last it is the workflow's."""
    visited = (*frame.visited, ended.step.id)
    return _next(workflow, frame, frame.position + 1, ended.output, visited)


def divert(workflow: WorkflowPlan, frame: Frame, ended: Ended, target: StepPlan) -> Move:
    """Go on with the target instead of the next step."""
    visited = (*frame.visited, ended.step.id)
    return _next(workflow, frame, workflow.steps.index(target), ended.output, visited)


def _next(
    workflow: WorkflowPlan, frame: Frame, position: int, text: str, visited: tuple[str, ...]
) -> Move:
    steps = workflow.steps
    while position < len(steps) and not steps[position].enabled:
        position += 1
    frame = evolve(frame, position=position, visited=visited)
    if position == len(steps):
        return Move(frame, output=text)
    return Move(frame, (Start(steps[position], text),))
