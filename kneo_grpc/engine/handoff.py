"""Participants that hand over to each other, one at a time."""

from kneo_grpc.domain.data import evolve
from kneo_grpc.domain.plan import SELECTOR, StepPlan, WorkflowPlan
from kneo_grpc.engine import turns
from kneo_grpc.engine.move import Ended, Move, Start
from kneo_grpc.engine.state import Frame


def begin(workflow: WorkflowPlan, frame: Frame) -> Move:
    """Give the text to the first one."""
    return _next(workflow, frame, frame.text)


def proceed(workflow: WorkflowPlan, frame: Frame, ended: Ended) -> Move:
    """Hand the output to the next one; after the last it is the workflow's."""
    if ended.step.id == SELECTOR:
        return turns.chosen(workflow, frame, ended.output)
    visited = (*frame.visited, ended.step.id)
    frame = evolve(frame, visited=visited, position=frame.position + 1)
    return _next(workflow, frame, ended.output)


def divert(workflow: WorkflowPlan, frame: Frame, ended: Ended, target: StepPlan) -> Move:
    """Participants have no place to go to; the compiler refuses it."""
    raise AssertionError("participants are not diverted")


def _next(workflow: WorkflowPlan, frame: Frame, text: str) -> Move:
    """A limit that the spec gives and that ends the work too early fails; round_robin knows no
    other end.
    """
    order = turns.speakers(workflow)
    taken, limit = frame.position, workflow.max_iterations
    over = Move(frame=frame, output=text)
    if not order:
        return over
    if workflow.selector == "agent":
        if taken >= (limit or len(order)):
            return over if limit is None else turns.exhausted(workflow, frame)
        return turns.ask(workflow, frame, text)
    if workflow.selector == "sequence":
        if taken >= len(order):
            return over
        if limit is not None and taken >= limit:
            return turns.exhausted(workflow, frame)
    elif taken >= (limit or len(order)):
        return over
    return Move(frame=frame, starts=(Start(order[taken % len(order)], text),))
