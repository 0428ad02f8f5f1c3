"""Checks agents: model, runtime, tools, permissions, memory, guardrails; and the people to ask."""

from collections.abc import Mapping

from kneo_grpc.spec.document import Path
from kneo_grpc.spec.findings import Findings, Near, shown
from kneo_grpc.spec.model import Agent, Guardrail, Human, RuntimePreferences, Spec
from kneo_grpc.spec.names import Known, agents, steps, workflows
from kneo_grpc.spec.permissions import permissions

_ACTIONS = {
    "input": frozenset({"warn", "block", "retry", "escalate", "human_review"}),
    "output": frozenset({"warn", "block", "retry", "escalate", "human_review", "revise"}),
    "tool": frozenset({"warn", "block", "retry", "escalate", "human_review", "revise", "redact"}),
    "workflow": frozenset(
        {"warn", "block", "retry", "escalate", "human_review", "revise", "redact"}
    ),
}
_GUARDRAIL_CONFIG = {"keyword": "keywords", "regex": "patterns"}

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
    """Note what is wrong with the agents and the people of a spec."""
    tools = {**spec.tools, **dict.fromkeys(known.tools)}
    for path, agent in agents(spec):
        _check_model(path, agent, findings)
        if agent.runtime_preferences is not None:
            _check_runtime((*path, "runtime_preferences"), agent.runtime_preferences, findings)
        _check_tools(path, agent, tools, findings)
        _check_permissions(path, agent, findings)
        _check_skills(path, agent, spec, findings)
        _check_as_agent(path, agent, spec, findings)
        if agent.memory is not None and not agent.memory.get("policy"):
            text = "memory needs a policy: full, sliding_window, summary or retrieval"
            findings.error("E_MEMORY_POLICY_REQUIRED", (*path, "memory", "policy"), text)
        _check_guardrails((*path, "guardrails"), agent, findings)
    for name, human in spec.components.humans.items():
        _check_human(("components", "humans", name), human, findings)
    _check_approval(spec, findings)


def _check_model(path: Path, agent: Agent, findings: Findings) -> None:
    strategy = agent.strategy.type if agent.strategy else "simple"
    if strategy != "simple" and agent.model is None and agent.as_agent is None:
        text = f"the strategy `{strategy}` works on a model, and the agent has none"
        findings.warning("W_AGENT_MODEL", (*path, "model"), text, "the dummy model will be used")


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
    here = (*path, "tools", "permissions")
    if rights is None:
        if agent.tools is not None and agent.tools.include:
            findings.warning(
                "W_TOOL_POLICY_UNRESTRICTED",
                (*path, "tools"),
                "the agent has tools without permissions",
                "add tools.permissions or policies.tool",
            )
        return
    if agent.tools is None or agent.tools.permissions is None:
        here = (*path, "policies", "tool")
    if rights.get("allow_network") and not rights.get("allowed_domains"):
        text = "the tools may reach any host"
        findings.warning("W_TOOL_NETWORK_UNRESTRICTED", here, text, "name allowed_domains")
    if rights.get("allow_shell"):
        findings.warning("W_TOOL_SHELL_ALLOWED", here, "the tools may run shell commands")
    if rights.get("allow_filesystem_write"):
        findings.warning("W_TOOL_FILESYSTEM_WRITE_ALLOWED", here, "the tools may write files")
    if rights.get("allow_filesystem_read"):
        findings.warning("W_TOOL_FILESYSTEM_READ_ALLOWED", here, "the tools may read files")


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
        if getattr(agent, field):
            text = f"an agent that is a workflow has no `{field}`"
            findings.error("E_AS_AGENT_FIELDS", (*path, field), text)


def _check_guardrails(path: Path, agent: Agent, findings: Findings) -> None:
    if agent.guardrails is None:
        return
    for stage, actions in _ACTIONS.items():
        for index, guardrail in enumerate(getattr(agent.guardrails, stage)):
            _check_guardrail((*path, stage, index), guardrail, actions, stage, findings)


def _check_guardrail(
    path: Path, guardrail: Guardrail, actions: frozenset[str], stage: str, findings: Findings
) -> None:
    if guardrail.mode != "middleware":
        text = f"the mode {shown(guardrail.mode)} is not supported, only `middleware`"
        findings.error("E_GUARDRAIL_MODE_UNSUPPORTED", (*path, "mode"), text)
    if guardrail.action not in actions:
        text = f"the stage `{stage}` has no action {shown(guardrail.action)}"
        hint = Near(guardrail.action, sorted(actions))
        findings.error("E_GUARDRAIL_ACTION_UNSUPPORTED", (*path, "action"), text, hint)
    config = _GUARDRAIL_CONFIG.get(guardrail.type)
    if config is not None:
        if not guardrail.config.get(config):
            text = f"a {guardrail.type} guardrail needs config.{config}"
            findings.error("E_GUARDRAIL_FIELDS", (*path, "config", config), text)
    elif guardrail.type not in ("function", "agent"):
        text = "the type must be keyword, regex, function or agent"
        findings.error("E_GUARDRAIL_FIELDS", (*path, "type"), text)
    elif not guardrail.ref:
        text = f"a {guardrail.type} guardrail needs a ref"
        findings.error("E_GUARDRAIL_FIELDS", (*path, "ref"), text)


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
    if human.response_role == "system":
        text = "a person's reply would speak with the voice of the system prompt"
        findings.warning("W_HUMAN_RESPONSE_ROLE_SYSTEM", (*path, "response_role"), text)


def _check_approval(spec: Spec, findings: Findings) -> None:
    if not findings.codes() & PRIVILEGED:
        return
    for path, workflow in workflows(spec):
        if any(step.kind == "human" for _, step in steps(path, workflow)):
            return
    findings.warning(
        "W_HUMAN_APPROVAL_MISSING",
        ("workflow",),
        "tools with wide permissions run, and nobody is asked",
        "add a step of kind human",
    )
