"""Participants that talk in rounds and hear each other; the last one to speak has the last word."""

from kneo_grpc.domain.data import evolve
from kneo_grpc.domain.plan import SELECTOR, StepPlan, WorkflowPlan
from kneo_grpc.engine import turns
from kneo_grpc.engine.conditions import Facts, holds
from kneo_grpc.engine.move import Ended, Move, Start
from kneo_grpc.engine.state import Frame, Said


def begin(workflow: WorkflowPlan, frame: Frame) -> Move:
    """Open the conversation with what the workflow was given."""
    frame = evolve(frame, said=(Said(role="user", text=frame.text),))
    return _next(workflow, frame, frame.text)


def proceed(workflow: WorkflowPlan, frame: Frame, ended: Ended) -> Move:
    """Add what was said; the next one is given it, unless the talk is over."""
    step = ended.step
    if step.id == SELECTOR:
        return turns.chosen(workflow, frame, ended.output)
    variables = frame.variables
    if step.id in workflow.asked_variables:
        variables = {**variables, step.id: ended.output}
    frame = evolve(
        frame,
        visited=(*frame.visited, step.id),
        position=frame.position + 1,
        said=(*frame.said, Said(role="assistant", text=ended.output, name=step.id)),
        variables=variables,
    )
    facts = Facts(
        ended.output,
        "failed" if ended.failed else "completed",
        ended.metadata,
        {**variables, "input": frame.text},
    )
    if workflow.stop is not None and holds(workflow.stop, facts):
        return Move(frame=frame, output=ended.output)
    return _next(workflow, frame, ended.output)


def divert(workflow: WorkflowPlan, frame: Frame, ended: Ended, target: StepPlan) -> Move:
    """Participants have no place to go to; the compiler refuses it."""
    raise AssertionError("participants are not diverted")


def _next(workflow: WorkflowPlan, frame: Frame, text: str) -> Move:
    order = turns.speakers(workflow)
    limit = len(order) * workflow.rounds
    if workflow.max_iterations is not None:
        limit = min(limit, workflow.max_iterations)
    if frame.position >= limit:
        return Move(frame=frame, output=text)
    if workflow.selector == "agent":
        return turns.ask(workflow, frame, text)
    return Move(frame=frame, starts=(Start(order[frame.position % len(order)], text),))
