"""Shows a plan as a graph: what runs, and what may run after it."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from kneo_grpc.domain.plan import ROOT, Plan, StepPlan, WorkflowPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphNode:
    """A step, node or participant. ref: what it runs, among the components; name: that one's name.

    enabled: False for one that is left out. fallback_node: runs where this one failed;
    reject_node: runs where a person rejected. join: all or any of the branches that arrive.
    subgraph: id of the workflow that it runs, itself or behind its agent.
    """

    id: str
    kind: str
    name: str
    ref: str
    enabled: bool = True
    on_error: str = "fail"
    fallback_node: str | None = None
    reject_node: str | None = None
    max_retries: int = 0
    timeout_seconds: float | None = None
    fan_out: bool = False
    join: str | None = None
    subgraph: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphEdge:
    """A way from one node to another. conditional: not always taken.

    priority: place among the edges of its source, from 0. The first that matches is taken, or each
    where the source fans out.
    """

    source: str
    target: str
    label: str | None = None
    conditional: bool = False
    priority: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """One workflow. id: its key in the plan; name, kind: None for an agent that runs alone.

    start: the node that runs first, None where several do or an agent chooses; selector_agent: name
    of the agent that chooses who comes next. edges: those that a graph declares, and those that
    follow from the order of the other kinds; the participants of `concurrent` have none.
    """

    id: str
    name: str | None
    kind: str | None
    start: str | None
    max_steps: int | None
    selector_agent: str | None
    nodes: tuple[GraphNode, ...]
    edges: tuple[GraphEdge, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """What a run executes. nested: the workflows that nodes run, each once however many run it."""

    root: Flow
    nested: tuple[Flow, ...]


def graph(plan: Plan, target: str = "workflow") -> Graph:
    """Return the graph of what a run of `target` (workflow or agent) executes.

    Nested workflows come in the order in which the drawing meets them.
    """
    root = _flow(ROOT, plan.root(target), plan)
    nested: dict[str, Flow] = {}
    waiting = _subgraphs(root)
    while waiting:
        key = waiting.pop(0)
        if key not in nested:
            nested[key] = _flow(key, plan.workflows[key], plan)
            waiting += _subgraphs(nested[key])
    return Graph(root=root, nested=tuple(nested.values()))


def _subgraphs(flow: Flow) -> list[str]:
    return [node.subgraph for node in flow.nodes if node.subgraph is not None]


def _flow(key: str, workflow: WorkflowPlan, plan: Plan) -> Flow:
    running = [step.id for step in workflow.steps if step.enabled]
    edges = _edges(workflow, running)
    start: str | None = None
    if workflow.kind == "graph":
        start = workflow.start
    elif workflow.kind != "concurrent" and workflow.selector != "agent":
        start = next(iter(_order(workflow, running)), None)
    chooser = plan.agents.get(workflow.selector_ref or ROOT)
    return Flow(
        id=key,
        name=None if workflow.implicit else workflow.name,
        kind=None if workflow.implicit else workflow.kind,
        start=start,
        max_steps=workflow.max_steps if workflow.kind == "graph" else None,
        selector_agent=chooser.name if chooser and workflow.selector == "agent" else None,
        nodes=tuple(_node(step, plan) for step in workflow.steps),
        edges=tuple(edges),
    )


def _node(step: StepPlan, plan: Plan) -> GraphNode:
    name, subgraph = step.ref, None
    if step.kind in ("agent", "guardrail"):
        name, subgraph = plan.agents[step.ref].name, plan.agents[step.ref].as_agent
    elif step.kind == "workflow":
        name, subgraph = plan.workflows[step.ref].name, step.ref
    return GraphNode(
        id=step.id,
        kind=step.kind,
        name=name,
        ref=name if step.ref == ROOT else step.ref,
        enabled=step.enabled,
        on_error=step.on_error,
        fallback_node=step.fallback_ref,
        reject_node=step.goto_ref,
        max_retries=step.max_retries,
        timeout_seconds=step.timeout_seconds,
        fan_out=step.fan_out,
        join=step.join,
        subgraph=subgraph,
    )


def _order(workflow: WorkflowPlan, running: list[str]) -> list[str]:
    """Return the ids in the order of their turns."""
    chosen = workflow.selector_sequence
    if workflow.kind == "sequential" or not chosen:
        return running
    known = frozenset(running)
    return [name for name in chosen if name in known]


def _edges(workflow: WorkflowPlan, running: list[str]) -> list[GraphEdge]:
    if workflow.kind == "graph":
        return _numbered(
            GraphEdge(
                source=edge.source,
                target=edge.target,
                label=edge.label,
                conditional=edge.condition is not None and edge.condition.type != "always",
            )
            for edge in workflow.edges
        )
    if workflow.kind == "concurrent" or workflow.selector == "agent":
        return []
    return _numbered(_turns(workflow, _order(workflow, running)))


def _turns(workflow: WorkflowPlan, order: list[str]) -> Iterable[GraphEdge]:
    """Yield the ways of participants that follow each other; numbered where somebody comes twice,
    for then the ways alone do not tell the order.
    """
    numbered = len(frozenset(order)) < len(order)
    for turn, (source, target) in enumerate(pairwise(order), start=1):
        yield GraphEdge(
            source=source,
            target=target,
            label=str(turn) if numbered else None,
            conditional=workflow.stop is not None,
        )
    if not order:
        return
    if workflow.kind == "group-chat" and workflow.rounds > 1:
        label = f"{workflow.rounds} rounds"
    elif workflow.kind == "handoff" and workflow.selector == "round_robin":
        label = "again"
    else:
        return
    yield GraphEdge(source=order[-1], target=order[0], label=label, conditional=True)


def _numbered(edges: Iterable[GraphEdge]) -> list[GraphEdge]:
    """Return the edges with their priorities."""
    seen: Counter[str] = Counter()
    found = []
    for edge in edges:
        found.append(
            GraphEdge(
                source=edge.source,
                target=edge.target,
                label=edge.label,
                conditional=edge.conditional,
                priority=seen[edge.source],
            )
        )
        seen[edge.source] += 1
    return found
