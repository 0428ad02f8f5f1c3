"""Nodes joined by edges. Each branch takes the first edge whose condition holds, or all of them
where a node fans out; it ends where no edge leads on, and branches meet where a node joins them.
"""

from collections.abc import Iterable, Mapping, Sequence

from kneo_grpc.domain.data import evolve
from kneo_grpc.domain.plan import StepPlan, WorkflowPlan
from kneo_grpc.engine.conditions import Facts, holds
from kneo_grpc.engine.move import Ended, Failure, Move, Start
from kneo_grpc.engine.state import ActiveStep, Arrival, Frame
from kneo_grpc.engine.texts import merged


def begin(workflow: WorkflowPlan, frame: Frame) -> Move:
    """Start with the first node."""
    assert workflow.start is not None, "the compiler made sure of it"
    return _checked(workflow, frame, (Start(workflow.step(workflow.start), frame.text),), ())


def proceed(workflow: WorkflowPlan, frame: Frame, ended: Ended) -> Move:
    """Follow the edges that lead on from the node."""
    frame = _past(workflow, frame, ended)
    if ended.step.fan_out or ended.others or frame.arrivals:
        return _follow(workflow, frame, ended, _targets(workflow, frame, ended))
    # Most graphs have one branch, which needs nothing of what branches need.
    node = _first(workflow, frame, ended)
    if node is None:
        return Move(frame, output=ended.output)
    if node.join is not None:
        return _follow(workflow, frame, ended, ((node, ended.branch),))
    return _checked(workflow, frame, (Start(node, ended.output, ended.branch),), ())


def divert(workflow: WorkflowPlan, frame: Frame, ended: Ended, target: StepPlan) -> Move:
    """Go to the target, whatever the edges say."""
    frame = _past(workflow, frame, ended)
    return _follow(workflow, frame, ended, ((target, ended.branch),))


def _past(workflow: WorkflowPlan, frame: Frame, ended: Ended) -> Frame:
    step_id = ended.step.id
    visited = frame.visited + (step_id,)  # noqa: RUF005 # a loop's history is long: one copy of it
    if step_id in workflow.asked_variables:
        return evolve(frame, visited=visited, variables={**frame.variables, step_id: ended.output})
    return evolve(frame, visited=visited)


def _targets(workflow: WorkflowPlan, frame: Frame, ended: Ended) -> Sequence[tuple[StepPlan, str]]:
    """Return the nodes to go to, each with its branch."""
    if not ended.step.fan_out:
        node = _first(workflow, frame, ended)
        return () if node is None else ((node, ended.branch),)
    facts = _facts(workflow, frame, ended)
    open_ways = [
        (number, node)
        for number, edge in enumerate(workflow.onward.get(ended.step.id, ()))
        if (node := workflow.by_id[edge.target]).enabled and holds(edge.condition, facts)
    ]
    if len(open_ways) == 1:
        return ((open_ways[0][1], ended.branch),)
    of = f"{ended.branch}." if ended.branch else ""
    return [(node, f"{of}{number}") for number, node in open_ways]


def _first(workflow: WorkflowPlan, frame: Frame, ended: Ended) -> StepPlan | None:
    """Return the node to which the first edge leads whose condition holds; a disabled node is as
    good as none.
    """
    nodes, facts = workflow.by_id, None
    for edge in workflow.onward.get(ended.step.id, ()):
        node = nodes[edge.target]
        if node.enabled:
            if edge.condition is None:
                return node
            facts = facts or _facts(workflow, frame, ended)
            if holds(edge.condition, facts):
                return node
    return None


def _facts(workflow: WorkflowPlan, frame: Frame, ended: Ended) -> Facts:
    return Facts(
        ended.output,
        "failed" if ended.failed else "completed",
        ended.metadata,
        {**frame.variables, "input": frame.text} if workflow.asked_variables else {},
    )


def _follow(
    workflow: WorkflowPlan, frame: Frame, ended: Ended, targets: Sequence[tuple[StepPlan, str]]
) -> Move:
    text = ended.output
    starts = [Start(node, text, branch) for node, branch in targets if node.join is None]
    arrivals = [
        *frame.arrivals,
        *(Arrival(at=node.id, branch=at, text=text) for node, at in targets if node.join),
    ]
    if not targets:
        arrivals.append(Arrival(at="", branch=ended.branch, text=text))
    meeting = _Meeting(workflow, starts, arrivals, ended.others)
    meeting.settle()
    kept = tuple(meeting.arrivals)
    if not meeting.starts and not meeting.others:
        ends = [arrival for arrival in kept if not arrival.at]
        frame = evolve(frame, arrivals=())
        return Move(frame=frame, drops=meeting.drops, output=_together(workflow, ends))
    if kept != frame.arrivals:
        frame = evolve(frame, arrivals=kept)
    return _checked(workflow, frame, tuple(meeting.starts), meeting.drops)


def _checked(
    workflow: WorkflowPlan, frame: Frame, starts: tuple[Start, ...], drops: tuple[str, ...]
) -> Move:
    """Start nodes as long as the workflow may execute so many."""
    if sum(frame.iterations.values()) + len(starts) > workflow.max_steps:
        message = f"the workflow {workflow.name} reached max_steps ({workflow.max_steps})"
        return Move(frame=frame, failure=Failure(error_type="max_iterations", message=message))
    return Move(frame=frame, starts=starts, drops=drops)


class _Meeting:
    """What becomes of branches that wait for others. starts, arrivals, others: what there is, and
    afterwards what is left of it; drops: paths of steps that ended with their branch.
    """

    def __init__(
        self,
        workflow: WorkflowPlan,
        starts: list[Start],
        arrivals: list[Arrival],
        others: Mapping[str, ActiveStep],
    ) -> None:
        self.starts = starts
        self.arrivals = arrivals
        self.others = dict(others)
        self.drops: tuple[str, ...] = ()
        self._workflow = workflow

    def settle(self) -> None:
        """Let every node start whose branches are there."""
        while (node := self._ready()) is not None:
            if node.join == "any":
                self._end_others(node)
            here = [arrival for arrival in self.arrivals if arrival.at == node.id]
            taken = here[:1] if node.join == "any" else here
            self.arrivals = [arrival for arrival in self.arrivals if arrival not in here]
            branch = self._branch([arrival.branch for arrival in taken])
            self.starts.append(Start(node, _together(self._workflow, taken), branch))

    def _ready(self) -> StepPlan | None:
        waiting = list(dict.fromkeys(arrival.at for arrival in self.arrivals if arrival.at))
        nodes = [self._workflow.step(at) for at in waiting]
        under_way = {step.step_id for step in self.others.values()}
        under_way |= {start.step.id for start in self.starts}
        for node in nodes:
            able = self._workflow.leading_to(node.id)
            if node.join == "any" or not (able & under_way or able & (set(waiting) - {node.id})):
                return node
        # Each waits for the other, and nothing else is under way that could let them go on.
        return nodes[0] if nodes and not under_way else None

    def _end_others(self, node: StepPlan) -> None:
        """End the branches that could still come to a node which waits for the first only."""
        able = self._workflow.leading_to(node.id) - {node.id}
        self.drops += tuple(path for path, step in self.others.items() if step.step_id in able)
        self.others = {path: step for path, step in self.others.items() if step.step_id not in able}
        self.starts = [start for start in self.starts if start.step.id not in able]
        self.arrivals = [arrival for arrival in self.arrivals if arrival.at not in able]

    def _branch(self, branches: list[str]) -> str:
        """Return the branch that goes on: where all parted, if nobody else is of that branch."""
        if len(branches) == 1:
            return branches[0]
        common = _common(branches)
        left = {step.branch for step in self.others.values()}
        left |= {start.branch for start in self.starts}
        left |= {arrival.branch for arrival in self.arrivals}
        inside = any(
            not common or branch == common or branch.startswith(f"{common}.") for branch in left
        )
        return min(branches, key=_place) if inside else common


def _together(workflow: WorkflowPlan, arrivals: Iterable[Arrival]) -> str:
    """Return the texts of branches as one: all in the order of the edges, or the last to come."""
    found = list(arrivals)
    if workflow.merge != "last":
        found.sort(key=lambda arrival: _place(arrival.branch))
    return merged(workflow.merge, [arrival.text for arrival in found])


def _place(branch: str) -> tuple[int, ...]:
    return tuple(map(int, branch.split("."))) if branch else ()


def _common(branches: Iterable[str]) -> str:
    """Return the branch from which all of these parted."""
    shared = []
    for numbers in zip(*(branch.split(".") for branch in branches), strict=False):
        if len(set(numbers)) > 1:
            break
        shared.append(numbers[0])
    return ".".join(shared)
