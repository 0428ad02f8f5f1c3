"""Tells what is in a spec: who works, with what, in which order, and who is asked."""

from dataclasses import dataclass

from kneo_grpc.spec.document import Path, format_path
from kneo_grpc.spec.model import Agent, AnyWorkflow, Human, Spec, Tool
from kneo_grpc.spec.names import agents, steps, workflows


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentFacts:
    """An agent. path: `agent` or `components.agents.<name>`; guardrails: their ids.

    memory: its policy. as_agent: the workflow that answers in its place.
    """

    path: str
    name: str
    description: str | None
    provider: str | None
    model: str | None
    strategy: str
    runtime_mode: str
    tools: tuple[str, ...]
    skills: tuple[str, ...]
    memory: str | None
    guardrails: tuple[str, ...]
    as_agent: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFacts:
    """A step, node or participant. enabled: False for one that is left out."""

    id: str
    kind: str
    ref: str
    enabled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowFacts:
    """A workflow. path: `workflow` or `components.workflows.<name>`; kind: one of the five."""

    path: str
    name: str
    kind: str
    description: str | None
    steps: tuple[StepFacts, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolFacts:
    """A declared tool. backing: implementation, mcp, agent or registered."""

    name: str
    description: str
    backing: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HumanFacts:
    """Somebody to ask. timeout_seconds: None or 0 waits for ever."""

    name: str
    description: str | None
    assignee: str | None
    request_type: str
    timeout_seconds: int | None
    on_timeout: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """A spec without its details: root parts first, then in the order of the spec.

    component_agents are sorted. functions, skills, mcp_servers: names.
    """

    root_agent: str
    root_workflow: str | None
    component_agents: tuple[str, ...]
    agents: tuple[AgentFacts, ...]
    workflows: tuple[WorkflowFacts, ...]
    tools: tuple[ToolFacts, ...]
    humans: tuple[HumanFacts, ...]
    functions: tuple[str, ...]
    skills: tuple[str, ...]
    mcp_servers: tuple[str, ...]


def explain(spec: Spec) -> Explanation:
    """Return what is in a spec."""
    parts = spec.components
    return Explanation(
        root_agent=spec.agent.name,
        root_workflow=None if spec.workflow is None else _name(spec.workflow),
        component_agents=tuple(sorted(parts.agents)),
        agents=tuple(_agent(path, agent) for path, agent in agents(spec)),
        workflows=tuple(_workflow(path, workflow) for path, workflow in workflows(spec)),
        tools=tuple(
            ToolFacts(name=name, description=tool.description, backing=_backing(tool))
            for name, tool in spec.tools.items()
        ),
        humans=tuple(_human(name, human) for name, human in parts.humans.items()),
        functions=tuple(parts.functions),
        skills=tuple(spec.skills),
        mcp_servers=tuple(spec.mcp_servers),
    )


def _name(workflow: AnyWorkflow) -> str:
    return workflow.name or f"{workflow.type}-workflow"


def _agent(path: Path, agent: Agent) -> AgentFacts:
    model, runtime, checks = agent.model, agent.runtime_preferences, agent.guardrails
    excluded = frozenset(agent.tools.exclude if agent.tools else ())
    stages = (checks.input, checks.output, checks.tool, checks.workflow) if checks else ()
    return AgentFacts(
        path=format_path(path) or "",
        name=agent.name,
        description=agent.description,
        provider=model.provider if model else None,
        model=model.name if model else None,
        strategy=agent.strategy.type if agent.strategy else "simple",
        runtime_mode=(runtime.preferred_mode if runtime else None) or "bridge",
        tools=tuple(
            name
            for name in dict.fromkeys(agent.tools.include if agent.tools else ())
            if name not in excluded
        ),
        skills=tuple(agent.skills),
        memory=agent.memory.policy if agent.memory else None,
        guardrails=tuple(check.id for stage in stages for check in stage),
        as_agent=agent.as_agent,
    )


def _workflow(path: Path, workflow: AnyWorkflow) -> WorkflowFacts:
    return WorkflowFacts(
        path=format_path(path) or "",
        name=_name(workflow),
        kind=workflow.type,
        description=workflow.description,
        steps=tuple(
            StepFacts(
                id=key if isinstance(key := step_path[-1], str) else step.id,
                kind=step.kind,
                ref=step.ref,
                enabled=step.enabled,
            )
            for step_path, step in steps((), workflow)
        ),
    )


def _backing(tool: Tool) -> str:
    if tool.implementation is not None:
        return "implementation"
    if tool.mcp is not None:
        return "mcp"
    return "registered" if tool.agent is None else "agent"


def _human(name: str, human: Human) -> HumanFacts:
    return HumanFacts(
        name=name,
        description=human.description,
        assignee=human.assignee,
        request_type=human.request_type,
        timeout_seconds=human.timeout_seconds,
        on_timeout=human.on_timeout,
    )
