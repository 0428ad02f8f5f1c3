"""What the answers about specs are for people: lines of text."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

Json = Mapping[str, Any]


def explain_lines(summary: Json) -> list[str]:
    """Return the parts of a spec under headings; headings without parts are left out."""
    lines: list[str] = []
    lines += _section("Agents", map(_agent, _items(summary, "agents")))
    for flow in _items(summary, "workflows"):
        steps = [
            (step["id"], f"{step['kind']} {step['ref']}", _off(step))
            for step in _items(flow, "steps")
        ]
        lines += _section(f"Workflow {_flow_title(flow, flow.get('kind'))}", _columns(steps))
    tools = [
        (item["name"], item["description"], f"({item['backing']})")
        for item in _items(summary, "tools")
    ]
    lines += _section("Tools", _columns(tools))
    lines += _section("People", map(_human, _items(summary, "humans")))
    for title, key in (
        ("Functions", "functions"),
        ("Skills", "skills"),
        ("MCP servers", "mcp_servers"),
    ):
        names = summary.get(key) or []
        lines += _section(title, [", ".join(names)] if names else [])
    return lines[1:]


def graph_lines(graph: Json) -> list[str]:
    """Return each workflow with its nodes in order and, below each, where it leads."""
    lines = _flow_lines(graph, _title(graph))
    for nested in _items(graph, "subgraphs"):
        lines += ["", *_flow_lines(nested, f"{nested['id']}: {_title(nested)}")]
    return lines


def report_lines(report: Json) -> list[str]:
    """Return a policy report under headings; none for what is no spec."""
    if "summary" not in report:
        return []
    counts = report["summary"]
    nouns = ("agent", "workflow", "tool", "diagnostic")
    lines = [", ".join(counted(counts[f"{noun}_count"], noun) for noun in nouns)]
    policies = _items(report.get("tools") or {}, "agent_policies")
    lines += _section("Tools", map(_tool_policy, policies))
    memory = [
        f"{item['agent']}: {item.get('policy') or 'no policy'}"
        for item in _items(report.get("memory") or {}, "agents")
        if item.get("configured")
    ]
    lines += _section("Memory", memory)
    guards = [
        f"{item['agent']}: {_pairs(item.get('stages') or {})}"
        for item in _items(report.get("guardrails") or {}, "agents")
        if item.get("configured")
    ]
    lines += _section("Guardrails", guards)
    return lines + _section("Human review", _review(report.get("human_review") or {}))


def counted(number: int, noun: str) -> str:
    """Return a number with its noun in the right form."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _agent(agent: Json) -> str:
    model = "/".join(str(agent[key]) for key in ("provider", "model") if agent.get(key))
    facts = [
        f"runs the workflow {agent['as_agent']}" if agent.get("as_agent") else "",
        f"model {model}" if model else "",
        str(agent["strategy"]),
        f"runtime {agent['runtime_mode']}" if agent["runtime_mode"] != "bridge" else "",
        f"memory {agent['memory']}" if agent.get("memory") else "",
        _named("tools", agent.get("tools")),
        _named("skills", agent.get("skills")),
        _named("guardrails", agent.get("guardrails")),
    ]
    about = f": {agent['description']}" if agent.get("description") else ""
    return f"{agent['name']} ({agent['path']}){about}\n    " + "; ".join(filter(None, facts))


def _human(human: Json) -> str:
    seconds = human.get("timeout_seconds")
    facts = [
        f"{human['request_type']} by {human.get('assignee') or 'anybody'}",
        f"after {seconds} s: {human['on_timeout']}" if seconds else "waits for ever",
    ]
    about = f": {human['description']}" if human.get("description") else ""
    return f"{human['name']}{about}\n    " + "; ".join(facts)


def _title(flow: Json) -> str:
    return _flow_title({"name": flow.get("workflow_name")}, flow.get("workflow_kind"))


def _flow_title(flow: Json, kind: object) -> str:
    about = f": {flow['description']}" if flow.get("description") else ""
    return (
        f"{flow.get('name') or 'no workflow, the root agent'}{f' ({kind})' if kind else ''}{about}"
    )


def _flow_lines(flow: Json, title: str) -> list[str]:
    lines = [title]
    if flow.get("selector_agent"):
        lines.append(f"  the agent {flow['selector_agent']} says who comes next")
    if flow.get("workflow_kind") == "concurrent":
        lines.append("  all at once")
    edges = _items(flow, "edges")
    for node in _items(flow, "nodes"):
        start = "*" if node["id"] == flow.get("start") else " "
        lines.append(f"{start} {node['id']}  {node.get('kind')} {node['name']}{_off(node, '  ')}")
        lines += [f"      -> {_way(edge)}" for edge in edges if edge["source"] == node["id"]]
        for key, when in (("fallback_node", "on error"), ("reject_node", "rejected")):
            if node.get(key):
                lines.append(f"      -> {node[key]} ({when})")
        if node.get("subgraph"):
            lines.append(f"      runs {node['subgraph']}, see below")
    return lines


def _way(edge: Json) -> str:
    word = edge.get("label") or ("if" if edge.get("conditional") else "")
    return f"{edge['target']} ({word})" if word else str(edge["target"])


def _tool_policy(policy: Json) -> str:
    names = ", ".join(policy.get("include") or ()) or "none"
    rights = policy.get("permissions")
    said = "no permissions" if rights is None else _pairs(rights) or "no rights named"
    wide = "; UNRESTRICTED" if policy.get("unrestricted") else ""
    return f"{policy['agent']}: {names}; {said}{wide}"


def _review(review: Json) -> Iterator[str]:
    for step in _items(review, "workflow_steps"):
        yield f"{step['workflow']}: step {step['step_id']} asks {step['ref']}"
    for need in _items(review, "requirements"):
        place = f" at {need['path']}" if need.get("path") else ""
        yield f"required: {need['code']}{place}: {need['reason']}"
    if review.get("missing"):
        yield "MISSING: nobody is asked"


def _section(title: str, lines: Iterable[str]) -> list[str]:
    found = [f"  {line}" for line in lines]
    return ["", title, *found] if found else []


def _columns(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Yield rows with the first two columns lined up."""
    for at in (0, 1):
        width = min(max((len(row[at]) for row in rows), default=0), 40)
        rows = [(*row[:at], row[at].ljust(width), *row[at + 1 :]) for row in rows]
    for row in rows:
        yield "  ".join(row).rstrip()


def _named(noun: str, names: Sequence[str] | None) -> str:
    return f"{noun} {', '.join(names)}" if names else ""


def _pairs(data: Json) -> str:
    return ", ".join(f"{key} {_word(value)}" for key, value in data.items())


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _off(item: Json, before: str = "") -> str:
    return "" if item.get("enabled", True) else f"{before}(left out)"


def _items(data: Json, key: str) -> list[Json]:
    found = data.get(key) or []
    return [item for item in found if isinstance(item, Mapping)]
