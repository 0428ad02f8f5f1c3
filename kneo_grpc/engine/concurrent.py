"""Participants side by side, all given the same text; their outputs are merged."""

from kneo_grpc.domain.data import evolve
from kneo_grpc.domain.plan import StepPlan, WorkflowPlan
from kneo_grpc.engine.move import Ended, Move, Start
from kneo_grpc.engine.state import Frame
from kneo_grpc.engine.texts import merged


def begin(workflow: WorkflowPlan, frame: Frame) -> Move:
    """Start all that are enabled."""
    starts = tuple(Start(step, frame.text) for step in workflow.steps if step.enabled)
    return Move(frame=frame, starts=starts, output=None if starts else frame.text)


def proceed(workflow: WorkflowPlan, frame: Frame, ended: Ended) -> Move:
    """Keep the output; when it was the last one that was missing, merge them all."""
    frame = evolve(
        frame,
        visited=(*frame.visited, ended.step.id),
        outputs={**frame.outputs, ended.step.id: ended.output},
    )
    if ended.others:
        return Move(frame=frame)
    texts = [frame.outputs[step.id] for step in workflow.steps if step.id in frame.outputs]
    return Move(frame=frame, output=merged(workflow.merge, texts))


def divert(workflow: WorkflowPlan, frame: Frame, ended: Ended, target: StepPlan) -> Move:
    """Participants have no place to go to; the compiler refuses it."""
    raise AssertionError("participants are not diverted")
