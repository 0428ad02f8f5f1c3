"""Checks that the parts of a spec can be built in some order: no cycles, no endless nesting."""

from collections.abc import Iterator

from kneo_grpc.spec.document import Path
from kneo_grpc.spec.findings import Findings, shown
from kneo_grpc.spec.model import Agent, GroupChatWorkflow, HandoffWorkflow, Spec
from kneo_grpc.spec.names import agents, steps, workflows

NESTING_MAX = 16
"""How deep workflows may stand in each other; the engine keeps one frame per level."""

Part = tuple[str, str]
"""(`agent` or `workflow`, component name); the root parts have the name ""."""

_Uses = list[tuple[Part, Path]]


def check_builds(spec: Spec, findings: Findings) -> None:
    """Note cycles through workflows and agents, and workflows nested too deep.

    An agent stands on its tools that are agents, and on the agents of its memory and guardrails.
    """
    uses = _uses(spec)
    height: dict[Part, int] = {}
    open_parts: set[Part] = set()
    for root in uses:
        if root in height:
            continue
        stack: list[tuple[Part, Iterator[tuple[Part, Path]]]] = [(root, iter(uses[root]))]
        open_parts.add(root)
        while stack:
            part, rest = stack[-1]
            for target, path in rest:
                if target in open_parts:
                    # A workflow that names itself has a code of its own.
                    if target != part or part[0] == "agent":
                        noun = shown(target[1]) if target[1] else "of the root"
                        text = f"the {target[0]} {noun} is, in the end, made of itself"
                        findings.error("E_BUILD_CYCLE", path, text)
                elif target in uses and target not in height:
                    stack.append((target, iter(uses[target])))
                    open_parts.add(target)
                    break
            else:
                stack.pop()
                open_parts.discard(part)
                inner = [height.get(target, 0) for target, _ in uses[part]]
                height[part] = max(inner, default=0) + (part[0] == "workflow")
    _check_nesting(spec, height, findings)


def _check_nesting(spec: Spec, height: dict[Part, int], findings: Findings) -> None:
    for path, _ in workflows(spec):
        name = "" if path == ("workflow",) else str(path[-1])
        # Only the first one over the limit: those above it are over it too.
        if height.get(("workflow", name), 0) == NESTING_MAX + 1:
            findings.error("E_LIMIT", path, f"workflows are nested deeper than {NESTING_MAX}")


def _uses(spec: Spec) -> dict[Part, _Uses]:
    """Return what each part is made of, with the path of the reference."""
    uses: dict[Part, _Uses] = {}
    for path, workflow in workflows(spec):
        here = uses.setdefault(("workflow", "" if path == ("workflow",) else str(path[-1])), [])
        for step_path, step in steps(path, workflow):
            if step.kind == "workflow":
                here.append((("workflow", step.ref), (*step_path, "ref")))
            elif step.kind in ("agent", "guardrail"):
                # The root agent answers to its name as well.
                root = step.ref == spec.agent.name and step.ref not in spec.components.agents
                here.append((("agent", "" if root else step.ref), (*step_path, "ref")))
        if isinstance(workflow, (HandoffWorkflow, GroupChatWorkflow)) and workflow.selector.ref:
            here.append((("agent", workflow.selector.ref), (*path, "selector", "ref")))
    for path, agent in agents(spec):
        name = "" if path == ("agent",) else str(path[-1])
        uses[("agent", name)] = list(_agent_uses(path, agent, spec))
    return uses


def _agent_uses(path: Path, agent: Agent, spec: Spec) -> Iterator[tuple[Part, Path]]:
    if agent.as_agent is not None:
        yield ("workflow", agent.as_agent), (*path, "as_agent")
    for index, name in enumerate(agent.tools.include if agent.tools else ()):
        tool = spec.tools.get(name)
        if tool is not None and tool.agent is not None:
            yield ("agent", tool.agent), (*path, "tools", "include", index)
    for field in ("summarizer", "retriever"):
        call = getattr(agent.memory, field, None)
        if call is not None and call.ref not in spec.components.functions:
            yield ("agent", call.ref), (*path, "memory", field, "ref")
    for stage in ("input", "output", "tool", "workflow"):
        for index, item in enumerate(getattr(agent.guardrails, stage, ())):
            if item.type == "agent" and item.ref:
                yield ("agent", item.ref), (*path, "guardrails", stage, index, "ref")
