"""Plans of all workflow kinds, nested to depth 3, read off a tape of bytes.

A tape is what Hypothesis draws at once and shrinks byte by byte; 0 is the simplest choice.
"""

from collections.abc import Sequence
from typing import TypeVar

from kneo_grpc.domain.plan import (
    AgentPlan,
    ConditionPlan,
    EdgePlan,
    FunctionPlan,
    HumanPlan,
    Plan,
    StepPlan,
    WorkflowPlan,
)

T = TypeVar("T")

KINDS = ("sequential", "graph", "concurrent", "handoff", "group-chat")
NAMES = "abcde"
CHOOSER = "chooser"
DEPTH_MAX = 3
WORKFLOWS_MAX = 5


class Tape:
    """Choices in a row; past its end every choice is the first one."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    @property
    def over(self) -> bool:
        return self._at >= len(self._content)

    def number(self, count: int) -> int:
        """Return a number from 0 to count - 1."""
        if self.over or count < 2:
            return 0
        self._at += 1
        return self._content[self._at - 1] % count

    def one(self, items: Sequence[T]) -> T:
        return items[self.number(len(items))]

    def often(self, times: int, of: int) -> bool:
        """True so many times of so many; False past the end."""
        return self.number(of) > of - 1 - times


def plan_from(tape: Tape) -> Plan:
    """Return a plan that the compiler could have made."""
    workflows: dict[str, WorkflowPlan] = {}
    _workflow(tape, "", 1, workflows)
    table = (*NAMES, "z")
    return Plan(
        agents={name: AgentPlan(name=name or "root") for name in ("", CHOOSER, *table)},
        workflows=workflows,
        functions={name: FunctionPlan(name=name, implementation=f"m.{name}") for name in table},
        humans={
            name: HumanPlan(name=name, response_role=tape.one((None, "assistant", "user")))
            for name in table
        },
    )


def _workflow(tape: Tape, key: str, depth: int, workflows: dict[str, WorkflowPlan]) -> None:
    """Add a workflow and those nested in it."""
    kind = tape.one(KINDS)
    ids = NAMES[: 1 + tape.number(5 if depth == 1 else 3)]
    steps = [_step(tape, step_id, kind, ids, depth, workflows) for step_id in ids]
    steps = [_whole(step, steps) for step in steps]
    common = {"name": key or "root", "kind": kind, "steps": tuple(steps)}
    selector = tape.one(("sequence", "round_robin", "agent"))
    turns = {
        "selector": selector,
        "selector_ref": CHOOSER if selector == "agent" else None,
        "selector_sequence": tuple(tape.one(ids) for _ in range(tape.number(4))),
        "max_iterations": tape.one((None, 2, 1, 5)),
    }
    if kind == "graph":
        start = next((step.id for step in steps if step.enabled), ids[0])
        workflows[key] = WorkflowPlan(
            **common,
            start=start,
            edges=tuple(_edge(tape, ids) for _ in range(tape.number(9))),
            max_steps=tape.one((12, 3, 6, 1)),
            merge=tape.one(("all", "last")),
        )
    elif kind == "concurrent":
        workflows[key] = WorkflowPlan(**common, merge=tape.one(("all", "last")))
    elif kind == "handoff":
        workflows[key] = WorkflowPlan(**common, **turns)
    elif kind == "group-chat":
        stop = _condition(tape, ids) if tape.often(1, 3) else None
        workflows[key] = WorkflowPlan(**common, **turns, rounds=1 + tape.number(2), stop=stop)
    else:
        workflows[key] = WorkflowPlan(**common)


def _step(
    tape: Tape, step_id: str, kind: str, ids: str, depth: int, workflows: dict[str, WorkflowPlan]
) -> StepPlan:
    does, ref = tape.one(("function", "human", "agent", "workflow", "function")), step_id
    if does == "workflow":
        inner = f"w{len(workflows)}"
        if depth == DEPTH_MAX or len(workflows) >= WORKFLOWS_MAX:
            does = "function"
        else:
            workflows[inner] = WorkflowPlan(name=inner, kind="sequential", steps=())
            _workflow(tape, inner, depth + 1, workflows)
            ref = inner
    ordered = kind in ("sequential", "graph")
    on_error = tape.one(("fail", "continue", "retry", "fallback"))
    if on_error == "fallback" and not ordered:
        on_error = "continue"
    on_reject = tape.one(("continue", "fail", "goto"))
    if does != "human" or (on_reject == "goto" and not ordered):
        on_reject = "continue"
    return StepPlan(
        id=step_id,
        kind=does,
        ref=ref,
        enabled=not tape.often(1, 8),
        on_error=on_error,
        fallback_ref=tape.one(ids) if on_error == "fallback" else None,
        max_retries=tape.number(3) if on_error == "retry" or tape.often(1, 4) else 0,
        on_reject=on_reject,
        goto_ref=tape.one(ids) if on_reject == "goto" else None,
        fan_out=kind == "graph" and tape.often(1, 2),
        join=tape.one((None, "all", "any")) if kind == "graph" else None,
    )


def _whole(step: StepPlan, steps: list[StepPlan]) -> StepPlan:
    """Take back what validation refuses: who is named must be there to go to."""
    by_id = {other.id: other for other in steps}
    fields = {name: getattr(step, name) for name in StepPlan.__slots__}
    fallback = by_id.get(step.fallback_ref or "")
    if step.on_error == "fallback" and (
        fallback is None or fallback.kind == "human" or fallback is step or not fallback.enabled
    ):
        fields |= {"on_error": "fail", "fallback_ref": None}
    if step.goto_ref is not None and not by_id[step.goto_ref].enabled:
        fields |= {"on_reject": "continue", "goto_ref": None}
    return StepPlan(**fields)


def _edge(tape: Tape, ids: str) -> EdgePlan:
    source, target = tape.one(ids), tape.one(ids)
    return EdgePlan(
        source=source, target=target, condition=_condition(tape, ids) if tape.often(1, 3) else None
    )


def _condition(tape: Tape, ids: str, depth: int = 0) -> ConditionPlan:
    types = ["output_contains", "output_equals", "status_is", "metadata_equals", "variable_equals"]
    types += ["always", "never"]
    types += ["not", "all_of", "any_of"] if depth < 2 else []
    kind = tape.one(types)
    values = {
        "output_contains": tape.one(("ye", "no")),
        "output_equals": tape.one(("yes", "no")),
        "status_is": tape.one(("completed", "failed")),
        "metadata_equals": tape.one(("approved", "rejected")),
        "variable_equals": tape.one(("yes", "no")),
    }
    key = tape.one((*ids, "input", "absent")) if kind == "variable_equals" else "decision"
    inner = {"not": 1, "all_of": 2, "any_of": 2}.get(kind, 0)
    children = tuple(_condition(tape, ids, depth + 1) for _ in range(inner))
    return ConditionPlan(type=kind, key=key, value=values.get(kind), conditions=children)
