"""Compiles agents, their tools, and the people to ask."""

from collections.abc import Mapping
from typing import Any

from kneo_grpc.domain.human import HumanRequestType, OnTimeout
from kneo_grpc.domain.plan import (
    AgentPlan,
    CallPlan,
    GuardrailPlan,
    HumanPlan,
    MemoryPlan,
    RuntimePlan,
    ToolPlan,
)
from kneo_grpc.spec.model import (
    Agent,
    CallRef,
    Guardrails,
    Human,
    Memory,
    RuntimePreferences,
    Spec,
    Tool,
)
from kneo_grpc.spec.names import DEFAULT_PROVIDER, Known, agents
from kneo_grpc.spec.permissions import permissions

_MAX_ITERATIONS = 10
_SETTINGS = {"temperature", "max_tokens", "timeout_seconds", "token_budget", "extra"}


def tool_plans(spec: Spec, known: Known) -> dict[str, ToolPlan]:
    """Return the declared tools, and those registered with a definition that agents include."""
    tools = {name: _tool(name, tool) for name, tool in spec.tools.items()}
    if not isinstance(known.tools, Mapping):
        return tools
    for _, agent in agents(spec):
        for name in _allowed(agent):
            if name not in tools:
                tools[name] = known.tools[name]
    return tools


def agent_plan(agent: Agent, spec: Spec) -> AgentPlan:
    """Compile an agent. Names stay names: the parts they stand for may be declared later."""
    model, strategy, rights = agent.model, agent.strategy, permissions(agent)
    provider = model.provider if model else DEFAULT_PROVIDER
    settings: dict[str, Any] = {}
    if model is not None:
        settings = model.model_dump(include=_SETTINGS, exclude_none=True)
        if not model.extra:
            del settings["extra"]
    return AgentPlan(
        name=agent.name,
        description=agent.description,
        system_prompt=agent.system_prompt,
        provider="dummy" if provider == DEFAULT_PROVIDER else provider,
        model=model.name if model else "dummy",
        model_settings=settings,
        runtime_mode=_preferred(agent),
        strategy=strategy.type if strategy else "simple",
        max_iterations=(strategy.max_iterations if strategy else None) or _MAX_ITERATIONS,
        tools=_allowed(agent),
        tool_permissions=rights or {},
        permits_nothing=rights == {},
        stop_on_tool_error=bool(strategy and strategy.stop_on_tool_error),
        parallel_tool_calls=not (strategy and strategy.parallel_tool_calls is False),
        runtime=_runtime(agent.runtime_preferences),
        memory=_memory(agent.memory, spec),
        guardrails=_guardrails(agent.guardrails, spec),
        skills=tuple(dict.fromkeys(agent.skills)),
        append_mode=agent.defaults.append_mode,
        as_agent=agent.as_agent,
    )


def human_plan(name: str, human: Human) -> HumanPlan:
    """Compile somebody to ask. on_reject goes into the plans of the steps."""
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
        default_on_timeout=human.default_on_timeout,
        response_role=human.response_role,
    )


def _tool(name: str, tool: Tool) -> ToolPlan:
    return ToolPlan(
        name=name,
        description=tool.description,
        parameters=tool.parameters,
        implementation=tool.implementation,
        mcp_server=tool.mcp.server if tool.mcp else None,
        mcp_name=(tool.mcp.name or name) if tool.mcp else None,
        agent=tool.agent,
    )


def _allowed(agent: Agent) -> tuple[str, ...]:
    """Return what the agent may call: a denied tool is not even shown to its model."""
    denied = frozenset((permissions(agent) or {}).get("deny", ()))
    included = agent.tools.include if agent.tools else ()
    return tuple(name for name in dict.fromkeys(included) if name not in denied)


def _preferred(agent: Agent) -> str:
    runtime = agent.runtime_preferences
    return (runtime.preferred_mode if runtime else None) or "bridge"


def _runtime(runtime: RuntimePreferences | None) -> RuntimePlan:
    if runtime is None:
        return RuntimePlan()
    allowed = runtime.allowed_modes
    return RuntimePlan(
        fallback_mode=runtime.fallback_mode,
        allowed_modes=tuple(dict.fromkeys(allowed)) if allowed is not None else None,
        native_provider=runtime.native_provider,
        adapter_ref=runtime.adapter_ref,
    )


def _memory(memory: Memory | None, spec: Spec) -> MemoryPlan:
    if memory is None:
        return MemoryPlan()
    return MemoryPlan(
        policy=memory.policy or "full",
        max_messages=memory.max_messages,
        preserve_system_messages=memory.preserve_system_messages,
        summarizer=_call(memory.summarizer, spec),
        retriever=_call(memory.retriever, spec),
        top_k=memory.top_k,
    )


def _call(call: CallRef | None, spec: Spec) -> CallPlan | None:
    if call is None:
        return None
    kind = "function" if call.ref in spec.components.functions else "agent"
    return CallPlan(kind=kind, ref=call.ref)


def _guardrails(guardrails: Guardrails | None, spec: Spec) -> tuple[GuardrailPlan, ...]:
    if guardrails is None:
        return ()
    return tuple(
        GuardrailPlan(
            id=item.id,
            stage=stage,
            type=item.type,
            action=item.action,
            target=item.target,
            call=CallPlan(kind=item.type, ref=item.ref)
            if item.ref and item.type in ("function", "agent")
            else None,
            config=item.config.model_dump(exclude_defaults=True),
        )
        for stage in ("input", "output", "tool", "workflow")
        for item in getattr(guardrails, stage)
    )
