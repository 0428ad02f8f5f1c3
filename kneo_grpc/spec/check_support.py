"""Names what the language knows but this release does not run: refused, never silently ignored."""

from kneo_grpc.spec.document import Path
from kneo_grpc.spec.findings import Findings, shown
from kneo_grpc.spec.model import Agent, Model, Spec
from kneo_grpc.spec.names import DEFAULT_PROVIDER, Known, agents, steps, workflows

_LATER = "comes in a later release"

# Project defaults land under this key of the root policies; they inform and bind nothing.
_PROJECT_DEFAULTS = "project_defaults"


def check_support(spec: Spec, known: Known, findings: Findings) -> None:
    """Note every part of a spec that this release would not perform as written."""
    for path, agent in agents(spec):
        _check_agent(path, agent, known, findings)
    for path, workflow in workflows(spec):
        for step_path, step in steps(path, workflow):
            if step.kind == "workflow":
                for field in ("max_retries", "timeout_seconds"):
                    if getattr(step, field):
                        _ignored((*step_path, field), findings)
            if step.kind == "guardrail":
                text = f"the step kind `guardrail` {_LATER}"
                findings.error("E_STEP_KIND_UNSUPPORTED", (*step_path, "kind"), text)
    for name, tool in spec.tools.items():
        for field in ("mcp", "agent"):
            if getattr(tool, field) is not None:
                _unsupported(("tools", name, field), f"tools backed by `{field}`", findings)
    for name, function in spec.components.functions.items():
        for field in ("input_schema", "output_schema"):
            if getattr(function, field):
                _ignored(("components", "functions", name, field), findings)
    for key in spec.policies:
        if key != _PROJECT_DEFAULTS:
            _ignored(("policies", key), findings)


def _check_agent(path: Path, agent: Agent, known: Known, findings: Findings) -> None:
    if agent.model is not None:
        _check_model((*path, "model"), agent.model, known, findings)
    runtime = agent.runtime_preferences
    if runtime is not None:
        if runtime.preferred_mode in ("native", "adapter"):
            here = (*path, "runtime_preferences", "preferred_mode")
            text = f"the runtime mode `{runtime.preferred_mode}` {_LATER}"
            findings.error("E_RUNTIME_MODE_UNSUPPORTED", here, text, "use `bridge`")
        if runtime.bridge_provider is not None:
            _ignored((*path, "runtime_preferences", "bridge_provider"), findings)
    for field in ("memory", "as_agent"):
        if getattr(agent, field):
            _unsupported((*path, field), f"`{field}`", findings)
    if agent.guardrails is not None:
        for stage in ("input", "output", "tool", "workflow"):
            if getattr(agent.guardrails, stage):
                _unsupported((*path, "guardrails", stage), "`guardrails`", findings)
    for field in ("history", "middleware", "defaults"):
        value = getattr(agent, field)
        if value and value != Agent.model_fields[field].default:
            _ignored((*path, field), findings)
    if agent.strategy is not None:
        for field in ("stop_on_tool_error", "parallel_tool_calls"):
            if getattr(agent.strategy, field) is not None:
                _ignored((*path, "strategy", field), findings)


def _check_model(path: Path, model: Model, known: Known, findings: Findings) -> None:
    if model.provider == DEFAULT_PROVIDER:
        if model.name != "dummy":
            text = f"no provider is named, so {shown(model.name)} runs on the provider `dummy`"
            findings.warning("W_FIELD_IGNORED", path, text, "name a provider")
    elif model.provider not in known.providers:
        findings.error(
            "E_PROVIDER_UNSUPPORTED",
            (*path, "provider"),
            f"the provider {shown(model.provider)} is not available here",
            f"available: {', '.join(sorted(known.providers))}",
        )


def _unsupported(path: Path, what: str, findings: Findings) -> None:
    verb = "come" if what.startswith("tools") else "comes"
    findings.error("E_FEATURE_UNSUPPORTED", path, f"{what} {verb} in a later release")


def _ignored(path: Path, findings: Findings) -> None:
    findings.warning("W_FIELD_IGNORED", path, f"{shown(path[-1])} has no effect")
