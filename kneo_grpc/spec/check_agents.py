"""Checks agents: model, runtime, tools, permissions, skills, and workflows behind them."""

from collections.abc import Mapping

from kneo_grpc.spec.check_guardrails import check_guardrails
from kneo_grpc.spec.check_memory import check_memory
from kneo_grpc.spec.document import Path
from kneo_grpc.spec.findings import Findings, Near, shown
from kneo_grpc.spec.model import Agent, RuntimePreferences, Spec
from kneo_grpc.spec.names import Known, agents, steps, workflows
from kneo_grpc.spec.permissions import permissions, touches

_AS_AGENT_EXCLUDES = (
    "model",
    "strategy",
    "runtime_preferences",
    "tools",
    "skills",
    "memory",
    "guardrails",
    "history",
    "middleware",
    "defaults",
)

PRIVILEGED = frozenset(
    {
        "W_TOOL_POLICY_UNRESTRICTED",
        "W_TOOL_NETWORK_UNRESTRICTED",
        "W_TOOL_SHELL_ALLOWED",
        "W_TOOL_FILESYSTEM_WRITE_ALLOWED",
    }
)
"""Findings that call for a person in the loop."""


def check_agents(spec: Spec, known: Known, findings: Findings) -> None:
    """Note what is wrong with the agents of a spec."""
    tools = {**spec.tools, **dict.fromkeys(known.tools)}
    for path, agent in agents(spec):
        _check_model(path, agent, findings)
        if agent.runtime_preferences is not None:
            _check_runtime((*path, "runtime_preferences"), agent.runtime_preferences, findings)
        _check_tools(path, agent, tools, findings)
        _check_permissions(path, agent, findings)
        _check_skills(path, agent, spec, findings)
        _check_as_agent(path, agent, spec, findings)
        if agent.memory is not None:
            check_memory((*path, "memory"), agent.memory, spec, findings)
    check_guardrails(spec, findings)
    _check_approval(spec, findings)


def _check_model(path: Path, agent: Agent, findings: Findings) -> None:
    strategy = agent.strategy.type if agent.strategy else "simple"
    if strategy != "simple" and agent.model is None and agent.as_agent is None:
        text = f"the strategy `{strategy}` works on a model, and the agent has none"
        findings.warning("W_AGENT_MODEL", (*path, "model"), text, "the dummy model will be used")
    if agent.model is not None and agent.model.extra.get("api_key"):
        text = "a key in a spec is stored with every plan made of it"
        hint = "name the secret with `api_key_ref`"
        findings.warning("W_SECRET_IN_SPEC", (*path, "model", "extra", "api_key"), text, hint)


def _check_runtime(path: Path, runtime: RuntimePreferences, findings: Findings) -> None:
    preferred = runtime.preferred_mode or "bridge"
    allowed = runtime.allowed_modes
    if allowed is not None and preferred not in allowed:
        text = f"the mode `{preferred}` is not among allowed_modes"
        findings.error("E_RUNTIME_PREFERRED_NOT_ALLOWED", (*path, "preferred_mode"), text)
    fallback = runtime.fallback_mode
    if allowed is not None and fallback is not None and fallback not in allowed:
        text = f"the mode `{fallback}` is not among allowed_modes"
        findings.error("E_RUNTIME_FALLBACK_NOT_ALLOWED", (*path, "fallback_mode"), text)
    if preferred == "native" and not runtime.native_provider:
        text = "native mode without native_provider takes the model's provider"
        findings.warning("W_RUNTIME_NATIVE_PROVIDER", (*path, "native_provider"), text)
    if preferred == "adapter" and not runtime.adapter_ref:
        text = "adapter mode needs an adapter_ref"
        findings.warning("W_RUNTIME_ADAPTER_REF", (*path, "adapter_ref"), text)


def _check_tools(path: Path, agent: Agent, tools: Mapping[str, object], findings: Findings) -> None:
    excluded = frozenset(agent.tools.exclude if agent.tools else ())
    for index, name in enumerate(agent.tools.include if agent.tools else ()):
        here = (*path, "tools", "include", index)
        if name not in tools:
            findings.error(
                "E_UNKNOWN_TOOL",
                here,
                f"the tool {shown(name)} is neither declared under `tools` nor registered",
                Near(name, tools),
            )
        if name in excluded:
            text = f"the tool {shown(name)} is both included and excluded"
            findings.error("E_TOOL_CONFLICT", here, text)
    policy = agent.policies.tool if agent.policies else None
    if policy is not None:
        denied = frozenset(policy.deny)
        for index, name in enumerate(policy.allow):
            if name in denied:
                text = f"the tool {shown(name)} is both allowed and denied"
                findings.error("E_TOOL_CONFLICT", (*path, "policies", "tool", "allow", index), text)


def _check_permissions(path: Path, agent: Agent, findings: Findings) -> None:
    rights = permissions(agent)
    here: Path = (*path, "tools")
    if rights is not None:
        own = agent.tools is not None and agent.tools.permissions is not None
        here = (*path, "tools", "permissions") if own else (*path, "policies", "tool")
    for touch in touches(rights, tools=bool(agent.tools and agent.tools.include)):
        findings.warning(touch.code, here, touch.text, touch.hint)


def _check_skills(path: Path, agent: Agent, spec: Spec, findings: Findings) -> None:
    for index, name in enumerate(agent.skills):
        if name not in spec.skills:
            text = f"the skill {shown(name)} is not declared under `skills`"
            hint = Near(name, spec.skills)
            findings.error("E_SKILL_REF", (*path, "skills", index), text, hint)


def _check_as_agent(path: Path, agent: Agent, spec: Spec, findings: Findings) -> None:
    if agent.as_agent is None:
        return
    if agent.as_agent not in spec.components.workflows:
        findings.error(
            "E_AS_AGENT_UNKNOWN_WORKFLOW",
            (*path, "as_agent"),
            f"components.workflows does not have {shown(agent.as_agent)}",
            Near(agent.as_agent, spec.components.workflows),
        )
    for field in _AS_AGENT_EXCLUDES:
        if getattr(agent, field) not in (None, Agent.model_fields[field].default):
            text = f"an agent that is a workflow has no `{field}`"
            findings.error("E_AS_AGENT_FIELDS", (*path, field), text)


def _check_approval(spec: Spec, findings: Findings) -> None:
    if not findings.codes() & PRIVILEGED:
        return
    for path, workflow in workflows(spec):
        if any(step.kind == "human" and step.enabled for _, step in steps(path, workflow)):
            return
    findings.warning(
        "W_HUMAN_APPROVAL_MISSING",
        ("workflow",),
        "tools with wide permissions run, and nobody is asked",
        "add a step of kind human",
    )
