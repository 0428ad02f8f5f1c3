"""Steps one after the other; each is given the output of the one before."""

from kneo_grpc.domain.data import evolve
from kneo_grpc.domain.plan import StepPlan, WorkflowPlan
from kneo_grpc.engine.move import Move
from kneo_grpc.engine.state import Frame


def begin(workflow: WorkflowPlan, frame: Frame) -> Move:
    """Start the first enabled step."""
    return _next(workflow, frame)


def proceed(workflow: WorkflowPlan, frame: Frame, step: StepPlan, output: str) -> Move:
    """Hand the output on to the next enabled step; after the last it is the workflow's."""
    ended = evolve(
        frame, text=output, visited=(*frame.visited, step.id), position=frame.position + 1
    )
    return _next(workflow, ended)


def _next(workflow: WorkflowPlan, frame: Frame) -> Move:
    position = frame.position
    while position < len(workflow.steps) and not workflow.steps[position].enabled:
        position += 1
    if position != frame.position:
        frame = evolve(frame, position=position)
    if position == len(workflow.steps):
        return Move(frame=frame, output=frame.text)
    return Move(frame=frame, starts=((workflow.steps[position], frame.text),))
