"""What a run executed, step by step: from the checkpoints of steps' ends and the engine's state."""

import asyncio
import heapq
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kneo_grpc.domain.data import evolve
from kneo_grpc.domain.ids import RunId
from kneo_grpc.domain.plan import Plan, StepPlan, WorkflowPlan
from kneo_grpc.domain.run import Checkpoint, RunError
from kneo_grpc.domain.spans import parent_path
from kneo_grpc.engine.state import ActiveStep, State
from kneo_grpc.ports.store import PageRequest, Store

STEPS_MAX = 1000
ENDS = ("step_completed", "node_completed", "step_failed", "step_stopped")
"""Types of checkpoints that tell of a step's end."""

_PHASES = {"running": "running", "human": "waiting", "retry": "retry", "nested": "running"}


@dataclass(frozen=True, kw_only=True)  # no slots: it is copied by evolve
class ExecutedStep:
    """One execution of a step. path: see docs/workflows.md; parent_path: None in the root workflow.

    kind, ref: of the step in the plan. status: completed, failed, running, waiting, retry or
    stopped. attempt: the last one, which began at started_at. fallback_step: id of the step that
    took its place after it failed.
    """

    path: str
    parent_path: str | None
    step_id: str
    kind: str
    ref: str
    workflow_name: str | None
    status: str
    attempt: int
    iteration: int
    branch: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    error: RunError | None = None
    output_preview: str | None = None
    fallback_step: str | None = None


async def executed_steps(
    store: Store, run_id: RunId, plan: Plan, state: State
) -> tuple[tuple[ExecutedStep, ...], int]:
    """Return the newest 1,000 in the order in which they ended, then what is under way, then what
    was stopped with the run; and the number of all, see run.proto.
    """
    page = PageRequest(limit=STEPS_MAX, sort_by="sequence", descending=True)
    pages = [await store.list_checkpoints(run_id, kind, page, states=False) for kind in ENDS]
    ends = heapq.nlargest(
        STEPS_MAX, (item for found in pages for item in found.items), key=lambda at: at.sequence
    )
    older = sum(found.total for found in pages) - len(ends)
    rows = await asyncio.to_thread(_rows, plan, state, ends[::-1])
    return tuple(rows[-STEPS_MAX:]), len(rows) + older


def _rows(plan: Plan, state: State, ends: list[Checkpoint]) -> list[ExecutedStep]:
    """Return a row for each path. ends: in order; of several ends of a path the last one counts."""
    last = {item.metadata["step_path"]: item for item in ends}
    # A path whose last end came late stands late.
    ordered = sorted(last.items(), key=lambda pair: pair[1].sequence)
    rows = [
        _ended(plan, state.target, path, item) for path, item in ordered if path not in state.active
    ]
    rows += (
        row if row.status != "retry" else evolve(row, error=_failure(last.get(row.path)))
        for row in _open(plan, state, state.active)
    )
    known = {*last, *state.active}
    rows += (
        evolve(row, status="stopped")
        for row in _open(plan, state, state.interrupted)
        if row.path not in known
    )
    return rows


def _ended(plan: Plan, target: str, path: str, item: Checkpoint) -> ExecutedStep:
    facts = item.metadata
    workflow, step = _planned(plan, target, path)
    if item.type == "step_stopped":
        status = "stopped"
    elif item.type == "step_failed" or facts.get("step_failed"):
        status = "failed"
    else:
        status = "completed"
    completed = status == "completed"
    return ExecutedStep(
        path=path,
        parent_path=parent_path(path) or None,
        step_id=step.id,
        kind=step.kind,
        ref=_name(plan, step),
        workflow_name=None if workflow.implicit else workflow.name,
        status=status,
        attempt=facts["attempt"],
        iteration=item.iteration,
        branch=facts.get("branch"),
        started_at=_instant(facts.get("started_at")),
        ended_at=item.created_at,
        error=_error(facts.get("error")),
        output_preview=facts.get("output_text") if completed else None,
        fallback_step=facts.get("fallback_step"),
    )


def _open(plan: Plan, state: State, active: Mapping[str, ActiveStep]) -> Iterator[ExecutedStep]:
    """Yield what is, or was, under way. A step that waits for a workflow in which everything waits
    for people waits too.
    """
    for path, item in active.items():
        workflow = plan.root(state.target)
        key = state.frames[item.frame].workflow
        if key:
            workflow = plan.workflows[key]
        step = workflow.step(item.step_id)
        inside = {
            other.phase
            for at, other in active.items()
            if at.startswith(f"{path}/") and other.phase != "nested"
        }
        fallback = item.executes if item.executes != item.step_id else None
        yield ExecutedStep(
            path=path,
            parent_path=item.frame or None,
            step_id=step.id,
            kind=step.kind,
            ref=_name(plan, step),
            workflow_name=None if workflow.implicit else workflow.name,
            status="waiting" if inside == {"human"} else _PHASES[item.phase],
            attempt=item.attempt,
            iteration=item.iteration,
            branch=item.branch or None,
            started_at=_instant(item.started_at),
            fallback_step=fallback,
        )


def _planned(plan: Plan, target: str, path: str) -> tuple[WorkflowPlan, StepPlan]:
    """Return the step that a path names, and its workflow. What stands in a step's workflow may
    stand in its fallback's instead.
    """
    parts = [_named(part) for part in path.split("/")]
    workflow = plan.root(target)
    step = workflow.step(parts[0][0])
    for (_, instead), (name, _) in itertools.pairwise(parts):
        opened = (step, *([workflow.step(step.fallback_ref)] if step.fallback_ref else []))
        if instead:
            opened = (workflow.step(instead),)
        inner = [plan.workflows[way.ref] for way in opened if way.kind == "workflow"]
        workflow = next(
            item
            for item in inner
            if any(there.id == name for there in item.steps) or name.startswith("#")
        )
        step = workflow.step(name)
    return workflow, step


def _named(part: str) -> tuple[str, str]:
    """Return the step of a part of a path, and the step that works in its place if the part names
    one, else "".
    """
    end = part.index("#", 1)  # a step of the engine's own has a # before its name
    return part[:end], part[end + 1 :].partition("#")[2]


def _name(plan: Plan, step: StepPlan) -> str:
    """Return what a step runs, as a spec calls it: the root agent has no key there."""
    return step.ref or plan.agents[step.ref].name


def _failure(end: Checkpoint | None) -> RunError | None:
    return None if end is None else _error(end.metadata.get("error"))


def _error(facts: Any) -> RunError | None:
    return RunError(type=facts["type"], message=facts["message"]) if facts else None


def _instant(seconds: float | None) -> datetime | None:
    """Return an instant of seconds since 1970; None for 0, which stands for nobody said."""
    return datetime.fromtimestamp(seconds, UTC) if seconds else None
