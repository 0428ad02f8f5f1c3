"""Environment policies: what must hold for a spec that runs in an environment."""

# ruff: noqa: RUF012 # pydantic gives each object a copy of a default

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Annotated, Any

from pydantic import Field, StringConstraints, ValidationError
from pydantic_core import ErrorDetails

from kneo_grpc.domain.diagnostic import Diagnostic, Severity
from kneo_grpc.spec.codes import OLD_NAMES
from kneo_grpc.spec.document import Document, Path, format_path
from kneo_grpc.spec.findings import Findings
from kneo_grpc.spec.model import Agent, AnyWorkflow, Shape, Spec
from kneo_grpc.spec.names import agents, steps
from kneo_grpc.spec.permissions import permissions, unrestricted


class EnvironmentPolicy(Shape):
    """What must hold for a spec that runs in an environment."""

    enabled: bool = True
    """Whether any of this holds."""
    fail_on_warnings: bool = False
    """Refuse a spec with warnings."""
    blocked_diagnostic_codes: Annotated[
        list[Annotated[str, StringConstraints(min_length=1, max_length=128)]],
        Field(max_length=100),
    ] = []
    """Refuse a spec with one of these findings; a code's former name stands for it."""
    require_human_review: bool = False
    """A person decides in the root workflow."""
    require_tool_permissions: bool = False
    """Every agent with tools says what they may touch."""
    deny_unrestricted_tools: bool = False
    """No agent's tools may use a shell, write files, or reach any host there is."""
    require_guardrails: bool = False
    """Every agent has a guardrail."""
    require_signed_bundle: bool = False
    """Nothing runs but a signed bundle."""


def policy_given(data: Mapping[str, Any]) -> tuple[EnvironmentPolicy, list[tuple[str, str]]]:
    """Return the policy with these fields, and what is wrong with them as (field, text) pairs; with
    faults the policy is the one of all defaults. No text holds a value.
    """
    try:
        policy = EnvironmentPolicy.model_validate(dict(data))
    except ValidationError as error:
        return EnvironmentPolicy(), [
            (format_path(item["loc"]) or "policy", _fault(item))
            for item in error.errors(include_input=False, include_url=False)
        ]
    codes = list(dict.fromkeys(policy.blocked_diagnostic_codes))
    return policy.model_copy(update={"blocked_diagnostic_codes": codes}), []


def _fault(item: ErrorDetails) -> str:
    if item["type"] == "extra_forbidden":
        return "is not a field of a policy"
    return item["msg"][:1].lower() + item["msg"][1:]


def combined(*policies: EnvironmentPolicy | None) -> EnvironmentPolicy | None:
    """Return the policy that demands what any of these does; one that is not enabled, or None,
    demands nothing.
    """
    held = [policy for policy in policies if policy is not None and policy.enabled]
    if len(held) < 2:
        return held[0] if held else None
    codes = dict.fromkeys(code for policy in held for code in policy.blocked_diagnostic_codes)
    demands: dict[str, Any] = {
        name: any(getattr(policy, name) for policy in held)
        for name, field in EnvironmentPolicy.model_fields.items()
        if field.annotation is bool
    }
    # Two lists of a hundred codes may be longer than one policy's may.
    return EnvironmentPolicy.model_construct(**demands, blocked_diagnostic_codes=list(codes))


def policy_findings(
    policy: EnvironmentPolicy | None,
    environment: str,
    document: Document,
    spec: Spec | None,
    diagnostics: Iterable[Diagnostic],
    *,
    signed: bool,
) -> list[Diagnostic]:
    """Return an error for each demand of the policy that the spec does not meet.

    diagnostics: what validation found in the document. spec: None where it does not even fit the
    model. signed: it came in a bundle whose signature holds.
    """
    if policy is None or not policy.enabled:
        return []
    blocked = {OLD_NAMES.get(code, code) for code in policy.blocked_diagnostic_codes}
    found = [
        replace(
            item,
            code="E_ENV_POLICY_DIAGNOSTIC",
            severity=Severity.ERROR,
            message=f"{item.code} is blocked in {environment}: {item.message}",
        )
        for item in diagnostics
        if item.code in blocked
    ]
    if policy.fail_on_warnings:
        found += [
            replace(
                item,
                code="E_ENV_POLICY_WARNING",
                severity=Severity.ERROR,
                message=f"{environment} takes no warnings; {item.code}: {item.message}",
            )
            for item in diagnostics
            if item.severity is Severity.WARNING
        ]
    findings = Findings(document)
    if policy.require_signed_bundle and not signed:
        text = f"only a signed bundle may run in {environment}"
        hint = "sign it with `kneo spec bundle sign`"
        findings.error("E_ENV_POLICY_SIGNED_BUNDLE", (), text, hint)
    if spec is not None:
        _check_spec(policy, environment, spec, findings)
    return found + findings.ordered()


def agent_findings(
    policy: EnvironmentPolicy | None, environment: str, document: Document
) -> list[Diagnostic]:
    """Return what the policy has against a run of the root agent alone (target `agent`), which
    leaves out the workflow and every person that it asks.
    """
    if policy is None or not policy.enabled or not policy.require_human_review:
        return []
    findings = Findings(document)
    text = f"{environment} demands a human step, and the target `agent` passes the workflow by"
    findings.error("E_ENV_POLICY_HUMAN_REVIEW", ("agent",), text, "run the target `workflow`")
    return findings.ordered()


def _check_spec(
    policy: EnvironmentPolicy, environment: str, spec: Spec, findings: Findings
) -> None:
    if policy.require_human_review and not _asks_somebody(spec):
        text = f"{environment} demands a human step in the root workflow"
        findings.error("E_ENV_POLICY_HUMAN_REVIEW", ("workflow",), text)
    for path, agent in agents(spec):
        if agent.as_agent is not None:
            continue
        if agent.tools is not None and agent.tools.include:
            _check_tools(policy, environment, path, agent, findings)
        if policy.require_guardrails and not _guarded(agent):
            text = f"{environment} demands guardrails of every agent"
            findings.error("E_ENV_POLICY_GUARDRAILS", (*path, "guardrails"), text)


def _check_tools(
    policy: EnvironmentPolicy, environment: str, path: Path, agent: Agent, findings: Findings
) -> None:
    rights = permissions(agent)
    here = (*path, "tools")
    if rights is None and policy.require_tool_permissions:
        text = f"{environment} demands `permissions` of every agent with tools"
        findings.error("E_ENV_POLICY_TOOL_PERMISSIONS", here, text)
    if policy.deny_unrestricted_tools:
        for right in unrestricted(rights, tools=True):
            text = f"{environment} takes no unrestricted tools, and these have {right}"
            findings.error("E_ENV_POLICY_UNRESTRICTED_TOOLS", here, text)


def _guarded(agent: Agent) -> bool:
    rails = agent.guardrails
    return rails is not None and any((rails.input, rails.output, rails.tool, rails.workflow))


def _asks_somebody(spec: Spec) -> bool:
    """Tell whether the root workflow, or one within it, has a human step that takes part."""
    waiting: list[AnyWorkflow] = [spec.workflow] if spec.workflow is not None else []
    seen: set[str] = set()
    while waiting:
        for _, step in steps((), waiting.pop()):
            if not step.enabled:
                continue
            if step.kind == "human":
                return True
            inner = spec.components.workflows.get(step.ref) if step.kind == "workflow" else None
            if inner is not None and step.ref not in seen:
                seen.add(step.ref)
                waiting.append(inner)
    return False
