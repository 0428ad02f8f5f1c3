"""Checks graphs: start, nodes, edges, conditions, branches, and what can be reached."""

from kneo_grpc.spec.check_fallbacks import check_fallback_cycles, check_goto, fallback
from kneo_grpc.spec.document import Path
from kneo_grpc.spec.findings import Findings, Near, shown
from kneo_grpc.spec.model import Condition, GraphWorkflow, Node, Step

_NEEDS_VALUE = frozenset(
    {"output_contains", "output_equals", "metadata_equals", "variable_equals", "status_is"}
)
_NEEDS_KEY = frozenset({"metadata_equals", "variable_equals"})


def check_graph(path: Path, graph: GraphWorkflow, findings: Findings) -> None:
    """Note what is wrong with the graph at path."""
    if graph.max_steps < 1:
        findings.error("E_GRAPH_MAX_STEPS", (*path, "max_steps"), "max_steps must be at least 1")
    start = graph.nodes.get(graph.start)
    if start is None:
        here = (*path, "start")
        findings.error("E_GRAPH_START", here, "the graph has no node to start with")
        findings.error(
            "E_GRAPH_START_UNKNOWN",
            here,
            f"the start {shown(graph.start)} is not a node",
            Near(graph.start, graph.nodes, f"nodes: {', '.join(list(graph.nodes)[:8])}"),
        )
    elif not start.enabled:
        text = f"the start {shown(graph.start)} is disabled"
        hint = "enable it, or start elsewhere"
        findings.error("E_GRAPH_START_DISABLED", (*path, "start"), text, hint)
    _check_nodes(path, graph, findings)
    _check_edges(path, graph, findings)
    _check_branches(path, graph, findings)
    if start is not None:
        _check_reachable(path, graph, findings)


def _check_nodes(path: Path, graph: GraphWorkflow, findings: Findings) -> None:
    placed: list[tuple[Path, Step]] = []
    keyed: dict[str, Step] = {}
    for key, node in graph.nodes.items():
        node_path = (*path, "nodes", key)
        keyed[key] = node if node.id == key else node.model_copy(update={"id": key})
        placed.append((node_path, keyed[key]))
        if node.id != key:
            text = f"the node {shown(key)} has the id {shown(node.id)}; its key counts"
            findings.warning(
                "W_GRAPH_NODE_ID_MISMATCH", (*node_path, "id"), text, f"write `id: {key}`"
            )
        if node.on_error == "fallback":
            _check_fallback(node_path, node, graph, findings)
    for node_path, step in placed:
        check_goto(node_path, step, keyed, "node", findings)
    check_fallback_cycles(placed, keyed, findings)


def _check_fallback(path: Path, node: Node, graph: GraphWorkflow, findings: Findings) -> None:
    target = fallback(path, node, graph.nodes, "E_GRAPH_NODE_FALLBACK", "node", findings)
    here = (*path, "fallback_ref")
    if target is not None and target.kind == "human":
        findings.error("E_GRAPH_FALLBACK_HUMAN", here, "a person cannot be a fallback")
    elif target is not None and not target.enabled:
        text = f"the fallback {shown(node.fallback_ref)} is disabled"
        findings.error("E_GRAPH_NODE_FALLBACK_DISABLED", here, text)


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
            check_condition((*edge_path, "condition"), edge.condition, findings)


def check_condition(path: Path, condition: Condition, findings: Findings) -> None:
    """Note what the condition at path, and those in it, lack."""
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
        check_condition((*path, "conditions", index), child, findings)
    if condition.condition is not None:
        check_condition((*path, "condition"), condition.condition, findings)


def _check_branches(path: Path, graph: GraphWorkflow, findings: Findings) -> None:
    leaving: dict[str, int] = {}
    for edge in graph.edges:
        leaving[edge.source] = leaving.get(edge.source, 0) + 1
    forks = any(node.fan_out for node in graph.nodes.values())
    for key, node in graph.nodes.items():
        if node.fan_out and leaving.get(key, 0) < 2:
            text = f"{shown(key)} fans out, but fewer than two edges leave it"
            findings.warning("W_GRAPH_FAN_OUT_SINGLE", (*path, "nodes", key, "fan_out"), text)
        if node.join is not None and not forks:
            text = f"{shown(key)} joins branches, but no node fans out"
            hint = "set `fan_out: true` on the node where the branches part"
            findings.warning("W_GRAPH_JOIN_UNUSED", (*path, "nodes", key, "join"), text, hint)


def _check_reachable(path: Path, graph: GraphWorkflow, findings: Findings) -> None:
    onward: dict[str, list[str]] = {}
    for edge in graph.edges:
        onward.setdefault(edge.source, []).append(edge.to)
    for key, node in graph.nodes.items():
        if node.on_error == "fallback" and node.fallback_ref is not None:
            onward.setdefault(key, []).append(node.fallback_ref)
        if node.on_reject == "goto" and node.goto_ref is not None:
            onward.setdefault(key, []).append(node.goto_ref)
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
