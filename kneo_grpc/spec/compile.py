"""Compiles a spec to the Plan that a run executes."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from kneo_grpc.domain.diagnostic import Diagnostic, has_errors
from kneo_grpc.domain.human import HumanRequestType, OnTimeout
from kneo_grpc.domain.plan import (
    ROOT,
    AgentPlan,
    ConditionPlan,
    EdgePlan,
    FunctionPlan,
    HumanPlan,
    Plan,
    StepPlan,
    ToolPlan,
    WorkflowPlan,
)
from kneo_grpc.spec.document import Document
from kneo_grpc.spec.findings import spec_invalid
from kneo_grpc.spec.model import (
    Agent,
    AnyWorkflow,
    Condition,
    GraphWorkflow,
    GroupChatWorkflow,
    HandoffWorkflow,
    Human,
    SequentialWorkflow,
    Spec,
    Step,
)
from kneo_grpc.spec.names import DEFAULT_PROVIDER, Known, agents, steps
from kneo_grpc.spec.permissions import permissions
from kneo_grpc.spec.validate import DUMMY_ONLY, examine

_MAX_ITERATIONS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """A spec that can run. diagnostics: warnings and infos; spec: normalised, JSON-ready."""

    plan: Plan
    diagnostics: tuple[Diagnostic, ...]
    spec: Mapping[str, Any]


def compile_spec(
    document: Document,
    *,
    known_tools: Collection[str] = frozenset(),
    known_functions: Collection[str] = frozenset(),
    providers: Collection[str] = DUMMY_ONLY,
) -> Compiled:
    """Compile a document; the same document gives the same plan, in every process.

    known_tools: registered names; or a mapping from name to ToolPlan, and then the definitions of
    the tools in use become part of the plan. Raises SpecInvalid (details: diagnostics) when a
    finding is an error.
    """
    known = Known(tools=known_tools, functions=known_functions, providers=providers)
    spec, diagnostics = examine(document, known)
    if spec is None or has_errors(diagnostics):
        raise spec_invalid(diagnostics)
    return Compiled(
        plan=_plan(spec, known),
        diagnostics=tuple(diagnostics),
        spec=spec.model_dump(by_alias=True, exclude_none=True),
    )


def _plan(spec: Spec, known: Known) -> Plan:
    parts = spec.components
    flows = {name: _workflow(flow, spec) for name, flow in parts.workflows.items()}
    if spec.workflow is not None:
        flows[ROOT] = _workflow(spec.workflow, spec)
    return Plan(
        agents={
            ROOT: _agent(spec.agent),
            **{name: _agent(agent) for name, agent in parts.agents.items()},
        },
        workflows=flows,
        functions={
            name: FunctionPlan(name=name, implementation=function.implementation)
            for name, function in parts.functions.items()
        },
        humans={name: _human(name, human) for name, human in parts.humans.items()},
        tools=_tools(spec, known),
    )


def _tools(spec: Spec, known: Known) -> dict[str, ToolPlan]:
    """Return the declared tools, and those registered with a definition that agents include."""
    tools = {
        name: ToolPlan(
            name=name,
            description=tool.description,
            parameters=tool.parameters,
            implementation=tool.implementation,
        )
        for name, tool in spec.tools.items()
    }
    if not isinstance(known.tools, Mapping):
        return tools
    for _, agent in agents(spec):
        for name in _allowed(agent):
            if name not in tools:
                tools[name] = known.tools[name]
    return tools


def _allowed(agent: Agent) -> tuple[str, ...]:
    """Return what the agent may call: a denied tool is not even shown to its model."""
    denied = frozenset((permissions(agent) or {}).get("deny", ()))
    included = agent.tools.include if agent.tools else ()
    return tuple(name for name in dict.fromkeys(included) if name not in denied)


def _agent(agent: Agent) -> AgentPlan:
    model, strategy = agent.model, agent.strategy
    provider = model.provider if model else DEFAULT_PROVIDER
    settings: dict[str, Any] = {}
    if model is not None:
        fields = {"temperature", "max_tokens", "timeout_seconds", "token_budget", "extra"}
        settings = model.model_dump(include=fields, exclude_none=True)
        if not model.extra:
            del settings["extra"]
    return AgentPlan(
        name=agent.name,
        description=agent.description,
        system_prompt=agent.system_prompt,
        provider="dummy" if provider == DEFAULT_PROVIDER else provider,
        model=model.name if model else "dummy",
        model_settings=settings,
        strategy=strategy.type if strategy else "simple",
        max_iterations=(strategy.max_iterations if strategy else None) or _MAX_ITERATIONS,
        tools=_allowed(agent),
        tool_permissions=permissions(agent) or {},
    )


def _human(name: str, human: Human) -> HumanPlan:
    return HumanPlan(
        name=name,
        description=human.description,
        assignee=human.assignee,
        timeout_seconds=human.timeout_seconds,
        on_timeout=OnTimeout(human.on_timeout),
        request_type=HumanRequestType(human.request_type),
        options=tuple(human.options) if human.options is not None else None,
        default_option=human.default_option,
        context=human.context or {},
    )


def _workflow(workflow: AnyWorkflow, spec: Spec) -> WorkflowPlan:
    common: dict[str, Any] = {
        "name": workflow.name or f"{workflow.type}-workflow",
        "kind": workflow.type,
        "description": workflow.description,
        "steps": tuple(_step(path[-1], step, spec) for path, step in steps((), workflow)),
    }
    if isinstance(workflow, SequentialWorkflow):
        return WorkflowPlan(**common)
    if isinstance(workflow, GraphWorkflow):
        edges = tuple(
            EdgePlan(
                source=edge.source,
                target=edge.to,
                condition=_condition(edge.condition) if edge.condition else None,
                label=edge.label,
            )
            for edge in workflow.edges
        )
        return WorkflowPlan(
            **common, start=workflow.start, edges=edges, max_steps=workflow.max_steps
        )
    common["max_iterations"] = workflow.max_iterations
    if isinstance(workflow, HandoffWorkflow):
        chosen = workflow.selector
        return WorkflowPlan(
            **common, selector=chosen.type, selector_sequence=tuple(chosen.sequence)
        )
    if isinstance(workflow, GroupChatWorkflow):
        return WorkflowPlan(**common, rounds=workflow.rounds)
    return WorkflowPlan(**common)


def _step(key: str | int, step: Step, spec: Spec) -> StepPlan:
    """Compile a step. key: of a graph node, it counts rather than the id."""
    ref = step.ref
    if step.kind == "agent" and ref not in spec.components.agents:
        ref = ROOT  # validation made sure that it is the root agent's name
    return StepPlan(
        id=key if isinstance(key, str) else step.id,
        kind=step.kind,
        ref=ref,
        enabled=step.enabled,
        on_error=step.on_error,
        fallback_ref=step.fallback_ref,
        max_retries=step.max_retries,
        timeout_seconds=step.timeout_seconds,
    )


def _condition(condition: Condition) -> ConditionPlan:
    inner = condition.conditions if condition.condition is None else [condition.condition]
    return ConditionPlan(
        type=condition.type,
        key=condition.key,
        value=condition.value,
        case_sensitive=condition.case_sensitive,
        conditions=tuple(_condition(child) for child in inner),
    )
