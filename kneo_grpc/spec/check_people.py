"""Checks the people to ask, and whether they can be asked where they stand."""

from collections.abc import Iterator

from kneo_grpc.spec.document import Path
from kneo_grpc.spec.findings import Findings, Near, shown
from kneo_grpc.spec.model import (
    GroupChatWorkflow,
    HandoffWorkflow,
    Human,
    Spec,
    Step,
)
from kneo_grpc.spec.names import agents, steps, workflows


def check_people(spec: Spec, findings: Findings) -> None:
    """Note what is wrong with requests to people."""
    for name, human in spec.components.humans.items():
        _check_human(("components", "humans", name), human, findings)
    if not any(agent.as_agent for _, agent in agents(spec)):
        return
    asking = _asking_workflows(spec)
    for path, name in _called_agents(spec):
        agent = spec.components.agents.get(name)
        if agent is not None and agent.as_agent in asking:
            text = f"the agent {shown(name)} asks a person, and a call cannot wait for one"
            hint = "let a step of the workflow ask"
            findings.error("E_STEP_WORKFLOW_NESTED_HUMAN", path, text, hint)


def _asking_workflows(spec: Spec) -> set[str]:
    """Return the component workflows in which a person is asked, at whatever depth."""
    outer: dict[str, list[str]] = {}
    todo: list[str] = []
    for name, workflow in spec.components.workflows.items():
        enabled = [step for _, step in steps((), workflow) if step.enabled]
        if any(step.kind == "human" for step in enabled):
            todo.append(name)
        for step in enabled:
            inner = _inner(step, spec)
            if inner is not None:
                outer.setdefault(inner, []).append(name)
    asking = set(todo)
    while todo:
        for name in outer.get(todo.pop(), ()):
            if name not in asking:
                asking.add(name)
                todo.append(name)
    return asking


def _inner(step: Step, spec: Spec) -> str | None:
    """Return the workflow that the step runs, itself or behind its agent."""
    if step.kind == "workflow":
        return step.ref
    agent = spec.components.agents.get(step.ref) if step.kind == "agent" else None
    return agent.as_agent if agent is not None else None


def _called_agents(spec: Spec) -> Iterator[tuple[Path, str]]:
    """Yield the agents that are called from within another part, and where they are named."""
    for name, tool in spec.tools.items():
        if tool.agent is not None:
            yield ("tools", name, "agent"), tool.agent
    for path, agent in agents(spec):
        memory = agent.memory
        for field in ("summarizer", "retriever"):
            call = getattr(memory, field) if memory else None
            if call is not None and call.ref not in spec.components.functions:
                yield (*path, "memory", field, "ref"), call.ref
        for stage in ("input", "output", "tool", "workflow"):
            for index, item in enumerate(getattr(agent.guardrails, stage, ())):
                if item.type == "agent" and item.ref:
                    yield (*path, "guardrails", stage, index, "ref"), item.ref
    for path, workflow in workflows(spec):
        if isinstance(workflow, (HandoffWorkflow, GroupChatWorkflow)):
            selector = workflow.selector
            if selector.type == "agent" and selector.ref:
                yield (*path, "selector", "ref"), selector.ref


def _check_human(path: Path, human: Human, findings: Findings) -> None:
    options = human.options
    if human.request_type == "selection" and not options:
        text = "a selection needs options to choose from"
        findings.error("E_HUMAN_SELECTION_REQUIRES_OPTIONS", (*path, "options"), text)
    if human.default_option is not None and human.default_option not in (options or ()):
        text = f"the default {shown(human.default_option)} is not among the options"
        hint = Near(human.default_option, options or ())
        findings.error(
            "E_HUMAN_DEFAULT_OPTION_NOT_IN_OPTIONS", (*path, "default_option"), text, hint
        )
    if human.default_on_timeout and human.default_option is None:
        text = "there is no default_option to take when the time is up"
        here = (*path, "default_on_timeout")
        findings.error("E_HUMAN_DEFAULT_OPTION_REQUIRED", here, text)
    if human.response_role == "system":
        text = "a person's reply would speak with the voice of the system prompt"
        findings.warning("W_HUMAN_RESPONSE_ROLE_SYSTEM", (*path, "response_role"), text)
