"""Checks workflows: ids, references, fallbacks, graphs and orchestration."""

from collections.abc import Collection, Iterable

from kneo_grpc.spec.document import Path
from kneo_grpc.spec.findings import Findings, Near, shown
from kneo_grpc.spec.model import (
    AnyWorkflow,
    Condition,
    GraphWorkflow,
    GroupChatWorkflow,
    HandoffWorkflow,
    SequentialWorkflow,
    Spec,
    Step,
)
from kneo_grpc.spec.names import steps, workflows

_NEEDS_VALUE = frozenset(
    {"output_contains", "output_equals", "metadata_equals", "variable_equals", "status_is"}
)
_NEEDS_KEY = frozenset({"metadata_equals", "variable_equals"})


def check_workflows(spec: Spec, findings: Findings) -> None:
    """Note what is wrong with the root workflow and the component workflows."""
    tables = _tables(spec)
    for path, workflow in workflows(spec):
        placed = steps(path, workflow)
        for step_path, step in placed:
            _check_ref(step_path, step, path, tables, findings)
        if isinstance(workflow, SequentialWorkflow):
            _check_sequence(placed, findings)
        elif isinstance(workflow, GraphWorkflow):
            _check_graph(path, workflow, findings)
        else:
            _check_participants(path, workflow, placed, findings)


def _tables(spec: Spec) -> dict[str, Collection[str]]:
    """Return the names that a step of each kind may refer to."""
    parts = spec.components
    return {
        # The root agent answers to its name as well.
        "agent": {**parts.agents, spec.agent.name: spec.agent},
        "function": parts.functions,
        "workflow": parts.workflows,
        "human": parts.humans,
    }


def _check_ref(
    path: Path, step: Step, owner: Path, tables: dict[str, Collection[str]], findings: Findings
) -> None:
    table = tables.get(step.kind)
    if table is None:
        return
    if step.ref not in table:
        place = f"components.{step.kind}s"
        findings.error(
            f"E_STEP_{step.kind.upper()}_REF",
            (*path, "ref"),
            f"step {shown(step.id)} refers to the {step.kind} {shown(step.ref)}, "
            f"which {place} does not have",
            Near(step.ref, table, f"declare it under {place}"),
        )
    elif step.kind == "workflow" and owner == ("components", "workflows", step.ref):
        findings.error(
            "E_STEP_WORKFLOW_SELF_REF",
            (*path, "ref"),
            f"the workflow {shown(step.ref)} refers to itself",
        )


def _check_duplicates(
    placed: Iterable[tuple[Path, Step]], code: str, noun: str, findings: Findings
) -> None:
    seen: set[str] = set()
    for path, step in placed:
        if step.id in seen:
            findings.error(
                code, (*path, "id"), f"another {noun} has the id {shown(step.id)} already"
            )
        seen.add(step.id)


def _check_sequence(placed: list[tuple[Path, Step]], findings: Findings) -> None:
    _check_duplicates(placed, "E_STEP_DUPLICATE_ID", "step", findings)
    by_id = {step.id: step for _, step in placed}
    for path, step in placed:
        if step.on_error != "fallback":
            continue
        target = _fallback(path, step, by_id, "E_STEP_FALLBACK", "step", findings)
        if target is None:
            continue
        if target.kind == "human":
            text = "a person cannot be a fallback"
            findings.error("E_STEP_FALLBACK_HUMAN", (*path, "fallback_ref"), text)
        elif not target.enabled:
            text = f"the fallback {shown(target.id)} is disabled"
            findings.warning("W_STEP_FALLBACK_DISABLED", (*path, "fallback_ref"), text)
    _check_fallback_cycles(placed, by_id, findings)


def _fallback(
    path: Path, step: Step, by_id: dict[str, Step], code: str, noun: str, findings: Findings
) -> Step | None:
    """Return the step that takes over; code is E_STEP_FALLBACK or E_GRAPH_NODE_FALLBACK."""
    if step.fallback_ref is None:
        text = "on_error is `fallback`, but fallback_ref is missing"
        findings.error(f"{code}_REF", (*path, "fallback_ref"), text, f"name another {noun}")
        return None
    target = by_id.get(step.fallback_ref)
    if target is None:
        findings.error(
            f"{code}_UNKNOWN",
            (*path, "fallback_ref"),
            f"{shown(step.fallback_ref)} is not a {noun} of this workflow",
            Near(step.fallback_ref, by_id),
        )
    return target


def _check_fallback_cycles(
    placed: Iterable[tuple[Path, Step]], by_id: dict[str, Step], findings: Findings
) -> None:
    done: set[str] = set()
    paths = {step.id: path for path, step in placed}
    for start in by_id:
        trail: dict[str, None] = {}
        current: str | None = start
        while current is not None and current in by_id and current not in done:
            if current in trail:
                text = f"the fallbacks of {shown(current)} lead back to it"
                findings.error("E_STEP_FALLBACK_CYCLE", (*paths[current], "fallback_ref"), text)
                break
            trail[current] = None
            step = by_id[current]
            current = step.fallback_ref if step.on_error == "fallback" else None
        done.update(trail)


def _check_graph(path: Path, graph: GraphWorkflow, findings: Findings) -> None:
    if graph.max_steps < 1:
        findings.error("E_GRAPH_MAX_STEPS", (*path, "max_steps"), "max_steps must be at least 1")
    start = graph.nodes.get(graph.start)
    if start is None:
        findings.error(
            "E_GRAPH_START",
            (*path, "start"),
            f"the start {shown(graph.start)} is not a node",
            Near(graph.start, graph.nodes),
        )
    elif not start.enabled:
        text = f"the start {shown(graph.start)} is disabled"
        findings.error("E_GRAPH_START_DISABLED", (*path, "start"), text)
    _check_nodes(path, graph, findings)
    _check_edges(path, graph, findings)
    if start is not None:
        _check_reachable(path, graph, findings)


def _check_nodes(path: Path, graph: GraphWorkflow, findings: Findings) -> None:
    placed: list[tuple[Path, Step]] = []
    for key, node in graph.nodes.items():
        node_path = (*path, "nodes", key)
        placed.append((node_path, node))
        if node.id != key:
            text = f"the node {shown(key)} has the id {shown(node.id)}; its key counts"
            findings.warning("W_GRAPH_NODE_ID_MISMATCH", (*node_path, "id"), text)
        if node.on_error != "fallback":
            continue
        target = _fallback(node_path, node, graph.nodes, "E_GRAPH_NODE_FALLBACK", "node", findings)
        if target is not None and target.kind == "human":
            text = "a person cannot be a fallback"
            findings.error("E_GRAPH_FALLBACK_HUMAN", (*node_path, "fallback_ref"), text)
        elif target is not None and not target.enabled:
            text = f"the fallback {shown(node.fallback_ref)} is disabled"
            findings.error("E_GRAPH_NODE_FALLBACK_DISABLED", (*node_path, "fallback_ref"), text)
    keyed = {key: node.model_copy(update={"id": key}) for key, node in graph.nodes.items()}
    _check_fallback_cycles(
        [(node_path, keyed[str(node_path[-1])]) for node_path, _ in placed], keyed, findings
    )


def _check_edges(path: Path, graph: GraphWorkflow, findings: Findings) -> None:
    for index, edge in enumerate(graph.edges):
        edge_path = (*path, "edges", index)
        for field, code, end in (
            ("from", "E_GRAPH_EDGE_FROM", edge.source),
            ("to", "E_GRAPH_EDGE_TO", edge.to),
        ):
            if end not in graph.nodes:
                text = f"{shown(end)} is not a node"
                findings.error(code, (*edge_path, field), text, Near(end, graph.nodes))
        if edge.condition is not None:
            _check_condition((*edge_path, "condition"), edge.condition, findings)


def _check_condition(path: Path, condition: Condition, findings: Findings) -> None:
    kind = condition.type
    if kind in _NEEDS_VALUE and condition.value is None:
        findings.error("E_CONDITION_VALUE", (*path, "value"), f"`{kind}` needs a value")
    if kind in _NEEDS_KEY and not condition.key:
        findings.error("E_CONDITION_KEY", (*path, "key"), f"`{kind}` needs a key")
    if kind in ("all_of", "any_of") and not condition.conditions:
        findings.error("E_CONDITION_CHILDREN", (*path, "conditions"), f"`{kind}` needs conditions")
    if kind == "not" and condition.condition is None:
        findings.error("E_CONDITION_CHILD", (*path, "condition"), "`not` needs a condition")
    for index, child in enumerate(condition.conditions):
        _check_condition((*path, "conditions", index), child, findings)
    if condition.condition is not None:
        _check_condition((*path, "condition"), condition.condition, findings)


def _check_reachable(path: Path, graph: GraphWorkflow, findings: Findings) -> None:
    onward: dict[str, list[str]] = {}
    for edge in graph.edges:
        onward.setdefault(edge.source, []).append(edge.to)
    for key, node in graph.nodes.items():
        if node.on_error == "fallback" and node.fallback_ref is not None:
            onward.setdefault(key, []).append(node.fallback_ref)
    seen, todo = {graph.start}, [graph.start]
    while todo:
        for target in onward.get(todo.pop(), ()):
            if target not in seen:
                seen.add(target)
                todo.append(target)
    for key in graph.nodes:
        if key not in seen:
            text = f"no edge leads from the start to {shown(key)}"
            findings.warning("W_GRAPH_NODE_UNREACHABLE", (*path, "nodes", key), text)


def _check_participants(
    path: Path, workflow: AnyWorkflow, placed: list[tuple[Path, Step]], findings: Findings
) -> None:
    _check_duplicates(placed, "E_PARTICIPANT_DUPLICATE_ID", "participant", findings)
    for step_path, step in placed:
        if step.on_error == "fallback" or step.fallback_ref is not None:
            field = "fallback_ref" if step.fallback_ref is not None else "on_error"
            text = "participants have no fallback"
            findings.error("E_PARTICIPANT_FALLBACK_UNSUPPORTED", (*step_path, field), text)
    if isinstance(workflow, GroupChatWorkflow) and workflow.rounds < 1:
        findings.error("E_GROUP_CHAT_ROUNDS", (*path, "rounds"), "rounds must be at least 1")
    if isinstance(workflow, HandoffWorkflow):
        ids = {step.id: None for _, step in placed}
        for index, name in enumerate(workflow.selector.sequence):
            if name not in ids:
                findings.error(
                    "E_HANDOFF_SELECTOR_REF",
                    (*path, "selector", "sequence", index),
                    f"{shown(name)} is not a participant",
                    Near(name, ids),
                )
